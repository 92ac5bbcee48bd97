"""Search on a predictor against a listing of the whole space, and within its bounds on larger ones."""

from __future__ import annotations

from pathlib import Path

import moocore
import numpy as np
import pytest

from cost_models.protocol import Target
from cost_models.registry import build
from search.feasible.neighbours import keys, neighbours
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.acquisition import front
from search.proposing.hill_climbing import climb
from search.proposing.linear_screen import inputs_of_guess, linear_guess
from search.proposing.predictor_search import Effort, search_directly
from supernet.archs.space import Codes
from supernet.arrays import Floats
from supernet.families.catalog import open_supernet
from tests.helpers import tiny


def problem(folder: Path, objectives: tuple[str, ...], budgets: dict[str, float]) -> Problem:
    supernet = tiny.open_tiny(folder)
    names = dict.fromkeys([*budgets, *objectives[1:]])
    costs = {name: build(name, Target(supernet)) for name in names}
    return Problem(supernet.space, parse_objectives(objectives), costs, budgets)


def every_code(space) -> Codes:
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in space.sizes), indexing="ij"), axis=-1)
    return np.unique(space.canonical(grid.reshape(-1, len(space.sizes)).astype(np.int16)), axis=0)


def rugged(codes: Codes) -> Floats:
    """An accuracy with no structure but a trend: a hash of the choices on top of their sum."""
    noise = (codes.astype(np.int64) @ np.arange(11, 11 + 7 * codes.shape[1], 7) * 2654435761) % 1000
    return 0.5 + 0.01 * codes.sum(axis=1) + noise / 20_000


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_the_best_within_a_budget_are_those_of_the_whole_list(tmp_path: Path, share: float) -> None:
    free = problem(tmp_path, ("top1", "macs"), {})
    reach = free.reach["macs"]
    limit = reach.minimum + share * (reach.maximum - reach.minimum)
    bounded = problem(tmp_path, ("top1",), {"macs": limit})
    codes = every_code(bounded.space)
    inside = codes[bounded.within(codes)]
    expected = inside[np.argsort(-rugged(inside), kind="stable")][:5]
    found = search_directly(bounded, rugged, 5, seed=3)
    assert keys(found.codes[:1]) == keys(expected[:1])
    assert np.allclose(rugged(found.codes), rugged(expected))
    assert bounded.within(found.codes).all()
    assert found.predictions <= len(codes)


def test_the_front_is_that_of_the_whole_list(tmp_path: Path) -> None:
    free = problem(tmp_path, ("top1", "macs"), {})
    codes = every_code(free.space)
    accuracy, macs = rugged(codes), free.totals(codes)[:, 0]
    expected = {
        key
        for key, a, m in zip(keys(codes), accuracy, macs, strict=True)
        if not ((macs <= m) & (accuracy >= a) & ((macs < m) | (accuracy > a))).any()
    }
    found = search_directly(free, rugged, len(expected), seed=0)
    assert set(keys(found.codes)) == expected


def test_the_same_seed_finds_the_same() -> None:
    supernet = open_supernet("ofa_mbv3_w1.0").restricted({"resolution": (160, 192, 224)})
    costs = {"macs": build("macs", Target(supernet))}
    bounded = Problem(supernet.space, parse_objectives(("top1",)), costs, {"macs": 2.2e8})
    small = Effort(start=64, generations=5, children=64, elites=16, climbs=2, climbers=4)
    first, again, other = (search_directly(bounded, rugged, 8, seed, small) for seed in (1, 1, 2))
    assert (first.codes == again.codes).all()
    assert first.predictions == again.predictions
    assert not np.array_equal(first.codes, other.codes)
    assert bounded.within(first.codes).all()
    assert len(set(keys(first.codes))) == 8


def test_three_objectives_give_archs_that_do_not_dominate_each_other(tmp_path: Path) -> None:
    three = problem(tmp_path, ("top1", "macs", "params"), {})
    found = search_directly(three, rugged, 30, seed=0)
    points = np.column_stack([-rugged(found.codes), three.totals(found.codes)])
    worse = (points[:, None] >= points[None]).all(axis=2) & (points[:, None] > points[None]).any(axis=2)
    assert worse.sum() == 0


def test_a_region_of_few_archs_gives_what_there_is(tmp_path: Path) -> None:
    reach = problem(tmp_path, ("top1", "macs"), {}).reach["macs"]
    bounded = problem(tmp_path, ("top1",), {"macs": reach.minimum})
    found = search_directly(bounded, rugged, 20, seed=0)
    inside = every_code(bounded.space)
    inside = inside[bounded.within(inside)]
    assert set(keys(found.codes)) == set(keys(inside))


# -- parts ---------------------------------------------------------------------------


@pytest.mark.parametrize("costs", [0, 1, 2])
def test_front_is_moocores(costs: int) -> None:
    rng = np.random.default_rng(costs)
    for n in (1, 2, 50, 300):
        accuracy, totals = rng.integers(0, 20, n) / 20, rng.integers(0, 20, (n, costs)) / 20
        points = np.column_stack([accuracy, totals])
        found = points[front(accuracy, totals)]
        kept = moocore.is_nondominated(points, maximise=[True] + [False] * costs, keep_weakly=False)
        assert sorted(map(tuple, found)) == sorted(map(tuple, points[kept]))
        assert (np.diff(found[:, 0]) <= 0).all()
    assert len(front(np.empty(0), np.empty((0, costs)))) == 0


def test_a_climb_finds_the_swap_that_no_single_change_leads_to(tmp_path: Path) -> None:
    """Where a budget binds exactly, one choice must pay for another."""
    free = problem(tmp_path, ("top1", "macs"), {})
    codes = every_code(free.space)
    macs = free.totals(codes)[:, 0]
    good = np.random.default_rng(0).random(len(codes))
    known = dict(zip(keys(codes), good, strict=True))

    def judge(some: Codes) -> Floats:
        return np.array([known[key] for key in keys(some)])

    starts = codes[::97]
    limits = macs[::97, None]
    climbed, reached = climb(free, starts, limits, judge, steps=20)
    assert (free.totals(climbed) <= limits).all()
    assert (reached == judge(climbed)).all()
    assert (reached >= judge(starts)).all()
    for code, value, limit in zip(climbed, reached, limits, strict=True):
        near = neighbours(free.space, code[None])
        near = near[(free.totals(near) <= limit).all(axis=1)]
        assert not len(near) or judge(near).max() <= value, "a better neighbour is left"
    assert (climbed != starts).any(axis=1).mean() > 0.5


def test_a_linear_guess_of_a_linear_accuracy_is_right() -> None:
    space = open_supernet("ofa_mbv3_w1.0").space
    rng = np.random.default_rng(0)
    weights = rng.normal(size=inputs_of_guess(space, space.sample(1, rng)).shape[1])
    train, test = space.sample(3000, rng), space.sample(200, rng)
    guess = linear_guess(space, train, inputs_of_guess(space, train) @ weights)
    assert np.corrcoef(guess(test), inputs_of_guess(space, test) @ weights)[0, 1] > 0.999


def test_an_arch_is_predicted_once() -> None:
    supernet = open_supernet("ofa_mbv3_w1.0").restricted({"resolution": (192, 224)})
    costs = {"macs": build("macs", Target(supernet))}
    bounded = Problem(supernet.space, parse_objectives(("top1",)), costs, {"macs": 2.2e8})
    asked: list[bytes] = []

    def predict(codes: Codes) -> Floats:
        asked.extend(keys(codes))
        return rugged(codes)

    found = search_directly(bounded, predict, 5, 0, Effort(start=128, generations=6))
    assert len(asked) == len(set(asked)) == found.predictions


def test_where_nothing_is_within_the_budgets_nothing_is_found(tmp_path: Path) -> None:
    least = problem(tmp_path, ("top1", "macs"), {}).reach["macs"].minimum
    unreachable = problem(tmp_path, ("top1",), {"macs": 0.99 * least})
    found = search_directly(unreachable, rugged, 3, seed=0)
    assert found.codes.shape == (0, len(unreachable.space.dimensions))
    assert found.predictions == 0
