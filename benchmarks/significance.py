"""How often the intervals of oncefit compare hold the truth, and how often it tells apart what is equal, by simulation.

    python benchmarks/significance.py [--repeats N] [--seed N]

A world has a hundred thousand images and networks of known costs. An image is right where a margin is above zero: how good
the network is, how easy the image, and what the image is to this network alone. Accuracies in the world are the truth; each
trial draws validation images, which choose fronts among 24 networks, and report images, which compare. Networks that are
equal are twins, and a coin says for each image which twin is the new one. Prints the tables of docs/comparing.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import moocore
import numpy as np
import numpy.typing as npt

from search.reports.comparing.front_area import area_weights
from search.reports.comparing.paired_tests import (
    SIGNIFICANCE_LEVEL,
    Difference,
    holm,
    images_needed,
    paired_difference,
    runs_difference,
)
from search.runs.front import Points, coverage
from search.runs.racing import Bits
from supernet.arrays import Floats

WORLD, NETWORKS, CANDIDATES, VALIDATION = 100_000, 120, 24, 2_000
BUDGETS = (0.4, 0.6, 0.8, 1.0)
RESAMPLES = 1_000
REFERENCE, IDEAL = (-0.85, 1.05), (-0.97, 0.2)
"""Signed accuracy and cost of points beyond all networks, so that areas of all fronts are of one box."""
OWN = (0.08, 0.3)
"""Deviations of what an image is to one network alone."""
GAP = 0.05
"""What margins of networks that are better are greater by."""

Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class World:
    """Costs (networks,), and bits (images, networks) of networks, of their twins, and of as many that are better."""

    costs: Floats
    plain: Bits
    twins: Bits
    better: Bits

    @cached_property
    def truths(self) -> tuple[Floats, Floats]:
        """Accuracies of the networks, and of the better ones."""
        return self.plain.mean(axis=0), self.better.mean(axis=0)

    @property
    def differ(self) -> float:
        """Per cent of images on which a network and its twin differ."""
        return float(100 * (self.plain ^ self.twins).mean())


def new_world(own: float, seed: int = 0, images: int = WORLD) -> World:
    rng = np.random.default_rng(seed)
    costs = rng.uniform(0.25, 1, NETWORKS)
    merits = 1.15 + 0.35 * np.sqrt(costs) + rng.normal(0, 0.05, NETWORKS)
    ease = rng.standard_normal((images, 1), dtype=np.float32)

    def bits(gap: float) -> Bits:
        alone = own * rng.standard_normal((images, NETWORKS), dtype=np.float32)
        return (merits + gap + ease + alone) > 0

    return World(costs, bits(0), bits(0), bits(GAP))


def report(
    world: World, images: int, equal: bool, nets: tuple[Places, Places], rng: np.random.Generator
) -> tuple[Bits, Bits]:
    """Bits (images, K) of networks of the base, and of those that are compared with it, of drawn images."""
    places = rng.integers(0, len(world.plain), images)[:, None]
    base = world.plain[places, nets[0]]
    if not equal:
        return base, world.better[places, nets[1]]
    other, coin = world.twins[places, nets[1]], rng.random((images, 1)) < 0.5
    return np.where(coin, base, other), np.where(coin, other, base)


@dataclass(frozen=True)
class Trial:
    """Of one simulated comparison: the share of intervals that hold the truth, and whether anything is told apart."""

    held: float
    told_apart: bool


def of(found: Sequence[Difference], truths: Sequence[float]) -> Trial:
    """Told apart by Holm's adjusted p-values."""
    held = [one.low <= truth <= one.high for one, truth in zip(found, truths, strict=True)]
    return Trial(float(np.mean(held)), min(holm([one.p_value for one in found])) <= SIGNIFICANCE_LEVEL)


Simulated = Callable[[World, int, bool, np.random.Generator], Trial]


# -- subnets ------------------------------------------------------------------------


def subnets(world: World, images: int, equal: bool, rng: np.random.Generator, others: int = 1) -> Trial:
    """Networks of a cost against others: a coin for each image says which of a network and its twin is the new one."""
    nets = rng.choice(NETWORKS, others, replace=False)
    base, new = report(world, images, equal, (nets, nets), rng)
    truths = [0.0 if equal else float(world.truths[1][i] - world.truths[0][i]) for i in nets]
    return of([paired_difference(base[:, i], new[:, i]) for i in range(others)], truths)


def several(world: World, images: int, equal: bool, rng: np.random.Generator) -> Trial:
    """Four others."""
    return subnets(world, images, equal, rng, others=4)


def with_needed(world: World, rng: np.random.Generator) -> bool:
    """Whether as many images as are said to be needed for the true difference show it."""
    i = int(rng.integers(NETWORKS))
    truth = float(world.truths[1][i] - world.truths[0][i])
    share = float((world.plain[:, i] ^ world.better[:, i]).mean())
    more = images_needed(Difference(truth, 0, 0, 0, 1_000, 0, (share - truth**2) / 1_000), 1)
    assert more is not None
    assert more.images is not None
    places = rng.integers(0, len(world.plain), more.images)
    return paired_difference(world.plain[places, i], world.better[places, i]).p_value <= SIGNIFICANCE_LEVEL


# -- fronts ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Front:
    """What validation chose: the places of its networks, from cheap to dear, and their signed points (K, 2)."""

    nets: Places
    points: Points

    @cached_property
    def weights(self) -> tuple[Floats, float]:
        [covered, _] = coverage([self.points, np.array([IDEAL])], REFERENCE)
        return area_weights(self.points, covered)

    def area(self, accuracies: Floats) -> float:
        """Of networks with these accuracies."""
        weights, less = self.weights
        return float(weights @ accuracies[self.nets]) - less

    def of_images(self, bits: Bits) -> Floats:
        """What each image adds to the area, of the bits (images, K) of its networks; shape (images,)."""
        weights, less = self.weights
        return np.asarray(bits @ weights - less)

    def within(self, budget: float) -> int:
        """The best by validation within a budget: the dearest; the cheapest where none is within."""
        return int(self.nets[max(0, int((self.points[:, 1] <= budget).sum()) - 1)])


def searched(world: World, bits: Bits, rng: np.random.Generator) -> Front:
    """The front of networks that are drawn, by their validation bits."""
    nets = rng.choice(NETWORKS, CANDIDATES, replace=False)
    nets = nets[np.argsort(world.costs[nets])]
    signed = np.column_stack([-bits[:, nets].mean(axis=0), world.costs[nets]])
    kept = moocore.is_nondominated(signed, keep_weakly=False)
    return Front(nets[kept], signed[kept])


def pair(world: World, equal: bool, rng: np.random.Generator) -> tuple[Front, Front]:
    """Two fronts by the same validation images; equal ones are one front, of networks and of their twins."""
    places = rng.integers(0, len(world.plain), VALIDATION)
    base = searched(world, world.plain[places], rng)
    return base, base if equal else searched(world, world.better[places], rng)


def fronts(world: World, images: int, equal: bool, rng: np.random.Generator) -> Trial:
    """Areas under two fronts."""
    base, new = pair(world, equal, rng)
    bits = report(world, images, equal, (base.nets, new.nets), rng)
    found = runs_difference(base.of_images(bits[0])[None], new.of_images(bits[1])[None], rng, RESAMPLES)
    return of([found], [0.0 if equal else new.area(world.truths[1]) - base.area(world.truths[0])])


def at_budgets(world: World, images: int, equal: bool, rng: np.random.Generator) -> Trial:
    """The best within each of four budgets."""
    base, new = pair(world, equal, rng)
    nets = np.array([base.within(b) for b in BUDGETS]), np.array([new.within(b) for b in BUDGETS])
    bits = report(world, images, equal, nets, rng)
    truths = [
        0.0 if equal else float(world.truths[1][j] - world.truths[0][i]) for i, j in zip(*nets, strict=True)
    ]
    return of([paired_difference(bits[0][:, k], bits[1][:, k]) for k in range(len(BUDGETS))], truths)


def chosen_again(world: World, images: int, rng: np.random.Generator) -> bool:
    """Another way: whether an interval of the hypervolume of the points that report images make holds the truth.

    The front is held against every fourth of its networks. The best of many on the report images owes something to them.
    """
    new, _ = pair(world, True, rng)
    some = Front(new.nets[::4], new.points[::4])
    bits = world.plain[rng.integers(0, len(world.plain), images)]
    drawn = rng.multinomial(images, np.full(images, 1 / images), 200).astype(np.float32) / images
    means = [drawn @ bits[:, front.nets].astype(np.float32) for front in (some, new)]
    areas = [[hypervolume(front, at) for at in rows] for front, rows in zip((some, new), means, strict=True)]
    low, high = np.quantile(
        np.subtract(areas[1], areas[0]), (SIGNIFICANCE_LEVEL / 2, 1 - SIGNIFICANCE_LEVEL / 2)
    )
    truths = [hypervolume(front, world.truths[0][front.nets]) for front in (some, new)]
    return bool(low <= truths[1] - truths[0] <= high)


def hypervolume(front: Front, accuracies: Floats) -> float:
    """With these accuracies, as a share of the box."""
    made = np.column_stack([-accuracies, front.points[:, 1]])
    box = (REFERENCE[0] - IDEAL[0]) * (REFERENCE[1] - IDEAL[1])
    return float(moocore.hypervolume(made, ref=REFERENCE)) / box


# -- several seeds ----------------------------------------------------------------------


@dataclass(frozen=True)
class Seeds:
    """Searches with several seeds each: what is compared is the mean over all seeds that a search could have."""

    base: int
    new: int

    def fronts(self, world: World, images: int, equal: bool, rng: np.random.Generator) -> Trial:
        found, bits = self.sides(world, images, equal, rng)
        rows = [
            np.array([one.of_images(b[:, one.nets]) for one in some])
            for some, b in zip(found, bits, strict=True)
        ]
        truth = 0.0 if equal else means_of(world)[0]
        return of([runs_difference(*rows, rng, RESAMPLES)], [truth])

    def at_budgets(self, world: World, images: int, equal: bool, rng: np.random.Generator) -> Trial:
        found, bits = self.sides(world, images, equal, rng)
        made = []
        for budget in BUDGETS:
            rows = [
                np.array([b[:, one.within(budget)] for one in some], dtype=np.float64)
                for some, b in zip(found, bits, strict=True)
            ]
            made.append(runs_difference(*rows, rng, RESAMPLES))
        return of(made, [0.0] * len(BUDGETS) if equal else list(means_of(world)[1:]))

    def sides(
        self, world: World, images: int, equal: bool, rng: np.random.Generator
    ) -> tuple[list[list[Front]], tuple[Bits, Bits]]:
        """The runs' fronts, by the same validation images, and the report bits of both sides, of the same images."""
        places = rng.integers(0, len(world.plain), VALIDATION)
        kinds = (world.plain, world.plain if equal else world.better)
        made = [
            [searched(world, bits[places], rng) for _ in range(count)]
            for bits, count in zip(kinds, (self.base, self.new), strict=True)
        ]
        drawn = rng.integers(0, len(world.plain), images)
        return made, (kinds[0][drawn], kinds[1][drawn])


MEANS: dict[int, Floats] = {}


def means_of(world: World, seeds: int = 3_000) -> Floats:
    """True differences of the better networks' searches: of the mean area, and of the mean accuracy at each budget."""
    if id(world) not in MEANS:
        rng = np.random.default_rng(9)
        rows = []
        for _ in range(seeds):
            base, new = pair(world, False, rng)
            rows.append([
                new.area(world.truths[1]) - base.area(world.truths[0]),
                *(world.truths[1][new.within(b)] - world.truths[0][base.within(b)] for b in BUDGETS),
            ])  # fmt: skip
        MEANS[id(world)] = np.mean(rows, axis=0)
    return MEANS[id(world)]


# -- the tables ------------------------------------------------------------------------


def rates(
    simulate: Simulated, world: World, images: int, equal: bool, repeats: int, seed: int
) -> tuple[float, float]:
    """How often intervals hold the truth, and how often something is told apart."""
    rng = np.random.default_rng(seed)
    trials = [simulate(world, images, equal, rng) for _ in range(repeats)]
    return float(np.mean([one.held for one in trials])), float(np.mean([one.told_apart for one in trials]))


SIMPLE: dict[str, Simulated] = {
    "two subnets": subnets, "five subnets, Holm": several, "four budgets, Holm": at_budgets, "two fronts": fronts,
}  # fmt: skip
REPEATED: dict[str, Simulated] = {
    f"{what} {one.base} and {one.new} seeds{end}": simulate
    for one in (Seeds(3, 3), Seeds(5, 5), Seeds(1, 4))
    for what, end, simulate in (("fronts of", "", one.fronts), ("four budgets of", ", Holm", one.at_budgets))
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    worlds = [new_world(own, given.seed) for own in OWN]
    print(
        "| compared | images | differ (%) | equal: held (%) | false alarms (%) | unequal: held (%) | told apart (%) |"
    )
    print("|---|---|---|---|---|---|---|")
    for kinds, sizes in ((SIMPLE, (1_000, 10_000)), (REPEATED, (2_000,))):
        for name, simulate in kinds.items():
            for images in sizes:
                for world in worlds:
                    equal, other = (
                        rates(simulate, world, images, same, given.repeats, given.seed)
                        for same in (True, False)
                    )
                    cells = " | ".join(f"{100 * share:.1f}" for share in (*equal, *other))
                    print(f"| {name} | {images:,} | {world.differ:.1f} | {cells} |", flush=True)
    fewer = max(1, given.repeats // 5)
    for world in worlds:
        rng = np.random.default_rng(given.seed)
        again = np.mean([chosen_again(world, 2_000, rng) for _ in range(fewer)])
        shown = np.mean([with_needed(world, rng) for _ in range(given.repeats)])
        print(
            f"\nWhere {world.differ:.1f} % differ: hypervolumes of the points that report images make are held by "
            f"{100 * again:.0f} % of intervals; the images that are needed show {100 * shown:.0f} % of differences"
        )


if __name__ == "__main__":
    main()
