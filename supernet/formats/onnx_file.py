"""ONNX, which ONNX Runtime reads, and many others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supernet.bundles.onnx_export import export_onnx
from supernet.bundles.ports import INPUT, OUTPUT
from supernet.evaluating.onnx_sessions import session_of
from supernet.formats.protocol import ExportFormat, Logits, NetworkInputs, Opened, Reading, ToWrite, batched

MODEL_ONNX = "model.onnx"


def write_onnx(material: ToWrite, folder: Path) -> None:
    export_onnx(
        material.subnet, material.channels, material.resolution, folder / MODEL_ONNX, material.batch, material.opset
    )  # fmt: skip


@contextmanager
def opened_onnx(reading: Reading) -> Iterator[Opened]:
    session = session_of(reading.folder / MODEL_ONNX, reading.threads)

    def run(images: NetworkInputs) -> Logits:
        found: Logits = session.run([OUTPUT], {INPUT: images})[0]
        return found

    def bound(images: NetworkInputs) -> Any:
        inputs = {INPUT: images}
        return lambda: session.run(None, inputs)

    yield Opened(batched(run, reading.batch), bound)


FORMAT = ExportFormat(
    "onnx", "ONNX, for ONNX Runtime and others", MODEL_ONNX, ("onnx",), write_onnx, opened_onnx,
    runtime=("onnxruntime",), takes_opset=True,
)  # fmt: skip
