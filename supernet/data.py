"""Images with labels in three disjoint splits: calibration, validation, report."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor

from supernet import fashion_mnist
from supernet.catalog import PreprocessingKeys
from supernet.checkpoints import read_checked, sha256_of
from supernet.errors import InputError, some, unknown
from supernet.image_folder import ImageFiles, Origin, check_alike, list_images, read_image, visible
from supernet.preprocessing import prepare

SPLITS = ("calibration", "validation", "report")

CALIBRATION_IMAGES = 2_000
"""Of ``train/``: as many as OFA recalibrates batch norms on."""
CALIBRATION_BATCH = 100
"""Images whose statistics are taken together."""
VALIDATION_EVERY = 5
"""One of so many images of each class in ``val/`` is for the search, the others are for the report."""


class WithPreprocessing(Protocol):
    """What a data set must fit: a supernet, or a bundle cut out of one."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def preprocessing(self) -> PreprocessingKeys: ...


@dataclass(frozen=True)
class Images:
    """Images in memory, uint8, grey (n, h, w) or RGB (n, 3, h, w), and labels (n,) int64."""

    pixels: Tensor
    labels: Tensor
    origin: Origin | None = None
    batch_size: ClassVar[int] = 100
    """Images of 28 pixels whose maps stay in the cache: half the time that 500 take."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def undecodable(self) -> Mapping[str, str]:
        """None, as all of them are decoded already."""
        return {}

    def decodable(self, places: range) -> list[int]:
        """All of ``places``."""
        return list(places)

    def picked(self, places: Sequence[int]) -> Images:
        """Those at ``places``, in that order."""
        return Images(self.pixels[list(places)], self.labels[list(places)], self.origin)

    def batch(self, places: slice, resolution: int, how: PreprocessingKeys) -> tuple[Tensor, Tensor]:
        """Inputs (n, c, resolution, resolution) float32 and labels (n,)."""
        return prepare(self.pixels[places], resolution, how), self.labels[places]


@dataclass(frozen=True)
class Dataset:
    """Class names in label order, how images become inputs, and the splits.

    ``name`` is what :func:`load_dataset` was given, so that it opens the same again. ``sha256``
    covers classes, pixels and labels; where images are read when needed, it covers the classes, and path
    and size of every file instead, as reading all of them would take as long as a search.
    """

    name: str
    classes: tuple[str, ...]
    preprocessing: PreprocessingKeys
    calibration: Images | ImageFiles
    validation: Images | ImageFiles
    report: Images | ImageFiles
    sha256: str

    @property
    def undecodable(self) -> Mapping[str, str]:
        """Files that were left out of figures so far, and why."""
        return {
            path: reason
            for split in SPLITS
            for path, reason in sorted(getattr(self, split).undecodable.items())
        }


def load_dataset(name_or_folder: str, network: WithPreprocessing) -> Dataset:
    """``fashion_mnist``, which ships, or a folder of images of the network's classes.

    The folder has ``calibration``, ``validation`` and ``report``, or ``train`` and ``val`` as
    torchvision reads ImageNet; each of them holds one folder of images for each class, see
    :func:`supernet.class_folders.labels_of`.
    """
    return read_dataset(name_or_folder, network.classes, network.preprocessing)


@lru_cache(maxsize=2)
def read_dataset(name_or_folder: str, classes: tuple[str, ...], how: PreprocessingKeys) -> Dataset:
    """See :func:`load_dataset`; the same data set is read once."""
    check_preprocessing(how)
    if name_or_folder == "fashion_mnist":
        return load_fashion_mnist(classes, how)
    folder = Path(name_or_folder)
    if not folder.is_dir():
        raise unknown("data set (or folder of images)", name_or_folder, ["fashion_mnist"])
    listed = list_splits(folder, classes)
    if how.crop is not None:
        return Dataset(name_or_folder, classes, how, sha256=listing_hash(classes, listed), **listed)
    splits = {split: in_memory(files, how) for split, files in listed.items()}
    return Dataset(name_or_folder, classes, how, sha256=content_hash(classes, splits), **splits)


def check_preprocessing(how: PreprocessingKeys) -> None:
    """Raises InputError for what images cannot be read by."""
    if len(how.mean) not in (1, 3) or len(how.mean) != len(how.std):
        raise InputError(
            f"preprocessing: mean and std are one number each for grey or three for RGB images, got {how.mean} "
            f"and {how.std}"
        )
    if (how.stored is None) == (how.crop is None):
        raise InputError(
            f"preprocessing: give either stored, a side in pixels, or crop, a share of it; got "
            f"stored: {how.stored} and crop: {how.crop}"
        )


def list_splits(folder: Path, classes: tuple[str, ...]) -> dict[str, ImageFiles]:
    """The files of each split. Raises InputError for a folder of neither layout."""
    here = set(visible(folder, folders_only=True))
    if here & {"train", "val"} and not here & set(SPLITS):
        return list_train_and_val(folder, classes)
    missing = [split for split in SPLITS if split not in here]
    if missing:
        raise InputError(
            f"{folder} lacks the folders {', '.join(missing)}; a data set of your own has "
            "calibration/, validation/ and report/, or train/ and val/ as torchvision reads ImageNet, "
            "each with one folder of images a class"
        )
    calibration, validation, report = (list_images(folder / split, classes) for split in SPLITS)
    check_alike(calibration, validation, report)
    return {"calibration": mixed_images(calibration), "validation": validation, "report": report}


def list_train_and_val(folder: Path, classes: tuple[str, ...]) -> dict[str, ImageFiles]:
    """Calibration images out of ``train``, validation and report images out of ``val``.

    A supernet was trained on ``train``, so nothing is chosen or reported by it. Images are taken by
    their place in sorted order, so that every run on the same files has the same splits.
    """
    for name, needed in (
        ("train", f"batch norms are recalibrated on training images (about {CALIBRATION_IMAGES:,} of them)"),
        ("val", "accuracy is measured on validation images"),
    ):
        if not (folder / name).is_dir():
            raise InputError(
                f"{folder} has no {name}/: {needed}; give a folder with train/ and val/, each with one "
                "folder of images a class, as torchvision reads ImageNet"
            )
    train, val = list_images(folder / "train", classes), list_images(folder / "val", classes)
    check_alike(train, val)
    count = min(CALIBRATION_IMAGES, len(train))
    places: dict[bool, list[int]] = {True: [], False: []}
    seen: Counter[int] = Counter()
    for place, label in enumerate(val.labels.tolist()):
        places[seen[label] % VALIDATION_EVERY == 0].append(place)
        seen[label] += 1
    if not places[False]:
        raise InputError(
            f"{val.folder} has one image a class; it needs some to search with and others to report"
        )
    return {
        "calibration": mixed_images(train.picked([i * len(train) // count for i in range(count)])),
        "validation": val.picked(places[True]),
        "report": val.picked(places[False]),
    }


def mixed_images(images: ImageFiles) -> ImageFiles:
    """The same images in an order in which each batch of statistics has some of every class.

    Files come class by class, and a batch of few classes varies too little: subnets of the embedded
    supernet lose 0.8 to 1.5 points so.
    """
    batches = math.ceil(len(images) / CALIBRATION_BATCH)
    return images.picked([i for first in range(batches) for i in range(first, len(images), batches)])


def load_folder(folder: Path, network: WithPreprocessing) -> Images | ImageFiles:
    """Images below ``folder/CLASS``, in memory where the network takes ``stored`` ones."""
    check_preprocessing(network.preprocessing)
    files = list_images(folder, network.classes)
    return files if network.preprocessing.crop is not None else in_memory(files, network.preprocessing)


def in_memory(files: ImageFiles, how: PreprocessingKeys) -> Images:
    """All images as squares of ``stored`` pixels. Raises InputError for a file that is no image."""
    from PIL import Image

    if how.stored is None:
        raise ValueError(f"preprocessing stores no images: {how}")
    size, channels = (how.stored, how.stored), len(how.mean)
    squares = np.stack(
        [
            np.asarray(read_image(files.folder / file, channels).resize(size, Image.Resampling.BILINEAR))
            for file in files.files
        ]
    )
    pixels = torch.from_numpy(squares)
    pixels = pixels if channels == 1 else pixels.permute(0, 3, 1, 2).contiguous()
    return Images(pixels, files.labels, files.origin)


def content_hash(classes: Sequence[str], splits: Mapping[str, Images]) -> str:
    """The sha256 of class names, and of size, pixels and labels of every split."""
    parts = [repr(tuple(classes)).encode()]
    for split, images in splits.items():
        parts += [f"{split} {len(images)}".encode(), images.pixels.numpy().tobytes()]
        parts.append(images.labels.numpy().tobytes())
    return sha256_of(b"".join(parts))


def listing_hash(classes: Sequence[str], splits: Mapping[str, ImageFiles]) -> str:
    """The sha256 of class names, and of path, label and size in bytes of every file of every split."""
    lines = [repr(tuple(classes))]
    for split, images in splits.items():
        lines.append(f"{split} {images.folder.name} {len(images)}")
        for file, label, size in zip(images.files, images.labels.tolist(), images.sizes(), strict=True):
            lines.append(f"{file} {label} {size}")
    return sha256_of("\n".join(lines).encode("utf-8", "surrogateescape"))


def load_fashion_mnist(classes: tuple[str, ...], how: PreprocessingKeys) -> Dataset:
    """The embedded images: see :mod:`supernet.fashion_mnist` for the split rule.

    Raises InputError for a network of other classes or other images.
    """
    if classes != fashion_mnist.CLASSES:
        raise InputError(
            f"fashion_mnist has the classes {', '.join(fashion_mnist.CLASSES)}, but the network has "
            f"{some(classes)}; give a folder of images of the network's classes"
        )
    if (how.stored, len(how.mean)) != (fashion_mnist.PIXELS, 1):
        raise InputError(
            f"fashion_mnist has grey images of {fashion_mnist.PIXELS} pixels, but the network's preprocessing is "
            f"for {len(how.mean)} channels, stored: {how.stored}, crop: {how.crop}; give a folder of images"
        )
    data = read_checked(fashion_mnist.SHIPPED, fashion_mnist.SHIPPED_SHA256)
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        splits = {
            split: Images(
                torch.from_numpy(arrays[f"{split}_pixels"]),
                torch.from_numpy(arrays[f"{split}_labels"].astype(np.int64)),
            )
            for split in SPLITS
        }
    return Dataset("fashion_mnist", classes, how, sha256=fashion_mnist.SHIPPED_SHA256, **splits)
