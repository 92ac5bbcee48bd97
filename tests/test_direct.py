"""Search on a predictor against a listing of the whole space, and within its bounds on larger ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cost_models.protocol import Target
from cost_models.registry import build
from search.direct import Effort, search_directly
from search.objectives import parse_objectives
from search.problem import Floats, Problem
from search.region import keys
from supernet.catalog import open_supernet
from supernet.space import Codes
from tests import tiny


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
    front = {
        key
        for key, a, m in zip(keys(codes), accuracy, macs, strict=True)
        if not ((macs <= m) & (accuracy >= a) & ((macs < m) | (accuracy > a))).any()
    }
    found = search_directly(free, rugged, len(front), seed=0)
    assert set(keys(found.codes)) == front


def test_the_same_seed_finds_the_same() -> None:
    supernet = open_supernet("ofa_mbv3_w1.0").restricted({"resolution": (160, 192, 224)})
    costs = {"macs": build("macs", Target(supernet))}
    bounded = Problem(supernet.space, parse_objectives(("top1",)), costs, {"macs": 2.2e8})
    small = Effort(start=64, generations=5, children=64, elites=16, climbs=2)
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
