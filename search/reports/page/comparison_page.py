"""The page of several runs: their fronts in one chart, and the tables of a comparison."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from search.reports import report
from search.reports.comparing import compare
from search.reports.page.blocks import (
    Chart,
    Code,
    Grid,
    Page,
    PageBlock,
    Section,
    in_chart,
    of_lines,
    of_table,
)
from search.reports.page.candidate_sections import the_front
from search.reports.page.charts import front_figure_of, texts_of
from search.reports.page.question_section import what_was_searched
from search.reports.page.result_section import what_was_found
from search.reports.page.run_page import footer
from search.reports.units import heading
from search.runs.run import Result
from search.runs.study import Candidate


def page_of_comparison(found: compare.Comparison, results: Sequence[Result]) -> Page:
    """Fronts side by side, the chosen of each run, and what each run was asked; ``results`` are in the comparison's order."""
    labels = [one.label for one in found.runs]
    sections = [
        Section("comparison", "Fronts", [fronts_chart(found, results), *tables_of(found)]),
        Section("chosen", "The chosen subnet of each run", [chosen_grid(labels, results)]),
        questions(labels, results),
        Section("again", "Do it again", [Code("The same comparison anew", command_of(found))]),
    ]
    for i, (label, result) in enumerate(zip(labels, results, strict=True)):
        sections.append(of_one(f"run{i + 1}", label, result))
    return Page("oncefit: comparison", ", ".join(labels), sections, footer())


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


def tables_of(found: compare.Comparison) -> list[PageBlock]:
    """The tables that the terminal shows."""
    return [of_table(table, sortable=True) for table in compare.tables(found)]


def chosen_grid(labels: Sequence[str], results: Sequence[Result]) -> Grid:
    columns = [dict(row for rows in report.subnet_lines(one, one.chosen) for row in rows) for one in results]
    names = list(dict.fromkeys(name for one in columns for name in one))
    rows = [["arch", *(one.chosen.arch.id for one in results)]]
    rows += [[name, *(one.get(name, "-") for one in columns)] for name in names]
    return Grid("Figures", ["", *labels], rows, "In brackets: the 95 % interval.")


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
