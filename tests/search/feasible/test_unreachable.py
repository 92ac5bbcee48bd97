"""Budgets just below and just above the least that can be reached: nothing runs for ever."""

from __future__ import annotations

import optuna
import pytest

from cost_models.protocol import Target
from cost_models.registry import build
from search.feasible.budget_messages import check_feasible
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.distributions import distributions
from search.proposing.predictor_search import Effort, search_directly
from search.proposing.samplers import SAMPLERS, build_sampler
from supernet import documents
from supernet.errors import InputError
from supernet.families.catalog import open_supernet

PROPOSALS = 6
LED = [name for name in SAMPLERS if name != "tpe"]
"""Samplers that keep every budget that can be kept."""


def problem_of(supernet: str, share: float) -> Problem:
    """Multiply-adds may be this share of the least there is."""
    opened = open_supernet(supernet)
    macs = build("macs", Target(opened))
    return Problem(
        opened.space, parse_objectives(["top1"]), {"macs": macs}, {"macs": share * macs.reach().minimum}
    )


def proposed(problem: Problem, sampler: str) -> list[float]:
    """Costs of some archs that a sampler proposes, relative to the budget; those over it are told as pruned."""
    study = optuna.create_study(direction="maximize", sampler=build_sampler(sampler, problem, 0, PROPOSALS))
    found = []
    for i in range(PROPOSALS):
        trial = study.ask(distributions(problem.space))
        [[cost]] = problem.totals(problem.space.encode([problem.space.arch(trial.params)]))
        found.append(float(cost / problem.limits[0]))
        trial.set_constraint("macs", found[-1] - 1)
        if found[-1] <= 1:
            study.tell(trial, 0.5 + i / 100)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    return found


@pytest.mark.parametrize("supernet", documents.names("supernets"))
def test_a_budget_below_the_least_is_refused_and_one_above_is_not(supernet: str) -> None:
    with pytest.raises(InputError, match=rf"no subnet of {supernet} reaches it; the smallest is"):
        check_feasible(problem_of(supernet, 1 - 1e-6), "")
    above = problem_of(supernet, 1 + 1e-6)
    witness = check_feasible(above, "")
    assert witness is not None
    assert above.costs["macs"](witness) <= above.budgets["macs"]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("supernet", documents.names("supernets"))
def test_every_sampler_ends_where_no_arch_is_within(supernet: str, sampler: str) -> None:
    assert min(proposed(problem_of(supernet, 1 - 1e-6), sampler)) > 1


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("supernet", documents.names("supernets"))
def test_every_sampler_ends_where_hardly_an_arch_is_within(supernet: str, sampler: str) -> None:
    found = proposed(problem_of(supernet, 1 + 1e-6), sampler)
    assert len(found) == PROPOSALS
    assert sampler not in LED or max(found) <= 1


@pytest.mark.parametrize("supernet", documents.names("supernets"))
def test_a_search_on_a_predictor_ends_where_hardly_an_arch_is_within(supernet: str) -> None:
    problem = problem_of(supernet, 1 + 1e-6)
    found = search_directly(
        problem, lambda codes: codes.mean(axis=1, dtype=float), 5, 0, Effort(64, 2, 32, 16, 2)
    )
    assert len(found.codes)
    assert problem.within(found.codes).all()
