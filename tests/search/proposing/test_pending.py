"""``guided`` beside trials that others are at: what it proposes, and what it loses, against closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
import pytest

from cost_models import registry
from search.feasible.neighbours import distinct
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.distributions import distributions
from search.proposing.guided import GuidedSampler
from search.proposing.pending import believed
from search.proposing.surrogate import fit_surrogate
from supernet.archs.space import Codes, Dimension, SearchSpace
from supernet.arrays import Floats
from tests.search.proposing.test_guided import SumOfCodes, additive, embedded, search

WORKERS = 16
KERNELS = 8


def ask(study: optuna.Study, problem: Problem, count: int) -> tuple[list[optuna.Trial], Codes]:
    trials = [study.ask(distributions(problem.space)) for _ in range(count)]
    return trials, problem.space.encode([problem.space.arch(trial.params) for trial in trials])


@pytest.mark.parametrize("objectives", [["top1"], ["top1", "macs"]])
def test_what_is_asked_for_at_once_differs(objectives: list[str]) -> None:
    problem = embedded(objectives, macs=4e6)
    study, before = search(problem, additive(0), 16, GuidedSampler(problem, seed=0, startup=8))
    _, codes = ask(study, problem, WORKERS)
    assert len(distinct(np.concatenate([before, codes]))) == 16 + WORKERS
    assert problem.within(codes).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_asked_for_at_once_is_spread_over_the_front(seed: int) -> None:
    """A sixteenth of the range of costs each; who does not look at what is pending stays in two to four of them."""
    problem = embedded(["top1", "macs"])
    study, _ = search(problem, additive(seed), 16, GuidedSampler(problem, seed=seed, startup=8))
    _, codes = ask(study, problem, WORKERS)
    logs, reach = np.log(problem.totals(codes)[:, 0]), problem.reach["macs"]
    held, _ = np.histogram(logs, np.linspace(np.log(reach.minimum), np.log(reach.maximum), WORKERS + 1))
    assert (held > 0).sum() >= 9


def test_a_pending_arch_is_believed_as_the_closed_form_of_one_more_measurement_says() -> None:
    """Rasmussen & Williams, 2.26, for one more: the mean stays, the variance v becomes v n / (v + n) with noise n."""
    rng = np.random.default_rng(0)
    surrogate = fit_surrogate(rng.random((20, 4)), rng.random(20))
    rows = rng.random((1, 4))
    after = believed(surrogate, rows, rng).surrogate
    (mean, std), (mean_after, std_after) = surrogate.predict(rows), after.predict(rows)
    assert mean_after == pytest.approx(mean)
    amplitude = surrogate.scaling.spread**2 * float(surrogate.targets @ surrogate.inverse @ surrogate.targets)
    variance, noise = std**2 / (amplitude / 20), surrogate.shape.noise
    assert std_after**2 == pytest.approx(amplitude / 21 * variance * noise / (variance + noise))


# -- a space whose front is known ----------------------------------------------------


def stairs(seed: int) -> tuple[Problem, Callable[[Codes], Floats], Floats]:
    """6,561 archs whose accuracy is a sum of steps that become smaller, and the best accuracy at each cost from 1 on.

    Each step costs 1, so that the best at a cost of 1 + n has the n greatest steps of all.
    """
    dimensions = [Dimension(f"kernel.1.{i}", (3, 5, 7)) for i in range(1, KERNELS + 1)]
    space = SearchSpace("stairs", tuple(dimensions))
    cost = registry.Cost(SumOfCodes(space), space)
    problem = Problem(space, parse_objectives(["top1", "sum"]), {"sum": cost}, {})
    steps = -np.sort(-np.random.default_rng(seed).exponential(0.01, (KERNELS, 2)), axis=1)
    heights = np.concatenate([np.zeros((KERNELS, 1)), np.cumsum(steps, axis=1)], axis=1)

    def accuracy(codes: Codes) -> Floats:
        return np.asarray(0.7 + heights[np.arange(KERNELS), codes].sum(axis=1))

    return problem, accuracy, 0.7 + np.concatenate([[0], np.cumsum(-np.sort(-steps.ravel()))])


def share_found(workers: int, evaluations: int, seed: int) -> float:
    """Of the rise of the known front over the cheapest arch, so much is found with as many trials at once."""
    problem, accuracy, best = stairs(seed)
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=GuidedSampler(problem, seed=seed, startup=12)
    )
    running, found = [], np.full(len(best), best[0])
    for number in range(evaluations + workers - 1):
        trials, codes = ask(study, problem, 1)
        running.append((trials[0], codes))
        if number >= workers - 1:
            trial, codes = running.pop(0)
            top1, cost = float(accuracy(codes)[0]), float(problem.totals(codes)[0, 0])
            study.tell(trial, [top1, cost])
            found[int(cost) - 1 :] = np.maximum(found[int(cost) - 1 :], top1)
    return float((found - best[0]).sum() / (best - best[0]).sum())


@pytest.mark.parametrize("seed", [0, 1])
def test_sixteen_at_once_lose_little_of_a_front_that_is_known(seed: int) -> None:
    alone, together = share_found(1, 48, seed), share_found(WORKERS, 48, seed)
    assert together >= 0.97 * alone
    assert alone > 0.99
