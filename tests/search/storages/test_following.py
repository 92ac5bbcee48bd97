"""A proposal reads what is new in a study, and nothing else."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import optuna
import pytest

from search.proposing.samplers import SAMPLERS
from search.runs.front import best
from search.runs.ledger import Ledger
from search.runs.trials import search
from search.storages import database
from search.storages.following import Follower
from tests.helpers.free_search import free_run

TRIALS = 16


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_proposal_reads_as_many_trials_at_the_end_as_at_the_beginning(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, whole = [0], database.trials

    def counted(*given: object) -> list[optuna.trial.FrozenTrial]:
        found = whole(*given)  # type: ignore[arg-type]
        read[0] += len(found)
        return found

    monkeypatch.setattr(database, "trials", counted)
    run, before = free_run(tmp_path / "run", sampler, TRIALS, "folder"), list[int]()
    search(run, lambda progress: before.append(read[0]))
    each = [after - then for then, after in pairwise(before)]
    # the first few find what a process reads once
    assert max(each[-4:]) <= max(each[3:7]) < TRIALS, each
    study = run.study()
    ledger = Ledger(study, run.problem)
    ledger.follow()
    assert ledger.best(run.axes) == best(list(ledger.known.values()), run.axes)


def test_what_is_best_by_and_by_is_what_is_best_at_once(tmp_path: Path) -> None:
    run = free_run(tmp_path / "run", "random", 12, "folder")
    told = list[object]()
    search(run, lambda progress: told.append(progress.best))
    ledger = Ledger(run.study(), run.problem)
    ledger.follow()
    known = sorted(ledger.known.values(), key=lambda candidate: candidate.number)
    assert told[-len(known) :] == [best(known[:count], run.axes) for count in range(1, len(known) + 1)]


def test_followers_of_one_storage_read_what_has_ended_once(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")
    followers = [Follower(), Follower()]
    for value in range(3):
        study.tell(study.ask(), value)
        first, second = (follower.news(study) for follower in followers)
        assert [trial.value for trial in first] == [value]
        if value:  # at first all are listed
            assert first[0] is second[0]
    open_trial = study.ask()
    assert [follower.news(study)[0].state.name for follower in followers] == ["RUNNING"] * 2
    study.tell(open_trial, 7.0)
    assert [follower.news(study)[0].value for follower in followers] == [7.0] * 2
