"""Racing against exact enumeration, counting, SciPy and simulation."""

from __future__ import annotations

import itertools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from scipy.stats import binomtest, hypergeom, multivariate_hypergeom

from search.runs.racing import (
    LEVEL,
    Race,
    Raced,
    Rival,
    at_least,
    dominated,
    images_saved,
    most_marked,
    packed,
    parts,
    unpacked,
)

# -- the test ----------------------------------------------------------------------


@pytest.mark.parametrize(("drawn", "marked", "total"), [(0, 5, 9), (4, 5, 9), (9, 5, 9), (120, 300, 5000)])
def test_the_tail_is_the_share_of_draws_counted(drawn: int, marked: int, total: int) -> None:
    for least in range(drawn + 2):
        ways = sum(comb(marked, k) * comb(total - marked, drawn - k) for k in range(least, drawn + 1))
        expected = float(Fraction(ways, comb(total, drawn)))
        assert at_least(least, drawn, marked, total) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(
    ("total", "drawn", "marked"), [(20, 5, 2), (50, 25, 10), (5000, 1250, 90), (8, 2, 0)]
)
def test_the_bound_is_the_greatest_number_that_is_not_unlikely(total: int, drawn: int, marked: int) -> None:
    level = 0.01
    possible = range(marked, marked + total - drawn + 1)
    likely = [count for count in possible if hypergeom.cdf(marked, total, count, drawn) > level]
    assert most_marked(total, drawn, marked, level) == max(likely)


@pytest.mark.parametrize(("wins", "losses"), [(0, 6), (10, 30), (40, 55), (5, 6), (7, 7), (9, 3)])
def test_in_a_huge_split_it_is_the_exact_sign_test(wins: int, losses: int) -> None:
    expected = binomtest(losses, wins + losses, alternative="greater").pvalue
    found = dominated(wins, losses, 500, 1_000_000, 1e-6)
    if losses > wins:
        assert found == pytest.approx(expected, rel=0.02)
    assert dominated(wins, losses, 500, 1_000, 1e-6) <= found + 1e-9


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_no_split_whatever_stops_an_equal_one_more_often_than_the_level(level: float) -> None:
    """Every table of wins and losses of a small split, and every draw of its half."""
    images, seen = 24, 12
    stops = {
        (wins, losses): dominated(wins, losses, seen, images, level) <= level
        for wins, losses in itertools.product(range(seen + 1), repeat=2)
        if wins + losses <= seen
    }
    assert any(stops.values())
    for wins, losses in itertools.product(range(images + 1), repeat=2):
        if wins + losses > images or losses > wins:
            continue
        drawn = multivariate_hypergeom(m=[wins, losses, images - wins - losses], n=seen)
        chance = sum(drawn.pmf([w, x, seen - w - x]) for (w, x), stop in stops.items() if stop)
        assert chance <= level


@pytest.mark.parametrize(("seen", "images"), [(12, 24), (13, 51), (40, 160)])
def test_the_p_value_is_that_of_the_worst_split_that_is_not_unlikely(seen: int, images: int) -> None:
    """Of every number of images on which the two may differ, at most half of them losses, by SciPy.

    A hundredth of the level is the chance that they differ on more.
    """
    level, unlikely = 0.1, 0.001
    for wins, losses in [(0, 1), (0, 5), (1, 4), (2, 9), (3, 5)]:
        n = wins + losses
        possible = range(n, n + images - seen + 1)
        most = max(count for count in possible if hypergeom.cdf(n, images, count, seen) > unlikely)
        tails = [hypergeom.sf(losses - 1, count, count // 2, n) for count in range(n, most + 2)]
        found = dominated(wins, losses, seen, images, level) - unlikely
        assert max(tails[:-1]) * (1 - 1e-9) <= found <= max(tails) * (1 + 1e-9)


# -- one race ----------------------------------------------------------------------


def hits_of_pair(
    wins: int, losses: int, images: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Hits of a candidate and its rival, which differ on so many images, in random order."""
    candidate, rival = np.ones(images, dtype=np.bool_), np.ones(images, dtype=np.bool_)
    places = rng.permutation(images)
    candidate[places[wins : wins + losses]] = False
    rival[places[:wins]] = False
    both_wrong = places[wins + losses : wins + losses + images // 10]
    candidate[both_wrong] = rival[both_wrong] = False
    return candidate, rival


def run_race(candidate: np.ndarray, rival: np.ndarray, level: float = LEVEL) -> Raced | None:
    race = Race(len(candidate), Rival("rival", float(rival.mean()), rival), level)
    looks = (race.look(part, candidate[part]) for part in race.parts)
    return next((stopped for stopped in looks if stopped is not None), None)


@pytest.mark.parametrize("images", [0, 1, 3, 8, 50, 4999])
def test_parts_make_up_the_split(images: int) -> None:
    assert sorted(place for part in parts(images) for place in part) == list(range(images))


def test_parts_of_a_folder_have_images_of_every_class() -> None:
    labels = np.repeat(np.arange(1000), 10)
    for part in parts(len(labels)):
        counts = np.bincount(labels[part], minlength=1000) / len(part)
        assert counts.max() - counts.min() <= 1 / len(part)


def test_an_equally_accurate_candidate_is_rarely_stopped_and_a_better_one_more_rarely() -> None:
    rng = np.random.default_rng(0)
    shares = []
    for wins in (100, 115):
        stopped = [run_race(*hits_of_pair(wins, 100, 3000, rng)) is not None for _ in range(2000)]
        shares.append(np.mean(stopped))
    assert 0.1 / 4 < shares[0] <= 0.1, "one in ten at most, by default"
    assert shares[1] < shares[0] / 2


def test_a_much_worse_candidate_is_stopped_at_the_first_look() -> None:
    stopped = run_race(*hits_of_pair(20, 200, 3000, np.random.default_rng(1)))
    assert stopped is not None
    assert (stopped.images, stopped.rival) == (750, "rival")


def test_the_estimate_is_the_rivals_accuracy_and_the_mean_difference() -> None:
    """Before the choice to stop it is unbiased: here everything is stopped at the first look."""
    rng = np.random.default_rng(2)
    estimates = []
    for _ in range(400):
        candidate, rival = hits_of_pair(0, 300, 2000, rng)
        stopped = run_race(candidate, rival)
        assert stopped is not None
        seen = np.arange(0, 2000, 4)
        assert stopped.estimate == pytest.approx(rival.mean() + candidate[seen].mean() - rival[seen].mean())
        estimates.append(stopped.estimate - candidate.mean())
    assert abs(np.mean(estimates)) < 4 * np.std(estimates) / np.sqrt(len(estimates))


def test_after_the_last_part_nothing_is_stopped() -> None:
    """Who is as good as its rival until then is measured, however bad the last part is."""
    candidate, rival = np.ones(400, dtype=np.bool_), np.ones(400, dtype=np.bool_)
    candidate[1::2] = False
    assert run_race(candidate, rival) is None


def test_without_a_rival_all_images_are_one_part() -> None:
    race = Race(10, None)
    assert race.parts == (range(10),)
    assert race.look(range(10), np.zeros(10, dtype=np.bool_)) is None


@pytest.mark.parametrize("images", [1, 8, 13, 5000])
def test_packed_hits_come_back(images: int) -> None:
    hits = np.random.default_rng(images).random(images) < 0.7
    assert np.array_equal(unpacked(packed(hits), images), hits)


def test_the_saving_is_the_share_of_images() -> None:
    stopped = {"a": Raced(250, 1000, 0.5, "r"), "b": Raced(500, 1000, 0.5, "r")}
    assert images_saved(stopped, 2, 1000) == pytest.approx((750 + 500) / 4000)
