"""Size, colour, mean and standard deviation of training images, for a supernet that is made for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from PIL import Image

from supernet.errors import InputError
from supernet.images.image_folder import ImageFiles, decoded
from supernet.images.images import Images, ready
from supernet.images.layouts.part import DataPart
from supernet.images.layouts.registry import find_part
from supernet.making.new_supernet import MeasuredPixels, preprocessing_for
from supernet.training.training_images import TRAIN

MEASURED_IMAGES = 10_000
"""Images that mean and std are of: further ones move the third decimal."""
LOOKED_AT_FOR_SIZE = 100
MOST_OF_A_PHOTO = 224
"""Pixels of a side that is suggested: what photos are usually cut to."""
GREY_MODES = ("1", "L", "LA")
DECIMALS = 3


def training_part(folder: Path) -> DataPart:
    """The images to train on in a folder. Raises InputError where there are none."""
    part = find_part(folder, TRAIN) if folder.is_dir() else None
    if part is None:
        what = f"{folder} has no {TRAIN}/" if folder.is_dir() else f"there is no folder {folder}"
        raise InputError(
            f"{what}: --data is a folder with images to train on in {TRAIN}/CLASS/, as oncefit data split makes it of one "
            "folder of images a class"
        )
    return part


def spread_evenly(images: Images | ImageFiles, most: int) -> Images | ImageFiles:
    """At most so many of them, from the first class to the last."""
    count = min(most, len(images))
    return images.picked([i * len(images) // count for i in range(count)])


def looks_of(images: Images | ImageFiles) -> tuple[int, int]:
    """The side that is usual for them in pixels, 224 at most, and their channels: 1 where all are grey, else 3."""
    some = spread_evenly(images, LOOKED_AT_FOR_SIZE)
    if isinstance(some, Images):
        sides, grey = [min(some.pixels.shape[-2:])], some.pixels.ndim == 3
    else:
        looks = [decoded(some.folder / file, size_and_mode) for file in some.files]
        sides, grey = [side for side, _ in looks], all(mode in GREY_MODES for _, mode in looks)
    return min(MOST_OF_A_PHOTO, int(median(sides))), 1 if grey else 3


def size_and_mode(image: Image.Image, _: bytes) -> tuple[int, str]:
    image.load()
    return min(image.size), image.mode


def measured_pixels(
    images: Images | ImageFiles, folder: Path, image_size: int, channels: int
) -> MeasuredPixels:
    """Mean and standard deviation of each channel, of brightness 0..1, as the network would get the images."""
    how = preprocessing_for(image_size, (0.0,) * channels, (1.0,) * channels)
    some = ready(spread_evenly(images, MEASURED_IMAGES), how)
    sums, squares, pixels = torch.zeros(channels).double(), torch.zeros(channels).double(), 0
    looked_at = 0
    for first in range(0, len(some), some.batch_size):
        inputs, _ = some.batch(slice(first, first + some.batch_size), image_size, how)
        exact = inputs.double()
        sums += exact.sum((0, 2, 3))
        squares += exact.square().sum((0, 2, 3))
        pixels += exact[:, 0].numel()
        looked_at += len(inputs)
    mean = sums / pixels
    std = (squares / pixels - mean.square()).clamp(min=0).sqrt()
    found = MeasuredPixels(
        str(folder), len(images), looked_at, to_decimals(mean.tolist()), to_decimals(std.tolist())
    )
    if not all(found.std):
        raise InputError(
            f"the training images in {folder} do not vary in a channel; there is nothing to learn from"
        )
    return found


def to_decimals(figures: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(figure, DECIMALS) for figure in figures)
