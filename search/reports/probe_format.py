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

PROBED = "fmnist_mbv3"
IMAGES_A_SPLIT = 100
"""Of Fashion-MNIST, on which a format in 8 bits is tried: enough to see that it works, in seconds."""


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
    data = few_images(supernet) if format.bound is not None else None
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        folder = Path(scratch) / "bundle"
        write_bundle(folder, supernet, supernet.load(), supernet.space.smallest(), data, {}, {})
        card = convert_bundle(folder, [format], FormatRequest(), data).card
    about = (card.formats or {})[name]
    if about.max_abs_difference is None:
        return f"written; {about.not_run}"
    if about.int8 is not None:
        return (
            f"a small network has torch's best class on {100 * (about.int8.agreement or 0):.0f} % of images"
        )
    told = f"a small network differs from torch by {about.max_abs_difference:.0e}"
    return f"{told}; {about.not_run}" if about.not_run else told


def few_images(supernet: Supernet) -> Dataset:
    """So many of each split of the embedded supernet's own images."""
    from supernet.images.data import SPLITS, load_dataset

    data = load_dataset("fashion_mnist", supernet)
    return dataclasses.replace(
        data, **{split: getattr(data, split).picked(list(range(IMAGES_A_SPLIT))) for split in SPLITS}
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"told": probe(sys.argv[1])}) + "\n")
