"""What single changes add, against archs that are made and judged one by one."""

from __future__ import annotations

import numpy as np
import pytest

from cost_models.protocol import Target
from cost_models.registry import build
from search.feasible.neighbours import single_changes
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.changes import SingleChanges
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats
from supernet.families.catalog import open_supernet


@pytest.fixture(params=["ofa_mbv3_w1.0", "ofa_resnet50"])
def problem(request: pytest.FixtureRequest) -> Problem:
    supernet = open_supernet(request.param)
    costs = {name: build(name, Target(supernet)) for name in ("macs", "peak_memory_bytes")}
    return Problem(supernet.space, parse_objectives(("top1",)), costs, {"macs": 1e9})


def one_by_one(space: SearchSpace, codes: Codes, values: Floats, judged: Floats) -> Floats:
    """What each change adds, (n, choices), minus infinity where nothing changes; ``judged`` has all changed archs."""
    _, owner, dimensions, choices = single_changes(space, codes)
    found = np.full((len(codes), int(space.sizes.sum())), -np.inf)
    first = np.cumsum(space.sizes) - space.sizes
    found[owner, first[dimensions] + choices] = judged - values[owner]
    return found


def test_slopes_of_a_sum_over_choices_tell_every_gain(problem: Problem) -> None:
    """Also of a depth, with which blocks come and go."""
    space, rng = problem.space, np.random.default_rng(3)
    codes = space.sample(20, rng)
    weights = rng.normal(size=(len(space.sizes), max(space.sizes))).astype(np.float32)

    def judge(some: Codes) -> Floats:
        own = np.take_along_axis(weights[None], some[:, :, None].astype(np.intp), axis=2)[:, :, 0]
        return (own * space.active(some)).sum(axis=1, dtype=np.float64)

    singles = SingleChanges(problem)
    told = singles.gains(np.repeat(weights[None], 20, axis=0), codes)
    expected = one_by_one(space, codes, judge(codes), judge(single_changes(space, codes)[0]))
    assert np.allclose(told, expected, atol=1e-4)
    assert np.allclose(singles.judged_gains(codes, judge(codes), judge), expected)


def test_costs_are_those_of_the_changed_archs(problem: Problem) -> None:
    codes = problem.space.sample(20, np.random.default_rng(4))
    singles, totals = SingleChanges(problem), problem.totals(codes)
    told = singles.costs(codes, totals)
    changed = problem.totals(single_changes(problem.space, codes)[0])
    for k in range(2):
        expected = one_by_one(problem.space, codes, totals[:, k], changed[:, k])
        there = np.isfinite(expected)
        assert np.allclose(told[:, :, k][there], expected[there], rtol=1e-9, atol=1e-3)


def test_changes_are_made_and_none_changes_nothing(problem: Problem) -> None:
    space = problem.space
    codes, singles = space.encode([space.smallest()]), SingleChanges(problem)
    none, last = len(singles.choices), space.encode([space.largest()])
    assert (singles.made(codes, np.full((1, 3), none)) == codes).all()
    every = np.cumsum(space.sizes)[None] - 1
    assert (singles.made(codes, np.append(every, [[none]], axis=1)) == last).all()
