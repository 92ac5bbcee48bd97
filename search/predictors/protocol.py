"""What an accuracy predictor is, and what it says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from supernet.accuracy import PredictedAccuracy
from supernet.amounts import ShownName
from supernet.archs.arch import Choice
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats
from supernet.documents import Document


class HeldOut(Document):
    """How well it predicts subnets that it was not trained on; errors in points of top-1.

    Rank correlations are absent where all that was predicted is equal.
    """

    rows: int
    folds: int
    rmse_points: float
    largest_error_points: float
    kendall_tau: float | None = None
    spearman: float | None = None


class PredictorCard(Document):
    """What a predictor carries besides its numbers.

    ``fingerprint`` is that of the supernet's network; ``split`` says on which images the top-1
    is that it predicts; ``domain`` holds, for the dimensions that were not free in training,
    the choices that were seen (``{"resolution": [224]}``); ``held_out`` is absent where its
    makers published none.
    """

    name: ShownName
    kind: str
    supernet: str
    fingerprint: str
    split: str
    domain: dict[str, tuple[Choice, ...]] = {}
    held_out: HeldOut | None = None
    source: str
    settings: dict[str, Any] = {}


@dataclass(frozen=True)
class Prediction:
    """Top-1 as a fraction and, where the predictor knows it, its standard deviation; shape (n,) each.

    Nine in ten measured values lie within 1.645 standard deviations.
    """

    top1: Floats
    std: Floats | None

    def __iter__(self) -> Iterator[PredictedAccuracy]:
        """One value an arch."""
        stds = [None] * len(self.top1) if self.std is None else self.std.tolist()
        return (PredictedAccuracy(*pair) for pair in zip(self.top1.tolist(), stds, strict=True))


class Predictor(Protocol):
    """Archs -> predicted top-1. Made by a builder of :data:`search.predictors.kinds.KINDS`."""

    @property
    def card(self) -> PredictorCard: ...

    def predict(self, space: SearchSpace, codes: Codes) -> Prediction:
        """For codes (n, dimensions) of ``space``: that of the card's supernet, or a part of it.

        Raises InputError for a choice that the predictor has no input for.
        """
        ...

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """The numbers that its file holds beside the card."""
        ...
