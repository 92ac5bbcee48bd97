"""What was found: the chosen subnet, beside its budgets and the largest one."""

from __future__ import annotations

from cost_models.registry import OF_A_DEVICE
from search.reports import report
from search.reports import words as readable
from search.reports.page.blocks import (
    PageBlock,
    Section,
    Tile,
    Tiles,
    Words,
    brackets_told,
    of_lines,
)
from search.reports.page.candidate_sections import costs_of_arch
from search.reports.units import amount, counted, heading, percent, predicted_percent
from search.runs.config import BOTH
from search.runs.results import Result


def what_was_found(result: Result) -> Section:
    blocks: list[PageBlock] = []
    if alarm := report.alarm(result):
        blocks.append(Words([" ".join(alarm.split())], loud=True))
    if (told := unfinished(result)) is not None:
        blocks.append(Words([told], loud=True))
    blocks.append(
        Tiles([accuracy_tile(result), *budget_tiles(result), *saving_tiles(result), effort_tile(result)])
    )
    told = " ".join(report.legend(result).split()).removeprefix("* ")
    blocks.append(Words([told[0].upper() + told[1:]]))
    figures = report.subnet_lines(result, result.chosen)
    blocks.append(
        of_lines(
            f"The chosen subnet, {result.chosen.arch.id}",
            figures,
            brackets_told(row for rows in figures for row in rows),
        )
    )
    return Section("result", "Result", blocks)


def unfinished(result: Result) -> str | None:
    """How far a search is that has not ended; None where it has."""
    run = result.run
    done, of = len(result.candidates) + len(result.raced), run.config.trials
    if run.config.accuracy == BOTH:
        of = run.config.measure
    elif report.direct(result):
        return None
    if done >= of or result.stopped is not None:
        return None
    return f"So far: {done:,} of {counted(of, 'candidate')}. The same oncefit search goes on with it."


def accuracy_tile(result: Result) -> Tile:
    """The best known accuracy: on images that the search never saw, else as it decided."""
    name, run = result.run.axes[0].name, result.run
    called, chosen = report.name_of(run), result.chosen
    if (found := result.reports.get(chosen.arch.id)) is not None:
        value, _, interval = percent(found, name).partition(" ")
        return Tile(
            f"{called} on images the search never saw, measured", f"{value} %", f"95 % interval {interval}"
        )
    if chosen.validation is not None:
        value, _, interval = percent(chosen.validation, name).partition(" ")
        return Tile(f"{called} on the validation split, measured", f"{value} %", f"95 % interval {interval}")
    if chosen.predicted is not None:
        value, _, spread = predicted_percent(chosen.predicted).partition(" ")
        return Tile(f"{called}, predicted", f"{value} %", f"{spread} points, nine in ten" if spread else "")
    return Tile(f"{called} by your own evaluation", f"{100 * chosen.value(name):.2f} %")


def budget_tiles(result: Result) -> list[Tile]:
    """What the chosen costs, beside each budget; without budgets in what the search was for."""
    run = result.run
    limits = run.config.budgets
    found = []
    for name in dict.fromkeys([*limits, *(o.name for o in run.axes[1:])]):
        latency = report.measured_latency(result, result.chosen) if name == "latency_ms" else None
        how = (
            f"{readable.how_known(name, run.power_meter)} for {run.where}"
            if name in OF_A_DEVICE
            else "computed"
        )
        measured = f"; measured {readable.of_latency(latency)[1]} ms" if latency is not None else ""
        allowed = f"of {amount(name, limits[name])} allowed; " if name in limits else ""
        value = result.chosen.value(name)
        found.append(Tile(heading(name).partition(" (")[0], amount(name, value), f"{allowed}{how}{measured}"))
    return found


def saving_tiles(result: Result) -> list[Tile]:
    """What it takes of what the largest subnet does, in the first budget or objective."""
    name = result.run.axes[1].name
    whole = costs_of_arch(result.run, result.run.supernet.space.largest()).get(name)
    if not whole:
        return []
    share = 100 * result.chosen.value(name) / whole
    label = f"of the largest subnet's {heading(name).partition(' (')[0]}"
    return [
        Tile(
            label, f"{share:.0f} %" if share < 1000 else f"{share:,.0f} %", f"which is {amount(name, whole)}"
        )
    ]


def effort_tile(result: Result) -> Tile:
    run = result.run
    what = "measured" if run.measures else "kept" if run.predictor is not None else "evaluated"
    asked = "predicted" if report.direct(result) else "proposed"
    stopped = f", {len(result.raced):,} more stopped early" if result.raced else ""
    return Tile(f"candidates {what}", f"{len(result.candidates):,}", f"{result.proposals:,} {asked}{stopped}")
