"""Several budgets at once, against brute force, and what is said where they cannot be kept."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linprog

from cost_models.protocol import CostModel
from cost_models.registry import Cost
from cost_models.tables import Combine, Factor, TableCost
from search.feasible.budget_messages import check_feasible, nothing_found
from search.feasible.certificate import CUTS, certify, nearest
from search.feasible.neighbours import descend, neighbours
from search.feasible.region import Region
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from supernet.archs.arch import Arch
from supernet.archs.space import Codes, Dimension, SearchSpace
from supernet.arrays import Floats
from supernet.errors import InputError

SPACE = SearchSpace("small", tuple(Dimension(name, (1, 2, 3)) for name in "abcde"))
ALL: Codes = np.array(list(itertools.product(range(3), repeat=5)), dtype=np.int16)


def table(name: str, tables: Floats, combine: Combine = "sum") -> Cost:
    """A cost with one table for each two neighbouring dimensions, ``tables`` of shape (4, 3, 3)."""
    return Cost(
        TableCost(name, SPACE, tuple(Factor((i, i + 1), t) for i, t in enumerate(tables)), combine), SPACE
    )


def problem(costs: list[Cost], budgets: list[float]) -> Problem:
    named = {cost.name: cost for cost in costs}
    return Problem(SPACE, parse_objectives(["top1"]), named, dict(zip(named, budgets, strict=True)))


def rising_and_falling(share: float) -> Problem:
    """What is cheap in one is dear in the other; at a share below one half of the reach no arch keeps both."""
    rising = np.broadcast_to(np.add.outer([0.0, 1, 2], [0.0, 1, 2]), (4, 3, 3))
    costs = [table("rise_ms", 1 + rising), table("fall_ms", 5 - rising)]
    return problem(costs, [4 + 16 * share, 4 + 16 * share])


def test_excess_is_relative_to_each_budget() -> None:
    """Rising costs of 4 to 20 and falling ones of 4 to 20 are 24 together, here with budgets of 10 and 16."""
    asked = problem(list(rising_and_falling(0).costs.values()), [10.0, 16.0])
    found = Region(asked).excess(ALL)
    rises = np.array([4 + 2 * sum(row) - row[0] - row[-1] for row in ALL.tolist()], dtype=float)
    assert found == pytest.approx([max(r / 10 - 1, 0) + max((24 - r) / 16 - 1, 0) for r in rises])
    assert (found == 0).sum() == ((rises <= 10) & (rises >= 8)).sum() > 0


@pytest.mark.parametrize("seed", range(60))
def test_the_bound_holds_for_every_arch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    combines: list[Combine] = ["sum", "sum", "max" if seed % 2 else "sum"]
    costs = [table(f"c{i}_ms", rng.random((4, 3, 3)) ** 2, c) for i, c in enumerate(combines)]
    spans = [np.quantile(cost.batch(ALL), rng.uniform(0.02, 0.2)) for cost in costs]
    asked = problem(costs, [float(s) for s in spans])
    worst = (asked.totals(ALL) / asked.limits).max(axis=1).min()
    found = certify(asked)
    assert len(found.visited) <= CUTS
    if found.infeasible:
        assert worst > 1
        assert seed % 2 or found.bound <= worst * (1 + 1e-12)
    elif (
        worst > 1
    ):  # not proven: then some mixture of archs keeps every budget, as linear programming over all of them says
        allowed = asked.totals(ALL)[:, 2] <= asked.limits[2] if seed % 2 else np.ones(len(ALL), dtype=bool)
        ratios = (asked.totals(ALL) / asked.limits)[allowed][:, : 2 if seed % 2 else 3]
        mixture = linprog(
            np.zeros(len(ratios)), A_ub=ratios.T, b_ub=np.full(ratios.shape[1], 1 + 1e-6),
            A_eq=np.ones((1, len(ratios))), b_eq=[1.0],
        )  # fmt: skip
        assert mixture.success


@pytest.mark.parametrize("limit", [0.2, 0.5, 0.8])
def test_one_sum_and_largest_values_are_decided_exactly(limit: float) -> None:
    rng = np.random.default_rng(5)
    costs = [table("c_ms", rng.random((4, 3, 3))), table("peak_bytes", rng.random((4, 3, 3)), "max")]
    peaks = costs[1].batch(ALL)
    peak = float(np.quantile(peaks, limit))
    least = float(costs[0].batch(ALL)[peaks <= peak].min())
    assert not certify(problem(costs, [least, peak])).infeasible
    assert certify(problem(costs, [least * 0.999, peak])).infeasible


def test_conflicting_budgets_are_refused_and_the_remedy_works() -> None:
    asked = rising_and_falling(0.3)
    with pytest.raises(InputError) as refused:
        check_feasible(asked, "phone")
    message = str(refused.value)
    assert message.startswith(
        "budgets rise_ms <= 8.8 and fall_ms <= 8.8: no subnet of small keeps all of them on phone, though each "
        "can be kept alone. Every subnet is at least 36 % over one of them. The nearest subnet is arch "
    )
    assert ". rise_ms and fall_ms bind. This would do: " in message
    raised = dict(re.findall(r"--budget (\w+)=(\S+)", message))
    budgets = {**asked.budgets, **{name: float(value) for name, value in raised.items()}}
    assert check_feasible(Problem(SPACE, asked.objectives, asked.costs, budgets), "phone") is not None


def test_an_arch_that_descent_misses_is_found() -> None:
    missed = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        costs = [table(f"c{i}_ms", rng.random((4, 3, 3))) for i in range(2)]
        totals = np.stack([cost.batch(ALL) for cost in costs], axis=1)
        asked = problem(costs, totals[totals.sum(axis=1).argmin()].tolist())  # the costs of one arch
        assert check_feasible(asked, "") is not None
        region = Region(asked)
        ends = SPACE.encode([SPACE.smallest(), *(asked.reach[name].smallest for name in asked.budgets)])
        missed += descend(ends, region.excess, lambda here: neighbours(SPACE, here), 0.0)[1] > 0
    assert missed >= 5, "descent alone would do, and this test shows nothing"


def either_or() -> Problem:
    """Two archs that are each a little over one budget: every mean of them is within."""
    tables = np.zeros((2, 4, 3, 3))
    tables[:, 0] = 2.0
    tables[0, 0, :, 0], tables[1, 0, :, 0] = 0.5, 1.1
    tables[0, 0, :, 1], tables[1, 0, :, 1] = 1.1, 0.5
    return problem([table("a_ms", tables[0]), table("b_ms", tables[1])], [1.0, 1.0])


def test_what_no_mean_proves_an_integer_program_does() -> None:
    assert not certify(either_or()).infeasible
    with pytest.raises(InputError) as refused:
        check_feasible(either_or(), "")
    message = str(refused.value)
    assert (
        "no subnet of small keeps all of them, though each can be kept alone. Every subnet is at least 10 %"
        in message
    )
    assert re.search(r"The budget that binds is ([ab]_ms)\. This would do: --budget \1=1.1$", message)


def test_neither_found_nor_proven_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.feasible.certificate.NEAREST_SECONDS", -1.0)  # no time for an integer program
    asked = either_or()
    assert check_feasible(asked, "") is None
    message = str(nothing_found(asked, Path("runs/x"), 2000))
    assert message.startswith(
        "runs/x: no subnet within budgets a_ms <= 1 and b_ms <= 1 was found in 2000 proposals, and it is not "
        "proven that there is none. The nearest found is arch "
    )
    assert "10 % over in sum. The hardest budget is " in message
    assert re.search(r"This would do: --budget [ab]_ms=1.1$", message)


@pytest.mark.parametrize("seed", range(60))
def test_joint_budgets_are_decided_as_by_trying_every_arch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    combines: list[Combine] = ["sum", "sum", "max" if seed % 2 else "sum"]
    costs = [table(f"c{i}_ms", rng.random((4, 3, 3)) ** 2, c) for i, c in enumerate(combines)]
    totals = np.stack([cost.batch(ALL) for cost in costs], axis=1)
    asked = problem(costs, [float(np.quantile(totals[:, i], rng.uniform(0.02, 0.3))) for i in range(3)])
    worst = (totals / asked.limits).max(axis=1).min()
    found = nearest(asked, certify(asked).visited)
    assert found.infeasible == (worst > 1)
    assert found.exact
    assert found.bound == pytest.approx(max(worst, 1), abs=3e-6)
    assert max((asked.totals(found.codes) / asked.limits)[0].max(), 1) == pytest.approx(
        max(worst, 1), abs=3e-6
    )
    if worst > 1:
        with pytest.raises(InputError, match=r"no subnet of small (keeps all of them|reaches it)"):
            check_feasible(asked, "")
    else:
        witness = check_feasible(asked, "")
        assert witness is not None
        assert asked.within(SPACE.encode([witness]))[0]


def test_nothing_measured_yet_is_not_called_infeasible() -> None:
    asked = rising_and_falling(0.8)
    assert "no measured candidate yet" in str(nothing_found(asked, Path("x"), 0))
    assert "though there are subnets within" in str(nothing_found(asked, Path("x"), 7))


class Valley:
    """A black box whose least value, 1, lies at an arch that is no corner and not in a sample."""

    name = "valley_ms"
    space = SearchSpace("wide", tuple(Dimension(f"d{i}", tuple(range(9))) for i in range(9)))

    def __call__(self, arch: Arch) -> float:
        return 1.0 + sum(abs(value - 5) for value in arch.values.values())


def valley(budget: float) -> Problem:
    model: CostModel = Valley()
    cost = Cost(model, Valley.space)
    return Problem(Valley.space, parse_objectives(["top1"]), {cost.name: cost}, {cost.name: budget})


def test_a_black_box_is_descended_before_it_is_refused() -> None:
    assert valley(1.5).reach["valley_ms"].minimum > 1.5
    witness = check_feasible(valley(1.5), "")
    assert witness is not None
    assert Valley()(witness) == 1.0
    with pytest.raises(
        InputError,
        match=r"no subnet of wide was found that reaches it; the smallest of a sample of 2,000, improved choice "
        r"by choice, is 1 .*Raise the budget \(--budget valley_ms=\.\.\.\) to at least 1$",
    ):
        check_feasible(valley(0.5), "")
