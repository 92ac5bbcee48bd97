"""Trials that have ended are read by the arch that they claimed, and that is the arch of their parameters."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from search.proposing.distributions import distributions
from search.proposing.history import codes_of_ended, codes_of_trial
from search.runs.run import Run
from search.runs.trials import search
from search.storages import reading_ended
from search.storages.following import ARCH_ID, CLAIM, KnownTrials, News
from tests.helpers.free_search import free_run


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few trials are read as many are, in more than one part."""
    monkeypatch.setattr(reading_ended, "MANY", 1)
    monkeypatch.setattr(reading_ended, "TRIALS_AT_ONCE", 4)


def read(run: Run) -> News:
    return KnownTrials().news(run.study())


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


def test_others_open_trials_are_read_without_the_parameters_that_their_claims_say(tmp_path: Path) -> None:
    run = free_run(tmp_path / "run", "random", 3, "folder")
    search(run, lambda _: None)
    study, space = run.study(), run.problem.space
    study.sampler = optuna.samplers.RandomSampler(0)  # which claims nothing
    kinds = distributions(space)
    codes = space.encode([space.smallest(), space.largest()])
    known = KnownTrials()
    claiming, foreign = study.ask(kinds), study.ask(kinds)
    study.enqueue_trial({"resolution": 28}, user_attrs={"again": 1})
    study._storage.set_trial_system_attr(claiming._trial_id, CLAIM, codes[1].tolist())
    assert [len(trial.params) for trial in known.news(study).open] == [len(kinds), len(kinds), 0]
    found = known.news(study).open
    assert [len(trial.params) for trial in found] == [0, len(kinds), 0]
    assert codes_of_trial(space, found[0]).tolist() == [codes[1].tolist()]
    assert codes_of_trial(space, found[1]).tolist() == [
        space.encode([space.arch(foreign.params)])[0].tolist()
    ]
    assert found[2].user_attrs == {"again": 1}
    study.tell(claiming, [0.5])
    last = known.news(study).ended[-1]
    assert (last.number, last.params) == (claiming.number, claiming.params)
