"""Candidates timed on their device: the winner by what was measured, kept in the run, and used by all that follows."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import oncefit
from cost_models import measuring
from cost_models.at_work import emitted_at_work
from cost_models.drift import quiet_latencies
from cost_models.measurements import Measurements, Setup
from cost_models.measuring import said
from cost_models.profiling import ATTEMPTS
from cost_models.timing import LatencyMeasurement, of_rounds
from search.cli.app import main
from search.reports.carbon import of_search
from search.runs.on_device import Verified, read_sessions, verified_of
from search.runs.opening import open_run
from search.runs.study import Candidate, search_seconds
from search.runs.verifying import verify_run
from supernet.accuracy import PredictedAccuracy
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from tests.helpers.own_predictor import write_mlp
from tests.helpers.timed import measured_of, write_device_here
from tests.helpers.tiny import write_device

LIMIT = 0.1
BUSY = (0.06, 0.13, 0.2)
"""Rounds whose median is over the limit by more than the quietest: no verdict."""


@pytest.fixture
def ranked(supernet: Supernet) -> list[Candidate]:
    """Four candidates, the most accurate first, all within the limit by prediction."""
    archs = supernet.space.decode(supernet.space.sample(4, np.random.default_rng(0)))
    return [
        Candidate(i, arch, {"latency_ms": 0.09}, predicted=PredictedAccuracy(0.9 - i / 100, None))
        for i, arch in enumerate(archs)
    ]


def verified(ranked: Sequence[Candidate], *rounds: Sequence[float] | None) -> Verified:
    """With the rounds of each in the order of accuracy; None for one that was not timed."""
    latencies = {
        c.arch.id: of_rounds(times) for c, times in zip(ranked, rounds, strict=False) if times is not None
    }
    found = verified_of(ranked, latencies, LIMIT)
    assert found is not None
    return found


def number(found: Verified) -> int | None:
    return found.winner.candidate.number if found.winner is not None else None


OVER, WITHIN = (0.104, 0.104, 0.105), (0.0999, 0.1, 0.2)


@pytest.mark.parametrize(
    ("rounds", "winner", "holds", "untimed"),
    [
        ((WITHIN, WITHIN), 0, True, 0),
        ((OVER, OVER, WITHIN, WITHIN), 2, True, 0),
        ((OVER, BUSY, WITHIN), 2, True, 0),
        ((OVER, BUSY, OVER), 1, None, 0),
        ((OVER, OVER), None, False, 0),
        ((None, OVER, None, WITHIN), 3, True, 2),
        ((None, OVER), None, False, 1),
    ],
    ids=[
        "first",
        "after two over",
        "busy is passed over",
        "busy is left open",
        "none",
        "others untimed",
        "none of one",
    ],
)
def test_the_winner_is_the_most_accurate_that_was_measured_within(
    ranked: list[Candidate], rounds: Sequence[Any], winner: int | None, holds: bool | None, untimed: int
) -> None:
    found = verified(ranked, *rounds)
    assert (number(found), found.holds, found.untimed) == (winner, holds, untimed)
    assert [one.candidate.number for one in found.timed] == [i for i, times in enumerate(rounds) if times]
    assert all(
        one.candidate.number < (len(ranked) if winner is None else winner) for one in found.passed_over
    )


def test_what_a_busy_machine_measures_within_the_budget_is_within_it(ranked: list[Candidate]) -> None:
    found = verified(ranked, (0.06, 0.0999, 0.3))
    assert found.timed[0].latency.busy
    assert found.holds is True


def test_of_candidates_that_were_not_timed_nothing_is_said(ranked: list[Candidate]) -> None:
    assert verified_of(ranked, {}, LIMIT) is None
    other = {"0000000000": LatencyMeasurement(0.1, 0.1, 0.1, 3)}
    assert verified_of(ranked, other, LIMIT) is None


# -- searches --------------------------------------------------------------------

Search = Callable[..., tuple[int, dict[str, Any], str]]
Rounds = Callable[[Arch], Sequence[float]]


@pytest.fixture
def search(
    supernet: Supernet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Search:
    """``oncefit search`` on predicted accuracies; returns exit code, JSON and what was said."""
    monkeypatch.chdir(tmp_path)
    write_mlp(supernet, Path("drawn.safetensors"))
    write_device_here(supernet, Path("bench.yaml"))

    def run(*options: object, **keys: object) -> tuple[int, dict[str, Any], str]:
        settings = {
            "supernet": "fmnist_mbv3", "accuracy": "predicted", "predictor": "drawn.safetensors", "trials": 6,
            "device": "bench.yaml", "budgets": {"latency_ms": 0.2},
        } | keys  # fmt: skip
        Path("mine.yaml").write_text(json.dumps(settings))
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["search", "mine.yaml", "--out", "run", "--json", *map(str, options)])
        printed = capsys.readouterr()
        return int(end.value.code or 0), json.loads(printed.out or "{}"), " ".join(printed.err.split())

    return run


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rounds], list[list[Arch]]]:
    """Makes measurements those that a function gives; returns the archs of each session."""

    def pretend(rounds: Rounds) -> list[list[Arch]]:
        asked: list[list[Arch]] = []

        def measure(net: Supernet, archs: Sequence[Arch], setup: Setup, bar: object) -> Measurements:
            asked.append(list(archs))
            return measured_of(net, setup, {arch: rounds(arch) for arch in archs})

        monkeypatch.setattr(measuring, "measure", measure)
        return asked

    return pretend


def in_order(asked: list[list[Arch]], *rounds: Sequence[float]) -> Rounds:
    """Rounds of the archs in the order in which they are asked for, that of accuracy."""
    left = iter(rounds)
    return lambda arch: next(left)


def test_the_winner_by_measurement_is_that_of_table_files_python_and_bundle(
    search: Search, given: Callable[[Rounds], list[list[Arch]]]
) -> None:
    asked = given(in_order([], (0.3, 0.3, 0.3), (0.19, 0.2, 0.21), (0.1, 0.1, 0.1)))
    code, told, said = search("--verify-on-device", 3)
    assert code == 0
    [archs] = asked
    found = told["verified_on_device"]
    assert [one["arch_id"] for one in found["timed"]] == [arch.id for arch in archs]
    assert [one["within_budget"] for one in found["timed"]] == [False, True, True]
    assert [one["measured"]["latency"]["median_ms"] for one in found["timed"]] == [0.3, 0.2, 0.1]
    assert all(one["predicted"]["latency_ms"] <= 0.2 for one in found["timed"])
    assert found["timed"][0]["top1"] >= found["timed"][1]["top1"]
    assert told["chosen"]["arch_id"] == archs[1].id
    assert told["chosen"]["measured"] == {
        "latency": {"median_ms": 0.2, "low_ms": 0.19, "high_ms": 0.21, "rounds": 3}
    }
    assert "measured 0.3 ms, 50 % over" in said
    assert json.loads(Path("run/result.json").read_text()) == told

    run = oncefit.open_run("run")
    assert (run.chosen, run.verified) == (archs[1], True)
    assert run.pick() == archs[1]
    timed = run.candidates["measured_latency_ms"].dropna()
    assert dict(timed) == {archs[0].id: 0.3, archs[1].id: 0.2, archs[2].id: 0.1}
    rows = pd.read_csv("run/front.csv").set_index("arch_id")
    assert dict(rows.loc[rows["chosen"], "measured_latency_ms"]) == {archs[1].id: 0.2}
    assert run.front.index.tolist() == rows.index.tolist()
    shown = run._repr_html_()
    assert "holds its budget of 0.2 ms when measured on bench: 0.2 ms." in shown
    assert "1 did not hold it when measured" in shown
    bundle = run.export(calibrated=False)
    assert bundle.arch == archs[1]
    assert bundle.card.figures.measured["latency"]["median_ms"] == 0.2
    assert bundle.card.figures.predicted["latency_ms"] != 0.2


def test_nothing_is_measured_twice_unless_it_is_asked_for(
    search: Search, given: Callable[[Rounds], list[list[Arch]]]
) -> None:
    asked = given(lambda arch: (0.1, 0.1, 0.1))
    _, first, _ = search("--verify-on-device", 2)
    kept = Path("run/on_device.yaml").read_bytes()
    assert search("--verify-on-device", 2)[1] == first
    assert search()[1] == first, "what was measured chooses, whoever asks"
    assert len(asked) == 1
    assert Path("run/on_device.yaml").read_bytes() == kept
    search("--verify-on-device", 3)
    assert [len(archs) for archs in asked] == [2, 1], "only the third"
    asked = given(lambda arch: (0.15, 0.15, 0.15))
    _, again, _ = search("--verify-on-device", 3, "--verify-again")
    assert [len(archs) for archs in asked] == [3]
    assert again["chosen"]["measured"]["latency"]["median_ms"] == 0.15
    assert len(read_sessions(Path("run"))) == 1


def test_the_time_that_it_takes_is_in_the_carbon_ledger_once(
    search: Search, given: Callable[[Rounds], list[list[Arch]]]
) -> None:
    given(lambda arch: (0.1, 0.1, 0.1))
    search("--verify-on-device", 2)
    run, now = open_run(Path("run")), itertools.count(0.0, 3600.0)
    before, seconds = of_search(run), search_seconds(run.study())
    verify_run(run, said(lambda _: None), clock=lambda: next(now))
    assert of_search(run) == before, "nothing was timed"
    verify_run(run, said(lambda _: None), again=True, clock=lambda: next(now))
    assert search_seconds(run.study()) == pytest.approx(seconds + 3600)
    hour = emitted_at_work(3600)
    after = of_search(run)
    assert (after.known, after.kg.value) == ("estimated", pytest.approx(before.kg.value + hour.kg.value))

    def killed(arch: Arch) -> Sequence[float]:
        raise KeyboardInterrupt

    given(killed)
    with pytest.raises(KeyboardInterrupt):
        verify_run(run, said(lambda _: None), again=True, clock=lambda: next(now))
    assert search_seconds(run.study()) == pytest.approx(seconds + 2 * 3600)


def test_it_is_told_where_the_runtime_is_another_than_that_of_the_device(
    search: Search, given: Callable[[Rounds], list[list[Arch]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    given(lambda arch: (0.1, 0.1, 0.1))
    measure = measuring.measure
    moved = {"onnxruntime": "1.32.0", "numpy": "2.0"}
    monkeypatch.setattr(
        measuring, "measure", lambda *given: measure(*given).model_copy(update={"versions": moved})
    )
    bench = Path("bench.yaml")
    bench.write_text(f"{bench.read_text()}\nversions: {{onnxruntime: 1.31.0, python: 3.11.2}}\n")
    _, told, said = search("--verify-on-device", 2)
    words = "Timed with onnxruntime 1.32.0, which was 1.31.0 when bench was measured"
    assert words in said
    assert words in " ".join(oncefit.open_run("run")._repr_html_().replace("<br>", " ").split())
    assert [one["package"] for one in told["verified_on_device"]["other_versions"]] == ["onnxruntime"]


def test_a_kill_while_it_measures_anew_leaves_what_was_measured(
    search: Search, given: Callable[[Rounds], list[list[Arch]]]
) -> None:
    given(lambda arch: (0.1, 0.1, 0.1))
    _, first, _ = search("--verify-on-device", 2)

    def killed(arch: Arch) -> Sequence[float]:
        raise KeyboardInterrupt

    given(killed)
    assert search("--verify-on-device", 2, "--verify-again")[0] == 130
    assert search()[1] == first


def test_where_none_holds_it_all_figures_are_told_and_nothing_pretends(
    search: Search, given: Callable[[Rounds], list[list[Arch]]]
) -> None:
    given(in_order([], (0.22, 0.22, 0.23), (0.21, 0.21, 0.21)))
    code, told, said = search("--verify-on-device", 2)
    assert code == 2
    assert told["verified_on_device"]["within_budget"] is False
    for part in (
        "OVER BUDGET: none of the 2 most accurate candidates holds its budget of 0.2 ms when measured on bench",
        "0.22 ms (10 % over), 0.21 ms (5 % over)", "--verify-on-device 4", "--budget latency_ms=p95:0.2",
    ):  # fmt: skip
        assert part in said
    run = oncefit.open_run("run")
    assert run.verified is False
    assert "<b>OVER BUDGET" in run._repr_html_()
    for refused in (run.pick, run.extract, run.export):
        with pytest.raises(
            InputError, match=r"run has no winner\. OVER BUDGET.* is picked by its arch id, as"
        ):
            refused()
    assert run.pick(run.chosen.id) == run.chosen


def test_a_busy_machine_is_asked_a_few_times_and_gives_no_verdict(
    search: Search, given: Callable[[Rounds], list[list[Arch]]]
) -> None:
    asked = given(lambda arch: (0.1, 0.21, 0.4))
    code, told, said = search("--verify-on-device", 2)
    assert (code, told["verified_on_device"]["within_budget"]) == (0, None)
    assert "MACHINE BUSY, no verdict: the winner holds its budget of 0.2 ms by prediction" in said
    assert len(asked) == ATTEMPTS
    assert oncefit.open_run("run").verified is None
    given(lambda arch: (0.21, 0.21, 0.21))
    assert search("--verify-on-device", 2)[1]["verified_on_device"]["within_budget"] is False, "quiet at last"


def test_a_budget_on_a_bound_is_held_against_the_measurement(
    search: Search, given: Callable[[Rounds], list[list[Arch]]]
) -> None:
    given(in_order([], (0.21, 0.21, 0.21), (0.2, 0.2, 0.2)))
    budgets = {"latency_ms": {"p95": 0.2, "confidence": 0.95}, "macs": 9e6}
    code, told, _ = search("--verify-on-device", 2, budgets=budgets)
    found = told["verified_on_device"]
    assert (code, found["limit_ms"]) == (0, 0.2)
    assert [one["within_budget"] for one in found["timed"]] == [False, True]
    for one in found["timed"]:
        assert one["predicted"]["latency_ms"] < one["predicted"]["latency_p95_ms"] <= 0.2


def test_a_front_shows_the_winner_though_it_is_not_of_it(
    search: Search, given: Callable[[Rounds], list[list[Arch]]], capsys: pytest.CaptureFixture[str]
) -> None:
    given(in_order([], (0.3, 0.3, 0.3), (0.1, 0.1, 0.1)))
    _, told, _ = search("--verify-on-device", 2, objectives=["top1", "latency_ms"])
    run = oncefit.open_run("run")
    moved = replace(run.result, front=[c for c in run.result.front if c.arch != run.chosen])
    assert [c.arch for c in moved.shown][-1] == run.chosen
    with pytest.raises(SystemExit):
        main(["search", "mine.yaml", "--out", "run"])
    table = capsys.readouterr().out
    assert "measured" in table
    assert f"{told['chosen']['arch_id']} *" in table


def test_real_subnets_are_timed_in_the_devices_runtime(search: Search) -> None:
    """Whatever they take: figures are there, measured ones are not the predicted, and who wins follows from them."""
    code, told, said = search("--verify-on-device", 2)
    found = told["verified_on_device"]
    [session] = read_sessions(Path("run"))[:1]
    assert session.setup == Setup()
    assert "onnxruntime" in session.versions
    run = open_run(Path("run"))
    assert session.fingerprint == run.supernet.fingerprint
    assert len(found["timed"]) == 2
    for one in found["timed"]:
        latency = one["measured"]["latency"]
        assert 0 < latency["low_ms"] <= latency["median_ms"] <= latency["high_ms"]
        assert latency["median_ms"] != one["predicted"]["latency_ms"]
        assert one["arch_id"] in said
        if one["within_budget"] is not None:
            assert one["within_budget"] == (latency["median_ms"] <= 0.2)
    if len(read_sessions(Path("run"))) == 1:
        times = [found.median_ms for found in quiet_latencies(session)]
        assert [one["measured"]["latency"]["median_ms"] for one in found["timed"]] == times
    assert code == (2 if found["within_budget"] is False else 0)
    within = [one["arch_id"] for one in found["timed"] if one["within_budget"]]
    if within:
        assert told["chosen"]["arch_id"] == within[0]


# -- what is refused -------------------------------------------------------------


def test_a_device_that_is_not_at_hand_is_refused_before_the_search(
    search: Search, supernet: Supernet, given: Callable[[Rounds], list[list[Arch]]]
) -> None:
    asked = given(lambda arch: (0.1, 0.1, 0.1))
    write_device(supernet, Path("phone.yaml"))
    code, _, said = search("--verify-on-device", 2, device="phone.yaml")
    assert code == 2
    for part in ("known is not at hand: its file does not say", "latency_ms=p95:25", "oncefit profile kit"):
        assert part in said
    elsewhere = Path("bench.yaml").read_text().replace("cpu: ", "cpu: another ")
    Path("bench.yaml").write_text(elsewhere)
    assert "bench is not at hand: its latency was measured on another" in search("--verify-on-device", 2)[2]
    assert not Path("run").exists()
    assert asked == []


@pytest.mark.parametrize(
    ("options", "keys", "message"),
    [
        ((), {"budgets": {"macs": 3e6}}, "against a budget on latency, and there is none; give one"),
        ((), {"device": None, "devices": ["bench.yaml", "host"]}, "on one device, and there are several"),
        (("--verify-on-device", 0), {}, "verify_on_device: got '0'"),
        (
            ("--verify-again",),
            {"verify_on_device": None},
            "verify_again times anew what verify_on_device does",
        ),
    ],
)
def test_what_cannot_be_verified_is_refused(
    search: Search, options: tuple[object, ...], keys: dict[str, object], message: str
) -> None:
    code, _, said = search(*options, **{"verify_on_device": 2, **keys})
    assert code == 2
    assert message in said
    assert not Path("run").exists()


def test_a_file_that_was_edited_is_named(search: Search, given: Callable[[Rounds], list[list[Arch]]]) -> None:
    given(lambda arch: (0.1, 0.1, 0.1))
    search("--verify-on-device", 2)
    Path("run/on_device.yaml").write_text("sessions: 3\n")
    with pytest.raises(InputError, match=r"on_device\.yaml: sessions: got '3'"):
        oncefit.open_run("run")
