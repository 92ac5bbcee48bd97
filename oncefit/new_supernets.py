"""Supernets for a person's own images: designed within bounds and written as YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from oncefit.supernets import Supernet, open_supernet
from supernet.errors import InputError
from supernet.families import catalog

if TYPE_CHECKING:
    from supernet.making.network_scaling import Bounds
    from supernet.making.new_supernet import NewSupernet


def new_supernet(
    name: str,
    *,
    max_macs: float,
    max_params: float | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    classes: str | Sequence[str] | None = None,
    data: str | Path | None = None,
    out: str | Path | None = None,
) -> Supernet:
    """Design a supernet of MobileNetV3 blocks and write its YAML, by default ``NAME.yaml``, and a recipe beside it.

    Its largest subnet has at most ``max_macs`` multiply-adds and about as many, its smallest a sixth of that or fewer,
    and all of it at most ``max_params`` weights. ``classes`` are names, or one of a list of classes that ships;
    ``data`` is a folder of images whose training images say classes, size, channels, mean and std where these are not
    given. Raises InputError for bounds that no supernet meets, and where its files are there already.
    """
    from supernet.making import new_supernet as made
    from supernet.making.network_scaling import checked_bounds

    file = Path(out) if out is not None else Path(f"{name}.yaml")
    made.check_new_name(name, file)
    bounds = checked_bounds(max_macs, max_params)
    names = made.given_classes(classes) if isinstance(classes, str) else tuple(classes or ())
    if data is None:
        if image_size is None:
            raise InputError("--image-size: say how large the images are, or give them with --data")
        if not names:
            raise InputError("--classes: say which there are, as cat,dog,fox, or give images with --data")
        new = made.designed(name, image_size, 3 if channels is None else channels, names, bounds)
    else:
        new = designed_for(Path(data), name, image_size, channels, names, bounds)
    made.write(new, file)
    catalog.parse_supernet.cache_clear()  # a file of this path may have been another one
    return open_supernet(file)


def designed_for(
    folder: Path,
    name: str,
    image_size: int | None,
    channels: int | None,
    classes: tuple[str, ...],
    bounds: Bounds,
) -> NewSupernet:
    """A supernet for the training images in a folder, which say what is not given."""
    from supernet.making.image_statistics import looks_of, measured_pixels, training_part
    from supernet.making.new_supernet import designed

    part = training_part(folder)
    names = classes or tuple(part.names)
    images = part.listed(names)
    usual_side, usual_channels = looks_of(images)
    side = usual_side if image_size is None else image_size
    colours = usual_channels if channels is None else channels
    new = designed(name, side, colours, names, bounds)
    return replace(new, pixels=measured_pixels(images, folder, side, colours))
