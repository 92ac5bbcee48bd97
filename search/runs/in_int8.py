"""A subnet in int8 as it is deployed: quantised on the calibration split, in ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from supernet.archs.arch import Arch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from supernet.accuracy import Accuracy
    from supernet.images.data import Dataset


def write_int8(subnet: nn.Module, arch: Arch, data: Dataset, path: Path) -> None:
    """Write a subnet that is calibrated as an ONNX file in int8; the same subnet and images give the same bytes.

    By one method for all, the default: to try several for each candidate would take many times as long as all else.
    """
    from supernet.bundles.onnx_export import export_onnx
    from supernet.quantising.choosing import calibration_inputs
    from supernet.quantising.onnx_quantising import quantise_onnx

    images = calibration_inputs(data, arch.resolution)
    with tempfile.TemporaryDirectory(prefix="oncefit-") as folder:
        source = Path(folder) / "float32.onnx"
        export_onnx(subnet, images.shape[1], arch.resolution, source)
        quantise_onnx(source, path, images)


def evaluate_int8(subnet: nn.Module, arch: Arch, data: Dataset, split: str) -> Accuracy:
    """Measured accuracy of a calibrated subnet in int8, on the images of a split that can be decoded."""
    import torch

    from supernet.evaluating.evaluation import accuracy_of_hits, hits_of_answers

    every = [range(len(getattr(data, split)))]
    parts = hits_of_answers(int8_answers(subnet, arch, data), arch.resolution, data, split, every)
    return accuracy_of_hits(torch.cat([hits for _, hits in parts]), split)


def int8_answers(subnet: nn.Module, arch: Arch, data: Dataset) -> Callable[[Tensor], Tensor]:
    """Logits (n, classes) of inputs (n, c, r, r) by the file that :func:`write_int8` writes; several threads may ask."""
    from supernet.evaluating.onnx_sessions import network_in

    with tempfile.TemporaryDirectory(prefix="oncefit-") as folder:
        path = Path(folder) / "int8.onnx"
        write_int8(subnet, arch, data, path)
        return network_in(path)
