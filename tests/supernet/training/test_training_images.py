"""Which images a subnet is trained on: never copies of those that a figure is of, and never fewer than can teach."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from supernet.errors import InputError
from supernet.families.catalog import PreprocessingKeys
from supernet.training.training_images import TrainingData, load_training_data

HOW = PreprocessingKeys(mean=(0.5,), std=(0.5,), stored=8)
PHOTOS = PreprocessingKeys(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop=0.875)


def write(folder: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng((seed, *map(ord, folder.name)))
    folder.mkdir(parents=True)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{i}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, (split, count) in enumerate((("train", 4), ("val", 10))):
        for name in ("cat", "dog", "owl"):
            write(tmp_path / split / name, count, seed)
    return tmp_path


def load(folder: Path, how: PreprocessingKeys = HOW) -> TrainingData:
    return load_training_data(folder, ("dog", "cat"), how)


@pytest.mark.parametrize("how", [HOW, PHOTOS])
def test_all_of_train_is_trained_on(folder: Path, how: PreprocessingKeys) -> None:
    found = load(folder, how)
    assert found.match.after == found.dataset.classes == ("dog", "cat", "owl")
    assert len(found.images) == 12
    assert sorted(found.images.labels.tolist()) == [0] * 4 + [1] * 4 + [2] * 4
    assert (len(found.dataset.validation), len(found.dataset.report)) == (6, 24)
    assert found.told == ()


def test_three_splits_take_a_folder_train_beside_them(folder: Path) -> None:
    for seed, split in enumerate(("calibration", "validation", "report"), 7):
        for name in ("cat", "dog", "owl"):
            write(folder / split / name, 3, seed)
    shutil.rmtree(folder / "val")
    assert len(load(folder).images) == 12
    shutil.rmtree(folder / "train")
    with pytest.raises(InputError, match="has no train/, and training needs images to train on"):
        load(folder)


@pytest.mark.parametrize("how", [HOW, PHOTOS])
def test_copies_of_images_that_figures_are_of_are_left_out(folder: Path, how: PreprocessingKeys) -> None:
    """The first of five in val/ is for validation, the second for the report; names do not matter."""
    shutil.copy(folder / "val/cat/1.png", folder / "train/dog/other.png")
    shutil.copy(folder / "val/owl/5.png", folder / "train/owl/0.png")
    found = load(folder, how)
    assert len(found.images) == 11
    assert found.told == (
        "left 1 of the training images out, copies of validation images: owl/0.png",
        "left 1 of the training images out, copies of report images: dog/other.png",
    )


def test_files_that_only_begin_alike_are_no_copies(folder: Path) -> None:
    text = b"P5 80 80 255\n"
    (folder / "train/cat/long.pgm").write_bytes(text + bytes(6399) + b"a")
    (folder / "val/cat/long.pgm").write_bytes(text + bytes(6399) + b"b")
    assert len(load(folder).images) == 13


def test_a_train_that_is_val_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    shutil.copytree(folder / "val", folder / "train")
    with pytest.raises(InputError, match=r"all images in .*train are copies of images that figures are of"):
        load(folder)


def test_one_class_is_refused(folder: Path) -> None:
    for split in ("train", "val"):
        for name in ("cat", "owl"):
            shutil.rmtree(folder / split / name)
    with pytest.raises(InputError, match="train has one class, dog: there is nothing to tell apart"):
        load(folder)


def test_a_class_without_training_images_is_refused(folder: Path) -> None:
    for path in (folder / "train/owl").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="train has no image to train on of owl; put some there"):
        load(folder)


def test_a_class_that_only_val_has_is_refused(folder: Path) -> None:
    write(folder / "val/elk", 2, 5)
    with pytest.raises(
        InputError, match=r"val has class folders that .*train has not: elk; a class is learned"
    ):
        load(folder)


def test_scarce_classes_are_told(folder: Path) -> None:
    for path in sorted((folder / "train/owl").iterdir())[1:]:
        path.unlink()
    shutil.rmtree(folder / "val/dog")
    assert load(folder).told == (
        "only one image to train on of owl: it may not be learned",
        "no validation images of dog: figures on that split are of the other classes",
        "no report images of dog: figures on that split are of the other classes",
    )
