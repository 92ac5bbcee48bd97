"""The most accurate arch within the budgets, where a predictor knows its slopes: waves of annealing and mating.

Chains of annealing (:mod:`search.proposing.annealing`) end in archs that agree in what is good and differ in the
rest, so that a mixture of two, climbed, tends to end higher than either (memetic search, Moscato, 1989). But
a family of such archs soon becomes one: two searches in three ended in the same second best arch. So

- families are of one resolution each, which lives on its own (islands): what is good at one is not at another, and what a
  resolution is good for shows late;
- a first wave of chains, of all resolutions, tells which of them are promising; each of the next is a new beginning
  of short chains at the resolution that promises most then, mated among themselves alone;
- when several waves have ended in the same best arch, or all are done, the best of all families are mated once more.

Notation: a *family* is codes (n, dimensions), the best first; ``families`` are those of each resolution's code.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from search.feasible.neighbours import distinct
from search.feasible.region import Region
from search.problem.problem import Problem
from search.proposing.annealing import Cooling, Slope, anneal
from search.proposing.first_archs import skewed
from search.proposing.hill_climbing import climb
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats

EQUAL = 1e-7
"""Accuracies that differ by less are the same: predictors compute in single precision."""

AGREED = 4
"""Of twice as many chains, so many that lead to equally good archs are enough."""

DRAWN_STARTS = 8
"""Archs that are drawn for each that a chain begins at: mending one into the budgets may change its resolution."""

ANY = -1
"""The one island of a space without resolutions to choose from."""


@dataclass(frozen=True)
class Tides:
    """How long to search within a budget.

    ``first`` and ``later`` are the annealing of the first wave and of each of the next ``waves``. After the first wave the
    best ``islands`` families are mated, ``fair`` rounds each; later on only those that are not half of ``hope`` (of accuracy, a
    fraction) below the best, and less in each round. The next wave is at the resolution with the highest sum of its best and
    ``hope`` divided by its waves. ``same`` families with the same best arch end the search, if that resolution has it. A family has at most ``family`` archs; in a round of
    mating the best ``climbed`` of ``mixtures`` are climbed, at most ``climbs`` steps, until ``patience`` rounds have
    found nothing better, at most ``rounds``. A mixture takes each choice of either parent, and the ``staged`` share of them
    whole stages. ``last`` archs are climbed by judged changes.
    """

    first: Cooling = field(default_factory=lambda: Cooling(steps=100, chains=((0.0, 64), (0.3, 32)), least=4))
    later: Cooling = field(default_factory=lambda: Cooling(steps=150, chains=((0.0, 48), (0.3, 24))))
    waves: int = 3
    same: int = 2
    islands: int = 3
    fair: int = 4
    hope: float = 0.003
    family: int = 16
    mixtures: int = 384
    climbed: int = 6
    climbs: int = 8
    rounds: int = 16
    patience: int = 5
    last: int = 4
    staged: float = 0.5


@dataclass(frozen=True)
class Sea:
    """What all waves of a search share; ``judge`` says how good canonical codes are, ``known`` has the keys of all that were judged."""

    region: Region
    judge: Callable[[Codes], Floats]
    known: Container[bytes]
    slope: Slope
    tides: Tides
    rng: np.random.Generator

    @property
    def problem(self) -> Problem:
        return self.region.problem

    @property
    def column(self) -> int | None:
        """Of the resolution, where there are several."""
        column = self.region.space.index.get("resolution")
        return None if column is None or self.region.space.sizes[column] == 1 else column

    def climbed(self, codes: Codes) -> Codes:
        return self._climb(codes, self.slope)

    def polished(self, codes: Codes) -> Codes:
        """Climbed by what single changes are judged to add, and not by what slopes tell."""
        return self._climb(codes, None)

    def _climb(self, codes: Codes, slope: Slope | None) -> Codes:
        limits = np.repeat(self.problem.limits[None], len(codes), axis=0)
        return climb(self.problem, codes, limits, self.judge, self.tides.climbs, slope)[0]

    def best(self, codes: Codes, count: int) -> Codes:
        """The ``count`` best that differ, the best first."""
        codes = distinct(codes)
        return np.asarray(codes[np.argsort(-self.judge(codes), kind="stable")[:count]])

    def height(self, family: Codes) -> float:
        return float(self.judge(family[:1])[0])


def search_in_waves(sea: Sea) -> None:
    """Ask ``sea.judge`` about archs within the budgets until the search ends."""
    tides = sea.tides
    start = starts_of_chains(sea.region, tides.first.chains[0][1], sea.rng)
    if not len(start):
        return
    found = first_wave(sea, start)
    if found is None:
        return
    families, regions = found, {code: island(sea, code) for code in found}
    for _ in range(tides.waves):
        code = most_hopeful(sea, families)
        family = next_wave(sea, regions[code])
        if not len(family):
            break
        families[code].append(family)
        if times_found(sea, families) >= tides.same and is_best(sea, families, most_hopeful(sea, families)):
            break
    code = max(families, key=lambda code: highest(sea, families[code]))
    half = sea.tides.family // 2
    family = families[code][0]
    if len(families[code]) > 1:
        family = mated(sea, regions[code], np.concatenate([some[:half] for some in families[code]]))
    sea.polished(family[: tides.last])


def first_wave(sea: Sea, start: Codes) -> dict[int, list[Codes]] | None:
    """A family of each resolution, the most promising ones mated; None where many chains end in equally good archs."""
    tides = sea.tides
    ends = start
    for ends in anneal(sea.problem, sea.slope, start, sea.rng, tides.first):
        tops = sea.climbed(ends[: 2 * AGREED])
        good = sea.judge(tops)
        if (good >= good.max() - EQUAL).sum() >= AGREED:
            sea.polished(tops[good.argmax()][None])
            return None  # found again and again from different beginnings: there is hardly a better one
    ends = np.concatenate([tops, sea.climbed(ends[2 * AGREED :])])
    of_end = np.full(len(ends), ANY) if sea.column is None else ends[:, sea.column]
    families = {int(code): sea.best(ends[of_end == code], tides.family) for code in np.unique(of_end)}
    waves_side_by_side(sea, families)
    return {code: [family] for code, family in families.items()}


def waves_side_by_side(sea: Sea, families: dict[int, Codes]) -> None:
    """Mate the most promising families, a round of each in turn; those that fall behind are given up."""
    tides = sea.tides
    live = sorted(families, key=lambda code: -sea.height(families[code]))[: tides.islands]
    regions, waited = {code: island(sea, code) for code in live}, dict.fromkeys(live, 0)
    for done in range(1, tides.rounds + 1):
        for code in live:
            before = sea.height(families[code])
            families[code] = next_generation(sea, regions[code], families[code])
            waited[code] = 0 if sea.height(families[code]) > before + EQUAL else waited[code] + 1
        top = max(sea.height(family) for family in families.values())
        hope = tides.hope / 2 * (1 - done / tides.rounds) if done >= tides.fair else np.inf
        live = [
            code for code in live
            if waited[code] < tides.patience and sea.height(families[code]) >= top - hope
        ]  # fmt: skip


def next_wave(sea: Sea, region: Region) -> Codes:
    """A family of an island from new beginnings; empty where no arch of it was drawn."""
    start = starts_of_chains(region, sea.tides.later.chains[0][1], sea.rng)
    if not len(start):
        return start
    *_, ends = anneal(sea.problem, sea.slope, start, sea.rng, sea.tides.later)
    return mated(sea, region, sea.climbed(ends))


def island(sea: Sea, code: int) -> Region:
    """The archs of one resolution within the budgets."""
    if sea.column is None or code == ANY:
        return sea.region
    return Region(sea.problem, {sea.column: code})


def most_hopeful(sea: Sea, families: dict[int, list[Codes]]) -> int:
    """The resolution whose best arch, and what may still be hoped for it, are most; less is hoped after each wave."""

    def promise(code: int) -> float:
        return highest(sea, families[code]) + sea.tides.hope / len(families[code])

    return max(families, key=promise)


def highest(sea: Sea, families: list[Codes]) -> float:
    return max(map(sea.height, families))


def is_best(sea: Sea, families: dict[int, list[Codes]], code: int) -> bool:
    return highest(sea, families[code]) >= max(highest(sea, some) for some in families.values()) - EQUAL


def times_found(sea: Sea, families: dict[int, list[Codes]]) -> int:
    """How many families have the best arch of all, or an equally good one."""
    heights = np.array([sea.height(family) for of_code in families.values() for family in of_code])
    return int((heights >= heights.max() - EQUAL).sum())


def mated(sea: Sea, region: Region, parents: Codes) -> Codes:
    """A family after rounds of mating, until none of some rounds is better."""
    family, waited = sea.best(parents, sea.tides.family), 0
    for _ in range(sea.tides.rounds):
        before = sea.height(family)
        family = next_generation(sea, region, family)
        waited = 0 if sea.height(family) > before + EQUAL else waited + 1
        if waited == sea.tides.patience:
            break
    return family


def next_generation(sea: Sea, region: Region, family: Codes) -> Codes:
    """The best of a family and of mixtures of two of it, of which the best are climbed."""
    tides = sea.tides
    children = distinct(
        region.repair(mixed(region.space, family, tides.mixtures, sea.rng, tides.staged), sea.rng), sea.known
    )
    children = sea.best(children[sea.problem.within(children)], tides.climbed)
    if not len(children):
        return family
    return sea.best(np.concatenate([family, sea.climbed(children)]), tides.family)


def mixed(space: SearchSpace, parents: Codes, count: int, rng: np.random.Generator, staged: float) -> Codes:
    """Children, shape (count, dimensions), of two parents each, with up to two choices drawn anew.

    The ``staged`` share of them takes a choice and those that need it (a stage: its depth and blocks) of the same parent.
    """
    first, second = rng.integers(len(parents), size=(2, count))
    of_first = rng.random((count, len(space.sizes))) < 0.5
    stage = np.array(
        [i if d.needs is None else space.index[d.needs[0]] for i, d in enumerate(space.dimensions)]
    )
    of_first[: int(staged * count)] = of_first[: int(staged * count)][:, stage]
    children: Codes = np.where(of_first, parents[first], parents[second])
    drawn_anew = rng.integers(3, size=count)
    for least in (1, 2):
        some = np.flatnonzero(drawn_anew >= least)
        columns = rng.integers(len(space.sizes), size=len(some))
        children[some, columns] = (rng.random(len(some)) * space.sizes[columns]).astype(np.int16)
    return children


def starts_of_chains(region: Region, count: int, rng: np.random.Generator) -> Codes:
    """At most ``count`` archs within the budgets, as many of each resolution as there can be; (n, dimensions).

    A change of resolution takes many other changes to pay for it, so chains seldom make one.
    """
    space = region.space
    corners = space.encode([space.smallest(), space.largest()])
    codes = np.concatenate([skewed(space, DRAWN_STARTS * count, rng), corners])
    codes = distinct(region.repair(codes, rng))
    codes = codes[region.problem.within(codes)]
    resolution = space.index.get("resolution")
    return codes[:count] if resolution is None else codes[resolutions_in_turn(codes[:, resolution])[:count]]


def resolutions_in_turn(kinds: Codes) -> npt.NDArray[np.intp]:
    """Rows in order of their rank in their kind (n,): the first of every kind, then the second of every one, and so on."""
    rank = np.empty(len(kinds), dtype=np.intp)
    for kind in np.unique(kinds):
        mine = np.flatnonzero(kinds == kind)
        rank[mine] = np.arange(len(mine))
    return np.argsort(rank, kind="stable")
