"""What a predictor may say of its own form, so that what no arch exceeds can be proven."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from cost_models.tables import Factor
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats


@dataclass(frozen=True)
class Bend:
    """A smooth curve of a sum of lookup tables; the sum is about 1, or less."""

    factors: tuple[Factor, ...]
    curve: Callable[[Floats], Floats]

    def __call__(self, codes: Codes) -> Floats:
        return self.curve(look_up(self.factors, codes))


Mixtures = Mapping[tuple[int, ...], tuple[Codes, Floats]]
"""By columns: combinations of their choices, as codes (n, dimensions), and their shares (n,), which sum to 1."""


@dataclass(frozen=True)
class Form:
    """``top1``, which rises, of a latent quality: a level, lookup tables and bends, all summed.

    ``tighter`` says the same of every arch in another way, which says less of given mixtures of archs.
    """

    level: float
    factors: tuple[Factor, ...]
    bends: tuple[Bend, ...]
    top1: Callable[[Floats], Floats]
    tighter: Callable[[Mixtures], Form] | None = None

    def latent(self, codes: Codes) -> Floats:
        """Shape (n,), of canonical codes."""
        found = self.level + look_up(self.factors, codes)
        for bend in self.bends:
            found = found + bend(codes)
        return found


@runtime_checkable
class Formed(Protocol):
    """A predictor that knows its form."""

    def form(self, space: SearchSpace) -> Form | None:
        """For a space that it predicts; None where its tables would be too large."""
        ...


def look_up(factors: tuple[Factor, ...], codes: Codes) -> Floats:
    """A sum of lookup tables, shape (n,)."""
    total = np.zeros(len(codes))
    for factor in factors:
        total += factor.look_up(codes)
    return total
