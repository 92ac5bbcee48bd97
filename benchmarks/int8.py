"""Subnets of the embedded supernet in 8 bits, in ONNX Runtime: each method, and what each kind of layer costs.

    python benchmarks/int8.py                     # the smallest, middle and largest subnet
    python benchmarks/int8.py --subnets middle
    python benchmarks/int8.py --layers            # what each layer of the middle subnet costs, and nothing else
    python benchmarks/int8.py --report            # the tables, in Markdown

Methods are compared on the report split, which none of them was chosen by; sensitivity is of validation images. Latencies
of float32 and of 8 bits are measured in turns, one thread, one image. Rows go to runs/benchmarks/int8.json.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from results import Results, Row

from cost_models import timing
from supernet.accuracy import mcnemar_of
from supernet.archs.arch import Arch
from supernet.bundles.onnx_export import export_onnx
from supernet.evaluating.evaluation import accuracy_of_logits, hits_of_logits, logits_of, specialise
from supernet.evaluating.onnx_sessions import network_in, session_of
from supernet.families.catalog import open_supernet
from supernet.images.data import Dataset, load_dataset
from supernet.quantising.choosing import best_quantised, calibration_inputs
from supernet.quantising.method import QUANTISING_METHODS
from supernet.quantising.onnx_layers import depthwise_layers, names_of_layers, squeeze_excite_nodes
from supernet.quantising.onnx_quantising import quantiser
from supernet.quantising.sensitivity import sensitivity

SUPERNET, SUBNETS = "fmnist_mbv3", ("smallest", "middle", "largest")
BY_LAYER, WORST = "layers", 10


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--subnets", default=",".join(SUBNETS), help="of smallest, middle and largest")
    options.add_argument(
        "--layers", action="store_true", help="what each layer of the middle subnet costs, alone"
    )
    options.add_argument("--report", action="store_true", help="print what was measured")
    given = options.parse_args()
    results = Results("int8")
    if not given.report:
        with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
            for name in ["middle"] if given.layers else given.subnets.split(","):
                measure_subnet(name, Path(scratch), given.layers, results)
    print(report(results))


def measure_subnet(name: str, scratch: Path, by_layer: bool, results: Results) -> None:
    supernet = open_supernet(SUPERNET)
    data = load_dataset("fashion_mnist", supernet)
    arch: Arch = getattr(supernet.space, name)()
    source = scratch / f"{name}.onnx"
    export_onnx(specialise(supernet.load(), arch, data), 1, arch.resolution, source)
    if by_layer:
        results.row(lambda: asdict(sensitivity(source, data, arch.resolution)), peer=BY_LAYER, subnet=name)
        return
    measure_methods(name, source, arch, data, results)
    results.row(lambda: costs_of_kinds(source, arch, data), peer="kinds of layers", subnet=name)


def measure_methods(name: str, source: Path, arch: Arch, data: Dataset, results: Results) -> None:
    """Each method on the report split, and which of them the validation split chooses."""
    images = calibration_inputs(data, arch.resolution)
    path = source.with_name("int8.onnx")
    with quantiser(source, images) as quantise:
        for method in QUANTISING_METHODS:

            def measured(method=method) -> Row:  # type: ignore[no-untyped-def]
                quantise(path, method)
                return figures(source, path, arch, data)

            results.row(measured, peer=str(method), subnet=name)

    def chosen() -> Row:
        tried = best_quantised(source, path, data, arch.resolution)
        return {"chosen": str(tried[0].method), "validation_top1": tried[0].accuracy.top1}

    results.row(chosen, peer="chosen", subnet=name)


def figures(source: Path, path: Path, arch: Arch, data: Dataset) -> Row:
    """Both files on the report split, and in turns on the processor."""
    found = [
        logits_of(network_in(p), data.report, arch.resolution, data.preprocessing) for p in (source, path)
    ]
    before, after = (hits_of_logits(logits, labels, "report")[:, 0] for logits, labels in found)
    image = np.random.default_rng(0).standard_normal((1, 1, arch.resolution, arch.resolution), np.float32)

    def call_of(file: Path):  # type: ignore[no-untyped-def]
        session = session_of(file, 1)
        return lambda: session.run(None, {"images": image})

    times = timing.measure_in_turns([call_of(source), call_of(path)], timing.ROUNDS, timing.SLICE_S)
    return {
        "float32": asdict(accuracy_of_logits(*found[0], "report")),
        "int8": asdict(accuracy_of_logits(*found[1], "report")),
        "paired": asdict(mcnemar_of(before, after)),
        "agreement": float((found[0][0].argmax(1) == found[1][0].argmax(1)).float().mean()),
        "float32_ms": times[0].median_ms,
        "int8_ms": times[1].median_ms,
        "busy": any(one.busy for one in times),
        "float32_bytes": source.stat().st_size,
        "int8_bytes": path.stat().st_size,
    }


def costs_of_kinds(source: Path, arch: Arch, data: Dataset) -> Row:
    """Sensitivity by kind of layer: first, depthwise, pointwise, squeeze-and-excite, last."""
    names, depthwise, gates = names_of_layers(source), depthwise_layers(source), squeeze_excite_nodes(source)
    pointwise = tuple(n for n in names[1:-1] if n not in depthwise and n not in gates)
    kinds = {
        "first convolution": names[:1], "depthwise": depthwise, "pointwise": pointwise, "squeeze-and-excite": gates,
        "classifier": names[-1:],
    }  # fmt: skip
    return asdict(sensitivity(source, data, arch.resolution, {k: v for k, v in kinds.items() if v}))


def report(results: Results) -> str:
    lines = [
        "| subnet | method | top-1 (%) | difference | p | same class (%) | ms | KiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for subnet in SUBNETS:
        rows = [r for r in results.rows if r["subnet"] == subnet and "int8_ms" in r]
        chosen = [r["chosen"] for r in results.rows if r["subnet"] == subnet and r["peer"] == "chosen"]
        if rows:
            one = rows[0]
            lines.append(
                f"| {subnet} | float32 | {100 * one['float32']['top1']:.2f} | | | | {one['float32_ms']:.3g}{busy(one)} | "
                f"{one['float32_bytes'] / 1024:,.0f} |"
            )
        lines += [line_of(subnet, row, row["peer"] in chosen) for row in rows]
    for row in results.rows:
        if "layers" in row:
            lines += ["", *sensitivity_lines(row)]
    return "\n".join(lines)


def line_of(subnet: str, row: Row, is_chosen: bool) -> str:
    points = 100 * (row["int8"]["top1"] - row["float32"]["top1"])
    return (
        f"| {subnet} | {row['peer']}{' (chosen)' if is_chosen else ''} | {100 * row['int8']['top1']:.2f} | {points:+.2f} | "
        f"{row['paired']['p_value']:.2g} | {100 * row['agreement']:.1f} | {row['int8_ms']:.3g}{busy(row)} | "
        f"{row['int8_bytes'] / 1024:,.0f} |"
    )


def busy(row: Row) -> str:
    return "*" if row["busy"] else ""


def sensitivity_lines(row: Row) -> list[str]:
    """All of them, or the worst ten layers and the sum of the others."""
    points = [
        (one["name"], *(100 * (one[key] - row["float32"]) for key in ("alone", "left_out")))
        for one in row["layers"]
    ]
    shown = sorted(points, key=lambda one: one[1])[:WORST] if row["peer"] == BY_LAYER else points
    others = [alone for name, alone, _ in points if name not in {one[0] for one in shown}]
    return [
        f"{row['subnet']}, {row['peer']}, {row['images']:,} validation images: float32 {100 * row['float32']:.2f} %, "
        f"all in 8 bits {100 * row['int8']:.2f} %",
        "",
        "| in 8 bits | it alone (points) | all but it (points) |",
        "|---|---|---|",
        *(f"| {name} | {alone:+.2f} | {left_out:+.2f} |" for name, alone, left_out in shown),
        *([f"| sum of the other {len(others)} | {sum(others):+.2f} | |"] if others else []),
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
