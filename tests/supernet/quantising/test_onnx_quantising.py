"""A subnet in 8 bits: what is in the file, what it answers, and what is refused."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from supernet.bundles.onnx_export import export_onnx
from supernet.errors import InputError
from supernet.evaluating.evaluation import specialise
from supernet.evaluating.onnx_sessions import session_of
from supernet.quantising.choosing import best_quantised, calibration_inputs, validation_accuracy
from supernet.quantising.method import QUANTISING_METHODS, QuantisingMethod
from supernet.quantising.onnx_quantising import quantise_onnx, quantiser
from tests.helpers.paths import ROOT


@pytest.fixture(scope="module")
def side(supernet) -> int:
    return supernet.space.smallest().resolution


@pytest.fixture(scope="module")
def exported(tmp_path_factory, supernet, few, side) -> Path:
    """The smallest subnet of the embedded supernet in float32."""
    path = tmp_path_factory.mktemp("fp32") / "model.onnx"
    export_onnx(specialise(supernet.load(), supernet.space.smallest(), few), 1, side, path)
    return path


@pytest.fixture(scope="module")
def images(few, side) -> np.ndarray:
    return calibration_inputs(few, side, 40)


def test_every_weight_of_a_convolution_is_in_8_bits_and_answers_stay_near(
    exported, images, tmp_path, capfd
) -> None:
    quantise_onnx(exported, tmp_path / "int8.onnx", images)
    assert capfd.readouterr() == ("", "")
    model = onnx.load(tmp_path / "int8.onnx")
    onnx.checker.check_model(model, full_check=True)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    layers = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
    assert len(layers) == len([n for n in onnx.load(exported).graph.node if n.op_type in ("Conv", "Gemm")])
    for node in layers:
        weight = made_by[node.input[1]]
        assert weight.op_type == "DequantizeLinear"
        assert stored[weight.input[0]].dtype == np.int8
        assert stored[weight.input[1]].size == stored[weight.input[0]].shape[0]
    assert (tmp_path / "int8.onnx").stat().st_size < 0.7 * exported.stat().st_size
    before, after = (
        session_of(path, 1).run(None, {"images": images})[0] for path in (exported, tmp_path / "int8.onnx")
    )
    assert (before.argmax(1) == after.argmax(1)).mean() > 0.9
    assert 0 < np.abs(before - after).max() < 0.25 * np.ptp(before)


def test_the_scale_of_a_weight_is_its_greatest_value_over_127(exported, images, tmp_path) -> None:
    """The closed form of symmetric quantisation, by channel and by tensor."""
    floats = {t.name: numpy_helper.to_array(t) for t in onnx.load(exported).graph.initializer}
    name = next(name for name, value in floats.items() if value.ndim == 4 and value.shape[1] > 8)
    with quantiser(exported, images) as quantise:
        for method, axes in ((QuantisingMethod(), (1, 2, 3)), (QuantisingMethod(weights="tensor"), None)):
            quantise(tmp_path / "int8.onnx", method)
            made = {
                t.name: numpy_helper.to_array(t) for t in onnx.load(tmp_path / "int8.onnx").graph.initializer
            }
            scale = np.abs(floats[name]).max(axis=axes, keepdims=axes is not None) / 127
            np.testing.assert_allclose(np.ravel(made[f"{name}_scale"]), np.ravel(scale), rtol=1e-5)
            found = made[f"{name}_quantized"].astype(np.float32)
            assert np.abs(found - floats[name] / scale).max() <= 0.5 + 1e-3


def test_nodes_stay_in_float_by_name(exported, images, tmp_path) -> None:
    names = [node.name for node in onnx.load(exported).graph.node if node.op_type == "Conv"][:2]
    quantise_onnx(exported, tmp_path / "int8.onnx", images, QuantisingMethod(float_nodes=tuple(names)))
    model = onnx.load(tmp_path / "int8.onnx")
    stored = {tensor.name for tensor in model.graph.initializer}
    left = [node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] in stored]
    assert left == names


def test_the_same_bytes_in_another_process(exported, images, tmp_path) -> None:
    """Names are in sets within ONNX Runtime, whose order differs from process to process."""
    quantise_onnx(exported, tmp_path / "here.onnx", images, QuantisingMethod("percentile"))
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np; from pathlib import Path; from supernet.quantising.onnx_quantising import *\n"
        "quantise_onnx(Path(sys.argv[1]), Path('there.onnx'), np.load('images.npy'), QuantisingMethod('percentile'))"
    )
    for seed in ("1", "2"):
        made = subprocess.run(
            [sys.executable, "-c", code, str(exported)], cwd=tmp_path, check=True, capture_output=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert (made.stdout, made.stderr) == (b"", b"")
        assert (tmp_path / "there.onnx").read_bytes() == (tmp_path / "here.onnx").read_bytes()


def test_ranges_of_the_calibrations_differ(tmp_path) -> None:
    """Entropy with ONNX Runtime's own 128 bins would always keep the whole range."""
    path = tmp_path / "model.onnx"
    export_onnx(torch.nn.Conv2d(1, 4, 3), 1, 18, path)
    heavy_tailed = np.random.default_rng(0).standard_t(2, (200, 1, 18, 18)).astype(np.float32)
    with quantiser(path, heavy_tailed) as quantise:
        made = []
        for method in QUANTISING_METHODS[:3]:
            quantise(tmp_path / "int8.onnx", method)
            made.append((tmp_path / "int8.onnx").read_bytes())
    assert len(set(made)) == 3


def test_the_best_on_validation_is_kept(exported, few, side, tmp_path) -> None:
    """Those of the report split would show: it is not there."""
    blind = dataclasses.replace(few, report=few.report.picked([]))
    methods = (
        QuantisingMethod(weights="tensor"),
        QuantisingMethod(),
        QuantisingMethod("percentile", percentile=60),
    )
    tried = best_quantised(exported, tmp_path / "best.onnx", blind, side, methods, calibration_images=40)
    assert sorted(map(str, methods)) == sorted(str(one.method) for one in tried)
    assert tried[0].accuracy.top1 == max(one.accuracy.top1 for one in tried)
    assert tried[0].accuracy == validation_accuracy(tmp_path / "best.onnx", few, side)
    assert tried[-1].accuracy.top1 < tried[0].accuracy.top1  # a range of 60 % ruins it
    assert tried[0].accuracy.split == "validation"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:0], r"needs calibration images .*at least one; got an array of shape \(0, 1"),
        (lambda a: a[0], r"needs calibration images"),
        (lambda a: a[..., :-1], r"calibration images have \d+ pixels a side, and .*model.onnx takes \d+"),
        (lambda a: np.repeat(a, 3, axis=1), "calibration images have 3 channels, and .* takes 1 "),
        (lambda a: a.astype(np.float64), "must be finite float32 numbers.*got float64"),
        (lambda a: a * np.float32("nan"), "must be finite float32"),
    ],
)  # fmt: skip
def test_calibration_images_that_the_model_does_not_take(change, message, exported, images, tmp_path) -> None:
    with pytest.raises(InputError, match=message):
        quantise_onnx(exported, tmp_path / "int8.onnx", change(images))
    assert not list(tmp_path.iterdir())


def test_what_is_no_model_in_float(exported, images, tmp_path) -> None:
    quantise_onnx(exported, tmp_path / "int8.onnx", images)
    with pytest.raises(InputError, match=r"int8.onnx is quantised already; give the model in float32"):
        quantise_onnx(tmp_path / "int8.onnx", tmp_path / "again.onnx", images)
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(InputError, match=r"text.onnx cannot be read as an ONNX model"):
        quantise_onnx(tmp_path / "text.onnx", tmp_path / "again.onnx", images)
    with pytest.raises(InputError, match=r"absent.onnx cannot be read as an ONNX model"):
        quantise_onnx(tmp_path / "absent.onnx", tmp_path / "again.onnx", images)


def test_an_unknown_node(exported, images, tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"unknown node of .* '/stem/conv/Cnov'. Did you mean '/stem/conv/Conv'"
    ):
        quantise_onnx(
            exported, tmp_path / "x.onnx", images, QuantisingMethod(float_nodes=("/stem/conv/Cnov",))
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"calibration": "max"}, "calibration: got 'max'; give min-max, entropy, percentile"),
        ({"weights": "row"}, "weights: got 'row'; give channel, tensor"),
        ({"percentile": 50}, "percentile: got 50; give more than 50"),
    ],
)
def test_methods_that_there_are_not(values, message) -> None:
    with pytest.raises(InputError, match=message):
        QuantisingMethod(**values)
