"""A journal is replayed to what Optuna makes of it."""

from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from search.storages.urls import open_storage
from tests.helpers.trials_of_all_kinds import all_kinds

DIRECTIONS = ["maximize", "minimize"]


def test_every_trial_is_as_optuna_replays_it(tmp_path: Path) -> None:
    ours = open_storage(f"journal:///{tmp_path}/study.journal")
    for name in ("one", "other"):
        study = optuna.create_study(storage=ours, study_name=name, directions=DIRECTIONS)
        all_kinds(study)
    for storage in (ours, open_storage(f"journal:///{tmp_path}/study.journal")):
        theirs = JournalStorage(JournalFileBackend(f"{tmp_path}/study.journal"))
        for study in theirs.get_all_studies():
            found, expected = (
                one.get_all_trials(one.get_study_id_from_name(study.study_name)) for one in (storage, theirs)
            )
            assert [vars(trial) for trial in found] == [vars(trial) for trial in expected]


def test_a_distribution_that_does_not_agree_is_refused_each_time(tmp_path: Path) -> None:
    url = f"journal:///{tmp_path}/study.journal"
    study = optuna.create_study(storage=open_storage(url), study_name="mine")
    kinds = {"x": CategoricalDistribution((1, 2))}
    for _ in range(2):
        study.ask(kinds)
    for other in (FloatDistribution(0, 1), CategoricalDistribution((1, 3)), CategoricalDistribution((1, 3))):
        trial = study.ask()
        with pytest.raises(ValueError, match=r"distribution|kind|value space"):
            study._storage.set_trial_param(trial._trial_id, "x", 0, other)
        again = optuna.Trial(study, study.ask(kinds)._trial_id)
        with pytest.raises(ValueError, match=r"distribution|kind|value space"):
            study._storage.set_trial_param(again._trial_id, "x", 0, other)
    trials = optuna.load_study(study_name="mine", storage=open_storage(url)).trials
    assert {trial.distributions["x"] for trial in trials if trial.params} == set(kinds.values())
