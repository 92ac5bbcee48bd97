"""A device on another grid, or with other power figures: honoured where it can be, refused where not."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from cost_models import host, profiling
from cost_models.device import Device
from cost_models.devices import open_device
from cost_models.grid import carbon_intensity
from cost_models.measurements import Setup
from cost_models.profiling import LatencyMeasurement
from cost_models.protocol import Target
from cost_models.registry import build
from cost_models.variants import Variant
from search.runs.config import RunConfig, differences, load_config, to_yaml
from search.runs.naming import run_name
from search.runs.opening import make_run, write_down
from search.runs.run import DEVICE
from supernet import documents
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.messages import Say
from tests.helpers import tiny

POWER = {"static_w": 3.0, "pj_per_mac": 0.0, "pj_per_byte": 0.0, "source": "mine"}


@pytest.fixture
def net(tmp_path: Path) -> Supernet:
    return tiny.open_tiny(tmp_path)


@pytest.fixture
def known(net: Supernet, tmp_path: Path) -> Path:
    """A fitted device in France."""
    return tiny.write_device(net, tmp_path / "known.yaml")


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """This host takes a microsecond a layer; holds the number of subnets of each measurement."""
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    calls: list[int] = []

    def pretend(net: Supernet, archs: list[Arch], report: Say, setup: Setup) -> list[LatencyMeasurement]:
        calls.append(len(archs))
        times = [0.001 * len(net.layers(arch)) for arch in archs]
        return [LatencyMeasurement(1.02 * t, t, 1.5 * t, 9) for t in times]

    monkeypatch.setattr(profiling, "profile", pretend)
    return calls


def costs(net: Supernet, device: Device) -> dict[str, float]:
    target = Target(net, device)
    return {name: build(name, target)(net.space.largest()) for name in ("latency_ms", "energy_mj", "co2e_mg")}


def write(path: Path, content: dict[str, object]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return str(path)


def test_another_region_changes_co2e_alone_and_the_name(net: Supernet, known: Path) -> None:
    base = open_device(str(known), net, print)
    there = open_device(str(known), net, print, region="POL")
    assert open_device(Variant(base=str(known), region="POL"), net, print) == there
    before, after = costs(net, base), costs(net, there)
    ratio = carbon_intensity("POL").grams_per_kwh / carbon_intensity("FRA").grams_per_kwh
    assert ratio > 5
    assert after == pytest.approx({**before, "co2e_mg": ratio * before["co2e_mg"]})
    assert (base.name, there.name) == ("known", "known-POL")
    assert there.digest != base.digest
    assert open_device(str(known), net, print, region="FRA") == base


def test_a_file_with_a_base_takes_its_latency_and_has_its_own_power(
    net: Supernet, known: Path, tmp_path: Path
) -> None:
    mine = write(tmp_path / "inner" / "office.yaml", {"base": "../known.yaml", "power": POWER})
    device = open_device(mine, net, print)
    assert (device.name, device.region) == ("office", "FRA")
    found = costs(net, device)
    assert found["latency_ms"] == costs(net, open_device(str(known), net, print))["latency_ms"]
    assert found["energy_mj"] == pytest.approx(3.0 * found["latency_ms"])
    named = write(tmp_path / "b.yaml", {"base": mine, "name": "desk", "region": "POL"})
    desk = open_device(named, net, print)
    assert (desk.name, desk.region, desk.power) == ("desk", "POL", device.power)


def test_the_host_can_be_a_base_and_is_measured_once(
    net: Supernet, tmp_path: Path, measured: list[int]
) -> None:
    host_here = open_device("host", net, print)
    mine = write(tmp_path / "mine.yaml", {"base": "host", "region": "FRA"})
    device = open_device(mine, net, print)
    assert device == host_here.model_copy(update={"name": "mine", "region": "FRA"})
    assert open_device(Variant(base="host", region="FRA"), net, print).name == "host-FRA"
    assert measured == [host.FIT_SUBNETS]
    open_device(mine, net, print, refresh=True)
    assert len(measured) == 2
    assert open_device(str(documents.find("devices", "host")), net, print).name == "host"
    assert len(measured) == 2


@pytest.mark.parametrize("key", ["threads", "runtime", "latency", "cpu", "date", "versions"])
def test_what_a_latency_was_measured_with_cannot_be_changed_beside_a_base(
    key: str, net: Supernet, tmp_path: Path, measured: list[int]
) -> None:
    values: dict[str, object] = {"threads": 4, "latency": {}, "versions": {}}
    given = {"base": "host", "region": "FRA", key: values.get(key, "another")}
    search = {"supernet": "fmnist_mbv3", "device": given}
    for call in (
        lambda: open_device(write(tmp_path / "mine.yaml", given), net, print),
        lambda: load_config(Path(write(tmp_path / "search.yaml", search)), {}, {}),
    ):
        with pytest.raises(InputError) as caught:
            call()
        for part in (
            ".yaml",
            f"{key} cannot be given beside base: host",
            "onnxruntime, 1 thread",
            "Leave that out",
        ):
            assert part in str(caught.value)
    assert measured == []


def test_a_fitted_device_whose_threads_were_edited_is_refused(
    net: Supernet, tmp_path: Path, measured: list[int]
) -> None:
    whole = open_device("host", net, print).model_dump(exclude_none=True)
    path = write(tmp_path / "copy.yaml", {**whole, "name": "copy", "region": "POL"})
    assert open_device(path, net, print).region == "POL"
    for key, value in (("threads", 4), ("runtime", "openvino")):
        edited = write(tmp_path / "copy.yaml", {**whole, key: value})
        with pytest.raises(InputError) as caught:
            open_device(edited, net, print)
        for part in ("copy.yaml", f"{key}: {value} is not honoured", f"Put back {key}: {whole[key]}"):
            assert part in str(caught.value)


def test_a_host_file_that_asks_for_more_threads_is_refused(
    net: Supernet, tmp_path: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = documents.load(documents.find("devices", "host"))
    edited = Path(write(tmp_path / "edited.yaml", {**shipped, "threads": 4}))
    monkeypatch.setattr(host, "host_file", lambda: edited)
    with pytest.raises(
        InputError, match=r"edited\.yaml: threads: 4 is not honoured: host is measured with threads: 1"
    ):
        open_device("host", net, print)
    assert measured == []


def test_a_copy_of_the_host_without_a_latency_is_told_of_base(net: Supernet, tmp_path: Path) -> None:
    shipped = documents.load(documents.find("devices", "host"))
    device = open_device(write(tmp_path / "mine.yaml", {**shipped, "name": "mine"}), net, print)
    with pytest.raises(
        InputError, match=r"device 'mine' has no latency model: .* base: host in the device's file"
    ):
        build("latency_ms", Target(net, device))


def test_regions_that_are_unknown_or_change_nothing_are_refused_before_measuring(
    net: Supernet, known: Path, tmp_path: Path, measured: list[int]
) -> None:
    with pytest.raises(InputError, match="unknown region 'FRANCE'"):
        open_device("host", net, print, region="FRANCE")
    assert measured == []
    whole = documents.load(known)
    del whole["power"], whole["region"]
    bare = write(tmp_path / "bare.yaml", whole)
    with pytest.raises(
        InputError, match=r"region FRA changes nothing for device 'known', .* give power: too"
    ):
        open_device(bare, net, print, region="FRA")


def test_a_device_that_is_its_own_base_is_refused(net: Supernet, tmp_path: Path) -> None:
    write(tmp_path / "one.yaml", {"base": "two.yaml"})
    two = write(tmp_path / "two.yaml", {"base": "one.yaml", "region": "FRA"})
    with pytest.raises(InputError, match=r"two\.yaml is its own base, by way of .*one\.yaml"):
        open_device(two, net, print)


def config_of(
    tmp_path: Path, device: object, region: str | None = None, option: str | None = None
) -> RunConfig:
    path = write(tmp_path / "search.yaml", {"supernet": "fmnist_mbv3", "device": device})
    return load_config(Path(path), {"device": option, "region": region}, {})


def test_a_search_names_a_variant_and_an_option_takes_it_elsewhere(known: Path, tmp_path: Path) -> None:
    there = config_of(tmp_path, {"base": "known.yaml", "region": "POL"})
    assert there.device == Variant(base=str(known), region="POL")
    assert config_of(tmp_path, "known.yaml", "POL").device == there.device
    assert config_of(tmp_path, {"base": "known.yaml", "region": "FRA"}, "POL").device == there.device
    assert config_of(tmp_path, {"base": "x", "region": "FRA"}, "POL", str(known)).device == there.device
    assert config_of(tmp_path, "host").device == "host"
    [changed] = differences(config_of(tmp_path, "known.yaml"), there)
    assert changed.startswith("device was ")


@pytest.mark.parametrize(
    ("device", "region", "message"),
    [
        (None, "FRA", "region FRA is that of a device, and there is none"),
        (3, None, r"search\.yaml: device: got '3'; a device is a name, a YAML file, or \{base: host"),
        ({"region": "FRA"}, None, r"search\.yaml: device: the key 'base' is missing"),
        ({"base": "host", "regions": "FRA"}, None, r"Did you mean 'region'\?"),
    ],
)
def test_what_is_no_device_is_told(device: object, region: str | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        config_of(tmp_path, device, region)


def test_a_run_is_of_the_variant_and_its_config_reads_back(
    net: Supernet, known: Path, tmp_path: Path
) -> None:
    config = config_of(tmp_path, {"base": "known.yaml", "region": "POL", "power": POWER})
    assert documents.check(yaml.safe_load(to_yaml(config)), RunConfig, "its text") == config
    assert config.device is not None
    run = make_run(tmp_path / "run", config, net, open_device(config.device, net, print), None)
    arch = net.space.largest()
    grams = carbon_intensity("POL").grams_per_kwh
    assert run.where == "known-POL"
    assert run.costs["energy_mj"](arch) == pytest.approx(3.0 * run.costs["latency_ms"](arch))
    assert run.costs["co2e_mg"](arch) == pytest.approx(run.costs["energy_mj"](arch) * grams * 1e3 / 3.6e9)
    write_down(run)
    assert open_device(str(run.folder / DEVICE), net, print) == run.device


def test_a_runs_folder_is_named_after_the_variant() -> None:
    assert run_name("macs.yaml", {"device": "host", "region": "FRA"}, []) == "macs-host-FRA"
    assert (
        run_name("macs.yaml", {"device": {"base": "inner/known.yaml", "region": "POL"}}, [])
        == "macs-known-POL"
    )
