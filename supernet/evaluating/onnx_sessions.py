"""ONNX Runtime on the processor, as what a network in a file is evaluated with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from supernet.errors import InputError


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


def network_in(path: Path) -> Callable[[Tensor], Tensor]:
    """The model of a file as a function of inputs (n, c, r, r) to logits (n, classes), one thread a call."""
    session = session_of(path, 1)
    name = session.get_inputs()[0].name
    return lambda inputs: torch.from_numpy(session.run(None, {name: inputs.contiguous().numpy()})[0])
