"""From one folder of a person's images to a file for a runtime: every command on the way, one after the other."""

from __future__ import annotations

from pathlib import Path

import yaml

import oncefit
from tests.helpers.digits import write_digits

DIGITS = ("zero", "one", "two")


def quiet(_: str) -> None:
    """Nobody listens."""


def test_images_become_a_supernet_a_bundle_and_a_format(tmp_path: Path) -> None:
    photos = write_digits(tmp_path / "digits", 60, 1, DIGITS) / "train"
    oncefit.split_images(photos, tmp_path / "split", validation=0.2, report=0.2, calibration=20)
    images = tmp_path / "split"
    own = tmp_path / "mine.yaml"
    oncefit.new_supernet("mine", max_macs=1.5e6, image_size=16, data=images, out=own)
    recipe = tmp_path / "mine.training.yaml"
    keys = yaml.safe_load(recipe.read_text())
    keys = {key: value for key, value in keys.items() if key not in ("phases", "warmup_steps")}
    recipe.write_text(yaml.safe_dump(keys | {"method": "sandwich", "epochs": 1, "batch_size": 32}))
    trained = oncefit.train(recipe, data=images, out=tmp_path / "trained", say=quiet)
    run = oncefit.search(
        str(trained.supernet), objectives=["top1", "macs"], trials=3, out=tmp_path / "run", say=quiet
    )
    bundle = run.export(run.pick("knee"))
    tuned = oncefit.finetune(
        bundle.folder, images, epochs=1, supernet=trained.supernet, out=tmp_path / "tuned", say=quiet
    )
    made = oncefit.convert(tuned.folder, "onnx", supernet=trained.supernet, say=quiet)
    assert set(made.classes) == set(DIGITS)
    assert made.summary["formats"]["onnx"]["max_abs_difference"] <= 1e-4
