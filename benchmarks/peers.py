"""Other searches on the oracles: ``ofa``'s finders, Optuna's samplers, pymoo's NSGA-II. One function each.

They are given a :class:`Problem` and a function that predicts; whom they ask is up to the caller: a
predictor, or :class:`Calls` around one arch at a time, which keeps what was asked in order.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ofa_finders
from oracles import Oracle
from threadpoolctl import threadpool_limits

from search.feasible.neighbours import keys
from search.problem.problem import Problem
from search.proposing.acquisition import front
from search.proposing.annealing import Cooling, Slope
from search.proposing.distributions import distributions
from search.proposing.predictor_search import Effort, Predict, search_directly
from search.proposing.samplers import build_sampler
from search.proposing.waves import Tides
from supernet.archs.arch import Arch
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats

OPTUNA = ("nsga2", "tpe", "random")
POPULATION = 100
"""Of pymoo's NSGA-II, its default; Optuna's has its own default, 50."""
EVALUATIONS = 100_000
GENERATIONS = 500
"""Of ``ofa``'s finders, their default."""


@dataclass(frozen=True)
class Searched:
    """What a search returned, codes (n, dimensions) within the budgets, n = 0 where it found nothing, and its seconds.

    Those of the process on its processors (all threads) say what it takes where others use the machine too.
    """

    codes: Codes
    seconds: float
    cpu_seconds: float
    gave_up: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


# -- whom they ask -----------------------------------------------------------------


class Clock:
    """Seconds since it was made: of the wall, and of this process on its processors."""

    def __init__(self) -> None:
        self.began = time.perf_counter(), time.process_time()

    def seconds(self) -> tuple[float, float]:
        return time.perf_counter() - self.began[0], time.process_time() - self.began[1]


class Enough(Exception):
    """The calls that a search may make are used up."""


class Calls:
    """Predicts, and keeps the archs that it was asked about in order; an arch that comes again is not counted.

    Raises :class:`Enough` instead of answering more than ``limit`` of them.
    """

    def __init__(self, predict: Predict, limit: int | None = None) -> None:
        self.predict, self.limit = predict, limit
        self.known: dict[bytes, float] = {}
        self.rows: list[Codes] = []

    @property
    def codes(self) -> Codes:
        """What was asked, shape (calls, dimensions)."""
        return np.array(self.rows, dtype=np.int16)

    @property
    def top1(self) -> Floats:
        """What was answered, shape (calls,)."""
        return np.array(list(self.known.values()))

    def __call__(self, codes: Codes) -> Floats:
        asked = keys(codes)
        new = {key: i for i, key in reversed(list(enumerate(asked))) if key not in self.known}
        rows = sorted(new.values())
        left = len(rows) if self.limit is None else self.limit - len(self.rows)
        if rows[:left]:
            answers = self.predict(codes[rows[:left]])
            for i, answer in zip(rows[:left], answers.tolist(), strict=True):
                self.known[asked[i]] = answer
                self.rows.append(codes[i])
        if len(rows) > left:
            raise Enough
        return np.array([self.known[key] for key in asked])


def one_by_one(judge: Callable[[Arch], float], space: SearchSpace) -> Predict:
    """An oracle of single archs as one of batches."""
    return lambda codes: np.array([judge(arch) for arch in space.decode(codes)])


Peer = Callable[[Problem, Predict, int, int], Codes]
"""Problem, whom to ask, evaluations, seed -> the front of what it kept, or its best."""


def trajectory(peer: Peer, problem: Problem, predict: Predict, calls: int, seed: int) -> Calls:
    """The first ``calls`` archs that a peer asks about; fewer where it proposes 20 times as many and repeats itself."""
    asked = Calls(predict, calls)
    with contextlib.suppress(Enough):
        peer(problem, asked, 20 * calls, seed)
    return asked


def timed(peer: Peer, problem: Problem, predict: Predict, evaluations: int, seed: int) -> Searched:
    """On one thread, as our search is; small matrices are multiplied sooner so."""
    with threadpool_limits(1, "blas"):
        clock = Clock()
        codes = peer(problem, predict, evaluations, seed)
        return Searched(codes, *clock.seconds())


def ours(
    problem: Problem,
    predict: Predict,
    count: int,
    seed: int,
    effort: Effort | None = None,
    slope: Slope | None = None,
) -> Searched:
    """What ``oncefit search`` does on a predictor."""
    clock = Clock()
    found = search_directly(problem, predict, count, seed, effort, slope)
    return Searched(found.codes, *clock.seconds())


def warm_up(oracle: Oracle) -> None:
    """What a process does once: imports, and tables that are kept."""
    for problem in (oracle.both(), oracle.within(oracle.budgets[-1])):
        effort = Effort(
            start=64,
            generations=1,
            children=16,
            elites=8,
            climbs=0,
            tides=Tides(Cooling(steps=2), Cooling(steps=2), waves=0, rounds=1),
        )
        ours(problem, oracle.predict, 1, 0, effort, oracle.slope)
        timed(PEERS["pymoo-nsga2"], problem, oracle.predict, 2 * POPULATION, 0)
        timed(PEERS["optuna-random"], problem, oracle.predict, 1, 0)


def judged(problem: Problem, predict: Predict, codes: Codes) -> tuple[Floats, Floats, Floats]:
    """Top-1 (n,), minimised costs (n, k) and relative excess over each budget (n, budgets), at most 0 within it.

    Top-1 is 0, without a call, for what is over budget: constrained domination and TPE look at the excess alone then.
    """
    totals = problem.totals(codes)
    bounded = np.flatnonzero(np.isfinite(problem.limits))
    excess = totals[:, bounded] / problem.limits[bounded] - 1
    inside, top1 = (totals <= problem.limits).all(axis=1), np.zeros(len(codes))
    if inside.any():
        top1[inside] = predict(codes[inside])
    return top1, totals[:, list(problem.cost_objectives)], excess


def best_of(problem: Problem, codes: Codes, top1: Floats, costs: Floats, excess: Floats) -> Codes:
    """The front of what keeps every budget; with one objective the best."""
    inside = np.flatnonzero((excess <= 0).all(axis=1))
    return np.asarray(codes[inside[front(top1[inside], costs[inside])]])


# -- ofa ---------------------------------------------------------------------------


def evolution_finder(
    oracle: Oracle,
    made: ofa_finders.Finder,
    seed: int,
    threads: int,
    patience: float,
    generations: int = GENERATIONS,
) -> Searched:
    """``ofa``'s finder as it is, 100 archs and 500 generations; nothing where it has not ended after ``patience`` seconds."""
    settings = {"threads": threads, "generations": generations}
    clock = Clock()
    try:
        with ofa_finders.threads_of(threads), ofa_finders.alarm(patience):
            codes = made.search(seed, generations)
    except ofa_finders.GaveUp:
        nothing = np.empty((0, len(oracle.space.dimensions)), dtype=np.int16)
        return Searched(nothing, *clock.seconds(), True, settings)
    return Searched(codes, *clock.seconds(), False, settings)


# -- Optuna ------------------------------------------------------------------------


def optuna_sampler(name: str) -> Peer:
    """One of Optuna's samplers with its defaults; what is over budget is told as a constraint."""

    def search(problem: Problem, predict: Predict, evaluations: int, seed: int) -> Codes:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        makers = {
            "nsga2": optuna.samplers.NSGAIISampler,
            "tpe": optuna.samplers.TPESampler,
            "random": optuna.samplers.RandomSampler,
        }
        directions = [objective.direction for objective in problem.objectives]
        study = optuna.create_study(directions=directions, sampler=makers[name](seed=seed))
        choices, space = distributions(problem.space), problem.space
        rows = []
        for _ in range(evaluations):
            trial = study.ask(choices)
            index = [d.choices.index(trial.params[d.name]) for d in space.dimensions]
            codes = space.canonical(np.array([index], dtype=np.int16))
            top1, costs, excess = judged(problem, predict, codes)
            for cost, over in zip(problem.budgets, excess[0].tolist(), strict=True):
                trial.set_constraint(cost, over)
            study.tell(trial, [float(top1[0]), *costs[0].tolist()])
            rows.append((codes[0], top1[0], costs[0], excess[0]))
        return best_of(problem, *(np.array(column) for column in zip(*rows, strict=True)))

    return search


# -- pymoo -------------------------------------------------------------------------

OPERATORS = ("choice", "integer")


def pymoo_nsga2(operators: str = OPERATORS[0], population: int = POPULATION) -> Peer:
    """pymoo's NSGA-II on integer codes, which are made canonical, without duplicates; a population at a time.

    ``integer`` has simulated binary crossover and polynomial mutation, rounded, as pymoo's manual has them for
    integers; ``choice`` has uniform crossover and random choices, as it has them for categories. Returned is the
    front of the last population.
    """

    def search(problem: Problem, predict: Predict, evaluations: int, seed: int) -> Codes:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.optimize import minimize

        def evaluate(codes: Codes) -> dict[str, Floats]:
            top1, costs, excess = judged(problem, predict, codes)
            return {"F": np.column_stack([-top1, costs]), **({"G": excess} if problem.budgets else {})}

        asked, sampling, repair, operators_made = pymoo_parts(problem, evaluate, operators)
        algorithm = NSGA2(
            pop_size=population, sampling=sampling, repair=repair, eliminate_duplicates=True, **operators_made
        )
        made = minimize(asked, algorithm, ("n_eval", evaluations), seed=seed, copy_algorithm=False)
        f, g = made.pop.get("F"), made.pop.get("G")
        return best_of(problem, made.pop.get("X").astype(np.int16), -f[:, 0], f[:, 1:], g)

    return search


def pymoo_parts(
    problem: Problem, evaluate: Callable[[Codes], dict[str, Floats]], operators: str
) -> tuple[Any, ...]:
    """pymoo's problem, sampling, repair and operators; here, as its classes are only there once it is imported."""
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem as PymooProblem
    from pymoo.core.repair import Repair
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.crossover.ux import UX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling

    space = problem.space

    class Codes(PymooProblem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(
                n_var=len(space.sizes), n_obj=len(problem.objectives), n_ieq_constr=len(problem.budgets),
                xl=np.zeros(len(space.sizes), dtype=int), xu=space.sizes.astype(int) - 1, vtype=int,
            )  # fmt: skip

        def _evaluate(self, x: Any, out: dict[str, Any], *_: object, **__: object) -> None:
            out.update(evaluate(x.astype(np.int16)))

    class Canonical(Repair):  # type: ignore[misc]
        def _do(self, _: object, x: Any, **__: object) -> Any:
            return space.canonical(x.astype(np.int16)).astype(int)

    class RandomChoice(Mutation):  # type: ignore[misc]
        """What pymoo's ``ChoiceRandomMutation`` does, on all columns at once."""

        def _do(self, asked: Any, x: Any, *_: object, random_state: Any = None, **__: object) -> Any:
            drawn = (random_state.random(x.shape) * space.sizes).astype(int)
            change = random_state.random(x.shape) < self.get_prob_var(asked, size=len(x))[:, None]
            return np.where(change, drawn, x)

    if operators == "integer":
        made = {
            "crossover": SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
            "mutation": PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        }
    else:
        made = {"crossover": UX(), "mutation": RandomChoice()}
    return Codes(), IntegerRandomSampling(), Canonical(), made


# -- ours --------------------------------------------------------------------------


def guided(problem: Problem, predict: Predict, evaluations: int, seed: int) -> Codes:
    """What ``sampler: guided`` does where accuracies are measured one by one."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    directions = [objective.direction for objective in problem.objectives]
    sampler = build_sampler("guided", problem, seed, evaluations)
    study = optuna.create_study(directions=directions, sampler=sampler)
    choices, rows = distributions(problem.space), []
    for _ in range(evaluations):
        trial = study.ask(choices)
        codes = problem.space.encode([problem.space.arch(trial.params)])
        top1, costs, excess = judged(problem, predict, codes)
        study.tell(trial, [float(top1[0]), *costs[0].tolist()])
        rows.append((codes[0], top1[0], costs[0], excess[0]))
    return best_of(problem, *(np.array(column) for column in zip(*rows, strict=True)))


PEERS: dict[str, Peer] = {
    "guided": guided,
    **{f"optuna-{name}": optuna_sampler(name) for name in OPTUNA},
    "pymoo-nsga2": pymoo_nsga2(),
    "pymoo-nsga2-integer": pymoo_nsga2("integer"),
}
