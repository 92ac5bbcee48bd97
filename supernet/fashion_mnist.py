"""Fashion-MNIST (Xiao et al., 2017, MIT licence): the full training set, and the fixed split rule.

Of the 60,000 training images, the one at index i belongs to

- validation (what a search sees) if i mod 60 is 0 to 4: 5,000 images,
- calibration (batch-norm statistics) if i mod 60 is 5 or 6: 2,000 images,
- training otherwise: 53,000 images.

The official 10,000 test images are the report split.
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from supernet.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


def split_of_training_images(split: str) -> npt.NDArray[np.intp]:
    """Indices into the 60,000 official training images."""
    remainder = np.arange(60_000) % 60
    masks = {
        "validation": remainder < 5,
        "calibration": (remainder == 5) | (remainder == 6),
        "training": remainder > 6,
    }
    return np.flatnonzero(masks[split])


def load_official(root: Path, train: bool) -> tuple[Tensor, Tensor]:
    """Images (n, 28, 28) uint8 and labels (n,) int64, from Debian's package or a download to ``root``.

    Raises InputError where neither is to be had.
    """
    from torchvision.datasets import FashionMNIST

    if DEBIAN_FOLDER.is_dir():
        unpack(DEBIAN_FOLDER, root / "FashionMNIST" / "raw")
    try:
        data = FashionMNIST(str(root), train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"Fashion-MNIST is neither in {DEBIAN_FOLDER} nor could it be downloaded to {root} ({error}); "
            "install Debian's package dataset-fashion-mnist or connect to a network"
        ) from error
    return data.data, data.targets


def unpack(source: Path, target: Path) -> None:
    """Gunzip Debian's files to where torchvision looks for them."""
    target.mkdir(parents=True, exist_ok=True)
    for packed in source.glob("*-ubyte.gz"):
        unpacked = target / packed.stem
        if not unpacked.exists():
            partial = unpacked.with_suffix(".partial")
            with gzip.open(packed) as reader, partial.open("wb") as writer:
                shutil.copyfileobj(reader, writer)
            partial.replace(unpacked)
