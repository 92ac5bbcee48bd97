"""A trained supernet made ready for other images: outputs for their classes, and a first layer for their channels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from supernet.families.catalog import FAMILIES, PreprocessingKeys, Supernet
from supernet.images.data_summary import COLOURLESS, LOOKED_AT_FOR_COLOUR
from supernet.images.image_folder import ImageFiles, list_images
from supernet.messages import Say
from supernet.training.heads import ClassMatch, put_weights
from supernet.training.supernet_template import Template, TemplatePreprocessing, read_template
from supernet.training.training_images import TRAIN, training_classes

IN_CHANNELS = "in_channels"
"""Key of a network that can be built for grey images and for colour."""


def template_for(source: Supernet, name_or_path: str, folder: Path, say: Say) -> Template:
    """The description of ``source`` for the images in ``folder``, under a name of its own.

    Where the network can be built for either, it takes grey images or colour as these are; else its own channels.
    Images become inputs as they did. Raises InputError for a folder without training images.
    """
    template = read_template(name_or_path)
    channels, network = len(source.preprocessing.mean), dict(template.keys.network)
    if IN_CHANNELS in network:
        names = training_classes(folder)
        channels = 3 if in_colour(list_images(folder / TRAIN, names)) else 1
        network[IN_CHANNELS] = channels
    how = of_channels(source.preprocessing, channels)
    if len(how.mean) != len(source.preprocessing.mean):
        say(told_of_channels(len(source.preprocessing.mean), channels))
    # a class of the user's own gives its space a name, which is the supernet's
    is_own = template.keys.family not in FAMILIES
    name = source.name if is_own else name_for(source.name, folder)
    preprocessing = TemplatePreprocessing(**how.model_dump())
    keys = template.keys.model_copy(
        update={
            "name": name,
            "also": (),
            "data": None,
            "weights": None,
            "network": network,
            "preprocessing": preprocessing,
        }
    )
    return Template(keys, template.path)


def name_for(source: str, folder: Path) -> str:
    """Of what is adapted from a supernet to the images in a folder."""
    return re.sub(r"[^\w.-]+", "_", f"{source}-{folder.absolute().name}")


def in_colour(files: ImageFiles) -> bool:
    """Whether any of some images has other brightness in one channel than in another."""
    count = min(LOOKED_AT_FOR_COLOUR, len(files))
    places = [i * len(files) // count for i in range(count)]

    def spread(image: object, _: int) -> int:
        return int(np.ptp(np.asarray(image).astype(np.int16), axis=2).max())

    spreads, _ = files.made(places, 3, spread)
    return any(found > COLOURLESS * 255 for found in spreads)


def of_channels(how: PreprocessingKeys, channels: int) -> PreprocessingKeys:
    """The same for images of another number of channels: one channel's figures for all, or the mean of three."""
    if len(how.mean) == channels:
        return how
    return how.model_copy(
        update={name: spread_over(getattr(how, name), channels) for name in ("mean", "std")}
    )


def spread_over(values: Sequence[float], channels: int) -> tuple[float, ...]:
    return (sum(values) / len(values),) * channels


def told_of_channels(before: int, after: int) -> str:
    if after > before:
        return (
            "the images have colour: weights of the first layer are those of grey, a third for each channel"
        )
    return "the images are grey: weights of the first layer are the sums of those of the three channels"


@torch.no_grad()
def put_into(source: Supernet, target: nn.Module, match: ClassMatch) -> None:
    """Give ``target``, the network of ``source`` for other classes and channels, its weights."""
    net = source.load()
    assert isinstance(net, nn.Module)
    state = dict(net.state_dict())
    first = first_convolution(target)
    if first is not None:
        name = f"{first}.weight"
        state[name] = for_channels(state[name], target.get_parameter(name).shape[1])
    put_weights(state, target, match)


def first_convolution(net: nn.Module) -> str | None:
    """The name of the one that sees the image; None where a network of a user's own has none."""
    return next((name for name, module in net.named_modules() if isinstance(module, nn.Conv2d)), None)


def for_channels(weight: Tensor, channels: int) -> Tensor:
    """Weights (out, in, k, k) for images of so many channels, the same answer to grey ones: (out, channels, k, k)."""
    if weight.shape[1] == channels:
        return weight
    return weight.sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels
