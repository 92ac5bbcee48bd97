"""The demo: its winner holds the budget when measured or is said not to, and the whole as a real process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
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
from search.runs.on_device import verified_of
from search.runs.results import Result
from search.runs.run import Progress
from search.runs.study import Candidate, exclusive
from supernet.accuracy import Accuracy
from supernet.errors import InputError
from supernet.families.catalog import Supernet

BUDGET_MS = 0.1
BUSY_AT = 0.6
"""The quietest round of a busy machine as a part of the middle one."""


@pytest.fixture
def candidates(supernet: Supernet) -> list[Candidate]:
    """Five candidates, all within by prediction, the first the most accurate."""
    archs = supernet.space.decode(supernet.space.sample(5, np.random.default_rng(0)))
    return [
        Candidate(i, arch, {"latency_ms": 0.099 - i / 1000}, Accuracy("validation", 100, 0.9 - i / 100, 1, 0, 1, 0, 1))
        for i, arch in enumerate(archs)
    ]  # fmt: skip


def timed(candidates: list[Candidate], medians: list[float], quietest: float = 0.97) -> Result:
    """A result whose candidates took so long when measured; the quietest round took the part ``quietest``."""
    latencies = {
        candidate.arch.id: LatencyMeasurement(median, quietest * median, 2 * median, 12)
        for candidate, median in zip(candidates, medians, strict=True)
    }
    verified = verified_of(candidates, latencies, BUDGET_MS)
    run = SimpleNamespace(axes=parse_objectives(["top1", "latency_ms"]))
    return Result(run, candidates, candidates[:1], candidates[0], {}, 5, verified=verified)  # type: ignore[arg-type]


def subnet(latency: LatencyMeasurement, predicted_ms: float, top1: float = 0.9) -> dict[str, Any]:
    measured = {"latency": asdict(latency), "report": {"top1": top1}}
    return {"measured": measured, "predicted": {"latency_ms": predicted_ms}}


def told(result: Result, slower: float = 1.0) -> str:
    """The verdict, on a machine where the ends of the space take ``slower`` times what is predicted of them."""
    ends = {
        name: subnet(LatencyMeasurement(slower * ms, slower * ms, slower * ms, 12), ms)
        for name, ms in (("largest", 0.3), ("smallest", 0.03))
    }
    return walkthrough.told_verdict(result, ends)


def test_a_winner_that_holds_the_budget_is_told_as_that(candidates: list[Candidate]) -> None:
    words = told(timed(candidates, [0.104, 0.1] + [0.09] * 3))
    assert words.startswith("The winner holds its budget of 0.1 ms when measured on this machine: 0.1 ms.")
    assert words.endswith("of those that are more accurate: 1 did not hold it when measured.")


def test_where_none_holds_it_the_failure_and_its_cause_are_plain(candidates: list[Candidate]) -> None:
    result = timed(candidates, [0.102] * 5)
    words = told(result)
    assert words.startswith("OVER BUDGET: none of the 5 most accurate candidates holds its budget of 0.1 ms")
    assert "The latency fit is off" in words
    words = told(result, slower=1.3)
    assert "the machine is slower than when it was measured" in words
    assert "fit is off" not in words


def test_a_busy_machine_gives_no_verdict_and_no_cause(candidates: list[Candidate]) -> None:
    words = told(timed(candidates, [0.171] * 5, BUSY_AT))
    assert words.startswith("MACHINE BUSY, no verdict: the winner holds its budget of 0.1 ms by prediction.")
    assert words.endswith("Run the demo again, with another --out, when the machine is quiet.")
    assert "OVER" not in words
    assert "fit is off" not in words


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
        row["predicted"] |= {
            "macs": 1e6,
            "params": 1e5,
            "co2e_mg": 1e-4,
            "co2e_mg_low": 2.03e-5,
            "co2e_mg_high": 3e-4,
        }
        row |= {"arch_id": "0123456789", "onnx_bytes": 1024}
    out = Console(width=80, file=StringIO())
    out.print(walkthrough.beside(rows, BUDGET_MS))
    shown = out.file.getvalue()  # type: ignore[attr-defined]
    assert "0.171 (busy)" in shown
    assert "0.050 (busy)" not in shown
    assert re.search(r"range +0\.02-0\.3 +0\.02-0\.3", shown)


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
    measured = figures["subnets"]["winner"]["measured"]["latency"]
    verdicts = (True,) if measured["median_ms"] <= budget else (False, None)  # None: this machine is busy
    assert winner["within_budget"] in verdicts
    assert len(winner["timed"]) == 3
    assert figures["subnets"]["winner"]["predicted"]["latency_ms"] <= budget
    [found] = [one for one in winner["timed"] if one["arch_id"] == winner["arch_id"]]
    assert found["measured"]["latency"] == measured
    if winner["within_budget"]:
        assert "The winner holds its budget of" in run.stderr
    elif winner["within_budget"] is None:
        assert "MACHINE BUSY, no verdict" in run.stderr
    else:
        assert "OVER BUDGET" in run.stderr
    assert figures["seconds"] == pytest.approx(sum(stage["seconds"] for stage in figures["stages"]), abs=0.1)
    assert 200 < figures["peak_memory_mib"] < 2048
    chosen = json.loads((tmp_path / "demo" / "latency" / "result.json").read_text())["chosen"]
    card = json.loads((tmp_path / "demo" / "bundle" / "card.json").read_text())
    assert chosen["arch_id"] == winner["arch_id"] == card["arch_id"]
    assert "report" in chosen["measured"]
    assert chosen["measured"]["latency"] == card["figures"]["measured"]["latency"] == measured


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
