"""MNIST, Fashion-MNIST, KMNIST, EMNIST: the files that torchvision keeps in ``NAME/raw``."""

from __future__ import annotations

import string
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from supernet.errors import InputError
from supernet.images import fashion_mnist
from supernet.images.layouts.published_set_part import DIGIT_CLASSES, Bytes, PublishedSetPart
from supernet.reading import read_at_most, unpacked_at_most

PREFIXES = {"train": "train", "val": "t10k"}
EMNIST_PREFIXES = {"train": "train", "val": "test"}
SET_CLASSES = {"FashionMNIST": fashion_mnist.CLASSES}
"""By the folder above ``raw``; the classes of others are their digits."""
CASELESS = set("cijklmopsuvwxyz")
"""Letters that look alike in both cases, which some of EMNIST's sets take together."""
ALL_CHARACTERS = tuple(sorted(string.digits + string.ascii_letters))
MERGED_CHARACTERS = tuple(character for character in ALL_CHARACTERS if character not in CASELESS)
EMNIST_CLASSES = {
    "balanced": MERGED_CHARACTERS,
    "byclass": ALL_CHARACTERS,
    "bymerge": MERGED_CHARACTERS,
    "digits": DIGIT_CLASSES,
    "letters": tuple(string.ascii_lowercase),
    "mnist": DIGIT_CLASSES,
}
COUNTED_FROM_1 = ("letters",)
UNSIGNED_BYTES = 8
LARGEST_IDX = 2**31
"""Bytes of a file; the largest of EMNIST's has 550 MB."""


def idx_part(folder: Path, name: str) -> PublishedSetPart | None:
    """The part ``name`` of a set in ``folder``, in its ``raw``, or in that of the only set in it."""
    if name not in PREFIXES:
        return None
    for place in (folder, folder / "raw", *only(sorted(folder.glob("*/raw")))):
        if (pair := pair_of(place, PREFIXES[name])) is not None:
            called = place.parent.name if place.name == "raw" else place.name
            classes = SET_CLASSES.get(called, DIGIT_CLASSES)
            return PublishedSetPart(str(pair[0]), classes, partial(read_pair, *pair))
        if (found := emnist_part(place, name)) is not None:
            return found
    return None


def emnist_part(place: Path, name: str) -> PublishedSetPart | None:
    """That of the only one of EMNIST's sets in a folder. Raises InputError for several: each has its own labels."""
    pairs = {of: pair_of(place, f"emnist-{of}-{EMNIST_PREFIXES[name]}") for of in EMNIST_CLASSES}
    found = [(of, pair) for of, pair in pairs.items() if pair is not None]
    if len(found) > 1:
        raise InputError(
            f"{place} holds the sets {', '.join(of for of, _ in found)} of EMNIST, which are of other classes; put or link the "
            f"four files of one of them into a folder of its own, as {place.parent / found[0][0]}, and give that"
        )
    for of, pair in found:
        read = partial(read_pair, *pair, first=int(of in COUNTED_FROM_1))
        return PublishedSetPart(str(pair[0]), EMNIST_CLASSES[of], read)
    return None


def pair_of(place: Path, prefix: str) -> tuple[Path, Path] | None:
    """The files of images and labels that are called so, if both are there."""
    images, labels = (existing(place / f"{prefix}-{what}-ubyte") for what in ("images-idx3", "labels-idx1"))
    return (images, labels) if images is not None and labels is not None else None


def only(found: list[Path]) -> list[Path]:
    return found if len(found) == 1 else []


def existing(path: Path) -> Path | None:
    """The file, or the packed one."""
    return next((file for file in (path, path.with_name(f"{path.name}.gz")) if file.is_file()), None)


def read_pair(images: Path, labels: Path, first: int = 0) -> tuple[Bytes, Bytes]:
    """Pixels (n, h, w) and labels (n,) from 0, which on disk begin at ``first``."""
    return read_idx(images, 3), read_idx(labels, 1) - np.uint8(first)


def read_idx(file: Path, dimensions: int) -> Bytes:
    """Bytes in so many dimensions (http://yann.lecun.com/exdb/mnist). Raises InputError for another file."""
    try:
        data = (unpacked_at_most if file.suffix == ".gz" else read_at_most)(file, LARGEST_IDX)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {file}: {error}; fetch the set again") from error
    start = 4 * (1 + dimensions)
    shape = np.frombuffer(data[4:start], ">u4").tolist()
    if data[:4] != bytes([0, 0, UNSIGNED_BYTES, dimensions]) or len(data) - start != np.prod(
        shape, dtype=np.int64
    ):
        raise InputError(
            f"{file} is no whole IDX file of bytes in {dimensions} dimension{'s' * (dimensions != 1)}; fetch the set again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape).copy()
