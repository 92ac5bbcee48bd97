"""``oncefit profile NAME --layers`` keeps a device that every command uses, or nothing."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

import oncefit
from cost_models import measuring
from cost_models.device import Device
from search.cli.app import main
from supernet import documents
from tests.helpers.tiny import open_tiny

ASKED = ("mine", "--layers", "--resolutions", "9", "--samples", "6", "--even-busy")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Its YAML file; rounds are few and short, as their times are not looked at."""
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        measuring, "measure_loaded", partial(measuring.measure_loaded, rounds=3, slice_s=5e-4)
    )
    open_tiny(tmp_path)
    return str(tmp_path / "tiny.yaml")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_a_table_is_measured_kept_and_used(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("profile", *ASKED, "--supernet", tiny, "--json") == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    file = tmp_path / "cache" / "devices" / "mine.yaml"
    device = documents.read(file, Device)
    assert device.table is not None
    count = len(device.table.tables[9].entries)
    assert (
        f"measuring {count} distinct layers and blocks of tiny at resolution 9, and 6 whole subnets"
        in shown.err
    )
    assert (told["resolutions"], told["entries"], told["subnets"]) == ([9], count, 6)
    assert told["file"] == str(file)
    assert run("device", "mine", "--supernet", tiny) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"a table of {count} layers and blocks of tiny, each measured alone" in shown
    assert "times the sum of its layers" in shown
    asked = {
        "budgets": {"latency_ms": 1e3},
        "accuracy": lambda arch: 0.5,
        "trials": 3,
        "out": tmp_path / "run",
    }
    with pytest.raises(oncefit.InputError, match=r"space: \{resolution: \[9\]\}"):
        oncefit.search(tiny, device="mine", **asked)
    found = oncefit.search(tiny, device="mine", space={"resolution": [9]}, **asked)
    assert (found.front["predicted_latency_ms"] > 0).all()


@pytest.mark.parametrize("step", ["load_layers", "take_rounds"])
def test_ctrl_c_writes_nothing(
    step: str, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def struck(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, step, struck)
    assert run("profile", *ASKED, "--supernet", tiny) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--layers", "--resolutions", "9,10"), "--resolutions 10: tiny has not; its resolutions are 9, 16"),
        (("--layers", "--resolutions", "9-16"), "--resolutions: got '9-16'; give whole numbers with commas"),
        (("--layers", "--samples", "5"), "--layers needs at least --samples 6, got 5"),
        (("--resolutions", "9"), "--resolutions are of a latency table: give --layers too"),
        (("--from-csv", "x.csv", "--column", "x", "--layers"), "are for measuring here"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_measured(
    options: tuple[str, ...], message: str, tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("profile", "mine", *options, "--supernet", tiny) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "cache").exists()
