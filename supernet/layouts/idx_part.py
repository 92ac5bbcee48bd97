"""MNIST, Fashion-MNIST, KMNIST: the files that torchvision keeps in ``NAME/raw``."""

from __future__ import annotations

import gzip
import zlib
from functools import partial
from pathlib import Path

import numpy as np

from supernet import fashion_mnist
from supernet.errors import InputError
from supernet.layouts.published_set_part import Bytes, PublishedSetPart

PREFIXES = {"train": "train", "val": "t10k"}
SET_CLASSES = {"FashionMNIST": fashion_mnist.CLASSES}
"""By the folder above ``raw``; the classes of others are their digits."""
DIGIT_CLASSES = tuple("0123456789")
UNSIGNED_BYTES = 8


def idx_part(folder: Path, name: str) -> PublishedSetPart | None:
    """The part ``name`` of a set in ``folder``, in its ``raw``, or in that of the only set in it."""
    if name not in PREFIXES:
        return None
    for place in (folder, folder / "raw", *only(sorted(folder.glob("*/raw")))):
        images, labels = (
            existing(place / f"{PREFIXES[name]}-{what}-ubyte") for what in ("images-idx3", "labels-idx1")
        )
        if images is not None and labels is not None:
            called = place.parent.name if place.name == "raw" else place.name
            return PublishedSetPart(
                str(images), SET_CLASSES.get(called, DIGIT_CLASSES), partial(read_pair, images, labels)
            )
    return None


def only(found: list[Path]) -> list[Path]:
    return found if len(found) == 1 else []


def existing(path: Path) -> Path | None:
    """The file, or the packed one."""
    return next((file for file in (path, path.with_name(f"{path.name}.gz")) if file.is_file()), None)


def read_pair(images: Path, labels: Path) -> tuple[Bytes, Bytes]:
    return read_idx(images, 3), read_idx(labels, 1)


def read_idx(file: Path, dimensions: int) -> Bytes:
    """Bytes in so many dimensions (http://yann.lecun.com/exdb/mnist). Raises InputError for another file."""
    try:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
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
