"""Which member of a front to ship: what each saves against the chosen subnet, what it loses, and whether that is real."""

from __future__ import annotations

from collections.abc import Mapping

from search.reports import report
from search.reports.comparing.paired_tests import SIGNIFICANCE_LEVEL, Difference, tango
from search.reports.comparing.significance import NOT_TOLD_APART, Verdict
from search.reports.comparing.verdict_words import difference_told, sentence
from search.reports.page.blocks import Grid, Section, Words
from search.reports.units import amount, counted, heading, percent, scaled, short_number
from search.runs.results import Result
from search.runs.study import Candidate

HOW_SURE = (
    "On the same report images, by which nothing was chosen. In brackets: the 95 % interval, of each difference by itself; verdicts are "
    "at most 5 % false together (McNemar's exact test, Holm)."
)


def which_to_ship(result: Result, verdicts: Mapping[str, Verdict]) -> list[Section]:
    """One section for a search for a front; none where no other member's report images are known."""
    if len(result.run.config.objectives) < 2 or not any(c.arch.id in verdicts for c in result.front):
        return []
    cost, name = result.run.axes[1].name, report.name_of(result.run)
    members = {c.arch.id: c for c in [*result.front, result.chosen]}.values()
    shown = sorted(members, key=lambda c: -c.value(cost))
    rows = [
        [
            one.arch.id + ("\u00a0★" if one == result.chosen else ""), short_number(scaled(cost, one.value(cost))),
            share_of_chosen(result, one), percent(result.reports.get(one.arch.id), result.run.axes[0].name),
            *told_of_member(result, one, verdicts.get(one.arch.id)),
        ]
        for one in shown
    ]  # fmt: skip
    heads = [
        "arch", heading(cost), "of the chosen's (%)", f"{name} (%), report split", f"{name} less the chosen's (points)", "verdict",
    ]  # fmt: skip
    marked = frozenset(i for i, one in enumerate(shown) if one == result.chosen)
    table = Grid("The front against the chosen subnet", heads, rows, HOW_SURE, True, marked)
    return [Section("ship", "Which one to ship", [Words([cheapest_alike(result, verdicts)]), table])]


def share_of_chosen(result: Result, one: Candidate) -> str:
    """What it costs, in per cent of what the chosen does."""
    cost = result.run.axes[1].name
    whole = result.chosen.value(cost)
    return f"{100 * one.value(cost) / whole:.0f}" if whole else "-"


def told_of_member(result: Result, one: Candidate, verdict: Verdict | None) -> tuple[str, str]:
    """The difference from the chosen, and whether it is real."""
    if verdict is not None:
        return difference_told(verdict), sentence(verdict)
    return "-", "the chosen" if one == result.chosen else "not measured on report images"


def cheapest_alike(result: Result, verdicts: Mapping[str, Verdict]) -> str:
    """The cheapest member of the front that images do not show to be worse than the chosen, and how much worse it may be."""
    cost, name = result.run.axes[1].name, report.name_of(result.run)
    cheaper = [c for c in result.front if c.value(cost) < result.chosen.value(cost)]
    known = [c for c in cheaper if c.arch.id in verdicts]
    alike = [c for c in known if verdicts[c.arch.id].word != "worse"]
    of = (
        ""
        if len(known) == len(cheaper)
        else f" that was measured on report images ({len(known)} of {len(cheaper)})"
    )
    if not known:
        return f"No cheaper member of the front than the chosen, {result.chosen.arch.id}, was measured on report images."
    if not alike:
        return f"Every cheaper member of the front{of} is less accurate than the chosen, {result.chosen.arch.id}, by more than luck."
    one = min(alike, key=lambda c: c.value(cost))
    verdict = verdicts[one.arch.id]
    found = verdict.difference
    assert found is not None
    low = simultaneous_low(found, len(verdicts))
    how = "cannot be told apart from" if verdict.word == NOT_TOLD_APART else "is better than"
    may = (
        f": it is at most {-100 * low:.2f} points worse, with 95 % confidence for all rows together"
        if low < 0
        else ""
    )
    return (
        f"The cheapest of the front{of} that is not clearly worse is {one.arch.id} with {amount(cost, one.value(cost))}, "
        f"{share_of_chosen(result, one)} % of what the chosen has. On {counted(found.images, 'report image')} its {name} {how} that of "
        f"the chosen, {result.chosen.arch.id}{may}."
    )


def simultaneous_low(found: Difference, comparisons: int) -> float:
    """The lower end of an interval that holds with all others of as many comparisons (Bonferroni): one of them was picked."""
    ahead = round(found.value * found.images)
    only_base, only_new = (found.differing - ahead) // 2, (found.differing + ahead) // 2
    return tango(only_base, only_new, found.images, 1 - SIGNIFICANCE_LEVEL / comparisons)[0]
