"""Extraction gives the supernet's own answer; ONNX Runtime gives torch's."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from supernet.errors import InputError
from supernet.onnx_export import INPUT, OUTPUT, export_onnx


@pytest.fixture(scope="module")
def archs(supernet):
    space = supernet.space
    sampled = space.decode(space.sample(10, np.random.default_rng(7)))
    return [space.smallest(), space.largest(), *sampled]


def images_for(arch, n: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(n, 1, arch.resolution, arch.resolution, generator=generator)


@torch.inference_mode()
def test_a_subnet_answers_as_the_supernet_does(random_net, archs):
    for arch in archs:
        x = images_for(arch)
        expected = random_net(x, arch.values)
        assert expected.std() > 0.1  # something to compare
        torch.testing.assert_close(random_net.extract(arch)(x), expected, atol=1e-5, rtol=1e-5)


def test_extraction_leaves_the_supernet_as_it_was(random_net, archs):
    before = {name: tensor.clone() for name, tensor in random_net.state_dict().items()}
    for arch in archs:
        subnet = random_net.extract(arch)
        with torch.no_grad():
            for tensor in subnet.state_dict().values():
                tensor.zero_()  # a subnet shares no memory with the supernet
    after = random_net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_subnet_is_free_of_elastic_code(random_net, archs):
    for arch in archs[:3]:
        modules = {type(module).__module__.split(".")[0] for module in random_net.extract(arch).modules()}
        assert modules == {"torch", "supernet"}


def test_two_threads_extract_at_once(random_net, archs):
    alone = [random_net.extract(arch).state_dict() for arch in archs]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda arch: random_net.extract(arch).state_dict(), archs * 3))
    for found, expected in zip(together, alone * 3, strict=True):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@torch.inference_mode()
def test_onnx_answers_as_torch_for_any_batch_size(random_net, archs, tmp_path):
    for arch in (archs[0], archs[2]):
        subnet = random_net.extract(arch)
        path = tmp_path / f"{arch.id}.onnx"
        export_onnx(subnet, 1, arch.resolution, path)
        onnx.checker.check_model(onnx.load(path), full_check=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert session.get_inputs()[0].shape == ["n", 1, arch.resolution, arch.resolution]
        assert session.get_outputs()[0].shape == ["n", 10]
        for n in (1, 3, 8):
            x = images_for(arch, n)
            [logits] = session.run([OUTPUT], {INPUT: x.numpy()})
            np.testing.assert_allclose(logits, subnet(x).numpy(), atol=1e-4)


def test_an_export_is_one_file_and_warns_of_nothing(random_net, archs, tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export_onnx(random_net.extract(archs[0]), 1, archs[0].resolution, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert not caught


def test_a_failed_export_leaves_nothing(tmp_path):
    class Failing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        export_onnx(Failing(), 1, 8, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_an_export_below_a_file_is_refused(random_net, archs, tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match=r"cannot write .*model.onnx: .*; choose another folder"):
        export_onnx(random_net.extract(archs[0]), 1, archs[0].resolution, tmp_path / "file" / "model.onnx")
