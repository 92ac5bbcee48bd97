"""A part of a published set of images, whose files hold labels as places in a list of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from supernet.errors import InputError
from supernet.images.class_folders import Order, folder_name, labels_of
from supernet.images.images import Images
from supernet.images.layouts.array_part import images_of

Bytes = npt.NDArray[np.uint8]
DIGIT_CLASSES = tuple("0123456789")


@dataclass(frozen=True)
class PublishedSetPart:
    """``read`` gives pixels (n, h, w) or (n, h, w, 3) and labels (n,), which are places in ``set_classes``."""

    where: str
    set_classes: tuple[str, ...]
    read: Callable[[], tuple[Bytes, Bytes]]

    @property
    def names(self) -> Sequence[str]:
        return [folder_name(name) for name in self.set_classes]

    def listed(self, classes: Sequence[str]) -> Images:
        outputs = labels_of(Path(self.where), self.names, classes, "class")
        if outputs.order is Order.SORTED:
            outputs = replace(outputs, order=Order.OWN)
        pixels, labels = self.read()
        if len(pixels) != len(labels) or not len(labels) or labels.max() >= len(self.set_classes):
            raise InputError(
                f"{self.where} has {len(pixels):,} images and {len(labels):,} labels up to {labels.max(initial=0)} of "
                f"{len(self.set_classes)} classes; unpack the set again"
            )
        return images_of(pixels, [outputs.labels[self.names[label]] for label in labels], self.where, outputs)


def folder_called(folder: Path, name: str) -> Path | None:
    """The folder itself, or the one in it, that is called so."""
    return next((place for place in (folder, folder / name) if place.name == name and place.is_dir()), None)
