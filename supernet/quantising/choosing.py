"""Which method of quantising a subnet is best, by the validation split: what is reported has no say."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from supernet.accuracy import Accuracy
from supernet.atomic import whole
from supernet.errors import InputError
from supernet.evaluating.evaluation import accuracy_of_logits, logits_of, none_decoded
from supernet.evaluating.onnx_sessions import network_in
from supernet.images.data import Dataset
from supernet.quantising.method import QUANTISING_METHODS, QuantisingMethod
from supernet.quantising.onnx_quantising import CalibrationInputs, quantiser

CALIBRATED_ON = 256
"""Images of the calibration split, evenly spread."""
CHOSEN_ON = 2_000
"""Images of the validation split, evenly spread: methods that differ by less than these tell are as good as each other."""


@dataclass(frozen=True)
class Tried:
    """A method, and what a subnet has on the validation split by it."""

    method: QuantisingMethod
    accuracy: Accuracy


def calibration_inputs(data: Dataset, resolution: int, images: int = CALIBRATED_ON) -> CalibrationInputs:
    """So many images of the calibration split, evenly spread, as a network takes them: (n, c, r, r) float32.

    Raises InputError where none can be decoded.
    """
    places = torch.linspace(0, len(data.calibration) - 1, min(images, len(data.calibration))).long()
    some = data.calibration.picked(places.tolist())
    inputs, _ = some.batch(slice(None), resolution, data.preprocessing)
    if not len(inputs):
        raise none_decoded(some)
    found: CalibrationInputs = inputs.contiguous().numpy()
    return found


def best_quantised(
    source: Path,
    target: Path,
    data: Dataset,
    resolution: int,
    methods: Sequence[QuantisingMethod] = QUANTISING_METHODS,
    calibration_images: int = CALIBRATED_ON,
    validation_images: int = CHOSEN_ON,
) -> tuple[Tried, ...]:
    """Write the float32 ONNX file of a subnet in 8 bits by the method that has the best validation top-1.

    All that was tried comes back, the best first, else in the order of ``methods``: of equally good ones the earlier
    one is the better. Ranges are of the calibration split; the report split is not looked at.
    """
    if not methods:
        raise InputError("methods: got none; give at least one way to quantise")
    images, few = (
        calibration_inputs(data, resolution, calibration_images),
        with_fewer_to_validate(data, validation_images),
    )
    found: list[tuple[Tried, bytes]] = []
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch, quantiser(source, images) as quantise:
        path = Path(scratch) / "int8.onnx"
        for method in methods:
            quantise(path, method)
            found.append((Tried(method, validation_accuracy(path, few, resolution)), path.read_bytes()))
    found.sort(key=lambda one: -one[0].accuracy.top1)
    with whole(target) as partial:
        partial.write_bytes(found[0][1])
    return tuple(tried for tried, _ in found)


def with_fewer_to_validate(data: Dataset, validation_images: int) -> Dataset:
    """The same with so many images of its validation split, evenly spread."""
    places = torch.linspace(0, len(data.validation) - 1, min(validation_images, len(data.validation))).long()
    return dataclasses.replace(data, validation=data.validation.picked(places.tolist()))


def validation_accuracy(path: Path, data: Dataset, resolution: int) -> Accuracy:
    """Of an ONNX file in ONNX Runtime, on the validation split."""
    logits, labels = logits_of(network_in(path), data.validation, resolution, data.preprocessing)
    return accuracy_of_logits(logits, labels, "validation")
