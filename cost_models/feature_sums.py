"""Sums of the features of all layers, for whole populations of archs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from cost_models.layer_features import features
from cost_models.tables import Factor, layers_by_choice
from supernet.archs.layers import Layer, Segment
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats
from supernet.families.catalog import Supernet


@dataclass(frozen=True)
class FeatureSums:
    """``names`` of all features that a layer of the space has, and for each segment its sums by choice.

    ``tables`` hold, for a segment, a row of sums (features,) for each combination of its choices.
    """

    space: SearchSpace
    segments: tuple[Segment, ...]
    names: tuple[str, ...]
    tables: tuple[Floats, ...]

    def of(self, codes: Codes) -> Floats:
        """Sums over the layers of each arch, shape (n, features)."""
        total = np.zeros((len(codes), len(self.names)))
        for segment, table in zip(self.segments, self.tables, strict=True):
            there = rows_with(self.space, segment, codes)
            total[there] += table[choice_places(self.space, segment, codes[there])]
        return total


def feature_sums(supernet: Supernet) -> FeatureSums:
    """The features of a supernet's layers."""
    return _feature_sums(supernet.space, tuple(supernet.segments))


@lru_cache(maxsize=8)
def _feature_sums(space: SearchSpace, segments: tuple[Segment, ...]) -> FeatureSums:
    rows = [[summed(layers) for layers in layers_by_choice(space, segment)] for segment in segments]
    names = tuple(sorted({name for table in rows for row in table for name in row}))
    column = {name: i for i, name in enumerate(names)}
    return FeatureSums(space, segments, names, tuple(as_array(table, column) for table in rows))


def summed(layers: Sequence[Layer]) -> dict[str, float]:
    """Features of some layers, added up."""
    total: dict[str, float] = {}
    for layer in layers:
        for name, amount in features(layer).items():
            total[name] = total.get(name, 0.0) + amount
    return total


def as_array(rows: Sequence[Mapping[str, float]], column: Mapping[str, int]) -> Floats:
    found = np.zeros((len(rows), len(column)))
    for i, row in enumerate(rows):
        for name, amount in row.items():
            found[i, column[name]] = amount
    return found


def rows_with(space: SearchSpace, segment: Segment, codes: Codes) -> npt.NDArray[np.bool_]:
    """Which archs have a segment, shape (n,)."""
    if segment.needs is None:
        return np.ones(len(codes), dtype=np.bool_)
    name, least = segment.needs
    has = np.array([choice >= least for choice in space.by_name[name].choices])
    return np.asarray(has[codes[:, space.index[name]]])


def choice_places(space: SearchSpace, segment: Segment, codes: Codes) -> npt.NDArray[np.intp]:
    """Place of each arch's choices in the list of :func:`layers_by_choice`, shape (n,)."""
    columns = tuple(space.index[name] for name in segment.dimensions)
    sizes = [int(space.sizes[column]) for column in columns]
    numbered = Factor(columns, np.arange(int(np.prod(sizes)), dtype=np.float64).reshape(sizes))
    return numbered.look_up(codes).astype(np.intp)
