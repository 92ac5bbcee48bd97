"""What a process does where the answer of a storage is lost, or no answer comes any more."""

from pathlib import Path

import optuna
import pytest
from optuna.storages import InMemoryStorage
from optuna.trial import TrialState

from search.runs.trials import attempt, search
from search.storages import patience
from search.storages.workers import Worker, at_work, places_of
from tests.helpers.free_search import free_run


class LosesTheFirstAnswer(InMemoryStorage):
    """Does what it is asked, and says so from the second time on."""

    answers = 0

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: object = None) -> bool:
        done = super().set_trial_state_values(trial_id, state, values)  # type: ignore[arg-type]
        self.answers += 1
        if self.answers == 1:
            raise ConnectionResetError
        return done


def is_lost(error: Exception) -> bool:
    return isinstance(error, ConnectionError)


def test_a_trial_that_was_taken_without_an_answer_is_ones_own(tmp_path: Path) -> None:
    storage = patience.patient(LosesTheFirstAnswer(), is_lost, "far", sleep=lambda _: None)
    study = optuna.create_study(storage=storage)
    study.enqueue_trial({"x": 1})
    first, second = Worker(tmp_path), Worker(tmp_path)
    [waiting] = study.get_trials()
    assert first._takes(storage, waiting)
    assert not second._takes(storage, waiting)
    [taken] = study.get_trials()
    assert taken.state == TrialState.RUNNING
    assert list(places_of(taken)) == [first.id]


def test_whoever_gave_a_storage_up_asks_it_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial is failed by whoever comes when the storage is back."""
    run = free_run(tmp_path / "run", "random", 2, "folder")
    search(run, lambda _: None)
    study, asked = run.study(), list[str]()

    def away(*_: object) -> None:
        asked.append("")
        raise patience.gave_up("far", 300.0)

    def consider(*_: object) -> None:
        for name in ("set_trial_user_attr", "set_trial_state_values", "get_trial"):
            monkeypatch.setattr(study._storage, name, away)
        study._storage.set_trial_user_attr(0, "x", 1)

    monkeypatch.setattr("search.runs.trials.asked", lambda *_: study.ask())
    monkeypatch.setattr("search.runs.trials.consider", consider)
    with at_work(run.folder) as worker, pytest.raises(patience.GaveUp, match="has not answered for 300 s"):
        attempt(run, study, None, worker)  # type: ignore[arg-type]
    assert len(asked) == 1
