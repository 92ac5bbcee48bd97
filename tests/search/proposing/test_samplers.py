"""Every registered sampler, on the embedded space with budgets."""

from __future__ import annotations

import subprocess
import sys

import optuna
import pytest

from cost_models import registry
from cost_models.protocol import Target
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.distributions import distributions
from search.proposing.samplers import SAMPLERS, build_sampler
from supernet.catalog import Supernet
from supernet.errors import InputError


@pytest.fixture(scope="module")
def problem(supernet: Supernet) -> Problem:
    costs = {name: registry.build(name, Target(supernet)) for name in ("macs", "params")}
    budgets = {"macs": 3e6, "params": 150_000.0}
    return Problem(supernet.space, parse_objectives(["top1", "macs"]), costs, budgets)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("objectives", [["top1"], ["top1", "macs"], ["top1", "macs", "params"]])
def test_every_sampler_runs_a_budgeted_study(problem: Problem, name: str, objectives: list[str]) -> None:
    problem = Problem(problem.space, parse_objectives(objectives), problem.costs, problem.budgets)
    study = optuna.create_study(
        directions=[o.direction for o in problem.objectives], sampler=build_sampler(name, problem, 0, 15)
    )
    for _ in range(15):
        trial = study.ask(distributions(problem.space))
        codes = problem.space.encode([problem.space.arch(trial.params)])
        totals = dict(zip(problem.costs, problem.totals(codes)[0].tolist(), strict=True))
        for cost, limit in problem.budgets.items():
            trial.set_constraint(cost, totals[cost] - limit)
        if problem.within(codes)[0]:
            study.tell(
                trial, [totals["macs"] / 1e7 if o.is_accuracy else totals[o.name] for o in problem.objectives]
            )
        else:
            assert name != "guided"
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    assert len(study.trials) == 15
    assert all(set(t.params) == set(problem.space.index) for t in study.trials)


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
