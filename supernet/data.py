"""Images with labels in three disjoint splits: calibration, validation, report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from supernet import fashion_mnist
from supernet.catalog import PRETRAINED
from supernet.checkpoints import read_checked, sha256_of
from supernet.errors import InputError, unknown
from supernet.preprocessing import Normalisation

SPLITS = ("calibration", "validation", "report")
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}


@dataclass(frozen=True)
class Images:
    """Grey images (n, h, w) uint8 and labels (n,) int64."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Class names in label order, how inputs are normalised, and the splits."""

    name: str
    classes: tuple[str, ...]
    normalisation: Normalisation
    calibration: Images
    validation: Images
    report: Images
    sha256: str


FASHION_MNIST_FILE = PRETRAINED / "fashion_mnist.npz"
FASHION_MNIST_SHA256 = "ea7761591efa71a666bd58407b850c4c48bbdc260a89fe0fa5bc393a56dfffdd"
FASHION_MNIST_NORMALISATION = Normalisation(mean=0.286, std=0.353)


@lru_cache(maxsize=2)
def load_dataset(name_or_folder: str) -> Dataset:
    """``fashion_mnist``, which ships, or a folder with ``calibration``, ``validation`` and ``report``.

    A folder's splits hold one folder a class, all with the same names.
    """
    if name_or_folder == "fashion_mnist":
        return load_fashion_mnist()
    folder = Path(name_or_folder)
    if not folder.is_dir():
        raise unknown("data set (or folder of images)", name_or_folder, ["fashion_mnist"])
    missing = [split for split in SPLITS if not (folder / split).is_dir()]
    if missing:
        raise InputError(
            f"{folder} lacks the folders {', '.join(missing)}; a data set of your own has "
            "calibration/, validation/ and report/, each with one folder of images a class"
        )
    classes = class_names(folder / "calibration")
    splits = {split: load_folder(folder / split, classes) for split in SPLITS}
    digest = sha256_of(b"".join(images.pixels.numpy().tobytes() for images in splits.values()))
    return Dataset(folder.name, classes, FASHION_MNIST_NORMALISATION, sha256=digest, **splits)


def load_fashion_mnist() -> Dataset:
    """The embedded images: see :mod:`supernet.fashion_mnist` for the split rule."""
    read_checked(FASHION_MNIST_FILE, FASHION_MNIST_SHA256)
    with np.load(FASHION_MNIST_FILE, allow_pickle=False) as arrays:
        splits = {
            split: Images(
                torch.from_numpy(arrays[f"{split}_pixels"]),
                torch.from_numpy(arrays[f"{split}_labels"].astype(np.int64)),
            )
            for split in SPLITS
        }
    return Dataset(
        "fashion_mnist", fashion_mnist.CLASSES, FASHION_MNIST_NORMALISATION,
        sha256=FASHION_MNIST_SHA256, **splits,
    )  # fmt: skip


def class_names(folder: Path) -> tuple[str, ...]:
    """The folders in a folder, sorted. Raises InputError where there is none."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    found = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))
    if not found:
        raise InputError(
            f"{folder} holds no image: it needs one folder a class with images in it "
            f"({', '.join(sorted(SUFFIXES))})"
        )
    return found


def folder_name(class_name: str) -> str:
    """How a class is called as a folder: ``T-shirt/top`` is ``T-shirt_top``."""
    return class_name.replace("/", "_")


def load_folder(folder: Path, classes: Sequence[str]) -> Images:
    """Images of ``folder/CLASS/*`` as 28x28 grey, labelled by their place in ``classes``.

    Raises InputError for no image, an unknown class folder or a file that is no image.
    """
    from PIL import Image, UnidentifiedImageError

    known = {folder_name(name): label for label, name in enumerate(classes)}
    pixels: list[np.ndarray] = []
    labels: list[int] = []
    for name in class_names(folder):
        if name not in known:
            raise unknown(f"class folder in {folder}:", name, known)
        for path in sorted((folder / name).iterdir()):
            if path.suffix.lower() not in SUFFIXES:
                continue
            try:
                with Image.open(path) as image:
                    pixels.append(np.asarray(image.convert("L").resize((28, 28), Image.Resampling.BILINEAR)))
            except (UnidentifiedImageError, OSError) as error:
                raise InputError(
                    f"{path} cannot be decoded as an image ({error}); remove or replace it"
                ) from error
            labels.append(known[name])
    if not labels:
        raise InputError(
            f"{folder} holds no image: put {', '.join(sorted(SUFFIXES))} files into {folder}/CLASS/, "
            f"where CLASS is one of {', '.join(known)}"
        )
    return Images(torch.from_numpy(np.stack(pixels)), torch.tensor(labels))


def write_compact_file(target: Path, root: Path) -> str:
    """Write the shipped file of the three splits from the official images; returns its sha256."""
    train_pixels, train_labels = fashion_mnist.load_official(root, train=True)
    report_pixels, report_labels = fashion_mnist.load_official(root, train=False)
    arrays = {"report_pixels": report_pixels.numpy(), "report_labels": report_labels.numpy().astype(np.uint8)}
    for split in ("calibration", "validation"):
        indices = fashion_mnist.split_of_training_images(split)
        arrays[f"{split}_pixels"] = train_pixels.numpy()[indices]
        arrays[f"{split}_labels"] = train_labels.numpy()[indices].astype(np.uint8)
    partial = target.with_name(target.name + ".partial.npz")
    np.savez_compressed(partial, **arrays)
    os.replace(partial, target)
    return sha256_of(target.read_bytes())
