"""A proposal reads what is new in a study, and nothing else."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from search.proposing.samplers import SAMPLERS
from search.runs.front import best
from search.runs.ledger import Ledger
from search.runs.trials import search
from search.storages import database, reading
from search.storages.ended import EndedTrial
from search.storages.following import KnownTrials, as_frozen, followed
from search.storages.urls import open_storage
from tests.helpers.free_search import free_run
from tests.helpers.trials_of_all_kinds import all_kinds

TRIALS = 16


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_proposal_reads_as_many_trials_at_the_end_as_at_the_beginning(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, given = [0], database.Database._asked

    def counted(*asked: object) -> list[optuna.trial.FrozenTrial]:
        found = given(*asked)  # type: ignore[arg-type]
        read[0] += len(found)
        return found

    monkeypatch.setattr(database.Database, "_asked", counted)
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


STORAGES = ["sqlite:///{}/study.db", "journal:///{}/study.journal", None]


def made_study(url: str | None, folder: Path) -> optuna.Study:
    storage = open_storage(url.format(folder)) if url is not None else None
    sampler = optuna.samplers.RandomSampler(0)
    return optuna.create_study(
        storage=storage, study_name="mine", directions=["maximize", "minimize"], sampler=sampler
    )


@pytest.mark.parametrize("url", STORAGES)
def test_trials_are_followed_from_state_to_state_in_any_storage(url: str | None, tmp_path: Path) -> None:
    study = made_study(url, tmp_path)
    assert followed(study) == ([], [], 0)
    first, second = study.ask(), study.ask()
    assert [trial.number for trial in followed(study).open] == [0, 1]
    study.tell(second, [0.5, 2.0])
    now = followed(study)
    assert ([trial.number for trial in now.ended], [trial.number for trial in now.open]) == ([1], [0])
    study.tell(first, state=optuna.trial.TrialState.FAIL)
    third = study.ask()
    now = followed(study)
    assert [(trial.number, trial.state.name) for trial in now.ended] == [(1, "COMPLETE"), (0, "FAIL")]
    assert ([trial.number for trial in now.open], now.seen) == ([third.number], 3)
    assert followed(study, 1) == (now.ended[1:], now.open, 3)


@pytest.mark.parametrize("url", STORAGES)
@pytest.mark.parametrize("more", [0, reading.MANY])
def test_what_has_ended_is_what_optuna_says_of_it(url: str | None, more: int, tmp_path: Path) -> None:
    """Read at once where there are many, and one by one."""
    study = made_study(url, tmp_path)
    all_kinds(study)
    kinds = {"x": CategoricalDistribution((3, "a", None)), "y": CategoricalDistribution((True,))}
    for i in range(more):
        trial = study.ask(kinds)
        trial.set_user_attr("costs", {"macs": 0.1 * i, "params": math.inf, "a,'b'": -1.0})
        study.tell(trial, [i, math.inf])
    study.enqueue_trial({"x": 3})
    again = optuna.load_study(study_name="mine", storage=study._storage)
    expected = [trial for trial in again.get_trials() if trial.state.is_finished()]
    fresh = KnownTrials().news(study)
    assert [told_of(trial) for trial in fresh.ended] == [told_of(trial) for trial in expected]
    assert [trial.number for trial in as_frozen(study, fresh.ended)] == [trial.number for trial in expected]
    assert as_frozen(study, fresh.ended[2:4]) == expected[2:4]
    assert {trial.state.name for trial in fresh.open} == {"RUNNING", "WAITING"}


def told_of(trial: FrozenTrial | EndedTrial) -> tuple[object, ...]:
    return (
        trial.number, trial.state, list(trial.values or []), trial.params, trial.user_attrs,
        trial.datetime_start, trial.datetime_complete, trial.duration,
    )  # fmt: skip


def test_what_one_part_of_a_process_has_read_the_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = made_study(STORAGES[0], tmp_path)
    study.tell(study.ask(), [1.0, 2.0])
    [known] = followed(study).ended
    monkeypatch.setattr(database, "trials", None)
    assert followed(study).ended == [known]
