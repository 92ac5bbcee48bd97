"""Simulated 8 bits against ONNX Runtime, whose own quantisation is the truth."""

from __future__ import annotations

from pathlib import Path

import torch

from supernet.bundles.onnx_export import export_onnx
from supernet.evaluating.evaluation import specialise
from supernet.evaluating.onnx_sessions import network_in
from supernet.families.catalog import Supernet
from supernet.images.data import Dataset
from supernet.quantising.choosing import calibration_inputs
from supernet.quantising.onnx_quantising import quantise_onnx
from supernet.training.simulated_int8 import measure_ranges, simulated_int8


def test_the_simulated_subnet_answers_as_onnx_runtime(
    supernet: Supernet, few: Dataset, tmp_path: Path
) -> None:
    arch = supernet.space.smallest()
    subnet = specialise(supernet.load(), arch, few)
    images = calibration_inputs(few, arch.resolution)
    export_onnx(subnet, 1, arch.resolution, tmp_path / "float32.onnx")
    quantise_onnx(tmp_path / "float32.onnx", tmp_path / "int8.onnx", images)
    made = simulated_int8(subnet)
    measure_ranges(made, torch.from_numpy(images))
    inputs, labels = few.report.batch(slice(None), arch.resolution, few.preprocessing)
    with torch.inference_mode():
        simulated, in_float = made(inputs), subnet(inputs)
    there = network_in(tmp_path / "int8.onnx")(inputs)
    assert float((simulated.argmax(1) == there.argmax(1)).float().mean()) >= 0.97
    top1 = [float((logits.argmax(1) == labels).float().mean()) for logits in (simulated, there)]
    assert abs(top1[0] - top1[1]) <= 0.015
    assert float((simulated - there).abs().mean()) < 0.5 * float((in_float - there).abs().mean())


def test_gradients_pass_the_rounding_to_the_weights_of_the_subnet(supernet: Supernet, few: Dataset) -> None:
    arch = supernet.space.smallest()
    subnet = specialise(supernet.load(), arch, few)
    made = simulated_int8(subnet)
    images = torch.from_numpy(calibration_inputs(few, arch.resolution, 32))
    measure_ranges(made, images)
    torch.autograd.backward(made.train()(images).square().mean())
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in subnet.parameters())
