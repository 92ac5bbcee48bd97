"""STL-10 in its binary version, as torchvision keeps it.

torchvision's own class hashes all files each time, the 2.7 GB of images without labels too, and refuses the set without
them; these are not read here.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from supernet.documents import text_of
from supernet.errors import InputError
from supernet.images.layouts.published_set_part import Bytes, PublishedSetPart, folder_called

STL10_FOLDER = "stl10_binary"
STL10_PREFIXES = {"train": "train", "val": "test"}
CLASS_NAMES_FILE = "class_names.txt"
PIXELS_A_SIDE = 96
BYTES_AN_IMAGE = 3 * PIXELS_A_SIDE**2


def stl10_part(folder: Path, name: str) -> PublishedSetPart | None:
    """The part ``name`` of the set in ``folder``, be it ``stl10_binary`` itself or in it."""
    place = folder_called(folder, STL10_FOLDER)
    if place is None or name not in STL10_PREFIXES or not (place / f"{STL10_PREFIXES[name]}_X.bin").is_file():
        return None
    images, labels = (place / f"{STL10_PREFIXES[name]}_{what}.bin" for what in "Xy")
    names = tuple(text_of(place / CLASS_NAMES_FILE, "text").split())
    return PublishedSetPart(str(images), names, partial(read_from_1, images, labels))


def read_from_1(images: Path, labels: Path) -> tuple[Bytes, Bytes]:
    """Pixels (n, 96, 96, 3) and labels (n,) from 0; on disk these are from 1, and images column by column."""
    pixels, numbers = read_bytes(images), read_bytes(labels)
    if len(pixels) % BYTES_AN_IMAGE or 0 in numbers:
        wrong, why = (
            (images, f"{len(pixels):,} bytes, no multiple of {BYTES_AN_IMAGE:,}")
            if len(pixels) % BYTES_AN_IMAGE
            else (labels, "a label 0, which are counted from 1")
        )
        raise InputError(f"{wrong} holds {why}; unpack the set again")
    upright = pixels.reshape(-1, 3, PIXELS_A_SIDE, PIXELS_A_SIDE).transpose(0, 3, 2, 1)
    return np.ascontiguousarray(upright), numbers - 1


def read_bytes(file: Path) -> Bytes:
    try:
        return np.frombuffer(file.read_bytes(), np.uint8)
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror}; unpack the set again") from error
