"""The splits are what the rule says, and folders of images are read or refused with reasons."""

from __future__ import annotations

import gzip
import hashlib
import time
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from supernet.errors import InputError
from supernet.families.catalog import PreprocessingKeys
from supernet.images import data as data_module
from supernet.images import fashion_mnist
from supernet.images.data import SPLITS, load_dataset, load_folder, read_dataset

needs_official_images = pytest.mark.skipif(
    not fashion_mnist.DEBIAN_FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)


def test_the_split_rule_is_disjoint_and_complete():
    parts = {s: fashion_mnist.split_of_training_images(s) for s in ("training", "calibration", "validation")}
    assert {s: len(part) for s, part in parts.items()} == {
        "training": 53_000,
        "calibration": 2_000,
        "validation": 5_000,
    }
    assert sorted(np.concatenate(list(parts.values()))) == list(range(60_000))


def test_the_embedded_splits(data):
    assert [len(getattr(data, split)) for split in SPLITS] == [2_000, 5_000, 10_000]
    assert fashion_mnist.SHIPPED.stat().st_size <= 10e6
    for split in SPLITS:
        images = getattr(data, split)
        assert images.pixels.shape == (len(images), 28, 28)
        assert (images.pixels.dtype, images.labels.dtype) == (torch.uint8, torch.int64)
        assert sorted(images.labels.unique().tolist()) == list(range(len(data.classes)))


def sha256(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


PINNED = {
    "calibration": (
        "11a782a75ce698d51f46ad7b6ffa4f5f51a0b49691ecc22849abc7df95f7770e",
        "68ba91062adcb3fdef20476fda70cd4ab2116e82378fbe5d56ef066a1624c721",
    ),
    "validation": (
        "d1e0a920d080d4c74b4b674a6e8354ea147a943aff2abbe9fe67cdb8af3fceec",
        "eb66f02ed5b9f7ed5b73fe6a11e1bd8f85b144377a02a976c78b5aa9f7e1688f",
    ),
    "report": (
        "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
        "d51d859896c55775b9e9e219b77ff03bcec1b6ac322f313544dc3f9e7bc94fae",
    ),
}
"""The sha256 of pixels (n, 28, 28) uint8 and of labels (n,) int64: no figure is of other images."""


@pytest.mark.parametrize("split", SPLITS)
def test_the_embedded_splits_never_change(data, split):
    images = getattr(data, split)
    assert (sha256(images.pixels), sha256(images.labels)) == PINNED[split]


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """Images and labels of the official training and test set."""
    root = tmp_path_factory.mktemp("official")
    return fashion_mnist.load_official(root, train=True), fashion_mnist.load_official(root, train=False)


@needs_official_images
def test_the_embedded_images_are_the_official_ones_and_their_file_is_written_again(
    data, official, tmp_path, monkeypatch
):
    (train, train_labels), (test, test_labels) = official
    assert torch.equal(data.report.pixels, test)
    assert torch.equal(data.report.labels, test_labels)
    place = torch.arange(60_000) % 60
    for images, mask in ((data.validation, place < 5), (data.calibration, (place == 5) | (place == 6))):
        assert torch.equal(images.pixels, train[mask])
        assert torch.equal(images.labels, train_labels[mask])
    monkeypatch.setattr(fashion_mnist, "load_official", lambda root, train: official[0 if train else 1])
    fashion_mnist.write_splits(tmp_path / "images.npz", tmp_path)
    with np.load(tmp_path / "images.npz") as again, np.load(fashion_mnist.SHIPPED) as shipped:
        assert again.files == shipped.files
        for name in again.files:
            assert again[name].dtype == shipped[name].dtype == np.uint8
            assert np.array_equal(again[name], shipped[name])
    if "ng" not in zlib.ZLIB_RUNTIME_VERSION:  # zlib-ng compresses to other bytes
        assert (tmp_path / "images.npz").read_bytes() == fashion_mnist.SHIPPED.read_bytes()


BLANK = torch.zeros(60_000, 2, 2, dtype=torch.uint8), torch.arange(60_000) % 10
"""As many images as there are, and as small as they get."""


def test_the_same_images_give_the_same_bytes_at_any_time(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "load_official", lambda root, train: BLANK)
    for name, now in (("one", 1e9), ("two", 1.5e9)):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        fashion_mnist.write_splits(tmp_path / name, tmp_path)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert {entry.date_time for entry in zipfile.ZipFile(tmp_path / "one").infolist()} == {
        (1980, 1, 1, 0, 0, 0)
    }


def test_failed_splits_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "load_official", lambda root, train: BLANK)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fashion_mnist.np, "savez_compressed", full)
    with pytest.raises(InputError, match="No space left on device"):
        fashion_mnist.write_splits(tmp_path / "images.npz", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_official_file_is_refused_and_a_whole_one_unpacked(tmp_path, monkeypatch):
    packed = tmp_path / "debian" / "train-images-idx3-ubyte.gz"
    packed.parent.mkdir()
    data = gzip.compress(b"images" * 1000)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", packed.parent)
    for damaged in (data[: len(data) // 2], b"no gzip"):
        packed.write_bytes(damaged)
        with pytest.raises(InputError, match="Fashion-MNIST is neither whole in"):
            fashion_mnist.load_official(tmp_path / "root", train=True)
    assert not (tmp_path / "root").exists()
    packed.write_bytes(data)
    fashion_mnist.unpack(packed.parent, tmp_path / "raw")
    assert [path.name for path in (tmp_path / "raw").iterdir()] == [packed.stem]
    assert (tmp_path / "raw" / packed.stem).read_bytes() == b"images" * 1000


def test_embedded_images_that_were_changed_are_refused(data, tmp_path, monkeypatch):
    changed = tmp_path / "images.npz"
    changed.write_bytes(fashion_mnist.SHIPPED.read_bytes()[:-1])
    monkeypatch.setattr(fashion_mnist, "SHIPPED", changed)
    with pytest.raises(InputError, match="cut short or changed"):
        data_module.load_fashion_mnist(data.classes, data.preprocessing)


GREY = PreprocessingKeys(stored=28, mean=(0.286,), std=(0.353,))


@dataclass(frozen=True)
class Network:
    """What a data set needs to know of one."""

    classes: tuple[str, ...]
    preprocessing: PreprocessingKeys = GREY


# -- folders ---------------------------------------------------------------------


def save(path, pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes: a black bag and a white dress."""
    save(tmp_path / "own" / "bag" / "1.png", np.zeros((28, 28), np.uint8))
    save(tmp_path / "own" / "dress" / "1.png", np.full((28, 28), 255, np.uint8))
    return tmp_path / "own"


def test_a_folder_is_read_with_labels_in_the_order_of_the_classes(folder):
    images = load_folder(folder, Network(("dress", "shoe", "bag")))
    assert images.labels.tolist() == [2, 0]
    assert images.pixels.float().mean((1, 2)).tolist() == [0, 255]


def test_images_of_the_report_split_come_back(data, tmp_path):
    for i in range(20):
        name = data.classes[data.report.labels[i]].replace("/", "_")
        save(tmp_path / name / f"{i:02d}.png", data.report.pixels[i].numpy())
    images = load_folder(tmp_path, Network(data.classes))
    order = sorted(range(20), key=lambda i: (data.classes[data.report.labels[i]].replace("/", "_"), i))
    assert torch.equal(images.pixels, data.report.pixels[order])
    assert torch.equal(images.labels, data.report.labels[order])


def test_colour_and_size_are_converted(folder):
    red = np.zeros((60, 50, 3), np.uint8)
    red[..., 0] = 255
    save(folder / "bag" / "2.jpg", red)
    images = load_folder(folder, Network(("bag", "dress")))
    assert images.pixels.shape == (3, 28, 28)
    assert images.pixels[1].float().mean().item() == pytest.approx(0.299 * 255, abs=1.5)  # ITU-R 601 luma


def test_16_bit_greys_are_scaled_not_clipped(folder):
    save(folder / "bag" / "2.png", np.full((28, 28), 40_000, np.uint16))
    images = load_folder(folder, Network(("bag", "dress")))
    assert images.pixels[1].unique().tolist() == [round(40_000 / 65_535 * 255) - 1]  # rounded down


def test_other_and_hidden_files_are_passed_over(folder):
    (folder / "bag" / "notes.txt").write_text("no image")
    (folder / "bag" / "._1.png").write_bytes(b"what a file manager leaves")
    (folder / ".cache").mkdir()
    assert len(load_folder(folder, Network(("bag", "dress")))) == 2


def test_a_folder_without_images(tmp_path):
    with pytest.raises(InputError, match="holds no image: it needs one folder a class"):
        load_folder(tmp_path, Network(("bag",)))
    (tmp_path / "bag").mkdir()
    with pytest.raises(InputError, match=r"holds no image: put .*\.png.* where CLASS is one of bag"):
        load_folder(tmp_path, Network(("bag",)))


def test_no_folder_and_a_file_instead(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        load_folder(tmp_path / "none", Network(("bag",)))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot read the folder"):
        load_folder(tmp_path / "file", Network(("bag",)))


def test_an_unknown_class(folder):
    with pytest.raises(
        InputError, match=r"unknown class folder in .* 'dress'. Did you mean 'dresses'\? Known"
    ):
        load_folder(folder, Network(("bag", "dresses")))


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_a_file_that_cannot_be_decoded(folder, content):
    (folder / "bag" / "broken.png").write_bytes(content)
    with pytest.raises(
        InputError, match=r"broken.png cannot be decoded as an image .*; remove or replace it"
    ):
        load_folder(folder, Network(("bag", "dress")))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp", "webp"])
def test_a_truncated_image(folder, suffix):
    path = folder / "bag" / f"cut.{suffix}"
    save(path, np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="cannot be decoded as an image"):
        load_folder(folder, Network(("bag", "dress")))


CLASSES = ("bag", "dress")


@pytest.fixture
def own(folder):
    """A data set of one's own: the same two images in each split."""
    for split in SPLITS:
        for name in ("bag", "dress"):
            (folder / split / name).mkdir(parents=True)
            (folder / split / name / "1.png").write_bytes((folder / name / "1.png").read_bytes())
    read_dataset.cache_clear()
    return folder


def test_a_data_set_of_ones_own(own):
    found = load_dataset(str(own), Network(CLASSES))
    assert (found.name, found.classes) == (str(own), ("bag", "dress"))
    assert [len(getattr(found, split)) for split in SPLITS] == [2, 2, 2]


def test_its_hash_covers_labels_and_splits(own):
    before = load_dataset(str(own), Network(CLASSES)).sha256
    (own / "report" / "bag" / "1.png").rename(own / "report" / "dress" / "0.png")
    read_dataset.cache_clear()
    assert (
        load_dataset(str(own), Network(CLASSES)).sha256 != before
    )  # same pixels in the same order, other label


def test_labels_follow_the_networks_classes_and_not_the_alphabet(own):
    assert load_dataset(str(own), Network(("dress", "bag", "shoe"))).report.labels.tolist() == [1, 0]


def test_a_class_that_the_network_does_not_know_is_refused(own):
    with pytest.raises(InputError, match=r"unknown class folder in .*: 'dress'. Did you mean 'dresses'\?"):
        load_dataset(str(own), Network(("bag", "dresses")))


def test_fashion_mnist_is_only_for_its_own_classes():
    with pytest.raises(InputError, match="but the network has bag, dress; give a folder"):
        load_dataset("fashion_mnist", Network(CLASSES))


def test_a_data_set_without_a_split(own):
    (own / "report").rename(own / "test")
    with pytest.raises(InputError, match="lacks the folders report"):
        load_dataset(str(own), Network(CLASSES))


def test_an_unknown_data_set():
    with pytest.raises(InputError, match=r"'fashion_mnits'. Did you mean 'fashion_mnist'\?"):
        load_dataset("fashion_mnits", Network(CLASSES))
