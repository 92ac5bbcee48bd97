"""Core ML's package, for Apple's devices: converted anywhere, run on macOS only."""

from __future__ import annotations

from pathlib import Path

from supernet.bundles.ports import INPUT, OUTPUT
from supernet.formats.protocol import ExportFormat, ToWrite
from supernet.quiet import quietly

MODEL_MLPACKAGE = "model.mlpackage"


def write_mlpackage(material: ToWrite, folder: Path) -> None:
    import torch

    with quietly():
        import coremltools  # type: ignore[import-not-found, unused-ignore]

        traced = torch.jit.trace(material.subnet, material.example)  # type: ignore[no-untyped-call]
        made = coremltools.convert(
            traced,
            inputs=[coremltools.TensorType(INPUT, tuple(material.example.shape))],
            outputs=[coremltools.TensorType(OUTPUT)],
            convert_to="mlprogram",
            compute_precision=coremltools.precision.FLOAT32,
        )
        made.save(str(folder / MODEL_MLPACKAGE))


FORMAT = ExportFormat(
    "coreml", "Core ML's package in float32, for Apple's devices", MODEL_MLPACKAGE, ("coremltools",), write_mlpackage,
    None, batch=1, any_batch=False, extra="coreml", not_run="Core ML runs on macOS only",
)  # fmt: skip
