"""The page of several runs: their fronts in one chart, and the tables of a comparison."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from search.reports import report
from search.reports.comparing import compare
from search.reports.comparing.significance import CHOSEN, Verdict
from search.reports.comparing.verdict_tables import verdict_tables
from search.reports.comparing.verdict_words import (
    about_told,
    depends,
    difference_told,
    order_told,
    sentence,
    significance_advice,
)
from search.reports.page.blocks import (
    Chart,
    Code,
    Grid,
    Page,
    PageBlock,
    Section,
    Words,
    brackets_told,
    in_chart,
    of_lines,
    of_table,
)
from search.reports.page.candidate_sections import the_front
from search.reports.page.charts import front_figure_of, texts_of
from search.reports.page.question_section import what_was_searched
from search.reports.page.result_section import what_was_found
from search.reports.page.run_page import footer
from search.reports.units import amount, heading
from search.runs.results import Result
from search.runs.study import Candidate


def page_of_comparison(found: compare.Comparison, results: Sequence[Result]) -> Page:
    """Fronts side by side, the chosen of each run, and what each run was asked; ``results`` are in the comparison's order."""
    labels = [one.label for one in found.runs]
    sections = [
        which_is_better(found),
        Section("chosen", "The chosen subnet of each run", [chosen_grid(labels, results)]),
        Section("comparison", "Fronts", [fronts_chart(found, results), *fronts_told(found)]),
        questions(labels, results),
        Section("again", "Do it again", [Code("The same comparison anew", command_of(found))]),
    ]
    for i, (label, result) in enumerate(zip(labels, results, strict=True)):
        sections.append(of_one(f"run{i + 1}", label, result))
    return Page("oncefit: comparison", ", ".join(labels), sections, footer())


def which_is_better(found: compare.Comparison) -> Section:
    """Whether runs differ by more than luck: the chosen subnets in a sentence each, then every verdict."""
    significance, folders = found.significance, [str(one.run.folder) for one in found.runs]
    chosen = [told_chosen(found, verdict) for verdict in significance.about(CHOSEN)]
    advice = significance_advice(significance, folders)
    blocks: list[PageBlock] = [Words(chosen)] if chosen else []
    blocks += [Words(advice, loud=True)] if advice else []
    blocks += [of_table(table, sortable=True) for table in verdict_tables(significance, *found.axes)]
    return Section("better", "Which is better", blocks)


def told_chosen(found: compare.Comparison, verdict: Verdict) -> str:
    """A side's chosen subnet against the base's: the difference, whether it is real, and what each costs."""
    accuracy, cost = found.axes
    pair = [
        next(side for side in found.significance.sides if side.label == name)
        for name in (verdict.new, verdict.base)
    ]
    costs = ""
    if all(len(side.runs) == 1 for side in pair):
        new, base = (amount(cost.name, found.runs[side.runs[0]].chosen.value(cost.name)) for side in pair)
        costs = f" Its chosen subnet has {new}, that of {verdict.base} {base}."
    difference = f"{difference_told(verdict)} points, " if verdict.difference is not None else ""
    return f"{verdict.new} against {verdict.base}: {about_told(verdict, accuracy, cost)} {difference}{sentence(verdict)}.{costs}"


def fronts_told(found: compare.Comparison) -> list[PageBlock]:
    """The tables of fronts, and whether the order of their hypervolumes is one."""
    blocks: list[PageBlock] = [of_table(table, sortable=True) for table in compare.front_tables(found)]
    if found.orders:
        told = order_told(found.orders, [one.label for one in found.runs])
        blocks.insert(1, Words([told], loud=depends(found.orders)))
    return blocks


def fronts_chart(found: compare.Comparison, results: Sequence[Result]) -> Chart:
    accuracy, cost = found.axes
    fronts = [
        (one.label, one.front, [told_in(one.label, result, c) for c in one.front])
        for one, result in zip(found.runs, results, strict=True)
    ]
    y = f"{accuracy.name.replace('top', 'top-')} (%) {found.kind}"
    told = (
        "Each line is the front of a run; higher and further left is better."
        if found.one_axis
        else "Fronts side by side, each on its own device: none is said to dominate another."
    )
    figure = front_figure_of(fronts, found.axes, heading(cost.name), y)
    return Chart("fronts", "Fronts compared", figure, told)


def told_in(label: str, result: Result, candidate: Candidate) -> str:
    lines = [
        f"{in_chart(name)}: {in_chart(figure)}"
        for rows in report.subnet_lines(result, candidate)
        for name, figure in rows
    ]
    return "<br>".join([f"<b>arch {in_chart(candidate.arch.id)}</b> of {in_chart(label)}", *lines])


def chosen_grid(labels: Sequence[str], results: Sequence[Result]) -> Grid:
    columns = [dict(row for rows in report.subnet_lines(one, one.chosen) for row in rows) for one in results]
    names = list(dict.fromkeys(name for one in columns for name in one))
    rows = [["arch", *(one.chosen.arch.id for one in results)]]
    rows += [[name, *(one.get(name, "-") for one in columns)] for name in names]
    return Grid("Figures", ["", *labels], rows, brackets_told(rows))


def questions(labels: Sequence[str], results: Sequence[Result]) -> Section:
    """What each run was asked, one table a run."""
    blocks: list[PageBlock] = []
    for label, result in zip(labels, results, strict=True):
        first = what_was_searched(result.run, result.run.study()).blocks[0]
        if isinstance(first, Grid):
            blocks.append(of_lines(label, [[(row[0], row[1]) for row in first.rows]]))
    return Section("question", "What was searched", blocks)


def of_one(name: str, label: str, result: Result) -> Section:
    """The result and the front of one of the runs, under names of its own."""
    front = the_front(result, texts_of(result))
    blocks = [
        Chart(f"{name}-{block.name}", block.title, block.figure, block.told, block.axes)
        if isinstance(block, Chart)
        else block
        for block in (*what_was_found(result).blocks, *front.blocks)
    ]
    return Section(name, f"Run {label}", blocks)


def command_of(found: compare.Comparison) -> str:
    folders = [str(one.run.folder) for one in found.runs]
    budgets = [part for budget in found.runs[0].best_at for part in ("--at", f"{budget:g}")]
    return shlex.join(["oncefit", "compare", *folders, "--cost", found.axes[1].name, *budgets])
