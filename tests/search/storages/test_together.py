"""What is written to a trial at once: the same as one after the other, with one wait for the disk."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event

from search.proposing.distributions import distributions
from search.storages.following import CLAIM
from search.storages.together import written_together
from search.storages.urls import open_storage
from search.storages.workers import Worker
from supernet.archs.space import Dimension, SearchSpace

KINDS = ("study.db", "study.journal")
SPACE = SearchSpace("small", (Dimension("depth", (1, 2)), Dimension("width", (3, 5))))


def url_of(file: Path) -> str:
    return f"sqlite:///{file}" if file.suffix == ".db" else str(file)


def opened(file: Path) -> optuna.Study:
    return optuna.create_study(storage=open_storage(url_of(file)), study_name="mine", load_if_exists=True)


def as_optuna_reads_it(file: Path) -> list[FrozenTrial]:
    plain = (
        RDBStorage(url_of(file)) if file.suffix == ".db" else JournalStorage(JournalFileBackend(str(file)))
    )
    return optuna.load_study(storage=plain, study_name="mine").get_trials()


def begin(study: optuna.Study) -> optuna.Trial:
    return optuna.Trial(study, study._storage.create_new_trial(study._study_id))


def written(trial: optuna.Trial) -> None:
    """Four parameters, of which one is new after the first trial, and three attributes, one of them twice."""
    for name in ("a", "b", "c", f"only {trial.number}"):
        trial.suggest_categorical(name, (3, 5, "seven"))
    trial.set_user_attr("costs", {"macs": 1.5})
    trial.set_user_attr("costs", {"macs": 2.5})
    trial.set_constraint("macs", -1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_optuna_reads_what_was_written_at_once_as_what_was_written_singly(kind: str, tmp_path: Path) -> None:
    found = {}
    for way in ("singly", "at once"):
        (tmp_path / way).mkdir()
        study = opened(tmp_path / way / kind)
        study.sampler = optuna.samplers.RandomSampler(0)
        for _ in range(3):
            trial = begin(study)
            if way == "singly":
                written(trial)
            else:
                with written_together(study, trial._trial_id):
                    written(trial)
            study.tell(trial, 1.0)
        found[way] = [
            (t.number, t.state, t.params, t.distributions, t.user_attrs, t.system_attrs, t.constraints)
            for t in as_optuna_reads_it(tmp_path / way / kind)
        ]
    assert found["at once"] == found["singly"]
    assert len(found["singly"]) == 3
    assert found["singly"][0][4] == {"costs": {"macs": 2.5}}


def test_a_journal_waits_for_the_disk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = opened(tmp_path / "study.journal")
    trial, waits = begin(study), list[int]()
    monkeypatch.setattr(os, "fsync", waits.append)
    with written_together(study, trial._trial_id):
        written(trial)
    assert len(waits) == 1
    written(begin(study))
    assert len(waits) == 1 + 1 + 7, "else once for its beginning, each parameter and each attribute"


def test_a_database_commits_once(tmp_path: Path) -> None:
    study = opened(tmp_path / "study.db")
    commits = list[object]()
    event.listen(study._storage._backend.engine, "commit", commits.append)  # type: ignore[attr-defined]
    trial = begin(study)
    commits.clear()
    with written_together(study, trial._trial_id):
        written(trial)
    assert len(commits) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_trial_that_has_ended_nothing_is_written_and_one_error_is_raised(
    kind: str, tmp_path: Path
) -> None:
    study, other = opened(tmp_path / kind), opened(tmp_path / kind)
    trial = begin(study)

    def write_late() -> None:
        with written_together(study, trial._trial_id):
            written(trial)
            other.tell(trial.number, state=TrialState.FAIL)

    with pytest.raises(UpdateFinishedTrialError):
        write_late()
    [failed] = as_optuna_reads_it(tmp_path / kind)
    assert (failed.state, failed.params, failed.user_attrs) == (TrialState.FAIL, {}, {})
    study.tell(begin(study), 2.0)
    assert study.best_value == 2.0, "nothing is left that would be refused later"


@pytest.mark.parametrize("kind", KINDS)
def test_after_an_error_nothing_is_written_and_what_follows_is(kind: str, tmp_path: Path) -> None:
    study = opened(tmp_path / kind)
    trial = begin(study)

    def interrupted() -> None:
        with written_together(study, trial._trial_id):
            trial.set_user_attr("lost", 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    trial.set_user_attr("kept", 2)
    assert as_optuna_reads_it(tmp_path / kind)[0].user_attrs == {"kept": 2}


@pytest.mark.parametrize("kind", KINDS)
def test_another_thread_writes_meanwhile(kind: str, tmp_path: Path) -> None:
    study = opened(tmp_path / kind)
    trial = begin(study)
    with written_together(study, trial._trial_id):
        trial.set_user_attr("mine", 1)
        beat = threading.Thread(
            target=study._storage.set_trial_system_attr, args=(trial._trial_id, "beat", 7)
        )
        beat.start()
        beat.join()
        [seen] = as_optuna_reads_it(tmp_path / kind)
        assert (seen.user_attrs, seen.system_attrs) == ({}, {"beat": 7})
    assert as_optuna_reads_it(tmp_path / kind)[0].user_attrs == {"mine": 1}


class Claims(optuna.samplers.RandomSampler):
    """Writes down what it proposes, and looks what others read of that."""

    def __init__(self, file: Path) -> None:
        super().__init__(0)
        self._others = open_storage(url_of(file))
        self.seen: list[object] = []

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return distributions(SPACE)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, object]:
        study._storage.set_trial_system_attr(trial._trial_id, CLAIM, [0, 1])
        self.seen.append(self._others.get_trial(trial._trial_id).system_attrs[CLAIM])
        return {d.name: d.choices[0] for d in SPACE.dimensions}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_sampler_claims_is_seen_by_others_at_once(kind: str, tmp_path: Path) -> None:
    """The parameters of a trial are written later, together."""
    study = opened(tmp_path / kind)
    study.sampler = sampler = Claims(tmp_path / kind)
    trial = Worker(tmp_path).ask(study, SPACE)
    assert sampler.seen == [[0, 1]]
    assert trial.params == {d.name: d.choices[0] for d in SPACE.dimensions}
