"""Of one study, each arch has one trial: what a trial was enqueued with and what it claims counts before it says so."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from search.feasible.neighbours import keys
from search.feasible.region import Region
from search.proposing.claims import claiming
from search.proposing.distributions import distributions
from search.proposing.history import History
from search.proposing.samplers import SAMPLERS, build_sampler
from tests.search.proposing.test_guided import tiny


def archs_within() -> set[tuple[int, ...]]:
    """By hand: a kernel counts where the depth has its second layer."""
    every = {(r, d, k) for r in range(3) for d in range(2) for k in range(3) if d or k == 0}
    return {row for row in every if sum(row) <= 2}


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_an_enqueued_arch_is_taken_while_its_parameters_are_being_written(sampler: str, written: int) -> None:
    """Another process may propose between any two of the writes; the first arch that it looks at is the enqueued one."""
    problem = tiny(3)
    space = problem.space
    study = optuna.create_study(direction="maximize")
    [anchor] = space.decode(Region(problem).anchor)
    study.enqueue_trial({d.name: anchor.values.get(d.name, d.choices[0]) for d in space.dimensions})
    enqueued = study.ask()
    for dimension in space.dimensions[:written]:
        enqueued.suggest_categorical(dimension.name, dimension.choices)
    study.sampler = claiming(build_sampler(sampler, problem, 0, 20), problem, 0)
    others = [study.ask(distributions(space)) for _ in range(len(archs_within()) - 1)]
    rows = [tuple(map(int, space.encode([space.arch(trial.params)])[0])) for trial in others]
    assert len(set(rows)) == len(rows)
    if sampler != "tpe":  # which is led into no budget
        assert set(rows) == archs_within() - {tuple(map(int, space.encode([anchor])[0]))}


def test_what_a_finished_trial_was_enqueued_with_counts_no_more_than_what_it_suggested() -> None:
    problem = tiny(3)
    study, space = optuna.create_study(direction="maximize"), problem.space
    study.enqueue_trial({d.name: d.choices[0] for d in space.dimensions})
    trial = study.ask()
    trial.suggest_categorical("resolution", (16, 24, 32))
    history = History(problem)
    [smallest] = keys(np.zeros((1, 3), dtype=np.int16))
    history.follow(study, optuna.trial.create_trial(state=TrialState.RUNNING))
    assert smallest in history.seen.others
    study.tell(trial, 0.5)
    history.follow(study, optuna.trial.create_trial(state=TrialState.RUNNING))
    assert smallest not in history.seen
