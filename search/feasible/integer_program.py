"""Integer programs over a space: what no arch within limits can exceed.

A scope is a set of dimensions that some lookup table covers and no other does. Each combination of
a scope's choices is a variable; those of a scope sum to 1, and scopes that share a dimension must
agree on it (the local polytope of Wainwright & Jordan, 2008). Sums of tables are linear in these
variables. The linear relaxation is solved with few of them, and those that would raise it are
added (column generation; Gilmore & Gomory, 1961); what its duals say of all others leaves few that
an integer program, solved by HiGHS (Huangfu & Hall, 2018), has to choose from.

Notation, for a layout of ``s`` scopes with ``v`` variables, ``k`` totals and ``m`` roofs:

====================  ===============  =====================================================================
``x``                 (v,)             1 for the combination that an arch has in a scope, else 0; in the
                                       relaxation any share, those of a scope summing to 1
``gain``              (v,)             what a variable adds to the objective
``sums``              (k, v)           what a variable adds to each total; ``t = sums @ x``
``agreement``         (rows, v)        a row for each scope and choice of a shared dimension
``y``                 (choices,)       1 for a choice of a shared dimension; ``agreement @ x = y`` of each scope
``r``                 (m,)             roofs: ``r <= slope * t + level`` for each line of a roof
``excess``            (limited,)       by what a limited total is over, relaxation only; priced by ``PENALTY``
``prices``            by rows          duals of the equalities: of scopes, of agreement, of totals
``most``              (s,)             the greatest reduced gain of each scope's variables
``losses``            (v,)             ``most`` of its scope less a variable's reduced gain, at least 0
====================  ===============  =====================================================================

The program: maximise ``gain @ x + sum(r)`` under these rows and ``t <= most`` of each total.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cost_models.tables import Factor
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats

if TYPE_CHECKING:
    from scipy.sparse import csr_array


MOST_COMBINATIONS = 100_000
"""Of a scope: beyond, there is no bound."""
SPLIT = 4
"""A dimension that more scopes share is fixed to one choice after the other."""
ADDED = 15
"""Variables of each scope that are added at a time."""
RELAXATION_ROUNDS = 100
INTEGER = 1500
"""Variables that an integer program may have; where more are left, the relaxation's bound stays."""
PENALTY = 1e3
"""What a relaxation loses for a total at twice its limit: more than any arch could gain."""
GRID, LINES = 512, 32
"""Points at which a curve is looked at, and lines that bound it from above."""
ROUNDING = 1e-6
"""What HiGHS takes for nothing."""


@dataclass(frozen=True)
class Total:
    """A sum of lookup tables, which may be ``most`` or less; scaled to be about 1."""

    factors: tuple[Factor, ...]
    most: float = np.inf


@dataclass(frozen=True)
class Line:
    """``slope`` times the total at a place among the program's, plus ``level``."""

    total: int
    slope: float
    level: float


@dataclass(frozen=True)
class Program:
    """Maximise the sum of ``factors`` and of each roof, which is the least of its lines.

    ``forbidden`` have a table that is not zero where no arch may be.
    """

    space: SearchSpace
    factors: tuple[Factor, ...]
    totals: tuple[Total, ...] = ()
    roofs: tuple[tuple[Line, ...], ...] = ()
    forbidden: tuple[Factor, ...] = ()


@dataclass(frozen=True)
class Answer:
    """No arch has more than ``bound``, or than what was known; ``codes``, shape (1, dimensions), has nearly that.

    Without ``codes``, none was found that is better than what was known. ``proven`` where time sufficed: the bound is
    the value of an arch.
    """

    bound: float
    codes: Codes | None
    proven: bool


def solve_program(program: Program, seconds: float, known: float = -np.inf) -> Answer | None:
    """The greatest value of a program, or a bound of it where time runs out; archs below ``known`` are disregarded.

    None where a scope has too many combinations.
    """
    until = time.monotonic() + seconds
    relaxed = relaxations(program, until)
    return finish(relaxed, until, known) if relaxed is not None else None


def relaxations(program: Program, until: float) -> list[Relaxed] | None:
    """Linear relaxations of the program's parts, the one with the greatest bound first.

    ``until`` is a time on the monotonic clock, after which no step begins. None where a scope has too many combinations.
    """
    parts = split_layouts(program)
    if any(layout.largest > MOST_COMBINATIONS for layout in parts):
        return None
    return sorted((relax(layout, until) for layout in parts), key=lambda found: -found.bound)


def finish(relaxed: Sequence[Relaxed], until: float, known: float) -> Answer:
    """Integer programs over what the relaxations leave."""
    best, codes, bound, proven = known, None, known, True
    for found in relaxed:
        # they come by their bounds, so that no later part has a better arch either
        if found.bound < best + ROUNDING:
            break
        left = found.left(best)
        answer = choose(left, until)
        # both hold; the integer program's may be the greater where its time ran out
        bound = max(bound, min(answer.bound, found.bound))
        proven = proven and answer.proven
        if answer.codes is not None and (value := left.value(answer.codes)) > best:
            # within a part the fixed dimension has but one choice, whose code is 0
            best, codes = value, answer.codes + left.layout.place
    return Answer(max(bound, best), codes, proven)


def split_layouts(program: Program) -> list[Layout]:
    """The program's layout, or one for each choice of the dimension that most scopes share."""
    space = program.space
    whole = Layout(program, np.zeros(len(space.sizes), dtype=np.int16))
    shared = [sum(column in scope for scope in whole.scopes) for column in range(len(space.sizes))]
    column = int(np.argmax(shared))
    if shared[column] <= SPLIT:
        return [whole]
    # mixing its choices, as a relaxation may in every scope that has it, is what makes bounds loose; fixed, it cannot
    here = np.arange(len(space.sizes)) == column
    return [
        Layout(fixed(program, column, code), np.where(here, code, 0).astype(np.int16))
        for code in range(int(space.sizes[column]))
    ]


def fixed(program: Program, column: int, code: int) -> Program:
    """The program in a space that has but one choice of a dimension."""
    d = program.space.dimensions[column]

    # the axis stays, with one entry, so that a factor's columns are those that it had
    def cut(factors: Sequence[Factor]) -> tuple[Factor, ...]:
        return tuple(
            Factor(f.columns, np.take(f.table, [code], axis=f.columns.index(column))) if column in f.columns else f
            for f in factors
        )  # fmt: skip

    return Program(
        program.space.restricted({d.name: (d.choices[code],)}),
        cut(program.factors),
        tuple(Total(cut(total.factors), total.most) for total in program.totals),
        program.roofs,
        cut(program.forbidden),
    )


# -- variables ---------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """A program's variables: combinations of choices, scope after scope.

    ``place`` is what its codes lack of those of the space that it is a part of.
    """

    program: Program
    place: Codes

    @cached_property
    def scopes(self) -> tuple[tuple[int, ...], ...]:
        """Columns of each scope, closed; at least one scope, be it empty."""
        program = self.program
        factors = [*program.factors, *program.forbidden, *(f for t in program.totals for f in t.factors)]
        every = {closed(program.space, f.columns) for f in factors} | {()}
        kept: list[tuple[int, ...]] = []
        # the large ones first: what lies within another scope has its variables there
        for scope in sorted(every, key=lambda scope: (-len(scope), scope)):
            if not any(set(scope) <= set(other) for other in kept):
                kept.append(scope)
        return tuple(kept)

    @property
    def largest(self) -> float:
        """Combinations of the largest scope."""
        return max(
            float(np.prod(self.program.space.sizes[list(scope)], dtype=float)) for scope in self.scopes
        )

    @cached_property
    def codes(self) -> Codes:
        """Of every variable, as codes of the whole space with 0 outside its scope."""
        return np.concatenate(self._tables)

    @cached_property
    def scope_of(self) -> npt.NDArray[np.intp]:
        """The scope of every variable."""
        return np.repeat(np.arange(len(self.scopes)), [len(codes) for codes in self._tables])

    @cached_property
    def _tables(self) -> list[Codes]:
        return [
            self._allowed(combinations(self.program.space, scope), i) for i, scope in enumerate(self.scopes)
        ]

    def _allowed(self, codes: Codes, scope: int) -> Codes:
        """Those that no forbidden factor of the scope excludes."""
        mine = [f for f in self.program.forbidden if self.home(f) == scope]
        keep = np.ones(len(codes), dtype=np.bool_)
        for factor in mine:
            keep &= factor.look_up(codes) == 0
        return codes[keep]

    def home(self, factor: Factor) -> int:
        """The first scope that a factor lies in."""
        # a dimension of one choice is in no scope
        columns = {c for c in factor.columns if self.program.space.sizes[c] > 1}
        return next(i for i, scope in enumerate(self.scopes) if columns <= set(scope))

    def row(self, factors: Sequence[Factor]) -> Floats:
        """What every variable adds to a sum of factors."""
        found = np.zeros(len(self.codes))
        for factor in factors:
            mine = self.scope_of == self.home(factor)
            found[mine] += factor.look_up(self.codes[mine])
        return found

    @cached_property
    def gain(self) -> Floats:
        return self.row(self.program.factors)

    @cached_property
    def sums(self) -> Floats:
        """What every variable adds to each total, shape (totals, variables)."""
        rows = [self.row(total.factors) for total in self.program.totals]
        return np.array(rows).reshape(len(rows), len(self.codes))

    @cached_property
    def shared(self) -> tuple[tuple[int, int, int], ...]:
        """(scope, column, code) of each choice of a dimension that several scopes have."""
        sizes = self.program.space.sizes
        count = [sum(column in scope for scope in self.scopes) for column in range(len(sizes))]
        return tuple(
            (i, column, code)
            for i, scope in enumerate(self.scopes)
            for column in scope if count[column] > 1 for code in range(int(sizes[column]))
        )  # fmt: skip

    @cached_property
    def choices(self) -> tuple[tuple[int, int], ...]:
        """(column, code) of each choice that scopes must agree on."""
        return tuple(dict.fromkeys((column, code) for _, column, code in self.shared))

    @cached_property
    def agreement(self) -> csr_array:
        """One row for each of :attr:`shared`, shape (rows, variables): 1 for what has that choice in that scope."""
        from scipy.sparse import csr_array, vstack

        rows = [
            csr_array(((self.scope_of == i) & (self.codes[:, column] == code))[None].astype(float))
            for i, column, code in self.shared
        ]
        return vstack(rows, format="csr") if rows else csr_array((0, len(self.codes)))

    @cached_property
    def chosen(self) -> csr_array:
        """For the same rows, shape (rows, choices): -1 for the choice."""
        from scipy.sparse import coo_array

        place = {choice: i for i, choice in enumerate(self.choices)}
        columns = [place[column, code] for _, column, code in self.shared]
        rows = np.arange(len(columns))
        shape = (len(columns), len(self.choices))
        return coo_array((np.full(len(columns), -1.0), (rows, columns)), shape=shape).tocsr()

    def of(self, codes: Codes) -> npt.NDArray[np.intp]:
        """The variables of one arch, of each scope the one that agrees with it; fewer where it is forbidden."""
        agrees = np.ones(len(self.codes), dtype=np.bool_)
        for i, scope in enumerate(self.scopes):
            mine = self.scope_of == i
            agrees[mine] = (self.codes[mine][:, list(scope)] == codes[0, list(scope)]).all(axis=1)
        return np.flatnonzero(agrees)

    def rows_for(self, variables: npt.NDArray[np.intp], soft: bool) -> Rows:
        """The constraints on some of the variables, then choices, totals, roofs, and excesses if soft."""
        from scipy.sparse import block_array, coo_array, csr_array, eye_array

        program, n, s = self.program, len(variables), len(self.scopes)
        k, m, c = len(program.totals), len(program.roofs), len(self.choices)
        limited = [i for i, total in enumerate(program.totals) if np.isfinite(total.most)] if soft else []
        lines = [(i, line) for i, roof in enumerate(program.roofs) for line in roof]
        roofs, slopes = np.zeros((len(lines), m)), np.zeros((len(lines), k))
        for row, (i, line) in enumerate(lines):
            roofs[row, i], slopes[row, line.total] = 1.0, -line.slope
        one = coo_array((np.ones(n), (self.scope_of[variables], np.arange(n))), shape=(s, n))
        # a total is a variable of its own, t = sums @ x - excess, so that limits and lines are sparse rows in it
        excess = np.zeros((k, len(limited)))
        excess[limited, np.arange(len(limited))] = -1.0
        equal = block_array([
            [one, csr_array((s, c)), csr_array((s, k)), csr_array((s, m)), csr_array((s, len(limited)))],
            [self.agreement[:, variables], self.chosen, None, None, None],
            [csr_array(self.sums[:, variables]), None, -eye_array(k), None, csr_array(excess)],
        ], format="csr")  # fmt: skip
        below = block_array([[
            csr_array((len(lines), n + c)), csr_array(slopes), csr_array(roofs), csr_array((len(lines), len(limited))),
        ]], format="csr")  # fmt: skip
        # shares of a scope sum to 1, which bounds each of them: in the relaxation an upper bound of its own would have a
        # dual that the reduced gains leave out
        return Rows(
            equal=equal, right=np.concatenate([np.ones(s), np.zeros(equal.shape[0] - s)]),
            below=below, levels=np.array([line.level for _, line in lines]),
            gain=np.concatenate([self.gain[variables], np.zeros(c + k), np.ones(m), np.full(len(limited), -PENALTY)]),
            low=np.concatenate([np.zeros(n + c), np.full(k + m, -np.inf), np.zeros(len(limited))]),
            high=np.concatenate([np.full(n + c, np.inf if soft else 1.0), [t.most for t in program.totals], np.full(m + len(limited), np.inf)]),
        )  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Maximise ``gain @ x`` with ``equal @ x = right``, ``below @ x <= levels``, ``low <= x <= high``."""

    equal: csr_array
    right: Floats
    below: csr_array
    levels: Floats
    gain: Floats
    low: Floats
    high: Floats


def combinations(space: SearchSpace, scope: tuple[int, ...]) -> Codes:
    """All combinations of a closed scope's choices, canonical, 0 elsewhere."""
    codes = grid(space, scope)
    # a dimension that does not count has code 0; its other codes would name the same arch again
    canonical = ((codes == 0) | space.active(codes)).all(axis=1)
    return np.asarray(codes[canonical])


def grid(space: SearchSpace, scope: tuple[int, ...]) -> Codes:
    """All combinations of a scope's choices, the last column fastest, 0 elsewhere."""
    sizes = [int(space.sizes[column]) for column in scope]
    count = int(np.prod(sizes, dtype=np.int64))
    codes = np.zeros((count, len(space.dimensions)), dtype=np.int16)
    codes[:, list(scope)] = np.indices(sizes).reshape(len(sizes), count).T
    return codes


def closed(space: SearchSpace, columns: Sequence[int]) -> tuple[int, ...]:
    """Those of the columns that have a choice, and those that decide whether these count."""
    found = {column for column in columns if space.sizes[column] > 1}
    # a dimension stands behind what it needs, so that what that needs in turn is found on the way to the front
    for column in reversed(range(len(space.sizes))):
        d = space.dimensions[column]
        if column in found and d.needs is not None:
            needed = space.by_name[d.needs[0]]
            # where even the least choice meets the need, it is no condition
            if needed.choices[0] < d.needs[1]:
                found.add(space.index[needed.name])
    return tuple(sorted(found))


# -- the relaxation ----------------------------------------------------------------


@dataclass(frozen=True)
class Relaxed:
    """``bound`` holds for every arch; for one with a variable that has a loss it is lower by that.

    ``shares`` are what the variables are in the relaxation, most of them 0.
    """

    layout: Layout
    bound: float
    losses: Floats
    shares: Floats

    @property
    def mixtures(self) -> dict[tuple[int, ...], tuple[Codes, Floats]]:
        """By the columns of each scope: which combinations are mixed, and their shares."""
        layout, some = self.layout, np.flatnonzero(self.shares > 0)
        mine = [some[layout.scope_of[some] == i] for i in range(len(layout.scopes))]
        return {
            scope: (layout.codes[rows] + layout.place, self.shares[rows])
            for scope, rows in zip(layout.scopes, mine, strict=True)
        }

    def left(self, known: float) -> Left:
        """What is not proven to be below ``known``."""
        # reduced cost fixing: the loss of a variable is what the bound falls by where an arch has it
        return Left(
            self.layout, np.flatnonzero(self.bound - self.losses >= known - ROUNDING), self.bound, known
        )


def relax(layout: Layout, until: float) -> Relaxed:
    """The linear relaxation, by adding variables until none is left that raises it, or time is over.

    A limit may be exceeded at a price, so that there is always a solution.
    """
    from scipy import optimize

    linprog: Any = optimize.linprog  # it takes sparse matrices, which its type hints do not say
    scopes, variables = len(layout.scopes), len(layout.codes)
    space = layout.program.space
    if len(set(layout.scope_of.tolist())) < scopes:  # a scope without an allowed combination
        return Relaxed(layout, -np.inf, np.zeros(variables), np.zeros(variables))
    # the variables of whole archs, so that scopes can agree from the start
    ends = space.encode([space.smallest(), space.largest()])
    chosen = np.unique(np.concatenate([layout.of(ends[:1]), layout.of(ends[1:]), first_of_each(layout)]))
    bound, losses, shares = np.inf, np.zeros(variables), np.zeros(variables)
    for _ in range(RELAXATION_ROUNDS):
        rows = layout.rows_for(chosen, soft=True)
        found = linprog(
            -rows.gain, A_ub=rows.below, b_ub=rows.levels, A_eq=rows.equal, b_eq=rows.right,
            bounds=np.stack([rows.low, rows.high], axis=1), method="highs-ds",
        )  # fmt: skip
        if found.x is None and len(chosen) < variables:  # where scopes agree is forbidden so far
            chosen = np.arange(variables)
            continue
        if found.x is None:
            break
        # marginals are of the minimised, negated objective, hence the plus: gains less what the rows charge
        prices = np.split(found.eqlin.marginals, np.cumsum([scopes, layout.agreement.shape[0]]))
        gains = (
            layout.gain + prices[0][layout.scope_of] + prices[1] @ layout.agreement + prices[2] @ layout.sums
        )
        # what a scope gains is that of its best variable, in the program already or not
        most = np.full(scopes, -np.inf)
        np.maximum.at(most, layout.scope_of, gains)
        # whatever the duals, an arch has at most one variable a scope, so none exceeds the value at the duals by
        # more than the greatest reduced gains: the bound holds before the last variable is added
        if (now := -found.fun + most.sum()) < bound:
            bound, losses, shares = now, most[layout.scope_of] - gains, np.zeros(variables)
            shares[chosen] = found.x[: len(chosen)]
        if most.max() < ROUNDING / scopes or time.monotonic() > until:
            break
        chosen = np.union1d(chosen, rising(layout, gains))
    return Relaxed(layout, float(bound), losses, shares)


def first_of_each(layout: Layout) -> npt.NDArray[np.intp]:
    """The first variable of each scope."""
    return np.unique(layout.scope_of, return_index=True)[1]


def rising(layout: Layout, gains: Floats) -> npt.NDArray[np.intp]:
    """Of each scope the variables that gain most."""
    order = np.lexsort((-gains, layout.scope_of))
    place = np.arange(len(order)) - first_of_each(layout)[layout.scope_of[order]]
    best = order[place < ADDED]
    return best[gains[best] > 0]


# -- what is left to choose from ---------------------------------------------------


@dataclass(frozen=True)
class Left:
    """Some variables of a layout: any arch with another one is below ``known``."""

    layout: Layout
    variables: npt.NDArray[np.intp]
    bound: float
    known: float

    def value(self, codes: Codes) -> float:
        """The program's value of an arch."""
        program, mine = self.layout.program, self.layout.of(codes)
        totals = self.layout.sums[:, mine].sum(axis=1)
        roofs = [min(line.slope * totals[line.total] + line.level for line in roof) for roof in program.roofs]
        return float(self.layout.gain[mine].sum() + sum(roofs))


def choose(left: Left, until: float) -> Answer:
    """The best arch of what is left, by integer programming."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    seconds = until - time.monotonic()
    if len(left.variables) > INTEGER or seconds <= 0:
        return Answer(left.bound, None, proven=False)
    n = len(left.variables)
    rows = left.layout.rows_for(left.variables, soft=False)
    # choices, totals and roofs follow from x, so that only x has to be whole
    constraints = [LinearConstraint(rows.equal, rows.right, rows.right)]
    if len(rows.levels):
        constraints.append(LinearConstraint(rows.below, -np.inf, rows.levels))
    found = milp(
        -rows.gain, integrality=(np.arange(len(rows.gain)) < n).astype(np.int64), bounds=Bounds(rows.low, rows.high),
        constraints=constraints, options={"time_limit": seconds, "mip_rel_gap": 0.0},
    )  # fmt: skip
    if found.status == 2:  # nothing left is within the limits
        return Answer(left.known, None, proven=True)
    # milp minimises the negated gain; where time ran out its dual bound still holds
    bound = -found.mip_dual_bound if found.mip_dual_bound is not None else left.bound
    codes = None
    if found.x is not None:
        space = left.layout.program.space
        taken = left.layout.codes[left.variables[found.x[:n] > 0.5]]
        # codes are 0 outside a variable's scope, and those of a shared dimension are the same: the greatest is the arch's
        codes = space.canonical(taken.max(axis=0)[None])
    return Answer(float(bound) + ROUNDING, codes, proven=found.status == 0)


# -- curves ------------------------------------------------------------------------


def above(curve: Callable[[Floats], Floats], low: float, high: float, total: int) -> tuple[Line, ...]:
    """Lines that a smooth curve of a total is nowhere above between ``low`` and ``high``.

    They touch its least concave majorant, found on a grid and lifted by what the curve may rise between two points.
    """
    if high - low < ROUNDING:
        return (Line(total, 0.0, float(curve(np.array([low, high])).max()) + ROUNDING),)
    x = np.linspace(low, high, GRID)
    y = curve(x)
    # between two points a smooth curve is above their chord by at most an eighth of its second difference; twice
    # that, as the difference is itself taken on the grid
    lift = float(np.abs(np.diff(y, 2)).max()) / 4
    corners = [0]
    for i in range(1, GRID):
        # the upper hull, by Andrew's monotone chain
        while len(corners) > 1 and below_chord(x, y, corners[-2], corners[-1], i):
            corners.pop()
        corners.append(i)
    ends = np.array(corners)
    slopes = np.diff(y[ends]) / np.diff(x[ends])
    # any of the majorant's lines is above the curve everywhere, so that leaving some out loosens and never breaks it
    picked = np.unique(np.linspace(0, len(slopes) - 1, LINES).round().astype(np.intp))
    return tuple(
        Line(total, float(slopes[i]), float(y[ends[i]] - slopes[i] * x[ends[i]]) + lift) for i in picked
    )


def below_chord(x: Floats, y: Floats, first: int, middle: int, last: int) -> bool:
    return bool(
        (y[middle] - y[first]) * (x[last] - x[first]) <= (y[last] - y[first]) * (x[middle] - x[first])
    )
