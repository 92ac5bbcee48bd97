"""Ranges that the activations of a LiteRT model are quantised over, of what they are on calibration images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from supernet.quantising.onnx_quantising import CalibrationInputs
from supernet.quiet import quietly

HISTOGRAM_BINS = 2048
STEPS_OF_8_BITS = 255
KEPT_PERCENTILE = 99.99
SHARES_TRIED = np.linspace(0.3, 1, 15)
"""Of the least and of the greatest value, what is tried as the end of a range."""
ValueRange = tuple[float, float]


@dataclass(frozen=True)
class Histogram:
    """How many values of a tensor lie in each of ``HISTOGRAM_BINS`` equal parts from ``least`` to ``greatest``."""

    least: float
    greatest: float
    counts: npt.NDArray[np.int64]

    @property
    def edges(self) -> npt.NDArray[np.float64]:
        return np.linspace(self.least, self.greatest, HISTOGRAM_BINS + 1)


def least_and_greatest(of: Histogram) -> ValueRange:
    return of.least, of.greatest


def percentile(of: Histogram) -> ValueRange:
    """All but the outermost values, 0.01 % on either side."""
    below = np.cumsum(of.counts) / of.counts.sum()
    outside = 1 - KEPT_PERCENTILE / 100
    first, last = np.searchsorted(below, [outside, 1 - outside])
    return float(of.edges[first]), float(of.edges[last + 1])


def least_squared_error(of: Histogram) -> ValueRange:
    """That whose 256 steps are nearest to the values, of many that are cut off on either side."""
    least, greatest = min(of.least, 0.0), max(of.greatest, 0.0)
    low, high = (
        ends.reshape(-1, 1) for ends in np.meshgrid(least * SHARES_TRIED[::-1], greatest * SHARES_TRIED[::-1])
    )
    step = np.maximum((high - low) / STEPS_OF_8_BITS, np.finfo(np.float32).tiny)
    values = (of.edges[:-1] + of.edges[1:]) / 2
    rounded = np.clip(np.round(values / step), np.round(low / step), np.round(high / step)) * step
    best = int((np.square(rounded - values) * of.counts).sum(axis=1).argmin())
    return float(low[best, 0]), float(high[best, 0])


RANGES: Mapping[str, Callable[[Histogram], ValueRange]] = {
    "least squared error": least_squared_error,
    f"percentile {KEPT_PERCENTILE:g}": percentile,
    "least and greatest values": least_and_greatest,
}


def activation_histograms(path: Path, images: CalibrationInputs) -> dict[str, Histogram]:
    """Of the input (n, c, r, r) and of what each operator of a float32 LiteRT file puts out, by the names of tensors."""
    bounds: dict[str, ValueRange] = {}
    for name, values in activations(path, images):
        least, greatest = bounds.get(name, (np.inf, -np.inf))
        bounds[name] = min(least, float(values.min())), max(greatest, float(values.max()))
    counts = {name: np.zeros(HISTOGRAM_BINS, dtype=np.int64) for name in bounds}
    for name, values in activations(path, images):
        counts[name] += np.histogram(values, HISTOGRAM_BINS, with_two_ends(bounds[name]))[0]
    return {name: Histogram(*with_two_ends(bounds[name]), counts[name]) for name in bounds}


def with_two_ends(found: ValueRange) -> ValueRange:
    """A tensor of one value has a range too."""
    least, greatest = found
    return found if greatest > least else (least, least + max(1e-6, abs(least) * 1e-6))


def activations(path: Path, images: CalibrationInputs) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Of one batch after the other, by names of tensors; where the last batch lacks images, the first ones fill it."""
    model = plain_interpreter(path, keep=True)
    given = model.get_input_details()[0]
    batch = int(given["shape"][0])
    made = {given["index"], *(place for one in model._get_ops_details() for place in one["outputs"])}
    told = [
        (one["index"], one["name"])
        for one in model.get_tensor_details()
        if one["index"] in made and one["dtype"] is np.float32
    ]
    for first in range(0, len(images), batch):
        model.set_tensor(given["index"], images.take(range(first, first + batch), axis=0, mode="wrap"))
        model.invoke()
        for place, name in told:
            yield name, model.get_tensor(place)


def plain_interpreter(path: Path, keep: bool = False) -> Any:
    """Of a LiteRT file without its XNNPACK delegate, which would hide operators; where ``keep``, all they put out stays."""
    from ai_edge_litert.interpreter import (  # type: ignore[import-not-found, unused-ignore]
        Interpreter,
        OpResolverType,
    )

    with quietly():
        made = Interpreter(
            model_content=path.read_bytes(),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=keep,
        )
        made.allocate_tensors()
    return made
