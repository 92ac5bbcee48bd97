"""Annealing against a listing of a whole space, with an accuracy whose slopes are exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cost_models.protocol import Target
from cost_models.registry import build
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.annealing import Chains, Cooling, anneal, chances, changes_drawn
from search.proposing.changes import SingleChanges
from search.proposing.predictor_search import Effort, search_directly
from search.proposing.waves import Tides, mixed
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats, SlopesOf
from supernet.families.catalog import open_supernet
from tests.search.proposing.test_predictor_search import every_code, problem


def one_hot(space: SearchSpace, codes: Codes) -> Floats:
    """Shape (n, dimensions, most choices): 1 for each choice that counts."""
    choices = np.arange(max(space.sizes))
    return (codes[:, :, None] == choices) * space.active(codes)[:, :, None].astype(float)


def pairwise(space: SearchSpace, seed: int) -> Callable[[Codes], tuple[Floats, SlopesOf]]:
    """An accuracy in which every two choices help or hinder each other: x'Ax/2, whose derivative is Ax."""
    rng = np.random.default_rng(seed)
    size = len(space.sizes) * int(max(space.sizes))
    weights = rng.normal(size=(size, size)) / 100
    weights += weights.T

    def slope(codes: Codes) -> tuple[Floats, SlopesOf]:
        inputs = one_hot(space, codes)
        x = inputs.reshape(len(codes), -1)
        there = np.arange(inputs.shape[2]) < space.sizes[:, None]
        slopes = (x @ weights).reshape(inputs.shape) * there
        return np.einsum("ij,jk,ik->i", x, weights, x) / 2, slopes.astype(np.float32).__getitem__

    return slope


def bounded(folder: Path, share: float) -> Problem:
    reach = problem(folder, ("top1", "macs"), {}).reach["macs"]
    return problem(folder, ("top1",), {"macs": reach.minimum + share * (reach.maximum - reach.minimum)})


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_within_a_budget_is_that_of_the_whole_list(tmp_path: Path, share: float, seed: int) -> None:
    within = bounded(tmp_path, share)
    slope = pairwise(within.space, seed)
    codes = every_code(within.space)
    codes = codes[within.within(codes)]
    good = slope(codes)[0]
    found = search_directly(within, lambda some: slope(some)[0], 1, seed, slope=slope)
    assert np.isclose(slope(found.codes)[0][0], good.max())
    assert within.within(found.codes).all()
    assert found.predictions <= len(codes)


def test_one_arch_in_a_space_that_cannot_be_listed_is_found() -> None:
    """It uses up the budget, so that whatever is dearer in it must be paid for elsewhere."""
    supernet = open_supernet("ofa_mbv3_w1.0")
    space, macs = supernet.space, build("macs", Target(supernet))
    target = space.sample(1, np.random.default_rng(5))
    within = Problem(
        space, parse_objectives(("top1",)), {"macs": macs}, {"macs": float(macs.batch(target)[0])}
    )
    wrong = -1.0 * (np.arange(max(space.sizes)) != target[0][:, None]).astype(np.float32)

    def slope(codes: Codes) -> tuple[Floats, SlopesOf]:
        return -1.0 * (codes != target).sum(axis=1), lambda rows: np.repeat(wrong[None], len(rows), axis=0)

    found = search_directly(within, lambda codes: slope(codes)[0], 1, 0, slope=slope)
    assert (found.codes == target).all()
    assert found.predictions < 100_000 < np.prod(space.sizes, dtype=float)


def test_nothing_over_the_budget_is_asked_about_and_fewer_chains_go_on(tmp_path: Path) -> None:
    within = bounded(tmp_path, 0.3)
    slope = pairwise(within.space, 0)
    asked: list[Codes] = []

    def watched(codes: Codes) -> tuple[Floats, SlopesOf]:
        asked.append(codes)
        return slope(codes)

    start = np.repeat(within.space.encode([within.space.smallest()]), 8, axis=0)
    cooling = Cooling(steps=40, chains=((0.0, 8), (0.5, 4), (0.75, 2)))
    ends = list(anneal(within, watched, start, np.random.default_rng(1), cooling))
    assert [len(best) for best in ends] == [8, 4, 2]
    assert within.within(np.concatenate(asked)).all()
    for best in ends:
        good = slope(best)[0]
        assert (np.diff(good) <= 0).all(), "the best comes first"
    everything = np.concatenate(asked)
    assert np.isclose(slope(ends[-1][:1])[0][0], slope(everything)[0].max()), "the best that was met is kept"


def test_the_same_seed_anneals_alike(tmp_path: Path) -> None:
    within = bounded(tmp_path, 0.3)
    slope = pairwise(within.space, 0)
    few = Cooling(steps=30, chains=((0.0, 4), (0.5, 2)))
    small = Effort(tides=Tides(first=few, later=few, waves=2))
    predict = lambda codes: slope(codes)[0]  # noqa: E731
    first, again = (search_directly(within, predict, 5, 7, small, slope) for _ in range(2))
    assert (first.codes == again.codes).all()
    assert first.predictions == again.predictions


def chains_at(within: Problem, codes: Codes, seed: int) -> tuple[SingleChanges, Chains]:
    singles, slope = SingleChanges(within), pairwise(within.space, seed)
    good, slopes_of = slope(codes)
    gains = singles.gains(slopes_of(np.arange(len(codes))), codes)
    totals = within.totals(codes)
    return singles, Chains(
        codes, good, totals, gains, singles.costs(codes, totals), codes.copy(), good.copy()
    )


def test_steps_have_one_to_four_changes_of_different_dimensions(tmp_path: Path) -> None:
    within = bounded(tmp_path, 0.4)
    singles, chains = chains_at(within, within.space.sample(3, np.random.default_rng(1)), 0)
    cooling = Cooling(tries=2000, changes=4)
    drawn = changes_drawn(singles, chains, 0.05, np.random.default_rng(0), cooling)
    none = len(singles.choices)
    for row, gains in zip(drawn, chains.gains, strict=True):
        assert np.isfinite(np.append(gains, 0)[row]).all(), "what changes nothing is not drawn"
        several = [[place for place in step if place < none] for step in row.tolist()]
        assert {len(step) for step in several} == {1, 2, 3, 4}
        for step in several:
            dimensions = singles.dimensions[step]
            assert len(set(dimensions.tolist())) == len(step)


def test_a_change_is_drawn_as_likely_as_its_weight(tmp_path: Path) -> None:
    within = bounded(tmp_path, 0.4)
    singles, chains = chains_at(within, within.space.sample(2, np.random.default_rng(1)), 0)
    cooling, heat = Cooling(tries=100_000, changes=1), 0.02
    drawn = changes_drawn(singles, chains, heat, np.random.default_rng(0), cooling)
    expected = chances(chains.gains, chains.costs, heat / cooling.bias)
    expected /= expected.sum(axis=1, keepdims=True)
    for row, shares in zip(drawn, expected, strict=True):
        counts = np.bincount(row.ravel(), minlength=len(shares))
        assert np.abs(counts / 100_000 - shares).max() < 6 * np.sqrt(0.25 / 100_000)
        assert not counts[shares == 0].any()


def test_what_is_worth_its_price_is_drawn_as_often_whatever_it_costs() -> None:
    gains = np.array([[0.02, -0.02, 0.04, -0.04, -np.inf]])
    costs = np.array([[1.0, -1.0, 2.0, -2.0, 9.0]])[:, :, None]
    assert np.allclose(chances(gains, costs, 0.01), [[1, 1, 1, 1, 0]])
    dear = chances(np.array([[0.02, -0.02, 0.02]]), np.array([[1.0, -1.0, 5.0]])[:, :, None], 0.01)
    assert dear[0, 0] > dear[0, 2]


def test_mixtures_of_stages_take_each_stage_of_one_parent() -> None:
    space = open_supernet("ofa_mbv3_w1.0").space
    parents = space.encode([space.smallest(), space.largest()])
    children = mixed(space, parents, 600, np.random.default_rng(0), staged=0.5)
    stage = np.array(
        [i if d.needs is None else space.index[d.needs[0]] for i, d in enumerate(space.dimensions)]
    )

    def torn(codes: Codes) -> Floats:
        """Choices that are of another parent than their stage's depth, or drawn anew; (n,)."""
        return np.asarray(((codes == space.sizes - 1) != (codes == space.sizes - 1)[:, stage]).sum(axis=1))

    assert np.median(torn(children[:300])) <= 1
    assert np.quantile(torn(children[300:]), 0.9) > 15, "of the others each choice is of either parent"
    assert (children >= 0).all()
    assert (children < space.sizes).all()
