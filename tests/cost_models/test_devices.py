"""Devices: the YAML files, this host's cached fit, and the grid's carbon intensity."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cost_models import host, profiling
from cost_models.device import Device, LatencyModel
from cost_models.device_files import write_device
from cost_models.devices import open_device
from cost_models.grid import carbon_intensity, open_grid
from cost_models.host import cached_path, host_device
from cost_models.measurements import Setup
from cost_models.profiling import LatencyMeasurement
from cost_models.protocol import Target
from cost_models.registry import build
from supernet import documents
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from supernet.messages import Say
from supernet.printable import NO_NAME


@pytest.fixture(scope="module")
def net() -> Supernet:
    return open_supernet("fmnist_mbv3")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Replaces the measurement by the number of layers in microseconds; holds the number of subnets of each."""
    calls: list[int] = []

    def pretend(net: Supernet, archs: list[Arch], report: Say, setup: Setup) -> list[LatencyMeasurement]:
        calls.append(len(archs))
        times = [(0.001 if setup.precision == "fp32" else 0.0005) * len(net.layers(arch)) for arch in archs]
        return [LatencyMeasurement(1.02 * t, t, 1.5 * t, 9) for t in times]

    monkeypatch.setattr(profiling, "profile", pretend)
    return calls


def fitted_for(net: Supernet, fingerprint: str | None = None) -> Device:
    model = LatencyModel(
        supernet=net.name if fingerprint is None else "other_net",
        fingerprint=fingerprint or net.fingerprint,
        intercept_ms=0.1, coefficients={"conv1.calls": 0.001}, subnets=32, error_percent=2.5, folds=8,
        spread_percent=1.0, settings={"provider": "CPU", "batch": 1, "slice_s": 0.5},
    )  # fmt: skip
    host = documents.read(documents.find("devices", "host"), Device)
    return host.model_copy(update={"latency": model, "date": "2025-01-31", "cpu": "A CPU: fast #1"})


def test_shipped_devices_are_well_formed_and_name_their_sources() -> None:
    for name in documents.names("devices"):
        device = documents.read(documents.find("devices", name), Device)
        assert device.name == name
        assert device.power.source
        assert carbon_intensity(device.region).grams_per_kwh > 0


def test_host_is_measured_once_and_then_taken_from_the_cache(
    net: Supernet, cache: Path, measured: list[int]
) -> None:
    lines: list[str] = []
    first = open_device("host", net, lines.append)
    assert first.latency is not None
    assert first.latency.spread_percent == pytest.approx(2)
    assert first.cpu == profiling.cpu_name()
    assert first.versions == profiling.versions()
    assert cached_path(net).is_relative_to(cache)
    assert any(str(cached_path(net)) in line for line in lines)
    assert host_device(net, lines.append) == first
    assert measured == [host.FIT_SUBNETS]
    assert open_device(str(cached_path(net)), net, lines.append) == first
    host_device(net, lines.append, refresh=True)
    assert len(measured) == 2


def test_a_fit_of_a_busy_machine_is_used_and_not_kept(
    net: Supernet, cache: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    quiet = host_device(net, lines.append)
    assert yaml.safe_load(cached_path(net).read_text()) == quiet.model_dump(mode="json", exclude_none=True)
    calm = profiling.profile

    def disturbed(*arguments: Any, setup: Setup) -> list[LatencyMeasurement]:
        found = calm(*arguments, setup=setup)
        return [LatencyMeasurement(1.3 * m.low_ms, m.low_ms, 2 * m.low_ms, 9) for m in found]

    monkeypatch.setattr(profiling, "profile", disturbed)
    busy = open_device("host", net, lines.append, refresh=True)
    assert busy.latency is not None
    assert busy.latency.spread_percent == pytest.approx(30)
    assert "busy: repeated measurements spread by 30.0 %, more than 10 %" in lines[-1]
    assert "not kept" in lines[-1]
    assert yaml.safe_load(cached_path(net).read_text()) == quiet.model_dump(mode="json", exclude_none=True)
    assert open_device("host", net, lines.append) == busy, "this process goes on with it"
    assert len(measured) == 2
    host.NOT_KEPT.clear()  # as in another process
    assert open_device("host", net, lines.append) == quiet
    cached_path(net).unlink()
    assert open_device("host", net, lines.append) == busy
    assert not cached_path(net).exists()
    assert len(measured) == 3


def test_only_the_host_is_measured_again(net: Supernet, tmp_path: Path) -> None:
    write_device(fitted_for(net), tmp_path / "mine.yaml")
    with pytest.raises(
        InputError, match=r"--refresh measures host again; .*mine\.yaml is read from its file"
    ):
        open_device(str(tmp_path / "mine.yaml"), net, print, refresh=True)


def test_another_cpu_or_version_is_measured_anew(
    net: Supernet, cache: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    host_device(net, print)
    monkeypatch.setattr(profiling, "cpu_name", lambda: "another CPU")
    assert host_device(net, print).cpu == "another CPU"
    monkeypatch.setattr(profiling, "versions", lambda: {"onnxruntime": "0"})
    host_device(net, print)
    assert len(measured) == 3


def test_a_spoilt_cache_is_made_anew_and_an_unwritable_one_is_told_of(
    net: Supernet, cache: Path, measured: list[int]
) -> None:
    lines: list[str] = []
    host_device(net, lines.append)
    cached_path(net).write_text("name: [", encoding="utf-8")
    assert host_device(net, lines.append).latency is not None
    assert any("made anew" in line for line in lines)
    cached_path(net).unlink()
    cache.joinpath("devices").rmdir()
    cache.joinpath("devices").write_text("in the way", encoding="utf-8")
    assert host_device(net, lines.append).latency is not None
    assert any("is not kept" in line and "ONCEFIT_CACHE" in line for line in lines)


def test_a_cached_fit_that_lacks_a_layers_price_is_made_anew(
    net: Supernet, cache: Path, measured: list[int]
) -> None:
    lines: list[str] = []
    write_device(fitted_for(net), cached_path(net))
    assert host_device(net, lines.append).latency.intercept_ms != 0.1
    assert any("made anew" in line and "has no coefficient" in line for line in lines)
    assert host_device(net, lines.append).latency is not None
    assert len(measured) == 1


def test_a_device_file_survives_a_round_trip(net: Supernet, tmp_path: Path) -> None:
    device = fitted_for(net)
    path = tmp_path / "mine.yaml"
    write_device(device, path)
    assert open_device(str(path), net, print) == device
    assert Device.model_validate(device.model_dump()) == device


def test_a_device_fitted_for_another_space_is_refused(net: Supernet, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    write_device(fitted_for(net, fingerprint="feedfeedfeedfeed"), path)
    with pytest.raises(InputError) as caught:
        open_device(str(path), net, print)
    for part in ("other_net", "feedfeedfeedfeed", "fmnist_mbv3", net.fingerprint):
        assert part in str(caught.value)


def test_wrong_device_files_name_the_file_the_key_and_the_value(net: Supernet, tmp_path: Path) -> None:
    good = yaml.safe_load(documents.find("devices", "host").read_text(encoding="utf-8"))
    path = tmp_path / "mine.yaml"
    wrong: dict[str, dict[str, object]] = {
        "Did you mean 'threads'": {"thread": 2},
        r"mine\.yaml: threads: got '0'; .*greater than 0": {"threads": 0},
        r"power\.static_w: got 'much'": {"power": {**good["power"], "static_w": "much"}},
        r"the key 'power\.source' is missing": {
            "power": {k: v for k, v in good["power"].items() if k != "source"}
        },
    }
    for message, change in wrong.items():
        path.write_text(yaml.safe_dump({**good, **change}), encoding="utf-8")
        with pytest.raises(InputError, match=message):
            open_device(str(path), net, print)
    with pytest.raises(InputError, match=r"unknown device 'hots'\. Did you mean 'host'\?"):
        open_device("hots", net, print)


def test_the_grid_has_sources_years_and_plausible_figures() -> None:
    assert len(open_grid().regions) > 200
    for region in open_grid().regions:
        found = carbon_intensity(region)
        assert 0 < found.grams_per_kwh < 1500
        assert found.source
        assert found.licence
        assert found.year is not None
        assert 2009 <= found.year <= 2030
    france = carbon_intensity("FRA")
    assert (france.grams_per_kwh, france.source, france.year) == (56.039, open_grid().source, 2023)
    assert carbon_intensity("WORLD").year == 2018
    with pytest.raises(InputError, match=r"unknown region 'POLA'\. Did you mean 'POL', .* \(218 in all\)"):
        carbon_intensity("POLA")


def test_importing_the_costs_imports_nothing_heavy() -> None:
    code = (
        "import sys, cost_models.devices, cost_models.latency, cost_models.energy, cost_models.profiling\n"
        "print([m for m in ('torch', 'onnxruntime', 'sklearn', 'scipy', 'pandas', 'optuna') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_the_host_is_measured_at_each_precision_that_is_searched(
    net: Supernet, cache: Path, measured: list[int]
) -> None:
    joint = net.at_precisions(["fp32", "int8"])
    host = open_device("host", joint, lambda _: None)
    assert len(measured) == 2
    assert (host.precision, list(host.at or {})) == ("fp32", ["int8"])
    cost = build("latency_ms", Target(joint, host))
    high = joint.space.largest()
    low = joint.space.arch({**high.values, "precision": 8})
    assert cost(low) == pytest.approx(cost(high) / 2, rel=0.05)
    in_int8 = host.at_precision("int8")
    assert in_int8 is not None
    assert in_int8.power is None
    assert host.power is not None
    assert open_device("host", net, lambda _: None) == host.model_copy(update={"at": None})
    assert open_device("host", joint.at_precisions(["int8"]), lambda _: None).precision == "int8"
    assert len(measured) == 2


@pytest.mark.parametrize("odd", ["two\nlines", "a\ttab", "\u202eturned", "\x9b31m"])
@pytest.mark.parametrize("base", ["", "base: host\n"])
def test_a_name_that_is_not_one_plain_line_is_refused(
    odd: str, base: str, tmp_path: Path, net: Supernet
) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(f"{base}name: {json.dumps(odd)}\n")
    with pytest.raises(InputError) as caught:
        open_device(str(file), net, print)
    assert not NO_NAME.search(str(caught.value))
    assert "one line, without control characters" in str(caught.value) or "no text may hold" in str(
        caught.value
    )
