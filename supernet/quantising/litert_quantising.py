"""A LiteRT file in float32 as one in 8 bits, by litert-quantizer, with ranges of our own.

Its own calibration follows the least and greatest values by a moving average, which cuts off what few images have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from supernet.atomic import whole
from supernet.quantising.litert_ranges import RANGES, Histogram, ValueRange, plain_interpreter
from supernet.quiet import quietly

LITERT_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
NO_KERNEL_IN_8_BITS = ("HARD_SWISH",)
"""Of XNNPACK: one in 8 bits would be computed outside of it, and cut the network into parts."""
LOGITS = "FULLY_CONNECTED"
"""Weights in 8 bits, input rounded as it comes, and float32 put out: logits of 256 values would tie."""


@dataclass(frozen=True)
class LiteRTMethod:
    """``ranges`` is a key of ``RANGES``; operators in float32 are named by what they put out, or by their kinds."""

    ranges: str
    float_outputs: tuple[str, ...] = ()
    float_kinds: tuple[str, ...] = NO_KERNEL_IN_8_BITS


@dataclass(frozen=True)
class LiteRTOperator:
    """``kind`` is LiteRT's name of it, ``output`` the name of the tensor that it puts out."""

    kind: str
    output: str


def operators_of(path: Path) -> tuple[LiteRTOperator, ...]:
    """In the order in which they are computed."""
    model = plain_interpreter(path)
    names = {one["index"]: one["name"] for one in model.get_tensor_details()}
    return tuple(LiteRTOperator(one["op_name"], names[one["outputs"][0]]) for one in model._get_ops_details())


def first_two_convolutions(operators: tuple[LiteRTOperator, ...]) -> tuple[str, ...]:
    """What all operators up to the second convolution put out."""
    places = [place for place, one in enumerate(operators) if one.kind in LITERT_CONVOLUTIONS]
    return tuple(one.output for one in operators[: places[1] + 1]) if len(places) > 1 else ()


def quantise_tflite(
    source: Path, target: Path, histograms: Mapping[str, Histogram], method: LiteRTMethod
) -> None:
    """Write the float32 file ``source`` in 8 bits to ``target``; weights have a scale for each output channel."""
    range_of = RANGES[method.ranges]
    write_by_recipe(
        source, target, quantising_recipe(method), {name: range_of(one) for name, one in histograms.items()}
    )


def quantising_recipe(method: LiteRTMethod, activation_bits: int = 8) -> Any:
    """As litert-quantizer takes it: the input stays in float32."""
    from litert_quantizer.qtyping import (  # type: ignore[import-not-found, unused-ignore]
        TFLOperationName,
    )
    from litert_quantizer.recipe_manager import (  # type: ignore[import-not-found, unused-ignore]
        RecipeManager,
    )

    every, made = ".*", RecipeManager()
    made.add_static_config(every, TFLOperationName.ALL_SUPPORTED, activation_bits, 8)
    made.add_dynamic_config(every, TFLOperationName[LOGITS], 8)
    for kind in ("INPUT", "OUTPUT", *method.float_kinds):
        made.add_quantization_config(every, TFLOperationName[kind], algorithm_key="no_quantize")
    for name in method.float_outputs:
        made.add_quantization_config(
            f"^{re.escape(name)};$", TFLOperationName.ALL_SUPPORTED, algorithm_key="no_quantize"
        )
    return made.get_quantization_recipe()


def write_by_recipe(source: Path, target: Path, recipe: Any, ranges: Mapping[str, ValueRange]) -> None:
    from litert_quantizer import Quantizer  # type: ignore[import-not-found, unused-ignore]

    measured = {
        name: {"min": np.array([least]), "max": np.array([most])} for name, (least, most) in ranges.items()
    }
    with quietly():
        made = Quantizer(str(source), recipe).quantize(measured, enable_progress_report=False)
    with whole(target) as partial:
        partial.write_bytes(bytes(made.quantized_model))
