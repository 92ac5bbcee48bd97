"""``PART.npz`` with ``images`` and ``labels``: pixels in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from supernet.archive_errors import ARCHIVE_ERRORS
from supernet.errors import InputError, some
from supernet.images.class_folders import ClassFolders, Order, folder_name, is_numbered, labels_of
from supernet.images.image_folder import Origin
from supernet.images.images import Images

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class ArrayPart:
    """Pixels (n, h, w), (n, h, w, 1), (n, h, w, 3) uint8, and labels (n,): places of outputs from 0, or names."""

    file: Path

    @property
    def where(self) -> str:
        return str(self.file)

    @cached_property
    def arrays(self) -> tuple[npt.NDArray[np.uint8], Array]:
        found = read_arrays(self.file)
        return checked_pixels(found["images"], self.file), checked_labels(
            found["labels"], len(found["images"]), self.file
        )

    @property
    def names(self) -> Sequence[str]:
        return [folder_name(str(label)) for label in np.unique(self.arrays[1])]

    def listed(self, classes: Sequence[str]) -> Images:
        pixels, labels = self.arrays
        found = self.outputs(classes)
        places = [found.labels[folder_name(str(label))] for label in labels]
        return images_of(pixels, places, self.where, found)

    def outputs(self, classes: Sequence[str]) -> ClassFolders:
        labels = self.arrays[1]
        if labels.dtype.kind == "U" or all(map(is_numbered, classes)):
            return labels_of(self.file, self.names, classes, "label")
        wrong = np.flatnonzero(labels.astype(np.int64) >= len(classes))
        if len(wrong):
            raise InputError(
                f"{self.file}: {len(wrong):,} labels are out of range, the first {labels[wrong[0]]} at place {wrong[0]}: the "
                f"network has {len(classes):,} outputs, counted from 0"
            )
        return ClassFolders({name: int(name) for name in self.names}, Order.NUMBERS)


def images_of(
    pixels: npt.NDArray[np.uint8], labels: Sequence[int], where: str, outputs: ClassFolders
) -> Images:
    """Images in memory of pixels (n, h, w) or (n, h, w, 3)."""
    tensor = torch.from_numpy(pixels)
    tensor = tensor if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2).contiguous()
    origin = Origin(
        where, f"labels in {Path(where).name} are {outputs.order.value}", (), len(labels), outputs.labels,
        outputs.order is Order.SORTED,
    )  # fmt: skip
    return Images(tensor, torch.tensor(labels), origin)


def array_part(folder: Path, name: str) -> ArrayPart | None:
    """The part ``name`` of a data set in ``folder``, where it is a file of arrays."""
    return ArrayPart(folder / f"{name}.npz") if (folder / f"{name}.npz").is_file() else None


def read_arrays(file: Path) -> Mapping[str, Array]:
    """``images`` and ``labels``. Raises InputError for another file; nothing in it is run."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            missing = [name for name in ("images", "labels") if name not in arrays.files]
            if missing:
                raise InputError(
                    f"{file} has no array {missing[0]!r}; it holds {some(arrays.files)}: save it with "
                    "numpy.savez(file, images=..., labels=...)"
                )
            return {name: arrays[name] for name in ("images", "labels")}
    except InputError:
        raise
    except ValueError as error:  # an array of Python objects
        raise InputError(
            f"{file} is refused: {error}; loading Python objects could run code. Save images as uint8 and labels as integers or "
            "text (labels.astype(str))"
        ) from error
    except ARCHIVE_ERRORS as error:
        raise InputError(f"cannot read {file} as arrays: {error}; save it again with numpy.savez") from error


def checked_pixels(images: Array, file: Path) -> npt.NDArray[np.uint8]:
    """As (n, h, w) or (n, h, w, 3). Raises InputError for other numbers or another shape."""
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if images.dtype != np.uint8 or not fits or 0 in images.shape:
        hint = " (channels come last)" if images.ndim == 4 and images.shape[1] in (1, 3) else ""
        raise InputError(
            f"{file}: images are uint8 of the shape (n, height, width) or (n, height, width, 3), got {images.dtype} of the shape "
            f"{images.shape}{hint}; give brightness 0 to 255, which is normalised later"
        )
    pixels = images.astype(np.uint8)
    return pixels[..., 0] if pixels.ndim == 4 and pixels.shape[3] == 1 else pixels


def checked_labels(labels: Array, images: int, file: Path) -> Array:
    """Raises InputError unless there is a whole number from 0, or a name, for each image."""
    if labels.shape != (images,):
        raise InputError(
            f"{file} has {images:,} images, and labels of the shape {labels.shape}; give one label for each image"
        )
    if labels.dtype.kind not in "iuU" or (
        labels.dtype.kind == "i" and bool((labels.astype(np.int64) < 0).any())
    ):
        raise InputError(
            f"{file}: labels are places of the network's outputs, counted from 0, or names of its classes; got {labels.dtype} such "
            f"as {labels.min() if labels.dtype.kind == 'i' else labels[0]}"
        )
    return labels
