"""ONNX Runtime on the processor: all graph optimisations, one operator after the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.measurements import Setup
from cost_models.runtimes.onnx_int8 import onnx_of
from cost_models.runtimes.protocol import InputImages, Loaded, Runtime, check_input
from supernet.errors import InputError

if TYPE_CHECKING:
    from torch import nn

PROVIDER = "CPUExecutionProvider"
SETTINGS: Mapping[str, str | int | float] = {
    "provider": PROVIDER,
    "execution": "sequential",
    "graph_optimization": "all",
}


def load(subnet: nn.Module, images: InputImages, setup: Setup, folder: Path) -> Loaded:
    return on_file(onnx_of(subnet, images, setup, folder), images, setup)


def on_file(onnx_path: Path, images: InputImages, setup: Setup) -> Loaded:
    """The model of a file. Raises InputError for a file that is no model, or takes other images."""
    session = open_session(onnx_path, setup.threads)
    declared = session.get_inputs()[0]
    check_input(list(declared.shape), images, str(onnx_path))
    inputs, run = {declared.name: images}, session.run
    return Loaded(lambda: run(None, inputs), lambda: run(None, inputs)[0], SETTINGS)


def open_session(onnx_path: Path, threads: int = 1) -> Any:
    """A session with pinned settings. Raises InputError for a file that is no model."""
    import onnxruntime as ort  # type: ignore[import-untyped, unused-ignore]

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    try:
        return ort.InferenceSession(str(onnx_path), options, providers=[PROVIDER])
    except Exception as error:  # onnxruntime's exceptions share no public base
        raise InputError(f"cannot open {onnx_path} as an ONNX model: {error}") from error


RUNTIME = Runtime("onnxruntime", ("onnxruntime",), ("fp32", "int8"), load)
"""No bf16: its convolutions for processors have none."""
