"""``oncefit profile NAME`` measures this machine, keeps the device, and uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cost_models import measuring
from cost_models.device import Device
from cost_models.devices import open_device
from cost_models.host import read_host
from cost_models.measurements import Setup
from cost_models.profile_here import power_with
from cost_models.ranges import Range
from search.cli.app import main
from supernet import documents
from supernet.catalog import open_supernet
from supernet.errors import InputError
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
        (("mine", "--column", "x"), "--column and --like are of --from-csv"),
        (("mine", "--from-csv", "x.csv", "--column", "x", "--threads", "2"), "are for measuring here"),
    ):
        assert run(*options, "--supernet", tiny) == 2
        assert message in " ".join(capsys.readouterr().err.split())
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
