"""A subnet as an ONNX file, quantised where int8 is asked for: the same file for every runtime that reads ONNX."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cost_models.measurements import Setup
from cost_models.runtimes.protocol import InputImages

if TYPE_CHECKING:
    from torch import nn

RANGE_IMAGES = 4
"""Random ones: they set the ranges of activations, which do not move the time."""
CALIBRATION_SEED = 1


def onnx_of(subnet: nn.Module, images: InputImages, setup: Setup, folder: Path) -> Path:
    """The file of a subnet for images of their shape, in the setup's precision if that is int8."""
    from supernet.bundles.onnx_export import export_onnx

    path = folder / "model.onnx"
    export_onnx(subnet, images.shape[1], images.shape[2], path)
    return quantized(path, images) if setup.precision == "int8" else path


def quantized(path: Path, images: InputImages) -> Path:
    """The model in int8: weights by channel, activations unsigned, written as quantise-dequantise pairs (QDQ)."""
    from onnxruntime.quantization import (  # type: ignore[import-untyped, unused-ignore]
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import (  # type: ignore[import-untyped, unused-ignore]
        quant_pre_process,
    )

    fused, found = path.with_name("fused.onnx"), path.with_name("int8.onnx")
    with quiet_log():
        quant_pre_process(str(path), str(fused), skip_symbolic_shape=True)
        quantize_static(
            str(fused), str(found), reader(images.shape[1:]), quant_format=QuantFormat.QDQ, per_channel=True,
            weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
        )  # fmt: skip
    return found


def reader(shape: tuple[int, ...]) -> Any:
    """Random images of a shape (channels, side, side), one at a time."""
    from onnxruntime.quantization import CalibrationDataReader

    from supernet.bundles.onnx_export import INPUT

    drawn = np.random.default_rng(CALIBRATION_SEED).standard_normal(
        (RANGE_IMAGES, 1, *shape), dtype=np.float32
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc, unused-ignore]
        left: Iterator[Any] = iter(drawn)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self.left, None)
            return None if image is None else {INPUT: image}

    return Reader()


@contextmanager
def quiet_log() -> Iterator[None]:
    """Without the advice to do what is done here anyway, which the library logs."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
