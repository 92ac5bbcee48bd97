"""Pictures of fronts, written whole or not at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.registry import OF_A_DEVICE
from search.problem.objectives import Objective
from search.reports.figures.extents import is_spread, least_shown
from search.reports.units import amount, heading, scaled, short_number
from search.reports.words import how_known
from search.runs.results import evenly
from search.runs.study import Candidate
from supernet.atomic import whole
from supernet.printable import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from search.runs.results import Result

COLOURS = ("#0b6e99", "#d9730d", "#4d7c0f", "#ad1a72", "#6940a5", "#64473a")
PICTURE_FORMATS = ("png", "svg")
MOST_DRAWN = 10_000
"""Candidates that a picture shows; of more some are left out, evenly over the search, and that is told."""
MOST_ARROWS = 3
"""Of points of a front that are outside of a picture."""


def new_figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (8, 5.2)) -> tuple[Figure, Any]:
    """A figure without a display of so many inches, with its axes: one, or an array of rows and columns."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture in the format that its name ends with, ``.svg`` or else PNG."""
    import matplotlib

    svg = path.suffix.lower() == ".svg"
    told = {"Date": None} if svg else None  # the same figures are the same file
    with whole(path) as partial, matplotlib.rc_context({"svg.hashsalt": "oncefit"}):
        figure.savefig(partial, format="svg" if svg else "png", metadata=told)


def as_typed_texts(figure: Figure) -> Figure:
    """The figure, none of whose texts is read as a formula: a name may have dollar signs."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text(printable(text.get_text()))
    return figure


def draw_front(result: Result, path: Path) -> None:
    """Write what :func:`front_figure` shows."""
    save_figure(front_figure(result), path)


def front_figure(result: Result) -> Figure:
    """Accuracy against cost: every candidate, the front, the chosen one, and the budget; what is far off is told at the edge."""
    accuracy, cost = result.run.axes[:2]
    predictor = result.run.predictor
    figure, axes = new_figure()
    x = [scaled(cost.name, c.value(cost.name)) for c in result.candidates]
    y = [100 * c.value(accuracy.name) for c in result.candidates]
    kind = result.run.kind
    left, bottom = limit_axes(axes, result, accuracy, cost)
    hidden = sum(a < left or b < bottom for a, b in zip(x, y, strict=True))
    outside = f", {hidden} outside" if hidden else ""
    drawn = evenly(list(zip(x, y, strict=True)), MOST_DRAWN)
    outside += f", {len(drawn):,} drawn" if len(drawn) < len(x) else ""
    axes.scatter(
        *zip(*drawn, strict=True), s=14, color="#b0b0b0", label=f"candidates ({len(x)}{outside}), {kind}"
    )
    draw_steps(axes, result.front, accuracy, cost, COLOURS[0], f"front, {kind}", until=max(x))
    draw_predicted(axes, result, cost)
    draw_reported(axes, result, [c for c in result.shown if c.arch.id in result.reports], accuracy, cost)
    draw_corrected(axes, result, result.shown, accuracy, cost)
    axes.scatter(
        [scaled(cost.name, result.chosen.value(cost.name))], [100 * result.chosen.value(accuracy.name)],
        marker="*", s=260, color="#d9730d", edgecolor="black", zorder=5, label=f"chosen: {result.chosen.arch.id}",
    )  # fmt: skip
    limit = result.run.config.budgets.get(cost.name)
    if limit is not None:
        label = f"budget {amount(cost.name, limit)}"
        axes.axvline(scaled(cost.name, limit), color="#b00020", linestyle="--", linewidth=1.2, label=label)
    far = [c for c in result.front if scaled(cost.name, c.value(cost.name)) < left]
    draw_outside(axes, far, accuracy, cost)
    how = how_known(cost.name, result.run.power_meter)
    device = f", {how} for {result.run.where}" if cost.name in OF_A_DEVICE else ""
    axes.set_xlabel(heading(cost.name) + device)
    told = "" if result.run.measures or predictor is None else f", predicted by {predictor.card.name}"
    axes.set_ylabel(f"{accuracy.name.replace('top', 'top-')} (%){told}")
    axes.set_title(
        f"{result.run.supernet.name}: {len(result.candidates)} candidates by {result.run.config.sampler}"
    )
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return as_typed_texts(figure)


def limit_axes(axes: Axes, result: Result, accuracy: Objective, cost: Objective) -> tuple[float, float]:
    """Show what matters around the budget and the chosen; a front that was asked for whole is not cut. Returns the ends.

    Where an axis shows all, its end is minus infinity.
    """
    costs, accuracies = shown_costs(result, cost), shown_accuracies(result, accuracy, cost)
    if costs is not None:
        axes.set_xlim(*costs)
    elif is_spread([scaled(cost.name, c.value(cost.name)) for c in result.candidates]):
        as_logarithmic(axes)
    if accuracies is not None:
        axes.set_ylim(*accuracies)
    return costs[0] if costs else -math.inf, accuracies[0] if accuracies else -math.inf


def shown_costs(result: Result, cost: Objective) -> tuple[float, float] | None:
    """The costs around the budget of a search for one objective, scaled; None where a picture shows all."""
    if len(result.run.config.objectives) > 1:
        return None
    x = [scaled(cost.name, c.value(cost.name)) for c in result.candidates]
    limit = result.run.config.budgets.get(cost.name)
    budget = scaled(cost.name, limit) if limit is not None else max(x)
    least = least_shown(x, budget, [scaled(cost.name, result.chosen.value(cost.name))])
    if least <= min(x):
        return None
    room = (budget - least) / 4
    return least - room, budget + room / 3


def shown_accuracies(result: Result, accuracy: Objective, cost: Objective) -> tuple[float, float] | None:
    """The accuracies near the best (%), and all that is drawn of the front that is shown; None where a picture shows all."""
    if len(result.run.config.objectives) > 1:
        return None
    costs = shown_costs(result, cost)
    y = [100 * c.value(accuracy.name) for c in result.candidates]
    near = [c for c in result.front if costs is None or scaled(cost.name, c.value(cost.name)) >= costs[0]]
    always = [100 * c.value(accuracy.name) for c in near]
    always += [100 * found.value for found in result.corrected.values()]
    reports = [found for name, found in result.reports.items() if name in {c.arch.id for c in result.shown}]
    always += [100 * float(getattr(found, f"{accuracy.name}_low")) for found in reports]
    least = least_shown(y, max(y), always)
    if least <= min(y):
        return None
    top = max([*y, *(100 * float(getattr(found, f"{accuracy.name}_high")) for found in reports)])
    room = 0.08 * (top - least)
    return least - room, top + room


def as_logarithmic(axes: Axes) -> None:
    """A logarithmic axis of costs, whose ticks are plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def draw_outside(axes: Axes, far: Sequence[Candidate], accuracy: Objective, cost: Objective) -> None:
    """An arrow at the left edge for each of the last of the front's points that are left of it, with its figures."""
    if not far:
        return
    (left, _), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    apart, above = (top - bottom) / 16, bottom
    for i, one in enumerate(far[-MOST_ARROWS:]):
        value = 100 * one.value(accuracy.name)
        above = max(value, above + apart) if i else max(value, bottom + apart)
        more = f" (+{len(far) - MOST_ARROWS} more)" if i == 0 and len(far) > MOST_ARROWS else ""
        axes.plot(
            [0.012], [above], marker="<", markersize=6, color=COLOURS[0], transform=axes.get_yaxis_transform(),
            clip_on=False, zorder=6,
        )  # fmt: skip
        axes.annotate(
            f"{amount(cost.name, one.value(cost.name))}: {value:.2f} %{more}", (left, above), xytext=(9, 3),
            textcoords="offset points", va="bottom", fontsize=7.5, color=COLOURS[0], zorder=6,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip


def draw_steps(
    axes: Axes,
    front: Sequence[Candidate],
    accuracy: Objective,
    cost: Objective,
    colour: str,
    label: str,
    until: float | None = None,
) -> None:
    """A front as a staircase: what is reached with at most this cost; its last step goes on ``until`` there."""
    x = [scaled(cost.name, c.value(cost.name)) for c in front]
    y = [100 * c.value(accuracy.name) for c in front]
    corners = list(range(len(x)))
    if until is not None:
        x, y = [*x, until], [*y, y[-1]]
    axes.step(
        x, y, where="post", color=colour, linewidth=1.6, marker="o", markersize=4, markevery=corners, label=label
    )  # fmt: skip


def draw_predicted(axes: Axes, result: Result, cost: Objective) -> None:
    """What was predicted of subnets that were then measured."""
    pairs = [(c, c.predicted) for c in result.candidates if c.predicted is not None]
    if result.run.measures and pairs:
        axes.scatter(
            [scaled(cost.name, c.value(cost.name)) for c, _ in pairs], [100 * p.top1 for _, p in pairs],
            marker="_", s=50, color=COLOURS[3], label="predicted",
        )  # fmt: skip


def draw_corrected(
    axes: Axes, result: Result, shown: Sequence[Candidate], accuracy: Objective, cost: Objective
) -> None:
    """Validation accuracy without what the choice by it added, below what it was before."""
    pairs = [(c, result.corrected[c.arch.id]) for c in shown if c.arch.id in result.corrected]
    if not pairs:
        return
    x = [scaled(cost.name, c.value(cost.name)) for c, _ in pairs]
    y = [100 * found.value for _, found in pairs]
    axes.vlines(
        x, y, [100 * c.value(accuracy.name) for c, _ in pairs], color=COLOURS[3], linestyle=":", zorder=4
    )
    among = max(found.among for _, found in pairs)
    axes.scatter(
        x, y, marker="D", s=30, facecolor="white", edgecolor=COLOURS[3], linewidth=1.3, zorder=6,
        label=f"corrected for the luck of the best of {among} (winner's curse)",
    )  # fmt: skip


def draw_reported(
    axes: Axes, result: Result, reported: Sequence[Candidate], accuracy: Objective, cost: Objective
) -> None:
    """Report-split accuracy with its 95 % interval."""
    if not reported:
        return
    found = [result.reports[c.arch.id] for c in reported]
    y = [100 * float(getattr(a, accuracy.name)) for a in found]
    low = [v - 100 * float(getattr(a, f"{accuracy.name}_low")) for v, a in zip(y, found, strict=True)]
    high = [100 * float(getattr(a, f"{accuracy.name}_high")) - v for v, a in zip(y, found, strict=True)]
    axes.errorbar(
        [scaled(cost.name, c.value(cost.name)) for c in reported], y, yerr=[low, high],
        fmt="s", markersize=4, capsize=3, color="#444444", linewidth=1, label="report split, 95 % interval",
    )  # fmt: skip
