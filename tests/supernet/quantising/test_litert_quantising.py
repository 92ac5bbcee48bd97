"""LiteRT files in 8 bits: ranges against NumPy and ONNX Runtime, and what of a file is in which type."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from supernet.bundles.onnx_export import export_onnx
from supernet.evaluating.evaluation import specialise
from supernet.formats.litert_file import convert_to_tflite, interpreter_of
from supernet.formats.registry import export_format
from supernet.quantising.choosing import calibration_inputs
from supernet.quantising.litert_quantising import (
    LiteRTMethod,
    first_two_convolutions,
    operators_of,
    quantise_tflite,
)
from supernet.quantising.litert_ranges import (
    HISTOGRAM_BINS,
    KEPT_PERCENTILE,
    RANGES,
    Histogram,
    activation_histograms,
)
from supernet.quantising.method import QuantisingMethod
from supernet.quantising.onnx_quantising import activation_ranges
from supernet.sizes.registry import read_model_file

needs_litert = pytest.mark.skipif(
    bool(export_format("litert-int8").missing()),
    reason=f"not installed: {export_format('litert-int8').how}",
)


class Converted(NamedTuple):
    tflite: Path
    onnx: Path
    images: np.ndarray


@pytest.fixture(scope="module")
def converted(tmp_path_factory, supernet, few) -> Converted:
    """The smallest subnet of the embedded supernet in float32, and its calibration images."""
    folder, arch = tmp_path_factory.mktemp("float32"), supernet.space.smallest()
    net = specialise(supernet.load(), arch, few)
    convert_to_tflite(net, torch.zeros(1, 1, arch.resolution, arch.resolution), folder / "model.tflite")
    export_onnx(net, 1, arch.resolution, folder / "model.onnx")
    return Converted(
        folder / "model.tflite", folder / "model.onnx", calibration_inputs(few, arch.resolution, 40)
    )


@pytest.fixture
def values() -> np.ndarray:
    """Mostly near 0, and some far away."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 1, 100_000), rng.uniform(20, 40, 30)])


def histogram_of(values: np.ndarray) -> Histogram:
    counts, _ = np.histogram(values, HISTOGRAM_BINS)
    return Histogram(float(values.min()), float(values.max()), counts)


def squared_error(values: np.ndarray, least: float, greatest: float) -> float:
    """Of 8 bits, on the values themselves."""
    step = (greatest - least) / 255
    zero = np.round(-least / step)
    rounded = (np.clip(np.round(values / step) + zero, 0, 255) - zero) * step
    return float(np.square(rounded - values).mean())


def test_ranges_are_those_of_the_values_themselves(values: np.ndarray) -> None:
    of, bin_width = histogram_of(values), np.ptp(values) / HISTOGRAM_BINS
    assert RANGES["least and greatest values"](of) == (values.min(), values.max())
    cut = RANGES[f"percentile {KEPT_PERCENTILE:g}"](of)
    np.testing.assert_allclose(
        cut, np.percentile(values, [100 - KEPT_PERCENTILE, KEPT_PERCENTILE]), atol=2 * bin_width
    )


def test_no_range_that_is_tried_is_nearer_to_the_values(values: np.ndarray) -> None:
    """Many values far away are worth their range, and a few are cut off."""
    for far in (30, 3):
        some = values[: 100_000 + far]
        least, greatest = RANGES["least squared error"](histogram_of(some))
        found = squared_error(some, least, greatest)
        for low in (0.3, 0.6, 1.0):
            for high in (0.3, 0.6, 1.0):
                assert found <= 1.02 * squared_error(some, low * some.min(), high * some.max())


def test_a_tensor_of_one_value_has_a_range() -> None:
    of = Histogram(0.0, 1e-6, np.array([5] + [0] * (HISTOGRAM_BINS - 1)))
    for range_of in RANGES.values():
        least, greatest = range_of(of)
        assert least <= greatest


@needs_litert
def test_least_and_greatest_values_are_those_that_onnx_runtime_measures(
    converted: Converted, tmp_path: Path
) -> None:
    """Of the input, of the logits, and of whatever hard-swish puts out, in the network's order."""
    import onnx

    found = activation_histograms(converted.tflite, converted.images)
    ours = [
        (found[one.output].least, found[one.output].greatest)
        for one in operators_of(converted.tflite)
        if one.kind in ("HARD_SWISH", "FULLY_CONNECTED")
    ]
    measured = activation_ranges(converted.onnx, converted.images, QuantisingMethod(), tmp_path)
    graph = onnx.load(converted.onnx).graph
    names = [node.output[0] for node in graph.node if node.op_type in ("HardSwish", "Gemm")]
    theirs = [np.ravel(measured[name].range_value) for name in names]
    assert len(ours) == 7
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@needs_litert
@pytest.mark.parametrize("careful", [False, True])
def test_weights_are_in_8_bits_but_for_those_that_shall_not(
    careful: bool, converted: Converted, tmp_path: Path
) -> None:
    operators = operators_of(converted.tflite)
    first = first_two_convolutions(operators)
    assert [one.kind for one in operators if one.output in first].count("DEPTHWISE_CONV_2D") == 2
    method = LiteRTMethod("least and greatest values", first if careful else ())
    histograms = activation_histograms(converted.tflite, converted.images)
    target = tmp_path / "int8.tflite"
    quantise_tflite(converted.tflite, target, histograms, method)
    weights = [
        one.dtype
        for one in read_model_file(target).tensors
        if sum(side > 1 for side in one.shape) >= 2 and one.elements > 8
    ]
    assert weights.count("float32") == (2 if careful else 0)
    assert weights.count("int8") == 16 - weights.count("float32")
    model = interpreter_of(target, 1)
    assert model.get_input_details()[0]["dtype"] is np.float32
    assert model.get_output_details()[0]["dtype"] is np.float32


@needs_litert
def test_one_delegate_computes_all_of_it(converted: Converted, tmp_path: Path) -> None:
    """Hard-swish in 8 bits would cut the network into parts."""
    histograms = activation_histograms(converted.tflite, converted.images)
    target, found = tmp_path / "int8.tflite", {}
    for kinds in ((), ("HARD_SWISH",)):
        quantise_tflite(converted.tflite, target, histograms, LiteRTMethod("percentile 99.99", (), kinds))
        names = [one["op_name"] for one in interpreter_of(target, 1)._get_ops_details()]
        found[kinds] = names.count("DELEGATE")
    assert found["HARD_SWISH",] == 1
