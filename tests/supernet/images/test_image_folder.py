"""Folders of images of any size: labels, splits and inputs against torchvision's, and what is refused."""

from __future__ import annotations

import math
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder, Imagenette
from torchvision.models._meta import _IMAGENET_CATEGORIES

from search.runs.measuring import MeasuredAccuracy
from supernet import documents
from supernet.bundles.bundle_card import Preprocessing, describe_preprocessing
from supernet.errors import InputError
from supernet.evaluating.evaluation import logits_of, recalibrate_on_images
from supernet.families.catalog import PreprocessingKeys, open_supernet
from supernet.images import image_folder
from supernet.images.class_folders import labels_of
from supernet.images.data import Images, load_dataset, load_folder, read_dataset
from supernet.images.image_folder import ImageFiles, Undecodable, list_images, read_image
from supernet.images.wnids import names_by_wnid
from tests.helpers.own_data import WNIDS, write_train_and_val

CROP = PreprocessingKeys(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), crop=0.875)


@dataclass(frozen=True)
class Network:
    """What a data set needs to know of one."""

    classes: tuple[str, ...] = tuple("abcdefg")
    preprocessing: PreprocessingKeys = CROP


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_train_and_val(tmp_path_factory.mktemp("images"), train=5, val=7)


def touch(folder: Path, counts: dict[str, int]) -> Path:
    """Empty files, which are listed but never opened."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i:04d}.JPEG").touch()
    return folder


# -- labels --------------------------------------------------------------------


def test_folders_and_labels_are_those_of_torchvision(images: Path) -> None:
    (images / "val" / WNIDS[0] / "notes.txt").write_text("no image")
    for split in ("train", "val"):
        samples = ImageFolder(images / split).samples
        found = list_images(images / split, Network().classes)
        assert [str(found.folder / file) for file in found.files] == [path for path, _ in samples]
        assert found.labels.tolist() == [label for _, label in samples]


def test_folders_called_like_classes_have_their_labels(tmp_path: Path) -> None:
    found = list_images(touch(tmp_path, {"bag": 2, "T-shirt_top": 1}), ("dress", "bag", "T-shirt/top"))
    assert found.files == ("T-shirt_top/0000.JPEG", "bag/0000.JPEG", "bag/0001.JPEG")
    assert found.labels.tolist() == [2, 1, 1]


def test_another_number_of_folders_than_outputs_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, dict.fromkeys(WNIDS, 1))
    with pytest.raises(InputError, match=rf"^{tmp_path} has 7 class folders .* has 3 outputs \(a, b, c\);"):
        list_images(tmp_path, ("a", "b", "c"))


def test_some_of_imagenets_folders_have_the_outputs_that_torchvision_names() -> None:
    """Ten of them, whose names torchvision knows by Imagenette, and all in its order of a thousand."""
    names = {wnid: words[0] for wnid, words in Imagenette._WNID_TO_CLASS.items()}
    assert len(names) == 10
    for classes in (tuple(_IMAGENET_CATEGORIES), open_supernet("ofa_mbv3_w1.2").classes):
        found = labels_of(Path("val"), sorted(names), classes)
        assert {wnid: classes[label] for wnid, label in found.labels.items()} == names
        assert (
            found.told
            == "class folders are matched with the classes by name, which their WordNet ids stand for"
        )
    wnids = list(names_by_wnid())
    assert sorted(set(wnids)) == wnids
    assert labels_of(Path("val"), wnids, classes).labels == {wnid: label for label, wnid in enumerate(wnids)}


def test_folders_that_are_not_all_of_imagenets_classes_are_refused() -> None:
    imagenet = open_supernet("ofa_mbv3_w1.2").classes
    assert labels_of(Path("val"), ["goldfish", "n01440764"], imagenet).labels == {
        "goldfish": 1,
        "n01440764": 0,
    }
    with pytest.raises(
        InputError, match=r"has 2 class folders \(n01440764, n99999999\), .* has 1000 outputs"
    ):
        labels_of(Path("val"), ["n01440764", "n99999999"], imagenet)
    with pytest.raises(InputError, match="n01440764 and tench, which are the same class, tench"):
        labels_of(Path("val"), ["n01440764", "tench"], imagenet)


def test_folders_that_resemble_classes_are_not_labelled_by_their_order(tmp_path: Path) -> None:
    touch(tmp_path, {"Dress": 1, "Handbag": 1})
    with pytest.raises(InputError, match=r"unknown class folder in .*: 'Dress'. Did you mean 'dress'\?"):
        list_images(tmp_path, ("handbag", "dress"))


def test_a_class_name_that_two_outputs_have_is_no_folder_name(tmp_path: Path) -> None:
    touch(tmp_path, {"crane": 1})
    with pytest.raises(InputError, match="the network has more than one class 'crane'"):
        list_images(tmp_path, ("crane", "tench", "crane"))


# -- inputs --------------------------------------------------------------------


@pytest.mark.parametrize("resolution", [96, 224])
def test_inputs_are_those_of_torchvisions_transforms(images: Path, resolution: int) -> None:
    """Grey, RGBA and CMYK files among them, larger and smaller than the resolution."""
    transform = transforms.Compose([
        transforms.Resize(math.ceil(resolution / 0.875)), transforms.CenterCrop(resolution),
        transforms.ToTensor(), transforms.Normalize(CROP.mean, CROP.std),
    ])  # fmt: skip
    files = list_images(images / "val", Network().classes)
    rgb = [i for i, file in enumerate(files.files) if file != f"{WNIDS[2]}/006.JPEG"]
    found, labels = files.picked(rgb).batch(slice(0, 40), resolution, CROP)
    assert (found.shape, found.dtype) == ((40, 3, resolution, resolution), torch.float32)
    for x, label, place in zip(found, labels, rgb, strict=False):
        path = images / "val" / files.files[place]
        with Image.open(path) as image:
            expected = transform((image.convert("RGBA") if image.mode == "P" else image).convert("RGB"))
        assert torch.equal(x, expected), path
        assert label == WNIDS.index(path.parent.name)


SIZES = [(30, 41), (41, 30), (97, 97), (133, 200), (200, 133), (1, 60), (375, 500), (151, 302)]


@pytest.mark.parametrize("resolution", [32, 131, 132, 160])
@pytest.mark.parametrize("crop", [0.875, 0.9, 0.95, 1.0])
@pytest.mark.parametrize("rounded", ["up", "down", "nearest"])
def test_every_rounding_is_torchvisions_and_that_of_the_card(
    rounded, crop, resolution, tmp_path: Path
) -> None:
    """The same images by torchvision's transforms, and by Pillow and NumPy as the words of a card say."""
    how = PreprocessingKeys.model_validate({**CROP.model_dump(), "crop": crop, "rounded": rounded})
    exact = resolution / crop
    side = {"up": math.ceil(exact), "down": math.floor(exact), "nearest": round(exact)}[rounded]
    card = describe_preprocessing(resolution, 3, how).model_dump(mode="json", exclude_none=True)
    assert (card["rounded"], card["shorter_side"]) == (rounded, side)
    assert card["longer_side"] == "shorter_side * longer / shorter, rounded down"
    assert card["offset"] == "(side - resolution) / 2, rounded to the nearest, halves to even"
    transform = transforms.Compose([
        transforms.Resize(side), transforms.CenterCrop(resolution), transforms.ToTensor(),
        transforms.Normalize(CROP.mean, CROP.std),
    ])  # fmt: skip
    (tmp_path / "a").mkdir()
    rng = np.random.default_rng(1)
    for i, (width, height) in enumerate(SIZES):
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "a" / f"{i}.png")
    found, _ = list_images(tmp_path, ("a", "b")).batch(slice(0, len(SIZES)), resolution, how)
    for i, x in enumerate(found):
        with Image.open(tmp_path / "a" / f"{i}.png") as image:
            assert torch.equal(x, transform(image))
            width, height = image.size
            longer = int(side * max(width, height) / min(width, height))
            resized = image.resize(
                (side, longer) if width <= height else (longer, side), Image.Resampling.BILINEAR
            )
        top, left = (round((length - resolution) / 2) for length in np.asarray(resized).shape[:2])
        cut = np.asarray(resized)[top : top + resolution, left : left + resolution]
        exactly = ((cut * card["scale"] - card["mean"]) / card["std"]).transpose(2, 0, 1)
        np.testing.assert_allclose(x.numpy(), exactly, atol=1e-5)
    again = documents.check(card, Preprocessing, "card").keys
    assert again == how


def test_another_rounding_is_another_input(images: Path) -> None:
    """So that a figure by one of them is none by another."""
    files = list_images(images / "val", Network().classes).picked([0])
    up, down = (
        files.batch(
            slice(0, 1), 131, PreprocessingKeys.model_validate({**CROP.model_dump(), "rounded": rounded})
        )[0]
        for rounded in ("up", "down")
    )
    assert not torch.equal(up, down)


def test_16_bit_greys_are_scaled_to_rgb(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.full((40, 60), 40_000, np.uint16)).save(tmp_path / "a" / "1.png")
    x, _ = list_images(tmp_path, ("a", "b")).batch(slice(0, 1), 32, CROP)
    grey = 40_000 // 257 / 255
    for channel, (mean, std) in enumerate(zip(CROP.mean, CROP.std, strict=True)):
        assert x[0, channel].unique().tolist() == pytest.approx([(grey - mean) / std], rel=1e-5)


def test_stored_colour_images_are_squares_in_memory(images: Path, tmp_path: Path) -> None:
    how = PreprocessingKeys(mean=CROP.mean, std=CROP.std, stored=36)
    folder = shutil.copytree(images / "val" / WNIDS[1], tmp_path / "a").parent
    found = load_folder(folder, Network(("a", "b"), how))
    assert isinstance(found, Images)
    assert found.pixels.shape == (7, 3, 36, 36)
    with Image.open(folder / "a" / "000.JPEG") as image:
        square = image.resize((36, 36), Image.Resampling.BILINEAR)
    assert np.array_equal(found.pixels[0].permute(1, 2, 0).numpy(), np.asarray(square))
    x, _ = found.batch(slice(0, 1), 36, how)
    exact = (np.asarray(square) / 255 - CROP.mean) / CROP.std
    np.testing.assert_allclose(x[0].permute(1, 2, 0).numpy(), exact, atol=1e-5)


def means(x: torch.Tensor) -> torch.Tensor:
    """A network of two outputs."""
    return x.mean((2, 3))[:, :2]


def test_images_that_cannot_be_decoded_are_left_out_and_named(images: Path) -> None:
    files = list_images(images / "val", Network().classes)
    logits, labels = logits_of(means, files, 64, CROP, batch_size=5)
    [(path, reason)] = files.undecodable.items()
    file = f"{WNIDS[2]}/006.JPEG"
    assert path == str(images / "val" / file)
    assert "truncated" in reason.lower() or "cannot identify" in reason
    assert len(files) == 49
    left = files.picked([i for i, name in enumerate(files.files) if name != file])
    assert torch.equal(labels, left.labels)
    torch.testing.assert_close(logits, means(left.batch(slice(0, 48), 64, CROP)[0]))


def test_a_file_that_cannot_be_read_now_stops_the_measurement(images: Path, tmp_path: Path) -> None:
    """A candidate measured without it would be measured on other images than the one before."""
    files = list_images(shutil.copytree(images / "val", tmp_path / "val"), Network().classes)
    path = tmp_path / "val" / WNIDS[3] / "000.JPEG"
    path.unlink()
    with pytest.raises(InputError, match=rf"^cannot read {path}: No such file or directory; .*same command"):
        logits_of(means, files, 64, CROP)
    path.symlink_to(path)
    with pytest.raises(InputError, match=rf"^cannot read {path}: Too many levels of symbolic links"):
        read_image(path, 3)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=rf"^cannot read {path}: Is a directory"):
        logits_of(means, files, 64, CROP)
    assert str(path) not in files.undecodable


def test_too_many_open_files_are_not_an_image_that_cannot_be_decoded(images: Path) -> None:
    resource = pytest.importorskip("resource")
    path = images / "val" / WNIDS[0] / "000.JPEG"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    try:
        with pytest.raises(InputError) as caught:
            read_image(path, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert not isinstance(caught.value, Undecodable)
    assert str(caught.value).startswith(f"cannot read {path}: Too many open files;")


def test_too_little_memory_is_not_an_image_that_cannot_be_decoded(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(image: Image.Image, channels: int) -> Image.Image:
        raise MemoryError

    monkeypatch.setattr(image_folder, "converted", exhausted)
    path = images / "val" / WNIDS[0] / "000.JPEG"
    with pytest.raises(InputError, match=rf"^cannot read {path}: there is not enough memory;") as caught:
        read_image(path, 3)
    assert not isinstance(caught.value, Undecodable)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0 cut", b"II*\0\xff\xff\xff\xff"])
def test_content_that_is_no_image_is_undecodable(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    said = []
    for _ in range(2):
        with pytest.raises(Undecodable, match=rf"^{path} cannot be decoded as an image \(\w") as caught:
            read_image(path, 3)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_no_image_that_can_be_decoded_is_an_error(tmp_path: Path) -> None:
    folder = touch(
        tmp_path / "own", {f"{split}/{name}": 3 for split in ("train", "val") for name in "abcdefg"}
    )
    data = load_dataset(str(folder), Network())
    with pytest.raises(
        InputError, match=r"none of the 14 images in .*val can be decoded; .*a/0001.JPEG \(cannot"
    ):
        logits_of(means, data.report, 64, CROP)
    net = torch.nn.BatchNorm2d(3)
    with pytest.raises(InputError, match=r"none of the 21 images in .*train can be decoded"):
        recalibrate_on_images(net, 64, data)
    assert len(data.undecodable) == 21 + 14


# -- train/ and val/ -----------------------------------------------------------


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Classes of 500 to 800 training and 11 validation images."""
    touch(tmp_path / "train", {wnid: 500 + 50 * i for i, wnid in enumerate(WNIDS)})
    touch(tmp_path / "val", dict.fromkeys(WNIDS, 11))
    return tmp_path


def test_calibration_is_two_thousand_training_images_in_mixed_batches(large: Path) -> None:
    found = load_dataset(str(large), Network()).calibration
    assert found.folder == large / "train"
    assert len(set(found.files)) == len(found) == 2_000
    total = sum(500 + 50 * i for i in range(7))
    for labels in (found.labels, *found.labels.split(100)):
        for label, count in Counter(labels.tolist()).items():
            assert count == pytest.approx(len(labels) * (500 + 50 * label) / total, abs=1.01)
    assert [WNIDS.index(file.split("/")[0]) for file in found.files] == found.labels.tolist()


def test_validation_and_report_share_val_one_to_four(large: Path) -> None:
    data = load_dataset(str(large), Network())
    files = {split: getattr(data, split).files for split in ("validation", "report")}
    assert files["validation"] == tuple(f"{w}/{i:04d}.JPEG" for w in WNIDS for i in (0, 5, 10))
    assert not set(files["validation"]) & set(files["report"])
    assert len(set(files["validation"]) | set(files["report"])) == 77
    assert data.report.labels.bincount().tolist() == [8] * 7


def test_few_training_images_are_all_for_calibration(images: Path) -> None:
    data = load_dataset(str(images), Network())
    assert sorted(data.calibration.files) == sorted(list_images(images / "train", Network().classes).files)


def test_three_splits_of_ones_own_are_read_when_needed_too(images: Path, tmp_path: Path) -> None:
    for split in ("calibration", "validation", "report"):
        shutil.copytree(images / "train", tmp_path / split)
    data = load_dataset(str(tmp_path), Network())
    assert isinstance(data.report, ImageFiles)
    assert [len(getattr(data, split)) for split in ("calibration", "validation", "report")] == [35] * 3


def test_the_hash_is_of_classes_paths_and_sizes(images: Path, tmp_path: Path) -> None:
    first = load_dataset(str(images), Network()).sha256
    moved = shutil.copytree(images, tmp_path / "moved")
    assert load_dataset(str(moved), Network()).sha256 == first
    assert load_dataset(str(moved), Network(tuple("abcdefh"))).sha256 != first
    (moved / "val" / WNIDS[0] / "000.JPEG").write_bytes(b"of another size")
    read_dataset.cache_clear()
    assert load_dataset(str(moved), Network()).sha256 != first


@pytest.mark.parametrize(
    ("missing", "reason"),
    [
        ("train", "batch norms are recalibrated on training images .about 2,000 of them."),
        ("val", "accuracy is measured on validation images"),
    ],
)
def test_a_missing_folder_says_what_it_is_for(tmp_path: Path, missing: str, reason: str) -> None:
    (tmp_path / {"train": "val", "val": "train"}[missing]).mkdir()
    expected = (
        rf"has no {missing}/: {reason}; give a folder with train/ and val/, each with one folder of images"
    )
    with pytest.raises(InputError, match=expected):
        load_dataset(str(tmp_path), Network())


def test_a_folder_of_neither_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lacks the folders calibration, .*, or train/ and val/"):
        load_dataset(str(tmp_path), Network())


def test_one_image_a_class_cannot_be_split(tmp_path: Path) -> None:
    for split in ("train", "val"):
        touch(tmp_path / split, dict.fromkeys(WNIDS, 1))
    with pytest.raises(InputError, match="val has one image a class; it needs"):
        load_dataset(str(tmp_path), Network())


# -- supernets and their images ------------------------------------------------


def test_a_supernet_without_images_asks_for_a_folder() -> None:
    supernet = open_supernet("ofa_mbv3_w1.2")
    expected = (
        r"ofa_mbv3_w1.2 ships no images: give --data FOLDER, or data: FOLDER in the search's YAML "
        r"\(train/ and val/, one folder of images a class\)"
    )
    with pytest.raises(InputError, match=expected):
        MeasuredAccuracy(supernet, supernet.data).load()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"crop": None}, "give either stored, a side in pixels, or crop, .* stored: None and crop: None"),
        ({"stored": 28}, "give either .* stored: 28 and crop: 0.875"),
        ({"mean": (0.5, 0.5)}, r"one number each for grey or three for RGB images, got \(0.5, 0.5\)"),
        ({"std": (0.5,)}, "one number each for grey or three for RGB"),
    ],
)
def test_preprocessing_that_fits_no_image_is_refused(images: Path, keys: dict, expected: str) -> None:
    how = PreprocessingKeys.model_validate({**CROP.model_dump(), **keys})
    with pytest.raises(InputError, match=expected):
        load_dataset(str(images), Network(preprocessing=how))


def test_fashion_mnist_is_only_for_networks_of_small_grey_images(data) -> None:
    with pytest.raises(
        InputError, match=r"grey images of 28 pixels, but .* 3 channels, stored: None, crop: 0.875"
    ):
        load_dataset("fashion_mnist", Network(data.classes))


def test_own_means_reach_the_inputs(data) -> None:
    """They are the supernet's, not the data set's."""
    how = PreprocessingKeys(stored=28, mean=(0.5,), std=(0.25,))
    own = load_dataset("fashion_mnist", Network(data.classes, how))
    x, _ = own.report.batch(slice(0, 3), 28, own.preprocessing)
    np.testing.assert_allclose(
        x[:, 0].numpy(), (data.report.pixels[:3].numpy() / 255 - 0.5) / 0.25, atol=1e-5
    )
