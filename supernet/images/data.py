"""Images with labels in three disjoint splits: calibration, validation, report."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch

from supernet.errors import InputError, some, unknown
from supernet.families.catalog import PreprocessingKeys
from supernet.images import fashion_mnist
from supernet.images.image_folder import ImageFiles, check_alike, visible
from supernet.images.images import Images as Images
from supernet.images.images import ready
from supernet.images.layouts.cifar_part import refuse_pickles
from supernet.images.layouts.part import DataPart
from supernet.images.layouts.registry import find_part, part_at
from supernet.weights.checkpoints import read_checked, sha256_of

SPLITS = ("calibration", "validation", "report")
TRAIN_AND_VAL = ("train", "val")
AnyImages = TypeVar("AnyImages", Images, ImageFiles, Images | ImageFiles)

CALIBRATION_IMAGES = 2_000
"""Of ``train/``: as many as OFA recalibrates batch norms on."""
CALIBRATION_BATCH = 100
"""Images whose statistics are taken together."""
VALIDATION_EVERY = 5
"""One of so many images of each class in ``val/`` is for the search, the others are for the report."""
OTHER_FORMS = "lists (train.csv of file,label) or arrays (train.npz)"
NEEDED = {
    "train": f"batch norms are recalibrated on training images (about {CALIBRATION_IMAGES:,} of them)",
    "val": "accuracy is measured on validation images",
}


class WithPreprocessing(Protocol):
    """What a data set must fit: a supernet, or a bundle cut out of one."""

    @property
    def classes(self) -> tuple[str, ...]: ...

    @property
    def preprocessing(self) -> PreprocessingKeys: ...


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
    :func:`supernet.images.class_folders.labels_of`, or is in another form of :mod:`supernet.images.layouts.registry`.
    """
    return read_dataset(name_or_folder, network.classes, network.preprocessing)


@lru_cache(maxsize=2)
def read_dataset(name_or_folder: str, classes: tuple[str, ...], how: PreprocessingKeys) -> Dataset:
    """See :func:`load_dataset`; the same data set is read once."""
    check_preprocessing(how)
    if name_or_folder == "fashion_mnist":
        return load_fashion_mnist(classes, how)
    check_images_are_there(name_or_folder)
    folder = Path(name_or_folder)
    splits = {split: ready(images, how) for split, images in list_splits(folder, classes).items()}
    return Dataset(name_or_folder, classes, how, sha256=splits_hash(classes, splits), **splits)


def check_images_are_there(name_or_folder: str) -> None:
    """Raises InputError for what is neither a folder nor a data set that ships."""
    if name_or_folder != "fashion_mnist" and not Path(name_or_folder).is_dir():
        raise unknown("data set (or folder of images)", name_or_folder, ["fashion_mnist"])


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


def list_splits(folder: Path, classes: tuple[str, ...]) -> dict[str, Images | ImageFiles]:
    """The images of each split, as they lie on disk. Raises InputError for a folder of neither layout."""
    parts = {name: part.listed(classes) for name, part in find_parts(folder).items()}
    check_alike(*parts.values())
    return splits_of(parts)


def find_parts(folder: Path) -> dict[str, DataPart]:
    """Calibration, validation and report, or train and val. Raises InputError where one of them is missing."""
    found = parts_in(folder)
    wanted = TRAIN_AND_VAL if set(found) & set(TRAIN_AND_VAL) else SPLITS
    missing = [name for name in wanted if name not in found]
    if missing and wanted == TRAIN_AND_VAL:
        raise InputError(
            f"{folder} has no {missing[0]}/: {NEEDED[missing[0]]}; give a folder with train/ and val/, each with one "
            f"folder of images a class, as torchvision reads ImageNet, or {OTHER_FORMS}"
        )
    if missing:
        raise InputError(
            f"{folder} lacks the folders {', '.join(missing)}; a data set of your own has "
            "calibration/, validation/ and report/, or train/ and val/ as torchvision reads ImageNet, "
            f"each with one folder of images a class, or {OTHER_FORMS}"
        )
    return found


def parts_in(folder: Path) -> dict[str, DataPart]:
    """Those parts of one of the two layouts that are there. Raises InputError where the folder cannot be read."""
    visible(folder)
    found = {
        name: part for name in (*SPLITS, *TRAIN_AND_VAL) if (part := find_part(folder, name)) is not None
    }
    if not found:
        refuse_pickles(folder)
    splits = {name: part for name, part in found.items() if name in SPLITS}
    return splits or found


def splits_of(parts: Mapping[str, Images | ImageFiles]) -> dict[str, Images | ImageFiles]:
    """The three splits of what :func:`find_parts` found, or of what is as these are.

    Of ``train`` come calibration images, of ``val`` validation and report images: a supernet was trained on
    ``train``, so nothing is chosen or reported by it. Images are taken by their place in sorted order, so that every
    run on the same files has the same splits.
    """
    if set(parts) == set(SPLITS):
        return {**parts, "calibration": mixed_images(parts["calibration"])}
    train, val = (parts[name] for name in TRAIN_AND_VAL)
    count = min(CALIBRATION_IMAGES, len(train))
    places: dict[bool, list[int]] = {True: [], False: []}
    seen: Counter[int] = Counter()
    for place, label in enumerate(val.labels.tolist()):
        places[seen[label] % VALIDATION_EVERY == 0].append(place)
        seen[label] += 1
    if not places[False]:
        raise InputError(
            f"{val.origin.folder if val.origin else 'val'} has one image a class; it needs some to search with and "
            "others to report"
        )
    return {
        "calibration": mixed_images(train.picked([i * len(train) // count for i in range(count)])),
        "validation": val.picked(places[True]),
        "report": val.picked(places[False]),
    }


def mixed_images(images: AnyImages) -> AnyImages:
    """The same images in an order in which each batch of statistics has some of every class.

    Files come class by class, and a batch of few classes varies too little: subnets of the embedded
    supernet lose 0.8 to 1.5 points so.
    """
    batches = math.ceil(len(images) / CALIBRATION_BATCH)
    return images.picked([i for first in range(batches) for i in range(first, len(images), batches)])


def load_folder(folder: Path, network: WithPreprocessing) -> Images | ImageFiles:
    """Images below ``folder/CLASS``, or with a list of labels, in memory where the network takes ``stored`` ones."""
    check_preprocessing(network.preprocessing)
    return ready(part_at(folder).listed(network.classes), network.preprocessing)


def splits_hash(classes: Sequence[str], splits: Mapping[str, Images | ImageFiles]) -> str:
    """Of what :class:`Dataset` says, for images in memory, in files, or some splits so and some so."""
    files = {split: images for split, images in splits.items() if isinstance(images, ImageFiles)}
    pixels = {split: images for split, images in splits.items() if isinstance(images, Images)}
    if not files:
        return content_hash(classes, pixels)
    if not pixels:
        return listing_hash(classes, files)
    return sha256_of(f"{content_hash(classes, pixels)} {listing_hash(classes, files)}".encode())


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
    """The embedded images: see :mod:`supernet.images.fashion_mnist` for the split rule.

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
