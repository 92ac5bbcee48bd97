"""Which subnets a latency model is fitted to.

A few corners of the space, so that nothing lies outside; random archs, on which the fit's error is
told; and archs that are picked for what they tell of the prices, so that every price is known. Each
pick is the candidate whose time the picks so far predict worst (greedy D-optimal design; Fedorov, 1972):

| here          | in the literature            | what it is                                          |
|---------------|------------------------------|-----------------------------------------------------|
| ``rows``      | X, one row x an arch         | sums of features, scaled to be alike                |
| ``inverse``   | (X'X + ridge)^-1             | how uncertain the prices are, up to the noise       |
| ``variances`` | x (X'X)^-1 x'                | how uncertain the predicted time of an arch is      |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cost_models.latency_fit import feature_table
from cost_models.latency_tables import RESOLUTION
from cost_models.layer_features import features
from cost_models.tables import layers_by_choice
from supernet.arch import Arch, Choice
from supernet.arrays import Floats
from supernet.catalog import Supernet
from supernet.space import SearchSpace

CORNER_SHARE, RANDOM_SHARE = 1 / 4, 3 / 8
"""Of the archs of a design; the rest is picked. More corners leave the middle of a space to guesses."""
POOL = 4
"""Candidates for each arch of the design."""
RIDGE = 1e-3
"""Keeps the information matrix invertible before every feature was seen."""


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
    drawn = fresh(space.decode(space.sample(count, rng)), chosen)[: int(count * RANDOM_SHARE)]
    chosen |= dict.fromkeys(drawn)
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
    """Archs with the features of the space that none of ``archs`` has: the largest, changed where they are."""
    seen = set(feature_table(supernet, archs)[0])
    found: list[Arch] = []
    for feature, values in where_features_are(supernet).items():
        if feature not in seen:
            arch = supernet.space.arch({**supernet.space.largest().values, **values})
            seen |= {name for layer in supernet.layers(arch) for name in features(layer)}
            found.append(arch)
    return found


def where_features_are(supernet: Supernet) -> dict[str, dict[str, Choice]]:
    """Every feature that a layer of the space has, and choices of a segment that bring it."""
    space = supernet.space
    found: dict[str, dict[str, Choice]] = {}
    for segment in supernet.segments:
        sizes = [len(space.by_name[name].choices) for name in segment.dimensions]
        for place, layers in enumerate(layers_by_choice(space, segment)):
            for feature in {name for layer in layers for name in features(layer)} - set(found):
                codes = np.unravel_index(place, sizes) if sizes else ()
                pairs = zip(segment.dimensions, codes, strict=True)
                found[feature] = {name: space.by_name[name].choices[int(code)] for name, code in pairs}
    return found


def pick_probes(
    supernet: Supernet, chosen: Sequence[Arch], candidates: Sequence[Arch], count: int
) -> list[Arch]:
    """``count`` of the candidates, one after the other: the one whose time is the least certain by then."""
    if count <= 0 or not candidates:
        return []
    rows = alike(feature_table(supernet, [*chosen, *candidates])[1])
    known, left = rows[: len(chosen)], dict(enumerate(rows[len(chosen) :]))
    inverse = np.linalg.inv(known.T @ known + RIDGE * np.eye(rows.shape[1]))
    found: list[Arch] = []
    while left and len(found) < count:
        variances = {place: float(row @ inverse @ row) for place, row in left.items()}
        best = max(variances, key=variances.__getitem__)
        toward = inverse @ left.pop(best)
        inverse -= np.outer(toward, toward) / (1 + variances[best])  # Sherman & Morrison (1950)
        found.append(candidates[best])
    return found


def alike(amounts: Floats) -> Floats:
    """Amounts (n, features) so that features count alike, and archs too: the fit minimises relative errors."""
    scaled = amounts / amounts.max(axis=0)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return np.asarray(scaled / np.sqrt((scaled**2).mean(axis=0)), dtype=np.float64)


def leaning_sample(space: SearchSpace, count: int, rng: np.random.Generator) -> npt.NDArray[np.int16]:
    """Codes of ``count`` archs that use all choices alike, and lean from small to large ones.

    Uniform archs all have about the same latency at a resolution, which would leave both ends of
    the range to extrapolation.
    """
    sample = space.sizes * leaning_hypercube(count, len(space.dimensions), rng)
    return space.canonical(sample.astype(np.int16))


def leaning_hypercube(count: int, columns: int, rng: np.random.Generator) -> Floats:
    """Values in [0, 1), shape (count, columns): a Latin hypercube, rows raised to 1/3 ... 3."""
    strata = np.stack([rng.permutation(count) for _ in range(columns)], axis=1)
    uniform = (strata + rng.random((count, columns))) / count
    lean = np.exp(rng.uniform(-1, 1, (count, 1)) * np.log(3))
    return np.asarray(uniform**lean, dtype=np.float64)
