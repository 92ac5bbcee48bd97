"""The form of our own predictor: one table a stage, and curves of what is summed over stages.

All that a stage's choices do together, pairs of them included, is one lookup table. Pairs of sums of
different stages are a quadratic form of these sums. It is made concave by taking a quadratic form of
the sums of each stage from it and adding that to the stage's table (quadratic convex reformulation;
Billionnet & Elloumi, 2007), and is then a sum of concave parabolas along its principal axes. What is
moved changes nothing for an arch, and raises what a mixture of archs has by its covariance.

Notation, with ``n`` steps and ``p`` sums of steps over stages:

==============  ===============  =======================================================================
``z``           (n + p,)         steps and sums of an arch; ``s``, its last p entries, are the sums
``linear``      (n + p,)         their weights
``square``      (n + p, n + p)   symmetric; ``z @ square @ z`` is what all pairs add
``inside``      (p, p)           True where two sums are of one stage
``across``      (p, p)           ``square`` of the sums of different stages, 0 inside
``spread``      (p, p)           how the sums vary in what was mixed last: positive definite
``moved``       (p, p)           taken from ``across`` and added to the stages' tables; 0 outside stages
``heights``     (p,)             eigenvalues of ``across - moved``, none above 0
``axes``        (p, p)           its eigenvectors: ``s @ (across - moved) @ s = heights @ (axes.T @ s)**2``
==============  ===============  =======================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cost_models.tables import Factor
from search.feasible.integer_program import closed, grid
from search.predictors.features import StepEncoding
from search.predictors.form import Bend, Form, Mixtures
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats

MOST_ENTRIES = 100_000
"""Of a table."""
NOTHING = 1e-12
SPREAD_OF_ALL = 0.3
"""Of the mean variance of the sums, added to each: a mixture does not show all that may be mixed."""


class SizeTables(Protocol):
    """A sum of lookup tables over the choices of the predictor's own space, relative to its ``middle``."""

    @property
    def factors(self) -> tuple[Factor, ...]: ...

    @property
    def middle(self) -> float: ...


class Latent(Protocol):
    """How top-1 follows from the latent quality, shape (n,) both."""

    def top1(self, latent: Floats) -> Floats: ...


class Parts(Protocol):
    """What of a predictor its form is made of; ``weights`` (1 + r, features) begin with their mean."""

    @property
    def encoding(self) -> StepEncoding: ...

    @property
    def sizes(self) -> Sequence[SizeTables]: ...

    @property
    def curve(self) -> Latent: ...

    @property
    def weights(self) -> npt.NDArray[Any]: ...


def form_of(predictor: Parts, space: SearchSpace) -> Form | None:
    """What it predicts in a space, in parts; None where a stage has too many combinations."""
    encoding = predictor.encoding
    scopes = [closed(space, [encoding.steps[i][0] for i in steps]) for steps, _ in encoding.groups]
    if any(np.prod(space.sizes[list(scope)], dtype=float) > MOST_ENTRIES for scope in scopes):
        return None
    groups = tuple(
        group_of(encoding, space, scope, *members)
        for scope, members in zip(scopes, encoding.groups, strict=True)
    )
    sizes = tuple(
        Bend(relative(size, encoding, space), partial(power, float(log), float(inverse)))
        for size, (log, inverse) in zip(
            predictor.sizes, split_weights(predictor)[1].reshape(-1, 2), strict=True
        )
    )
    # before anything was mixed, sums are taken to vary alike
    return spread_form(predictor, groups, sizes, np.eye(len(encoding.sums)))


@dataclass(frozen=True)
class Group:
    """A stage's ``scope``, and what its steps and sums are for each combination of the scope's choices.

    ``columns`` (features, combinations) are those of ``features``, steps before sums; ``sums`` are places among all.
    """

    encoding: StepEncoding
    space: SearchSpace
    scope: tuple[int, ...]
    features: tuple[int, ...]
    sums: tuple[int, ...]
    columns: Floats

    def table(self, entries: Floats) -> Factor:
        return Factor(self.scope, entries.reshape([int(self.space.sizes[column]) for column in self.scope]))

    def covariance(self, mixtures: Mixtures) -> Floats:
        """Of the sums, in the mixture of this scope, shape (sums, sums)."""
        if self.scope not in mixtures:
            return np.zeros((len(self.sums), len(self.sums)))
        codes, shares = mixtures[self.scope]
        columns = sums_of(self.encoding, self.space, codes)[list(self.sums)]
        # by the shares as probabilities: what a table exceeds the pairs by is linear in this covariance
        off = columns - (columns @ shares)[:, None]
        return np.asarray((off * shares) @ off.T)


def spread_form(predictor: Parts, groups: tuple[Group, ...], sizes: tuple[Bend, ...], spread: Floats) -> Form:
    """The form whose tables exceed what pairs of a stage add by as little as can be where sums vary by ``spread``."""
    linear, _, square = split_weights(predictor)
    n, sums = len(predictor.encoding.steps), len(spread)
    inside = np.zeros((sums, sums), dtype=np.bool_)
    for group in groups:
        inside[np.ix_(group.sums, group.sums)] = True
    across = np.where(inside, 0.0, square[n:, n:])
    # the least multiple of the inverse spread that makes across - moved concave: the greatest eigenvalue of
    # across in coordinates in which the sums vary alike in all directions
    # (spread has a block for each stage, and so has its inverse, so that `where` below removes rounding alone)
    root = np.linalg.cholesky(spread)
    most = max(float(np.linalg.eigvalsh(root.T @ across @ root)[-1]), 0.0) if sums else 0.0
    moved = most * np.where(inside, np.linalg.inv(spread), 0.0)
    heights, axes = np.linalg.eigh(across - moved)
    heights = np.minimum(heights, 0.0)  # above it by rounding only
    # what is left in square is within stages, and so lookup tables; across - moved goes into the parabolas
    square[n:, n:] += moved - across

    tables, along = [], []
    for group in groups:
        inner = square[np.ix_(group.features, group.features)]
        entries = linear[list(group.features)] @ group.columns
        entries += np.einsum("ij,ij->j", group.columns, inner @ group.columns)
        tables.append(group.table(entries))
        # a stage's part of each axes.T @ s, which is a sum over stages as s is: one table a stage and axis
        projected = axes[list(group.sums)].T @ group.columns[len(group.features) - len(group.sums) :]
        along.append([group.table(row) for row in projected])
    parabolas = [
        Bend(tuple(factors[i] for factors in along), partial(parabola, float(height)))
        for i, height in enumerate(heights) if height < -NOTHING
    ]  # fmt: skip

    def tighter(mixtures: Mixtures) -> Form:
        found = np.zeros_like(spread)
        for group in groups:
            found[np.ix_(group.sums, group.sums)] = group.covariance(mixtures)
        # scaled to a mean variance of 1, then half of the way from the last spread: whole steps swing to and fro
        middle = max(float(np.trace(found)) / max(sums, 1), NOTHING)
        return spread_form(
            predictor, groups, sizes, (spread + found / middle + SPREAD_OF_ALL * np.eye(sums)) / 2
        )

    level = float(predictor.weights[0, 0])
    return Form(level, tuple(tables), (*parabolas, *sizes), predictor.curve.top1, tighter)


def split_weights(predictor: Parts) -> tuple[Floats, Floats, Floats]:
    """Weights of steps and sums (n,), of sizes, and the symmetric matrix (n, n) of pairs."""
    encoding = predictor.encoding
    weights = predictor.weights[0].astype(np.float64)
    singles = len(encoding.steps) + len(encoding.sums)
    linear, of_sizes, of_pairs = np.split(weights[1:], [singles, singles + 2 * len(predictor.sizes)])
    first, second = encoding.pairs
    # half on either side of the diagonal, as z @ square @ z has every pair twice; of one twice both halves meet there
    square = np.zeros((singles, singles))
    np.add.at(square, (first, second), of_pairs / 2)
    np.add.at(square, (second, first), of_pairs / 2)
    return linear, of_sizes, square


def group_of(
    encoding: StepEncoding,
    space: SearchSpace,
    scope: tuple[int, ...],
    steps: tuple[int, ...],
    sums: tuple[int, ...],
) -> Group:
    features = (*steps, *(len(encoding.steps) + i for i in sums))
    columns = encoding.columns(encoding.recoded(space, space.canonical(grid(space, scope))))[list(features)]
    return Group(encoding, space, scope, features, sums, columns.astype(np.float64))


def sums_of(encoding: StepEncoding, space: SearchSpace, codes: Codes) -> Floats:
    """Shape (sums, n)."""
    known = encoding.recoded(space, space.canonical(codes))
    return encoding.columns(known)[len(encoding.steps) :].astype(np.float64)


def parabola(height: float, x: Floats) -> Floats:
    return height * x**2


def power(log: float, inverse: float, x: Floats) -> Floats:
    """What a size adds, of the size relative to its middle."""
    return log * np.log(x) + inverse * (1 / x - 1)


def relative(size: SizeTables, encoding: StepEncoding, space: SearchSpace) -> tuple[Factor, ...]:
    """A size's tables in a space that may have a part of the choices, divided by its middle."""
    places: list[npt.NDArray[np.intp]] = [
        np.array([known.index(choice) for choice in d.choices])
        for (_, known), d in zip(encoding.choices, space.dimensions, strict=True)
    ]
    # the middle is of logarithms; divided by it, the size stays a sum of tables, as its logarithm is not
    return tuple(
        Factor(f.columns, f.table[np.ix_(*(places[column] for column in f.columns))] / np.exp(size.middle))
        for f in size.factors
    )
