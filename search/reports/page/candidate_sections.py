"""The candidates and their front, and the chosen subnet beside both ends of the space."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from search.reports import report
from search.reports import words as readable
from search.reports.comparing.significance import Verdict
from search.reports.comparing.verdict_words import difference_told, sentence
from search.reports.page import charts
from search.reports.page.blocks import (
    Grid,
    Section,
    brackets_told,
)
from search.reports.units import heading
from search.runs.results import Result
from search.runs.run import Run
from search.runs.study import VALIDATION, Candidate, saved
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch
from supernet.errors import InputError

if TYPE_CHECKING:
    import optuna


MOST_ROWS = 300
"""Candidates in the table; of more the front and the most accurate are shown."""


def costs_of_arch(run: Run, arch: Arch) -> dict[str, float]:
    """The costs of an arch that can be had here: a function that was given in Python may not be."""
    found = {}
    for name, cost in run.costs.items():
        try:
            found[name] = cost(arch)
        except InputError:
            continue
    return found


def the_front(result: Result, texts: Mapping[int, str]) -> Section:
    shown, of = candidates_shown(result)
    note = "A star: the chosen subnet. A column is sorted where its heading is pressed. "
    if len(shown) < of:
        note += f" The front and the most accurate of {of:,} candidates; front.csv and the study have all."
    front = {c.number for c in result.front}
    lines = [dict(row for rows in report.subnet_lines(result, c) for row in rows) for c in shown]
    headings = list(
        dict.fromkeys(name for one in lines for name in one)
    )  # the chosen is first, of which most is known
    rows = [
        [c.arch.id + (" ★" if c == result.chosen else ""), str(c.number), "yes" if c.number in front else "no",
         *(one.get(name, "-") for name in headings)]
        for c, one in zip(shown, lines, strict=True)
    ]  # fmt: skip
    note = f"{brackets_told(row for one in lines for row in one.items())} {note}".strip()
    marked = frozenset(i for i, c in enumerate(shown) if c == result.chosen)
    table = Grid("Candidates", ["arch", "trial", "front", *headings], rows, note, True, marked, True)
    return Section("front", "Candidates and front", [charts.front_chart(result, texts), table])


def candidates_shown(result: Result) -> tuple[list[Candidate], int]:
    """The chosen and the front, then the most accurate of the others, and of how many."""
    first = {c.number: c for c in [result.chosen, *result.shown]}
    rest = sorted(result.candidates, key=lambda c: -c.value(result.run.axes[0].name))
    every = {**first, **{c.number: c for c in rest}}
    return list(every.values())[: max(MOST_ROWS, len(first))], len(every)


def against_the_ends(result: Result, study: optuna.Study, verdicts: Mapping[str, Verdict]) -> Section:
    """The chosen beside the smallest and the largest subnet of the space."""
    run = result.run
    space = run.supernet.space
    measured = saved(study, VALIDATION)
    archs = {"smallest": space.smallest(), "chosen": result.chosen.arch, "largest": space.largest()}
    columns = {
        name: dict(row for rows in lines_of_arch(result, arch, measured) for row in rows)
        for name, arch in archs.items()
    }
    names = list(dict.fromkeys(name for one in ("chosen", *columns) for name in columns[one]))
    rows = [[name, *(one.get(name, "-: not known") for one in columns.values())] for name in names]
    if any(arch.id in verdicts for arch in archs.values()):
        told = [told_difference(verdicts.get(arch.id)) for arch in archs.values()]
        rows.insert(1, [f"{report.name_of(run)}, less the chosen's (points)", *told])
    whole, mine = costs_of_arch(run, archs["largest"]), result.chosen.costs
    shares = [
        [
            f"{heading(name).partition(' (')[0]}, chosen / largest (%)",
            "",
            f"{100 * mine[name] / whole[name]:.1f}",
            "100",
        ]
        for name in mine
        if whole.get(name)
    ]
    table = Grid(
        "Smallest, chosen and largest subnet", ["", *(f"{name} {arch.id}" for name, arch in archs.items())],
        [*rows, *shares], f"{brackets_told(rows)} {ends_note(result, archs.values())}".strip(),
    )  # fmt: skip
    return Section("ends", "Against the largest and the smallest", [table])


def told_difference(verdict: Verdict | None) -> str:
    """A difference from the chosen, and what is said of it."""
    return f"{difference_told(verdict)}: {sentence(verdict)}" if verdict is not None else "-"


def ends_note(result: Result, archs: Iterable[Arch]) -> str:
    """How what is not known of the ends can be; empty where all is."""
    run = result.run
    if not run.measures or all(arch.id in result.reports for arch in archs):
        return ""
    command = shlex.join(["oncefit", "report", str(run.folder), "--measure-ends"])
    return f"{command} measures the smallest and the largest subnet on the same report images."


def lines_of_arch(result: Result, arch: Arch, validation: Mapping[str, Accuracy]) -> list[readable.Lines]:
    """All that is known of an arch, be it a candidate or not; ``validation`` are accuracies that were measured apart."""
    run = result.run
    candidate = next((c for c in result.candidates if c.arch == arch), None)
    if candidate is not None:
        return report.subnet_lines(result, candidate)
    costs = costs_of_arch(run, arch)
    found = {
        "report split": result.reports.get(arch.id),
        "validation": validation.get(arch.id),
    }
    accuracies = {name: one for name, one in found.items() if one is not None}
    predicted = None
    if run.predictor is not None:
        [predicted] = run.predictor.predict(run.problem.space, run.problem.space.encode([arch]))
    known = Candidate(-1, arch, costs, predicted=predicted)
    return readable.of_subnet(
        accuracies, costs, run.where, predicted, run.stds(arch) if "latency_ms" in costs else None, run.ranges(known),
        power_meter=run.power_meter,
    )  # fmt: skip
