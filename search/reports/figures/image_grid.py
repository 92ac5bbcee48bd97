"""A picture of images as a network sees them, with the names of their classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from search.reports.figures.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supernet.families.catalog import PreprocessingKeys
    from supernet.images.image_folder import ImageFiles
    from supernet.images.images import Images

AT_MOST = 25
LONGEST_TITLE = 22


def batch_figure(
    images: Images | ImageFiles, classes: Sequence[str], how: PreprocessingKeys, resolution: int, title: str
) -> Figure:
    """At most 25 images, evenly spread over all, preprocessed as for the network and without its normalisation.

    Above each stands the class that it counts as, and what it is called on disk where that is something else.
    """
    import torch

    from supernet.images.preprocessing import denormalised

    places = torch.linspace(0, len(images) - 1, min(AT_MOST, len(images))).round().long().tolist()
    inputs, labels = images.picked(places).batch(slice(0, len(places)), resolution, how)
    shown = denormalised(inputs, how).permute(0, 2, 3, 1).numpy()
    on_disk = {label: name for name, label in images.origin.outputs.items()} if images.origin else {}
    columns = max(1, math.ceil(math.sqrt(len(shown))))
    rows = max(1, math.ceil(len(shown) / columns))
    figure, axes = new_figure(rows, columns, size=(2 * columns, 2.3 * rows + 0.5))
    for place, panel in enumerate(np.ravel(axes)):
        panel.set_axis_off()
        if place < len(shown):
            label = int(labels[place])
            pixels = shown[place]
            panel.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=1)
            panel.set_title(titled(classes[label], on_disk.get(label)), fontsize=8, parse_math=False)
    figure.suptitle(title, fontsize=9, parse_math=False)
    return figure


def titled(name: str, on_disk: str | None) -> str:
    """``tench`` and below it ``n01440764``, where the folder is called so."""
    lines = [name] if on_disk is None or on_disk == name.replace("/", "_") else [name, on_disk]
    return "\n".join(
        line if len(line) <= LONGEST_TITLE else line[: LONGEST_TITLE - 1] + "…" for line in lines
    )
