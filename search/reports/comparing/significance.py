"""Whether runs differ by more than the luck of images and seeds: their chosen subnets, their best at budgets, their fronts.

Everything is of the report images, which chose nothing. The first run is the base, and every other is held against it.
Runs whose configs differ in the seed alone are repeats of one search: where others are compared with them, they are one side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from search.problem.objectives import Objective
from search.reports.comparing.front_area import area_weights
from search.reports.comparing.paired_tests import (
    SIGNIFICANCE_LEVEL,
    Difference,
    Needed,
    holm,
    images_needed,
    paired_difference,
    runs_difference,
)
from search.runs.front import Coverage, points
from search.runs.racing import Bits
from search.runs.report_hits import ReportHits
from search.runs.run import Run
from search.runs.study import Candidate
from supernet.arrays import Floats

CHOSEN, AT_BUDGET, HYPERVOLUME = "chosen subnet", "best within budget", "hypervolume"
NOT_TOLD_APART = "not told apart"
"""The word for a difference that may be luck."""
OF_NO_MATTER = ("seed", "supernet", "data", "predictor")
"""What configs of one search may differ in: the seed, and names of files, whose contents are compared by hash."""


@dataclass(frozen=True)
class FoundHits:
    """What a run is compared by: its chosen subnet, its front, its best at budgets, and the bits that are kept of them."""

    run: Run
    label: str
    chosen: Candidate
    front: Sequence[Candidate]
    best_at: Mapping[float, Candidate | None]
    coverage: Coverage | None
    hits: ReportHits

    @property
    def wanted(self) -> list[Candidate]:
        """Subnets that a comparison asks about."""
        best = [c for c in self.best_at.values() if c is not None]
        return list({c.arch.id: c for c in (self.chosen, *self.front, *best)}.values())

    @property
    def lacking(self) -> int:
        """How many of them no bits are kept of."""
        return sum(c.arch.id not in self.hits.of for c in self.wanted)


@dataclass(frozen=True)
class Side:
    """One run, or several that differ in the seed alone."""

    label: str
    runs: tuple[int, ...]


@dataclass(frozen=True)
class Verdict:
    """One side against the base in one respect; without a ``difference`` it says in ``missing`` why there is none.

    ``adjusted`` is the p-value for as many comparisons as there are of its kind; differences are of fractions.
    """

    about: str
    base: str
    new: str
    budget: float | None = None
    difference: Difference | None = None
    adjusted: float | None = None
    needed: Needed | None = None
    missing: str | None = None

    @property
    def word(self) -> str | None:
        """``better``, ``worse`` or ``not told apart``; None where it was not compared."""
        if self.difference is None or self.adjusted is None:
            return None
        if self.adjusted > SIGNIFICANCE_LEVEL or not self.difference.value:
            return NOT_TOLD_APART
        return "better" if self.difference.value > 0 else "worse"


@dataclass(frozen=True)
class Significance:
    """All verdicts, of ``images`` report images; ``lacking`` are subnets without bits by run."""

    sides: tuple[Side, ...]
    images: int
    verdicts: tuple[Verdict, ...]
    lacking: Mapping[str, int] = field(default_factory=dict)
    why_not: str | None = None

    @property
    def repeated(self) -> bool:
        return any(len(side.runs) > 1 for side in self.sides)

    def about(self, what: str) -> list[Verdict]:
        return [one for one in self.verdicts if one.about == what]


def significance(found: Sequence[FoundHits], axes: Sequence[Objective]) -> Significance:
    """Compare runs that are of the same images."""
    sides = sides_told(found)
    if not all(one.run.measures for one in found):
        return Significance(sides, 0, (), why_not="accuracies are not measured: no image can tell runs apart")
    if len({one.run.accuracy_name for one in found}) > 1:
        return Significance(sides, 0, (), why_not="some runs count images by top-1, others by top-5")
    lacking = {one.label: one.lacking for one in found if one.lacking}
    counts = {one.hits.images for one in found if one.hits.images}
    if len(counts) > 1:
        told = " and ".join(f"{count:,}" for count in sorted(counts))
        return Significance(sides, 0, (), lacking, f"of the report images, {told} could be decoded")
    images = max(counts, default=0)
    bits = each_unpacked([one.hits.of for one in found], images)
    made = [*of_chosen(found, sides, bits), *at_budgets(found, sides, bits)]
    if all(one.coverage is not None for one in found):
        made += of_fronts(found, sides, bits, axes)
    return Significance(sides, images, tuple(made), lacking)


def sides_told(found: Sequence[FoundHits]) -> tuple[Side, ...]:
    """Repeats of a search together, where there is more than one search; in the order in which runs are given.

    Every run by itself where two of one search have one seed: these are no two draws of what a search finds.
    """
    groups: dict[str, list[int]] = {}
    for i, one in enumerate(found):
        groups.setdefault(search_of(one.run), []).append(i)
    seed_twice = any(len({found[i].run.config.seed for i in some}) < len(some) for some in groups.values())
    if len(groups) < 2 or seed_twice:
        return tuple(Side(one.label, (i,)) for i, one in enumerate(found))
    return tuple(Side(side_label(found, some), tuple(some)) for some in groups.values())


def side_label(found: Sequence[FoundHits], places: Sequence[int]) -> str:
    first = found[places[0]].label
    return first if len(places) == 1 else f"{first} and {len(places) - 1} more seeds"


def search_of(run: Run) -> str:
    """What a search is, but for its seed."""
    settings = run.config.model_dump(mode="json")
    kept = {key: value for key, value in settings.items() if key not in OF_NO_MATTER}
    return json.dumps([kept, run.identity], sort_keys=True, default=str)


def each_unpacked(kept: Sequence[Mapping[str, Bits]], images: int) -> list[dict[str, Bits]]:
    """The bits of the images that could be decoded, which are as many as all of them but for some that none gets right."""
    every = [bits for one in kept for bits in one.values()]
    if not every:
        return [{} for _ in kept]
    some_right = np.any(every, axis=0)
    left_out = np.flatnonzero(~some_right)[: len(some_right) - images]
    keep = np.ones(len(some_right), dtype=np.bool_)
    keep[left_out] = False
    return [{name: bits[keep] for name, bits in one.items()} for one in kept]


FrontParts = Callable[[int], "Bits | Floats | str"]
"""What each image adds to a run's figure (n,), or why it is not known; by the place of the run."""


def of_chosen(
    found: Sequence[FoundHits], sides: Sequence[Side], bits: Sequence[Mapping[str, Bits]]
) -> list[Verdict]:
    """The chosen subnets."""
    return compared_by(
        CHOSEN, sides, {None: lambda i: bits[i].get(found[i].chosen.arch.id, unmeasured(found[i], 1))}
    )


def at_budgets(
    found: Sequence[FoundHits], sides: Sequence[Side], bits: Sequence[Mapping[str, Bits]]
) -> list[Verdict]:
    """The most accurate by validation within each budget."""

    def at(budget: float) -> FrontParts:
        def part(i: int) -> Bits | str:
            best = found[i].best_at[budget]
            if best is None:
                return f"{found[i].label} has nothing within it"
            return bits[i].get(best.arch.id, unmeasured(found[i], 1))

        return part

    return compared_by(AT_BUDGET, sides, {budget: at(budget) for budget in found[0].best_at})


def of_fronts(
    found: Sequence[FoundHits],
    sides: Sequence[Side],
    bits: Sequence[Mapping[str, Bits]],
    axes: Sequence[Objective],
) -> list[Verdict]:
    """The areas under the fronts; see :mod:`search.reports.comparing.front_area`."""

    def part(i: int) -> Floats | str:
        one = found[i]
        assert one.coverage is not None
        weights, less = area_weights(points(one.front, axes), one.coverage)
        used = [(w, c) for w, c in zip(weights, one.front, strict=True) if w]
        if lacking := sum(c.arch.id not in bits[i] for _, c in used):
            return unmeasured(one, lacking)
        images = len(next(iter(bits[i].values()))) if bits[i] else 1
        total = np.full(images, -less)
        for weight, candidate in used:
            total += weight * bits[i][candidate.arch.id]
        return total

    return compared_by(HYPERVOLUME, sides, {None: part})


def unmeasured(one: FoundHits, count: int) -> str:
    what = "a subnet" if count == 1 else f"{count} subnets"
    return f"which report images {what} of {one.label} get{'s' if count == 1 else ''} right is not kept"


def compared_by(
    about: str, sides: Sequence[Side], questions: Mapping[float | None, FrontParts]
) -> list[Verdict]:
    """Every side against the first in every question; p-values are adjusted for all of them together."""
    base, *others = sides
    made: list[Verdict] = []
    for budget, parts in questions.items():
        rows = {side: [parts(i) for i in side.runs] for side in sides}
        for side in others:
            plain = Verdict(about, base.label, side.label, budget)
            why = next((row for row in [*rows[base], *rows[side]] if isinstance(row, str)), None)
            if why is not None:
                made.append(replace(plain, missing=why))
            else:
                pair = [
                    np.array([row for row in rows[one] if not isinstance(row, str)]) for one in (base, side)
                ]
                made.append(replace(plain, difference=difference_of(*pair)))
    return adjusted(made)


def difference_of(base: Bits | Floats, new: Bits | Floats) -> Difference:
    """Of what images add to the runs of two sides, shape (R, n): bits of one run each have an exact test."""
    if base.dtype == np.bool_ and len(base) == len(new) == 1:
        return paired_difference(base[0], new[0])
    found = runs_difference(base.astype(np.float64), new.astype(np.float64), np.random.default_rng(0))
    if base.dtype != np.bool_:
        return found
    return replace(found, low=max(-1.0, found.low), high=min(1.0, found.high))  # as differences of shares are


def adjusted(made: Sequence[Verdict]) -> list[Verdict]:
    """With p-values for as many comparisons as there are, and what would show such differences."""
    known = [one.difference.p_value for one in made if one.difference is not None]
    p_values = iter(holm(known))
    return [
        one
        if one.difference is None
        else replace(one, adjusted=next(p_values), needed=images_needed(one.difference, len(known)))
        for one in made
    ]
