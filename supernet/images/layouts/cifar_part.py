"""CIFAR-10 and CIFAR-100 in their binary version; the other two hold pickles, which are never read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from supernet.documents import text_of
from supernet.errors import InputError
from supernet.images.layouts.published_set_part import Bytes, PublishedSetPart, folder_called

SIDE = 32
IMAGE_BYTES = 3 * SIDE**2


@dataclass(frozen=True)
class Version:
    """Files of records: ``label_bytes`` of which the last is the label, and then red, green and blue."""

    folder: str
    pickled: str
    archive: str
    parts: dict[str, tuple[str, ...]]
    names: str
    label_bytes: int


VERSIONS = (
    Version(
        "cifar-10-batches-bin", "cifar-10-batches-py", "cifar-10-binary.tar.gz",
        {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "val": ("test_batch.bin",)}, "batches.meta.txt", 1,
    ),
    Version(
        "cifar-100-binary", "cifar-100-python", "cifar-100-binary.tar.gz",
        {"train": ("train.bin",), "val": ("test.bin",)}, "fine_label_names.txt", 2,
    ),
)  # fmt: skip


def cifar_part(folder: Path, name: str) -> PublishedSetPart | None:
    """The part ``name`` of a set in ``folder``, be it that folder or in it."""
    here = [
        version
        for version in VERSIONS
        if folder_called(folder, version.folder) is not None and name in version.parts
    ]
    if len(here) > 1:
        raise InputError(f"{folder} holds {' and '.join(v.folder for v in here)}; give one of these folders")
    for version in here:
        place = folder_called(folder, version.folder)
        assert place is not None
        files = [place / file for file in version.parts[name]]
        names = tuple(text_of(place / version.names, "text").split())
        return PublishedSetPart(str(files[0]), names, partial(read_records, files, version.label_bytes))
    return None


def refuse_pickles(folder: Path) -> None:
    """Raises InputError where there is a set as pickles, for a folder in which nothing else was found."""
    for version in VERSIONS:
        if (pickled := folder_called(folder, version.pickled)) is not None:
            raise InputError(
                f"{pickled} holds pickles, and reading these could run code, so nothing of it was read. Take the binary version, "
                f"{version.archive}, from the same page (https://www.cs.toronto.edu/~kriz/cifar.html), or write train.npz and "
                "val.npz where you trust the files: numpy.savez('train.npz', images=set.data, labels=set.targets) of "
                "torchvision's set"
            )


def read_records(files: Sequence[Path], label_bytes: int) -> tuple[Bytes, Bytes]:
    """Pixels (n, 32, 32, 3) and labels (n,). Raises InputError for a file that is cut short."""
    size, found = label_bytes + IMAGE_BYTES, []
    for file in files:
        try:
            data = np.frombuffer(file.read_bytes(), np.uint8)
        except OSError as error:
            raise InputError(f"cannot read {file}: {error.strerror}; unpack the set again") from error
        if len(data) % size:
            raise InputError(
                f"{file} holds {len(data):,} bytes, no multiple of {size:,}; unpack the set again"
            )
        found.append(data.reshape(-1, size))
    records = np.concatenate(found)
    pixels = records[:, label_bytes:].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pixels), records[:, label_bytes - 1].copy()
