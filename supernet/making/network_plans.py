"""What a supernet of MobileNetV3 blocks looks like for images of a size, before its widths are multiplied.

Small images keep their pixels: the stem does not halve them, and their last maps are of about eight pixels, as those of
networks for CIFAR are (He et al., 2016), where photos are halved five times as in MobileNetV3 (Howard et al., 2019).
Large maps have few, cheap blocks with small kernels and ReLU; squeeze-and-excitation and h-swish are where maps are small,
and cost least on a CPU.
"""

from __future__ import annotations

from dataclasses import replace

from supernet.bounds import check_between
from supernet.errors import InputError
from supernet.networks.inverted_residuals import MobileNetV3Spec, Stage

LEAST_SIDE, MOST_SIDE = 8, 1024
"""Pixels of an image's side."""
LAST_MAP = 12
"""Maps of so many pixels, or more, are halved once more, until there are :data:`MOST_HALVINGS`."""
MOST_HALVINGS = 5
PARTS_OF_SIDE = (0.75, 0.875, 1.0)
"""Resolutions that are offered: at three quarters of the side, a network costs a little more than half."""
CHANNELS = (1, 3)

EXPANDS = (2, 3, 4)
SHALLOW, DEEP = (1, 2, 3), (1, 2, 3, 4)
SMALL_KERNELS, ALL_KERNELS = (3, 5), (3, 5, 7)

EARLY = Stage(24, 2, "relu", False, SHALLOW, SMALL_KERNELS, EXPANDS)
"""On the largest maps."""
SMALL = (
    EARLY,
    Stage(48, 2, "h_swish", True, DEEP, ALL_KERNELS, EXPANDS),
    Stage(80, 1, "h_swish", True, DEEP, SMALL_KERNELS, EXPANDS),
)
"""Stages for images that are halved up to twice, or three times with the stem's."""
MIDDLE = (
    EARLY,
    Stage(40, 2, "relu", True, DEEP, SMALL_KERNELS, EXPANDS),
    Stage(64, 2, "h_swish", True, DEEP, ALL_KERNELS, EXPANDS),
    Stage(96, 1, "h_swish", True, DEEP, SMALL_KERNELS, EXPANDS),
)
PHOTOS = (
    EARLY,
    Stage(40, 2, "relu", True, DEEP, SMALL_KERNELS, EXPANDS),
    Stage(80, 2, "h_swish", False, DEEP, ALL_KERNELS, EXPANDS),
    Stage(112, 1, "h_swish", True, DEEP, ALL_KERNELS, EXPANDS),
    Stage(160, 2, "h_swish", True, DEEP, SMALL_KERNELS, EXPANDS),
)


def network_plan(name: str, image_size: int, channels: int, classes: int) -> MobileNetV3Spec:
    """The description of a supernet for square images of ``image_size`` pixels, of width multiplier 1.

    Raises InputError for sizes and channels that there is no plan for.
    """
    check_between(image_size, LEAST_SIDE, MOST_SIDE, "--image-size")
    if channels not in CHANNELS:
        raise InputError(f"--channels: got {channels}; 1 (grey) or 3 (RGB) is possible")
    halvings = count_halvings(image_size)
    stem_halves = halvings > 2
    return MobileNetV3Spec(
        name=name, classes=classes, in_channels=channels, resolutions=resolutions_for(image_size),
        stem_width=16, stem_stride=2 if stem_halves else 1, first_width=16, first_stride=1,
        head_width=256 if halvings < 4 else 512, stages=stages_for(halvings - stem_halves),
    )  # fmt: skip


def count_halvings(image_size: int) -> int:
    """How often maps are halved from the image to the head."""
    halvings = 0
    while halvings < MOST_HALVINGS and image_size >= LAST_MAP * 2**halvings:
        halvings += 1
    return halvings


def stages_for(halvings: int) -> tuple[Stage, ...]:
    """Stages that halve maps so often."""
    if halvings > 3:
        return PHOTOS
    if halvings > 2:
        return MIDDLE
    return tuple(replace(stage, stride=2 if i < halvings else 1) for i, stage in enumerate(SMALL))


def resolutions_for(image_size: int) -> tuple[int, ...]:
    """The image's side and two smaller ones, in steps that keep the maps' sides whole where that is possible."""
    step = max(step for step in (1, 2, 4, 8, 16) if step <= max(1, image_size // 8))
    smaller = {round(image_size * part / step) * step for part in PARTS_OF_SIDE[:-1]}
    return (*sorted(smaller - {image_size}), image_size)
