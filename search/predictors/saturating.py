"""Top-1 as a curve that flattens out over a sum of what each choice, pairs of choices and the size add.

``top1 = ceiling - gap * exp(-latent)``: what a larger kernel or a further block adds shrinks as a
subnet gets better, and does so for all choices alike, in a latent quality that is a weighted sum
of features (:mod:`search.predictors.features`). The weights have a normal distribution, of which a
mean and the directions of most doubt are kept. Made by :mod:`search.predictors.training`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_models.tables import Factor
from search.predictors.features import EncodedRows, StepEncoding
from search.predictors.form import Form
from search.predictors.protocol import Prediction, PredictorCard
from search.predictors.saturating_form import form_of
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats
from supernet.errors import InputError

KIND = "saturating"
CHOICES = "choices"
"""Setting of the card: pairs of a dimension and its choices."""

ENCODED_AT_ONCE = 256
"""Archs at a time: their features stay in the processor's cache."""

EXTRAPOLATION = 0.2
"""Standard deviation per point that a prediction lies below nearly all that was seen in training."""


@dataclass(frozen=True)
class Size:
    """A total of an arch, as lookup tables over all choices; ``middle`` is the mean of its logarithm."""

    name: str
    factors: tuple[Factor, ...]
    middle: float

    def columns(self, codes: Codes) -> EncodedRows:
        """Logarithm and inverse, relative to the middle, shape (2, n): accuracy grows by a power of the size."""
        logs = np.log(sum(factor.look_up(codes) for factor in self.factors)) - self.middle
        return np.stack([logs, np.expm1(-logs)]).astype(np.float32)


@dataclass(frozen=True)
class Curve:
    """From latent quality to top-1: ``ceiling - gap * exp(-latent)``.

    ``latent_noise`` and ``noise`` are standard deviations of what the features do not tell, in
    latent quality and in top-1; ``least`` is the top-1 that 19 of 20 subnets of training reach.
    """

    ceiling: float
    gap: float
    latent_noise: float
    noise: float
    least: float

    def top1(self, latent: Floats) -> Floats:
        return self.ceiling - self.gap * np.exp(-latent)

    def std(self, top1: Floats, variance: Floats) -> Floats:
        """Standard deviation of a measured top-1, for a variance of the latent quality."""
        slope = self.ceiling - top1
        beyond = EXTRAPOLATION * np.maximum(self.least - top1, 0)
        return np.sqrt(slope**2 * (variance + self.latent_noise**2) + self.noise**2 + beyond**2)


@dataclass(frozen=True)
class Saturating:
    """``weights`` (1 + r, features): the mean of the weights, then r directions of their doubt.

    ``left`` is the mean variance of the latent quality in all other directions.
    """

    card: PredictorCard
    encoding: StepEncoding
    sizes: tuple[Size, ...]
    curve: Curve
    weights: EncodedRows
    left: float

    def predict(self, space: SearchSpace, codes: Codes) -> Prediction:
        """With the deviation of a measurement from it."""
        known = self.encoding.recoded(space, codes)
        latent, variance = np.empty(len(codes)), np.empty(len(codes))
        for part, columns in chunks(self.encoding, self.sizes, known):
            found = self.weights @ columns
            latent[part] = found[0]
            variance[part] = np.einsum("ij,ij->j", found[1:], found[1:]) + self.left
        top1 = self.curve.top1(latent)
        return Prediction(top1, self.curve.std(top1, variance))

    def form(self, space: SearchSpace) -> Form | None:
        """The mean prediction in parts."""
        return form_of(self, space)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        curve = self.curve
        numbers: dict[str, npt.NDArray[Any]] = {
            "weights": self.weights,
            "steps": np.array(self.encoding.steps, dtype=np.int16).reshape(-1, 2),
            "curve": np.array([curve.ceiling, curve.gap]),
            "noise": np.array([curve.latent_noise, curve.noise, self.left]),
            "least": np.array([curve.least]),
        }
        for size in self.sizes:
            numbers[f"{size.name}/middle"] = np.array([size.middle])
            for i, factor in enumerate(size.factors):
                numbers[f"{size.name}/{i}/columns"] = np.array(factor.columns, dtype=np.int16)
                numbers[f"{size.name}/{i}/table"] = factor.table
        return numbers


def from_tensors(card: PredictorCard, tensors: Mapping[str, npt.NDArray[Any]]) -> Saturating:
    """The predictor of a file. Raises InputError for tensors that do not fit together."""
    try:
        choices = tuple((str(name), tuple(given)) for name, given in card.settings[CHOICES])
        steps = tuple((int(dimension), int(code)) for dimension, code in tensors["steps"])
        (ceiling, gap), (latent_noise, noise, left), (least,) = (
            tensors[name].astype(float) for name in ("curve", "noise", "least")
        )
        names = dict.fromkeys(key.partition("/")[0] for key in tensors if "/" in key)
        made = Saturating(
            card,
            StepEncoding(choices, steps),
            tuple(size_of(name, tensors) for name in sorted(names)),
            Curve(float(ceiling), float(gap), float(latent_noise), float(noise), float(least)),
            np.ascontiguousarray(tensors["weights"], dtype=np.float32),
            float(left),
        )
        archs = np.zeros((1, len(choices)), dtype=np.int16)
        inputs = sum(len(columns) for _, columns in chunks(made.encoding, made.sizes, archs))
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"the predictor {card.name} is no {KIND}: {error!r} is missing or wrong") from error
    if made.weights.ndim != 2 or made.weights.shape[1] != inputs:
        raise InputError(
            f"the predictor {card.name} has weights of shape {made.weights.shape}, but its dimensions give "
            f"{inputs} features"
        )
    return made


def size_of(name: str, tensors: Mapping[str, npt.NDArray[Any]]) -> Size:
    count = sum(key.startswith(f"{name}/") and key.endswith("/table") for key in tensors)
    factors = tuple(
        Factor(tuple(int(column) for column in tensors[f"{name}/{i}/columns"]), tensors[f"{name}/{i}/table"])
        for i in range(count)
    )
    return Size(name, factors, float(tensors[f"{name}/middle"][0]))


def chunks(
    encoding: StepEncoding, sizes: tuple[Size, ...], codes: Codes
) -> Iterator[tuple[slice, EncodedRows]]:
    """Features of canonical codes, shape (features, archs of the chunk): 1, steps, sums, sizes, products."""
    totals = [size.columns(codes) for size in sizes]
    for start in range(0, len(codes), ENCODED_AT_ONCE):
        part = slice(start, start + ENCODED_AT_ONCE)
        columns = encoding.columns(codes[part])
        one = np.ones((1, columns.shape[1]), dtype=np.float32)
        both = [total[:, part] for total in totals]
        yield part, np.concatenate([one, columns, *both, encoding.products(columns)])
