"""Which subnets a latency model is fitted to.

A few corners of the space, so that nothing lies outside; random archs, on which the fit's error is
told; and archs that are picked for what they tell of the prices. Each pick is the candidate whose
time the picks so far, and what is known of prices before, leave the least certain (greedy Bayesian
D-optimal design; Fedorov, 1972; Chaloner & Verdinelli, 1995):

| here          | in the literature            | what it is                                          |
|---------------|------------------------------|-----------------------------------------------------|
| ``shares``    | X, one row x an arch         | sums of features as shares of an arch's time        |
| ``unsure``    | Sigma, noise^2 (X'X + P)^-1  | covariance of the prices' relative deviations       |
| ``variances`` | x Sigma x'                   | how uncertain the predicted time of an arch is      |
| P             | noise^2 Sigma_0^-1           | of their covariance before anything is measured     |

Of subnets that were measured already :func:`choose_rows` chooses in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cost_models.feature_sums import feature_sums
from cost_models.latency_fit import groups
from cost_models.latency_tables import RESOLUTION
from cost_models.layer_features import features, whatever_size
from cost_models.robust_prices import covariance
from cost_models.tables import layers_by_choice
from supernet.archs.arch import Arch, Choice
from supernet.archs.layers import Layer
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats
from supernet.families.catalog import Supernet

CORNER_SHARE, RANDOM_SHARE = 1 / 4, 3 / 8
"""Of the archs of a design; the rest is picked. More corners leave the middle of a space to guesses."""
POOL = 4
"""Candidates for each arch of the design."""
OF_ROWS = 1 / 5
"""Random share of rows that are chosen among measured ones; any of them can be predicted to tell the error."""
MOST_CANDIDATES = 2000
"""Rows that are looked at, a random part of more."""
NOISE = 0.05
"""Relative error of a measurement, beside deviations of prices that are as large as the prices."""


@dataclass(frozen=True)
class Design:
    """Distinct archs; ``random`` are drawn uniformly, as those that a search will ask about."""

    corners: tuple[Arch, ...]
    random: tuple[Arch, ...]
    picked: tuple[Arch, ...]

    @cached_property
    def archs(self) -> tuple[Arch, ...]:
        return (*self.corners, *self.random, *self.picked)


def choose_archs(supernet: Supernet, count: int, rng: np.random.Generator) -> Design:
    """``count`` archs, or all there are of a smaller space; every feature of the space is in one of them."""
    space = supernet.space
    ends = corners(space, int(count * CORNER_SHARE))
    chosen = dict.fromkeys(ends)
    # random archs before those that are picked: their error is that of the archs that a search meets
    drawn = fresh(space.decode(space.sample(count, rng)), chosen)[: int(count * RANDOM_SHARE)]
    chosen |= dict.fromkeys(drawn)
    # a kind of layer that no arch has would have the prior's price, unseen
    needed = fresh(covering(supernet, list(chosen)), chosen)
    chosen |= dict.fromkeys(needed)
    candidates = space.decode(leaning_sample(space, POOL * count, rng))
    picked = pick_probes(supernet, list(chosen), fresh(candidates, chosen), count - len(chosen))
    return Design(tuple(ends), tuple(drawn), (*needed, *picked))


def fresh(archs: Sequence[Arch], known: dict[Arch, None]) -> list[Arch]:
    """Distinct archs that are not known, in their order."""
    return [arch for arch in dict.fromkeys(archs) if arch not in known]


def corners(space: SearchSpace, count: int) -> list[Arch]:
    """The smallest and the largest arch at resolutions from the first to the last, at most ``count`` archs."""
    column = space.index.get(RESOLUTION)
    sizes = int(space.sizes[column]) if column is not None else 1
    chosen = np.unique(np.linspace(0, sizes - 1, max(1, min(count // 2, sizes))).round().astype(int))
    found = []
    for choice in chosen:
        for codes in (space.sizes * 0, space.sizes - 1):
            corner = codes.copy()
            if column is not None:
                corner[column] = choice
            found.append(corner)
    return list(dict.fromkeys(space.decode(space.canonical(np.array(found)))))


def covering(supernet: Supernet, archs: Sequence[Arch]) -> list[Arch]:
    """Archs with the kinds of layers that none of ``archs`` has: the largest, changed where they are."""
    seen = kinds_in(supernet, archs)
    found: list[Arch] = []
    # the largest has every block, so that a changed segment counts in it
    for kind, values in where_kinds_are(supernet).items():
        if kind not in seen:
            arch = supernet.space.arch({**supernet.space.largest().values, **values})
            seen |= kinds_in(supernet, [arch])
            found.append(arch)
    return found


def kinds_in(supernet: Supernet, archs: Sequence[Arch]) -> set[str]:
    return {kind for arch in archs for layer in supernet.layers(arch) for kind in kinds_of(layer)}


def kinds_of(layer: Layer) -> set[str]:
    """What its features are called, without the size."""
    return {whatever_size(name) for name in features(layer)}


def where_kinds_are(supernet: Supernet) -> dict[str, dict[str, Choice]]:
    """Every kind of feature that a layer of the space has, and choices of a segment that bring it."""
    space = supernet.space
    found: dict[str, dict[str, Choice]] = {}
    for segment in supernet.segments:
        sizes = [len(space.by_name[name].choices) for name in segment.dimensions]
        for place, layers in enumerate(layers_by_choice(space, segment)):
            for kind in {name for layer in layers for name in kinds_of(layer)} - set(found):
                codes = np.unravel_index(place, sizes) if sizes else ()
                pairs = zip(segment.dimensions, codes, strict=True)
                found[kind] = {name: space.by_name[name].choices[int(code)] for name, code in pairs}
    return found


def pick_probes(
    supernet: Supernet, chosen: Sequence[Arch], candidates: Sequence[Arch], count: int
) -> list[Arch]:
    """``count`` of the candidates, one after the other: the one whose time is the least certain by then."""
    if count <= 0 or not candidates:
        return []
    codes = supernet.space.encode([*chosen, *candidates])
    places = least_certain(supernet, codes, range(len(chosen)), count)
    return [candidates[place - len(chosen)] for place in places]


def choose_rows(supernet: Supernet, codes: Codes, count: int, rng: np.random.Generator) -> list[int]:
    """``count`` of the archs with ``codes`` (n, dimensions), for a fit: some at random, the others for what they tell."""
    order = [int(row) for row in rng.permutation(len(codes))[:MOST_CANDIDATES]]
    drawn = max(1, round(count * OF_ROWS))
    places = least_certain(supernet, codes[order], range(drawn), max(0, count - drawn))
    return [order[place] for place in (*range(min(drawn, count)), *places)]


def least_certain(supernet: Supernet, codes: Codes, chosen: Sequence[int], count: int) -> list[int]:
    """``count`` places of ``codes`` (n, dimensions), each the one whose time those before it tell the least of."""
    known = feature_sums(supernet)
    shares = alike(known.of(codes))
    # without the intercept, which all archs have alike and which tells none of them from another
    unsure = covariance(groups(known.names)[1:])
    for place in chosen:
        unsure = surer(unsure, shares[place])
    left = np.ones(len(codes), dtype=np.bool_)
    left[list(chosen)] = False
    found: list[int] = []
    while left.any() and len(found) < count:
        variances = np.where(left, ((shares @ unsure) * shares).sum(axis=1), -np.inf)
        # the determinant of what is known grows by 1 + variance / noise^2: the greatest variance is the greedy choice
        best = int(variances.argmax())
        unsure = surer(unsure, shares[best])
        left[best] = False
        found.append(best)
    return found


def surer(unsure: Floats, share: Floats) -> Floats:
    """The covariance of deviations after an arch with such shares was measured (Sherman & Morrison, 1950)."""
    # an update of rank one in place of an inverse for each pick
    toward = unsure @ share
    return np.asarray(unsure - np.outer(toward, toward) / (NOISE**2 + share @ toward))


def alike(amounts: Floats) -> Floats:
    """Amounts (n, features) as shares of an arch's time, if every feature took as long on average.

    Scaled so that a feature of its own share has a deviation of about one: the fit minimises relative errors.
    """
    mean = amounts.mean(axis=0)
    scaled = amounts / np.where(mean > 0, mean, 1.0)
    return np.asarray(
        np.sqrt(amounts.shape[1]) * scaled / scaled.sum(axis=1, keepdims=True), dtype=np.float64
    )


def leaning_sample(space: SearchSpace, count: int, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Codes of ``count`` archs that use all choices alike, and lean from small to large ones.

    Uniform archs all have about the same latency at a resolution, which would leave both ends of
    the range to extrapolation.
    """
    sample = space.sizes * leaning_hypercube(count, len(space.dimensions), rng)
    return space.canonical(sample.astype(np.int16))


def leaning_hypercube(count: int, columns: int, rng: np.random.Generator) -> Floats:
    """Values in [0, 1), shape (count, columns): a Latin hypercube, rows raised to 1/3 ... 3."""
    # before it leans, a column has one value in each n-th of [0, 1), so that all choices are there alike often
    strata = np.stack([rng.permutation(count) for _ in range(columns)], axis=1)
    uniform = (strata + rng.random((count, columns))) / count
    # one exponent for a row: above 1 all its choices are small, below 1 large
    lean = np.exp(rng.uniform(-1, 1, (count, 1)) * np.log(3))
    return np.asarray(uniform**lean, dtype=np.float64)
