"""An ONNX file in float32 as one in 8 bits, with pairs of QuantizeLinear and DequantizeLinear (QDQ), by ONNX Runtime."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from supernet.atomic import whole
from supernet.errors import InputError, unknown
from supernet.quantising.method import QuantisingMethod

CalibrationInputs = npt.NDArray[np.float32]
Quantise = Callable[[Path, QuantisingMethod], None]
"""Writes a file by a method."""
BINS = {"entropy": 512, "percentile": 2048}
"""Of histograms. With 128, its default, entropy calibration has no range to choose but the whole one; its time grows by their square."""
ACTIVATIONS_OF = 64
VALUES_AT_ONCE = 600_000
"""Images, and values in them, whose activations are in memory together."""


def quantise_onnx(
    source: Path, target: Path, images: CalibrationInputs, method: QuantisingMethod | None = None
) -> None:
    """Write the float32 model ``source`` in 8 bits to ``target``; ``images`` (n, c, r, r) set the ranges of activations.

    The same input gives the same bytes. Raises InputError for images that the model does not take, for nodes that it
    has not, and for what is no ONNX model in float32.
    """
    with quantiser(source, images) as quantise:
        quantise(target, method or QuantisingMethod())


@contextmanager
def quantiser(source: Path, images: CalibrationInputs) -> Iterator[Quantise]:
    """The same by several methods, for which ranges are measured once."""
    check_calibration_inputs(source, images)
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        fused = Path(scratch) / "fused.onnx"
        with quiet_runtime():
            fuse(source, fused)
        ranges: dict[tuple[str, float], Any] = {}

        def quantise(target: Path, method: QuantisingMethod) -> None:
            check_nodes(source, fused, method.float_nodes)
            key = (method.calibration, method.percentile)
            with quiet_runtime():
                if key not in ranges:
                    ranges[key] = activation_ranges(fused, images, method, Path(scratch))
                write_quantised(fused, target, ranges[key], method)

        yield quantise


def fuse(source: Path, target: Path) -> None:
    """Constants folded and shapes told, as quantisation wants it. Raises InputError for what is no model."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    try:
        quant_pre_process(str(source), str(target), skip_optimization=True, skip_symbolic_shape=True)
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise InputError(f"ONNX Runtime cannot prepare {source} for 8 bits: {error}") from error


def activation_ranges(fused: Path, images: CalibrationInputs, method: QuantisingMethod, scratch: Path) -> Any:
    """The range of every activation on the calibration images, a few of which are in memory at a time."""
    from onnxruntime.quantization import CalibrationMethod, create_calibrator

    kinds = {"min-max": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
    calibrator = create_calibrator(
        fused,
        augmented_model_path=str(scratch / "augmented.onnx"),
        calibrate_method=CalibrationMethod[kinds[method.calibration]],
        extra_options={"num_bins": BINS.get(method.calibration), "percentile": method.percentile},
    )
    name = one_input(fused)[0]
    size = max(1, min(ACTIVATIONS_OF, VALUES_AT_ONCE // images[0].size))
    for first in range(0, len(images), size):
        calibrator.collect_data(OneBatch({name: images[first : first + size]}))
    return calibrator.compute_data()


class OneBatch:
    """What ONNX Runtime reads calibration images from."""

    def __init__(self, inputs: dict[str, CalibrationInputs]) -> None:
        self.left = [inputs]

    def get_next(self) -> dict[str, CalibrationInputs] | None:
        return self.left.pop() if self.left else None


def write_quantised(fused: Path, target: Path, ranges: Any, method: QuantisingMethod) -> None:
    import onnx
    from onnxruntime.quantization import QDQQuantizer, QuantType
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    made = QDQQuantizer(
        onnx.shape_inference.infer_shapes(onnx.load(fused)),
        per_channel=method.weights == "channel",
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=copy.deepcopy(ranges),  # which it changes
        nodes_to_quantize=[],
        nodes_to_exclude=list(method.float_nodes),
        op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry}),
        extra_options={
            "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]
        },  # logits of 256 values would tie
    )
    made.quantize_model()
    with whole(target) as partial:
        made.model.save_model_to_file(str(partial))


def check_calibration_inputs(source: Path, images: CalibrationInputs) -> None:
    """Raises InputError for images that a model does not take: none, of another shape, or no numbers."""
    name, wanted = one_input(source)
    if images.ndim != 4 or not len(images):
        raise InputError(
            f"quantising {source} needs calibration images (n, channels, side, side), at least one; got an array of "
            f"shape {images.shape}"
        )
    told = " x ".join(str(side) if isinstance(side, int) else "any" for side in wanted)
    for axis, (due, given) in enumerate(zip(wanted[1:], images.shape[1:], strict=True), start=1):
        if isinstance(due, int) and due != given:
            what = "channels" if axis == 1 else "pixels a side"
            raise InputError(
                f"calibration images have {given} {what}, and {source} takes {due} (its input {name} is {told}); "
                "give images as the model takes them"
            )
    if images.dtype != np.float32 or not bool(np.isfinite(images).all()):
        raise InputError(
            f"calibration images must be finite float32 numbers, preprocessed as for {source}; got {images.dtype}"
        )


def one_input(source: Path) -> tuple[str, Sequence[int | str]]:
    """Name and shape of a model's one input; a side that may be any is a name. Raises InputError for what is no model in float32."""
    import onnx

    try:
        model = onnx.load(source, load_external_data=False)
    except Exception as error:  # protobuf's, and of files
        raise InputError(f"{source} cannot be read as an ONNX model: {error}") from error
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    if len(inputs) != 1 or len(inputs[0].type.tensor_type.shape.dim) != 4:
        raise InputError(f"{source} must take one input of images (n, channels, side, side)")
    if any(node.op_type in ("QuantizeLinear", "DequantizeLinear") for node in model.graph.node):
        raise InputError(f"{source} is quantised already; give the model in float32")
    sides = [side.dim_param or side.dim_value or "any" for side in inputs[0].type.tensor_type.shape.dim]
    return inputs[0].name, sides


def check_nodes(source: Path, fused: Path, names: Sequence[str]) -> None:
    """Raises InputError for a node to be left in float32 that a model has not."""
    if not names:
        return
    known = node_names(fused)
    for name in names:
        if name not in known:
            raise unknown(f"node of {source}", name, known)


def node_names(path: Path) -> list[str]:
    import onnx

    return [node.name for node in onnx.load(path).graph.node]


@contextmanager
def quiet_runtime() -> Iterator[None]:
    """Without what ONNX Runtime's quantisation prints and logs: its progress, and advice to do what is done here anyway."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
