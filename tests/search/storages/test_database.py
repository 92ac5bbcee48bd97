"""The storage of a run: fast commits that a killed process does not lose."""

import inspect
import math
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import BaseStorage, RDBStorage, _CachedStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import text

from search.runs.study import open_storage
from search.storages import database as storages
from search.storages import reading
from tests.helpers.trials_of_all_kinds import all_kinds


def test_every_connection_to_sqlite_writes_ahead(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    with storage.engine.connect() as first, storage.engine.connect() as second:
        for connection in (first, second):
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 1


def test_trials_are_read_as_optuna_reads_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    for name in ("other", "mine"):
        all_kinds(optuna.create_study(storage=url, study_name=name, directions=["maximize", "minimize"]))
    theirs, ours = RDBStorage(url), open_storage(url)
    assert type(ours) is storages.Database
    study_id = theirs.get_study_id_from_name("mine")
    expected = theirs.get_all_trials(study_id)
    assert {trial.state for trial in expected} == set(TrialState)
    found = ours.get_all_trials(study_id)
    assert [vars_of(trial) for trial in found] == [vars_of(trial) for trial in expected]
    assert [vars_of(ours.get_trial(t._trial_id)) for t in expected] == [vars_of(t) for t in expected]
    complete = (TrialState.COMPLETE,)
    assert ours.get_all_trials(study_id, states=complete) == theirs.get_all_trials(study_id, states=complete)
    ids = [trial._trial_id for trial in expected]
    for included, after in ((set[int](), ids[3]), ({ids[0], ids[2], ids[6]}, ids[3]), (set(ids), ids[-1])):
        chosen = [storage._get_trials(study_id, None, included, after) for storage in (ours, theirs)]
        assert [vars_of(trial) for trial in chosen[0]] == [vars_of(trial) for trial in chosen[1]]


def test_whole_trials_are_written_as_optuna_writes_them(tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("theirs", "ours")]
    source = optuna.create_study(
        directions=["maximize", "minimize"], sampler=optuna.samplers.RandomSampler(0)
    )
    for _ in range(2):  # the second time parameters are known to agree, and written at once
        all_kinds(source)
    studies = [
        optuna.create_study(storage=storage, study_name="copy", directions=["maximize", "minimize"])
        for storage in (RDBStorage(urls[0]), open_storage(urls[1]))
    ]
    for study in studies:
        study.add_trials(source.trials)
    expected, found = (RDBStorage(url).get_all_trials(1) for url in urls)
    assert [vars_of(trial) for trial in found] == [vars_of(trial) for trial in expected]
    assert len(found) == len(source.trials)
    other = optuna.trial.create_trial(
        params={"count": 5}, distributions={"count": CategoricalDistribution((5, 6))}, values=[1.0, 2.0]
    )
    for study in studies:
        with pytest.raises(ValueError, match="distribution"):
            study.add_trial(other)


@pytest.mark.parametrize("other", [False, True])
def test_many_trials_are_read_as_optuna_reads_them(tmp_path: Path, other: bool) -> None:
    """Names and values that need quoting; ``other`` is a parameter that is not categorical, in one trial."""
    url, rng = f"sqlite:///{tmp_path}/study.db", random.Random(0)
    study = optuna.create_study(storage=open_storage(url), study_name="mine", directions=["maximize"] * 2)
    kinds = {
        'a,"b"': CategoricalDistribution((None, "x,1", 2, 0.5)),
        "\u00e9": CategoricalDistribution((True, False)),
    }
    made = [
        optuna.trial.create_trial(
            params={name: rng.choice(of.choices) for name, of in kinds.items()}, distributions=kinds, values=[i, math.inf],
            user_attrs={'a "key"': {"nested": [i, "\u00e9,"]}, "not a number": -math.inf} if i % 2 else {},
        )
        for i in range(reading.MANY + 6)
    ]  # fmt: skip
    if other:
        rate = {"rate": FloatDistribution(0, 1)}
        made.append(optuna.trial.create_trial(params={"rate": 0.25}, distributions=rate, values=[1, 2]))
    study.add_trials(made)
    study.ask()
    found, expected = (storage.get_all_trials(1) for storage in (open_storage(url), RDBStorage(url)))
    assert [vars_of(trial) for trial in found] == [vars_of(trial) for trial in expected]
    assert [list(trial.params) for trial in found] == [list(trial.params) for trial in expected]
    assert (found[0].distributions is found[5].distributions) is not other


def test_trials_that_several_make_at_once_have_a_number_each(tmp_path: Path) -> None:
    url, count, makers = f"sqlite:///{tmp_path}/study.db", 30, 4
    for name in ("other", "mine"):
        optuna.create_study(storage=open_storage(url), study_name=name).ask()

    def made(_: int) -> None:
        storage = open_storage(url)
        for _ in range(count):
            storage.create_new_trial(2)

    with ThreadPoolExecutor(makers) as pool:
        list(pool.map(made, range(makers)))
    found = sorted(RDBStorage(url).get_all_trials(2), key=lambda trial: trial._trial_id)
    assert [trial.number for trial in found] == list(range(1 + count * makers))


def test_what_is_written_again_after_a_lost_answer_is_written_over(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    database = storages.Database(url)
    study = optuna.create_study(storage=database, study_name="mine")
    letters = CategoricalDistribution(("a", "b"))
    trials = [study.ask() for _ in range(2)]
    for trial in (
        trials[0],
        trials[1],
        trials[1],
    ):  # from the second on it is known what the study's parameters are
        database.write_together(trial._trial_id, [storages.Param("letter", 1.0, letters)])
    assert [one.params for one in RDBStorage(url).get_all_trials(1)] == [{"letter": "b"}] * 2


def vars_of(trial: FrozenTrial) -> dict[str, object]:
    return vars(trial)


def test_what_is_used_of_optuna_without_a_public_name_is_as_it_was() -> None:
    """The range of versions in pyproject.toml is that of which this holds."""
    assert list(inspect.signature(RDBStorage._get_trials).parameters) == [
        "self", "study_id", "states", "included_trial_ids", "trial_id_greater_than",
    ]  # fmt: skip
    assert "self._backend._get_trials(" in inspect.getsource(_CachedStorage)
    assert list(inspect.signature(RDBStorage._set_trial_param).parameters) == [
        "self", "trial_id", "param_name", "param_value_internal", "distribution", "previous_distribution",
    ]  # fmt: skip
    assert "self._backend._set_trial_param(" in inspect.getsource(_CachedStorage)
    assert list(inspect.signature(RDBStorage._get_prepared_new_trial).parameters) == [
        "self", "study_id", "template_trial", "session",
    ]  # fmt: skip
    study = optuna.create_study()
    assert isinstance(study._storage, BaseStorage)
    assert study._study_id == study._storage.get_study_id_from_name(study.study_name)
    trial = study.ask()
    assert study._storage.get_trial(trial._trial_id).number == trial.number == 0
    assert study._storage.get_trial_id_from_study_id_trial_number(study._study_id, 0) == trial._trial_id
    again = optuna.Trial(study, trial._trial_id)
    assert again.suggest_categorical("x", (1,)) == 1
