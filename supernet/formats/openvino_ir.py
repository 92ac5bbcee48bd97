"""OpenVINO's IR: a graph in XML and its weights, in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supernet.bundles.onnx_export import export_onnx
from supernet.errors import InputError
from supernet.formats.protocol import ExportFormat, Logits, NetworkInputs, Opened, Reading, ToWrite, batched

MODEL_XML = "model.xml"


def write_ir(material: ToWrite, folder: Path) -> None:
    import openvino as ov  # type: ignore[import-not-found, import-untyped, unused-ignore]

    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        path = Path(scratch) / "model.onnx"
        export_onnx(material.subnet, material.channels, material.resolution, path, material.batch)
        ov.save_model(ov.Core().read_model(str(path)), str(folder / MODEL_XML), compress_to_fp16=False)


@contextmanager
def opened_ir(reading: Reading) -> Iterator[Opened]:
    """One stream in float32, which on processors with bf16 it would not take by itself."""
    import openvino as ov

    settings = {
        "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": reading.threads,
        "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False,
    }  # fmt: skip
    path = reading.folder / MODEL_XML
    core = ov.Core()
    try:
        model = core.read_model(str(path))
    except RuntimeError as error:
        raise InputError(f"OpenVINO cannot load {path}: {error}") from error
    request = core.compile_model(model, "CPU", settings).create_infer_request()

    def run(images: NetworkInputs) -> Logits:
        request.set_input_tensor(ov.Tensor(images.copy()))
        request.infer()
        found: Logits = request.get_output_tensor().data.copy()
        return found

    def bound(images: NetworkInputs) -> Any:
        if reading.batch is None:  # as a device compiles it: a fixed shape is faster
            model.reshape(list(images.shape))
        own = core.compile_model(model, "CPU", settings).create_infer_request()
        own.set_input_tensor(ov.Tensor(images.copy()))
        return own.infer

    yield Opened(batched(run, reading.batch), bound)


FORMAT = ExportFormat(
    "openvino", "OpenVINO's IR in float32, for Intel's and other processors", MODEL_XML, ("openvino",), write_ir,
    opened_ir, extra="openvino",
)  # fmt: skip
