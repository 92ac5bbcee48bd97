"""Which files of a folder are read, under which label, and what is said of it: against torchvision's ImageFolder."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from supernet.accuracy import Accuracy, near_chance, wilson
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from supernet.images.class_folders import labels_of
from supernet.images.data import list_splits
from supernet.images.data_summary import of_images
from supernet.images.image_folder import SUFFIXES, list_images

LETTERS = tuple("abcdefghijkl")


def touch(folder: Path, *files: str) -> Path:
    """Empty files, which are listed but never opened."""
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def listed(folder: Path, classes: Sequence[str]) -> list[tuple[str, int]]:
    found = list_images(folder, classes)
    paths = [str(folder / file) for file in found.files]
    return list(zip(paths, found.labels.tolist(), strict=True))


# -- which files ---------------------------------------------------------------


def test_every_suffix_of_torchvision_is_read() -> None:
    assert set(IMG_EXTENSIONS) <= SUFFIXES


@pytest.mark.parametrize("seed", range(8))
def test_files_at_any_depth_are_those_of_torchvision_in_its_order(seed: int, tmp_path: Path) -> None:
    """Names that sort around the separator, suffixes in either case, other files between them, links."""
    rng = random.Random(seed)
    suffixes = [*IMG_EXTENSIONS, *(suffix.upper() for suffix in IMG_EXTENSIONS), ".txt", "", ".jpg.part"]
    names = ("images", "images-2", "images.old", "images0", "Images", "b", "Z", "é")
    for name in "abc":
        touch(tmp_path / name, "00.jpg")
        for _ in range(40):
            inside = "/".join(rng.choices(names, k=rng.randrange(4)))
            touch(
                tmp_path / name,
                f"{inside}/{rng.choice(names)}{rng.randrange(30)}{rng.choice(suffixes)}".strip("/"),
            )
    touch(tmp_path / "beside", "x/linked.png")
    (tmp_path / "beside").rename(elsewhere := tmp_path.with_name(f"{tmp_path.name}-beside"))
    (tmp_path / "a" / "link").symlink_to(elsewhere)
    expected = ImageFolder(tmp_path).samples
    assert listed(tmp_path, LETTERS[:3]) == expected
    assert len(expected) > 50


def test_ppm_and_pgm_files_in_nested_folders_are_decoded(tmp_path: Path) -> None:
    red = np.zeros((40, 30, 3), np.uint8)
    red[..., 0] = 255
    for suffix, pixels in (("ppm", red), ("pgm", red[..., 0])):
        (tmp_path / "a" / "images").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "a" / "images" / f"1.{suffix}")
    how = open_supernet("ofa_mbv3_w1.0").preprocessing
    found = list_images(tmp_path, ("a", "b"))
    inputs, labels = found.batch(slice(0, 2), 32, how)
    expected = (torch.tensor([[1.0, 1, 1], [1, 0, 0]]) - torch.tensor(how.mean)) / torch.tensor(how.std)
    torch.testing.assert_close(inputs.mean((2, 3)), expected)  # pgm first, then ppm
    assert labels.tolist() == [0, 0]


def test_what_is_left_out_is_counted_with_the_reason(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "a/1.jpg",
        "a/2.txt",
        "a/deep/3.TXT",
        "a/deep/4",
        "a/.DS_Store",
        "b/.hidden/5.jpg",
        "6.jpg",
        ".x",
    )
    (tmp_path / "a" / "deep" / "up").symlink_to(tmp_path / "a")
    found = list_images(tmp_path, ("a", "b"))
    assert found.files == ("a/1.jpg",)
    assert found.origin is not None
    assert found.origin.left_out == (
        "3 files of no image's suffix (2 .txt, 1 without)",
        "3 hidden names",
        "1 file outside of class folders",
        "1 link to a folder that holds it (a/deep/up)",
        "1 class folder without an image (b)",
    )
    assert of_images({"report": found}, 2, "mine") == [
        "images in mine: report 1 of 1 of 2 classes; class folders are matched with the classes by name",
        f"left out of {tmp_path}: {', '.join(found.origin.left_out)}",
    ]


def test_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    assert list_images(tmp_path, ("a", "b")).files == ("a/1.jpg", "a/to_b/2.jpg", "b/2.jpg", "b/to_a/1.jpg")


def test_a_tree_deeper_than_the_stack_is_read(tmp_path: Path) -> None:
    here = os.open(touch(tmp_path, "a/1.jpg") / "a", os.O_RDONLY)
    for _ in range(1_200):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("2.jpg", os.O_CREAT, dir_fd=here))
    os.close(here)
    found = list_images(tmp_path, ("a", "b")).files
    subprocess.run(["rm", "-r", tmp_path / "a"], check=True)  # pytest's own way of it is recursive
    assert [len(file) for file in found] == [7, 7 + 2 * 1_200]


# -- which label ---------------------------------------------------------------


def numbered(numbers: Sequence[int], width: int, tmp_path: Path) -> list[tuple[str, int]]:
    """Names and labels of images, which are called as their number is, in folders of that number."""
    folder = tmp_path / f"{width}"
    touch(folder, *(f"{number:0{width}d}/{number}.jpg" for number in numbers))
    return [(Path(path).name, label) for path, label in listed(folder, LETTERS)]


@pytest.mark.parametrize("first", [0, 1, 95])
def test_numbers_have_the_labels_that_torchvision_gives_them_with_zeros_before(
    first: int, tmp_path: Path
) -> None:
    numbers = range(first, first + 12)
    found = numbered(numbers, 1, tmp_path)
    assert found == numbered(numbers, 4, tmp_path)
    assert found == [(Path(path).name, label) for path, label in ImageFolder(tmp_path / "4").samples]


def test_the_thousand_folders_of_imagenetv2_are_the_outputs_of_their_numbers(tmp_path: Path) -> None:
    names = sorted(map(str, range(1_000)))
    found = labels_of(tmp_path, names, open_supernet("ofa_mbv3_w1.2").classes)
    assert found.labels == {str(label): label for label in range(1_000)}
    assert found.told == "class folders are taken as numbers: 2 before 10, which as text would come after it"


def test_some_of_the_numbers_are_outputs_where_they_begin_at_0(tmp_path: Path) -> None:
    assert labels_of(tmp_path, ["0", "10", "2"], LETTERS).labels == {"0": 0, "2": 2, "10": 10}
    for names in (["1", "10", "2"], ["0", "12"]):
        with pytest.raises(
            InputError, match=rf"has {len(names)} class folders \(.*but the network has 12 outputs"
        ):
            labels_of(tmp_path, names, LETTERS)


def test_classes_that_are_numbers_are_matched_by_value(tmp_path: Path) -> None:
    """As the outputs of a network that was trained with ImageFolder on such folders, which sorts text."""
    classes = sorted(map(str, range(12)))
    found = labels_of(tmp_path, ["02", "10", "11"], classes)
    assert found.labels == {"02": classes.index("2"), "10": 2, "11": 3}
    assert found.told == "class folders are matched with the classes by name"
    with pytest.raises(InputError, match=r"unknown class folder in .*: '12'\. Did you mean"):
        labels_of(tmp_path, ["02", "12"], classes)


def test_the_same_number_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has the class folders 1 and 01, which are the same number"):
        labels_of(tmp_path, ["0", "1", "01"], LETTERS[:3])


@pytest.mark.parametrize("name", ["²", "٣", "1_0", "+1", "-1"])
def test_only_plain_digits_are_numbers(name: str, tmp_path: Path) -> None:
    names = ["0", "10", name]
    assert labels_of(tmp_path, names, LETTERS[:3]).labels == {name: i for i, name in enumerate(names)}


def test_names_with_numbers_keep_torchvisions_order_which_is_said(tmp_path: Path) -> None:
    names = sorted(f"class_{i}" for i in range(12))
    found = labels_of(tmp_path, names, LETTERS)
    assert list(found.labels) == names
    assert found.told == "class folders are the outputs in sorted order, as text: class_10 before class_2"
    padded = [f"n{i:08d}" for i in range(12)]
    assert labels_of(tmp_path, padded, LETTERS).told == "class folders are the outputs in sorted order"


def test_a_wrong_folder_among_a_thousand_classes_does_not_print_them_all(tmp_path: Path) -> None:
    touch(tmp_path, "tench/1.jpg", "tabby cat/2.jpg")
    with pytest.raises(InputError) as caught:
        list_images(tmp_path, open_supernet("ofa_mbv3_w1.2").classes)
    said = str(caught.value)
    assert "'tabby cat'. Did you mean 'tabby'" in said
    assert " in all)" in said
    assert len(said) < 500 + len(str(tmp_path))


# -- figures that make no sense ------------------------------------------------


def accuracy(right: int, images: int) -> Accuracy:
    share = right / images
    return Accuracy("report", images, share, share, *wilson(right, images), *wilson(right, images))


@pytest.mark.parametrize(
    ("classes", "images"), [(2, 200), (10, 50), (12, 240), (1_000, 2_000), (1_000, 50_000)]
)
def test_guessing_is_suspicious_and_twice_as_good_as_half_is_not(classes: int, images: int) -> None:
    rng = np.random.default_rng(classes)
    guessed = [
        near_chance(accuracy(int(right), images), classes) for right in rng.binomial(images, 1 / classes, 400)
    ]
    assert np.mean(guessed) > 0.94
    assert near_chance(accuracy(0, images), classes)  # worse than guessing
    assert not near_chance(accuracy(round(0.7 * images), images), classes)


@pytest.mark.parametrize(("classes", "images"), [(2, 10), (10, 2)])
def test_too_few_images_are_no_ground_for_suspicion(classes: int, images: int) -> None:
    assert not near_chance(accuracy(0, images), classes)


# -- the same in every split ---------------------------------------------------


@pytest.mark.parametrize(
    ("train", "val", "said"),
    [
        (["n1", "n2", "n3"], ["n1", "n3", "n4"], r"have other class folders \(n2 and n4\), and none is called like"),
        (["0", "1", "2"], ["1", "2", "3"], r"class folder 1 is output 1 in .*train and output 0 in .*val"),
    ],
)  # fmt: skip
def test_folders_that_mean_other_outputs_in_another_split_are_refused(
    train: list[str], val: list[str], said: str, tmp_path: Path
) -> None:
    for split, names in (("train", train), ("val", val)):
        touch(tmp_path / split, *(f"{name}/{i}.png" for name in names for i in range(3)))
    with pytest.raises(InputError, match=said):
        list_splits(tmp_path, ("cat", "dog", "eel"))


def test_some_of_the_classes_are_enough_in_a_split_where_folders_have_their_names(tmp_path: Path) -> None:
    touch(tmp_path / "train", *(f"{name}/{i}.png" for name in ("cat", "dog", "eel") for i in range(3)))
    touch(tmp_path / "val", *(f"{name}/{i}.png" for name in ("eel", "dog") for i in range(3)))
    assert set(list_splits(tmp_path, ("cat", "dog", "eel"))["report"].labels.tolist()) == {1, 2}
