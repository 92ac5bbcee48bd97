"""Supernets from trained models: the model's own logits, torch's counts, elastic against extracted, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from cost_models.protocol import Target
from cost_models.registry import build
from supernet.archs.arch import Arch
from supernet.archs.layers import layers
from supernet.errors import InputError
from supernet.families import residual
from supernet.families.catalog import PreprocessingKeys, Supernet
from supernet.families.residual_source import MODELS, resolutions_around
from supernet.making.from_model import MadeSupernet, make_supernet
from supernet.making.model_readers import read_model
from supernet.networks.folding import folded
from supernet.networks.residual_networks import ElasticResidualNet
from tests.cost_models.test_peak_memory import peak_bytes
from tests.helpers.small_models import CLASSES, SMALL, small_model

USUAL = PreprocessingKeys(mean=(0.5,) * 3, std=(0.25,) * 3, crop=1.0)
SIDES = (20, 33)


def made_of(model: nn.Module, folder: Path, **given: Any) -> MadeSupernet:
    return make_supernet(model, folder, CLASSES, USUAL, SIDES, **given)


@pytest.fixture(scope="module", params=SMALL)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Module, Supernet, ElasticResidualNet]:
    model = small_model(request.param)
    made = made_of(model, tmp_path_factory.mktemp(request.param))
    net = made.supernet.load()
    assert isinstance(net, ElasticResidualNet)
    return model, made.supernet, net


def archs_of(supernet: Supernet, n: int = 4, seed: int = 0) -> list[Arch]:
    space = supernet.space
    return [space.largest(), space.smallest(), *space.decode(space.sample(n, np.random.default_rng(seed)))]


def images_of(side: int, count: int = 2) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(side))


@torch.no_grad()
def test_the_largest_subnet_gives_the_logits_of_the_model(pair: tuple) -> None:
    model, supernet, net = pair
    for side in (*SIDES, 41):
        images = images_of(side)
        expected = model(images)
        assert float(expected.std()) > 0.01
        largest = net.extract(supernet.space.largest())
        torch.testing.assert_close(largest(images), expected, rtol=1e-5, atol=1e-4)


@torch.no_grad()
def test_an_extracted_subnet_gives_the_logits_of_the_elastic_network(pair: tuple) -> None:
    _, supernet, net = pair
    for arch in archs_of(supernet):
        images = images_of(arch.resolution)
        subnet, expected = net.extract(arch), net(images, arch.values)
        assert not subnet.training
        torch.testing.assert_close(subnet(images), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(folded(subnet)(images), expected, rtol=1e-4, atol=1e-4)


def test_macs_and_params_are_what_torch_counts(pair: tuple) -> None:
    _, supernet, net = pair
    macs, params = (build(cost, Target(supernet)) for cost in ("macs", "params"))
    for arch in archs_of(supernet):
        subnet = supernet.family.static(arch).eval()
        assert {n: t.shape for n, t in subnet.state_dict().items()} == {
            n: t.shape for n, t in net.extract(arch).state_dict().items()
        }
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            subnet(images_of(arch.resolution, 1))
        assert macs(arch) == counter.get_total_flops() / 2, arch
        assert params(arch) == sum(p.numel() for p in subnet.parameters()), arch


def test_layers_and_peak_memory_are_those_of_the_running_network(pair: tuple) -> None:
    _, supernet, _ = pair
    memory = build("peak_memory_bytes", Target(supernet))
    for arch in archs_of(supernet, 1):
        seen: list[tuple[int, ...]] = []

        def note(module: nn.Module, x: tuple[Tensor], y: Tensor, seen: list = seen) -> None:
            seen.append((x[0].shape[1], y.shape[1], y.shape[-1] if y.ndim > 2 else 1))

        subnet = supernet.family.static(arch).eval()
        assert memory(arch) == peak_bytes(subnet, images_of(arch.resolution, 1)), arch
        for module in subnet.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.register_forward_hook(note)
        subnet(images_of(arch.resolution, 1))
        walked = [x for x in supernet.layers(arch) if x.op in ("conv", "depthwise", "linear")]
        assert [(x.in_channels, x.out_channels, x.out_size) for x in walked] == seen


@torch.no_grad()
def test_sorting_moves_channels_and_no_logit(pair: tuple) -> None:
    model, supernet, net = pair
    reading = read_model(model)
    unsorted = supernet.family.elastic()
    assert isinstance(unsorted, ElasticResidualNet)
    unsorted.net.load_state_dict(reading.renamed(model.state_dict()))
    unsorted.eval()
    largest, images = supernet.space.largest(), images_of(SIDES[-1])
    before = unsorted.extract(largest).state_dict()
    unsorted.sort_channels()
    after = unsorted.extract(largest)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in after.state_dict().items())
    torch.testing.assert_close(after(images), model(images), rtol=1e-5, atol=1e-4)
    again = {name: tensor.clone() for name, tensor in unsorted.state_dict().items()}
    unsorted.sort_channels()
    assert all(torch.equal(tensor, again[name]) for name, tensor in unsorted.state_dict().items())
    assert all(torch.equal(tensor, again[name]) for name, tensor in net.state_dict().items())


def test_training_narrow_updates_the_channels_that_run_alone(pair: tuple) -> None:
    _, supernet, _ = pair
    net = supernet.load()
    assert isinstance(net, ElasticResidualNet)
    arch = supernet.space.smallest()
    norms = [m for m in net.net.static_residuals()[0].chain.modules() if isinstance(m, nn.BatchNorm2d)]
    before = norms[-2].running_mean.clone()
    loss = net.train()(images_of(24, 4), arch.values).square().mean()
    loss.backward()
    moved = norms[-2].running_mean != before
    width = net.extract(arch).static_residuals()[0].chain[-1].conv.in_channels
    assert moved[:width].all()
    assert not moved[width:].any()
    gradient = net.net.static_residuals()[0].chain[-1].conv.weight.grad
    assert gradient is not None
    assert gradient[:, :width].any()
    assert not gradient[:, width:].any()


@torch.no_grad()
def test_what_is_done_to_a_subnet_leaves_the_supernet_alone(pair: tuple) -> None:
    _, supernet, net = pair
    arch = supernet.space.smallest()
    expected = net.extract(arch)(images_of(20))
    spoilt = net.extract(arch)
    for tensor in spoilt.state_dict().values():
        tensor.zero_()
    assert torch.equal(net.extract(arch)(images_of(20)), expected)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_the_parameters_and_multiply_adds_that_torchvision_states(name: str) -> None:
    stated = models.get_model_weights(name)["DEFAULT"].meta
    with torch.device("meta"):
        reading = read_model(models.get_model(name, weights=None))
    network = {"classes": "imagenet", "resolutions": [224], "expands": [1.0], **reading.network}
    family = residual.parse(name, network, "test")
    walked = layers(family.segments, family.space.largest())
    assert sum(layer.params for layer in walked) == stated["num_params"]
    assert sum(layer.macs for layer in walked) / 1e9 == pytest.approx(stated["_ops"], abs=6e-4)


def test_depths_widths_and_sizes_are_elastic(tmp_path: Path) -> None:
    space = made_of(small_model("basic"), tmp_path).supernet.space
    choices = {d.name: d.choices for d in space.dimensions}
    assert choices["resolution"] == SIDES
    assert [choices[f"depth.{s}"] for s in (1, 2, 3, 4)] == [(1, 2, 3), (1, 2), (1,), (1, 2)]
    assert choices["expand.1.1"] == (0.5, 1.0)  # 12 of 16 channels would be 16 in whole eights
    assert choices["expand.4.2"] == (0.5, 0.75, 1.0)
    assert space.arch({**space.largest().values, "resolution": 57}).resolution == 57


def test_sizes_around_that_of_a_model() -> None:
    assert resolutions_around(224) == (128, 160, 192, 224)
    assert resolutions_around(32) == (18, 23, 27, 32)


# -- what is refused -------------------------------------------------------------


def hooked(model: nn.Module) -> nn.Module:
    model.layer1[0].conv1.register_forward_hook(lambda *_: None)
    return model


def with_relu_of_another_kind(model: nn.Module) -> nn.Module:
    model.layer2[0].relu = nn.GELU()
    return model


def with_dropout_that_is_not_read(model: nn.Module) -> nn.Module:
    model.layer2[0].extra = nn.Linear(2, 2)
    return model


def parametrised(model: nn.Module) -> nn.Module:
    weight_norm(model.layer1[0].conv1)
    return model


def dilated(model: nn.Module) -> nn.Module:
    model.layer1[0].conv2.dilation = (2, 2)
    return model


def with_own_forward(model: nn.Module) -> nn.Module:
    model.forward = lambda x: x
    return model


def with_own_method(model: nn.Module) -> nn.Module:
    """What its modules do not show."""
    model._forward_impl = lambda x: nn.Module.__getattr__(model, "fc")(x.mean((2, 3)).repeat(1, 14)[:, :40])
    return model


def strided(model: nn.Module) -> nn.Module:
    model.layer1[1].conv1.stride = (2, 2)
    model.layer1[1].conv1.in_channels = 16
    return model


def diverged(model: nn.Module) -> nn.Module:
    model.fc.weight.data[0, 0] = float("nan")
    return model


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (hooked, r"layer1\.0\.conv1 has hooks"),
        (with_relu_of_another_kind, r"layer2\.0\.relu is a GELU"),
        (with_dropout_that_is_not_read, r"tensor layer2\.0\.extra\.weight"),
        (parametrised, r"layer1\.0\.conv1 is a ParametrizedConv2d"),
        (dilated, r"layer1\.0\.conv2 is not padded"),
        (with_own_forward, "has a forward of its own"),
        (with_own_method, "gives other logits than the model"),
        (strided, "begin a new stage"),
        (diverged, "not finite"),
    ],
)
def test_a_model_that_is_not_what_its_class_says_is_refused(change: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        made_of(change(small_model("basic")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_of_another_class_is_told_which_there_are(tmp_path: Path) -> None:
    class Derived(models.ResNet):
        pass

    with pytest.raises(InputError, match="MobileNetV2, MobileNetV3, ResNet, and no class derived"):
        made_of(models.squeezenet1_1(), tmp_path)
    with pytest.raises(InputError, match="Derived"):
        made_of(Derived(models.resnet.BasicBlock, [1, 1, 1, 1]), tmp_path)


def test_grouped_convolutions_are_refused(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = models.resnext50_32x4d()
    with pytest.raises(InputError, match=r"conv2 has 32 groups"):
        read_model(model)


def test_a_wrapped_model_in_double_precision_is_the_same(tmp_path: Path) -> None:
    model = small_model("mobilenet_v3")
    plain = made_of(model, tmp_path / "plain", name="one").supernet
    wrapped = made_of(
        nn.DataParallel(small_model("mobilenet_v3").double().train()), tmp_path / "w", name="one"
    )
    assert wrapped.supernet.weights_sha256 == plain.weights_sha256
    assert wrapped.supernet.fingerprint == plain.fingerprint


def test_a_folder_that_has_a_supernet_is_kept_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    first = made_of(small_model("basic"), tmp_path)
    with pytest.raises(
        InputError, match="there already; choose another folder with --out, or give --replace"
    ):
        made_of(small_model("basic", seed=1), tmp_path)
    second = made_of(small_model("basic", seed=1), tmp_path, replace=True)
    assert second.supernet.weights_sha256 != first.supernet.weights_sha256
    second.supernet.load()


def test_a_name_that_ships_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ofa_resnet50 is the name of a supernet that ships"):
        made_of(small_model("basic"), tmp_path / "ofa_resnet50")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"expands": [0.5]}, r"expands: got \[0.5\]; the largest is 1.0"),
        ({"expands": [0.5, 2]}, r"expands.1: got .*less than or equal to 1"),
        ({"expands": []}, "not be empty"),
    ],
)
def test_wrong_choices_say_what_is_allowed(given: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        made_of(small_model("basic"), tmp_path, **given)
