"""Published latency tables: against ofa's own estimators and published subnets, and what wrong ones are told.

Most tests read tables that hold made-up figures under the keys that ofa's estimator asks for
when it walks subnets that take every choice; one reads the real ones, and skips without them.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from ofa.nas.efficiency_predictor.latency_lookup_table import ProxylessNASLatencyTable
from ofa.tutorial.latency_table import LatencyEstimator

from cost_models.compute import macs
from cost_models.device import Device, device_costs
from cost_models.device_files import write_device
from cost_models.devices import import_device, open_device
from cost_models.energy import bytes_moved
from cost_models.grid import carbon_intensity
from cost_models.latency import latency_ms, latency_std_ms
from cost_models.latency_bound import bound_name
from cost_models.protocol import Target
from cost_models.published_tables import FORMATS
from cost_models.registry import BOUNDS, OF_A_DEVICE, build
from search.cli.app import main
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from supernet.ofa_format import files, matching, net_config
from tests.helpers import tiny
from tests.helpers.ofa_settings import settings
from tests.helpers.paths import REFERENCE

NOTE10, PIXEL1 = REFERENCE / "note10", REFERENCE / "pixel1"

RESOLUTIONS = (160, 164)
BLOCK = "expanded_conv-input:80x80x24-output:40x40x32-expand:72-kernel:3-stride:2-idskip:0-se:0-hs:0"
"""The first block of the first stage at resolution 160, with the smallest kernel and expand ratio."""

Lut = dict[str, dict[str, float]]


class Asked(dict[str, dict[str, float]]):
    """A table that makes up an entry for whatever it is asked for."""

    def __missing__(self, key: str) -> dict[str, float]:
        seed = sum(map(ord, key)) + len(self)
        mean, spread = np.random.default_rng(seed).uniform((0.1, 0.01), (3, 0.1))  # of a phone
        self[key] = {"count": 500, "mean": float(mean), "std": float(spread)}
        return self[key]


def estimator(lut: Lut) -> LatencyEstimator:
    """ofa's own, without the download and the unsafe loader of its ``__init__``."""
    made = LatencyEstimator.__new__(LatencyEstimator)
    made.lut = lut
    return made


def by_ofa(lut: Lut, supernet: Supernet, arch: Arch) -> float:
    spec = {**settings(supernet.space, arch), "r": [arch.resolution]}
    return float(estimator(lut).predict_network_latency_given_spec(spec))


def lut_of(folder: Path, resolution: int) -> Lut:
    return yaml.safe_load((folder / f"{resolution}_lookup_table.yaml").read_text())


def squared(lut: Lut) -> Lut:
    """The variances in place of the means, so that ofa's estimator adds these up."""
    return {key: {"mean": entry["std"] ** 2} for key, entry in lut.items()}


@pytest.fixture(scope="module")
def net() -> Supernet:
    return open_supernet("ofa_mbv3_w1.2")


@pytest.fixture(scope="module")
def tables(net: Supernet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of tables under the keys that ofa's estimator asks for."""
    folder = tmp_path_factory.mktemp("tables")
    largest = net.space.largest().values
    for resolution in RESOLUTIONS:
        lut = Asked()
        for kernel, expand in itertools.product((3, 5, 7), (3, 4, 6)):
            chosen = {"kernel": kernel, "expand": expand, "resolution": resolution}
            values = {name: chosen.get(name.partition(".")[0], value) for name, value in largest.items()}
            by_ofa(lut, net, net.space.arch(values))
        assert len(lut) == 96
        (folder / f"{resolution}_lookup_table.yaml").write_text(yaml.safe_dump(dict(lut)))
    return folder


@pytest.fixture(scope="module")
def device(net: Supernet, tables: Path) -> Device:
    return import_device("note10", tables, net, "phone")


@pytest.fixture
def spoilt(tables: Path, tmp_path: Path) -> Callable[[Callable[[Lut], object]], Path]:
    """A copy of the tables with that of resolution 160 edited."""

    def spoil(edit: Callable[[Lut], object]) -> Path:
        folder = tmp_path / "spoilt"
        shutil.copytree(tables, folder, dirs_exist_ok=True)
        lut = lut_of(folder, 160)
        edit(lut)
        (folder / "160_lookup_table.yaml").write_text(yaml.safe_dump(lut))
        return folder

    return spoil


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def at(supernet: Supernet, device: Device) -> Target:
    """The supernet at the resolutions of the device's table."""
    assert device.table is not None
    return Target(supernet.restricted({"resolution": device.table.resolutions}), device)


def check_against_ofa(net: Supernet, device: Device, folder: Path, archs: int) -> None:
    target = at(net, device)
    latency, std = latency_ms(target), latency_std_ms(target)
    codes = target.supernet.space.sample(archs, np.random.default_rng(7))
    found = target.supernet.space.decode(codes)
    luts = {resolution: lut_of(folder, resolution) for resolution in device.table.resolutions}
    variances = {resolution: squared(lut) for resolution, lut in luts.items()}
    expected = [by_ofa(luts[arch.resolution], net, arch) for arch in found]
    assert np.abs(latency.batch(codes) - expected).max() < 1e-6
    assert len({arch.resolution for arch in found}) == len(luts)
    spreads = [math.sqrt(by_ofa(variances[arch.resolution], net, arch)) for arch in found]
    assert np.abs(std.batch(codes) - spreads).max() < 1e-6
    assert std(found[0]) == pytest.approx(spreads[0])
    assert latency(found[0]) == pytest.approx(expected[0])


def test_a_table_predicts_what_ofa_predicts_with_it(net: Supernet, device: Device, tables: Path) -> None:
    check_against_ofa(net, device, tables, 100)


@pytest.mark.skipif(not NOTE10.is_dir(), reason="the published latency tables are not here")
def test_the_published_tables(net: Supernet, tmp_path: Path) -> None:
    """1,000 archs on the Note10 and 50 on the Pixel 1 have the latency of ofa itself, three subnets the published one."""
    device = import_device("note10", NOTE10, net, "note10")
    assert device.table.resolutions == tuple(range(160, 225, 4))
    check_against_ofa(net, device, NOTE10, 1_000)
    for resolution, table in device.table.tables.items():
        raw = lut_of(NOTE10, resolution)
        assert table.entries == {key: (entry["mean"], entry["std"]) for key, entry in raw.items()}
    check_published_latencies(net, device)
    check_pixel(pixel_net(tmp_path), PIXEL1, 50)


def check_published_latencies(net: Supernet, device: Device) -> None:
    """30, 41 and 50 ms; the others are of another supernet or of a resolution without a table."""
    target = at(net, device)
    latency, checked = latency_ms(target), 0
    for row in csv.DictReader((REFERENCE / "published_specialized.csv").read_text().splitlines()):
        file = REFERENCE / "specialized" / row["folder"] / "net.config"
        if "Note10" not in row["target"] or not file.is_file():
            continue
        size = files.image_size_beside(file)
        point = matching.arch_of(net_config.parse_net_config(files.load(file), str(file)), size)
        if point is not None and point[0].fingerprint == net.fingerprint:
            assert latency(point[1]) == pytest.approx(float(row["latency_ms"]), rel=0.03)
            checked += 1
    assert checked == 3


@pytest.mark.parametrize(("confidence", "quantile"), [(0.8, 0.8416), (0.95, 1.6449)])
def test_a_bound_of_a_table_is_that_many_of_its_greatest_deviations(
    net: Supernet, device: Device, confidence: float, quantile: float
) -> None:
    target = at(net, device)
    space = target.supernet.space
    codes = np.concatenate(
        [space.encode([space.smallest(), space.largest()]), space.sample(300, np.random.default_rng(1))]
    )
    bound, estimate = build(bound_name(confidence), target).batch(codes), latency_ms(target).batch(codes)
    [factor] = set((bound / estimate).round(9))
    assert (estimate + quantile * latency_std_ms(target).batch(codes) <= bound * 1.01).all()
    assert 1 < factor < 1 + quantile * 0.2


def test_its_reach_holds_every_subnet_and_is_reached(net: Supernet, device: Device) -> None:
    target = at(net, device)
    latency = latency_ms(target)
    reach = latency.reach()
    some = latency.batch(target.supernet.space.sample(20_000, np.random.default_rng(0)))
    assert reach.exact
    assert reach.minimum <= some.min() < some.max() <= reach.maximum
    assert latency(reach.smallest) == reach.minimum


# -- the format of the Pixel 1 ---------------------------------------------------

PIXEL_STAGES = ((24, 2), (40, 2), (80, 2), (96, 1), (192, 2), (320, 1))


def pixel_net(folder: Path, **change: object) -> Supernet:
    """A supernet that the table of the Pixel 1 covers; ``change`` is of its third stage."""
    choices = {"kernels": [3, 5, 7], "expands": [3, 6], "act": "relu", "se": False}
    stages = [
        {"width": width, "stride": stride, "depths": [1, 2] if width < 320 else [1], **choices}
        for width, stride in PIXEL_STAGES
    ]
    stages[2] |= change
    network = {
        "classes": [f"class {i}" for i in range(1000)], "in_channels": 3, "resolutions": [192, 224],
        "stem_width": 32, "stem_stride": 2, "first_width": 16, "first_stride": 1, "head_width": 1280,
        "stages": stages,
    }  # fmt: skip
    document = {"name": "pixel_net", "family": "mobilenet_v3", "network": network}
    document["preprocessing"] = {"crop": 0.875, "mean": [0.5] * 3, "std": [0.5] * 3}
    path = folder / f"pixel_net{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump(document))
    return open_supernet(str(path))


def pixel_config(arch: Arch) -> dict[str, Any]:
    """The arch in the format of ofa's estimator, written without the supernet's layers."""

    def block(inp: int, out: int, expand: int, kernel: int, stride: int) -> dict[str, Any]:
        conv = {
            "in_channels": inp, "out_channels": out, "expand_ratio": expand,
            "kernel_size": kernel, "stride": stride,
        }  # fmt: skip
        return {"conv": conv, "shortcut": {} if stride == 1 and inp == out else None}

    blocks, channels = [block(32, 16, 1, 3, 1)], 16
    for s, (width, stride) in enumerate(PIXEL_STAGES, 1):
        for b in range(1, int(arch.values[f"depth.{s}"]) + 1):
            expand, kernel = int(arch.values[f"expand.{s}.{b}"]), int(arch.values[f"kernel.{s}.{b}"])
            blocks.append(block(channels, width, expand, kernel, stride if b == 1 else 1))
            channels = width
    return {
        "first_conv": {"out_channels": 32},
        "blocks": blocks,
        "feature_mix_layer": {"in_channels": 320, "out_channels": 1280},
        "classifier": {"in_features": 1280, "out_features": 1000},
    }


@pytest.fixture(scope="module")
def pixel_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table that holds what ofa's estimator asks for when it walks every choice of ``pixel_net``."""
    folder = tmp_path_factory.mktemp("pixel1")
    space = pixel_net(folder).space.restricted({"resolution": [224]})
    lut, by_ofa = AskedOfPixel(), ProxylessNASLatencyTable.__new__(ProxylessNASLatencyTable)
    by_ofa.lut = lut
    for kernel, expand in itertools.product((3, 5, 7), (3, 6)):
        chosen = {"kernel": kernel, "expand": expand}
        largest = space.largest().values
        values = {name: chosen.get(name.partition(".")[0], value) for name, value in largest.items()}
        by_ofa.predict_network_latency_given_config(pixel_config(space.arch(values)))
    path = folder / "tables" / "mobile_trim.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(dict(lut)))
    return path.parent


class AskedOfPixel(dict[str, dict[str, float]]):
    """A table of the Pixel 1's layout, with variances, that makes up an entry for whatever it is asked for."""

    def __missing__(self, key: str) -> dict[str, float]:
        mean, spread = np.random.default_rng(sum(map(ord, key)) + len(self)).uniform((1, 0.01), (30, 1))
        self[key] = {"count": 500, "mean": float(mean), "var": float(spread)}
        return self[key]


def check_pixel(net: Supernet, folder: Path, archs: int) -> None:
    raw = yaml.safe_load((folder / "mobile_trim.yaml").read_text())
    by_ofa = ProxylessNASLatencyTable.__new__(ProxylessNASLatencyTable)
    target = at(net, import_device("pixel1", folder, net, "pixel1"))
    latency, std = latency_ms(target), latency_std_ms(target)
    for arch in target.supernet.space.decode(target.supernet.space.sample(archs, np.random.default_rng(1))):
        by_ofa.lut = raw
        assert latency(arch) == pytest.approx(by_ofa.predict_network_latency_given_config(pixel_config(arch)))
        by_ofa.lut = {key: {"mean": entry["var"]} for key, entry in raw.items()}
        variance = by_ofa.predict_network_latency_given_config(pixel_config(arch))
        assert std(arch) == pytest.approx(math.sqrt(variance))


def test_a_table_of_the_pixel_1_predicts_what_ofa_predicts_with_it(tmp_path: Path, pixel_table: Path) -> None:
    check_pixel(pixel_net(tmp_path), pixel_table, 50)


@pytest.mark.parametrize(("change", "key"), [({"se": True}, "-se:1"), ({"act": "h_swish"}, "-hs:1")])
def test_what_the_pixel_1_never_measured_is_not_taken_from_its_table(
    tmp_path: Path, pixel_table: Path, change: dict[str, object], key: str
) -> None:
    with pytest.raises(InputError) as caught:
        import_device("pixel1", pixel_table, pixel_net(tmp_path, **change), "pixel1")
    assert "12 of the 70 entries" in str(caught.value)
    assert "The first: layer stage3.block1 at resolution 224 needs the entry 'expanded_conv-" in str(
        caught.value
    )
    assert f"{key}', which mobile_trim.yaml lacks" in str(caught.value)


@pytest.mark.parametrize("name", ["ofa_mbv3_w1.0", "ofa_mbv3_w1.2", "ofa_proxyless_w1.3", "ofa_resnet50"])
def test_no_space_of_ofa_is_covered_by_the_pixel_1(name: str, pixel_table: Path) -> None:
    with pytest.raises(InputError, match=r"layer \w+ at resolution 224 needs .*which mobile_trim.yaml lacks"):
        import_device("pixel1", pixel_table, open_supernet(name), "pixel1")


# -- what a table lacks ------------------------------------------------------------


def test_an_import_tells_how_many_entries_are_missing_and_names_the_first(
    net: Supernet, spoilt: Callable[[Callable[[Lut], object]], Path]
) -> None:
    def lose_two(lut: Lut) -> None:
        del lut[BLOCK]
        del lut["Logits-input:1x1x1536-output:1000"]

    with pytest.raises(InputError) as caught:
        import_device("note10", spoilt(lose_two), net, "phone")
    message = str(caught.value)
    assert "do not cover ofa_mbv3_w1.2: 2 of the 192 entries" in message
    assert (
        f"layer stage1.block1 at resolution 160 needs the entry {BLOCK!r}, which 160_lookup_table.yaml lacks"
        in message
    )


def test_a_table_that_lacks_an_entry_raises_and_names_layer_resolution_and_file(
    net: Supernet, device: Device, cache: Path
) -> None:
    data = device.model_dump(exclude_none=True)
    del data["latency"]["tables"][160]["entries"][BLOCK]
    path = cache / "devices" / "phone.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError) as caught:
        latency_ms(at(net, open_device("phone", net, print)))
    for part in ("device 'phone'", "layer stage1.block1", "resolution 160", BLOCK, "160_lookup_table.yaml"):
        assert part in str(caught.value)
    other = Target(net.restricted({"resolution": [164]}), open_device("phone", net, print))
    assert latency_ms(other)(other.supernet.space.smallest()) > 0


def test_a_resolution_that_a_table_lacks_is_told_with_the_line_that_restricts_the_search(
    net: Supernet, device: Device
) -> None:
    for cost in (latency_ms, latency_std_ms):
        with pytest.raises(InputError) as caught:
            cost(Target(net, device))
        assert "device 'phone' has no resolution 128, 132, 136," in str(caught.value)
        assert "; it has 160, 164. " in str(caught.value)
    line = str(caught.value).partition("in its YAML: ")[2]
    only = yaml.safe_load(line)["space"]
    assert only == {"resolution": [160, 164]}
    assert latency_ms(Target(net.restricted(only), device)).space.sizes[0] == 2
    with pytest.raises(InputError, match=r"no resolution 168; .* space: \{resolution: \[164\]\}"):
        latency_ms(Target(net.restricted({"resolution": [164, 168]}), device))


@pytest.mark.parametrize("name", ["ofa_mbv3_w1.0", "ofa_resnet50", "fmnist_mbv3"])
def test_the_table_of_another_supernet_is_refused_and_both_are_named(
    net: Supernet, device: Device, name: str, tmp_path: Path
) -> None:
    other, path = open_supernet(name), tmp_path / "phone.yaml"
    write_device(device, path)
    for refuse in (
        lambda: latency_ms(Target(other, device)),
        lambda: open_device(str(path), other, print),
    ):
        with pytest.raises(InputError) as caught:
            refuse()
        for part in ("'phone' was measured", net.name, net.fingerprint, name, other.fingerprint):
            assert part in str(caught.value)
        assert f"in a search, device: host or --device host measures this machine for {name}" in str(
            caught.value
        )
        assert str(caught.value).endswith(
            f"oncefit device NAME --supernet {net.name} shows the device for its own supernet"
        )


def test_a_table_is_not_imported_for_another_supernet(tables: Path) -> None:
    with pytest.raises(InputError, match=r"do not cover ofa_mbv3_w1.0: \d+ of the 192 .* layer stem at"):
        import_device("note10", tables, open_supernet("ofa_mbv3_w1.0"), "phone")
    with pytest.raises(InputError, match=r"resolution 160, 164, which fmnist_mbv3 has not; .* 18, 23, 28"):
        import_device("note10", tables, open_supernet("fmnist_mbv3"), "phone")
    with pytest.raises(
        InputError, match=r"layer stem1 at resolution 160 needs the entry 'stem1-input:160x160x3"
    ):
        import_device("note10", tables, open_supernet("ofa_resnet50"), "phone")


def test_a_fitted_device_has_no_deviations(tmp_path: Path) -> None:
    net = tiny.open_tiny(tmp_path)
    device = open_device(str(tiny.write_device(net, tmp_path / "known.yaml")), net, print)
    assert device.table is None
    assert device.fitted is device.latency
    with pytest.raises(InputError, match=r"'known' has no standard deviations .* fitted to whole subnets"):
        latency_std_ms(Target(net, device))


# -- wrong files ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"count": 5, "mean": 1.0, "std": 0.1, "var": 0.01}, "either std or var"),
        ({"count": 5, "mean": -1.0, "std": 0.1}, r"-hs:0: mean: got '-1.0'; .*greater than 0"),
        ({"count": 5, "mean": float("nan"), "std": 0.1}, r"mean: got 'nan'; .*(finite|greater)"),
        ({"count": 5, "mean": 1.0, "std": float("inf")}, r"std: got 'inf'; .*finite"),
        ({"count": 0, "mean": 1.0, "std": 0.1}, r"count: got '0'; .*greater than 0"),
        ({"count": 5, "std": 0.1}, r"the key 'mean' is missing"),
        ({"count": 5, "mean": 1.0, "sdt": 0.1}, r"unknown key 'sdt'\. Did you mean 'std'\?"),
        ("fast", r"got 'fast'; an entry is a mean, or has mean, and perhaps count and std or var"),
        (-1.5, r"mean: got '-1.5'; .*greater than 0"),
    ],
)
def test_a_wrong_entry_is_refused(
    net: Supernet, spoilt: Callable[[Callable[[Lut], object]], Path], entry: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        import_device("note10", spoilt(lambda lut: lut.update({BLOCK: entry})), net, "phone")
    assert f"160_lookup_table.yaml: {BLOCK}" in str(caught.value)


def test_wrong_folders_and_files_are_refused(net: Supernet, tables: Path, tmp_path: Path) -> None:
    def refused(path: Path, message: str, known: str = "note10") -> None:
        with pytest.raises(InputError, match=message):
            import_device(known, path, net, "phone")

    refused(
        tables,
        r"unknown format of latency tables 'note01'\. Did you mean 'note10'\? Known: note10, nsganetv2, ofa, pixel1",
        "note01",
    )
    refused(tmp_path, r"holds no latency table; .* named \*_lookup_table\.yaml")
    refused(tmp_path / "nowhere", "is neither a folder nor a file")
    refused(tables, r"holds no latency table; .* named mobile_trim\.yaml", "pixel1")
    twice = tmp_path / "twice"
    shutil.copytree(tables, twice)
    shutil.copy(twice / "160_lookup_table.yaml", twice / "161_lookup_table.yaml")
    refused(twice, r"160_lookup_table\.yaml and .*161_lookup_table\.yaml are both tables of resolution 160")
    for text, message in {
        "{}": "must have one entry named like Conv-input:224x224x3",
        "Conv-input:axax3-output:1: {count: 1, mean: 1, std: 0}": "must have one entry named like Conv-",
        "[1, 2]": "must hold keys and values",
        "a: !!python/object/apply:os.getcwd []": "is not valid YAML: could not determine a constructor",
    }.items():
        file = tmp_path / "bad.yaml"
        file.write_text(text)
        refused(file, message)


def test_one_file_is_a_table_of_one_resolution(net: Supernet, tables: Path) -> None:
    found = import_device("note10", tables / "164_lookup_table.yaml", net, "phone")
    assert found.table.resolutions == (164,)


# -- the device ----------------------------------------------------------------------


def test_a_device_file_keeps_every_figure(
    net: Supernet, device: Device, tables: Path, tmp_path: Path
) -> None:
    path = tmp_path / "phone.yaml"
    write_device(device, path)
    assert open_device(str(path), net, print) == device
    for resolution in RESOLUTIONS:
        raw = lut_of(tables, resolution)
        kept = yaml.safe_load(path.read_text())["latency"]["tables"][resolution]
        assert kept["entries"] == {key: [entry["mean"], entry["std"]] for key, entry in raw.items()}
        assert kept["file"] == f"{resolution}_lookup_table.yaml"
    assert any(line.strip().startswith(f"{BLOCK}: [") for line in path.read_text().splitlines())


def test_a_phone_gives_energy_and_co2e_once_its_file_says_power_and_region(
    net: Supernet, device: Device, tmp_path: Path
) -> None:
    assert device_costs(device) == ("latency_ms",)
    with pytest.raises(
        InputError, match=r"'phone' has no power figures, which energy_mj needs: add power: .*static_w"
    ):
        build("energy_mj", at(net, device))
    with pytest.raises(
        InputError, match=r"'phone' has no region, which co2e_mg needs: add region: to its file"
    ):
        build("co2e_mg", at(net, device))
    path = tmp_path / "phone.yaml"
    write_device(device, path)
    power = {"static_w": 1.5, "pj_per_mac": 2.0, "pj_per_byte": 100.0, "source": "made up"}
    with path.open("a") as file:
        file.write(yaml.safe_dump({"power": power}))
    powered = open_device(str(path), net, print)
    assert device_costs(powered) == ("latency_ms", "energy_mj")
    with path.open("a") as file:
        file.write("region: FRA\n")
    powered = open_device(str(path), net, print)
    assert {*device_costs(powered), *BOUNDS} == set(OF_A_DEVICE)
    target = at(net, powered)
    energy, co2e = build("energy_mj", target), build("co2e_mg", target)
    for arch in target.supernet.space.decode(target.supernet.space.sample(20, np.random.default_rng(2))):
        moved = sum(map(bytes_moved, net.layers(arch)))
        expected = 1.5 * latency_ms(target)(arch) + (2.0 * macs(target)(arch) + 100.0 * moved) * 1e-9
        assert energy(arch) == pytest.approx(expected)
        grams = expected * 1e-3 / 3.6e6 * carbon_intensity("FRA").grams_per_kwh
        assert co2e(arch) == pytest.approx(grams * 1e3)


def test_an_unknown_kind_of_latency_or_format_is_refused(
    net: Supernet, device: Device, tmp_path: Path
) -> None:
    path = tmp_path / "phone.yaml"
    data = device.model_dump(exclude_none=True)
    path.write_text(yaml.safe_dump({**data, "latency": {**data["latency"], "kind": "magic"}}))
    with pytest.raises(InputError, match=r"latency: got .*'magic' .*'layer_sum', 'lookup_table'"):
        open_device(str(path), net, print)
    path.write_text(yaml.safe_dump({**data, "latency": {**data["latency"], "format": "pixel3"}}))
    with pytest.raises(
        InputError, match=r"unknown format of latency tables 'pixel3'\. Did you mean 'pixel1'"
    ):
        latency_ms(at(net, open_device(str(path), net, print)))


# -- the command line ------------------------------------------------------------------


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``oncefit devices``."""
    with pytest.raises(SystemExit) as end:
        main(["devices", *arguments])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


def test_an_imported_device_is_found_by_its_name(
    net: Supernet, tables: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        InputError, match=r"'note10' is not here yet: oncefit devices import note10 DIR makes it"
    ):
        open_device("note10", net, print)
    code, out, err = run(capsys, "import", "note10", str(tables), "--json")
    assert (code, err) == (0, "")
    found: Mapping[str, Any] = json.loads(out)
    device = open_device("note10", net, print)
    assert found["file"] == str(cache / "devices" / "note10.yaml")
    assert found["resolutions"] == [160, 164]
    assert found["entries"] == 192
    assert (found["supernet"], found["fingerprint"]) == (net.name, net.fingerprint)
    reach = latency_ms(at(net, device)).reach()
    assert found["latency_ms"] == {"minimum": reach.minimum, "maximum": reach.maximum}
    with pytest.raises(
        InputError, match=r"unknown device 'note11'\. Did you mean 'note10'\? Known: host, note10"
    ):
        open_device("note11", net, print)


def test_a_file_that_is_there_is_written_over_only_when_told_to(
    net: Supernet, tables: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    given = ("import", "note10", str(tables), "--out", str(path), "--name", "mine")
    code, out, _ = run(capsys, *given)
    assert code == 0
    assert "device mine in" in out
    assert "160, 164" in out
    assert open_device(str(path), net, print).name == "mine"
    edited = path.read_text() + "region: FRA\n"
    path.write_text(edited)
    code, _, err = run(capsys, *given)
    assert (code, path.read_text()) == (2, edited)
    assert "is there already, perhaps with your edits: --replace writes over it" in err
    assert run(capsys, *given, "--replace")[0] == 0
    assert open_device(str(path), net, print).region is None


def test_names_that_mean_something_else_are_refused(
    tables: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in {
        ("--name", "host"): "host is a device that ships; give this one another name",
        ("--name", "../up"): "a device's name is made of letters",
        ("--out", str(tmp_path / "mine.txt")): "a device is a .yaml file, which --out must name",
    }.items():
        code, out, err = run(capsys, "import", "note10", str(tables), *options)
        assert (code, out) == (2, "")
        assert message in err
    assert not cache.exists()


def test_the_help_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "import", "--help")
    assert code == 0
    for name in FORMATS:
        assert name in out
