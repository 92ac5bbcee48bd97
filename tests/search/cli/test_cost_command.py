"""``oncefit cost`` as a stranger uses it: files of ``ofa``, archs and bundles in, figures or one sentence out."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from ofa.imagenet_classification.networks import MobileNetV3Large, ResNet50
from torch.utils.flop_counter import FlopCounterMode

from cost_models.device import Device, LatencyTable
from cost_models.device_files import write_device
from cost_models.protocol import Target
from cost_models.published_tables import FORMATS
from cost_models.registry import BOUNDS, OF_A_DEVICE, build
from search.cli.cost import cost
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers import tiny
from tests.helpers.published_subnets import LARGER, OFA

Shown = Callable[..., str]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    """Runs the command with arguments as they are typed; returns what is on standard output."""
    app = typer.Typer()
    app.command()(cost)

    def run(*arguments: object) -> str:
        app([str(argument) for argument in arguments], standalone_mode=False)
        return capsys.readouterr().out

    return run


@pytest.fixture
def found(shown: Shown) -> Callable[..., dict[str, Any]]:
    return lambda *arguments: json.loads(shown(*arguments, "--json"))


@pytest.fixture(scope="module")
def large() -> Supernet:
    return open_supernet("ofa_mbv3_w1.2")


@pytest.fixture(scope="module")
def subnet(large: Supernet) -> tuple[Arch, dict[str, Any]]:
    """An arch and the net.config that ``ofa`` writes of it."""
    arch = large.space.middle()
    values = arch.values
    of_a_block = [name for name in large.space.index if name.startswith("kernel.")]
    with torch.device("meta"):
        net = large.family.elastic().net
        net.set_active_subnet(
            ks=[values.get(name, 3) for name in of_a_block],
            e=[values.get(name.replace("kernel", "expand"), 3) for name in of_a_block],
            d=[values[f"depth.{stage}"] for stage in range(1, 6)],
        )
        return arch, net.get_active_subnet(preserve_weight=False).config


def write(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data))
    return path


@pytest.fixture
def net_file(subnet: tuple[Arch, dict[str, Any]], tmp_path: Path) -> Path:
    return write(tmp_path / "net.config", subnet[1])


def test_a_published_network_is_shown_exactly_and_in_millions(shown: Shown, tmp_path: Path) -> None:
    """595 M and 9.1 M are published, at the size of the run.config beside it."""
    path = LARGER.write(tmp_path)
    out = shown(path)
    assert out.startswith(f"MobileNetV3 in {path}\n")
    assert "236 x 236" in out
    assert "595,189,032 = 595.189 M" in out
    assert "9,135,928 = 9.136 M" in out
    assert "no shipped supernet at this size" in out


def test_the_figures_are_those_of_torch_for_a_network_of_no_space(
    found: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    with torch.device("meta"):
        net = ResNet50().eval()
        image = torch.zeros(1, 3, 160, 160)
    path = write(tmp_path / "net.config", net.config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    result = found(path, "--image-size", 160)
    assert result["costs"]["macs"] == counter.get_total_flops() / 2
    assert result["costs"]["params"] == sum(p.numel() for p in net.parameters())
    assert set(result) == {"file", "network", "image_size", "costs"}
    assert result["network"] == "ResNets"
    assert result["image_size"] == 160


def test_the_size_given_goes_before_the_one_beside(
    found: Callable[..., dict[str, Any]], net_file: Path
) -> None:
    write(net_file.with_name("run.config"), {"image_size": 128})
    beside, given = found(net_file), found(net_file, "--image-size", 256)
    assert (beside["image_size"], given["image_size"]) == (128, 256)
    assert beside["costs"]["macs"] < given["costs"]["macs"]
    assert beside["costs"]["params"] == given["costs"]["params"]


def test_a_net_config_of_a_space_is_shown_as_its_arch(
    shown: Shown, found: Callable[..., dict[str, Any]], subnet: tuple[Arch, dict[str, Any]], net_file: Path
) -> None:
    arch, _ = subnet
    result = found(net_file, "--image-size", arch.resolution)
    assert (result["supernet"], result["arch_id"]) == ("ofa_mbv3_w1.2", arch.id)
    assert result["arch"] == arch.to_dict()
    out = shown(net_file, "--image-size", arch.resolution)
    for word in (arch.id, str(arch), "ofa_mbv3_w1.2"):
        assert word in out


def test_an_arch_and_a_bundle_cost_what_their_net_config_does(
    found: Callable[..., dict[str, Any]],
    subnet: tuple[Arch, dict[str, Any]],
    large: Supernet,
    net_file: Path,
    tmp_path: Path,
) -> None:
    arch, _ = subnet
    expected = found(net_file, "--image-size", arch.resolution)["costs"]
    alone = write(tmp_path / "alone.json", arch.to_dict())
    about = {"supernet": large.name, "fingerprint": large.fingerprint, "id": arch.id}
    bundled = write(tmp_path / "arch.json", {**about, "arch": arch.to_dict()})
    for path in (alone, bundled):
        result = found(path)
        assert result["costs"] == expected
        assert (result["network"], result["image_size"]) == (large.name, arch.resolution)
    other = found(alone, "--image-size", 128)
    assert other["arch"]["choices"] == {**arch.values, "resolution": 128}
    assert other["costs"] == found(net_file, "--image-size", 128)["costs"]


def test_settings_are_of_the_supernet_that_is_named(
    shown: Shown, found: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """A network that OFA published with 67 M multiply-adds and 4.3 M parameters."""
    known = OFA[0]
    path = write(tmp_path / "net.subnet", known.settings)
    result = found(path, "--supernet", known.supernet)
    assert result["supernet"] == result["network"] == known.supernet
    assert round(result["costs"]["macs"] / 1e6) == known.macs_millions
    assert round(result["costs"]["params"] / 1e6, 1) == known.params_millions
    again = write(tmp_path / "arch.json", result["arch"])
    assert found(again)["costs"] == result["costs"]
    assert "name it with --supernet" in refused(shown, path)


def test_a_device_adds_what_it_predicts(
    shown: Shown,
    found: Callable[..., dict[str, Any]],
    subnet: tuple[Arch, dict[str, Any]],
    large: Supernet,
    net_file: Path,
    tmp_path: Path,
) -> None:
    from cost_models.devices import open_device

    arch, _ = subnet
    device = tiny.write_device(large, tmp_path / "known.yaml")
    arguments = (net_file, "--image-size", arch.resolution, "--device", device)
    result = found(*arguments)
    target = Target(large, open_device(str(device), large, print))
    assert result["device"] == "known"
    for name in set(OF_A_DEVICE) - set(BOUNDS):
        assert result["costs"][name] == build(name, target)(arch)
    out = shown(*arguments)
    assert f"latency (ms), predicted for known   {result['costs']['latency_ms']:.4g}" in out
    there = found(*arguments, "--region", "POL")
    assert there["device"] == "known-POL"
    assert there["costs"]["latency_ms"] == result["costs"]["latency_ms"]
    assert there["costs"]["co2e_mg"] > 5 * result["costs"]["co2e_mg"]


@pytest.fixture(scope="module")
def phone(large: Supernet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A device with a table of 160 and 164 pixels for the largest arch; entry i has the deviation 0.01 (i + 1)."""
    tables = {}
    for size in (160, 164):
        keys = dict.fromkeys(keys_of_largest(large, size))
        entries = {key: (0.5, 0.01 * (i + 1)) for i, key in enumerate(keys)}
        tables[size] = {"file": f"{size}.yaml", "sha256": "0" * 64, "entries": entries}
    about = {"supernet": large.name, "fingerprint": large.fingerprint, "format": "note10"}
    path = tmp_path_factory.mktemp("phone") / "phone.yaml"
    write_device(Device(name="phone", latency=LatencyTable.model_validate({**about, "tables": tables})), path)
    return path


def keys_of_largest(supernet: Supernet, size: int) -> list[str]:
    """The entries that it is the sum of."""
    arch = supernet.space.arch({**supernet.space.largest().values, "resolution": size})
    return [piece.key for piece in FORMATS["note10"].pieces(supernet.layers(arch))]


def test_a_table_adds_the_standard_deviation(
    shown: Shown, found: Callable[..., dict[str, Any]], large: Supernet, phone: Path, tmp_path: Path
) -> None:
    path = write(tmp_path / "arch.json", large.space.largest().to_dict())
    arguments = (path, "--image-size", 160, "--device", phone)
    costs = found(*arguments)["costs"]
    keys = keys_of_largest(large, 160)
    places = {key: i + 1 for i, key in enumerate(dict.fromkeys(keys))}
    assert costs["latency_ms"] == pytest.approx(0.5 * len(keys))
    std = 0.01 * math.sqrt(sum(places[key] ** 2 for key in keys))
    assert costs["latency_ms_std"] == pytest.approx(std)
    out = shown(*arguments)
    assert f"latency (ms), predicted for phone   {costs['latency_ms']:.4g} (std {std:.2g})" in out


def test_a_size_that_a_table_lacks_is_told_with_those_it_has(
    shown: Shown, subnet: tuple[Arch, dict[str, Any]], net_file: Path, phone: Path, tmp_path: Path
) -> None:
    arch = subnet[0]
    values = {**arch.to_dict(), "choices": {**arch.values, "resolution": 140}}
    for path in (net_file, write(tmp_path / "arch.json", values)):
        said = refused(shown, path, "--image-size", 140, "--device", phone)
        assert said == (
            "the latency table of device 'phone' has no resolution 140; give another --image-size, "
            "one of 160, 164"
        )


def refused(shown: Shown, *arguments: object) -> str:
    with pytest.raises(InputError) as error:
        shown(*arguments)
    return str(error.value)


def test_a_file_without_an_image_size_says_both_ways(shown: Shown, net_file: Path) -> None:
    said = refused(shown, net_file)
    assert "--image-size N" in said
    assert 'run.config with {"image_size": N} beside it' in said


def test_a_device_for_a_network_of_no_space_is_refused(shown: Shown, tmp_path: Path) -> None:
    with torch.device("meta"):
        path = write(tmp_path / "net.config", MobileNetV3Large().config)
    said = refused(shown, path, "--image-size", 224, "--device", "host")
    assert "at 224 pixels is no subnet of a shipped supernet" in said
    assert "leave --device out" in said


def test_wrong_files_are_refused_in_a_sentence(
    shown: Shown, subnet: tuple[Arch, dict[str, Any]], large: Supernet, tmp_path: Path
) -> None:
    arch, config = subnet
    values = arch.to_dict()
    choices = dict(arch.choices)
    unknown_block = {**config, "blocks": [*config["blocks"], {"name": "FancyBlock"}]}
    cases: list[tuple[object, str]] = [
        (
            unknown_block,
            "'FancyBlock'. Did you mean 'ResidualBlock'? Known: MobileInvertedResidualBlock, Resid",
        ),
        ({**config, "name": "EfficientNet"}, "unknown network in"),
        ({"image_size": 160}, "its keys are image_size"),
        ({}, "its keys are none"),
        ({"arch": 3}, "holds no arch"),
        ({"choices": {}}, "holds no arch"),
        ({**values, "space": "ofa_mbv3"}, "unknown supernet 'ofa_mbv3'. Did you mean"),
        ({**values, "choices": {**choices, "resolution": 1036}}, "resolution = 1036 is not in space"),
        ({"arch": values, "fingerprint": "0" * 16}, f"the one here has {large.fingerprint}"),
    ]
    for data, said in cases:
        assert said in refused(shown, write(tmp_path / "some.json", data), "--image-size", 160), data
    arch_file = write(tmp_path / "arch.json", values)
    assert "resolution = 31 is not in space" in refused(shown, arch_file, "--image-size", 31)
    assert "cannot read" in refused(shown, tmp_path / "none.config")
    assert "cannot read" in refused(shown, tmp_path)
