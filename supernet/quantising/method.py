"""How a network is quantised, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from supernet.errors import InputError

RangeCalibration = Literal["min-max", "entropy", "percentile"]
WeightScales = Literal["channel", "tensor"]
CALIBRATIONS: tuple[RangeCalibration, ...] = ("min-max", "entropy", "percentile")
WEIGHT_SCALES: tuple[WeightScales, ...] = ("channel", "tensor")
RANGE_PERCENTILE = 99.999


@dataclass(frozen=True)
class QuantisingMethod:
    """How 8 bits are laid over floating-point values: signed weights around 0, unsigned activations with a zero point.

    ``calibration`` is what the range of an activation is made of: its least and greatest value on the calibration
    images, the range that loses the least information (relative entropy of histograms), or the absolute value that
    ``percentile`` % lie within. ``weights`` have a scale for each output channel or one for a whole tensor.
    ``float_nodes`` are names of nodes that stay in float32.
    """

    calibration: RangeCalibration = "min-max"
    weights: WeightScales = "channel"
    percentile: float = RANGE_PERCENTILE
    float_nodes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.calibration not in CALIBRATIONS:
            raise InputError(f"calibration: got {self.calibration!r}; give {', '.join(CALIBRATIONS)}")
        if self.weights not in WEIGHT_SCALES:
            raise InputError(f"weights: got {self.weights!r}; give {', '.join(WEIGHT_SCALES)}")
        if not 50 < self.percentile <= 100:
            raise InputError(f"percentile: got {self.percentile}; give more than 50 and at most 100")

    def __str__(self) -> str:
        of = f" {self.percentile:g}" if self.calibration == "percentile" else ""
        left = f", {len(self.float_nodes)} nodes in float32" if self.float_nodes else ""
        return f"{self.calibration}{of}, per {self.weights}{left}"


QUANTISING_METHODS = tuple(
    QuantisingMethod(range_of, of) for of in WEIGHT_SCALES for range_of in CALIBRATIONS
)
"""Those that are tried; of equally good ones the first is kept."""
