"""Optuna's NSGA-II and random sampler, led to propose within the budgets: few proposals wasted, none repeated, all bounded."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.trial import TrialState

from cost_models import registry
from cost_models.protocol import Target
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.distributions import distributions
from search.proposing.recalling import Recalling
from search.proposing.samplers import build_sampler
from search.proposing.within_budget import DRAWS, WithinBudget
from supernet.families.catalog import Supernet

LED = {"random": RandomSampler, "nsga2": NSGAIISampler}


def at(supernet: Supernet, share: float | None, objectives: tuple[str, ...] = ("top1",)) -> Problem:
    """A budget of multiply-adds at a share of the reach."""
    macs = registry.build("macs", Target(supernet))
    reach = macs.reach()
    budgets = {} if share is None else {"macs": reach.minimum + share * (reach.maximum - reach.minimum)}
    return Problem(supernet.space, parse_objectives(objectives), {"macs": macs}, budgets)


def propose(problem: Problem, study: optuna.Study, n: int) -> list[str]:
    """Ids of n proposals, told as a search tells them: accuracy grows with the multiply-adds."""
    proposed = []
    for _ in range(n):
        trial = study.ask(distributions(problem.space))
        arch = problem.space.arch(trial.params)
        macs = problem.costs["macs"](arch)
        proposed.append(arch.id)
        if problem.budgets and macs > problem.budgets["macs"]:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, [macs / 1e7, macs][: len(problem.objectives)])
    return proposed


def new_study(problem: Problem, sampler: BaseSampler) -> optuna.Study:
    return optuna.create_study(directions=[o.direction for o in problem.objectives], sampler=sampler)


@pytest.mark.parametrize("name", LED)
@pytest.mark.parametrize("objectives", [("top1",), ("top1", "macs")])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_every_proposal_is_new_and_within(
    name: str, objectives: tuple[str, ...], share: float, supernet: Supernet
) -> None:
    problem = at(supernet, share, objectives)
    study = new_study(problem, build_sampler(name, problem, 0, 20))
    assert len(set(propose(problem, study, 20))) == 20
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


def optunas_own(sampler: BaseSampler) -> BaseSampler:
    """The one that is shown so many trials at most."""
    return sampler.inner if isinstance(sampler, Recalling) else sampler


@pytest.mark.parametrize("name", LED)
def test_without_budgets_it_is_optunas_own(name: str, supernet: Supernet) -> None:
    assert type(optunas_own(build_sampler(name, at(supernet, None), 0, 20))) is LED[name]


def test_tpe_learns_from_constraints_and_is_left_alone(supernet: Supernet) -> None:
    assert type(optunas_own(build_sampler("tpe", at(supernet, 0.05), 0, 20))) is TPESampler


def test_nsga2_breeds_from_what_was_measured(supernet: Supernet) -> None:
    problem = at(supernet, 0.05)
    study = new_study(problem, build_sampler("nsga2", problem, 0, 24))
    propose(problem, study, 24)
    generations = [trial.system_attrs["NSGAIISampler:generation"] for trial in study.trials]
    assert generations == sorted(generations)
    assert generations[-1] == 2, "8 measured archs make a generation"


class Insistent(RandomSampler):
    """Draws the largest arch whenever it is asked, and counts."""

    asked = 0

    def sample_independent(
        self, study: object, trial: object, param_name: str, param_distribution: CategoricalDistribution
    ) -> object:
        self.asked += param_name == "resolution"
        return param_distribution.choices[-1]


def test_draws_are_bounded_and_the_last_is_mended(supernet: Supernet) -> None:
    problem, inner = at(supernet, 0.05), Insistent()
    study = new_study(problem, WithinBudget(inner, problem, seed=0))
    assert len(set(propose(problem, study, 10))) == 10
    assert inner.asked == 10 * DRAWS
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


def test_where_one_arch_is_within_it_is_proposed_again(supernet: Supernet) -> None:
    problem = at(supernet, 0.0)
    study = new_study(problem, build_sampler("random", problem, 0, 20))
    assert set(propose(problem, study, 3)) == {problem.space.smallest().id}


def test_where_none_is_known_to_be_within_proposals_go_on(supernet: Supernet) -> None:
    problem = at(supernet, -0.01)
    study = new_study(problem, build_sampler("random", problem, 0, 20))
    assert len(set(propose(problem, study, 5))) == 5


def test_a_choice_that_was_fixed_stays(supernet: Supernet) -> None:
    problem = at(supernet, 0.2)
    study = new_study(problem, build_sampler("random", problem, 0, 20))
    largest = problem.space.by_name["resolution"].choices[-1]
    for _ in range(4):
        study.enqueue_trial({"resolution": largest})
    propose(problem, study, 4)
    assert {trial.params["resolution"] for trial in study.trials} == {largest}
    assert all(trial.state == TrialState.COMPLETE for trial in study.trials)


@pytest.mark.parametrize("name", LED)
def test_one_seed_gives_one_run_and_a_resumed_run_repeats_nothing(name: str, supernet: Supernet) -> None:
    problem = at(supernet, 0.05)
    study = new_study(problem, build_sampler(name, problem, 3, 20))
    first = propose(problem, study, 8)
    assert propose(problem, new_study(problem, build_sampler(name, problem, 3, 20)), 8) == first
    study.sampler = build_sampler(name, problem, 3, 20)  # with the random numbers of the first eight
    assert not set(first) & set(propose(problem, study, 8))
