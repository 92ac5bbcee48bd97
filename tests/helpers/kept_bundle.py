"""The smallest bundle, as a file of the tests for the years to come: ``python -m tests.helpers.kept_bundle``.

A bundle of each version of the format is kept in ``tests/data``, made by the code of its time; what is kept is
never made again.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import chdir
from datetime import UTC, datetime
from pathlib import Path

import torch

from supernet.bundles.bundle import Bundle, write_bundle
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.families.catalog import Supernet
from supernet.images.data import load_dataset
from tests.helpers.paths import ROOT
from tests.helpers.tiny import open_tiny

KEPT = ROOT / "tests" / "data"
PER_SPLIT = {"calibration": 8, "validation": 4, "report": 4}
SIDE = 28


def write_patterns(folder: Path, classes: tuple[str, ...]) -> Path:
    """Grey images of stripes, each class with stripes of its own; every byte is the same wherever they are written."""
    for number, name in enumerate(classes):
        for split, count in PER_SPLIT.items():
            for i in range(count):
                shift = 3 * i + len(split)
                pixels = bytes(
                    (x * (7 + 9 * number) + y * (25 - 8 * number) + 11 * shift + x * y * number) % 256
                    for y in range(SIDE)
                    for x in range(SIDE)
                )
                path = folder / split / name / f"{i}.pgm"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"P5 %d %d 255\n" % (SIDE, SIDE) + pixels)
    return folder


def make_kept(folder: Path, supernet: Supernet, images: Path) -> Bundle:
    """A bundle of the smallest subnet with seeded random weights."""
    data, arch = load_dataset(str(images), supernet), supernet.space.smallest()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = supernet.family.elastic().eval()
        torch.nn.init.normal_(net.classifier.weight, std=0.3)
    subnet = specialise(net, arch, data)
    measured = {"report": evaluate(subnet, arch, data, "report")}
    created = datetime(2026, 11, 27, tzinfo=UTC)
    return write_bundle(
        folder, supernet, None, arch, data, {"macs": 1e5}, measured, subnet=subnet, created=created
    )


def kept_bundle(version: int, folder: Path) -> Path:
    """The bundle of a version of the format, as it was made then, in ``folder``."""
    shutil.unpack_archive(KEPT / f"bundle-{version}.zip", folder)
    return folder


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, chdir(scratch):
        tiny = open_tiny(Path())
        made = make_kept(Path("bundle"), tiny, write_patterns(Path("images"), tiny.classes))
        shutil.make_archive(str(KEPT / f"bundle-{made.card.version}"), "zip", "bundle")
