"""What a proposal makes of archs that others are still evaluating, the pending ones (docs/decisions/036-parallel-proposals.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from search.proposing.surrogate import Surrogate
from supernet.arrays import Floats


class Expects(Protocol):
    """What a search for the next arch needs of a surrogate."""

    def predict(self, rows: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the accuracy, each of shape (n,), given features (n, k)."""
        ...


def fully(rows: Floats) -> Floats:
    """Every improvement counts as it is, shape (n,)."""
    return np.ones(len(rows))


@dataclass(frozen=True)
class Outlook:
    """What is expected while archs are pending.

    ``counts`` says whether pending archs stand among the known ones, with the accuracy that is expected of them;
    ``weight`` of features (n, k) is how far an improvement there counts, shape (n,).
    """

    surrogate: Expects
    counts: bool = True
    weight: Callable[[Floats], Floats] = fully


Pending = Callable[[Surrogate, Floats, np.random.Generator], Outlook]
"""The surrogate of what has ended, features of the pending archs (n, k), n > 0, and random numbers -> the outlook."""


def believed(surrogate: Surrogate, rows: Floats, rng: np.random.Generator) -> Outlook:
    """As if what is expected of them had come: the kriging believer (Ginsbourger et al., 2010)."""
    return Outlook(surrogate.believe(rows))
