"""Two commands that would train into one place: the second is refused, and the first goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

import oncefit
from oncefit.one_at_a_time import one_at_a_time
from supernet.bundles.bundle import write_bundle
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.images.data import Dataset
from supernet.training import training_job
from supernet.training.training_job import Trained, TrainingTask
from tests.helpers.digits import write_digits

RECIPE = "fmnist_mbv3"


class Enough(Exception):
    """Ends a training that has shown what it was to show."""


def test_a_second_finetuning_into_one_bundle_is_refused(
    supernet: Supernet, few: Dataset, tmp_path: Path
) -> None:
    arch, out = supernet.space.smallest(), tmp_path / "made" / "tuned"
    write_bundle(tmp_path / "parent", supernet, supernet.load(), arch, few, {"macs": 1.0}, {})
    digits = write_digits(tmp_path / "digits", 2, 20)
    seen = []

    def meanwhile(_: str) -> None:
        """What is said once the first is at work."""
        seen.extend(out.parent.iterdir())
        with pytest.raises(
            InputError, match=r"another process fine-tunes into .*tuned; wait for it or stop it"
        ):
            oncefit.finetune(tmp_path / "parent", digits, out=out)
        raise Enough

    with pytest.raises(Enough):
        oncefit.finetune(tmp_path / "parent", digits, out=out, say=meanwhile)
    assert [path.name for path in seen] == ["tuned.lock"]
    assert not out.parent.exists(), "the next command finds no lock"


def test_a_second_training_of_the_same_weights_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str | None] = []

    def work(task: TrainingTask, *_: object) -> Trained:
        done.append(task.alone)
        if task.alone is None:
            with pytest.raises(InputError, match=r"another process trains .*supernet\.safetensors; wait"):
                oncefit.train(RECIPE, out=tmp_path / "made")
            oncefit.train(RECIPE, alone="small", out=tmp_path / "made")  # other weights
        return Trained(task.weights, "", {}, None, task.out / "learning_curve.csv")

    monkeypatch.setattr(training_job, "run_training", work)
    oncefit.train(RECIPE, out=tmp_path / "made")
    assert done == [None, "small"]
    assert not (tmp_path / "made").exists(), "nothing was put there"


def test_the_folder_that_one_is_in_has_its_lock_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with one_at_a_time(Path(), "trains"):
        assert [path.name for path in tmp_path.glob("*.lock")] == ["here.lock"]
