"""The elastic ResNet of docs/own-network.md: checked, searched, extracted, exported and trained on."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import yaml

import oncefit
from cost_models.devices import open_device
from cost_models.layer_table import plan_layers
from cost_models.protocol import Target
from cost_models.registry import build
from supernet.families.catalog import Supernet, open_supernet
from supernet.networks.layer_networks import LayersNet
from supernet.weights.checkpoints import save_weights
from tests.cost_models.test_peak_memory import peak_bytes
from tests.helpers import tiny
from tests.helpers.broken_networks import ElasticResNet
from tests.helpers.digits import NAMES, write_digits
from tests.helpers.own_network import SMALL, write_own
from tests.helpers.own_supernet import RECIPE
from tests.helpers.paths import ROOT

PAGE = (ROOT / "docs" / "own-network.md").read_text()
EXAMPLE = ROOT / "docs" / "examples" / "elastic_resnet.yaml"
NETWORK = {**SMALL, "classes": list(NAMES)}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the class in the docs, with weights in a file and images of digits beside it."""
    folder = tmp_path_factory.mktemp("own")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sha256 = save_weights(ElasticResNet(**NETWORK), folder / "weights.safetensors")
    write_digits(folder / "digits", train=5, val=5)
    weights = {"file": "weights.safetensors", "sha256": sha256}
    family = "elastic_resnet:ElasticResNet"
    return write_own(folder, family, network=NETWORK, weights=weights, data="digits")


@pytest.fixture(scope="module")
def described(own: str) -> Supernet:
    return open_supernet(own)


def test_the_page_shows_the_file_and_the_example_is_short() -> None:
    shown = next(block for block in re.findall(r"^```\n(.*?)^```$", PAGE, re.M | re.S) if "family:" in block)
    assert yaml.safe_load(shown) == yaml.safe_load(EXAMPLE.read_text())
    assert len(EXAMPLE.with_suffix(".py").read_text().splitlines()) <= 150


def test_the_check_that_the_page_shows_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    [example] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    exec(compile(example, "docs/own-network.md", "exec"), {})
    assert capsys.readouterr().out.startswith("elastic_resnet: 14 checks passed, on 4 archs")


def test_a_search_measures_its_subnets_and_exports_the_best(
    own: str, described: Supernet, tmp_path: Path
) -> None:
    run = oncefit.search(own, objectives=["top1", "macs"], trials=3, seed=1, out=tmp_path / "run")
    assert len(run.candidates) == 3
    arch = run.pick("knee")
    bundle = run.export(arch)
    subnet = oncefit.open_bundle(bundle.folder, supernet=own).subnet()
    images = torch.rand(3, 1, arch.resolution, arch.resolution)
    with torch.inference_mode():
        torch.testing.assert_close(subnet(images), run.extract(arch)(images), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(subnet(images), bundle.onnx()(images), rtol=1e-4, atol=1e-4)
    assert bundle.verify(supernet=own, data=Path(own).parent / "digits")["other_classes"] == 0
    again = oncefit.open_run(tmp_path / "run")
    assert again.candidates.equals(run.candidates)
    costs = oncefit.cost(bundle.folder / "arch.json", supernet=own).costs
    assert costs["params"] == sum(parameter.numel() for parameter in subnet.parameters())


def test_a_device_and_its_kit_are_made_for_it(own: str, described: Supernet, tmp_path: Path) -> None:
    file = tiny.write_device(described, tmp_path / "known.yaml")
    latency = build("latency_ms", Target(described, open_device(str(file), described, pytest.fail)))
    assert latency(described.space.smallest()) < latency(described.space.largest())
    kit = oncefit.make_kit("phone", own, samples=8, out=tmp_path / "kit.zip")
    assert kit.manifest.supernet == "elastic_resnet"
    for alone in plan_layers(described, [8], 8, seed=0).layers.values():
        LayersNet(alone)


def test_peak_memory_is_what_the_life_of_tensors_says(described: Supernet) -> None:
    cost = build("peak_memory_bytes", Target(described))
    for arch in (described.space.smallest(), described.space.middle(), described.space.largest()):
        image = torch.zeros(1, 1, arch.resolution, arch.resolution)
        assert cost(arch) == peak_bytes(described.family.static(arch).eval(), image), arch


def test_gradients_and_statistics_reach_the_shared_weights() -> None:
    """As they do in a static copy, and nowhere else."""
    torch.manual_seed(2)
    net = ElasticResNet(**NETWORK)
    arch = net.space.middle()
    images = torch.rand(4, 1, arch.resolution, arch.resolution)
    static = net.extract(arch).train()
    net.train()(images, arch.values).square().sum().backward()
    static(images).square().sum().backward()
    shared = dict(net.largest.named_parameters())
    for name, parameter in static.named_parameters():
        gradient = shared[name].grad
        assert gradient is not None
        torch.testing.assert_close(gradient[tuple(map(slice, parameter.shape))], parameter.grad)
        assert float(gradient.abs().sum()) == pytest.approx(float(parameter.grad.abs().sum()), rel=1e-4)
    for name, buffer in net.first_entries(static).items():
        if "running" in name or "num_batches" in name:
            torch.testing.assert_close(buffer, static.state_dict()[name])
    unused = set(shared) - dict(static.named_parameters()).keys()
    assert all(shared[name].grad is None for name in unused)


def test_sorted_channels_are_those_that_matter() -> None:
    net = ElasticResNet(**NETWORK)
    net.sort_channels()
    sums = net.largest.stage2_block1.conv2.conv.weight.abs().sum((0, 2, 3))
    assert (sums.diff() <= 0).all()


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the class and its YAML, which leaves classes to the images, and a recipe; no module is loaded yet."""
    folder = tmp_path / "mine"
    folder.mkdir()
    shutil.copy(EXAMPLE.with_suffix(".py"), folder / "mine_resnet.py")
    network = {key: value for key, value in NETWORK.items() if key != "classes"}
    write_own(folder, "mine_resnet:ElasticResNet", network=network)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | {"epochs": 1, "batch_size": 25}))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "mine_resnet", raising=False)
    return folder


def test_it_is_trained_opened_by_another_process_and_adapted(
    own: str, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = Path(own).parent / "digits"
    before = list(sys.path)
    made = oncefit.train(elsewhere / "recipe.yaml", data=digits, out=tmp_path / "out", say=lambda _: None)
    monkeypatch.setattr(sys, "path", before)
    monkeypatch.delitem(sys.modules, "mine_resnet")  # as it is in a process that did not train
    opened = open_supernet(str(made.supernet))
    assert opened.weights_sha256 == made.sha256
    assert Path(sys.modules["mine_resnet"].__file__ or "") == elsewhere / "mine_resnet.py"
    recipe = tmp_path / "adapt.yaml"
    recipe.write_text("{batch_size: 25, random_subnets: 1}")
    adapted = oncefit.adapt(
        str(made.supernet), digits, recipe=recipe, epochs=1, out=tmp_path / "on", say=lambda _: None
    )
    assert adapted.sha256 != made.sha256
    assert open_supernet(str(adapted.supernet)).fingerprint == opened.fingerprint


def test_a_moved_description_finds_its_class_beside_it(elsewhere: Path) -> None:
    file = elsewhere / "own.yaml"
    keys = yaml.safe_load(file.read_text())
    keys["network"]["classes"] = list(NAMES)
    file.write_text(yaml.safe_dump(keys | {"code": "/no/such/folder"}))
    assert open_supernet(str(file)).name == "elastic_resnet"
