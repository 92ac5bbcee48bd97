"""SVHN's cropped digits, ``train_32x32.mat`` and ``test_32x32.mat``, as torchvision keeps them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from supernet.errors import InputError
from supernet.images.layouts.published_set_part import DIGIT_CLASSES, Bytes, PublishedSetPart

MAT_FILES = {"train": "train_32x32.mat", "val": "test_32x32.mat"}


def svhn_part(folder: Path, name: str) -> PublishedSetPart | None:
    """The part ``name`` of the set in ``folder``."""
    file = folder / MAT_FILES.get(name, "")
    return PublishedSetPart(str(file), DIGIT_CLASSES, partial(read_digits, file)) if file.is_file() else None


def read_digits(file: Path) -> tuple[Bytes, Bytes]:
    """Pixels (n, 32, 32, 3) and labels (n,); the digit 0 has the label 10 on disk. Nothing in the file is run."""
    from scipy.io import loadmat

    try:
        arrays = loadmat(file, variable_names=("X", "y"))
        pixels, labels = arrays["X"], arrays["y"].ravel()
    except Exception as error:  # whatever a parser says of bytes that it does not understand
        raise InputError(f"{file} is no file of SVHN's digits: {error}; fetch the set again") from error
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[2] != 3 or labels.dtype.kind not in "uif":
        raise InputError(
            f"{file} is no file of SVHN's digits: X is {pixels.dtype} of the shape {pixels.shape}, and y is {labels.dtype}; "
            "fetch the set again"
        )
    if not set(labels) <= {*range(1, 11)}:
        raise InputError(
            f"{file} is no file of SVHN's digits: labels are from {labels.min()} to {labels.max()}, and 1 to 10 are possible; "
            "fetch the set again"
        )
    return np.ascontiguousarray(pixels.transpose(3, 0, 1, 2)), (labels % 10).astype(np.uint8)
