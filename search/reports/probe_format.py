"""One format, tried with a small network: ``python -m search.reports.probe_format NAME``, as ``oncefit doctor`` does."""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from supernet.families.catalog import Supernet
    from supernet.images.data import Dataset

PROBED, IMAGES = "fmnist_mbv3", "fashion_mnist"
MOST_IMAGES = 256
"""Of each split, for a format that needs some."""


def probe(name: str) -> str:
    """What was found of a format: the embedded supernet's smallest subnet is written, read back and compared with torch.

    Raises whatever its converter or its runtime does.
    """
    from supernet.bundles.bundle import write_bundle
    from supernet.families.catalog import open_supernet
    from supernet.formats.conversion import convert_bundle
    from supernet.formats.protocol import FormatRequest
    from supernet.formats.registry import export_format

    supernet, format = open_supernet(PROBED), export_format(name)
    space, data = supernet.space, few_images(supernet) if format.bound is not None else None
    arch = space.smallest() if data is None else space.middle()  # the smallest loses most by rounding
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        folder = Path(scratch) / "bundle"
        write_bundle(folder, supernet, supernet.load(), arch, data, {}, {})
        card = convert_bundle(folder, [format], FormatRequest(), data).card
    about = (card.formats or {})[name]
    if about.max_abs_difference is None:
        return f"written; {about.not_run}"
    if about.int8 is not None and about.int8.agreement is not None:
        return f"{100 * about.int8.agreement:.1f} % of a small network's best classes are torch's"
    told = f"a small network differs from torch by {about.max_abs_difference:.0e}"
    return f"{told}; {about.not_run}" if about.not_run else told


def few_images(supernet: Supernet) -> Dataset:
    """Of the images that ship, the first of each split."""
    from supernet.images.data import SPLITS, load_dataset

    every = load_dataset(IMAGES, supernet)
    fewer = {split: getattr(every, split).picked(list(range(MOST_IMAGES))) for split in SPLITS}
    return dataclasses.replace(every, **fewer)


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"told": probe(sys.argv[1])}) + "\n")
