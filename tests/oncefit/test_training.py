"""A supernet of a person's own, from a folder of images to a bundle, and from it another one."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import oncefit
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from supernet.training.training_job import Trained
from tests.helpers.digits import NAMES, write_digits
from tests.helpers.own_supernet import write_own
from tests.helpers.struck import struck

TOLERANCE = 2e-3
"""Of a weight after a few steps in two processes: sums are rounded in another order, and steps carry that on."""


def quiet(_: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("data") / "digits", 60, 60)


@pytest.fixture(scope="module")
def trained(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, list[str]]:
    folder = tmp_path_factory.mktemp("trained")
    said: list[str] = []
    made = oncefit.train(write_own(folder), data=digits, out=folder / "out", say=said.append)
    return made, said


def test_a_supernet_learns_a_persons_own_images(trained: Any, digits: Path) -> None:
    made, said = trained
    assert made.validation["large"].images == 10 * 12
    assert made.validation["large"].top1 > 0.6, "guessing is 0.1"
    assert made.validation["small"].top1 > 0.4
    supernet = open_supernet(str(made.supernet))
    assert supernet.classes == tuple(sorted(NAMES))
    assert supernet.data == str(digits)
    assert supernet.weights_sha256 == made.sha256
    files = sorted((digits / "train").rglob("*.png"))
    pixels = (
        np.stack([np.asarray(Image.open(f).resize((16, 16), Image.Resampling.BILINEAR)) for f in files]) / 255
    )
    assert supernet.preprocessing.mean == (pytest.approx(pixels.mean(), abs=1e-4),)
    assert supernet.preprocessing.std == (pytest.approx(pixels.std(), abs=1e-4),)
    assert any("600 images to train on" in one for one in said)
    with made.curve.open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert [int(row["images"]) for row in rows] == [600 * epoch for epoch in range(1, 5)]
    assert float(rows[0]["loss"]) > float(rows[-1]["loss"])
    seconds = [float(row["processor_seconds"]) for row in rows]
    assert seconds == sorted(seconds)
    assert float(rows[-1]["validation_top1_large"]) == pytest.approx(made.validation["large"].top1, abs=1e-4)


def test_choices_that_were_not_trained_are_not_offered(trained: Any, digits: Path, tmp_path: Path) -> None:
    made = oncefit.train(
        write_own(tmp_path, epochs=1, space={"resolution": [16], "depth": [1]}),
        data=digits, out=tmp_path / "out", say=quiet,
    )  # fmt: skip
    supernet = open_supernet(str(made.supernet))
    assert {d.kind: d.choices for d in supernet.space.dimensions if d.kind in ("resolution", "depth")} == {
        "resolution": (16,), "depth": (1,)
    }  # fmt: skip
    assert supernet.of_classes(("one", "two")).space == supernet.space
    whole = open_supernet(str(trained[0].supernet)).space.largest()
    with pytest.raises(InputError, match=r"depth.*2"):
        supernet.space.arch(whole.values)
    adapted = oncefit.adapt(made.supernet, digits, epochs=1, out=tmp_path / "adapted", say=quiet)
    assert open_supernet(str(adapted.supernet)).space.dimensions == supernet.space.dimensions


def test_what_was_trained_is_searched_exported_and_evaluated(trained: Any, tmp_path: Path) -> None:
    made, _ = trained
    run = oncefit.search(
        str(made.supernet), budgets={"macs": 4e5}, trials=3, sampler="random", out=tmp_path / "run", say=quiet
    )
    bundle = run.export()
    report = bundle.card.figures.measured["report"]
    assert report["images"] == 10 * 48
    assert bundle.evaluate()["measured"]["accuracy"]["top1"] == report["top1"]
    assert bundle.verify(supernet=str(made.supernet))["images"] == 480


def test_a_supernet_is_adapted_to_other_classes_in_colour(trained: Any, digits: Path, tmp_path: Path) -> None:
    """Rows of the head go with their names, the first layer gives grey images the answers that it gave."""
    made, _ = trained
    data = Path(shutil.copytree(digits, tmp_path / "data"))
    for split in ("train", "val"):
        shutil.rmtree(data / split / "zero")
        (data / split / "nine").rename(data / split / "another")
    tinted(data / "train" / "another")
    said: list[str] = []
    (tmp_path / "changes.yaml").write_text("mirror: false\nlearning_rate: 1.0e-9\nema_decay: 0\n")
    adapted = oncefit.adapt(
        made.supernet, data, recipe=tmp_path / "changes.yaml", epochs=1, out=tmp_path / "out", say=said.append
    )
    supernet, parent = open_supernet(str(adapted.supernet)), open_supernet(str(made.supernet))
    assert supernet.name == "own-data"
    assert set(supernet.classes) == set(NAMES) - {"zero", "nine"} | {"another"}
    assert supernet.preprocessing.mean == parent.preprocessing.mean * 3
    assert any("the images have colour" in one for one in said)
    assert any("1 new (another), 2 gone (nine, zero)" in one for one in said)
    arch = supernet.space.smallest()
    old, new = (one.load().extract(one.space.smallest()).train() for one in (parent, supernet))
    grey = torch.randn(64, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, after = old(grey), new(grey.expand(-1, 3, -1, -1))
    kept = [name for name in supernet.classes if name != "another"]
    torch.testing.assert_close(
        after[:, [supernet.classes.index(name) for name in kept]],
        before[:, [parent.classes.index(name) for name in kept]],
        rtol=1e-3, atol=1e-3,
    )  # fmt: skip
    assert adapted.validation["small"].images == 9 * 12
    assert arch.resolution == 12


def tinted(folder: Path) -> None:
    """Make a class red."""
    for file in folder.glob("*.png"):
        grey = np.asarray(Image.open(file))
        Image.fromarray(np.stack([grey, grey // 2, grey // 2], axis=2)).save(file)


def command(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-W", "error", "-m", "search", *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True)


@pytest.mark.slow
def test_a_killed_command_ends_with_the_same_weights(digits: Path, tmp_path: Path) -> None:
    """Killed with -9 in the third epoch, and while the weights are written."""
    recipe = write_own(tmp_path, epochs=3)
    given = ("train", recipe, "--data", digits)
    straight = command(*given, "--out", "straight", "--json", cwd=tmp_path)
    assert straight.returncode == 0, straight.stderr
    for place, nth in (
        ("supernet.training.elastic_training:ElasticLearner.learn", 48),
        ("supernet.training.training_job:save_weights", 1),
    ):
        killed = struck(place, nth, signal.SIGKILL, *given, "--out", "killed", cwd=tmp_path)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert (tmp_path / "killed" / "supernet.checkpoint").is_file()
        assert not (tmp_path / "killed" / "supernet.safetensors").exists()
    resumed = command(*given, "--out", "killed", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    one, other = (load_file(tmp_path / name / "supernet.safetensors") for name in ("straight", "killed"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert json.loads(straight.stdout)["supernet"] == "straight/supernet.yaml"
    assert "oncefit search search.yaml --out killed/search" in resumed.stdout


@pytest.mark.slow
def test_two_processes_end_as_one_does(digits: Path, tmp_path: Path) -> None:
    """Weights to the tolerance, learning curve to two of 120 images; the first process alone speaks."""
    recipe = write_own(tmp_path, epochs=1, learning_rate=0.01)
    one = oncefit.train(recipe, data=digits, out=tmp_path / "one", say=quiet)
    line = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "-m",
        "search",
    ]
    line += ["train", str(recipe), "--data", str(digits), "--out", "two", "--json"]
    ended = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    two = json.loads(ended.stdout)
    weights, others = (load_file(tmp_path / name / "supernet.safetensors") for name in ("one", "two"))
    for name, tensor in weights.items():
        if "running_" not in name and "num_batches" not in name:
            torch.testing.assert_close(others[name], tensor, rtol=TOLERANCE, atol=TOLERANCE, msg=name)
    for size, found in one.validation.items():
        assert abs(found.top1 - two["validation"][size]["top1"]) <= 2 / 120


def test_what_a_training_on_ones_own_images_is_refused_for(
    trained: Any, digits: Path, tmp_path: Path
) -> None:
    recipe = write_own(tmp_path)
    for keys, message in (
        ({"phases": [{"name": "a", "epochs": 1, "elastic": ["resolution"]}]}, "phases is not for method: sandwich"),
        ({"epochs": None}, "the key 'epochs' is missing, which method: sandwich needs"),
        ({"warmup_steps": 3}, "warmup_steps and warmup, a share of all steps, are both given"),
        ({"bf16": "maybe"}, "bf16: got 'maybe'"),
        ({"space": {"resolution": [13]}}, r"cannot be restricted to resolution \[13\]"),
        ({"method": "progressive", "epochs": None, "phases": [{"name": "a", "epochs": 1, "elastic": ["widht"]}]},
         "unknown kind of choice in elastic of phase a: 'widht'"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            oncefit.train(write_own(tmp_path, **keys), data=digits, out=tmp_path / "out", say=quiet)
    write_own(tmp_path)
    with pytest.raises(
        InputError, match="trains own, with which no images come; give a folder of images with"
    ):
        oncefit.train(recipe, out=tmp_path / "out", say=quiet)
    with pytest.raises(InputError, match="there is no folder nowhere"):
        oncefit.train(recipe, data="nowhere", out=tmp_path / "out", say=quiet)
    made, _ = trained
    with pytest.raises(InputError, match="is of another training, which was stopped: learning_rate differed"):
        oncefit.train(write_own(tmp_path, learning_rate=0.2), data=digits, out=made.weights.parent, say=quiet)
    with pytest.raises(InputError, match=r"supernet: own.yaml is trained from scratch by this recipe"):
        oncefit.adapt(made.supernet, digits, recipe=recipe, out=tmp_path / "out", say=quiet)
    assert not (tmp_path / "out").exists()
