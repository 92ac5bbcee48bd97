"""Fashion-MNIST (Xiao et al., 2017, MIT licence): the full training set, and the fixed split rule.

Of the 60,000 training images, the one at index i belongs to

- validation (what a search sees) if i mod 60 is 0 to 4: 5,000 images,
- calibration (batch-norm statistics) if i mod 60 is 5 or 6: 2,000 images,
- training otherwise: 53,000 images.

The official 10,000 test images are the report split.

``make splits`` writes the shipped file of calibration, validation and report images.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from supernet.atomic import whole
from supernet.errors import InputError
from supernet.weights.stored_weights import PRETRAINED

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = PRETRAINED / "fashion_mnist.npz"
SHIPPED_SHA256 = "ea7761591efa71a666bd58407b850c4c48bbdc260a89fe0fa5bc393a56dfffdd"
PIXELS = 28
"""Side of an image."""
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

    try:
        if DEBIAN_FOLDER.is_dir():
            unpack(DEBIAN_FOLDER, root / "FashionMNIST" / "raw")
        data = FashionMNIST(str(root), train=train, download=True)
    except (OSError, EOFError, RuntimeError) as error:  # EOFError: a packed file that was cut short
        raise InputError(
            f"Fashion-MNIST is neither whole in {DEBIAN_FOLDER} nor could it be downloaded to {root} ({error}); "
            "install Debian's package dataset-fashion-mnist or connect to a network"
        ) from error
    return data.data, data.targets


def unpack(source: Path, target: Path) -> None:
    """Gunzip Debian's files to where torchvision looks for them."""
    for packed in source.glob("*-ubyte.gz"):
        unpacked = target / packed.stem
        if not unpacked.exists():
            data = gzip.decompress(packed.read_bytes())
            with whole(unpacked) as partial:
                partial.write_bytes(data)


def write_splits(target: Path, root: Path) -> None:
    """Write the shipped file of the three splits from the official images, which are kept in ``root``.

    The same images give the same bytes: NumPy dates every entry 1980. Raises InputError
    where there are no images or ``target`` cannot be written.
    """
    pixels, labels = (part.numpy() for part in load_official(root, train=True))
    report_pixels, report_labels = (part.numpy() for part in load_official(root, train=False))
    arrays = {"report_pixels": report_pixels, "report_labels": report_labels.astype(np.uint8)}
    for split in ("calibration", "validation"):
        indices = split_of_training_images(split)
        arrays[f"{split}_pixels"] = pixels[indices]
        arrays[f"{split}_labels"] = labels[indices].astype(np.uint8)
    with whole(target) as partial, partial.open("wb") as writer:
        np.savez_compressed(writer, **arrays)  # type: ignore[arg-type]  # its stubs take them for allow_pickle too


def main() -> None:
    """Write the shipped file anew, into the package or to the path that is given."""
    from supernet.weights.checkpoints import sha256_of

    target = Path(sys.argv[1]) if len(sys.argv) > 1 else SHIPPED
    with tempfile.TemporaryDirectory(prefix="oncefit-") as folder:
        write_splits(target, Path(folder))
    sha256 = sha256_of(target.read_bytes())
    print(f"wrote {target}, sha256 {sha256}")
    if sha256 != SHIPPED_SHA256:
        # another zlib compresses the same images to other bytes
        print(f"supernet/images/fashion_mnist.py expects {SHIPPED_SHA256}; change it, or restore the file")


if __name__ == "__main__":
    main()
