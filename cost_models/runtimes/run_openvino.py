"""OpenVINO on the processor: one stream, a fixed shape, the precision asked for and no other.

On processors with bf16 it computes in that unless told otherwise, which changes both time and logits: the
precision is set, and what the compiled model reports is checked and recorded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cost_models.measurements import Setup
from cost_models.runtimes.onnx_int8 import onnx_of
from cost_models.runtimes.protocol import InputImages, Loaded, Runtime, check_input
from supernet.errors import InputError

if TYPE_CHECKING:
    from torch import nn

PROCESSOR = "CPU"
HINTS: Mapping[str, str] = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}
"""What is computed where a layer is not quantised."""
REPORTED: Mapping[str, str] = {"f32": "float32", "bf16": "bfloat16"}
WORKING: Mapping[str, tuple[str, ...]] = {"fp32": ("f32",), "bf16": ("bf16",), "int8": ("u8", "i8")}
"""In which precisions most convolutions of a compiled model must run."""
CONVOLUTION = "Convolution"


def load(subnet: nn.Module, images: InputImages, setup: Setup, folder: Path) -> Loaded:
    import openvino as ov  # type: ignore[import-not-found, import-untyped, unused-ignore]

    core = opened()
    check_capable(core, setup)
    model = core.read_model(str(onnx_of(subnet, images, setup, folder)))
    shape = [side.get_length() if side.is_static else None for side in model.input(0).partial_shape]
    check_input(shape, images, "the model that was exported for openvino")
    model.reshape(list(images.shape))
    compiled = core.compile_model(model, PROCESSOR, settings(setup))
    check_input(list(compiled.input(0).shape), images, "the model that openvino compiled")
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(images.copy()))

    def logits() -> Any:
        request.infer()
        return request.get_output_tensor().data.copy()

    return Loaded(request.infer, logits, checked(compiled, setup))


@cache
def opened() -> Any:
    """One core for the process: it loads its plugins once."""
    import openvino as ov

    return ov.Core()


def settings(setup: Setup) -> dict[str, str | int | bool]:
    return {
        "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": setup.threads,
        "INFERENCE_PRECISION_HINT": HINTS[setup.precision], "ENABLE_CPU_PINNING": False,
    }  # fmt: skip


def check_capable(core: Any, setup: Setup) -> None:
    """Raises InputError for a precision that this processor has no instructions for."""
    can = core.get_property(PROCESSOR, "OPTIMIZATION_CAPABILITIES")
    if setup.precision.upper() not in can:
        have = [name for name in HINTS if name.upper() in can]
        raise InputError(
            f"--precision {setup.precision}: openvino finds no such instructions on this processor, and would "
            f"compute in another; it has {', '.join(have)}"
        )


def checked(compiled: Any, setup: Setup) -> dict[str, str | int | float]:
    """What a compiled model reports. Raises InputError where that is not what it was asked for."""
    hint = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    threads = int(compiled.get_property("INFERENCE_NUM_THREADS"))
    kinds = Counter(
        info["runtimePrecision"].astype(str)
        for operation in compiled.get_runtime_model().get_ordered_ops()
        if (info := operation.get_rt_info()) and info["layerType"].astype(str) == CONVOLUTION
    )
    mostly = [kind for kind, _ in kinds.most_common(1)]  # none of a layer that is no convolution
    asked = HINTS[setup.precision]
    if hint not in (asked, REPORTED[asked]) or not set(mostly) <= set(WORKING[setup.precision]):
        raise InputError(
            f"openvino was asked for {setup.precision} and compiled for {hint}, most convolutions in "
            f"{''.join(mostly)}: its times would be of another precision"
        )
    if threads != setup.threads:
        raise InputError(f"openvino was asked for {setup.threads} threads and takes {threads}")
    return {
        "inference_precision": hint, "convolutions": ", ".join(f"{n} {kind}" for kind, n in kinds.most_common()),
        "inference_threads": threads, "streams": int(compiled.get_property("NUM_STREAMS")),
        "cpu_pinning": str(compiled.get_property("ENABLE_CPU_PINNING")),
        "performance_hint": str(compiled.get_property("PERFORMANCE_HINT")),
    }  # fmt: skip


RUNTIME = Runtime("openvino", ("openvino",), ("fp32", "bf16", "int8"), load, extra="openvino")
