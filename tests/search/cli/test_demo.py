"""The demo: its winner holds the budget when measured or is said not to, and the whole as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

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


def timed(
    result: Result, medians: list[float], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[walkthrough.Timed], str]:
    """The candidates that were timed, with these latencies in the order of accuracy, and what was said."""
    by_number = {
        candidate.arch: median for candidate, median in zip(result.candidates[::-1], medians, strict=True)
    }

    def time_subnet(run: object, arch: Arch, folder: Path) -> tuple[LatencyMeasurement, int]:
        return LatencyMeasurement(by_number[arch], 0.97 * by_number[arch], 2 * by_number[arch], 12), 1

    monkeypatch.setattr(walkthrough, "time_subnet", time_subnet)
    said: list[str] = []
    found = walkthrough.timed_until_within(result, BUDGET_MS, Path(), said.append)
    return found, "\n".join(said)


def told(found: list[walkthrough.Timed]) -> str:
    winner = found[-1] if found[-1].within(BUDGET_MS) else found[0]
    return walkthrough.verdict(
        {
            "budget": {"latency_ms": BUDGET_MS},
            "winner": walkthrough.winner_dict(winner, found, BUDGET_MS),
            "subnets": {"winner": {"measured": {"latency": winner.latency.__dict__}}},
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
    assert "the machine may be busy" in words
    words = told(timed(result, [0.2] * 7, monkeypatch)[0])
    assert "The latency fit is off" in words


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
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


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
    assert winner["within_budget"] == (measured <= budget)
    assert figures["subnets"]["winner"]["predicted"]["latency_ms"] <= budget
    if winner["within_budget"]:
        assert winner["timed"][-1]["measured_ms"] == measured
        assert "The winner holds its budget of" in run.stderr
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
