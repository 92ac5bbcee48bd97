"""``ofa``'s net.config files against the published table, ``ofa``'s own classes and torch's counter."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ofa.imagenet_classification.networks import (
    MobileNetV2,
    MobileNetV3Large,
    ResNet50,
    ResNet50D,
    get_net_by_name,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cost_models.compute import of_layers
from supernet.archs.arch import Choice
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from supernet.ofa_format import files, matching, net_config
from tests.cost_models.test_peak_memory import peak_bytes
from tests.helpers.ofa_settings import OFA_SUPERNETS, settings
from tests.helpers.paths import REFERENCE
from tests.helpers.published_subnets import LARGER, OFA, Published

CONFIGS = sorted(REFERENCE.glob("specialized/*/net.config"))

Edit = Callable[[dict[str, Any]], object]


def write(folder: Path, config: Mapping[str, Any]) -> Path:
    path = folder / "net.config"
    path.write_text(json.dumps(config))
    return path


def built(config: Mapping[str, Any]) -> nn.Module:
    """The network that ``ofa`` makes of a config, which it spoils on the way, without memory for weights."""
    with torch.device("meta"):
        return get_net_by_name(config["name"]).build_from_config(copy.deepcopy(dict(config))).eval()


def counted_by_torch(net: nn.Module, image_size: int) -> tuple[int, int]:
    """Multiply-adds and parameters."""
    image = torch.zeros(1, 3, image_size, image_size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    return counter.get_total_flops() // 2, sum(p.numel() for p in net.parameters())


def counted_here(path: Path, image_size: int) -> tuple[int, int]:
    costs = of_layers(net_config.read_net_config(path).layers(image_size))
    return costs["macs"], costs["params"]


@cache
def written(kind: Callable[[], nn.Module]) -> str:
    """What ``ofa`` writes into the net.config of one of its networks."""
    with torch.device("meta"):
        return json.dumps(kind().config)


def static(kind: Callable[[], nn.Module]) -> dict[str, Any]:
    return json.loads(written(kind))


def half_up(number: Decimal, places: str) -> Decimal:
    return number.quantize(Decimal(places), ROUND_HALF_UP)


@pytest.mark.parametrize("subnet", [*OFA, LARGER], ids=lambda subnet: subnet.name)
def test_a_published_subnet_has_its_published_costs(subnet: Published, tmp_path: Path) -> None:
    path = subnet.write(tmp_path)
    size = files.image_size_beside(path)
    assert size == subnet.resolution
    check_published(path, size, subnet.macs_millions, str(subnet.params_millions))


def check_published(path: Path, size: int, macs_millions: int, params_millions: str) -> None:
    """The table's multiply-adds were rounded to a tenth of a million and then to a million: 364.49 is 365 there."""
    counted = counted_here(path, size)
    macs, params = (Decimal(count) / 10**6 for count in counted)
    assert half_up(half_up(macs, "0.1"), "1") == macs_millions, path
    assert abs(macs - macs_millions) < Decimal("0.55"), path
    assert half_up(params, "0.1") == Decimal(params_millions), path
    assert counted == counted_by_torch(built(json.loads(path.read_text())), size), path


@pytest.mark.parametrize("subnet", [*OFA, LARGER], ids=lambda subnet: subnet.name)
def test_a_published_subnet_is_one_of_a_supernet_where_its_image_size_is(
    subnet: Published, tmp_path: Path
) -> None:
    found = matching.arch_of(net_config.read_net_config(subnet.write(tmp_path)), subnet.resolution)
    assert (found is None) == (subnet.resolution > 224)
    if found is None:
        return
    supernet, arch = found
    assert (supernet.name, arch.resolution) == (subnet.supernet, subnet.resolution)
    for kind, given in (("kernel", subnet.kernels), ("expand", subnet.expands)):
        chosen = [choice for name, choice in arch.choices if name.startswith(f"{kind}.")]
        assert chosen == [int(digit) for digit in given.replace(" ", "")]


@pytest.mark.skipif(not CONFIGS, reason="the published net.config files are not here")
def test_all_published_subnets() -> None:
    """Their costs are those of the table and of torch, and they are subnets where their image size is one."""
    stems = {16: "ofa_mbv3_w1.0", 24: "ofa_mbv3_w1.2", 40: "ofa_proxyless_w1.3"}
    with (REFERENCE / "published_specialized.csv").open() as file:
        rows = {row["folder"]: row for row in csv.DictReader(file)}
    assert len(CONFIGS) == 40
    for path in CONFIGS:
        size, data = files.image_size_beside(path), json.loads(path.read_text())
        row = rows[path.parent.name]
        assert size is not None
        check_published(path, size, int(float(row["macs_millions"])), row["params_millions"])
        found = matching.arch_of(net_config.read_net_config(path), size)
        assert (found is None) == (size > 224), path
        if found is not None:
            supernet, arch = found
            blocks = [block["mobile_inverted_conv"] for block in data["blocks"][1:]]
            assert supernet.name == stems[data["first_conv"]["out_channels"]], path
            assert arch.resolution == size
            for kind, key in (("kernel", "kernel_size"), ("expand", "expand_ratio")):
                chosen = [choice for name, choice in arch.choices if name.startswith(f"{kind}.")]
                assert chosen == [block[key] for block in blocks], path


CLASSIC = {
    "MobileNetV2": (MobileNetV2, (300, 3.50)),
    "MobileNetV3Large": (MobileNetV3Large, (219, 5.48)),
    "ResNet50": (ResNet50, (4089, 25.56)),
    "ResNet50D": (ResNet50D, (4330, 25.58)),
}
"""Networks of ``ofa`` that no supernet holds, with multiply-adds and parameters in millions as others publish them.

MobileNetV2: Sandler et al. (2018), table 4, and torchvision; MobileNetV3: Howard et al. (2019), table 3, and
torchvision; ResNets: torchvision and timm."""


@pytest.mark.parametrize("name", CLASSIC)
@pytest.mark.parametrize("size", [224, 161, 33])
def test_a_network_of_no_space_still_has_its_costs(name: str, size: int, tmp_path: Path) -> None:
    kind, known = CLASSIC[name]
    config = static(kind)
    path = write(tmp_path, config)
    counted = counted_here(path, size)
    assert counted == counted_by_torch(built(config), size)
    assert net_config.read_net_config(path).classes == 1000
    if size != 224 or name != "ResNet50D":
        assert matching.arch_of(net_config.read_net_config(path), size) is None
    if known is not None and size == 224:
        macs, params = known
        assert counted[0] / 1e6 == pytest.approx(macs, rel=0.012)
        assert counted[1] / 1e6 == pytest.approx(params, rel=0.002)


def test_resnet50d_is_a_subnet_of_ofa_resnet50(tmp_path: Path) -> None:
    """Its published depths are 3, 4, 6, 3, and a block's middle is a quarter of its width."""
    found = matching.arch_of(net_config.read_net_config(write(tmp_path, static(ResNet50D))), 224)
    assert found is not None
    supernet, arch = found
    assert supernet.name == "ofa_resnet50"
    assert [arch[f"depth.{stage}"] for stage in range(5)] == [3, 3, 4, 6, 3]
    assert {choice for name, choice in arch.choices if name.startswith("width.")} == {1.0}
    assert {choice for name, choice in arch.choices if name.startswith("expand.")} == {0.25}


@pytest.mark.parametrize("kind", [MobileNetV2, ResNet50, ResNet50D])
def test_peak_memory_is_what_the_life_of_tensors_says(kind: Callable[[], nn.Module], tmp_path: Path) -> None:
    net = kind().eval()
    layers = net_config.read_net_config(write(tmp_path, net.config)).layers(47)
    assert of_layers(layers)["peak_memory_bytes"] == peak_bytes(net, torch.zeros(1, 3, 47, 47))


@pytest.mark.parametrize("name", OFA_SUPERNETS)
def test_a_config_that_ofa_writes_becomes_the_arch_again(name: str, tmp_path: Path) -> None:
    supernet = open_supernet(name)
    space = supernet.space
    with torch.device("meta"):
        net = supernet.family.elastic().net
    archs = [space.largest(), space.smallest(), *space.decode(space.sample(20, np.random.default_rng(11)))]
    for arch in archs:
        net.set_active_subnet(**settings(space, arch))
        with torch.device("meta"):
            config = net.get_active_subnet(preserve_weight=False).config
        found = matching.arch_of(net_config.read_net_config(write(tmp_path, config)), arch.resolution)
        assert found is not None
        assert found[0] is supernet
        assert twins(found[1].values) == twins(arch.values)


def twins(values: Mapping[str, Choice]) -> dict[str, Choice]:
    """``values``, where choices that are the same network are one.

    The stem of ``ofa``'s ResNet50 has 24 channels inside at width 0.65 as well as at 0.8.
    """
    return {**values, **({"width.0.1": 0.65} if values.get("width.0.1") == 0.8 else {})}


def largest_resnet() -> nn.Module:
    supernet = open_supernet("ofa_resnet50")
    return supernet.family.static(supernet.space.largest())


def resnet_config() -> dict[str, Any]:
    return static(largest_resnet)


def mobile_config() -> dict[str, Any]:
    return static(MobileNetV3Large)


def test_old_names_and_skipped_blocks_are_read(tmp_path: Path) -> None:
    config = mobile_config()
    expected = counted_here(write(tmp_path, config), 96)
    old = copy.deepcopy(config)
    for block in old["blocks"]:
        block["name"] = "MobileInvertedResidualBlock"
        block["mobile_inverted_conv"] = block.pop("conv") | {"name": "MBInvertedConvLayer"}
        del block["mobile_inverted_conv"]["groups"]
        if block["shortcut"] is not None:
            block["shortcut"] |= {"in_channels": [24], "out_channels": [24]}
    for skipped in (None, {"name": "ZeroLayer"}):
        block = {"name": "MobileInvertedResidualBlock", "mobile_inverted_conv": skipped, "shortcut": None}
        old["blocks"].insert(3, block)
    assert counted_here(write(tmp_path, old), 96) == expected
    assert counted_by_torch(built(old), 96) == expected


def test_every_key_that_changes_a_cost_does(tmp_path: Path) -> None:
    """``ofa`` builds each variant too, and torch counts it."""
    edits: dict[str, Edit] = {
        "kernel": lambda c: c["blocks"][4]["conv"].update(kernel_size=7),
        "stride": lambda c: c["first_conv"].update(stride=3),
        "no gate": lambda c: c["blocks"][4]["conv"].update(use_se=False),
        "expand ratio": lambda c: c["blocks"][4]["conv"].update(mid_channels=None, expand_ratio=2.5),
        "groups": lambda c: c["blocks"][4]["conv"].update(groups=10**6),
        "bias": lambda c: c["first_conv"].update(bias=True),
        "no norm": lambda c: c["final_expand_layer"].update(use_bn=False),
        "norm": lambda c: c["feature_mix_layer"].update(use_bn=True),
        "norm of the classifier": lambda c: c["classifier"].update(use_bn=True),
        "no bias": lambda c: c["classifier"].update(bias=False),
        "classes": lambda c: c["classifier"].update(out_features=7),
        "dropout": lambda c: c["classifier"].update(dropout_rate=0.5),
        "depthwise": lambda c: c["feature_mix_layer"].update(
            in_channels=960, out_channels=960, groups=960, kernel_size=3
        ) or c["classifier"].update(in_features=960),
    }  # fmt: skip
    plain = counted_here(write(tmp_path, mobile_config()), 96)
    same = {"groups", "dropout"}
    for name, edit in edits.items():
        config = mobile_config()
        edit(config)
        found = counted_here(write(tmp_path, config), 96)
        assert found == counted_by_torch(built(config), 96), name
        assert (found == plain) == (name in same), name


def test_a_change_that_costs_nothing_may_still_be_another_network(tmp_path: Path) -> None:
    supernet = open_supernet("ofa_resnet50")
    arch = supernet.space.arch({**supernet.space.largest().values, "resolution": 128})
    config = resnet_config()
    assert matching.arch_of(net_config.read_net_config(write(tmp_path, config)), 128) == (supernet, arch)
    config["input_stem"][0]["act_func"] = "tanh"
    assert matching.arch_of(net_config.read_net_config(write(tmp_path, config)), 128) is None
    assert matching.arch_of(net_config.read_net_config(write(tmp_path, resnet_config())), 130) is None


WRONG: dict[str, tuple[Callable[[], dict[str, Any]], Edit, str]] = {
    "network": (
        mobile_config, lambda c: c.update(name="MobilNetV3"),
        r"unknown network in .*net.config: 'MobilNetV3'. Did you mean 'MobileNetV3'\? Known: MobileNetV3, NAT",
    ),
    "no name": (mobile_config, lambda c: c.pop("name"), "unknown network in .*: None. Known: MobileNetV3, "),
    "block": (
        mobile_config, lambda c: c["blocks"][4].update(name="ShuffleBlock"),
        r"unknown block at .*: blocks\.4: 'ShuffleBlock'.* Known: MobileInvertedResidualBlock, ResidualBlock",
    ),
    "block of another network": (
        resnet_config, lambda c: c["blocks"][1].update(name="ResidualBlock"),
        r"unknown block at .*: blocks\.1: 'ResidualBlock'.*Known: ResNetBottleneckBlock",
    ),
    "layer": (
        mobile_config, lambda c: c["blocks"][2]["conv"].update(name="DepthConvLayer"),
        r"unknown layer at .*: blocks\.2\.conv: 'DepthConvLayer'.*Known: ConvLayer, MBConvLayer",
    ),
    "shortcut": (
        mobile_config, lambda c: c["blocks"][2]["shortcut"].update(name="ConvLayer"),
        r"unknown shortcut at .*: blocks\.2\.shortcut: 'ConvLayer'.*Known: IdentityLayer, ZeroLayer",
    ),
    "classifier": (
        mobile_config, lambda c: c["classifier"].update(name="MultiHeadLinearLayer"),
        "unknown layer at .*: classifier: 'MultiHeadLinearLayer'.*Known: LinearLayer",
    ),
    "key": (
        mobile_config, lambda c: c["blocks"][2]["conv"].update(kernel=3),
        r"blocks\.2\.conv: unknown key 'kernel'. Did you mean 'kernel_size'\?",
    ),
    "key of the network": (mobile_config, lambda c: c.update(stem={}), "unknown key 'stem'"),
    "no key": (
        mobile_config, lambda c: c["blocks"][2]["conv"].pop("out_channels"),
        r"blocks\.2\.conv: the key 'out_channels' is missing",
    ),
    "no conv": (mobile_config, lambda c: c["blocks"][2].pop("conv"), r"blocks\.2: the key 'conv' is missing"),
    "even kernel": (
        mobile_config, lambda c: c["blocks"][2]["conv"].update(kernel_size=4),
        r"blocks\.2\.conv: kernel_size: got '4'; a kernel must be odd",
    ),
    "text": (
        mobile_config, lambda c: c["first_conv"].update(stride="2"), "first_conv: stride: got '2'; .*integer"
    ),
    "dilation": (
        mobile_config, lambda c: c["first_conv"].update(dilation=2),
        "first_conv: dilation: got '2'; Input should be 1",
    ),
    "groups": (
        mobile_config, lambda c: c["final_expand_layer"].update(groups=4),
        "final_expand_layer: groups: got 4; allowed: 1, or as many as",
    ),
    "groups of a block": (
        mobile_config, lambda c: c["blocks"][2]["conv"].update(groups=8),
        r"blocks\.2\.conv: groups: got 8; allowed: null or as many as",
    ),
    "activation": (
        mobile_config, lambda c: c["blocks"][2]["conv"].update(act_func="gelu"),
        r"blocks\.2\.conv: act_func: got 'gelu'; Input should be 'relu', 'relu6'",
    ),
    "order": (
        mobile_config, lambda c: c["first_conv"].update(ops_order="bn_act_weight"), "ops_order: got 'bn_act_w"
    ),
    "group norm": (
        mobile_config, lambda c: c["bn"].update(gn_channel_per_group=8), "bn.gn_channel_per_group: got '8'"
    ),
    "middle without expansion": (
        mobile_config, lambda c: c["blocks"][0]["conv"].update(expand_ratio=1, mid_channels=32),
        r"blocks\.0\.conv: mid_channels: got 32; .* null or in_channels, 16",
    ),
    "no middle": (
        mobile_config, lambda c: c["blocks"][2]["conv"].update(expand_ratio=0.01, mid_channels=None),
        r"blocks\.2\.conv: expand_ratio: got 0.01, which leaves none of 24 channels",
    ),
    "endless expansion": (
        mobile_config, lambda c: c["blocks"][2]["conv"].update(expand_ratio=float("inf"), mid_channels=None),
        "Infinity is no number in JSON",
    ),
    "shortcut over a stride": (
        mobile_config, lambda c: c["blocks"][2]["conv"].update(stride=2), r"blocks\.2: .*stride 2; set shortcut to"
    ),
    "shortcut over a change of width": (
        mobile_config, lambda c: c["blocks"][2]["conv"].update(out_channels=32), "24 channels become 32"
    ),
    "widths that do not meet": (
        mobile_config, lambda c: c["classifier"].update(in_features=1000),
        "classifier takes 1000 channels, but feature_mix_layer before it gives 1280",
    ),
    "a bottleneck's kernel": (
        resnet_config, lambda c: c["blocks"][1].update(kernel_size=5), r"blocks\.1: kernel_size: got '5'; .* be 3"
    ),
    "a bottleneck's shortcut": (
        resnet_config, lambda c: c["blocks"][0].update(downsample_mode="maxpool"), "downsample_mode: got 'maxpool'"
    ),
    "no stem": (resnet_config, lambda c: c.update(input_stem=[]), "input_stem: got .*should not be empty"),
    "blocks that are no objects": (mobile_config, lambda c: c.update(blocks=[3]), r"blocks\.0: got '3'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_would_not_be_counted_is_refused(case: str, tmp_path: Path) -> None:
    config, edit, said = WRONG[case]
    data = config()
    net_config.read_net_config(write(tmp_path, data))
    edit(data)
    with pytest.raises(InputError, match=said):
        net_config.read_net_config(write(tmp_path, data))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not valid JSON, which is UTF-8 text"),
        (b"[" * 100_000, "line 1: lists and mappings stand within each other on more than 64 levels"),
        (b"[1]", "must hold an object, .*, but holds list"),
    ],
)
def test_a_file_that_is_no_json_object_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.config"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said):
        net_config.read_net_config(path)


def test_the_image_size_is_that_of_the_run_config_beside(tmp_path: Path) -> None:
    path = write(tmp_path, mobile_config())
    assert files.image_size_beside(path) is None
    beside = tmp_path / "run.config"
    beside.write_text('{"image_size": 160, "n_epochs": 25}')
    assert files.image_size_beside(path) == 160
    for wrong in ("{}", '{"image_size": [128, 160]}', '{"image_size": true}'):
        beside.write_text(wrong)
        with pytest.raises(InputError, match=r"image_size must be a number of pixels, got .*--image-size N"):
            files.image_size_beside(path)
    for wrong_size in (0, 10**200):
        with pytest.raises(InputError, match=f"pixels from 1 to 1,000,000, got {wrong_size}"):
            net_config.read_net_config(path).layers(wrong_size)
