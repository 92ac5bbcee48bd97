"""Images in memory, and how they and those in files become what a network takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from supernet.families.catalog import PreprocessingKeys
from supernet.images.image_folder import ImageFiles, Origin, converted, read_image
from supernet.images.preprocessing import prepare, resize_and_crop

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Images:
    """Images in memory, uint8, grey (n, h, w) or RGB (n, 3, h, w), and labels (n,) int64."""

    pixels: Tensor
    labels: Tensor
    origin: Origin | None = None
    batch_size: ClassVar[int] = 100
    """Images of 28 pixels whose maps stay in the cache: half the time that 500 take."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def undecodable(self) -> Mapping[str, str]:
        """None, as all of them are decoded already."""
        return {}

    def decodable(self, places: range) -> list[int]:
        """All of ``places``."""
        return list(places)

    def picked(self, places: Sequence[int]) -> Images:
        """Those at ``places``, in that order."""
        return Images(self.pixels[list(places)], self.labels[list(places)], self.origin)

    def batch(self, places: slice, resolution: int, how: PreprocessingKeys) -> tuple[Tensor, Tensor]:
        """Inputs (n, c, resolution, resolution) float32 and labels (n,)."""
        pixels, labels = self.pixels[places], self.labels[places]
        if how.crop is None:
            return prepare(pixels, resolution, how), labels
        resized = resize_and_crop(resolution, how)
        return torch.stack([resized(as_pillow(image)) for image in pixels]), labels


def as_pillow(pixels: Tensor) -> Image.Image:
    """The image of Pillow's, of mode L or RGB, in pixels (h, w) or (3, h, w)."""
    from PIL.Image import fromarray

    return fromarray((pixels if pixels.ndim == 2 else pixels.permute(1, 2, 0)).numpy())


def ready(images: Images | ImageFiles, how: PreprocessingKeys) -> Images | ImageFiles:
    """As a network takes them: in memory as squares of ``stored`` pixels, else of the size that they have.

    Raises InputError for a file that is no image, where all are read now.
    """
    if how.stored is not None:
        return in_memory(images, how)
    channels = len(how.mean)
    if isinstance(images, ImageFiles) or images.pixels.ndim == (3 if channels == 1 else 4):
        return images  # files get their channels as they are read
    return Images(
        stacked([converted(as_pillow(i), channels) for i in images.pixels]), images.labels, images.origin
    )


def in_memory(images: Images | ImageFiles, how: PreprocessingKeys) -> Images:
    """All images as squares of ``stored`` pixels. Raises InputError for a file that is no image."""
    from PIL.Image import Resampling

    if how.stored is None:
        raise ValueError(f"preprocessing stores no images: {how}")
    size, channels = (how.stored, how.stored), len(how.mean)
    read = (
        (read_image(images.folder / file, channels) for file in images.files)
        if isinstance(images, ImageFiles)
        else (converted(as_pillow(image), channels) for image in images.pixels)
    )
    return Images(
        stacked([image.resize(size, Resampling.BILINEAR) for image in read]), images.labels, images.origin
    )


def stacked(images: Sequence[Image.Image]) -> Tensor:
    """Images of one size and mode, L or RGB, as pixels (n, h, w) or (n, 3, h, w) uint8."""
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return pixels if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()
