"""Optuna's samplers, which see a number of trials that does not grow."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import TrialState

from search.proposing.recalling import Recalling, recalled

KINDS = {name: CategoricalDistribution((0, 1, 2)) for name in "abcd"}


def proposed(sampler: BaseSampler, trials: int) -> list[dict[str, object]]:
    """What it proposes for a made-up trade-off, some of which is pruned."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    for number in range(trials):
        trial = study.ask(KINDS)
        total = sum(trial.params.values())
        if number % 7 == 3:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, [total + 0.1 * trial.params["a"], total])
    return [trial.params for trial in study.trials]


def of(name: str) -> BaseSampler:
    return NSGAIISampler(population_size=6, seed=1) if name == "nsga2" else TPESampler(seed=1)


@pytest.mark.parametrize("name", ["nsga2", "tpe"])
def test_up_to_so_many_trials_the_sampler_is_as_it_is_by_itself(name: str) -> None:
    assert proposed(Recalling(of(name), 30), 30) == proposed(of(name), 30)


@pytest.mark.parametrize("name", ["nsga2", "tpe"])
def test_of_more_it_sees_no_more(name: str) -> None:
    seen = []

    class Told(Recalling):
        def shown(self, study: optuna.Study) -> optuna.Study:
            found = super().shown(study)
            seen.append(sum(trial.state.is_finished() for trial in found.get_trials(deepcopy=False)))
            return found

    found = proposed(Told(of(name), 10), 30)
    assert max(seen) == 10
    assert len({str(params) for params in found[15:]}) > 3, "it goes on to propose"


def test_the_front_and_the_newest_are_kept() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    for number in range(100):
        # 10, 20 and 30 trade both off, and no other is better than they are
        good = {10: (1.0, 1.0), 20: (2.0, 2.0), 30: (3.0, 3.0)}.get(number)
        study.tell(study.ask(), good or (0.9, 4.0 + number % 5))
    kept = [trial.number for trial in recalled(study.trials, study.directions, 12)]
    assert kept == [10, 20, 30, *range(91, 100)]
    [front, *_] = [recalled(study.trials, study.directions, 4)]
    assert [trial.number for trial in front] == [10, 30, 98, 99], (
        "the front has at most half, and both its ends"
    )
