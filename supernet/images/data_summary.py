"""What people are told of images: how many of how many classes, what was left out, and what makes no sense."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from supernet.accuracy import Accuracy, near_chance
from supernet.errors import few
from supernet.families.catalog import PreprocessingKeys
from supernet.images.class_folders import Order
from supernet.images.data import SPLITS, Dataset, Images
from supernet.images.image_folder import ImageFiles
from supernet.images.preprocessing import denormalised

LOOKED_AT_FOR_COLOUR, SIDE_FOR_COLOUR = 16, 32
"""Images that are looked at, and the side in pixels that they are resized to for it."""
COLOURLESS = 0.01
"""Difference of brightness 0..1 between channels that rounding makes where there is no colour."""


def of_dataset(data: Dataset) -> list[str]:
    """Sentences on the splits of a data set."""
    return of_images({split: getattr(data, split) for split in SPLITS}, len(data.classes), data.name)


def of_images(images: Mapping[str, Images | ImageFiles], classes: int, called: str) -> list[str]:
    """Sentences on images by what they are called, all of them in ``called``: counts, labels, what was left out."""
    counts = [f"{name} {counted_images(found, classes)}".strip() for name, found in images.items()]
    origins = list(dict.fromkeys(found.origin for found in images.values() if found.origin is not None))
    labels = "".join(f"; {told}" for told in dict.fromkeys(origin.labels for origin in origins))
    return [
        f"images in {called}: {', '.join(counts)}{labels}",
        *(
            f"left out of {origin.folder}: {', '.join(origin.left_out)}"
            for origin in origins
            if origin.left_out
        ),
    ]


def counted_images(images: Images | ImageFiles, classes: int) -> str:
    """``2,000 of 998 of 1,000 classes (of 1,281,167 in train)``."""
    found = len(set(images.labels.tolist()))
    of_classes = f"{found:,} classes" if found == classes else f"{found:,} of {classes:,} classes"
    origin = images.origin
    part = f" (of {origin.images:,} in {origin.folder})" if origin and origin.images != len(images) else ""
    return f"{len(images):,} of {of_classes}{part}"


def suspicion(
    found: Accuracy, images: Images | ImageFiles, classes: int, how: PreprocessingKeys | None = None
) -> str | None:
    """A sentence on a top-1 that guessing would give as well, with the likely cause; None for any other.

    ``how`` images become inputs says whether grey ones are given to a network of colour.
    """
    if not near_chance(found, classes):
        return None
    return (
        f"SUSPICIOUS: top-1 on {found.images:,} images ({found.split}) is {100 * found.top1:.2f} % "
        f"[{100 * found.top1_low:.2f}, {100 * found.top1_high:.2f}], no better than guessing one of {classes:,} classes "
        f"({100 / classes:.2g} %). {likely_cause(images)}{of_colour(images, how)} To see what the network sees: oncefit data check "
        "FOLDER --supernet NAME --picture seen.png"
    )


def likely_cause(images: Images | ImageFiles) -> str:
    """By how images got their labels."""
    labels = images.origin.labels if images.origin is not None else Order.NAMES.value
    others = "the weights or the preprocessing (mean, std, crop) are not those of this network"
    if Order.NAMES.value in labels:
        return f"Likely {others}, or the images are of other classes."
    return (
        f"Likely the classes are in another order than the network's outputs: {labels}. Name them like the "
        f"network's classes, or list classes in the order of the outputs in its YAML. Else {others}."
    )


def left_out(undecodable: Mapping[str, str]) -> str:
    """A sentence on images that could not be decoded, which are given with the reasons."""
    images = "1 image" if len(undecodable) == 1 else f"{len(undecodable)} images"
    reasons = [f"{file} ({why})" for file, why in undecodable.items()]
    return f"left out {images} that cannot be decoded: {few(reasons)}"


def of_colour(images: Images | ImageFiles, how: PreprocessingKeys | None) -> str:
    """A sentence where a network of three channels gets images without colour, by some of them; else nothing."""
    if how is None or len(how.mean) == 1:
        return ""
    places = torch.linspace(0, len(images) - 1, min(LOOKED_AT_FOR_COLOUR, len(images))).long().tolist()
    inputs, _ = images.picked(places).batch(slice(0, len(places)), SIDE_FOR_COLOUR, how)
    pixels = denormalised(inputs, how)
    if not len(pixels) or bool((pixels - pixels[:, :1]).abs().max() > COLOURLESS):
        return ""
    return " Or it was trained on colour: these images are grey, and it gets three equal channels."
