"""Formats in 8 bits as `oncefit convert` writes them: top-1 beside float32, latency beside the same runtime's float32, bytes.

    python benchmarks/int8_formats.py                                  # what is installed here
    python -m tests.helpers.format_venvs benchmarks/int8_formats.py    # and the formats that need environments of their own
    python benchmarks/int8_formats.py --subnets middle --formats onnx-int8
    python benchmarks/int8_formats.py --report                         # the table, in Markdown

Of subnets of the embedded supernet, on its images; the method is the one that validation images choose, the figures are of
the report split. Latencies of float32 and of 8 bits are measured in turns, one thread, one image. Rows go to
runs/benchmarks/int8_formats.json.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from results import Results, Row

from cost_models import timing
from supernet.bundles.bundle import Bundle, write_bundle
from supernet.families.catalog import open_supernet
from supernet.formats.conversion import convert_bundle, reading_of
from supernet.formats.protocol import FormatRequest
from supernet.formats.registry import EXPORT_FORMATS, export_format
from supernet.images.data import load_dataset

SUPERNET, SUBNETS = "fmnist_mbv3", ("smallest", "middle")
IN_8_BITS = [name for name in EXPORT_FORMATS if export_format(name).bound is not None]


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--subnets", default=",".join(SUBNETS), help="of smallest, middle and largest")
    options.add_argument("--formats", default=",".join(IN_8_BITS))
    options.add_argument("--report", action="store_true", help="print what was measured")
    given = options.parse_args()
    results = Results("int8_formats")
    names = [name for name in given.formats.split(",") if not export_format(name).missing()]
    if not given.report:
        for subnet in given.subnets.split(","):
            for name in names:
                results.row(lambda s=subnet, n=name: measured(s, n), peer=name, subnet=subnet)  # type: ignore[misc]
    print(report(results))


def measured(subnet: str, name: str) -> Row:
    supernet = open_supernet(SUPERNET)
    data = load_dataset("fashion_mnist", supernet)
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        folder = Path(scratch) / "bundle"
        arch = getattr(supernet.space, subnet)()
        write_bundle(folder, supernet, supernet.load(), arch, data, {}, {})
        plain = export_format(name).in_float or ""
        both = [export_format(plain), export_format(name)]
        made = convert_bundle(folder, both, FormatRequest(), data)
        times = in_turns(made, [plain, name])
    figures = (made.card.formats or {})[name].model_dump(mode="json", exclude_none=True)
    return {
        "figures": figures,
        "float32_bytes": (made.card.formats or {})[plain].bytes,
        "float32_ms": times[0].median_ms,
        "int8_ms": times[1].median_ms,
        "busy": any(one.busy for one in times),
    }


def in_turns(bundle: Bundle, names: list[str]) -> list[timing.LatencyMeasurement]:
    formats = bundle.card.formats or {}
    side = bundle.card.preprocessing.resolution
    image = np.random.default_rng(0).standard_normal((1, 1, side, side), np.float32)
    with ExitStack() as stack:
        calls = []
        for name in names:
            opened = export_format(name).opened
            assert opened is not None
            calls.append(stack.enter_context(opened(reading_of(bundle, formats[name], 1))).bound(image))
        return timing.measure_in_turns(calls, timing.ROUNDS, timing.SLICE_S)


def report(results: Results) -> str:
    lines = [
        "| subnet | format | float32 (%) | int8 (%) | difference | p | same class (%) | ms to float32's | KiB | KiB in float32 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    rows = [row for subnet in SUBNETS for row in results.rows if row["subnet"] == subnet]
    lines += map(line_of, rows)
    lines += ["", "| subnet | format | chosen by validation images |", "|---|---|---|"]
    lines += [f"| {row['subnet']} | `{row['peer']}` | {row['figures']['int8']['method']} |" for row in rows]
    return "\n".join(lines)


def line_of(row: Row) -> str:
    found, about = row["figures"], row["figures"]["int8"]
    before, after = about["float32_accuracy"]["top1"], found["accuracy"]["top1"]
    ratio = f"{row['int8_ms'] / row['float32_ms']:.2f}{'*' if row['busy'] else ''}"
    return (
        f"| {row['subnet']} | `{row['peer']}` | {100 * before:.2f} | {100 * after:.2f} | {100 * (after - before):+.2f} | "
        f"{about['paired']['p_value']:.2g} | {100 * about['agreement']:.1f} | {ratio} | {found['bytes'] / 1024:,.0f} | "
        f"{row['float32_bytes'] / 1024:,.0f} |"
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
