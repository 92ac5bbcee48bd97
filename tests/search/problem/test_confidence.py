"""Budgets on a percentile of latency become budgets of a bound, or are refused by what is wrong."""

from __future__ import annotations

import pytest

from search.problem.confidence import plain_budgets
from search.runs.config import made_config, parse_budgets
from supernet.errors import InputError


@pytest.mark.parametrize(
    ("given", "cost"),
    [
        ({"p95": 25}, "latency_p95_ms"),
        ({"p80": 25}, "latency_p80_ms"),
        ({"p90": 25}, "latency_p90_ms"),
        ({"p95": 25, "confidence": 0.95}, "latency_p95_ms"),
        ({"p90": 25, "confidence": 0.99}, "latency_p99_ms"),
        ({"p80": 25, "confidence": 0.8}, "latency_p80_ms"),
        ({"p99": 25, "confidence": 0.9}, "latency_p99_ms"),
    ],
)
def test_the_greater_of_percentile_and_confidence_is_held(given: dict[str, float], cost: str) -> None:
    assert plain_budgets({"latency_ms": given, "macs": 3e6}) == {cost: 25, "macs": 3e6}


@pytest.mark.parametrize(
    ("budgets", "said"),
    [
        ({"macs": {"p95": 3}}, "only latency_ms has a bound"),
        ({"latency_ms": {"p95": 3, "p90": 2}}, "one percentile"),
        ({"latency_ms": {"p95": 3, "sure": 2}}, "one percentile"),
        ({"latency_ms": {"p95": 3, "confidence": 0.97}}, "bounds are known for 0.8, 0.9, 0.95, 0.99"),
        ({"latency_ms": {"p50": 3}}, "is 0.5, and bounds are known for"),
        ({"latency_ms": {"p95": "3"}}, "a number of milliseconds"),
        ({"latency_ms": {"p95": 3}, "latency_p95_ms": 4}, "two budgets of latency_p95_ms"),
    ],
)
def test_what_is_no_such_budget_is_refused(budgets: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plain_budgets(budgets)


def test_the_command_line_and_a_config_say_the_same() -> None:
    settings = {"supernet": "fmnist_mbv3", "device": "host"}
    told = made_config(settings, parse_budgets(["latency_ms=p95:0.2"]))
    assert told.budgets == {"latency_p95_ms": 0.2}
    assert made_config({**settings, "budgets": {"latency_ms": {"p95": 0.2}}}, {}) == told
