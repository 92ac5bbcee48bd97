"""Latency tables of other layouts than the Note10's: NSGANetV2's, plain means, other names and units, CSV files."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3

from cost_models.devices import import_device, open_device
from cost_models.latency import latency_ms, latency_std_ms
from cost_models.protocol import Target
from cost_models.published_tables import FORMATS
from search.cli.app import main
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from supernet.ofa_format.settings import settings_of_arch

PUBLISHED = {
    ("ofa_mbv3_w1.0", 200): (
        "first_conv-input:200x200x3-output:100x100x16",
        "MBConv-input:100x100x16-output:100x100x16-expand:1-kernel:3-stride:1-idskip:1-se:0",
        "MBConv-input:100x100x16-output:50x50x24-expand:3-kernel:7-stride:2-idskip:0-se:0",
        "final_expand_layer-input:7x7x160-output:7x7x960",
        "feature_mix_layer-input:1x1x960-output:1x1x1280",
        "classifier-input:1280-output:1000",
    ),
    ("ofa_mbv3_w1.0", 160): (
        "MBConv-input:10x10x112-output:10x10x112-expand:6-kernel:5-stride:1-idskip:1-se:1",
        "MBConv-input:10x10x112-output:5x5x160-expand:4-kernel:7-stride:2-idskip:0-se:1",
    ),
    ("ofa_mbv3_w1.2", 144): (
        "first_conv-input:144x144x3-output:72x72x24",
        "MBConv-input:9x9x96-output:9x9x136-expand:3-kernel:3-stride:1-idskip:0-se:1",
        "MBConv-input:9x9x96-output:9x9x96-expand:6-kernel:7-stride:1-idskip:1-se:0",
        "final_expand_layer-input:5x5x192-output:5x5x1152",
        "feature_mix_layer-input:1x1x1152-output:1x1x1536",
        "classifier-input:1536-output:1000",
    ),
}
"""Keys of the table of an i7-8700K that NSGANetV2's authors published (data/i7-8700K_lut.yaml)."""
SIZES = (192, 196, 228)
"""Resolutions of the made-up table; the supernet has no 228."""


@pytest.fixture(scope="module")
def net() -> Supernet:
    return open_supernet("ofa_mbv3_w1.0")


@pytest.fixture(scope="module")
def elastic() -> OFAMobileNetV3:
    return OFAMobileNetV3(
        width_mult=1.0, ks_list=[3, 5, 7], expand_ratio_list=[3, 4, 6], depth_list=[2, 3, 4], dropout_rate=0
    )


def keys_of(config: dict[str, Any], size: int) -> list[str]:
    """What NSGANetV2 looks up for a network of ofa: its blocks as their own config says, maps halved and rounded up."""
    found = [
        f"first_conv-input:{size}x{size}x3-output:{size // 2}x{size // 2}x{config['first_conv']['out_channels']}"
    ]
    side = math.ceil(size / 2)
    for block in config["blocks"]:
        conv = block["conv"]
        out = math.ceil(side / 2) if conv["stride"] == 2 else side
        found.append(
            f"MBConv-input:{side}x{side}x{conv['in_channels']}-output:{out}x{out}x{conv['out_channels']}"
            f"-expand:{conv['expand_ratio']}-kernel:{conv['kernel_size']}-stride:{conv['stride']}"
            f"-idskip:{block['shortcut'] is not None:d}-se:{conv['use_se']:d}"
        )
        side = out
    for name in ("final_expand_layer", "feature_mix_layer"):
        into, out_of = config[name]["in_channels"], config[name]["out_channels"]
        at = side if name == "final_expand_layer" else 1
        found.append(f"{name}-input:{at}x{at}x{into}-output:{at}x{at}x{out_of}")
    classifier = config["classifier"]
    return [*found, f"classifier-input:{classifier['in_features']}-output:{classifier['out_features']}"]


@pytest.fixture(scope="module")
def table(elastic: OFAMobileNetV3, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with what every choice of the supernet needs at three resolutions, and one entry of another width."""
    rows = {"first_conv-input:192x192x3-output:96x96x24": {"mean": 0.19, "var": 1e-6}}
    for kernel, expand, size in itertools.product((3, 5, 7), (3, 4, 6), SIZES):
        elastic.set_active_subnet(ks=kernel, e=expand, d=4)
        for key in keys_of(elastic.get_active_net_config(), size):
            scale = 1 + math.prod(map(float, key.split("input:")[1].split("-")[0].split("x"))) / 1e5
            rows.setdefault(key, {"mean": scale * (1 + len(rows) % 97 / 97), "var": 1e-4 * scale**2})
    path = tmp_path_factory.mktemp("nsganetv2") / "i7_lut.yaml"
    path.write_text(yaml.safe_dump(rows))
    return path


def test_keys_are_those_that_were_published() -> None:
    for (name, size), keys in PUBLISHED.items():
        supernet = open_supernet(name)
        space = supernet.space.restricted({"resolution": [size]})
        chosen = [
            space.smallest(),
            space.largest(),
            *space.decode(space.sample(300, np.random.default_rng(0))),
        ]
        made = {piece.key for arch in chosen for piece in FORMATS["nsganetv2"].pieces(supernet.layers(arch))}
        assert set(keys) <= made, set(keys) - made


def test_its_latency_is_the_sum_that_nsganetv2_looks_up(
    net: Supernet, elastic: OFAMobileNetV3, table: Path, tmp_path: Path
) -> None:
    device = import_device("nsganetv2", table, net, "i7")
    assert device.table.resolutions == (192, 196)
    assert (
        sum(len(part.entries) for part in device.table.tables.values())
        < len(yaml.safe_load(table.read_text())) * 2
    )
    there = net.restricted({"resolution": (192, 196)})
    latency, std = latency_ms(Target(there, device)), latency_std_ms(Target(there, device))
    rows = yaml.safe_load(table.read_text())
    for arch in there.space.decode(there.space.sample(20, np.random.default_rng(3))):
        elastic.set_active_subnet(**settings_of_arch(net.space, arch))
        keys = keys_of(elastic.get_active_net_config(), arch.resolution)
        assert latency(arch) == pytest.approx(sum(rows[key]["mean"] for key in keys))
        assert std(arch) == pytest.approx(math.sqrt(sum(rows[key]["var"] for key in keys)))


def test_a_table_of_all_resolutions_must_cover_those_it_has(
    net: Supernet, table: Path, tmp_path: Path
) -> None:
    rows = yaml.safe_load(table.read_text())
    lost = next(key for key in rows if key.startswith("MBConv-input:98x98x16"))
    spoilt = tmp_path / "lut.yaml"
    spoilt.write_text(yaml.safe_dump({key: row for key, row in rows.items() if key != lost}))
    with pytest.raises(InputError, match=rf"resolution 196 needs the entry '{lost}', which lut\.yaml lacks"):
        import_device("nsganetv2", spoilt, net, "i7")
    with pytest.raises(InputError, match="has resolution 192, 196, 228, of which fmnist_mbv3 has none"):
        import_device("nsganetv2", table, open_supernet("fmnist_mbv3"), "i7")
    with pytest.raises(InputError, match=r"must have one entry named like Conv-input:"):
        import_device("ofa", table, net, "i7")


# -- tables of ofa's layout ----------------------------------------------------------


def plain_tables(net: Supernet, folder: Path, scale: float, shape: str) -> Path:
    """A table of ofa's layout at resolution 160, of what a phone would take times ``scale``."""
    whole = net.restricted({"resolution": [160]})
    rows: dict[str, Any] = {}
    space = whole.space
    for kernel, expand in itertools.product((3, 5, 7), (3, 4, 6)):
        chosen = {"kernel": kernel, "expand": expand}
        values = {
            name: chosen.get(name.partition(".")[0], value) for name, value in space.largest().values.items()
        }
        for piece in FORMATS["ofa"].pieces(whole.layers(space.arch(values))):
            mean = scale * (0.5 + len(rows) / 321)
            rows.setdefault(piece.key, mean if shape == "number" else {"mean": mean})
    (folder / "160_lookup_table.yaml").write_text(yaml.safe_dump(rows))
    return folder


@pytest.mark.parametrize("shape", ["number", "mapping"])
def test_a_table_of_plain_means_is_a_table(net: Supernet, tmp_path: Path, shape: str) -> None:
    folder = plain_tables(net, tmp_path, 1.0, shape)
    said: list[str] = []
    device = import_device("ofa", folder, net, "my_phone", say=said.append)
    assert said == []
    assert not device.table.has_deviations
    target = Target(net.restricted({"resolution": [160]}), device)
    rows = yaml.safe_load((folder / "160_lookup_table.yaml").read_text())
    arch = target.supernet.space.largest()
    pieces = FORMATS["ofa"].pieces(net.layers(arch))
    mean = {key: row if shape == "number" else row["mean"] for key, row in rows.items()}
    assert latency_ms(target)(arch) == pytest.approx(sum(mean[piece.key] for piece in pieces))
    with pytest.raises(InputError, match="'my_phone' has plain means, without standard deviations"):
        latency_std_ms(target)


def test_a_table_in_microseconds_is_refused_and_read_with_its_unit(net: Supernet, tmp_path: Path) -> None:
    folder = plain_tables(net, tmp_path, 1e3, "number")
    with pytest.raises(InputError, match=r"160_lookup_table.yaml: read in ms, its blocks do .* --unit us"):
        import_device("ofa", folder, net, "my_phone")
    found = import_device("ofa", folder, net, "my_phone", "us")
    assert 0.4 < found.table.tables[160].entries["Conv-input:160x160x3-output:80x80x16"][0] < 2
    with pytest.raises(InputError, match=r"unknown unit of latency tables 'usec'"):
        import_device("ofa", folder, net, "my_phone", "usec")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["devices", "import", *arguments])
    return int(stopped.value.code or 0)


def test_any_name_is_a_device(
    net: Supernet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    tables = tmp_path / "tables"
    tables.mkdir()
    plain_tables(net, tables, 1.0, "number")
    given = [str(tables), "--supernet", net.name]
    assert run("ofa", *given) == 2
    assert "--name NAME says what to call the device: ofa is a layout" in capsys.readouterr().err
    assert run("ofa", *given, "--name", "my_phone") == 0
    assert "means, not all with a deviation" in capsys.readouterr().out
    assert open_device("my_phone", net, print).table.format == "ofa"
    assert run("ofa", *given, "--name", "other", "--json") == 0
    warned = json.loads(capsys.readouterr().out)["warnings"]
    assert len(warned) == 1
    assert "rows equal those of device my_phone: the same table" in warned[0]
    assert run("note10", *given) == 0, "a format that is called after a device needs no name"
    assert run("nsganetv3", *given) == 2
    assert "Did you mean 'nsganetv2'?" in capsys.readouterr().err
    assert run("csv", "mine.csv", "--name", "board") == 2
    assert "oncefit profile NAME --from-csv mine.csv makes a device of them" in capsys.readouterr().err
