"""LiteRT's flatbuffer in 8 bits, by litert-quantizer."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from pathlib import Path

from supernet.formats.checking import validation_top1
from supernet.formats.litert_file import MODEL_TFLITE, convert_to_tflite, opened_tflite
from supernet.formats.protocol import AccuracyBound, ExportFormat, QuantisedAs, ToWrite
from supernet.quantising.choosing import CHOSEN_ON, calibration_inputs
from supernet.quantising.litert_quantising import (
    LiteRTMethod,
    LiteRTOperator,
    first_two_convolutions,
    operators_of,
    quantise_tflite,
)
from supernet.quantising.litert_ranges import RANGES, activation_histograms

IN_FLOAT = ", first two convolutions in float32"


def write_tflite_int8(material: ToWrite, folder: Path) -> QuantisedAs:
    """By the method that is best on validation images; of equally good ones the first is kept."""
    assert material.data is not None
    images = calibration_inputs(material.data, material.resolution)
    tried: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        source, made = Path(scratch) / "float32.tflite", Path(scratch) / MODEL_TFLITE
        convert_to_tflite(material.subnet, material.example, source)
        operators, histograms = operators_of(source), activation_histograms(source, images)
        methods = litert_methods(operators)
        for name, method in methods.items():
            quantise_tflite(source, made, histograms, method)
            top1 = validation_top1(opened_tflite, Path(scratch), material)
            if not tried or top1 > max(tried.values()):
                best = name
                shutil.copyfile(made, folder / MODEL_TFLITE)
            tried[name] = top1
    return QuantisedAs(
        method=f"litert-quantizer, per channel, {best}",
        calibration_images=len(images),
        in_float=kept_in_float(operators, methods[best]),
        tried=tried,
        validation_images=min(CHOSEN_ON, len(material.data.validation)),
    )


def litert_methods(operators: tuple[LiteRTOperator, ...]) -> dict[str, LiteRTMethod]:
    """What is tried, by names: ranges of each kind, with the first two convolutions in float32 and without."""
    first = first_two_convolutions(operators)
    careful = {f"{ranges}{IN_FLOAT}": LiteRTMethod(ranges, first) for ranges in RANGES if first}
    return careful | {ranges: LiteRTMethod(ranges) for ranges in RANGES}


def kept_in_float(operators: tuple[LiteRTOperator, ...], method: LiteRTMethod) -> dict[str, str]:
    """Kinds of operators, how many of each, and why they are in float32."""
    chosen = Counter(one.kind for one in operators if one.output in method.float_outputs)
    always = Counter(
        one.kind
        for one in operators
        if one.kind in method.float_kinds and one.output not in method.float_outputs
    )
    return {
        f"{kind} ({count}), up to the second convolution": "best so on validation images"
        for kind, count in chosen.items()
    } | {f"{kind} ({count})": "XNNPACK has no kernel of it in 8 bits" for kind, count in always.items()}


FORMAT = ExportFormat(
    "litert-int8", "LiteRT's flatbuffer in 8 bits, for phones", MODEL_TFLITE,
    ("litert-torch", "ai-edge-litert", "litert-quantizer"), write_tflite_int8, opened_tflite, batch=1, any_batch=False,
    runtime=("ai-edge-litert",), extra="litert-int8", note=" (in an environment of its own)",
    bound=AccuracyBound(points=1, agreement=0.9), in_float="litert", needs_room=True,
)  # fmt: skip
