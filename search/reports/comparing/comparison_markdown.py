"""A comparison as Markdown: a summary for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from search.reports.comparing.compare import Comparison, cell
from search.reports.comparing.verdict_words import (
    about_told,
    depends,
    difference_told,
    order_told,
    sentence,
    significance_advice,
    told_below,
)
from search.reports.comparing.worse import Judged
from search.reports.units import counted, heading, scaled
from supernet.printable import printable

MARKS = re.compile(r"[\\`*_|>\[\]~!$]")
"""What Markdown takes for its own, on the pages that show it beside a pull request."""


def to_markdown(comparison: Comparison, judgements: Sequence[Judged] = ()) -> str:
    """What was asked, if a run is worse; then verdicts, fronts and the best accuracies within budgets."""
    accuracy, cost = comparison.axes
    found, folders = comparison.significance, [str(one.run.folder) for one in comparison.runs]
    named = accuracy.name.replace("top", "top-")
    parts = [
        f"### oncefit: {escaped(', '.join(side.label for side in found.sides[1:]))} against {escaped(found.sides[0].label)}"
    ]
    parts += [
        bullets(
            f"**{'FAILED' if one.worse else 'passed'}**: {escaped(f'{one.new}: {one.told}')}"
            for one in judgements
        )
    ]
    if found.verdicts:
        rows = [
            (one.new, about_told(one, accuracy, cost), difference_told(one), sentence(one))
            for one in found.verdicts
        ]
        parts += [
            f"On {counted(found.images, 'report image')}:",
            markdown_table(("run", "of", "difference", "verdict"), rows),
        ]
        parts += [" ".join(told_below(found))]
    parts += [" ".join(significance_advice(found, folders))]
    fronts = [
        (
            one.label,
            str(len(one.front)),
            f"{one.coverage.hypervolume:.4f}" if one.coverage is not None else "-",
        )
        for one in comparison.runs
    ]
    parts += [markdown_table(("run", "front", "hypervolume"), fronts)]
    if comparison.orders:
        told = order_told(comparison.orders, [one.label for one in comparison.runs])
        parts += [f"**{escaped(told)}**" if depends(comparison.orders) else escaped(told)]
    budgets = list(comparison.runs[0].best_at)
    best = [
        (one.label, *("-" if c is None else cell(one.run, c, comparison.axes).replace("\n", " ") for c in one.best_at.values()))
        for one in comparison.runs
    ]  # fmt: skip
    parts += [
        f"Best {named} (%) {comparison.kind} within budgets of {heading(cost.name)}:",
        markdown_table(("run", *(f"{scaled(cost.name, budget):.4g}" for budget in budgets)), best),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *(tuple(map(escaped, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def escaped(text: str) -> str:
    """Names as they are: a path may hold what Markdown and HTML would take for theirs."""
    text = printable(" ".join(text.splitlines())).replace("&", "&amp;").replace("<", "&lt;")
    return MARKS.sub(r"\\\g<0>", text)
