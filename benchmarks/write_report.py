"""docs/benchmarks.md from what the benchmarks measured: runs/benchmarks/*.json.

    python benchmarks/write_report.py [--out FILE]

A section without results here stays as the page has it; one that the page lacks too is left out, with a sentence
that says how to get it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cheap_front
import expensive_oracle
import measured_search
import one_budget
import overhead
from oracles import ORACLES, WORDS
from peers import EVALUATIONS, POPULATION
from results import OUT, Row, read

from search.reports.units import counted
from supernet import documents

REPORT = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HELD = {True: "yes", False: "**no**", None: "not run"}

INTRODUCTION = """# Searches side by side

Ours and others, one after the other: the same predictors, the same costs, the same budgets,
several seeds. Figures are medians, with the least and the greatest in brackets. Accuracies are
predicted, not measured, where a section does not say otherwise. Written by `python benchmarks/write_report.py`.
"""


@dataclass(frozen=True)
class Section:
    """A heading, the benchmark whose results it shows, and what it says of their rows."""

    title: str
    benchmark: str
    text: Callable[[Sequence[Row]], list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=REPORT)
    given = parser.parse_args()
    before = given.out.read_text() if given.out.exists() else ""
    documents.write_text(given.out, report(SECTIONS, before))
    print(given.out)


def report(sections: Iterable[Section], before: str = "") -> str:
    """The whole page; ``before`` is what it was."""
    parts, missing, kept = [INTRODUCTION], [], by_title(before)
    for section in sections:
        file = OUT / f"{section.benchmark}.json"
        if not file.exists() and section.title in kept:
            parts.append(kept[section.title])
            continue
        if not file.exists():
            missing.append(
                f"Not here, as it was not run: {section.title.lower()} (`python benchmarks/{section.benchmark}.py`)."
            )
            continue
        found = read(file)
        lines = [f"## {section.title}", "", made_on(found), "", *section.text(found["rows"])]
        parts.append("\n".join(lines) + "\n")
    return "\n".join([*parts, *missing]).rstrip("\n") + "\n"


def by_title(page: str) -> dict[str, str]:
    """The sections of a page that was written before."""
    _, *parts = page.split("\n## ")
    return {part.partition("\n")[0]: f"## {part.rstrip()}\n" for part in parts}


def made_on(found: dict[str, Any]) -> str:
    """The command's machine, versions and dates."""
    machine, dates = found["machine"], sorted({row["date"] for row in found["rows"]})
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"{machine['cpu']}, {counted(machine['cores'], 'core')}, {when}; {versions}."


def markdown(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    rows = [heads, ["---"] * len(heads), *lines]
    return [f"| {' | '.join(row)} |" for row in rows]


def oracles_of(rows: Iterable[Row]) -> list[str]:
    there = {row["oracle"] for row in rows}
    return [name for name in ORACLES if name in there]


def oracle_words(names: Iterable[str]) -> list[str]:
    return [f"- `{name}`: {WORDS[name]}" for name in names]


# -- the sections ------------------------------------------------------------------


def one_budget_text(rows: Sequence[Row]) -> list[str]:
    names = oracles_of(rows)
    there = {row["peer"] for row in rows}
    given = {name: number for name, number in one_budget.EVALUATIONS.items() if number and name in there}
    said = ", ".join(f"{name} {number:,}" for name, number in given.items()) or "none was run"
    heads = ("oracle", "budget", *one_budget_claims(rows, names))
    held = [
        (oracle, budget, *map(HELD.get, of.values()))
        for oracle, budget, of in one_budget.verdicts(rows, names)
    ]
    return [
        "The most accurate arch within one budget.",
        "",
        *oracle_words(names),
        "",
        f"`ofa` is its `EvolutionFinder` with its defaults, 100 archs and 500 generations, on the same costs as ours. "
        f"The others predict as many archs as they are given: {said}. The ratio is of a search's CPU seconds to ours; "
        "the gaps, of the median and of the worst seed, are to the best that is known (`benchmarks/best_known.json`), in points. The numbers of our "
        "waves of annealing were chosen on seeds 100 to 106, which are not among the seeds below.",
        "",
        *markdown(one_budget.HEADS, one_budget.lines_of(rows, names)),
        "",
        "As accurate: our worst seed is no worse than ofa's best. Median and worst within: points below the best known, of "
        "our median and of our worst seed.",
        "",
        *markdown(heads, held),
    ]  # fmt: skip


def one_budget_claims(rows: Sequence[Row], names: Sequence[str]) -> tuple[str, ...]:
    return tuple(next((of for _, _, of in one_budget.verdicts(rows, names)), {}))


def cheap_front_text(rows: Sequence[Row]) -> list[str]:
    names = oracles_of(rows)
    verdicts = cheap_front.verdicts(rows, names)
    heads = ("oracle", *(next((of for _, of in verdicts), {})))
    return [
        f"The front of top-1 and cost. pymoo's NSGA-II has a population of {POPULATION} and {EVALUATIONS:,} predictions, "
        "which it makes a population at a time; of its operators, those that serve it best here. Hypervolumes are shares of "
        "a fixed box, from the cheapest to the dearest subnet and from the least top-1 to one a little above the best "
        "(`benchmarks/oracles.py`).",
        "",
        *oracle_words(names),
        "",
        *markdown(cheap_front.HEADS, cheap_front.lines_of(rows, names)),
        "",
        "Held against pymoo's is the hypervolume of what we return; theirs is that of all they predicted.",
        "",
        *markdown(heads, [(oracle, *map(HELD.get, of.values())) for oracle, of in verdicts]),
    ]  # fmt: skip


def expensive_oracle_text(rows: Sequence[Row]) -> list[str]:
    names = oracles_of(rows)
    asked = ", ".join(f"{peer} {calls:,}" for peer, calls in expensive_oracle.CALLS.items())
    return [
        "The front of top-1 and cost where each accuracy is dear: the oracle is asked about one arch at a time, and calls "
        f"are counted, of each search so many at most: {asked}. Hypervolumes are those of the section before; "
        "`guided` is held against the better of three NSGA-II, Optuna's and pymoo's two.",
        "",
        *oracle_words(names),
        "",
        *markdown(expensive_oracle.HEADS, expensive_oracle.lines_of(rows, names)),
        "",
        "A search without a curve was not run there.",
        "",
        "![Hypervolume against calls](images/expensive-oracle.png)",
    ]  # fmt: skip


def measured_search_text(rows: Sequence[Row]) -> list[str]:
    return [
        "The embedded supernet: each subnet is extracted, recalibrated and evaluated on 5,000 validation images. The best "
        "top-1 (%) that is found within a budget, with the number of measurements in the head. Difference: of guided's median "
        "to the better of the other two. Noise: the standard deviation of the difference of two searches' best subnets on these images.",
        "",
        *markdown(measured_search.HEADS, measured_search.lines_of(rows)),
    ]  # fmt: skip


def overhead_text(rows: Sequence[Row]) -> list[str]:
    return [
        "What Optuna and `guided` take for a trial whose accuracy is known at once: 24 parameters, a front, medians of "
        f"{overhead.TIMED} trials. Growth is of these, mean growth that of the means, which have the trials at which the kernel "
        "is fitted anew. To resume is to open the storage, load the study and propose; in the seconds of processor the process "
        "computed, in the rest it waited for the disk, or for other programs.",
        "",
        *markdown(overhead.HEADS, overhead.lines_of(list(rows))),
    ]  # fmt: skip


SECTIONS: tuple[Section, ...] = (
    Section("One budget, free accuracy", one_budget.NAME, one_budget_text),
    Section("A front, free accuracy", cheap_front.NAME, cheap_front_text),
    Section("A front, dear accuracy", expensive_oracle.NAME, expensive_oracle_text),
    Section("One budget, measured accuracy", measured_search.NAME, measured_search_text),
    Section("What a trial costs", overhead.NAME, overhead_text),
)


if __name__ == "__main__":
    main()
