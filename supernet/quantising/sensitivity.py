"""What each layer costs in accuracy: where it alone is quantised, and where it alone is not."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from supernet.images.data import Dataset
from supernet.quantising.choosing import (
    CALIBRATED_ON,
    CHOSEN_ON,
    calibration_inputs,
    validation_accuracy,
    with_fewer_to_validate,
)
from supernet.quantising.method import QuantisingMethod
from supernet.quantising.onnx_layers import names_of_layers
from supernet.quantising.onnx_quantising import node_names, quantiser


@dataclass(frozen=True)
class LayerSensitivity:
    """Top-1 on validation images with only this in 8 bits, and with all but this; ``points`` lost so are of float32's."""

    name: str
    alone: float
    left_out: float


@dataclass(frozen=True)
class Sensitivity:
    """``float32`` and ``int8`` are top-1 with nothing and with everything in 8 bits, of the same ``images``."""

    images: int
    float32: float
    int8: float
    layers: tuple[LayerSensitivity, ...]


def sensitivity(
    source: Path,
    data: Dataset,
    resolution: int,
    groups: Mapping[str, tuple[str, ...]] | None = None,
    method: QuantisingMethod | None = None,
    validation_images: int = CHOSEN_ON,
) -> Sensitivity:
    """Of the layers of a float32 ONNX file, or of ``groups`` of nodes by a name, on validation images evenly spread."""
    how = method or QuantisingMethod()
    wanted = groups if groups is not None else {name: (name,) for name in names_of_layers(source)}
    nodes, few = node_names(source), with_fewer_to_validate(data, validation_images)
    images = calibration_inputs(data, resolution, CALIBRATED_ON)
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch, quantiser(source, images) as quantise:
        path = Path(scratch) / "int8.onnx"

        def top1_with(float_nodes: tuple[str, ...]) -> float:
            quantise(path, dataclasses.replace(how, float_nodes=float_nodes))
            return validation_accuracy(path, few, resolution).top1

        def layers() -> Iterator[LayerSensitivity]:
            for name, own in wanted.items():
                others = tuple(node for node in nodes if node not in own)
                yield LayerSensitivity(name, top1_with(others), top1_with(own))

        fp32 = validation_accuracy(source, few, resolution)
        return Sensitivity(fp32.images, fp32.top1, top1_with(()), tuple(layers()))
