"""Every format that is installed: how far from torch, top-1, latency, size and seconds to write, of two subnets.

    python benchmarks/formats.py --bundle runs/demo/bundle        # what is installed here
    python -m tests.helpers.format_venvs benchmarks/formats.py    # and the formats that need environments of their own
    python benchmarks/formats.py --report                         # the tables, in Markdown

One subnet is that of --bundle, on its own images, or the middle of the embedded supernet's space. The other is the middle of
ofa_mbv3_w1.0's at 224 pixels with seeded random weights. It can tell nothing, so its images are clothes made large and their
labels what torch says of them: its "top-1" is the share of images whose best class is torch's. --formats a,b runs these only.
Rows go to runs/benchmarks/formats.json; a format that is refused has a row that says so.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image
from results import Results, Row

from cost_models.measuring import untrained
from cost_models.timing import BUSY_PERCENT, LatencyMeasurement
from search.reports.export import data_set
from search.reports.formats import time_call
from supernet.archs.arch import Arch
from supernet.bundles.bundle import Bundle, open_bundle, write_bundle
from supernet.errors import InputError
from supernet.evaluating.evaluation import logits_of, recalibrate_on_images
from supernet.families.catalog import Supernet, open_supernet
from supernet.formats.conversion import convert_bundle
from supernet.formats.protocol import FormatRequest
from supernet.formats.registry import EXPORT_FORMATS, export_format, export_formats
from supernet.images.data import Dataset, Images, load_dataset
from supernet.images.image_folder import ImageFiles
from supernet.weights.checkpoints import save_weights
from supernet.weights.stored_weights import StoredWeights

EMBEDDED, IMAGENET, SIDE = "fmnist_mbv3", "ofa_mbv3_w1.0", 224
IMAGES = {"calibration": 128, "validation": 64, "report": 128}
"""Of 224 pixels, by split."""
Subject = tuple[Bundle, Dataset]
"""A bundle in a folder that may be changed, and its images."""


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--bundle", type=Path, help="of a shipped supernet; the middle subnet by default")
    options.add_argument("--formats", help="with commas; all that are installed by default")
    options.add_argument("--only", choices=("small", "large"), help="one of the two subnets")
    options.add_argument("--report", action="store_true", help="print what was measured")
    options.add_argument("--again", action="store_true", help="measure again what is there")
    given = options.parse_args()
    asked = [format.name for format in export_formats(given.formats or ",".join(EXPORT_FORMATS))]
    installed = [name for name in asked if not export_format(name).missing()]
    results = Results("formats", again=installed if given.again and not given.report else ())
    if not given.report:
        with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
            measure_all(subjects(Path(scratch), given.bundle, given.only), installed, results)
    for subject in dict.fromkeys(row["subject"] for row in results.rows):
        print(table(subject, results))


def subjects(scratch: Path, given: Path | None, only: str | None) -> Iterator[Subject]:
    if only != "large":
        yield copied(given, scratch / "given") if given is not None else middle(scratch / "middle")
    if only != "small":
        yield seeded_at_224(scratch / "seeded")


def measure_all(subjects: Iterator[Subject], installed: list[str], results: Results) -> None:
    for bundle, data in subjects:
        subject = f"{bundle.card.supernet.name} {bundle.arch.id}"
        for format in installed:
            results.row(lambda b=bundle, d=data, f=format: measure(b, d, f), peer=format, subject=subject)  # type: ignore[misc]


def copied(given: Path, folder: Path) -> Subject:
    bundle = open_bundle(Path(shutil.copytree(given, folder)))
    return bundle, data_set(bundle)


def middle(folder: Path) -> Subject:
    """The middle of the embedded supernet's space."""
    supernet = open_supernet(EMBEDDED)
    data = load_dataset("fashion_mnist", supernet)
    return write_bundle(folder, supernet, supernet.load(), supernet.space.middle(), data, {}, {}), data


def seeded_at_224(folder: Path) -> Subject:
    """The middle of the space of ``ofa_mbv3_w1.0`` at 224 pixels, and images whose labels are its own answers."""
    supernet = open_supernet(IMAGENET)
    arch = supernet.space.arch({**supernet.space.middle().values, "resolution": SIDE})
    subnet, images = untrained(supernet, arch), clothes(supernet, folder.with_name("clothes"))
    recalibrate_on_images(subnet, SIDE, images)  # else logits grow, and so do differences
    data = answered(subnet, arch, images)
    return write_bundle(
        folder, seeded(supernet, subnet, folder), None, arch, data, {}, {}, subnet=subnet
    ), data


def clothes(supernet: Supernet, folder: Path) -> Dataset:
    """Images of the embedded data set as colour images of 256 pixels, with labels that say nothing."""
    small = load_dataset("fashion_mnist", open_supernet(EMBEDDED))
    splits = {
        split: enlarged(getattr(small, split), count, folder / split) for split, count in IMAGES.items()
    }
    return Dataset("enlarged clothes", supernet.classes, supernet.preprocessing, sha256="0" * 64, **splits)


def enlarged(images: Images, count: int, folder: Path) -> ImageFiles:
    folder.mkdir(parents=True)
    for i in range(count):
        small = Image.fromarray(images.pixels[i].numpy()).convert("RGB")
        small.resize((256, 256), Image.Resampling.BILINEAR).save(folder / f"{i}.png")
    return ImageFiles(folder, tuple(f"{i}.png" for i in range(count)), torch.zeros(count, dtype=torch.int64))


@torch.inference_mode()
def answered(subnet: torch.nn.Module, arch: Arch, data: Dataset) -> Dataset:
    """The same with the subnet's best classes as labels."""
    labelled = {}
    for split in IMAGES:
        images = getattr(data, split)
        logits, _ = logits_of(subnet, images, arch.resolution, data.preprocessing)
        labelled[split] = dataclasses.replace(images, labels=logits.argmax(1))
    return dataclasses.replace(data, **labelled)


def seeded(supernet: Supernet, subnet: torch.nn.Module, folder: Path) -> Supernet:
    """The supernet as if these were its weights, which a card has the hash of."""
    path = folder.with_suffix(".safetensors")
    return dataclasses.replace(supernet, stored=StoredWeights(path, save_weights(subnet, path), ""))


def measure(bundle: Bundle, data: Dataset, format: str) -> Row:
    asked = FormatRequest(batch=None if not export_format(format).any_batch else "dynamic")
    try:
        found = convert_bundle(
            bundle.folder, [export_format(format)], asked, data, time_call, bundle.supernet, print
        )
    except InputError as error:
        return {"refused": str(error)}
    about = (found.card.formats or {})[format]
    return {"figures": about.model_dump(mode="json", exclude_none=True)}


def table(subject: str, results: Results) -> str:
    """Markdown; an asterisk where the machine was busy."""
    rows = [
        row
        for name in EXPORT_FORMATS
        for row in results.rows
        if row["peer"] == name and row["subject"] == subject
    ]
    share = "best class as torch's (%)" if subject.startswith(IMAGENET) else "top-1 (%)"
    lines = [
        f"\n{subject}\n",
        f"| format | differs by | {share} | latency (ms) | KiB | written in s |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        told = " | ".join(cells(row["figures"])) if "figures" in row else "refused: " + row["refused"]
        lines.append(f"| `{row['peer']}` | {told} |")
    busy = f"\n*: rounds spread by more than {BUSY_PERCENT:g} %: others used the machine."
    return "\n".join(lines) + (busy if any("*" in line for line in lines) else "") + "\n"


def cells(found: Row) -> list[str]:
    latency = LatencyMeasurement(**found["latency"]) if "latency" in found else None
    return [
        f"{found['max_abs_difference']:.1e}" if "max_abs_difference" in found else "not run",
        f"{100 * found['accuracy']['top1']:.2f}" if "accuracy" in found else "-",
        f"{latency.median_ms:.3g}{'*' if latency.busy else ''}" if latency is not None else "not run",
        f"{found['bytes'] / 1024:,.0f}",
        f"{found['seconds']:.1f}",
    ]


if __name__ == "__main__":
    main()
