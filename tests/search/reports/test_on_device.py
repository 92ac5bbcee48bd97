"""What is said of candidates that were timed on their device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from cost_models.timing import of_rounds
from search.reports.on_device import advice, line_of_timed, told_versions, verdict, verified_dict
from search.runs.on_device import OtherVersion, Verified, verified_of
from search.runs.study import Candidate
from supernet.accuracy import PredictedAccuracy
from supernet.families.catalog import Supernet

LIMIT = 25.0
OVER, WITHIN, BUSY = (26.0, 26.0, 26.1), (24.2, 24.5, 24.6), (20.0, 27.0, 40.0)


@pytest.fixture
def ranked(supernet: Supernet) -> list[Candidate]:
    """Five candidates, the most accurate first, all within the limit by prediction."""
    archs = supernet.space.decode(supernet.space.sample(5, np.random.default_rng(0)))
    return [
        Candidate(i, arch, {"latency_ms": 24.0, "latency_p95_ms": 24.9}, predicted=PredictedAccuracy(0.8 - i / 100, None))
        for i, arch in enumerate(archs)
    ]  # fmt: skip


def timed(ranked: list[Candidate], *rounds: Sequence[float]) -> Verified:
    latencies = {c.arch.id: of_rounds(times) for c, times in zip(ranked, rounds, strict=False) if times}
    found = verified_of(ranked, latencies, LIMIT)
    assert found is not None
    return found


def test_a_line_has_predicted_and_measured_by_these_words(ranked: list[Candidate]) -> None:
    found = timed(ranked, OVER, WITHIN, BUSY)
    lines = [line_of_timed(one, LIMIT, "top1") for one in found.timed]
    assert lines == [
        f"{ranked[0].arch.id} (80.00 %): predicted 24 ms, measured 26 ms, 4 % over",
        f"{ranked[1].arch.id} (79.00 %): predicted 24 ms, measured 24.5 ms, within",
        f"{ranked[2].arch.id} (78.00 %): predicted 24 ms, measured 27 ms, machine busy (rounds spread by 35 %), no verdict",
    ]


def test_the_verdict_says_why_more_accurate_ones_were_passed_over(ranked: list[Candidate]) -> None:
    assert verdict(timed(ranked, WITHIN), "pi") == (
        "The winner holds its budget of 25 ms when measured on pi: 24.5 ms. It is the most accurate candidate."
    )
    words = verdict(timed(ranked, OVER, BUSY, (), WITHIN), "pi")
    assert words.endswith(
        "of those that are more accurate: 1 did not hold it when measured, 1 a busy machine gives no verdict on, 1 not timed."
    )


def test_what_to_do_is_what_can_be_done(ranked: list[Candidate]) -> None:
    some = timed(ranked, OVER, OVER)
    assert verdict(some, "pi").endswith("by prediction only: 26 ms (4 % over), 26 ms (4 % over).")
    assert advice(some) == (
        "Time more of the 5 candidates (--verify-on-device 4), or search with more room for what a prediction is off "
        "by (--budget latency_ms=p99:25), or raise the budget."
    )
    every = timed(ranked, *[OVER] * 5)
    assert "--verify-on-device" not in advice(every), "there are no others"
    assert verdict(timed(ranked, OVER), "pi").startswith(
        "OVER BUDGET: the most accurate candidate does not hold its budget of 25 ms when measured on pi, which it does"
    )
    busy = timed(ranked, BUSY)
    assert "quietest round took 20 ms, and half of the rounds more than 27 ms" in verdict(busy, "pi")
    assert advice(busy) == "The same command times it again; let it, when the machine is quiet."


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        ("macs", "Search with room for what a prediction is off by (--budget latency_ms=p95:25), or raise"),
        ("latency_p99_ms", "Raise the budget."),
    ],
)
def test_more_room_is_told_of_what_there_is_more_of(ranked: list[Candidate], cost: str, told: str) -> None:
    """A budget that holds with the most confidence has no room left but its own."""
    held = [replace(c, costs={"latency_ms": 24.0, cost: 24.9}) for c in ranked]
    assert advice(timed(held, *[OVER] * 5)).startswith(told)


def test_other_versions_than_those_of_the_device_are_told(ranked: list[Candidate]) -> None:
    moved = replace(timed(ranked, WITHIN), other_versions=(OtherVersion("onnxruntime", "1.31.0", "1.32.0"),))
    assert told_versions(moved, "pi") == (
        "Timed with onnxruntime 1.32.0, which was 1.31.0 when pi was measured: what is predicted is of the earlier one."
    )
    assert verified_dict(moved, "top1")["other_versions"] == [
        {"package": "onnxruntime", "of_device": "1.31.0", "timed_with": "1.32.0"}
    ]
    assert told_versions(timed(ranked, WITHIN), "pi") == ""


def test_json_has_estimate_bound_and_measurement_of_each(ranked: list[Candidate]) -> None:
    found = verified_dict(timed(ranked, OVER, WITHIN), "top1")
    assert (found["limit_ms"], found["within_budget"], found["more_accurate_not_timed"]) == (25.0, True, 0)
    assert found["timed"][1] == {
        "arch_id": ranked[1].arch.id,
        "top1": 0.79,
        "predicted": {"latency_ms": 24.0, "latency_p95_ms": 24.9},
        "measured": {"latency": {"median_ms": 24.5, "low_ms": 24.2, "high_ms": 24.6, "rounds": 3}},
        "within_budget": True,
    }
