"""Whether runs differ, as tables for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.problem.objectives import Objective
from search.reports.comparing.significance import NOT_TOLD_APART, Side, Significance, Verdict
from search.reports.comparing.verdict_words import difference_told, needs_runs, told_below, two_digits_up
from search.reports.units import counted, heading, scaled, short_number

if TYPE_CHECKING:
    from rich.table import Table

VERDICT_COLUMNS = 80
NEEDED_TOLD = "Needed: so many images, or runs of each, to show a difference as large."


def verdict_tables(found: Significance, accuracy: Objective, cost: Objective) -> list[Table]:
    """A table for every side but the one that they are held against, a row for every respect; at most 80 columns."""
    if found.why_not is not None or not found.verdicts:
        return []
    *_, last = found.sides
    return [
        verdict_table(found, side, NEEDED_TOLD if side is last else None, accuracy, cost)
        for side in found.sides[1:]
    ]


def verdict_table(
    found: Significance, side: Side, below: str | None, accuracy: Objective, cost: Objective
) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    base, named = found.sides[0].label, accuracy.name.replace("top", "top-")
    caption = "\n".join([*told_below(found), below]) if below is not None else None
    made = Table(
        box=box.SIMPLE_HEAD,
        title=Text(
            f"{side.label} against {base}\n"
            f"on {counted(found.images, 'report image')}: {named}, and budgets of {heading(cost.name)}"
        ),
        title_justify="left",
        caption=caption,
        caption_justify="left",
        min_width=VERDICT_COLUMNS,
    )
    for name in ("of", "difference", "verdict", "needed"):
        made.add_column(name, no_wrap=True, justify="right" if name == "needed" else "left")
    for verdict in (one for one in found.verdicts if one.new == side.label):
        word = verdict.word if verdict.word is not None else "not compared"
        cells = (briefly_about(verdict, cost), difference_told(verdict), word, needed_cell(verdict))
        made.add_row(*map(Text, cells))
    return made


def briefly_about(verdict: Verdict, cost: Objective) -> str:
    """``hypervolume``, ``chosen subnet``, ``within 1.85`` in the unit of the table's title."""
    if verdict.budget is None:
        return verdict.about
    return f"within {short_number(scaled(cost.name, verdict.budget))}"


def needed_cell(verdict: Verdict) -> str:
    """``150,000``, ``12 runs``, ``more of both``, or nothing where it is told apart, or none is ahead."""
    found, more = verdict.difference, verdict.needed
    if found is None or more is None or verdict.word != NOT_TOLD_APART:
        return ""
    if needs_runs(verdict) and more.runs is not None:
        return counted(more.runs, "run")
    return f"{two_digits_up(more.images):,}" if more.images is not None else "more of both"
