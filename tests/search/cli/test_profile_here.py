"""``oncefit profile NAME`` measures this machine, keeps the device, and uses it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import oncefit
from cost_models import energy_fit, measuring, profile_here
from cost_models.device import Device
from cost_models.devices import open_device
from cost_models.energy import bytes_moved, energy_mj
from cost_models.host import read_host
from cost_models.latency import latency_ms
from cost_models.measurements import Setup
from cost_models.meters import the_meter
from cost_models.profile_here import power_with
from cost_models.protocol import Target
from cost_models.ranges import Range
from search.cli.app import main
from supernet import documents
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from tests.helpers.tiny import open_tiny


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    open_tiny(tmp_path)
    return str(tmp_path / "tiny.yaml")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["profile", *arguments])
    return int(ended.value.code or 0)


def test_a_device_is_measured_kept_and_used(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("mine-2", "--supernet", tiny, "--samples", "6", "--batch", "2", "--even-busy", "--json")
    assert run(*asked) == 0
    told = json.loads(capsys.readouterr().out)
    file = tmp_path / "cache" / "devices" / "mine-2.yaml"
    device = documents.read(file, Device)
    assert told["file"] == str(file)
    assert told["setup"] == {"runtime": "onnxruntime", "threads": 1, "batch": 2, "precision": "fp32"}
    assert device.measurements is not None
    assert device.fitted is not None
    assert len(device.measurements.subnets) == device.fitted.subnets >= 6
    assert open_device("mine-2", open_supernet(tiny), print) == device
    assert run(*asked) == 2
    assert "mine-2 is there already, for tiny" in capsys.readouterr().err
    assert documents.read(file, Device) == device
    with pytest.raises(InputError, match=r"oncefit profile NAME --supernet fmnist_mbv3 makes another device"):
        open_device("mine-2", open_supernet("fmnist_mbv3"), print)


def test_the_same_from_python(tiny: str, tmp_path: Path) -> None:
    said: list[str] = []
    file = tmp_path / "elsewhere.yaml"
    asked = {"samples": 6, "even_busy": True, "out": file, "say": said.append}
    found = oncefit.profile("mine", tiny, **asked)
    assert found.device == documents.read(file, Device)
    assert found.name == str(file)
    assert repr(found).startswith("KeptDevice('mine' for tiny, error ")
    assert found.device.fitted is not None
    assert f"loading subnets: {found.device.fitted.subnets} of {found.device.fitted.subnets}" in said
    predicted = [
        latency_ms(Target(open_supernet(tiny), found.device))(arch)
        for arch in oncefit.open_supernet(tiny).sample(20)
    ]
    least, greatest = found.reach_ms
    assert least * (1 - 1e-9) <= min(predicted) <= max(predicted) <= greatest * (1 + 1e-9)
    with pytest.raises(InputError, match="device mine is there already, for tiny"):
        oncefit.profile("mine", tiny, **asked)
    with pytest.raises(InputError, match="--seed: got -1; 0 to"):
        oncefit.profile("other", tiny, seed=-1)


def test_power_is_that_of_as_many_cores_and_only_where_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    host = read_host().power
    assert host is not None
    assert power_with(Setup(), host) == host
    three = power_with(Setup(threads=3), host)
    assert three is not None
    assert three.static_w == Range(low=3 * 0.95, value=3 * 1.9, high=3 * 3.75)
    assert (three.pj_per_mac, three.pj_per_byte) == (host.pj_per_mac, host.pj_per_byte)
    assert three.source.endswith("static_w: 3 times that, as 3 threads use so many cores")
    assert power_with(Setup(threads=3), None) is None
    assert capsys.readouterr().err == ""
    assert power_with(Setup(precision="bf16"), host) is None
    assert (
        "no power figures: those of host are of multiply-adds and bytes at fp32, not bf16"
        in capsys.readouterr().err
    )
    assert power_with(Setup(batch=4), host) is None
    assert (
        "no power figures: energy is of one inference, and latencies are of a batch of 4"
        in capsys.readouterr().err
    )


def test_what_cannot_be_is_refused_before_anything_is_measured(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for options, message in (
        (("mine", "--precision", "bf16"), "--precision bf16 is nothing that onnxruntime can do"),
        (("mine", "--precision", "fp16"), "'fp32', 'bf16' or 'int8'"),
        (("mine", "--runtime", "tvm"), "unknown runtime 'tvm'"),
        (("host",), "host is a device that ships"),
        (
            ("mine", "--column", "x"),
            "--column, --unit, --like, --replace and --samples all are of --from-csv",
        ),
        (("mine", "--samples", "all"), "--samples all are of --from-csv"),
        (
            ("mine", "--samples", "few"),
            "--samples: got 'few'; it is a number of subnets, or all of --from-csv",
        ),
        (("mine", "--samples", "1"), "--samples: got 1; 2 to 1,000,000 is possible"),
        (("mine", "--replace"), "--refresh measures this machine again"),
        (("mine", "--energy", "--batch", "2"), "--energy is of one inference: it goes with --batch 1"),
        (("mine", "--energy", "--samples", "7"), "--energy is fitted to at least 8 subnets, got --samples 7"),
        (("mine", "--from-csv", "x.csv", "--energy"), "are for measuring here"),
        (("mine", "--from-csv", "x.csv", "--column", "x", "--threads", "2"), "are for measuring here"),
    ):
        assert run(*options, "--supernet", tiny) == 2
        assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "cache").exists()


def a_counter(folder: Path) -> Path:
    """A folder as the kernel's, with one package that took 50 kJ so far."""
    zone = folder / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (
        ("name", "package-0"),
        ("energy_uj", "50000000000"),
        ("max_energy_range_uj", "262143328850"),
    ):
        (zone / name).write_text(f"{text}\n")
    return zone / "energy_uj"


def test_energy_is_measured_where_there_is_a_meter(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Real subnets in a real runtime; each run moves the counter by 12 pJ a multiply-add and 90 pJ a byte."""
    counter = a_counter(tmp_path / "powercap")
    taken = 50e9
    load = measuring.load_checked

    def burning(runtime, supernet, arch, setup, folder):
        loaded = load(runtime, supernet, arch, setup, folder)
        layers = supernet.layers(arch)
        joules = sum(12e-12 * layer.macs + 90e-12 * bytes_moved(layer) for layer in layers)

        def run() -> object:
            nonlocal taken
            taken += 1e6 * 1e4 * joules  # ten thousand times that: a tiny net takes less than a counter shows
            counter.write_text(str(round(taken)))
            return loaded.run()

        return replace(loaded, run=run)

    monkeypatch.setattr(measuring, "load_checked", burning)
    monkeypatch.setattr(profile_here, "the_meter", partial(the_meter, tmp_path / "powercap"))
    monkeypatch.setattr(
        energy_fit, "meter_in_turns", partial(energy_fit.meter_in_turns, rounds=2, slice_s=0.001)
    )
    assert run("mine", "--supernet", tiny, "--samples", "8", "--energy", "--even-busy", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    device = documents.read(tmp_path / "cache" / "devices" / "mine.yaml", Device)
    assert device.power is not None
    assert device.power.fitted is not None
    assert device.measurements is not None
    assert told["power"] == {"how": "measured", "fitted": device.power.fitted.model_dump()}
    assert device.power.fitted.meter == "RAPL (package-0)"
    assert device.power.fitted.date == device.measurements.date
    assert device.power.fitted.worst_error_percent < 1
    assert device.power.fitted.spread_percent < 1
    figures = (device.power.pj_per_mac.value, device.power.pj_per_byte.value)
    assert figures == pytest.approx((12e4, 90e4), rel=0.01)
    assert device.power.static_w.value < 1e-3, "a run took as much however long it was"
    net = open_supernet(tiny)
    arch = net.space.largest()
    joules = sum(12e-12 * layer.macs + 90e-12 * bytes_moved(layer) for layer in net.layers(arch))
    assert energy_mj(Target(net, device))(arch) == pytest.approx(1e3 * 1e4 * joules, rel=0.01)


def test_energy_without_a_meter_is_refused_before_anything_is_measured(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(measuring, "load_checked", lambda *_: pytest.fail("a subnet was loaded"))
    counter = a_counter(tmp_path / "powercap")
    counter.unlink()
    counter.mkdir()  # cannot be read, even by root
    monkeypatch.setattr(profile_here, "the_meter", partial(the_meter, tmp_path / "powercap"))
    assert run("mine", "--supernet", tiny, "--energy") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"RAPL is there but cannot be read: {counter} (chmod a+r as root lets others read it); " in said
    assert "NVML" in said
    assert "Energy stays estimated by the power figures of the device's file" in said
    assert not (tmp_path / "cache").exists()


def test_ctrl_c_writes_nothing(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def struck(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "take_rounds", struck)
    assert run("mine", "--supernet", tiny, "--samples", "2") == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_a_batch_of_no_images_is_refused_from_python_too(tiny: str, tmp_path: Path) -> None:
    for make in (oncefit.profile, partial(oncefit.profile_from_csv, file="measured.csv")):
        with pytest.raises(InputError, match=r"batch: got '?0"):
            make("mine", supernet=tiny, batch=0)
    assert not (tmp_path / "cache").exists()
