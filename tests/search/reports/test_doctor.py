"""The doctor says of each format and extra whether it works, and what to type where it does not."""

from __future__ import annotations

import json
import re
import sys

import pytest

from search.cli.app import main
from search.reports import doctor
from supernet.formats.registry import EXPORT_FORMATS, export_format


@pytest.fixture
def without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "tried", lambda command: (doctor.WORKS, f"tried {command[-1]}"))


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *arguments])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.usefixtures("without_processes")
def test_every_format_and_extra_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "--json"))
    assert set(found["formats"]) == set(EXPORT_FORMATS)
    assert set(found["extras"]) == set(doctor.EXTRAS)
    assert found["versions"]["torch"]
    for name, one in found["formats"].items():
        absent = bool(export_format(name).missing() or export_format(name).missing_to_run())
        assert one["state"] == (doctor.MISSING if absent else doctor.WORKS)
        assert one.get("remedy") == (export_format(name).how if absent else None)
        assert absent or one["told"] == f"tried {name}"


@pytest.mark.usefixtures("without_processes")
def test_a_person_reads_what_to_type(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {"never": ("made up", ("oncefit-no-such",))})
    told = run(capsys)
    assert "openvino" in told
    assert "not installed" in told
    assert "pip install 'oncefit[never]'" in told


@pytest.mark.usefixtures("without_processes")
def test_no_line_is_longer_than_a_terminal_but_what_is_to_be_typed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "written; coremltools was not run, which needs macOS: " + "copy model.mlpackage there " * 5
    monkeypatch.setattr(doctor, "tried", lambda command: (doctor.WORKS, long))
    lines = run(capsys).splitlines()
    assert max(len(line.rstrip()) for line in lines if "pip install" not in line) <= 80


@pytest.mark.parametrize(
    ("code", "state", "told"),
    [
        ('print(\'{"told": "well"}\')', doctor.WORKS, "well"),
        ("pass", doctor.WORKS, "is imported"),
        ("import oncefit_no_such", doctor.FAILS, "ModuleNotFoundError: No module named 'oncefit_no_such'"),
        ("import os; os.kill(os.getpid(), 11)", doctor.FAILS, "the process was ended by signal 11"),
    ],
)
def test_what_fails_or_crashes_is_told(code: str, state: str, told: str) -> None:
    assert doctor.tried([sys.executable, "-c", code]) == (state, told)


def test_what_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LIMIT_S", 0.2)
    assert doctor.tried([sys.executable, "-c", "import time; time.sleep(60)"])[1] == "no answer within 0.2 s"


def test_what_does_not_work_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "tried", lambda command: (doctor.FAILS, "ImportError: too old"))
    found = doctor.of_one_format("openvino")
    assert (found.state, found.told) == (doctor.FAILS, "ImportError: too old")
    notes = doctor.doctor_notes({"formats": {"openvino": doctor.as_values(found)}, "extras": {}})
    assert notes.startswith("Does not work: openvino.\n")
    assert "pip install --upgrade 'oncefit[openvino]'" in notes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told"),
    [("onnx", r"a small network differs from torch by .*"), ("onnx-int8", r"9\d\.\d % of .* are torch's")],
)
def test_a_format_is_really_tried(name: str, told: str) -> None:
    found = doctor.of_one_format(name)
    assert found.state == doctor.WORKS, found.told
    assert re.fullmatch(told, found.told)
