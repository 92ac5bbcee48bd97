"""A subnet in int8 as it is deployed: quantised on the calibration split, in ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.archs.arch import Arch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from supernet.images.data import Dataset

RANGE_IMAGES = 128
"""Images of the calibration split, the first, that set the ranges of activations; they are mixed, some of each class."""


def write_int8(subnet: nn.Module, arch: Arch, data: Dataset, path: Path) -> None:
    """Write a subnet that is calibrated as an ONNX file in int8; the same subnet and images give the same bytes."""
    from supernet.bundles.onnx_export import export_onnx
    from supernet.quantising.onnx_quantising import quantise_onnx

    images, _ = data.calibration.batch(slice(0, RANGE_IMAGES), arch.resolution, data.preprocessing)
    with tempfile.TemporaryDirectory(prefix="oncefit-") as folder:
        source = Path(folder) / "float32.onnx"
        export_onnx(subnet, images.shape[1], arch.resolution, source)
        quantise_onnx(source, path, images.contiguous().numpy())


def int8_answers(subnet: nn.Module, arch: Arch, data: Dataset) -> Callable[[Tensor], Tensor]:
    """Logits (n, classes) of inputs (n, c, r, r) by the file that :func:`write_int8` writes; it may be asked by several threads."""
    from supernet.bundles.bundle import predictor
    from supernet.formats.onnx_file import session_of

    with tempfile.TemporaryDirectory(prefix="oncefit-") as folder:
        path = Path(folder) / "int8.onnx"
        write_int8(subnet, arch, data, path)
        return predictor(session_of(path, threads=1))
