"""What a training emits is kept beside its weights, and is a share of what deployments take."""

from __future__ import annotations

from pathlib import Path

import pytest

import oncefit
from cost_models.tracking import read_tracked
from supernet.errors import InputError
from supernet.training import training_job
from supernet.training.training_job import Trained, TrainingTask

RECIPE = "fmnist_mbv3"


def work(task: TrainingTask, *_: object) -> Trained:
    """In place of a training."""
    sum(range(1_000_000))
    return Trained(task.weights, "", {})


@pytest.mark.filterwarnings("ignore")
def test_each_training_has_its_ledger_that_adds_up_and_a_deployment_takes_a_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("codecarbon")
    monkeypatch.setattr(training_job, "run_training", work)
    oncefit.train(RECIPE, out=tmp_path)
    assert not list(tmp_path.iterdir()), "nothing is kept that was not asked for"
    for alone in (None, "small", None):
        oncefit.train(RECIPE, alone=alone, out=tmp_path, track_carbon=True)
    whole, small = (read_tracked(tmp_path / f"{stem}.emissions.json") for stem in ("supernet", "small"))
    assert (whole.sessions, small.sessions) == (2, 1)
    assert min(small.kg, whole.kg) > 0
    deployment = {
        "requests_per_day": 1, "life_days": 1, "inference": {"mg": 1.0},
        "training": {"tracked": str(tmp_path / "supernet.emissions.json"), "shared_by": 40},
        "finetuning": {"tracked": str(tmp_path / "small.emissions.json")},
    }  # fmt: skip
    once = oncefit.carbon(None, deployment).found.specialised.once_kg
    assert once["training"].value == pytest.approx(whole.kg / 40)
    assert once["finetuning"].value == pytest.approx(small.kg)


@pytest.mark.filterwarnings("ignore")
def test_what_a_stopped_training_emitted_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("codecarbon")

    def stopped(*_: object) -> Trained:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_job, "run_training", stopped)
    with pytest.raises(KeyboardInterrupt):
        oncefit.train(RECIPE, out=tmp_path, track_carbon=True)
    assert read_tracked(tmp_path / "supernet.emissions.json").sessions == 1


def test_a_ledger_of_something_else_is_refused_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("codecarbon")
    monkeypatch.setattr(training_job, "run_training", lambda *_: pytest.fail("it was trained"))
    (tmp_path / "supernet.emissions.json").write_text("{}")
    with pytest.raises(InputError, match=r"supernet\.emissions\.json: the key"):
        oncefit.train(RECIPE, out=tmp_path, track_carbon=True)
