"""A subnet as one ONNX file, with a dynamic batch dimension unless a batch is asked for."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from supernet.atomic import whole
from supernet.bundles.ports import INPUT as INPUT
from supernet.bundles.ports import OPSET, OPSETS
from supernet.bundles.ports import OUTPUT as OUTPUT
from supernet.errors import InputError, paragraph


def export_onnx(
    subnet: nn.Module,
    in_channels: int,
    resolution: int,
    path: Path,
    batch: int | None = None,
    opset: int = OPSET,
) -> None:
    """Write ``subnet`` to ``path``: ``images`` (n, c, r, r) float32 to ``logits`` (n, classes); n is ``batch`` or any.

    The TorchScript exporter needs 0.3 s where the newer one needs 5 s, and gives the
    same graph after fusion; see docs/decisions. Raises InputError for an opset that it does not write, and for an
    operation that the opset has not.
    """
    if opset not in OPSETS:
        raise InputError(f"--opset: got {opset}; torch's exporter writes {OPSETS[0]} to {OPSETS[-1]}")
    example = torch.zeros(batch or 1, in_channels, resolution, resolution)
    axes = {INPUT: {0: "n"}, OUTPUT: {0: "n"}} if batch is None else None
    with whole(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch._C._jit_set_onnx_log_enabled(
            False
        )  # of an operation that it cannot write it prints the whole graph
        try:
            torch.onnx.export(
                subnet, (example,), str(partial), dynamo=False, opset_version=opset,
                input_names=[INPUT], output_names=[OUTPUT], dynamic_axes=axes,
            )  # fmt: skip
        except torch.onnx.OnnxExporterError as error:
            raise InputError(
                f"the network cannot be written as ONNX: {paragraph(str(error))[:400]}. Write its forward pass with other "
                "operations, or give another --opset where one is named"
            ) from error
