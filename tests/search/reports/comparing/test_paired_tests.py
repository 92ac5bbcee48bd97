"""Differences on the same images against maximised likelihoods, published figures, other tests and simulated truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm, ttest_ind

from benchmarks.significance import REPEATED, SIMPLE, World, new_world, rates
from search.reports.comparing.paired_tests import (
    Difference,
    holm,
    images_needed,
    paired_difference,
    runs_difference,
    tango,
    tango_score,
)


def test_the_score_interval_is_the_published_one() -> None:
    """Bentur et al. (2009), as Fagerland, Lydersen and Laake (2014) compute it: 7 and 1 of 21 pairs differ."""
    low, high = tango(7, 1, 21)
    assert (round(low, 3), round(high, 3)) == (-0.517, -0.026)


@pytest.mark.parametrize(
    ("only_base", "only_new", "images"), [(7, 1, 21), (20, 40, 160), (3, 0, 50), (90, 130, 5_000)]
)
@pytest.mark.parametrize("difference", [-0.3, -0.01, 0.0, 0.02, 0.4])
def test_the_score_takes_the_most_likely_share(
    only_base: int, only_new: int, images: int, difference: float
) -> None:
    """Of right only by the base, under a difference: found by a search for the greatest likelihood."""

    def loss(q: float) -> float:
        cells = (only_base, only_new, images - only_base - only_new)
        shares = (q, q + difference, 1 - 2 * q - difference)
        return -sum(count * math.log(share) for count, share in zip(cells, shares, strict=True) if count)

    least, most = max(0.0, -difference), (1 - difference) / 2
    q = minimize_scalar(
        loss, bounds=(least + 1e-12, most - 1e-12), method="bounded", options={"xatol": 1e-12}
    ).x
    deviation = math.sqrt((2 * q + difference - difference**2) / images)
    expected = ((only_new - only_base) / images - difference) / deviation
    assert tango_score(difference, only_base, only_new, images) == pytest.approx(expected, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(("only_base", "only_new", "images"), [(0, 0, 50), (0, 50, 50), (5, 0, 5), (1, 2, 3)])
def test_an_interval_stays_within_what_can_be_and_turns_with_its_sides(
    only_base: int, only_new: int, images: int
) -> None:
    low, high = tango(only_base, only_new, images)
    assert -1 <= low <= (only_new - only_base) / images <= high <= 1
    assert tango(only_new, only_base, images) == pytest.approx((-high, -low))


def test_two_subnets_have_the_exact_test() -> None:
    base = np.arange(200) % 10 != 0
    new = base.copy()
    new[:3], new[10] = False, True
    found = paired_difference(base, new)
    assert (found.images, found.differing) == (200, 3)
    assert found.value == pytest.approx((1 - 2) / 200)
    assert found.p_value == binomtest(1, 3).pvalue


def test_holm_is_his() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_bootstrap_of_many_images_is_the_normal_interval() -> None:
    rng = np.random.default_rng(0)
    base, new = rng.normal(0, 1, (1, 3_000)), rng.normal(0.03, 1, (1, 3_000))
    found = runs_difference(base, new, rng)
    each = (new - base)[0]
    half = norm.ppf(0.975) * each.std() / math.sqrt(len(each))
    assert found.value == pytest.approx(each.mean())
    assert (found.low, found.high) == pytest.approx((each.mean() - half, each.mean() + half), abs=0.05 * half)
    assert found.p_value == pytest.approx(
        2 * norm.sf(abs(each.mean()) / each.std() * math.sqrt(len(each))), abs=0.05
    )


def test_seeds_alone_have_students_test() -> None:
    """Runs that differ by a constant on every image: nothing is of the images."""
    totals = np.array([0.51, 0.53, 0.52, 0.55]), np.array([0.56, 0.58, 0.55])
    found = runs_difference(
        *(np.repeat(some[:, None], 100, axis=1) for some in totals), np.random.default_rng(0)
    )
    student = ttest_ind(totals[1], totals[0])
    interval = student.confidence_interval(0.95)
    assert found.runs == (4, 3)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=0.006)
    assert found.p_value == pytest.approx(student.pvalue, abs=0.01)
    more = images_needed(found, 1)
    assert more is not None
    assert more.images is not None
    assert more.images < 10, "the two that are added differ as well"
    assert more.runs is not None


@pytest.mark.parametrize("runs", [(1, 1), (2, 1), (3, 3)])
def test_one_image_tells_nothing_apart(runs: tuple[int, int]) -> None:
    found = runs_difference(np.ones((runs[0], 1)), np.zeros((runs[1], 1)), np.random.default_rng(0), 400)
    assert (found.value, found.images, found.runs) == (-1, 1, runs)
    assert found.low <= -1 <= found.high
    assert found.p_value > 0.05 or runs == (3, 3)


def test_what_images_make_of_each_run_counts_once() -> None:
    """Runs without a spread of their own: the variance is that of so many independent images."""
    rng = np.random.default_rng(0)
    base, new = rng.normal(0, 1, (4, 1_000)), rng.normal(0, 1, (4, 1_000))
    found = [
        runs_difference(*rng.permutation(np.concatenate([base, new])).reshape(2, 4, -1), rng, 20)
        for _ in range(40)
    ]
    variance = np.mean([one.of_images + one.of_runs for one in found])
    assert variance == pytest.approx(2 / 4 / 1_000, rel=0.25)


def test_the_images_that_are_needed_grow_as_the_difference_shrinks() -> None:
    def images(value: float, comparisons: int = 1) -> int:
        more = images_needed(Difference(value, 0, 0, 1, 1_000, 50, 0.05 / 1_000), comparisons)
        assert more is not None
        assert more.images is not None
        return more.images

    z = norm.ppf(0.975) + norm.ppf(0.8)
    assert images(0.01) == math.ceil(0.05 * (z / 0.01) ** 2)
    assert images(0.005) == pytest.approx(4 * images(0.01), abs=4)
    assert images(0.01, comparisons=4) > images(0.01)
    assert images_needed(Difference(0.0, 0, 0, 1, 1_000, 50, 0.1), 1) is None


@pytest.fixture(scope="module")
def world() -> World:
    return new_world(0.2, images=20_000)


@pytest.mark.parametrize("name", [*SIMPLE, "fronts of 3 and 3 seeds"])
def test_intervals_hold_the_truth_and_what_is_equal_is_rarely_told_apart(name: str, world: World) -> None:
    """As benchmarks/significance.py, which does it many more times; 100 times are within 7 points of the truth."""
    simulate = (SIMPLE | REPEATED)[name]
    held, told_apart = rates(simulate, world, 1_000, True, 100, 0)
    assert 0.89 <= held <= 1
    assert told_apart <= 0.1
