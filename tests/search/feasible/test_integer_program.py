"""Integer programs over spaces, against trying every arch."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from cost_models.protocol import Target
from cost_models.registry import build
from cost_models.tables import Factor, TableCost
from search.feasible import integer_program as programs
from search.feasible.integer_program import Line, Program, Total, above, relaxations, solve_program
from supernet.archs.space import Codes, Dimension, SearchSpace
from supernet.arrays import Floats
from supernet.families.catalog import Supernet, open_supernet

SPACE = SearchSpace(
    "small",
    (
        Dimension("size", (1, 2, 3)),
        Dimension("depth", (1, 2, 3)),
        *(Dimension(f"kernel.{i}", (3, 5, 7), ("depth", i)) for i in (1, 2, 3)),
        Dimension("width", (1, 2)),
    ),
)
ALL: Codes = np.unique(
    SPACE.canonical(np.array(list(itertools.product(*(range(n) for n in SPACE.sizes))), dtype=np.int16)),
    axis=0,
)


def factors(rng: np.random.Generator, scopes: list[tuple[int, ...]], low: float = 0.0) -> tuple[Factor, ...]:
    return tuple(Factor(scope, rng.uniform(low, 1, [int(SPACE.sizes[c]) for c in scope])) for scope in scopes)


def total(given: tuple[Factor, ...], codes: Codes = ALL) -> Floats:
    return np.sum([f.look_up(codes) for f in given], axis=0)


SCOPES = {
    "a chain": [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)],
    "all share one": [(0, 1, 2), (0, 3), (0, 4), (0, 5), (0, 2, 3), (0, 4, 5), (0, 1)],
    "a ring": [(0, 2), (2, 3), (3, 4), (4, 5), (0, 5)],
    "apart": [(0,), (1, 2, 3, 4), (5,)],
    "all at once": [(0, 1, 2, 3, 4, 5)],
}


@pytest.mark.parametrize("scopes", SCOPES.values(), ids=list(SCOPES))
@pytest.mark.parametrize("seed", range(6))
def test_the_optimum_is_that_of_all_archs(scopes: list[tuple[int, ...]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    gain, size, other = (factors(rng, scopes) for _ in range(3))
    limits = [float(np.quantile(total(given), q)) for given, q in ((size, 0.2), (other, 0.5))]
    [forbidden] = factors(rng, scopes[-1:])
    forbidden = Factor(forbidden.columns, (forbidden.table < 0.2).astype(float))
    inside = (total(size) <= limits[0]) & (total(other) <= limits[1]) & (forbidden.look_up(ALL) == 0)
    asked = Program(
        SPACE, gain, (Total(size, limits[0]), Total(other, limits[1])),
        ((Line(0, 0.5, 0.3), Line(0, -0.5, 2.0)),), (forbidden,),
    )  # fmt: skip
    values = total(gain) + np.minimum(0.5 * total(size) + 0.3, -0.5 * total(size) + 2)
    best = values[inside].max()
    found = solve_program(asked, 600)
    assert found is not None
    assert found.proven
    assert found.bound == pytest.approx(best, abs=5e-6)
    assert found.codes is not None
    [row] = np.flatnonzero((found.codes == ALL).all(axis=1))
    assert inside[row]
    assert values[row] == pytest.approx(best, abs=5e-6)
    worse = solve_program(asked, 20, known=best - 0.05)
    assert worse is not None
    assert worse.bound == pytest.approx(best, abs=5e-6)
    nothing_better = solve_program(asked, 20, known=best + 0.5)
    assert nothing_better is not None
    assert (nothing_better.bound, nothing_better.codes) == (best + 0.5, None)


@pytest.mark.parametrize("scopes", SCOPES.values(), ids=list(SCOPES))
def test_a_bound_holds_however_little_time_there_is(scopes: list[tuple[int, ...]]) -> None:
    rng = np.random.default_rng(7)
    gain, size = factors(rng, scopes), factors(rng, scopes)
    limit = float(np.quantile(total(size), 0.1))
    found = solve_program(Program(SPACE, gain, (Total(size, limit),)), seconds=0.0)
    assert found is not None
    best = total(gain)[total(size) <= limit].max()
    assert best <= found.bound < np.inf


def test_where_nothing_is_within_no_arch_is_given() -> None:
    rng = np.random.default_rng(0)
    gain, size = factors(rng, SCOPES["a chain"]), factors(rng, SCOPES["a chain"], low=0.5)
    found = solve_program(Program(SPACE, gain, (Total(size, float(total(size).min()) * 0.99),)), 600)
    assert found is not None
    assert (found.bound, found.codes, found.proven) == (-np.inf, None, True)
    never = Factor((1,), np.ones(3))
    found = solve_program(Program(SPACE, gain, forbidden=(never,)), 600)
    assert found is not None
    assert (found.bound, found.codes) == (-np.inf, None)


def test_what_is_allowed_is_found_where_the_smallest_and_the_largest_are_not() -> None:
    rng = np.random.default_rng(1)
    scopes = SCOPES["a chain"]
    gain = factors(rng, scopes)
    never = tuple(Factor((i, i + 1), 1 - np.eye(3)[::-1]) for i in (0, 1))
    inside = (total(never) == 0) & (ALL[:, 0] != 1)
    never += (Factor((0,), np.array([0.0, 1.0, 0.0])),)
    asked = Program(SPACE, gain, forbidden=never)
    [relaxed] = relaxations(asked, time.monotonic() + 600)
    assert total(gain)[inside].max() - 5e-6 <= relaxed.bound < np.inf
    found = solve_program(asked, 600)
    assert found is not None
    assert found.bound == pytest.approx(total(gain)[inside].max(), abs=5e-6)


def test_a_space_of_one_arch_has_its_value() -> None:
    only = SPACE.restricted({d.name: d.choices[-1:] for d in SPACE.dimensions})
    found = solve_program(Program(only, (Factor((0, 1), np.array([[3.0]])),)), 600)
    assert found is not None
    assert found.bound == pytest.approx(3, abs=5e-6)
    assert found.codes is not None
    assert not found.codes.any()


def test_too_many_combinations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "MOST_COMBINATIONS", 100)
    assert (
        solve_program(Program(SPACE, factors(np.random.default_rng(0), SCOPES["all at once"])), 600) is None
    )


@pytest.mark.parametrize("name", ["fmnist_mbv3", "ofa_resnet50"])
def test_the_least_cost_of_a_supernet_is_that_of_bucket_elimination(name: str) -> None:
    supernet: Supernet = open_supernet(name)
    macs = build("macs", Target(supernet)).model
    assert isinstance(macs, TableCost)
    least = macs.reach().minimum
    given = tuple(Factor(f.columns, -f.table / least) for f in macs.factors)
    found = solve_program(Program(supernet.space, given), 600)
    assert found is not None
    assert found.bound == pytest.approx(-1, abs=5e-6)
    assert found.codes is not None
    assert macs.batch(found.codes)[0] == pytest.approx(least, rel=1e-5)


CURVES = {
    "concave": lambda x: np.log(x),
    "convex": lambda x: 1 / x,
    "first concave, then convex": lambda x: np.sin(2 * x),
    "a parabola": lambda x: -3 * (x - 1) ** 2,
    "flat": lambda x: 0 * x + 2,
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=list(CURVES))
def test_a_curve_is_below_its_lines_and_touches_them(curve: programs.Callable[[Floats], Floats]) -> None:
    x = np.linspace(0.5, 3, 100_001)
    roof = np.min([line.slope * x + line.level for line in above(curve, 0.5, 3, 0)], axis=0)
    off = roof - curve(x)
    assert off.min() >= 0
    assert off.min() <= 1e-3
    assert off[[0, -1]].max() <= 1e-2
    [line] = above(curve, 2.0, 2.0, 0)
    assert line.slope == 0
    assert line.level == pytest.approx(float(curve(np.array([2.0]))[0]), abs=1e-5)
