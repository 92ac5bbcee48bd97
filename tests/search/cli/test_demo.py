"""The demo: its winner holds the budget when measured or is said not to, and the whole as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from cost_models.profiling import LatencyMeasurement
from search.cli import terminal, walkthrough
from search.problem.objectives import parse_objectives
from search.runs.run import Progress, Result
from search.runs.study import Candidate, exclusive
from supernet.accuracy import Accuracy
from supernet.arch import Arch
from supernet.catalog import Supernet
from supernet.errors import InputError

BUDGET_MS = 0.1


@pytest.fixture
def result(supernet: Supernet) -> Result:
    """Seven candidates, all within by prediction, the first the most accurate."""
    archs = supernet.space.decode(supernet.space.sample(7, np.random.default_rng(0)))
    found = [
        Candidate(i, arch, {"latency_ms": 0.099 - i / 1000}, Accuracy("validation", 100, 0.9 - i / 100, 1, 0, 1, 0, 1))
        for i, arch in enumerate(archs)
    ]  # fmt: skip
    run = SimpleNamespace(axes=parse_objectives(["top1", "latency_ms"]))
    return Result(run, found[::-1], found[:1], found[0], {}, 7)  # type: ignore[arg-type]


BUSY_AT = 0.6
"""The quietest round of a busy machine as a part of the middle one."""


def timed(
    result: Result, medians: list[float], monkeypatch: pytest.MonkeyPatch, quietest: float = 0.97
) -> tuple[list[walkthrough.Timed], str]:
    """The candidates that were timed, with these latencies in the order of accuracy, and what was said.

    The quietest round took the part ``quietest`` of the middle one.
    """
    by_number = {
        candidate.arch: median for candidate, median in zip(result.candidates[::-1], medians, strict=True)
    }

    def time_subnet(run: object, arch: Arch, folder: Path) -> tuple[LatencyMeasurement, int]:
        return LatencyMeasurement(by_number[arch], quietest * by_number[arch], 2 * by_number[arch], 12), 1

    monkeypatch.setattr(walkthrough, "time_subnet", time_subnet)
    said: list[str] = []
    found = walkthrough.timed_until_within(result, BUDGET_MS, Path(), said.append)
    return found, "\n".join(said)


def subnet(latency: LatencyMeasurement, predicted_ms: float, top1: float = 0.9) -> dict[str, Any]:
    measured = {"latency": asdict(latency), "report": {"top1": top1}}
    return {"measured": measured, "predicted": {"latency_ms": predicted_ms}}


def told(found: list[walkthrough.Timed], slower: float = 1.0) -> str:
    """The verdict, on a machine where the ends of the space take ``slower`` times what is predicted of them."""
    winner = walkthrough.winner_of(found, BUDGET_MS)
    ends = {
        name: subnet(LatencyMeasurement(slower * ms, slower * ms, slower * ms, 12), ms)
        for name, ms in (("largest", 0.3), ("smallest", 0.03))
    }
    return walkthrough.verdict(
        {
            "budget": {"latency_ms": BUDGET_MS},
            "winner": walkthrough.winner_dict(winner, found, BUDGET_MS),
            "subnets": {"winner": subnet(winner.latency, 0.099), **ends},
        }
    )


def test_the_most_accurate_is_the_winner_where_it_holds_the_budget(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, said = timed(result, [0.1] + [0.09] * 6, monkeypatch)
    assert [one.candidate.number for one in found] == [0]
    assert said.endswith("(90.00 %): predicted 0.0990 ms, measured 0.1000 ms, within")
    assert told(found).endswith("0.1000 ms. It is the most accurate candidate.")


def test_one_that_is_over_is_told_and_the_next_is_timed(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, said = timed(result, [0.104, 0.1001, 0.095] + [0.09] * 4, monkeypatch)
    assert [one.candidate.number for one in found] == [0, 1, 2]
    assert "measured 0.1040 ms, 4.0 % over\n" in said
    assert "measured 0.1001 ms, 0.1 % over\n" in said
    assert "2 more accurate, within it by prediction, did not when measured" in told(found)


def test_where_none_holds_it_a_handful_is_tried_and_the_failure_is_plain(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = timed(result, [0.102] * 7, monkeypatch)
    assert [one.candidate.number for one in found] == list(range(walkthrough.TIMED))
    assert not walkthrough.winner_dict(found[0], found, BUDGET_MS)["within_budget"]
    words = told(found)
    assert words.startswith(
        "OVER BUDGET: the winner was measured at 0.1020 ms, 2.0 % over its budget of 0.1 ms"
    )
    assert "None of the 5 most accurate candidates held it" in words
    assert "The latency fit is off" in words
    words = told(found, slower=1.3)
    assert "the machine is slower than when it was measured" in words
    assert "fit is off" not in words


def test_a_busy_machine_gives_no_verdict_and_no_reason_to_time_others(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, said = timed(result, [0.171] + [0.09] * 6, monkeypatch, quietest=BUSY_AT)
    assert [one.candidate.number for one in found] == [0]
    assert said.endswith("measured 0.1710 ms, machine busy (rounds spread by 67 %), no verdict")
    assert walkthrough.winner_dict(found[0], found, BUDGET_MS)["within_budget"] is None
    words = told(found)
    assert words.startswith("MACHINE BUSY, no verdict: the winner holds its budget of 0.1 ms by prediction.")
    assert "OVER" not in words
    assert "fit is off" not in words


def test_one_that_a_quiet_machine_found_over_is_not_the_winner_of_a_busy_one(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = timed(result, [0.104, 0.104] + [0.09] * 5, monkeypatch)
    assert walkthrough.winner_of(found, BUDGET_MS) == found[-1]
    busy = replace(found[1], latency=LatencyMeasurement(0.104, BUSY_AT * 0.104, 0.3, 12))
    assert walkthrough.winner_of([found[0], busy], BUDGET_MS) == busy


def test_what_is_within_the_budget_on_a_busy_machine_is_within_it(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, said = timed(result, [0.1] + [0.09] * 6, monkeypatch, quietest=BUSY_AT)
    assert said.endswith("within")
    assert told(found).startswith("The winner holds its budget")


def test_a_ratio_of_speeds_is_told_only_of_quiet_timings() -> None:
    quiet, large = LatencyMeasurement(0.1, 0.099, 0.11, 12), LatencyMeasurement(0.3, 0.29, 0.4, 12)
    winner, largest = subnet(quiet, 0.1, 0.90), subnet(large, 0.3, 0.92)
    words = walkthrough.beside_largest({"winner": winner, "largest": largest})
    assert words.startswith("It is 3.0 times as fast as the largest subnet and 2.00 points less accurate")
    busy = subnet(LatencyMeasurement(0.49, 0.3, 0.6, 12), 0.3, 0.92)
    for pair in ({"winner": winner, "largest": busy}, {"winner": busy, "largest": largest}):
        assert "times as fast" not in walkthrough.beside_largest(pair)
        assert "the machine was busy" in walkthrough.beside_largest(pair)


def test_the_table_marks_what_a_busy_machine_measured() -> None:
    busy, quiet = LatencyMeasurement(0.171, 0.1, 0.3, 12), LatencyMeasurement(0.05, 0.0499, 0.06, 12)
    accuracy = {
        f"top{k}{end}": 0.9 for k in (1, 5) for end in ("", "_low", "_high")
    }  # fmt: skip
    rows = {name: subnet(found, 0.1) for name, found in (("winner", busy), ("smallest", quiet))}
    for row in rows.values():
        row["measured"] |= {"report": accuracy, "validation": accuracy}
        row["predicted"] |= {"macs": 1e6, "params": 1e5, "co2e_mg": 0.1}
        row |= {"arch_id": "0123456789", "onnx_bytes": 1024}
    out = Console(width=80, file=StringIO())
    out.print(walkthrough.beside(rows, BUDGET_MS))
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    assert "0.171 (busy)" in shown
    assert "0.050 (busy)" not in shown


def test_what_an_earlier_run_did_stands_beside_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured_before(n: int) -> list[str]:
        def search(run: object, progress: object) -> None:
            for now in range(n, 41):
                progress(Progress(now, 40, now - n, None))  # type: ignore[operator]

        monkeypatch.setattr(walkthrough, "search", search)
        notes: list[str] = []
        walkthrough.searched(Path("x"), None, terminal, notes)  # type: ignore[arg-type]
        return notes

    run = SimpleNamespace(problem=SimpleNamespace(objectives=parse_objectives(["top1"])))
    monkeypatch.setattr(walkthrough, "start", lambda *arguments: run)
    assert measured_before(0) == []
    assert measured_before(12) == ["12 of 40 from an earlier run"]
    assert measured_before(40) == ["taken up from an earlier run"]


def test_the_table_of_stages_fits_eighty_columns() -> None:
    stages = walkthrough.Stages()
    with stages.stage("search within a budget") as notes:
        notes.append(walkthrough.TAKEN_UP)
    with stages.stage("compare"):
        pass
    figures = stages.figures()
    first, second = figures["stages"]
    assert 0 < first["peak_memory_mib"] <= second["peak_memory_mib"] == figures["peak_memory_mib"]
    out = Console(width=80, file=StringIO())
    out.print(walkthrough.stage_table(figures))
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    assert walkthrough.TAKEN_UP in shown, "on one line"
    assert "up to its end" in shown


def test_peak_memory_is_that_of_the_process_and_not_of_the_one_that_launched_it() -> None:
    ours = "from search.cli.walkthrough import peak_memory_mib; kept = bytearray(64 * 2**20); print(peak_memory_mib())"
    theirs = (
        "import subprocess, sys; large = bytearray(1024 * 2**20); "
        f"subprocess.run([sys.executable, '-c', {ours!r}], check=True)"
    )
    command = [sys.executable, "-c", theirs]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert 64 < int(said) < 1024


def test_a_folder_that_another_process_uses_is_left_alone(tmp_path: Path) -> None:
    with exclusive(tmp_path), pytest.raises(InputError, match="another process is searching in"):
        walkthrough.run_demo(tmp_path, 3, terminal, as_json=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_demo_as_a_process(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-W",
        "error",
        "-m",
        "search",
        "demo",
        "--json",
        "--trials",
        "3",
        "--out",
        "demo",
    ]
    environment = {**os.environ, "ONCEFIT_CACHE": str(tmp_path / "cache")}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout)
    assert isinstance(figures, dict)
    assert all((tmp_path / path).exists() for path in figures["files"])
    assert (tmp_path / "demo" / "bundle" / "model.onnx").is_file()
    assert list((tmp_path / "cache" / "devices").iterdir())
    budget, winner = figures["budget"]["latency_ms"], figures["winner"]
    measured = figures["subnets"]["winner"]["measured"]["latency"]["median_ms"]
    verdicts = (True,) if measured <= budget else (False, None)  # None: this machine is busy
    assert winner["within_budget"] in verdicts
    assert figures["subnets"]["winner"]["predicted"]["latency_ms"] <= budget
    if winner["within_budget"]:
        assert winner["timed"][-1]["measured_ms"] == measured
        assert "The winner holds its budget of" in run.stderr
    elif winner["within_budget"] is None:
        assert "MACHINE BUSY, no verdict" in run.stderr
    else:
        assert len(winner["timed"]) == 3
        assert "OVER BUDGET" in run.stderr
    assert figures["seconds"] == pytest.approx(sum(stage["seconds"] for stage in figures["stages"]), abs=0.1)
    assert 200 < figures["peak_memory_mib"] < 2048
    chosen = json.loads((tmp_path / "demo" / "latency" / "result.json").read_text())["chosen"]
    card = json.loads((tmp_path / "demo" / "bundle" / "card.json").read_text())
    assert chosen["arch_id"] == winner["arch_id"] == card["arch_id"]
    assert "report" in chosen["measured"]


def test_the_winners_luck_is_told_beside_what_chose_nothing() -> None:
    found = {
        "measured": {
            "validation": {"images": 5000, "top1": 0.9295},
            "report": {"images": 10_000, "top1": 0.9195},
        },
        "validation_corrected_for_choice": {
            "top1": 0.9262,
            "top1_low": 0.9181,
            "top1_high": 0.9335,
            "among": 40,
        },
    }
    assert walkthrough.of_choice(found) == (
        "It was chosen among 40 candidates by 5,000 validation images, so its 92.95 % there is partly luck: corrected "
        "for having been chosen, 92.62 % [91.81, 93.35]. The 10,000 report images, by which nothing was chosen, "
        "give 91.95 %."
    )
    del found["validation_corrected_for_choice"]
    assert walkthrough.of_choice(found) == ""
