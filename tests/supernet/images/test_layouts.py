"""Images that lie on disk in other forms than class folders: against class folders, torchvision, and what was written."""

from __future__ import annotations

import gzip
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import imagenet

from supernet.errors import InputError
from supernet.families.catalog import PreprocessingKeys
from supernet.images.class_folders import folder_name
from supernet.images.data import SPLITS, Dataset, list_splits, load_dataset, load_folder, read_dataset
from supernet.images.layouts.imagenet_devkit import GROUND_TRUTH, GROUND_TRUTH_FOLDERS, read_meta, wnids_of
from supernet.images.layouts.registry import find_part
from tests.helpers.own_data import WNIDS, write_folders, write_train_and_val

GREY = PreprocessingKeys(stored=28, mean=(0.286,), std=(0.353,))
CROP = PreprocessingKeys(crop=0.875, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CLASSES = ("cat", "dog", "eel")


def noise(path: Path, seed: int, side: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """``val/`` with six images and no list yet."""
    for i in range(6):
        noise(tmp_path / "val" / f"v{i}.png", i)
    return tmp_path


def labels_in(folder: Path, classes: tuple[str, ...] = CLASSES) -> dict[str, int]:
    """The label of each file of ``val``, by the file's own name."""
    part = find_part(folder, "val")
    assert part is not None
    found = part.listed(classes)
    return {Path(file).name: label for file, label in zip(found.files, found.labels.tolist(), strict=True)}


EXPECTED = {"v0.png": 0, "v1.png": 1, "v2.png": 2, "v3.png": 2, "v4.png": 1, "v5.png": 0}
NUMBERS = [0, 1, 2, 2, 1, 0]

# -- lists -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("val.csv", ["file,label", *(f"v{i}.png,{CLASSES[n]}" for i, n in enumerate(NUMBERS))]),
        ("val.csv", [f"val/v{i}.png,{CLASSES[n]}" for i, n in enumerate(NUMBERS)]),
        ("val.csv", ["id;label;path", *(f"7;{n};val/v{i}.png" for i, n in enumerate(NUMBERS))]),
        ("val.csv", [f"v{i}.png,{n + 1}" for i, n in enumerate(NUMBERS)]),  # from 1
        ("val.csv", ["file,output", *(f"v{i}.png,{n}" for i, n in enumerate(NUMBERS))]),
        ("val.txt", [f"v{i}.png {n}" for i, n in enumerate(NUMBERS)]),  # Caffe's
        ("val.txt", [f"v{i}.png\t{CLASSES[n]}" for i, n in enumerate(NUMBERS)]),
        ("val.txt", [str(n) for n in NUMBERS]),  # of the files in sorted order
        ("val/labels.csv", ["﻿filename,class", *(f"v{i}.png,{CLASSES[n]}" for i, n in enumerate(NUMBERS))]),
        ("val/labels.txt", [*(CLASSES[n] for n in NUMBERS), ""]),
    ],
)
def test_a_list_gives_files_their_labels(name: str, rows: list[str], flat: Path) -> None:
    (flat / name).write_text("\n".join(rows))
    assert labels_in(flat) == EXPECTED


def test_a_list_says_what_class_folders_say(data: Dataset, tmp_path: Path) -> None:
    """The same images, hash and figures of a data set that is in folders, in lists, and in arrays."""
    folder = write_folders(data, tmp_path / "folders")
    expected = list_splits(folder, data.classes)
    lists, arrays = tmp_path / "lists", tmp_path / "arrays"
    arrays.mkdir()
    for split in SPLITS:
        files = sorted((folder / split).rglob("*.png"))
        (lists / split).mkdir(parents=True)
        rows = ["file,label"]
        for i, file in enumerate(files):
            (lists / split / f"{i:03d}.png").write_bytes(file.read_bytes())
            rows.append(f"{i:03d}.png,{next(n for n in data.classes if folder_name(n) == file.parent.name)}")
        (lists / f"{split}.csv").write_text("\n".join(rows))
        labels = [[folder_name(n) for n in data.classes].index(file.parent.name) for file in files]
        pixels = np.stack([np.asarray(Image.open(file)) for file in files])
        np.savez(arrays / f"{split}.npz", images=pixels, labels=np.array(labels))
    of_folders = read_dataset(str(folder), data.classes, GREY)
    for other in (lists, arrays):
        found = read_dataset(str(other), data.classes, GREY)
        assert found.sha256 == of_folders.sha256
        for split in SPLITS:
            assert torch.equal(getattr(found, split).labels, expected[split].labels)
            assert torch.equal(getattr(found, split).pixels, getattr(of_folders, split).pixels)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["v0.png,cat", "v9.png,dog", "v8.png,dog"],
            r"lists 2 of 3 files that are not there: v9.png \(line 2\)",
        ),
        (
            ["v0.png,cat", "v1.png,dog", "v0.png,cat"],
            r"lists 1 files more than once: v0.png \(lines 1 and 3\)",
        ),
        (["v0.png,cat", "v1.png,dgo"], "unknown label in .* 'dgo'. Did you mean 'dog'"),
        (["v0.png,0", "v1.png,3"], "line 2: label '3' is out of range: the network has 3 outputs"),
        (["v0.png,1", "v1.png,4"], "line 2: label '4' is out of range"),
        (["v0.png,1", "v1.png,2"], "2 labels .* but the network has 3 outputs"),  # from 0 or from 1?
        (["file,output", "v0.png,1", "v1.png,3"], "line 3: label '3' is out of range"),
        (["file,output", "v0.png,-1"], "line 2: label '-1' is out of range"),
        (["v0.png,cat,x"], "has 3 columns and no heading"),
        (["v0.png,cat", "v1.png"], "line 2: expected 2 columns, got 'v1.png'"),
        (["v0.png,cat", "v1.png,"], "line 2: a file or a label is empty"),
        (["cat", "dog"], "holds 2 labels without files, and .* 6 images"),
        ([], "is empty"),
        (["file,label"], "has headings and no rows"),
    ],
)
def test_what_is_wrong_in_a_list_is_named(rows: list[str], message: str, flat: Path) -> None:
    (flat / "val.csv").write_text("\n".join(rows))
    with pytest.raises(InputError, match=message):
        labels_in(flat)


def test_a_subset_whose_heading_says_output_is_read(flat: Path) -> None:
    (flat / "val.csv").write_text("file,output\nv0.png,1\nv1.png,2")
    assert labels_in(flat) == {"v0.png": 1, "v1.png": 2}


def test_an_evaluation_takes_a_folder_with_a_list(flat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (flat / "val" / "labels.txt").write_text("\n".join(CLASSES[n] for n in NUMBERS))
    network = SimpleNamespace(classes=CLASSES, preprocessing=CROP)
    assert load_folder(flat / "val", network).labels.tolist() == NUMBERS
    monkeypatch.chdir(flat / "val")
    assert load_folder(Path(), network).labels.tolist() == NUMBERS


def test_what_a_list_does_not_name_is_counted(flat: Path) -> None:
    (flat / "val.csv").write_text("v0.png,cat\nv1.png,dog")
    found = find_part(flat, "val").listed(CLASSES)
    assert found.origin.left_out == ("4 images that val.csv does not list",)
    assert found.origin.labels == "labels in val.csv are matched with the classes by name"


IN_FOLDERS = {"cat/1.png": 0, "dog/2.png": 1}


@pytest.mark.parametrize(
    ("name", "rows", "clause"),
    [
        ("val.csv", ["file,label", "val/cat/1.png,cat", "val/dog/2.png,dog"], "says of them what the class"),
        ("val/labels.csv", ["cat/1.png,cat"], "says of them what the class folders say"),
        ("val.csv", ["file,label", "elsewhere/7.png,dog"], "names none of these images"),
        ("val.csv", ["id,age,price", "1,2,3"], "is no list of images"),
        ("val.txt", ["written in spring"], "names none of these images"),
        ("val.txt", ["0", "1"], "names none of these images"),
    ],
)
def test_a_list_beside_class_folders_is_passed_over_where_it_does_not_say_otherwise(
    name: str, rows: list[str], clause: str, tmp_path: Path
) -> None:
    for i, file in enumerate(IN_FOLDERS):
        noise(tmp_path / "val" / file, i)
    (tmp_path / name).write_text("\n".join(rows))
    found = find_part(tmp_path, "val").listed(CLASSES)
    assert dict(zip(found.files, found.labels.tolist(), strict=True)) == IN_FOLDERS
    assert found.origin is not None
    assert found.origin.left_out[-1].startswith(Path(name).name)
    assert clause in found.origin.left_out[-1]


@pytest.mark.parametrize(
    ("rows", "how"),
    [
        (
            ["file,label", "val/cat/1.png,cat", "val/dog/2.png,cat"],
            "line 3 calls val/dog/2.png 'cat', in dog/",
        ),
        (["cat/1.png,0", "dog/2.png,1"], "line 1 calls cat/1.png '0', in cat/"),
        (["loose.png,eel"], "line 1 is of an image in no class folder"),
    ],
)
def test_a_list_that_says_otherwise_than_class_folders_is_refused_and_either_can_be_taken(
    rows: list[str], how: str, tmp_path: Path
) -> None:
    for i, file in enumerate([*IN_FOLDERS, "loose.png"]):
        noise(tmp_path / "val" / file, i)
    (tmp_path / "val.csv").write_text("\n".join(rows))
    with pytest.raises(InputError, match="val is there in two forms that differ") as refused:
        find_part(tmp_path, "val")
    assert how in str(refused.value)
    (tmp_path / "val.csv").rename(tmp_path / "other.csv")  # as it says, to take the folders
    assert labels_in(tmp_path) == {"1.png": 0, "2.png": 1}
    (tmp_path / "val").rename(tmp_path / "images")  # and to take the list
    lines = [line.removeprefix("val/") for line in rows if line != "file,label"]
    (tmp_path / "val.csv").write_text("\n".join(f"images/{line}" for line in lines))
    assert len(labels_in(tmp_path)) == len(lines)


def test_two_forms_and_two_lists_are_refused(flat: Path) -> None:
    (flat / "val.csv").write_text("v0.png,cat")
    (flat / "val.txt").write_text("v0.png cat")
    with pytest.raises(InputError, match=r"more than one list for val: .*val.csv, .*val.txt"):
        find_part(flat, "val")
    (flat / "val.txt").unlink()
    np.savez(flat / "val.npz", images=np.zeros((1, 8, 8), np.uint8), labels=np.zeros(1, np.uint8))
    with pytest.raises(
        InputError, match=r"val is there in more than one form: .*val.csv and .*val.npz; leave one"
    ):
        find_part(flat, "val")


def test_a_folder_without_class_folders_and_list_says_what_it_needs(flat: Path) -> None:
    with pytest.raises(InputError, match="needs one folder a class"):
        find_part(flat, "val").listed(CLASSES)


# -- ImageNet's development kit -----------------------------------------------------


def write_kit(folder: Path, numbers: list[int]) -> Path:
    """Seven classes whose numbers are in another order than their names, and a group of classes."""
    rows = [(i + 1, wnid, f"words {wnid}", "gloss", 0, 0, 0, 0) for i, wnid in enumerate(reversed(WNIDS))]
    rows.append((8, "n00001740", "entity", "gloss", 2, 0, 0, 0))
    fields = [
        "ILSVRC2012_ID",
        "WNID",
        "words",
        "gloss",
        "num_children",
        "children",
        "wordnet_height",
        "num_train_images",
    ]
    synsets = np.array(rows, dtype=[(name, object) for name in fields])
    folder.mkdir(parents=True, exist_ok=True)
    savemat(folder / "meta.mat", {"synsets": synsets.reshape(-1, 1)})
    (folder / GROUND_TRUTH).write_text("".join(f"{number}\n" for number in numbers))
    return folder


@pytest.mark.parametrize("inside", [".", "val", *GROUND_TRUTH_FOLDERS])
def test_imagenets_ground_truth_is_numbered_as_its_kit_says(inside: str, tmp_path: Path) -> None:
    numbers = [1, 7, 3, 3, 2, 5, 4, 6]
    for i in range(8):
        noise(tmp_path / "val" / f"ILSVRC2012_val_{i + 1:08d}.JPEG", i)
    write_kit(tmp_path / inside, numbers)
    found = labels_in(tmp_path, tuple(f"class {i}" for i in range(7)))
    assert list(found.values()) == [7 - number for number in numbers]  # the last name has number 1


def test_the_numbers_are_torchvisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own reader of the kit's archive, whose hash is not that of the made-up one."""
    numbers = [3, 1, 7, 7, 2]
    kit = write_kit(tmp_path / "ILSVRC2012_devkit_t12" / "data", numbers)
    with tarfile.open(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(kit.parent, "ILSVRC2012_devkit_t12")
    monkeypatch.setattr(imagenet, "_verify_archive", lambda *_: None)
    imagenet.parse_devkit_archive(str(tmp_path))
    words, wnids = imagenet.load_meta_file(str(tmp_path))
    assert wnids_of(kit / GROUND_TRUTH, list(map(str, numbers))) == wnids
    assert set(read_meta(kit / "meta.mat").values()) == set(words)


def test_ground_truth_without_the_kit_is_refused(flat: Path) -> None:
    (flat / GROUND_TRUTH).write_text("".join(f"{n + 1}\n" for n in NUMBERS))
    with pytest.raises(
        InputError, match=r"in another order than the outputs of networks, and there is no meta.mat"
    ):
        labels_in(flat)


def test_class_folders_to_calibrate_and_a_list_to_measure(tmp_path: Path) -> None:
    """As ImageNet is often kept: train/ by class, val/ flat."""
    write_train_and_val(tmp_path, 6, 8)
    rows = []
    for file in sorted((tmp_path / "val").rglob("*.*")):
        moved = tmp_path / "val" / f"{file.parent.name}-{file.name}"
        file.rename(moved)
        rows.append(f"{moved.name} {file.parent.name}")
    for wnid in WNIDS:
        (tmp_path / "val" / wnid).rmdir()
    (tmp_path / "val.txt").write_text("\n".join(rows))
    splits = list_splits(tmp_path, tuple(f"class {i}" for i in range(7)))
    for name, images in splits.items():
        for file, label in zip(images.files, images.labels.tolist(), strict=True):
            assert WNIDS[label] in file, name
    assert len(splits["validation"]) + len(splits["report"]) == 56


# -- arrays -------------------------------------------------------------------------


def test_arrays_of_colour_become_inputs_as_files_do(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split in SPLITS:
        pixels = rng.integers(0, 256, (6, 40, 50, 3), np.uint8)
        np.savez(tmp_path / f"{split}.npz", images=pixels, labels=np.array(NUMBERS, np.uint8))
        for i, (image, label) in enumerate(zip(pixels, NUMBERS, strict=True)):
            path = tmp_path / "files" / split / CLASSES[label] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    arrays, files = (read_dataset(str(folder), CLASSES, CROP) for folder in (tmp_path, tmp_path / "files"))
    x, labels = arrays.report.batch(slice(0, 6), 32, CROP)
    y, others = files.report.batch(slice(0, 6), 32, CROP)
    order = torch.argsort(labels, stable=True)
    assert torch.equal(x[order], y)
    assert torch.equal(labels[order], others)


def test_grey_arrays_for_a_network_of_colour(tmp_path: Path) -> None:
    for split in SPLITS:
        np.savez(
            tmp_path / f"{split}.npz",
            images=np.full((3, 9, 9, 1), 51, np.uint8),
            labels=np.array(["cat", "dog", "eel"]),
        )
    found = read_dataset(str(tmp_path), CLASSES, CROP).report
    inputs, labels = found.batch(slice(0, 3), 8, CROP)
    assert labels.tolist() == [0, 1, 2]
    expected = (0.2 - torch.tensor(CROP.mean)) / torch.tensor(CROP.std)
    torch.testing.assert_close(inputs, expected.view(1, 3, 1, 1).expand(3, 3, 8, 8))


IMAGES, LABELS = np.zeros((3, 4, 4), np.uint8), np.arange(3)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES.astype(np.float32), LABELS, "images are uint8 .* got float32"),
        (np.zeros((3, 3, 4, 4), np.uint8), LABELS, r"\(channels come last\)"),
        (IMAGES, LABELS[:2], r"3 images, and labels of the shape \(2,\)"),
        (IMAGES, LABELS - 1, "counted from 0, or names of its classes; got int64 such as -1"),
        (IMAGES, LABELS / 2, "got float64"),
        (IMAGES, LABELS + 1, "1 labels are out of range, the first 3 at place 2: the network has 3 outputs"),
        (IMAGES, np.array(["cat", "dgo", "eel"]), "unknown label in .* 'dgo'"),
        (IMAGES, np.array(["cat", "dog", None], object), "is refused: .*Python objects could run code"),
        (np.zeros((0, 4, 4), np.uint8), LABELS[:0], r"got uint8 of the shape \(0, 4, 4\)"),
    ],
)
def test_what_is_wrong_in_arrays_is_named(
    images: np.ndarray, labels: np.ndarray, message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "val.npz", images=images, labels=labels)
    with pytest.raises(InputError, match=message):
        find_part(tmp_path, "val").listed(CLASSES)


def test_a_file_that_is_no_npz_and_one_of_other_arrays(tmp_path: Path) -> None:
    (tmp_path / "val.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(InputError, match=r"cannot read .* as arrays"):
        find_part(tmp_path, "val").listed(CLASSES)
    np.savez(tmp_path / "val.npz", x=IMAGES, labels=LABELS)
    with pytest.raises(InputError, match="has no array 'images'; it holds x, labels"):
        find_part(tmp_path, "val").listed(CLASSES)


def test_nothing_in_an_array_is_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "exploded",)

    np.savez(tmp_path / "val.npz", images=IMAGES, labels=np.array([Bomb()] * 3, object))
    with pytest.raises(InputError, match="is refused"):
        find_part(tmp_path, "val").listed(CLASSES)
    assert not (tmp_path / "exploded").exists()


# -- published sets -----------------------------------------------------------------


def write_idx(path: Path, values: np.ndarray, packed: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape) + values.tobytes()
    path.with_name(path.name + ".gz" * packed).write_bytes(gzip.compress(data) if packed else data)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("inside", ["", "FashionMNIST", "FashionMNIST/raw"])
def test_fashion_mnist_is_what_torchvision_reads(packed: bool, inside: str, supernet, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    raw = tmp_path / "FashionMNIST" / "raw"
    for prefix, count in (("train", 40), ("t10k", 30)):
        write_idx(
            raw / f"{prefix}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), np.uint8), packed
        )
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10, packed)
    found = list_splits(tmp_path / inside, supernet.classes)
    if not packed:
        reference = torchvision.datasets.FashionMNIST(str(tmp_path), train=False)
        both = torch.cat([found["validation"].labels, found["report"].labels])
        assert sorted(both.tolist()) == sorted(reference.targets.tolist())
        [place] = [i for i in range(30) if torch.equal(reference.data[i], found["report"].pixels[0])]
        assert reference.targets[place] == found["report"].labels[0]
    assert [len(found[split]) for split in SPLITS] == [40, 10, 20]
    assert load_dataset(str(tmp_path / inside), supernet).report.pixels.shape == (20, 28, 28)


@pytest.mark.parametrize("of", torchvision.datasets.EMNIST.splits)
def test_each_set_of_emnist_is_what_torchvision_reads(of: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    known = torchvision.datasets.EMNIST.classes_split_dict[of]
    first = int(of == "letters")  # whose class 0 torchvision calls N/A
    count = len(known) - first
    for part in ("train", "test"):
        stem = tmp_path / "EMNIST" / "raw" / f"emnist-{of}-{part}"
        write_idx(Path(f"{stem}-images-idx3-ubyte"), rng.integers(0, 256, (count, 5, 5), np.uint8), False)
        write_idx(Path(f"{stem}-labels-idx1-ubyte"), np.arange(count, dtype=np.uint8) + first, False)
    for name in ("train", "val"):
        reference = torchvision.datasets.EMNIST(str(tmp_path), of, train=name == "train")
        classes = tuple(reversed(known[first:]))  # matched by name
        found = find_part(tmp_path, name).listed(classes)
        assert torch.equal(found.pixels, reference.data)
        assert [classes[i] for i in found.labels] == [reference.classes[i] for i in reference.targets]


def test_several_sets_of_emnist_are_told_apart_by_a_person(tmp_path: Path) -> None:
    for of in ("digits", "letters"):
        for what, values in (
            ("images-idx3", np.zeros((1, 2, 2), np.uint8)),
            ("labels-idx1", np.ones(1, np.uint8)),
        ):
            write_idx(tmp_path / "EMNIST" / "raw" / f"emnist-{of}-test-{what}-ubyte", values, True)
    with pytest.raises(InputError, match="holds the sets digits, letters of EMNIST") as refused:
        find_part(tmp_path / "EMNIST", "val")
    alone = Path(str(refused.value).rpartition(" as ")[2].removesuffix(", and give that"))
    alone.mkdir()
    for file in (tmp_path / "EMNIST" / "raw").glob("emnist-digits-*"):
        (alone / file.name).symlink_to(file)
    assert find_part(alone, "val").listed(tuple("0123456789")).labels.tolist() == [1]


def unchecked(of: type[torchvision.datasets.VisionDataset], patch: pytest.MonkeyPatch) -> None:
    """torchvision knows the published files by their hashes."""
    patch.setattr(of, "_check_integrity", lambda _: True)


@pytest.mark.parametrize("inside", ["", "stl10_binary"])
def test_stl10_is_what_torchvision_reads(
    inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng, names = np.random.default_rng(0), ("airplane", "bird", "car")
    place = tmp_path / "stl10_binary"
    place.mkdir()
    (place / "class_names.txt").write_text("\n".join(names) + "\n")
    for part in ("train", "test"):
        (place / f"{part}_X.bin").write_bytes(rng.integers(0, 256, 4 * 3 * 96 * 96, np.uint8).tobytes())
        (place / f"{part}_y.bin").write_bytes(bytes([2, 1, 3, 2]))
    unchecked(torchvision.datasets.STL10, monkeypatch)
    for name, split in (("train", "train"), ("val", "test")):
        reference = torchvision.datasets.STL10(str(tmp_path), split)
        found = find_part(tmp_path / inside, name).listed(names)
        assert found.labels.tolist() == [1, 0, 2, 1] == [label for _, label in reference]
        for pixels, (image, _) in zip(found.pixels, reference, strict=True):
            assert np.array_equal(pixels.permute(1, 2, 0), np.asarray(image))
    (place / "test_X.bin").write_bytes(b"cut short")
    with pytest.raises(InputError, match=r"test_X.bin holds 9 bytes, no multiple of 27,648; unpack"):
        find_part(tmp_path, "val").listed(names)


def test_svhn_is_what_torchvision_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, labels = np.random.default_rng(0), np.array([[1], [10], [9], [10], [2]], np.uint8)
    for part in ("train", "test"):
        pixels = rng.integers(0, 256, (32, 32, 3, 5), np.uint8)
        savemat(tmp_path / f"{part}_32x32.mat", {"X": pixels, "y": labels})
    unchecked(torchvision.datasets.SVHN, monkeypatch)
    for name, split in (("train", "train"), ("val", "test")):
        reference = torchvision.datasets.SVHN(str(tmp_path), split)
        found = find_part(tmp_path, name).listed(tuple("0123456789"))
        assert found.labels.tolist() == [1, 0, 9, 0, 2] == reference.labels.tolist()
        assert np.array_equal(found.pixels, reference.data)
    savemat(tmp_path / "test_32x32.mat", {"X": np.zeros((32, 32, 3, 1)), "y": labels[:1]})
    with pytest.raises(
        InputError, match=r"no file of SVHN's digits: X is float64 of the shape \(32, 32, 3, 1\)"
    ):
        find_part(tmp_path, "val").listed(tuple("0123456789"))
    for odd, said in (
        (np.array(["a", "b"]), "y is <U1"),
        (np.array([np.zeros(2), "x"], dtype=object), "y is object"),
        (np.array([0, 11], np.uint8), "labels are from 0 to 11"),
    ):
        savemat(tmp_path / "test_32x32.mat", {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": odd})
        with pytest.raises(InputError, match=said):
            find_part(tmp_path, "val").listed(tuple("0123456789"))
    (tmp_path / "test_32x32.mat").write_bytes(b"cut short")
    with pytest.raises(InputError, match="no file of SVHN's digits"):
        find_part(tmp_path, "val").listed(tuple("0123456789"))


def test_a_damaged_idx_file_is_named(tmp_path: Path) -> None:
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.zeros((3, 2, 2), np.uint8), packed=False)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.zeros(3, np.uint8), packed=False)
    images = tmp_path / "t10k-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(InputError, match="t10k-images-idx3-ubyte is no whole IDX file"):
        find_part(tmp_path, "val").listed(tuple("0123456789"))


def write_cifar(
    folder: Path, coarse: bool, rng: np.random.Generator
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The binary version, and the pickled one beside it, of the same images."""
    names = [f"class{i}" for i in range(100 if coarse else 10)]
    binary = folder / ("cifar-100-binary" if coarse else "cifar-10-batches-bin")
    pickled = folder / ("cifar-100-python" if coarse else "cifar-10-batches-py")
    files = {"train": ["train"], "val": ["test"]} if coarse else {
        "train": [f"data_batch_{i}" for i in range(1, 6)], "val": ["test_batch"]
    }  # fmt: skip
    binary.mkdir(parents=True)
    pickled.mkdir()
    (binary / ("fine_label_names.txt" if coarse else "batches.meta.txt")).write_text("\n".join([*names, ""]))
    meta, key = ("meta", "fine_label_names") if coarse else ("batches.meta", "label_names")
    (pickled / meta).write_bytes(pickle.dumps({key: names}))
    made = {}
    for part, called in files.items():
        pixels, labels = [], []
        for file in called:
            images, label = (
                rng.integers(0, 256, (4, 3072), np.uint8),
                rng.integers(0, len(names), 4).astype(np.uint8),
            )
            head = np.stack([label // 5, label], axis=1) if coarse else label[:, None]
            (binary / f"{file}.bin").write_bytes(np.concatenate([head, images], axis=1).tobytes())
            (pickled / file).write_bytes(
                pickle.dumps({"data": images, "fine_labels" if coarse else "labels": label.tolist()})
            )
            pixels.append(images)
            labels.append(label)
        made[part] = np.concatenate(pixels), np.concatenate(labels)
    return made


@pytest.mark.parametrize("coarse", [False, True])
def test_cifar_is_what_torchvision_reads_of_its_pickles(coarse: bool, tmp_path: Path, monkeypatch) -> None:
    write_cifar(tmp_path, coarse, np.random.default_rng(0))
    kind = torchvision.datasets.CIFAR100 if coarse else torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.cifar, "check_integrity", lambda *_: True)
    for part, train in (("train", True), ("val", False)):
        reference = kind(str(tmp_path), train=train)
        found = find_part(tmp_path, part).listed(tuple(reference.classes))
        assert np.array_equal(found.pixels.permute(0, 2, 3, 1).numpy(), reference.data)
        assert found.labels.tolist() == list(reference.targets)


def test_pickled_cifar_is_refused_with_a_way_out(tmp_path: Path) -> None:
    write_cifar(tmp_path, False, np.random.default_rng(0))
    for file in (tmp_path / "cifar-10-batches-bin").iterdir():
        file.unlink()
    (tmp_path / "cifar-10-batches-bin").rmdir()
    for given in (tmp_path, tmp_path / "cifar-10-batches-py"):
        with pytest.raises(InputError, match=r"holds pickles, .* cifar-10-binary.tar.gz"):
            list_splits(given, tuple(f"class{i}" for i in range(10)))
    for part in ("train", "val"):  # the way out, in the same folder
        np.savez(
            tmp_path / f"{part}.npz", images=np.zeros((20, 32, 32, 3), np.uint8), labels=np.arange(20) % 10
        )
    assert len(list_splits(tmp_path, tuple(f"class{i}" for i in range(10)))["calibration"]) == 20


def test_a_damaged_cifar_file_is_named(tmp_path: Path) -> None:
    write_cifar(tmp_path, False, np.random.default_rng(0))
    batch = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"data_batch_3.bin holds 12,291 bytes, no multiple of 3,073"):
        find_part(tmp_path, "train").listed(tuple(f"class{i}" for i in range(10)))


def test_classes_of_a_set_and_of_a_network_agree_by_name(tmp_path: Path) -> None:
    write_cifar(tmp_path, False, np.random.default_rng(0))
    turned = tuple(f"class{9 - i}" for i in range(10))
    straight = find_part(tmp_path, "val").listed(tuple(reversed(turned))).labels
    assert torch.equal(find_part(tmp_path, "val").listed(turned).labels, 9 - straight)
    others = find_part(tmp_path, "val").listed(tuple(f"thing {i}" for i in "abcdefghij"))
    assert torch.equal(others.labels, straight)
    assert others.origin.labels.endswith("are the outputs in the order of the set's own list")
