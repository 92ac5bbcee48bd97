"""``guided``: Optuna's conformance classes, its promises, and that it beats chance."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import moocore
import numpy as np
import numpy.typing as npt
import optuna
import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
)
from optuna.trial import TrialState

from cost_models import registry
from cost_models.protocol import Target
from cost_models.registry import build
from search.feasible.neighbours import distinct, keys, neighbours
from search.feasible.region import Region
from search.predictors import files
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.acquisition import front, improvement, reached
from search.proposing.distributions import distributions
from search.proposing.guided import MOST_TOLD, NEWEST, GuidedSampler, most_telling
from search.proposing.history import History, Known
from search.proposing.promises import promises
from search.proposing.samplers import build_sampler
from search.proposing.surrogate import conditioned, features_of_archs, fit_surrogate
from search.runs.study import open_storage
from supernet.archs.space import Codes, Dimension, SearchSpace
from supernet.arrays import Floats
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.paths import ROOT


def embedded(objectives: list[str], **budgets: float) -> Problem:
    supernet = open_supernet("fmnist_mbv3")
    costs = {name: registry.build(name, Target(supernet)) for name in ("macs", "params")}
    return Problem(supernet.space, parse_objectives(objectives), costs, budgets)


class SumOfCodes:
    """A cost of any space: 1 + the sum of the codes."""

    name = "sum"

    def __init__(self, space: SearchSpace) -> None:
        self.space = space

    def __call__(self, arch: object) -> float:
        return float(self.batch(self.space.encode([arch]))[0])  # type: ignore[list-item]

    def batch(self, codes: Codes) -> Floats:
        return np.asarray(1.0 + codes.sum(axis=1, dtype=np.float64))


def tiny(budget: float) -> Problem:
    """Twelve archs: a depth that hides a kernel, and a resolution; 1 + sum of codes within the budget."""
    space = SearchSpace(
        "tiny",
        (
            Dimension("resolution", (16, 24, 32)),
            Dimension("depth.1", (1, 2)),
            Dimension("kernel.1.2", (3, 5, 7), ("depth.1", 2)),
        ),
    )
    cost = registry.Cost(SumOfCodes(space), space)
    return Problem(space, parse_objectives(["top1"]), {"sum": cost}, {"sum": budget})


def additive(seed: int) -> Callable[[Codes], Floats]:
    """A made-up accuracy of the embedded space: log macs, and a fixed effect of every choice."""
    problem = embedded(["top1"])
    space, rng = problem.space, np.random.default_rng(seed)
    effects = [np.sort(rng.exponential(0.0008, size)) for size in space.sizes]

    def accuracy(codes: Codes) -> Floats:
        active = space.active(codes)
        parts = [np.where(active[:, j], e[codes[:, j]], 0) for j, e in enumerate(effects)]
        total: Floats = np.sum(parts, axis=0)
        return np.asarray(0.85 + 0.005 * np.log(problem.totals(codes)[:, 0] / 1e6) + total)

    return accuracy


def search(
    problem: Problem,
    accuracy: Callable[[Codes], Floats],
    trials: int,
    sampler: optuna.samplers.BaseSampler,
    study: optuna.Study | None = None,
    noise: float = 0.003,
) -> tuple[optuna.Study, Codes]:
    """Ask and tell ``trials`` times; the study, and the codes of what was asked, in order."""
    study = study or optuna.create_study(directions=[o.direction for o in problem.objectives])
    study.sampler = sampler
    rows = []
    for _ in range(trials):
        trial = study.ask(distributions(problem.space))
        codes = problem.space.encode([problem.space.arch(trial.params)])
        rows.append(codes)
        if not problem.within(codes)[0]:
            study.tell(trial, state=TrialState.PRUNED)
            continue
        totals = problem.totals(codes)[0]
        error = noise * np.random.default_rng([7, trial.number]).normal()
        study.tell(
            trial, [float(accuracy(codes)[0] + error), *(float(totals[i]) for i in problem.cost_objectives)]
        )
    return study, np.concatenate(rows)


# -- Optuna's own suite ----------------------------------------------------------


class TestWithoutProblem(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Callable[[], optuna.samplers.BaseSampler]:
        return lambda: GuidedSampler(seed=0)


class TestWithProblem(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    """A study whose parameters are not of the sampler's space."""

    @pytest.fixture
    def sampler(self) -> Callable[[], optuna.samplers.BaseSampler]:
        return lambda: GuidedSampler(tiny(4), seed=0, startup=3)


# -- promises ---------------------------------------------------------------------


@pytest.mark.parametrize("objectives", [["top1"], ["top1", "macs"], ["top1", "macs", "params"]])
def test_same_seed_and_study_give_same_proposals_and_no_arch_twice(objectives: list[str]) -> None:
    problem = embedded(objectives, macs=4e6)
    _, first = search(problem, additive(0), 30, build_sampler("guided", problem, 3, 30))
    _, again = search(problem, additive(0), 30, build_sampler("guided", problem, 3, 30))
    _, other = search(problem, additive(0), 30, build_sampler("guided", problem, 4, 30))
    assert (first == again).all()
    assert (first != other).any()
    assert len(distinct(first)) == 30
    assert problem.within(first).all()


def test_a_resumed_study_goes_on_as_if_never_stopped(tmp_path: Path) -> None:
    problem = embedded(["top1", "macs"], macs=4e6)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    directions = [o.direction for o in problem.objectives]
    study = optuna.create_study(storage=storage, study_name="s", directions=directions)
    _, before = search(problem, additive(0), 9, GuidedSampler(problem, seed=3, startup=6), study)
    study = optuna.load_study(storage=storage, study_name="s")
    _, after = search(problem, additive(0), 4, GuidedSampler(problem, seed=3, startup=6), study)
    _, whole = search(problem, additive(0), 13, GuidedSampler(problem, seed=3, startup=6))
    assert (np.concatenate([before, after]) == whole).all()


@pytest.mark.parametrize("factor", [1.0, 1.0001, 1.2])
def test_a_budget_at_the_reachable_minimum_is_kept(factor: float) -> None:
    problem = embedded(["top1"], macs=embedded(["top1"]).costs["macs"].reach().minimum * factor)
    study, codes = search(problem, additive(0), 12, GuidedSampler(problem, seed=0, startup=4))
    assert problem.within(codes).all()
    assert all(t.state == TrialState.COMPLETE for t in study.trials)
    if factor == 1.2:
        assert len(distinct(codes)) == 12


def test_two_budgets_at_once_are_kept() -> None:
    reach = {name: cost.reach() for name, cost in embedded(["top1"]).costs.items()}
    problem = embedded(["top1"], **{name: r.minimum * 1.2 for name, r in reach.items()})
    _, codes = search(problem, additive(0), 15, GuidedSampler(problem, seed=0, startup=4))
    assert problem.within(codes).all()
    assert len(distinct(codes)) == 15


def test_an_unreachable_budget_ends_too() -> None:
    problem = embedded(["top1"], macs=embedded(["top1"]).costs["macs"].reach().minimum * 0.999)
    study, _ = search(problem, additive(0), 3, GuidedSampler(problem, seed=0))
    assert all(t.state == TrialState.PRUNED for t in study.trials)


def test_a_small_region_is_proposed_whole_before_anything_twice() -> None:
    problem = tiny(4)
    every = problem.space.canonical(
        np.array([(r, d, k) for r in range(3) for d in range(2) for k in range(3)], dtype=np.int16)
    )
    within = distinct(every[problem.within(every)])
    _, codes = search(
        problem, lambda c: c.sum(axis=1) / 10, len(within) + 2, GuidedSampler(problem, seed=0, startup=3)
    )
    assert set(keys(codes[: len(within)])) == set(keys(within))
    assert problem.within(codes).all()


def test_archs_that_are_enqueued_running_or_pruned_are_not_proposed() -> None:
    problem = embedded(["top1"], macs=4e6)
    space = problem.space
    study, first = search(problem, additive(0), 12, GuidedSampler(problem, seed=0, startup=5))
    predicted = search(problem, additive(0), 13, GuidedSampler(problem, seed=0, startup=5))[1][[12]]
    arch = space.decode(predicted)[0]
    study.enqueue_trial(dict(arch.values))
    waiting = study.ask(distributions(space))
    assert space.arch(waiting.params) == arch
    running = [study.ask(distributions(space)) for _ in range(4)]
    study.tell(running[0], state=TrialState.PRUNED)
    running += [study.ask(distributions(space)) for _ in range(4)]
    asked = space.encode([space.arch(trial.params) for trial in [waiting, *running]])
    assert len(distinct(np.concatenate([first, asked]))) == 12 + 9
    assert problem.within(asked).all()


def test_a_proposal_counts_before_its_parameters_are_set() -> None:
    problem = embedded(["top1"])
    study = optuna.create_study(direction="maximize", sampler=GuidedSampler(problem, seed=0))
    name, distribution = next(iter(distributions(problem.space).items()))
    for _ in range(3):
        study.ask({name: distribution})
    proposed = [t.system_attrs["oncefit:codes"] for t in study.trials]
    assert len({tuple(row) for row in proposed}) == 3


def test_choices_fixed_by_the_user_stay_and_the_budget_holds_around_them() -> None:
    problem = embedded(["top1"], macs=3e6)
    study, _ = search(problem, additive(0), 8, GuidedSampler(problem, seed=0, startup=4))
    study.enqueue_trial({"resolution": 28, "depth.3": 4})
    trial = study.ask(distributions(problem.space))
    arch = problem.space.arch(trial.params)
    assert (arch["resolution"], arch["depth.3"]) == (28, 4)
    assert problem.costs["macs"](arch) <= 3e6


def test_around_the_values_of_a_partial_fixed_sampler_the_budget_holds() -> None:
    problem = embedded(["top1"], macs=3e6)
    guided = GuidedSampler(problem, seed=0, startup=4)
    fixed = {"resolution": 28, "depth.3": 4}
    with pytest.warns(optuna.exceptions.ExperimentalWarning):
        sampler = optuna.samplers.PartialFixedSampler(fixed, guided)
    _, codes = search(problem, additive(0), 10, sampler)
    archs = problem.space.decode(codes)
    assert {(arch["resolution"], arch["depth.3"]) for arch in archs} == {(28, 4)}
    assert problem.within(codes).all()
    assert len(distinct(codes)) == 10


WORKER = """
import sys, optuna
from tests.search.proposing.test_guided import additive, embedded, search
from search.proposing.guided import GuidedSampler
from search.runs.study import open_storage

problem = embedded(["top1", "macs"], macs=4e6)
study = optuna.load_study(study_name="shared", storage=open_storage(sys.argv[1]))
search(problem, additive(0), 12, GuidedSampler(problem, seed=int(sys.argv[2]), startup=6), study)
"""


def test_processes_on_one_storage_propose_different_archs(tmp_path: Path) -> None:
    problem, url = embedded(["top1", "macs"], macs=4e6), f"sqlite:///{tmp_path / 'study.db'}"
    directions = [o.direction for o in problem.objectives]
    study = optuna.create_study(study_name="shared", storage=open_storage(url), directions=directions)
    root = ROOT
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, url, "0"], cwd=root, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for worker in workers:
        _, said = worker.communicate()
        assert worker.returncode == 0, said
    trials = study.get_trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 24
    codes = problem.space.encode([problem.space.arch(trial.params) for trial in trials])
    assert problem.within(codes).all()
    assert len(distinct(codes)) == 24


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_optimize_with_failures_and_a_minimised_error(n_jobs: int) -> None:
    problem = embedded(["top1"], macs=4e6)
    accuracy = additive(0)

    def error(trial: optuna.Trial) -> float:
        values = {d.name: trial.suggest_categorical(d.name, d.choices) for d in problem.space.dimensions}
        if trial.number % 5 == 4:
            raise ArithmeticError
        return float(1 - accuracy(problem.space.encode([problem.space.arch(values)]))[0])

    study = optuna.create_study(direction="minimize", sampler=GuidedSampler(problem, seed=0, startup=6))
    study.optimize(error, n_trials=30, n_jobs=n_jobs, catch=(ArithmeticError,))
    values = [t.value for t in study.get_trials(states=[TrialState.COMPLETE]) if t.value is not None]
    assert len(values) == 24
    assert np.mean(values[-8:]) < np.mean(values[:5])


# -- quality ------------------------------------------------------------------------


def test_one_objective_beats_random_within_60_trials() -> None:
    problem = embedded(["top1"], macs=2.5e6)
    gains = []
    for seed in range(4):
        accuracy = additive(seed)
        best = {}
        for name in ("guided", "random"):
            study, codes = search(problem, accuracy, 60, build_sampler(name, problem, seed, 60))
            best[name] = float(accuracy(codes[[study.best_trial.number]])[0])
        gains.append(best["guided"] - best["random"])
    assert min(gains) > 0
    assert np.median(gains) > 0.001


def test_the_front_covers_more_than_random_within_60_trials() -> None:
    problem = embedded(["top1", "macs"])
    highest = problem.costs["macs"].reach().maximum
    for seed in range(3):
        accuracy = additive(seed)
        area = {}
        for name in ("guided", "random"):
            _, codes = search(problem, accuracy, 60, build_sampler(name, problem, seed, 60))
            area[name] = volume(accuracy(codes), problem.totals(codes)[:, 0], 0.84, highest)
        assert area["guided"] > 1.05 * area["random"]


def volume(accuracy: Floats, cost: Floats, floor: float, ceiling: float) -> float:
    """Area between a front and the reference point, by sampling its staircase finely."""
    grid = np.linspace(0, ceiling, 4001)
    best = np.where(cost[None] <= grid[:, None], accuracy, floor).max(axis=1)
    return float((best - floor).mean() * ceiling)


def test_what_is_expected_beforehand_helps() -> None:
    """The best of 15 trials, where something of the accuracy is known and where nothing is."""
    plain = embedded(["top1"], macs=2.5e6)
    gains = []
    for seed in range(5):
        accuracy, other = additive(seed), additive(seed + 100)

        def expected(
            codes: Codes, a: Callable[[Codes], Floats] = accuracy, b: Callable[[Codes], Floats] = other
        ) -> Floats:
            return np.asarray(0.7 * a(codes) + 0.3 * b(codes) - 0.2)

        best = {}
        for problem in (plain, replace(plain, expected=expected)):
            _, codes = search(problem, accuracy, 15, GuidedSampler(problem, seed=seed, startup=6))
            assert problem.within(codes).all()
            assert len(distinct(codes)) == 15
            best[problem.expected is None] = float(accuracy(codes).max())
        gains.append(best[False] - best[True])
    assert np.median(gains) > 0.001
    assert min(gains) > -0.001


def test_a_stopped_candidate_counts_as_a_noisy_measurement() -> None:
    problem = embedded(["top1"], macs=4e6)
    study, _ = search(problem, additive(0), 12, GuidedSampler(problem, seed=0, startup=5))
    trial = study.ask(distributions(problem.space))
    trial.set_user_attr("raced", {"images": 1250, "of": 5000, "top1": 0.5, "rival": "x"})
    study.tell(trial, state=TrialState.PRUNED)
    history = History(problem)
    running = study.ask(distributions(problem.space))
    history.follow(study, study.trials[running.number])
    assert len(history.known) == 13
    assert history.known.accuracy[-1] == 0.5
    assert history.known.noise.tolist() == [1.0] * 12 + [4.0]
    assert (problem.totals(history.known.codes) == history.known.totals).all()


def test_history_is_the_same_whether_followed_or_read_at_once() -> None:
    """Trials that end in another order than they began, fail, or are pruned."""
    problem = embedded(["top1"], macs=4e6)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    followed, rng = History(problem), np.random.default_rng(0)
    running: list[optuna.Trial] = []
    for step in range(120):
        if step % 7 == 0:
            study.enqueue_trial({d.name: d.choices[step % 2] for d in problem.space.dimensions})
        while len(running) > 4:
            ended = running.pop(int(rng.integers(len(running))))
            outcome = rng.choice(["told", "told", "told", "failed", "pruned"])
            if outcome == "told":
                study.tell(ended, float(rng.random()))
            else:
                study.tell(ended, state=TrialState.FAIL if outcome == "failed" else TrialState.PRUNED)
        running.append(study.ask(distributions(problem.space)))
        now = study.trials[running[-1].number]
        followed.follow(study, now)
        fresh = History(problem)
        fresh.follow(study, now)
        for mine, theirs in zip(followed.known.columns(), fresh.known.columns(), strict=True):
            assert np.array_equal(mine, theirs)
        assert (np.diff(fresh.known.numbers) > 0).all()
        assert sorted(keys(followed.running)) == sorted(keys(fresh.running))
        assert followed.seen == fresh.seen
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    assert followed.known.numbers.tolist() == [trial.number for trial in complete]
    assert followed.known.accuracy.tolist() == [trial.value for trial in complete]


def test_a_long_study_is_thought_about_with_as_many_archs_as_a_shorter_one() -> None:
    problem = embedded(["top1", "macs"])
    rng = np.random.default_rng(0)
    codes = problem.space.sample(700, rng)
    n = len(codes)
    known = Known(codes, rng.random(n), problem.totals(codes), np.arange(n), np.ones(n))
    rows = most_telling(known, problem)
    assert len(set(rows.tolist())) == len(rows) == MOST_TOLD
    assert set(rows.tolist()) >= set(range(n - NEWEST, n)), "the newest are among them"
    older = known[: n - NEWEST]
    points = np.column_stack([-older.accuracy, older.totals[:, 0]])
    best = np.flatnonzero(moocore.is_nondominated(points))
    beaten = reached(known.accuracy, known.totals[:, :1], known.totals[best, :1]) > known.accuracy[best]
    assert set(rows.tolist()) >= set(best[~beaten].tolist()), "so is the front"


# -- parts --------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1, 2])
def test_expected_improvement_is_the_mean_of_sampled_gains(k: int) -> None:
    rng = np.random.default_rng(k)
    accuracy, costs = rng.random(8), rng.random((8, k))
    mean, std, at = np.array([0.9, 0.5]), np.array([0.2, 0.3]), rng.random((2, k)) * 0.5
    found = improvement(accuracy, costs, 0.1, np.full(k, 1.2))(mean, std, at)
    draws = rng.random((4000, k)) * 1.2
    known = np.where((costs[None] <= draws[:, None]).all(axis=2), accuracy, 0.1).max(axis=1)
    for i in range(2):
        gain = np.maximum(rng.normal(mean[i], std[i], 4000)[:, None] - known, 0).mean(axis=0)
        expected = (gain * (at[i] <= draws).all(axis=1)).mean() * 1.2**k
        assert found[i] == pytest.approx(expected, rel=0.15)


def test_a_promise_counts_by_what_came_at_costs_like_it() -> None:
    logs = np.array([[0.0], [0.01], [0.02], [3.0], [3.01], [3.02]])
    accuracy = np.array([0.1, 0.2, 0.3, 0.8, 0.8, 0.8])
    # of the cheap ones it expects a third more than comes, of the dear ones, which come to 0.8 all, a rise above that
    of = promises(np.array([0.1, 0.23, 0.33, 1.0, 1.0, 1.0]), np.where(logs[:, 0] < 1, accuracy, 0.3), logs)
    cheap, dear, between = of(np.array([[0.0], [3.0], [1.5]]))
    assert cheap == 1
    assert dear < 0.1
    assert between == pytest.approx(1), "where nothing is known it is believed"
    assert (promises(accuracy, accuracy, logs[:, :0])(np.empty((4, 0))) == 1).all()


def test_what_the_others_let_expect_is_what_a_surrogate_without_one_predicts() -> None:
    rng = np.random.default_rng(3)
    rows, accuracy = rng.random((20, 4)), rng.random(20)
    whole = fit_surrogate(rows, accuracy)
    expected = whole.without_each()
    for i in range(20):
        others = np.arange(20) != i
        without = conditioned(
            whole.scaling, whole.shape, whole.rows[others], whole.targets[others], whole.noise[others]
        )
        assert expected[i] == pytest.approx(without.predict(rows[[i]])[0][0], rel=1e-6)


def test_costs_at_which_the_front_no_longer_rises_are_left_alone() -> None:
    problem = embedded(["top1", "macs"])
    sampler = build_sampler("guided", problem, 0, 90)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    knee, asked = problem.reach["macs"].maximum / 4, []
    weights = np.random.default_rng(0).random(len(problem.space.dimensions))
    for _ in range(90):
        trial = study.ask(distributions(problem.space))
        codes = problem.space.encode([problem.space.arch(trial.params)])
        macs = problem.totals(codes)[0, 0]
        top1 = np.log(macs) + 0.1 * float(weights @ codes[0]) / weights.sum()
        study.tell(trial, [min(top1, np.log(knee)), macs])
        asked.append(macs)
    assert np.mean(np.array(asked[30:]) > 1.25 * knee) < 0.4, (
        "four fifths where whatever is promised is believed"
    )


def test_front_keeps_what_nothing_beats() -> None:
    accuracy = np.array([0.9, 0.8, 0.8, 0.7, 0.95])
    costs = np.array([[3.0], [2.0], [2.5], [2.0], [9.0]])
    assert front(accuracy, costs).tolist() == [4, 0, 1]
    assert front(accuracy, np.empty((5, 0))).tolist() == [4]


def test_repair_leaves_what_is_within_and_mends_the_rest(supernet: Supernet) -> None:
    problem = embedded(["top1"], macs=2e6)
    rng = np.random.default_rng(0)
    codes = supernet.space.sample(300, rng)
    repaired = Region(problem).repair(codes, rng)
    within = problem.within(codes)
    assert within.any()
    assert not within.all()
    assert (repaired[within] == codes[within]).all()
    assert problem.within(repaired).all()
    assert np.median(problem.totals(repaired[~within])[:, 0]) > 1.6e6
    assert (supernet.space.canonical(repaired) == repaired).all()


def test_repair_takes_choices_from_an_arch_within_and_other_ones_each_time(supernet: Supernet) -> None:
    space, rng = supernet.space, np.random.default_rng(1)
    region = Region(embedded(["top1"], macs=2e6))
    given = np.repeat(space.encode([space.largest()]), 40, axis=0)
    repaired = region.repair(given, rng)
    shown = space.active(repaired)
    assert ((repaired == given) | (repaired == region.anchor))[shown].all()
    kept = (repaired == given)[shown].mean()
    assert 0.2 < kept < 0.95, "neither the anchor itself nor out of bounds"
    assert len(distinct(repaired)) > 30


def test_neighbours_differ_in_one_choice_and_what_it_hides() -> None:
    space = tiny(9).space
    around = neighbours(space, space.encode([space.smallest()]))
    assert around.tolist() == [[1, 0, 0], [2, 0, 0], [0, 1, 0]]


def test_the_surrogate_recovers_an_additive_accuracy_and_knows_where_it_is_unsure() -> None:
    problem = embedded(["top1"])
    space, rng, accuracy = problem.space, np.random.default_rng(0), additive(0)
    codes = space.sample(420, rng)
    rows, truth = features_of_archs(space, codes, problem.totals(codes)), accuracy(codes)
    measured = truth[:120] + 0.001 * rng.normal(size=120)
    surrogate = fit_surrogate(rows[:120], measured, len(problem.costs))
    mean, std = surrogate.predict(rows[120:])
    assert np.corrcoef(mean, truth[120:])[0, 1] > 0.9
    assert 0.5 < np.std((mean - truth[120:]) / std) < 2
    assert surrogate.predict(rows[:120])[1].mean() < std.mean()
    believed = surrogate.believe(rows[120:125])
    assert (believed.predict(rows[120:125])[1] < std[:5]).all()
    np.testing.assert_allclose(believed.predict(rows[120:])[0], mean, atol=0.3 * std.mean())


def test_equal_accuracies_do_not_break_the_surrogate() -> None:
    problem = embedded(["top1"])
    codes = problem.space.sample(5, np.random.default_rng(0))
    rows = features_of_archs(problem.space, codes, problem.totals(codes))
    mean, std = fit_surrogate(rows, np.full(5, 0.9), 2).predict(rows)
    np.testing.assert_allclose(mean, 0.9)
    assert np.isfinite(std).all()


@pytest.fixture(scope="module")
def imagenet() -> tuple[SearchSpace, Codes, Floats, Floats]:
    """Subnets of ofa_mbv3_w1.0 at 224 pixels: space, codes, top-1 and multiply-adds.

    Top-1 is what the shipped predictor says, which was fitted to subnets that were measured on ImageNet
    (docs/predictors.md).
    """
    supernet = open_supernet("ofa_mbv3_w1.0").restricted({"resolution": [224]})
    codes = distinct(supernet.space.sample(800, np.random.default_rng(0)))
    top1 = files.open_predictor("ofa_mbv3_w1.0", supernet).predict(supernet.space, codes).top1
    return supernet.space, codes, top1, build("macs", Target(supernet)).batch(codes)


@pytest.mark.parametrize(("n", "noise", "least"), [(30, 0.0, 0.94), (60, 0.0, 0.965), (120, 0.003, 0.94)])
def test_the_surrogate_ranks_imagenet_subnets(
    imagenet: tuple[SearchSpace, Codes, Floats, Floats], n: int, noise: float, least: float
) -> None:
    space, codes, accuracy, macs = imagenet
    rows = features_of_archs(space, codes, macs[:, None])
    found = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(rows))
        known, rest = order[:n], order[n:]
        surrogate = fit_surrogate(rows[known], accuracy[known] + noise * rng.normal(size=n), 1)
        found.append(rank_correlation(surrogate.predict(rows[rest])[0], accuracy[rest]))
    assert np.median(found) > least > rank_correlation(macs, accuracy) + 0.02


def rank_correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Spearman's, ties in any order."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])
