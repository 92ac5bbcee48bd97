"""Trials that have ended are read by the arch that they claimed, and that is the arch of their parameters."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.proposing.history import codes_of_ended
from search.runs.run import Run
from search.runs.trials import search
from search.storages import reading_ended
from search.storages.following import ARCH_ID, CLAIM, KnownTrials
from tests.helpers.free_search import free_run


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few trials are read as many are, in more than one part."""
    monkeypatch.setattr(reading_ended, "MANY", 1)
    monkeypatch.setattr(reading_ended, "TRIALS_AT_ONCE", 4)


def read(run: Run) -> KnownTrials:
    known = KnownTrials()
    known.follow(run.study())
    return known


@pytest.mark.parametrize("sampler", ["random", "guided", "nsga2"])
def test_what_was_claimed_is_the_arch_of_the_parameters(at_once: None, sampler: str, tmp_path: Path) -> None:
    run = free_run(tmp_path / "run", sampler, 9, "folder")
    search(run, lambda _: None)
    made = {trial.number: trial for trial in run.study().get_trials() if trial.state.is_finished()}
    ended, space = read(run).ended, run.problem.space
    assert [trial.number for trial in ended] == list(made)
    assert any(CLAIM in trial.system_attrs for trial in made.values())
    codes, are_archs = codes_of_ended(space, ended)
    assert are_archs.all()
    for trial, arch in zip(ended, space.decode(codes), strict=True):
        assert arch == space.arch(made[trial.number].params) == space.arch(trial.params)
        assert arch.id == trial.user_attrs[ARCH_ID]


def test_parameters_are_read_where_nothing_was_claimed(at_once: None, tmp_path: Path) -> None:
    """Of archs that were enqueued, of studies of earlier versions, and of a trial whose process died after its claim."""
    run = free_run(tmp_path / "run", "random", 6, "folder")
    search(run, lambda _: None)
    study, template = run.study(), {"state": TrialState.FAIL, "system_attrs": {CLAIM: [1, 2, 3]}}
    study.add_trial(optuna.trial.create_trial(**template))
    before: dict[int, FrozenTrial] = {}
    for trial in study.get_trials():
        if trial.state == TrialState.COMPLETE:
            copy = optuna.trial.create_trial(
                params=trial.params, distributions=trial.distributions, values=trial.values, user_attrs=trial.user_attrs,
            )  # fmt: skip
            study.add_trial(copy)
            before[trial.number] = trial
    ended = {trial.number: trial for trial in read(run).ended}
    failed = len(ended) - len(before) - 1
    assert (ended[failed].state, ended[failed].params) == (TrialState.FAIL, {})
    for i, trial in enumerate(before.values()):
        assert ended[failed + 1 + i].params == trial.params
