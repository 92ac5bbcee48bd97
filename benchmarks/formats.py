"""Every format that is installed: how far from torch, top-1, latency, size and seconds to write, of two subnets.

    python benchmarks/formats.py                                  # what is installed here
    python -m tests.helpers.format_venvs benchmarks/formats.py    # and the formats that need environments of their own
    python benchmarks/formats.py --report                         # the tables, in Markdown

One subnet is the middle of the embedded supernet's space, on its images; the other is the middle of ofa_mbv3_w1.0's at 224
pixels with seeded random weights, on random inputs: there are no images.
Rows go to runs/benchmarks/formats.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path

import torch
from results import Results, Row

from cost_models.measuring import untrained
from cost_models.timing import BUSY_PERCENT, LatencyMeasurement
from search.reports.formats import time_call
from supernet.bundles.bundle import Bundle, write_bundle
from supernet.families.catalog import Supernet, open_supernet
from supernet.formats.conversion import convert_bundle
from supernet.formats.protocol import FormatRequest
from supernet.formats.registry import EXPORT_FORMATS, export_format
from supernet.images.data import Dataset, load_dataset
from supernet.weights.checkpoints import save_weights
from supernet.weights.stored_weights import StoredWeights

EMBEDDED, IMAGENET, SIDE = "fmnist_mbv3", "ofa_mbv3_w1.0", 224


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--report", action="store_true", help="print what was measured")
    options.add_argument("--again", action="store_true", help="measure again what is there")
    given = options.parse_args()
    installed = [name for name in EXPORT_FORMATS if not export_format(name).missing()]
    results = Results("formats", again=installed if given.again and not given.report else ())
    if not given.report:
        with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
            measure_all(Path(scratch), installed, results)
    for supernet in (EMBEDDED, IMAGENET):
        print(table(supernet, results))


def measure_all(scratch: Path, installed: list[str], results: Results) -> None:
    for name in (EMBEDDED, IMAGENET):
        bundle, data = made(name, scratch / name)
        for format in installed:
            results.row(lambda b=bundle, d=data, f=format: measure(b, d, f), peer=format, supernet=name)  # type: ignore[misc]


def made(name: str, folder: Path) -> tuple[Bundle, Dataset | None]:
    """The bundle of a middle subnet, and its images."""
    supernet = open_supernet(name)
    arch = supernet.space.middle()
    if name == EMBEDDED:
        data = load_dataset("fashion_mnist", supernet)
        return write_bundle(folder, supernet, supernet.load(), arch, data, {}, {}), data
    arch = supernet.space.arch({**arch.values, "resolution": SIDE})
    subnet = untrained(supernet, arch)
    return write_bundle(
        folder, seeded(supernet, subnet, folder), None, arch, None, {}, {}, subnet=subnet
    ), None


def seeded(supernet: Supernet, subnet: torch.nn.Module, folder: Path) -> Supernet:
    """The supernet as if these were its weights, which a card has the hash of."""
    path = folder.with_suffix(".safetensors")
    return dataclasses.replace(supernet, stored=StoredWeights(path, save_weights(subnet, path), ""))


def measure(bundle: Bundle, data: Dataset | None, format: str) -> Row:
    asked = FormatRequest(batch=None if not export_format(format).any_batch else "dynamic")
    found = convert_bundle(
        bundle.folder, [export_format(format)], asked, data, time_call, bundle.supernet, print
    )
    about = (found.card.formats or {})[format]
    return {"figures": about.model_dump(mode="json", exclude_none=True), "arch": found.arch.id}


def table(supernet: str, results: Results) -> str:
    """Markdown; an asterisk where the machine was busy."""
    rows = [
        row
        for name in EXPORT_FORMATS
        for row in results.rows
        if row["peer"] == name and row["supernet"] == supernet
    ]
    lines = [
        f"\n{supernet}, arch {rows[0]['arch'] if rows else '-'}\n",
        "| format | differs by | top-1 (%) | latency (ms) | KiB | written in s |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(f"| `{row['peer']}` | {' | '.join(cells(row['figures']))} |")
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
