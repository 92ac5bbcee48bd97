"""The reader of subnets in all encodings, against figures that their authors publish and against ``ofa`` itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from cost_models.compute import of_layers
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from supernet.ofa_format import attentive_nas, net_config, reader
from supernet.ofa_format.settings import settings_of_arch
from tests.helpers.imports import HEAVY, loaded_after
from tests.helpers.ofa_settings import OFA_SUPERNETS
from tests.helpers.published_subnets import (
    ATTENTIVE_NAS,
    MCUNET,
    NAT,
    OFA,
    Published,
    attentive,
    digits,
    mcunet,
)


def write(path: Path, data: object) -> Path:
    path.write_text(json.dumps(data))
    return path


def counted(network: reader.Network) -> tuple[float, float]:
    """Millions of multiply-adds and of parameters."""
    costs = of_layers(network.layers)
    return costs["macs"] / 1e6, costs["params"] / 1e6


def made_by_ofa(name: str, given: Mapping[str, Any], size: int) -> tuple[Any, ...]:
    """The layers of the network that ``ofa``'s supernet makes of settings."""
    with torch.device("meta"):
        net = open_supernet(name).family.elastic().net
        net.set_active_subnet(**given)
        config = net.get_active_subnet(preserve_weight=False).config
    return nameless(net_config.parse_net_config(config, "ofa").layers(size))


def nameless(layers: tuple[Any, ...]) -> tuple[Any, ...]:
    from supernet.ofa_format.matching import unnamed

    return unnamed(layers)


# -- settings of ofa -----------------------------------------------------------------


@pytest.mark.parametrize("known", OFA, ids=lambda known: known.name)
def test_settings_have_the_published_costs(known: Published, tmp_path: Path) -> None:
    """Without the skipped blocks and with them, as JSON, as Python prints them and as YAML."""
    supernet = open_supernet(known.supernet)
    width = {"w": supernet.family.width}
    network = reader.read(write(tmp_path / "net.subnet", known.settings | width))
    macs, params = counted(network)
    assert abs(macs - known.macs_millions) < 0.55
    assert round(params, 1) == known.params_millions
    assert network.point is not None
    assert network.point[0] is supernet
    arch = network.point[1]
    full = settings_of_arch(supernet.space, arch) | {"image_size": known.resolution, "wid": None}
    printed, in_yaml = tmp_path / "printed.txt", tmp_path / "subnet.yaml"
    printed.write_text(str(full))
    in_yaml.write_text(yaml.safe_dump(full))
    for path in (write(tmp_path / "full.json", full), printed, in_yaml):
        assert reader.read(path, supernet=supernet).point == (supernet, arch)
    assert reader.arch_in(full, supernet, "here") == arch


@pytest.mark.parametrize("name", NAT)
def test_nats_subnets_have_the_published_parameters(name: str, tmp_path: Path) -> None:
    given, millions = NAT[name]
    network = reader.read(write(tmp_path / "net.subnet", given))
    assert (network.name, network.image_size) == ("ofa_mbv3_w1.2", given["r"])
    assert round(counted(network)[1], 1) == millions


def test_nats_third_subnet_is_one_that_ofa_published_too(tmp_path: Path) -> None:
    network = reader.read(write(tmp_path / "net.subnet", NAT["NAT-M3"][0]))
    [same] = [known for known in OFA if known.name == "flops-482M"]
    assert network.point is not None
    assert network.point[1] == reader.arch_in(same.settings, network.point[0], "here")


def test_an_image_size_outside_the_space_has_costs_but_no_point(tmp_path: Path) -> None:
    """NAT-M4, at 240 pixels: 600 M are published."""
    network = reader.read(write(tmp_path / "net.subnet", NAT["NAT-M4"][0]))
    assert round(counted(network)[0]) == 600
    assert network.point is None


@pytest.mark.parametrize(
    ("name", "given", "size"),
    [
        ("ofa_mbv3_w1.0", {"ks": 3, "e": 4, "d": 2}, 224),
        ("ofa_mbv3_w1.2", {"ks": 7, "e": 6, "d": 4}, 256),
        ("ofa_proxyless_w1.3", {"ks": 5, "e": 3, "d": 3}, 128),
        ("ofa_resnet50", {"d": 0, "e": 0.2, "w": 0}, 160),
        ("ofa_resnet50", {"d": 2, "e": 0.35, "w": 2}, 224),
    ],
)
def test_one_number_for_all_is_what_ofa_makes_of_it(
    name: str, given: dict[str, Any], size: int, tmp_path: Path
) -> None:
    path = write(tmp_path / "settings.json", given | {"r": size})
    network = reader.read(path, supernet=open_supernet(name))
    assert nameless(network.layers) == made_by_ofa(name, given, size)


def test_a_depth_may_be_left_out_where_there_is_no_choice() -> None:
    supernet = open_supernet("ofa_proxyless_w1.3")
    five = {"ks": 3, "e": 4, "d": [2, 3, 4, 2, 3], "r": 160}
    assert reader.arch_in(five, supernet, "here") == reader.arch_in(
        five | {"d": [2, 3, 4, 2, 3, 1]}, supernet, "here"
    )


def test_settings_that_several_supernets_have_ask_which(tmp_path: Path) -> None:
    path = write(tmp_path / "settings.json", OFA[0].settings)
    with pytest.raises(InputError, match=r"of ofa_mbv3_w1\.0 and of ofa_mbv3_w1\.2: name it with --supernet"):
        reader.read(path)
    for name in ("ofa_mbv3_w1.0", "ofa_mbv3_w1.2"):
        assert reader.read(path, supernet=open_supernet(name)).name == name


WRONG_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "length": ({"ks": [3] * 7}, r"ks is a list of 20 numbers here, of 10 without the skipped blocks, or one"),
    "text": ({"e": "6"}, "e is a list of 20 numbers here"),
    "value": ({"ks": 9}, r"kernel\.1\.1 = 9 is not in space"),
    "depth": ({"d": [2, 2, 2, 2, 5]}, r"depth\.5 = 5 is not in space"),
    "key": ({"kernels": 3}, r"unknown key of ofa's settings 'kernels'"),
    "width id": ({"wid": 1}, r"wid: got 1, but subnets of ofa_mbv3_w1\.0 have no such choice; theirs are d, ks, e and r"),
    "width list": ({"w": [0] * 6}, r"w: got \[0, 0, 0, 0, 0, 0\], but subnets of ofa_mbv3_w1\.0 have no such choice"),
    "width of another": ({"w": 1.2}, r"w is the width multiplier 1\.2, but that of ofa_mbv3_w1\.0 is 1"),
    "resolution": ({"r": [128, 160]}, r"r is the resolution as a number, or a list of one"),
    "huge": ({"r": 10**9}, "pixels from 1 to 1,000,000, got 1000000000"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_SETTINGS)
def test_wrong_settings_are_refused(case: str, tmp_path: Path) -> None:
    changed, said = WRONG_SETTINGS[case]
    fine = {"ks": 3, "e": 4, "d": 2, "r": 160}
    supernet = open_supernet("ofa_mbv3_w1.0")
    reader.read(write(tmp_path / "fine.json", fine), supernet=supernet)
    path = write(tmp_path / "wrong.json", fine | changed)
    with pytest.raises(InputError, match=said) as error:
        reader.read(path, supernet=supernet)
    assert str(error.value).startswith(str(path)) or case == "huge"


def test_settings_of_no_shipped_supernet_say_why_for_each(tmp_path: Path) -> None:
    path = write(tmp_path / "wrong.json", {"ks": 9, "e": 4, "d": 2, "r": 160})
    with pytest.raises(InputError, match="of no shipped supernet") as error:
        reader.read(path)
    for name in OFA_SUPERNETS:
        assert f"{name}: " in str(error.value)


def test_settings_without_a_size_take_it_from_beside_or_as_asked(tmp_path: Path) -> None:
    given = {key: value for key, value in OFA[0].settings.items() if key != "r"}
    path, supernet = write(tmp_path / "settings.json", given), open_supernet("ofa_mbv3_w1.0")
    assert reader.read(path, 192, supernet).image_size == 192
    write(tmp_path / "run.config", {"image_size": 140})
    assert counted(reader.read(path, None, supernet))[0] == pytest.approx(67, abs=0.5)


# -- net.config of others --------------------------------------------------------------


@pytest.mark.parametrize("name", MCUNET)
def test_mcunets_networks_have_the_published_costs(name: str, tmp_path: Path) -> None:
    *_, macs, params = MCUNET[name]
    network = reader.read(write(tmp_path / "config.json", mcunet(name)))
    found = counted(network)
    assert round(found[0], 1) == macs
    assert round(found[1], 2) == params
    assert network.point is None


def test_what_mcunet_and_nat_leave_out_or_add_changes_nothing(tmp_path: Path) -> None:
    plain = mcunet("mcunet-10fps")
    expected = counted(reader.read(write(tmp_path / "plain.json", plain)))
    without = {key: value for key, value in plain.items() if key not in ("bn", "feature_mix_layer")}
    more = without | {"url": "https://example.org/net.weights", "bn": {"eps": 1e-3}}
    for data in (without, more):
        assert counted(reader.read(write(tmp_path / "other.json", data))) == expected


def test_the_size_asked_goes_before_the_files_and_that_before_the_one_beside(tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", mcunet("mcunet-10fps"))
    write(tmp_path / "run.config", {"image_size": 96})
    assert reader.read(path).image_size == 48
    assert reader.read(path, 64).image_size == 64


def test_several_widths_are_of_a_supernet(tmp_path: Path) -> None:
    data = mcunet("mcunet-10fps")
    data["blocks"][2]["mobile_inverted_conv"]["out_channels"] = [16, 24]
    with pytest.raises(
        InputError, match=r"blocks\.2.*out_channels: .*a list of widths is of a layer of a supernet"
    ):
        reader.read(write(tmp_path / "config.json", data))


@pytest.mark.parametrize("name", OFA_SUPERNETS)
def test_the_config_of_a_supernet_is_told_from_a_subnets(name: str, tmp_path: Path) -> None:
    """As ``ofa``'s own supernets write it."""
    with torch.device("meta"):
        config = open_supernet(name).family.elastic().net.config
    path = write(tmp_path / "net.config", config)
    with pytest.raises(
        InputError, match=f"is the config of a whole supernet, {config['name']}, not of a subnet"
    ):
        reader.read(path)


def test_a_net_config_is_an_arch_where_a_row_holds_one() -> None:
    known = OFA[1]
    supernet = open_supernet(known.supernet)
    arch = reader.arch_in(known.settings, supernet, "here")
    with torch.device("meta"):
        net = supernet.family.elastic().net
        net.set_active_subnet(**settings_of_arch(supernet.space, arch))
        config = net.get_active_subnet(preserve_weight=False).config
    assert reader.arch_in(config | {"resolution": known.resolution}, supernet, "here") == arch
    assert reader.arch_in(arch.to_dict(), supernet, "here") == arch
    with pytest.raises(
        InputError, match=r"here: the MobileNetV3 at 152 pixels is no subnet of ofa_mbv3_w1\.2"
    ):
        reader.arch_in(config | {"resolution": 152}, open_supernet("ofa_mbv3_w1.2"), "here")


# -- AttentiveNAS and mmrazor -------------------------------------------------------------


@pytest.mark.parametrize("name", ATTENTIVE_NAS)
def test_attentive_nas_has_the_published_multiply_adds(name: str, tmp_path: Path) -> None:
    path = tmp_path / "subnet.yaml"
    path.write_text(yaml.safe_dump(attentive(name)))
    network = reader.read(path)
    assert round(counted(network)[0]) == ATTENTIVE_NAS[name][-1]
    assert (network.name, network.point) == ("AttentiveNAS", None)


def test_a_shortcut_of_attentive_nas_holds_what_lives_beside_it() -> None:
    """By hand, of a block from 8 channels of 4 x 4 to 16 of 2 x 2 with 32 inside."""
    from supernet.networks.inverted_residuals import Block

    block = Block("b", 8, 32, 16, 4, kernel=3, stride=2, act="swish", se=False)
    found = {layer.name: layer.live_elements for layer in attentive_nas.with_shortcut(block)}
    assert found == {
        "b.shortcut.pool": 128 + 32,  # the input and what is pooled of it
        "b.shortcut": 128 + 32 + 64,  # the input waits
        "b.expand": 128 + 512 + 64,  # the shortcut waits
        "b.depthwise": 512 + 128 + 64,
        "b.project": 128 + 64 + 64,
        "b.add": 64 + 64 + 64,
    }


def test_a_configuration_of_attentive_nas_is_not_a_subnet(tmp_path: Path) -> None:
    several = tmp_path / "eval.yml"
    several.write_text(yaml.safe_dump({"pareto_models": {"a0": attentive("A0"), "a1": attentive("A1")}}))
    with pytest.raises(InputError, match="with 2 subnets, a0, a1: give what stands below one of them"):
        reader.read(several)
    several.write_text(yaml.safe_dump({"supernet_config": {"use_v3_head": True}}))
    with pytest.raises(InputError, match="is the configuration of a supernet of AttentiveNAS"):
        reader.read(several)
    short = attentive("A0")
    short["depth"].pop()
    several.write_text(yaml.safe_dump(short))
    with pytest.raises(InputError, match=r"depth: got .*at least 7 items"):
        reader.read(several)


WIDTHS_OF_OFA = (16, 16, 24, 40, 80, 112, 160, 1280)


def in_mmrazor(known: Published, widths: tuple[int, ...] = WIDTHS_OF_OFA) -> dict[str, Any]:
    """A subnet as mmrazor writes it, with four blocks in each stage; a skipped one has some values."""
    stem, *stages, last = widths
    found: dict[str, Any] = {
        "backbone.first_channels": stem, "backbone.last_channels": last,
        "backbone.layers.1.0.expand_ratio": 1, "backbone.layers.1.0.kernel_size": 3, "backbone.layers.1.depth": 1,
        "input_shape": [known.resolution] * 2,
    }  # fmt: skip
    for stage, width in enumerate(stages, 1):
        found[f"backbone.layers.{stage}.out_channels"] = width
    kernels, expands = iter(digits(known.kernels)), iter(digits(known.expands))
    for stage, depth in enumerate(digits(known.depths), 2):
        found[f"backbone.layers.{stage}.depth"] = depth
        for b in range(4):
            place = f"backbone.layers.{stage}.{b}"
            found[f"{place}.kernel_size"] = next(kernels) if b < depth else 3
            found[f"{place}.expand_ratio"] = next(expands) if b < depth else 3
            found[f"{place}.expand_ratio_se"] = 4
    return {key: {"chosen": value} for key, value in found.items()}


@pytest.mark.parametrize("known", OFA[:2], ids=lambda known: known.name)
def test_mmrazors_subnets_are_those_that_ofa_published(known: Published, tmp_path: Path) -> None:
    path = tmp_path / "OFA_SUBNET.yaml"
    path.write_text(yaml.safe_dump(in_mmrazor(known)))
    network = reader.read(path)
    assert network.point is not None
    assert network.point[0].name == known.supernet
    assert network.point[1] == reader.arch_in(known.settings, network.point[0], "here")
    macs, params = counted(network)
    assert abs(macs - known.macs_millions) < 0.55
    assert round(params, 1) == known.params_millions


def test_mmrazors_attentive_subnets_have_the_published_multiply_adds(tmp_path: Path) -> None:
    data = attentive("A0")
    stem, *stages, last = data["width"]
    found = {"backbone.first_channels": stem, "backbone.last_channels": last, "input_shape": [192, 192]}
    for s, width in enumerate(stages):
        place = f"backbone.layers.{s + 1}"
        found |= {f"{place}.{key}": data[key][s] for key in ("kernel_size", "expand_ratio", "depth")}
        found[f"{place}.out_channels"] = width
    path = tmp_path / "ATTENTIVE_SUBNET_A0.yaml"
    path.write_text(yaml.safe_dump({key: {"chosen": value} for key, value in found.items()}))
    assert round(counted(reader.read(path))[0]) == 203


def test_mmrazors_other_networks_are_said_not_to_be_known(tmp_path: Path) -> None:
    path = tmp_path / "subnet.yaml"
    path.write_text(yaml.safe_dump({"backbone.conv1.bn.num_features_mutable": {"current_choice": 8}}))
    with pytest.raises(InputError, match="is of mmrazor, but of a network that is not known here"):
        reader.read(path)
    path.write_text(yaml.safe_dump(in_mmrazor(OFA[0], (16, 16, 16, 40, 80, 112, 160, 1280))))
    with pytest.raises(InputError, match=r"its widths are 16, 16, 16, 40, .* a family that is not known"):
        reader.read(path)
    fine = in_mmrazor(OFA[0])
    del fine["backbone.layers.3.0.kernel_size"]
    path.write_text(yaml.safe_dump(fine))
    with pytest.raises(InputError, match="kernel_size is missing"):
        reader.read(path)


# -- what is none --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "must hold keys and values"),
        ("hello", "must hold keys and values, but holds str"),
        ("a: [1", "is not valid YAML"),
        ("{}", "is none of: an arch .* its keys are none"),
        ("ks: 3", "is none of: .* its keys are ks"),
        ("{1: 2}", "is none of: .* its keys are 1"),
        ("1: 2", "is none of: .* its keys are 1"),
        ("{'d': {1, 2}, 'e': b'x', 'ks': 1j, 'r': 128}", "of no shipped supernet"),
        ("{'name': ['OFAResNets'], 'blocks': 3}", "unknown network in"),
        ("{'arch': {'space': 'ofa_mbv3_w1.0', 'choices': 3}}", "an arch is"),
        (
            "backbone.layers.2.kernel_size: {chosen: 3}\nbackbone.layers.x: 3",
            "a network that is not known here",
        ),
        ("depth: 3\nexpand_ratio: 4", "the key 'resolution' is missing"),
    ],
)
def test_what_is_no_subnet_is_told_what_may_be_one(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / ("subnet.json" if content.startswith("{") else "subnet.yaml")
    path.write_text(content)
    with pytest.raises(InputError, match=said):
        reader.read(path)


def test_random_archs_are_read_back_in_every_form() -> None:
    for name in OFA_SUPERNETS:
        supernet = open_supernet(name)
        for arch in supernet.space.decode(supernet.space.sample(20, np.random.default_rng(8))):
            full = settings_of_arch(supernet.space, arch) | {"r": arch.resolution}
            blocks = [d for d in supernet.space.dimensions if d.kind == "expand"]
            there = [i for i, d in enumerate(blocks) if d.name in arch.values]
            compact = {
                key: [full[key][i] for i in there] if key in ("ks", "e") else full[key] for key in full
            }
            for data in (full, compact, arch.to_dict()):
                assert reader.arch_in(data, supernet, "here") == arch


def test_the_reader_imports_nothing_heavy() -> None:
    assert not loaded_after("import supernet.ofa_format.reader") & HEAVY
