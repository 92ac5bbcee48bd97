"""ONNX, which ONNX Runtime reads, and many others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supernet.bundles.onnx_export import export_onnx
from supernet.bundles.ports import INPUT, OUTPUT
from supernet.errors import InputError
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


def session_of(path: Path, threads: int) -> Any:
    """ONNX Runtime on the processor. Raises InputError for a file that is no model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3  # errors only
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise InputError(f"ONNX Runtime cannot load {path}: {error}") from error


FORMAT = ExportFormat(
    "onnx", "ONNX, for ONNX Runtime and others", MODEL_ONNX, ("onnx",), write_onnx, opened_onnx,
    runtime=("onnxruntime",), takes_opset=True,
)  # fmt: skip
