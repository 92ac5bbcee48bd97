"""Images with labels in three disjoint splits: calibration, validation, report."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from supernet import fashion_mnist
from supernet.catalog import PRETRAINED
from supernet.checkpoints import read_checked, sha256_of
from supernet.errors import InputError, unknown
from supernet.preprocessing import Normalisation

if TYPE_CHECKING:
    from PIL import Image

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
    """Class names in label order, how inputs are normalised, and the splits.

    ``name`` is what :func:`load_dataset` was given, so that it opens the same again.
    """

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
def load_dataset(name_or_folder: str, classes: tuple[str, ...]) -> Dataset:
    """``fashion_mnist``, which ships, or a folder with ``calibration``, ``validation`` and ``report``.

    ``classes`` names a network's outputs in order. A folder's splits hold one folder of
    images for each class, under its name (``T-shirt_top`` for ``T-shirt/top``).
    """
    if name_or_folder == "fashion_mnist":
        if classes != fashion_mnist.CLASSES:
            raise InputError(
                f"fashion_mnist has the classes {', '.join(fashion_mnist.CLASSES)}, but the network has "
                f"{', '.join(classes)}; give a folder of images of the network's classes"
            )
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
    splits = {split: load_folder(folder / split, classes) for split in SPLITS}
    digest = content_hash(classes, splits)
    return Dataset(name_or_folder, classes, FASHION_MNIST_NORMALISATION, sha256=digest, **splits)


def content_hash(classes: Sequence[str], splits: Mapping[str, Images]) -> str:
    """The sha256 of class names, and of size, pixels and labels of every split."""
    parts = [repr(tuple(classes)).encode()]
    for split, images in splits.items():
        parts += [f"{split} {len(images)}".encode(), images.pixels.numpy().tobytes()]
        parts.append(images.labels.numpy().tobytes())
    return sha256_of(b"".join(parts))


def load_fashion_mnist() -> Dataset:
    """The embedded images: see :mod:`supernet.fashion_mnist` for the split rule."""
    data = read_checked(FASHION_MNIST_FILE, FASHION_MNIST_SHA256)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
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
    found = tuple(entry.name for entry in entries(folder) if entry.is_dir())
    if not found:
        raise InputError(
            f"{folder} holds no image: it needs one folder a class with images in it "
            f"({', '.join(sorted(SUFFIXES))})"
        )
    return found


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without hidden files. Raises InputError where it cannot be read."""
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except FileNotFoundError:
        raise InputError(f"there is no folder {folder}") from None
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error


def folder_name(class_name: str) -> str:
    """How a class is called as a folder: ``T-shirt/top`` is ``T-shirt_top``."""
    return class_name.replace("/", "_")


def load_folder(folder: Path, classes: Sequence[str]) -> Images:
    """Images of ``folder/CLASS/*`` as 28x28 grey, labelled by their place in ``classes``.

    Raises InputError for no image, an unknown class folder or a file that is no image.
    """
    known = {folder_name(name): label for label, name in enumerate(classes)}
    pixels: list[np.ndarray] = []
    labels: list[int] = []
    for name in class_names(folder):
        if name not in known:
            raise unknown(f"class folder in {folder}:", name, known)
        for path in entries(folder / name):
            if path.suffix.lower() in SUFFIXES:
                pixels.append(grey_pixels(path))
                labels.append(known[name])
    if not labels:
        raise InputError(
            f"{folder} holds no image: put {', '.join(sorted(SUFFIXES))} files into {folder}/CLASS/, "
            f"where CLASS is one of {', '.join(known)}"
        )
    return Images(torch.from_numpy(np.stack(pixels)), torch.tensor(labels))


def grey_pixels(path: Path) -> np.ndarray:
    """The first frame of an image file as (28, 28) uint8. Raises InputError where it cannot be decoded."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(to_grey(image).resize((28, 28), Image.Resampling.BILINEAR))
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, EOFError and more
        raise InputError(
            f"{path} cannot be decoded as an image ({error or type(error).__name__}); remove or replace it"
        ) from error


def to_grey(image: Image.Image) -> Image.Image:
    """Mode L. Pillow clips 16-bit greys at 255 instead of scaling them, so that is done here."""
    if image.mode.startswith("I;16"):
        from PIL import Image

        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    return image.convert("L")
