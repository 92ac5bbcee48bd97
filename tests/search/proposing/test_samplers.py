"""Every registered sampler, on the embedded space with budgets."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import optuna
import pytest

from cost_models import registry
from cost_models.protocol import Target
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.distributions import distributions
from search.proposing.samplers import SAMPLERS, build_sampler
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet


@pytest.fixture(scope="module")
def problem(supernet: Supernet) -> Problem:
    costs = {name: registry.build(name, Target(supernet)) for name in ("macs", "params")}
    budgets = {"macs": 3e6, "params": 150_000.0}
    return Problem(supernet.space, parse_objectives(["top1", "macs"]), costs, budgets)


def propose(problem: Problem, name: str, seed: int, trials: int) -> list[Arch]:
    """What a sampler proposes, told what keeps the budgets: a made-up accuracy, and the costs."""
    study = optuna.create_study(
        directions=[o.direction for o in problem.objectives],
        sampler=build_sampler(name, problem, seed, trials),
    )
    proposed = []
    for _ in range(trials):
        trial = study.ask(distributions(problem.space))
        arch = problem.space.arch(trial.params)
        costs = {cost: model(arch) for cost, model in problem.costs.items()}
        for cost, limit in problem.budgets.items():
            trial.set_constraint(cost, costs[cost] - limit)
        values = [arch.resolution / 100 if o.is_accuracy else costs[o.name] for o in problem.objectives]
        if all(costs[cost] <= limit for cost, limit in problem.budgets.items()):
            study.tell(trial, values)
        else:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        proposed.append(arch)
    return proposed


LED = ("guided", "nsga2", "random")
"""Samplers that never propose what is over a budget, nor an arch twice; Optuna's TPE is left alone."""


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("objectives", [["top1"], ["top1", "macs"], ["top1", "macs", "params"]])
def test_every_sampler_runs_a_budgeted_study(problem: Problem, name: str, objectives: list[str]) -> None:
    problem = Problem(problem.space, parse_objectives(objectives), problem.costs, problem.budgets)
    proposed = propose(problem, name, 0, 15)
    within = [
        all(problem.costs[cost](arch) <= limit for cost, limit in problem.budgets.items())
        for arch in proposed
    ]
    if name in LED:
        assert all(within)
        assert len(set(proposed)) == 15
    else:
        assert 0 < sum(within) < 15, "what is over a budget is proposed too, and the study goes on"
    assert len({arch.resolution for arch in proposed}) > 1


def test_hardly_any_arch_keeps_the_budgets(problem: Problem) -> None:
    """So that whoever keeps them 15 times does not by chance."""
    archs = problem.space.decode(problem.space.sample(300, np.random.default_rng(0)))
    kept = [all(problem.costs[c](arch) <= limit for c, limit in problem.budgets.items()) for arch in archs]
    assert 0 < np.mean(kept) < 0.5


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_gives_a_study_and_another_one_another(problem: Problem, name: str) -> None:
    first, again, other = (propose(problem, name, seed, 6) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_an_unknown_sampler_is_told_the_closest_one(problem: Problem) -> None:
    with pytest.raises(InputError, match=r"unknown sampler 'nsga'.*'nsga2'.*guided, nsga2, random, tpe"):
        build_sampler("nsga", problem, 0, 15)


def test_the_registry_imports_nothing_heavy() -> None:
    heavy = ["torch", "sklearn", "scipy", "pandas", "optuna"]
    program = f"import sys, search.proposing.samplers; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_problem_needs_a_model_for_each_cost(problem: Problem) -> None:
    with pytest.raises(InputError, match="unknown cost 'energy_mj'"):
        Problem(problem.space, problem.objectives, problem.costs, {"energy_mj": 1.0})


def test_totals_and_limits_stand_in_the_order_of_the_costs(problem: Problem) -> None:
    arch = problem.space.largest()
    totals = problem.totals(problem.space.encode([arch]))
    assert totals.tolist() == [[cost(arch) for cost in problem.costs.values()]]
    assert problem.limits.tolist() == [3e6, 150_000.0]
    assert not problem.within(problem.space.encode([arch]))[0]
