"""When a search ends for its carbon: the expected gain against all subsets, the rule, and a search that obeys."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest

import oncefit
from cost_models.grid import carbon_intensity
from search.runs.carbon_stop import CarbonStop, brought, expected_gain, prospect, trial_kg
from search.runs.config import RunConfig, normalised
from search.runs.ledger import Ledger
from search.runs.study import search_seconds
from supernet import documents
from supernet.errors import InputError
from tests.helpers import tiny


@pytest.mark.parametrize("left_out", [1, 2, 4, 6])
def test_the_expected_gain_is_the_mean_over_all_subsets(left_out: int) -> None:
    values = np.random.default_rng(3).choice([1.0, 2.0, 2.0, 5.5, 8.25, 9.0], 7)
    subsets = itertools.combinations(values, len(values) - left_out)
    mean = np.mean([min(subset) for subset in subsets]) - values.min()
    assert expected_gain(values, left_out) == pytest.approx(mean)


def test_of_alike_trials_the_last_ones_gain_at_least_what_the_next_ones_do() -> None:
    """Uniform values, whose expected minimum of n is 1 / (n + 1)."""
    n, m = 20, 8
    rng = np.random.default_rng(0)
    found = np.mean([expected_gain(rng.random(n), m) for _ in range(4000)])
    last, following = 1 / (n - m + 1) - 1 / (n + 1), 1 / (n + 1) - 1 / (n + m + 1)
    assert found == pytest.approx(last, rel=0.05)
    assert found > following


def test_the_order_counts_where_a_sampler_got_better_late() -> None:
    values = [9.0] * 6 + [5.0, 4.0, 3.0, 2.0]
    assert brought(values, 4) == 7.0
    assert prospect(values, 4, 1e6, 1.0).saves_kg == pytest.approx(7.0)
    assert prospect(values[::-1], 4, 1e6, 1.0).saves_kg == pytest.approx(expected_gain(values, 4))
    assert prospect(values, 400, 1e6, 1.0).trials == 5  # of more than it has seen half of, nothing is known


def test_a_trial_emits_its_time_at_its_watts_on_its_grid() -> None:
    stop = CarbonStop(requests=1.0, top1=0.5, watts=100, region="FRA")
    assert trial_kg(stop, 36) == pytest.approx(0.001 * 56.039e-3)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processes have no affinity here")
def test_a_search_on_some_of_the_processors_draws_for_these() -> None:
    allowed, stop = os.sched_getaffinity(0), CarbonStop(requests=1.0, top1=0.5)
    whole = trial_kg(stop, 36)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert trial_kg(stop, 36) == pytest.approx(whole / len(allowed))
        assert trial_kg(stop, 3600) == pytest.approx(
            1.9 * 1e-3 * carbon_intensity("WORLD").grams_per_kwh / 1e3
        )
    finally:
        os.sched_setaffinity(0, allowed)


def test_one_trial_has_none_before_it() -> None:
    with pytest.raises(InputError, match="x: after: got '1'; at least 2 trials: what the last ones gained"):
        documents.check({"requests": 1, "top1": 0.5, "after": 1}, CarbonStop, "x")
    assert prospect([2.0, 1.0], 3, 1e6, 1.0).saves_kg == 1.0


INTERRUPTED: list[bool] = []


def made_up(arch: oncefit.Arch) -> float:
    if INTERRUPTED:
        raise KeyboardInterrupt
    return 0.5 + len(str(arch)) / 1000


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("device")
    return tiny.write_device(tiny.open_tiny(folder), folder / "known.yaml")


@pytest.mark.parametrize(("requests", "stops"), [(1e-6, True), (1e30, False)])
def test_a_search_ends_where_its_deployment_is_too_small(
    requests: float, stops: bool, device: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "supernet": str(device.parent / "tiny.yaml"), "device": str(device), "sampler": "random", "trials": 14,
        "objectives": ["top1", "co2e_mg"], "stop": {"requests": requests, "top1": 0.51, "after": 5},
    }  # fmt: skip
    path = tmp_path / "search.yaml"
    path.write_text(json.dumps(settings))
    run = oncefit.search(config=path, accuracy=made_up, out=tmp_path / "run")
    made = len(run.candidates)
    assert (made == 14) is not stops
    assert ("stopped_for_carbon" in run.to_dict()) is stops
    if stops:
        assert made >= 5
        told = run.to_dict()["stopped_for_carbon"]
        assert told["saves_kg"] < told["takes_kg"]
        assert f"stopping after {made} of 14 trials" in capsys.readouterr().err


def test_a_search_that_stopped_and_goes_on_no_longer_says_so(device: Path, tmp_path: Path) -> None:
    settings = {
        "supernet": str(device.parent / "tiny.yaml"), "device": str(device), "sampler": "random", "trials": 12,
        "objectives": ["top1", "co2e_mg"],
    }  # fmt: skip
    path = tmp_path / "search.yaml"

    def searched(**more: object) -> oncefit.Run:
        path.write_text(json.dumps({**settings, **more}))
        return oncefit.search(config=path, accuracy=made_up, out=tmp_path / "run", say=lambda _: None)

    small = {"requests": 1e-6, "top1": 0.51, "after": 5}
    told = searched(stop=small).to_dict()["stopped_for_carbon"]
    again = searched(stop=small)
    assert again.to_dict()["stopped_for_carbon"]["trials"] == told["trials"]  # it has nothing more to do
    assert len(again.candidates) < 12
    INTERRUPTED.append(True)
    with pytest.raises(KeyboardInterrupt):
        searched()
    INTERRUPTED.clear()
    assert "stopped_for_carbon" not in oncefit.open_run(tmp_path / "run").to_dict()
    whole = searched(stop={**small, "requests": 1e30})
    assert len(whole.candidates) == 12
    assert "stopped_for_carbon" not in whole.to_dict()
    ledger = Ledger(whole.study, whole.result.run.problem)
    for _ in range(2):
        ledger.follow()
        assert ledger.seconds == pytest.approx(search_seconds(whole.study))
        assert ledger.seconds > 0
    whole.study.set_user_attr("stopped_for_carbon", told)  # as where another process made the rest
    assert "stopped_for_carbon" not in oncefit.open_run(tmp_path / "run").to_dict()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, r"stop: ends a search for a lower co2e_mg, .* set objectives: \[top1, co2e_mg\]"),
        (
            {"objectives": ("top1", "co2e_mg"), "accuracy": "predicted", "predictor": "x"},
            "stop: is for trials that take",
        ),
    ],
)
def test_a_stop_without_use_is_refused(more: dict[str, object], said: str) -> None:
    config = RunConfig(supernet="fmnist_mbv3", stop=CarbonStop(requests=1e9, top1=0.9), **more)
    with pytest.raises(InputError, match=said):
        normalised(config, "search.yaml")
