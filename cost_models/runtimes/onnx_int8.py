"""A subnet as an ONNX file, quantised where int8 is asked for: the same file for every runtime that reads ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
    from supernet.quantising.onnx_quantising import quantise_onnx

    path = folder / "model.onnx"
    export_onnx(subnet, images.shape[1], images.shape[2], path)
    if setup.precision != "int8":
        return path
    rng = np.random.default_rng(CALIBRATION_SEED)
    drawn = rng.standard_normal((RANGE_IMAGES, *images.shape[1:]), dtype=np.float32)
    quantise_onnx(path, folder / "int8.onnx", drawn)
    return folder / "int8.onnx"
