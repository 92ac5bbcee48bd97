"""Prices from measured sums: a closed form is recovered, outliers do not matter, and bounds hold as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from cost_models.fit_design import choose_rows
from cost_models.latency_bound import upper_quantile
from cost_models.robust_prices import Sums, fit_prices, non_negative, validated
from supernet.arrays import Floats
from supernet.families.catalog import open_supernet

PRICES = np.array([2.0, 0.5, 3.0, 0.0])


def made_up(count: int, seed: int, paths: Floats | None = None) -> tuple[Floats, Sums]:
    amounts = np.random.default_rng(seed).uniform(0.2, 3, (count, 4))
    amounts[:, 0] = 1
    directions = np.eye(4) if paths is None else paths
    return amounts, Sums(amounts, amounts @ PRICES, directions, 4, ("one", "a", "b", "c"))


def test_known_prices_are_recovered_and_none_is_negative() -> None:
    _, sums = made_up(20, 0)
    found = fit_prices(sums, 3.0).prices
    assert found == pytest.approx(PRICES, abs=0.02)
    assert found.min() >= 0


def test_outliers_do_not_move_them_where_least_squares_is_moved() -> None:
    amounts, sums = made_up(30, 1)
    sums.times[::6] *= 1.5  # five of thirty were slowed down by something else
    new = np.random.default_rng(2).uniform(0.2, 3, (100, 4))
    new[:, 0] = 1
    robust = new @ fit_prices(sums, 3.0).prices / (new @ PRICES) - 1
    plain = new @ non_negative(amounts / sums.times[:, None], np.ones(30)) / (new @ PRICES) - 1
    assert np.abs(robust).max() < 0.02
    assert np.median(np.abs(plain)) > 0.03


def test_the_prior_stands_where_nothing_was_measured() -> None:
    """A feature that no subnet has costs what its kind of amount costs."""
    amounts, sums = made_up(20, 3, np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]))
    amounts[:, 3] = 0
    sums = Sums(amounts, amounts @ PRICES, sums.paths, 3, sums.groups)
    assert fit_prices(sums, 1.0).prices[3] == pytest.approx(PRICES[2], rel=0.02)


@pytest.mark.parametrize(("count", "least"), [(10, 0.9), (30, 0.95), (100, 0.95)])
def test_a_bound_covers_what_it_says_of_simulated_noise(count: int, least: float) -> None:
    """One in ten is slowed down by a quarter, the others are normal: far from what few values look like."""

    def noise(rng: np.random.Generator, size: int) -> Floats:
        return np.asarray(rng.normal(0, 0.02, size) + 0.25 * (rng.random(size) < 0.1))

    covered = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        bound, how = upper_quantile([float(value) for value in noise(rng, count)], 0.95)
        assert how.startswith("conformal") == (count >= 30)
        covered.append(float(np.mean(noise(rng, 2000) <= bound)))
    assert np.mean(covered) >= least


def test_held_out_errors_are_of_fits_that_did_not_see_the_subnet() -> None:
    _, sums = made_up(20, 4)
    sums.times[7] *= 2
    found = validated(sums)
    assert found.folds == 20
    assert found.log_ratios[7] == pytest.approx(np.log(2), abs=0.05)
    assert np.abs(np.delete(found.log_ratios, 7)).max() < 0.05


def test_chosen_rows_are_distinct_and_tell_more_than_random_ones() -> None:
    net = open_supernet("fmnist_mbv3")
    codes = net.space.sample(300, np.random.default_rng(0))
    rows = choose_rows(net, codes, 20, np.random.default_rng(1))
    assert len(set(rows)) == 20
    resolution = net.space.index["resolution"]
    assert set(codes[rows, resolution]) == set(codes[:, resolution])
    assert rows == choose_rows(net, codes, 20, np.random.default_rng(1))
