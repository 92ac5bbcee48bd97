"""The few candidates that are found are as good as the best of all choices, one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from search.feasible import few_for_many
from search.feasible.few_for_many import choose_few, exchanged, fewest, greedy, serves, undominated
from supernet.arrays import Floats

SECONDS = 600.0
"""More than any of these needs: what is proven must not depend on how busy the machine is."""


def made(seed: int, devices: int = 6, candidates: int = 9) -> tuple[Floats, Floats]:
    """Losses with gaps and ties, one candidate for each device at no loss, and weights of which one is 0."""
    rng = np.random.default_rng(seed)
    losses = rng.integers(0, 12, (devices, candidates)) / 4
    losses[rng.random((devices, candidates)) < 0.4] = np.inf
    losses[np.arange(devices), rng.integers(candidates, size=devices)] = 0.0
    weights = rng.integers(1, 5, devices).astype(float)
    weights[0] = 0.0
    return losses, weights / weights.sum()


def best_of_all(losses: Floats, weights: Floats, most: int) -> float:
    """The least weighted loss of every choice of so many candidates; infinite where none serves all devices."""
    found = np.inf
    for kept in itertools.combinations(range(losses.shape[1]), min(most, losses.shape[1])):
        least = losses[:, kept].min(axis=1, initial=np.inf)
        if np.isfinite(least).all():
            found = min(found, float(weights @ least))
    return found


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("looked_through", [0, 500_000], ids=["programmed", "looked-through"])
def test_it_is_the_best_of_all_choices_and_proven(
    seed: int, looked_through: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_for_many, "LOOKED_THROUGH", looked_through)
    losses, weights = made(seed)
    start, least = fewest(losses, SECONDS)
    assert start is not None
    assert not np.isfinite(best_of_all(losses, np.ones(len(losses)), least - 1))
    assert np.isfinite(best_of_all(losses, np.ones(len(losses)), least))
    assert len(start.kept) == least
    for most in range(least, len(losses) + 1):
        found = choose_few(losses, weights, most, SECONDS, [start])
        assert found is not None
        assert found.loss == pytest.approx(best_of_all(losses, weights, most), abs=1e-9)
        assert found.bound <= found.loss
        assert found.proven
        assert len(found.kept) <= most
        assert set(found.of_device) == set(found.kept)
        given = losses[np.arange(len(losses)), list(found.of_device)]
        assert found.loss == pytest.approx(weights @ given)
        assert (given == losses[:, list(found.kept)].min(axis=1)).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_program_is_needed_and_agrees_with_all_choices(seed: int) -> None:
    """Losses that no relaxation closes: few are shared, so that bound and choice are apart."""
    rng = np.random.default_rng(seed)
    losses = rng.random((9, 14))
    losses -= losses.min(axis=1, keepdims=True)
    weights = np.full(9, 1 / 9)
    found = [choose_few(losses, weights, most, SECONDS) for most in (2, 3, 4)]
    for most, one in zip((2, 3, 4), found, strict=True):
        assert one is not None
        assert one.loss == pytest.approx(best_of_all(losses, weights, most), abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_without_time_the_bound_is_still_one(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(few_for_many, "LOOKED_THROUGH", 0)
    losses, weights = made(seed, devices=8, candidates=12)
    start, least = fewest(losses, SECONDS)
    assert start is not None
    for most in range(least, 6):
        found = choose_few(losses, weights, most, 0.0, [start])
        assert found is not None
        assert found.bound <= best_of_all(losses, weights, most) + 1e-9 <= found.loss + 2e-9


def test_candidates_that_are_dropped_are_no_loss() -> None:
    losses, weights = made(3, candidates=40)
    left = undominated(losses)
    assert len(left) < 40
    for place in set(range(40)) - set(left.tolist()):
        assert not np.isfinite(losses[:, place]).any() or any(
            (losses[:, other] <= losses[:, place]).all() for other in left
        )
    assert best_of_all(losses, weights, 2) == best_of_all(losses[:, left], weights, 2)


def test_devices_of_which_each_can_have_one_candidate_only_need_all() -> None:
    losses = np.where(np.eye(5, dtype=bool), 0.0, np.inf)
    start, least = fewest(losses, SECONDS)
    assert least == 5
    assert start is not None
    assert start.of_device == (0, 1, 2, 3, 4)
    assert choose_few(losses, np.full(5, 0.2), 4, SECONDS) is None


def test_exchanges_make_a_greedy_choice_no_worse() -> None:
    for seed in range(10):
        losses, weights = made(seed, devices=7, candidates=20)
        kept = greedy(losses, weights, 4)
        if serves(losses, kept):
            value, _ = exchanged(losses, weights, 4, kept)
            assert value <= weights @ losses[:, kept].min(axis=1)
            assert value >= best_of_all(losses, weights, 4) - 1e-12
