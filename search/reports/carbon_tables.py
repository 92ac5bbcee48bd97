"""A carbon ledger for people: a table, sentences and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cost_models.carbon_ledger import BreakEven, Plan
from cost_models.grid_hours import Schedule
from cost_models.ranges import Range
from search.reports.carbon import TwoPlans
from search.reports.figures.plots import COLOURS, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from rich.table import Table

NAMES = {
    "training": "training, its share", "search": "search", "finetuning": "fine-tuning", "embodied": "embodied",
}  # fmt: skip
UNITS = ((1e3, "t"), (1.0, "kg"), (1e-3, "g"), (1e-6, "mg"), (1e-9, "µg"), (1e-12, "ng"))
"""Kilograms in a unit, and its name, from the largest on."""
POINTS = 200
MARGIN = 30
"""How far the plot goes beyond the break-even and the deployment's own requests, as a factor."""


def unit_of(kg: float) -> tuple[float, str]:
    return next(((unit, name) for unit, name in UNITS if abs(kg) >= unit), UNITS[-1])


def mass(kg: float) -> str:
    """``3.21 kg``, ``410 mg``."""
    unit, name = unit_of(kg)
    return f"{figure_in(kg, unit)} {name}"


def figure_in(kg: float, unit: float) -> str:
    return f"{kg / unit:.3g}" if abs(kg) < 999 * unit else f"{kg / unit:,.0f}"


def with_range(kg: Range, between: str = "\n") -> str:
    """``3.2 kg (1.1 to 5)``, all in one unit."""
    if not kg.is_wide:
        return mass(kg.value)
    unit, _ = unit_of(kg.value)
    return f"{mass(kg.value)}{between}({figure_in(kg.low, unit)} to {figure_in(kg.high, unit)})"


def carbon_table(found: TwoPlans) -> Table:
    """What each plan takes, a line a part; ranges are from the least to the greatest."""
    from rich import box
    from rich.table import Table

    plans = [plan for plan in (found.specialised, found.baseline) if plan is not None]
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    made.add_column("CO2e")
    for plan in plans:
        made.add_column(plan.name.replace(" ", "\n"), justify="right")
    made.add_column("how it is known", max_width=30)
    for part, called in NAMES.items():
        if any(part in plan.once_kg for plan in plans):
            made.add_row(called, *(once(plan, part) for plan in plans), found.notes.get(part, ""))
    made.add_row(
        "a request", *(with_range(plan.per_request_mg * 1e-6) for plan in plans), found.notes["inference"]
    )
    made.add_row(
        count(found.requests),
        *(with_range(plan.inference_kg(found.requests)) for plan in plans),
        "",
    )
    made.add_section()
    made.add_row("in all", *(with_range(plan.total_kg(found.requests)) for plan in plans), "")
    return made


def once(plan: Plan, part: str) -> str:
    return with_range(plan.once_kg[part]) if part in plan.once_kg else "-"


def sentences(found: TwoPlans) -> str:
    """The break-even and what is saved, as far as the ranges allow to say it."""
    if found.pays_after is None or found.baseline is None or found.saved_kg is None:
        return "No baseline was given, so there is nothing that specialising is held against."
    kg, who = found.saved_kg, found.baseline.name
    verb, kg = ("saves", kg) if kg.value >= 0 else ("costs", kg * -1.0)
    return (
        f"Held against {who}, specialising\n{pays(found.pays_after)}.\n"
        f"In {count(found.requests)} it {verb} {with_range(kg, ' ')} of CO2e."
    )


def pays(found: BreakEven) -> str:
    """When it has paid for itself: at once, after so many requests, never, or until so many; with best and worst case."""
    best, central, worst = zip((found.low, found.value, found.high), found.until, strict=True)
    if found.low is None:
        return "never pays for itself: a request takes no less"
    if found.value is None:
        told = "does not pay for itself by the central estimates: a request takes no less"
    elif found.until[1] is not None:
        told = f"pays until {count(found.until[1])}: it takes less at first, and each request takes more"
    elif found.value == 0:
        told = "has paid for itself at once"
    else:
        told = f"has paid for itself after {count(found.value)}"
    if best == central == worst:
        return told
    if found.value is not None and found.until == (None, None, None):
        return f"{told} ({number(found.low or 0)} to {'never' if found.high is None else number(found.high)})"
    return f"{told} (at best {case(*best)}, at worst {case(*worst)})"


def case(after: float | None, until: float | None) -> str:
    """The best or the worst case of a break-even."""
    if after is None:
        return "never"
    if until is not None:
        return f"until {number(until)}"
    return "at once and for ever" if after == 0 else f"after {number(after)}"


def count(requests: float) -> str:
    return f"{number(requests)} request{'' if requests == 1 else 's'}"


def number(requests: float) -> str:
    """``53,000``, ``242 million``."""
    named = ((1e12, " trillion"), (1e9, " billion"), (1e6, " million"))
    size, name = next(((size, name) for size, name in named if requests >= size), (1.0, ""))
    return f"{requests / size:,.0f}" if size == 1 else f"{requests / size:.3g}{name}"


def schedule_words(found: Schedule, job_hours: float) -> str:
    """When to start a job, and what that saves."""
    best, first = found.best, found.first
    return (
        f"Start at {best.start}: {best.grams_per_kwh:.0f} g CO2e per kWh over {job_hours:g} h.\n"
        f"That saves {100 * found.saved_share(first.grams_per_kwh):.0f} % against starting at {first.start} "
        f"({first.grams_per_kwh:.0f} g), {100 * found.saved_share(found.mean_grams_per_kwh):.0f} % against the mean start "
        f"({found.mean_grams_per_kwh:.0f} g),\nand {100 * found.saved_share(found.worst.grams_per_kwh):.0f} % against the "
        f"worst, {found.worst.start} ({found.worst.grams_per_kwh:.0f} g). A job that draws the same power all the time is meant."
    )


# -- the plot ----------------------------------------------------------------------


def draw(found: TwoPlans, path: Path) -> None:
    save_figure(figure(found), path)


def figure(found: TwoPlans) -> Figure:
    """Cumulative CO2e against requests, with ranges as bands, the break-even and the deployment's own requests."""
    made, axes = new_figure()
    requests = axis_of(found)
    for plan, colour in zip((found.specialised, found.baseline), COLOURS, strict=False):
        if plan is not None:
            draw_plan(axes, plan, requests, colour)
    axes.axvline(
        found.requests,
        color="#444444",
        linewidth=1,
        linestyle=":",
        label=f"deployment: {count(found.requests)}",
    )
    pays_after = found.pays_after
    if pays_after is not None and pays_after.crossing:
        axes.axvline(
            pays_after.crossing, color="#b00020", linestyle="--", linewidth=1.2, label=f"break-even, {pays(pays_after).removeprefix('has paid for itself ')}",
        )  # fmt: skip
    if pays_after is not None and pays_after.value:
        last = pays_after.high if pays_after.high is not None else requests[-1]
        axes.axvspan(
            max(pays_after.low or 0, requests[0]), min(last, requests[-1]), color="#b00020", alpha=0.07
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(requests[0], requests[-1])
    axes.set_xlabel("requests, of all devices together")
    axes.set_ylabel("cumulative CO2e (kg), estimated")
    axes.set_title("Carbon of training, search and inference")
    axes.grid(alpha=0.3)
    made.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return made


def axis_of(found: TwoPlans) -> np.ndarray:
    """Numbers of requests around the break-even and the deployment's own."""
    marks = [found.requests]
    if found.pays_after is not None:
        marks += [mark for mark in (found.pays_after.crossing,) if mark]
    return np.geomspace(max(min(marks) / MARGIN, 1.0), max(marks) * MARGIN, POINTS)


def draw_plan(axes: Axes, plan: Plan, requests: np.ndarray, colour: str) -> None:
    totals = [plan.total_kg(float(number)) for number in requests]
    axes.plot(requests, [kg.value for kg in totals], color=colour, linewidth=1.8, label=plan.name)
    low, high = [kg.low for kg in totals], [kg.high for kg in totals]
    axes.fill_between(requests, low, high, color=colour, alpha=0.15, linewidth=0)
