"""Subnets of one run against the one that it chose: on the report images, as far as it is kept which of them they get right."""

from __future__ import annotations

from search.reports.comparing.paired_tests import paired_difference
from search.reports.comparing.significance import Verdict, adjusted, each_unpacked
from search.runs.report_hits import report_hits
from search.runs.results import Result

OF_RUN = "subnet of the run"


def against_chosen(result: Result) -> dict[str, Verdict]:
    """By arch id, every member of the front and both ends of the space less the chosen; p-values are for all of them together.

    Empty where accuracies are not measured, or it is not kept which images the chosen gets right.
    """
    if not result.run.measures:
        return {}
    kept = report_hits(result.run, result.run.study())
    [bits] = each_unpacked([kept.of], kept.images)
    space, chosen = result.run.supernet.space, result.chosen.arch.id
    others = dict.fromkeys(
        arch.id for arch in (*(c.arch for c in result.front), space.smallest(), space.largest())
    )
    known = [name for name in others if name != chosen and name in bits]
    if chosen not in bits:
        return {}
    made = [
        Verdict(OF_RUN, chosen, name, difference=paired_difference(bits[chosen], bits[name]))
        for name in known
    ]
    return {one.new: one for one in adjusted(made)}
