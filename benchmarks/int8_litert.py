"""Ways to put subnets of the embedded supernet into 8 bits for LiteRT, and what each operator costs.

    python -m tests.helpers.format_venvs benchmarks/int8_litert.py      # needs oncefit[litert-int8]
    python benchmarks/int8_litert.py --subnets middle                   # where that is installed
    python benchmarks/int8_litert.py --report                           # the tables, in Markdown

Ways are compared on the report split in LiteRT. Latency is one thread, one image, measured in turns with float32. What an operator
costs is told of the smallest subnet: it alone is in 8 bits, and logits of 2,000 validation images are compared with float32's.
Rows go to runs/benchmarks/int8_litert.json.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import Results, Row
from torch import nn

from cost_models import timing
from supernet.accuracy import mcnemar
from supernet.evaluating.evaluation import specialise
from supernet.families.catalog import open_supernet
from supernet.formats.litert_file import convert_to_tflite, interpreter_of
from supernet.formats.registry import export_format
from supernet.images.data import load_dataset
from supernet.quantising.choosing import CHOSEN_ON, calibration_inputs, with_fewer_to_validate
from supernet.quantising.litert_quantising import (
    LiteRTMethod,
    first_two_convolutions,
    operators_of,
    quantise_tflite,
    quantising_recipe,
    write_by_recipe,
)
from supernet.quantising.litert_ranges import RANGES, Histogram, activation_histograms, activations
from supernet.quiet import quietly

SUPERNET, SUBNETS = "fmnist_mbv3", ("smallest", "middle")
BEST = next(iter(RANGES))
WORST = 10


@dataclass(frozen=True)
class Subject:
    """A subnet, its float32 file, and the images that it is calibrated and compared on."""

    net: nn.Module
    source: Path
    calibration: Any
    validation: tuple[Any, Any]
    report: tuple[Any, Any]
    histograms: dict[str, Histogram]


Way = Callable[[Subject, Path], None]
"""Writes a file in 8 bits."""


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--subnets", default=",".join(SUBNETS))
    options.add_argument("--report", action="store_true", help="print what was measured")
    given = options.parse_args()
    results = Results("int8_litert")
    if missing := [] if given.report else export_format("litert-int8").missing():
        sys.exit(f"{', '.join(missing)} not installed: {export_format('litert-int8').how}")
    if not given.report:
        with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
            for name in given.subnets.split(","):
                measure(name, subject_of(name, Path(scratch)), results)
    print(report(results))


def subject_of(name: str, scratch: Path) -> Subject:
    supernet = open_supernet(SUPERNET)
    data = load_dataset("fashion_mnist", supernet)
    arch = getattr(supernet.space, name)()
    net, source = specialise(supernet.load(), arch, data), scratch / f"{name}.tflite"
    convert_to_tflite(net, torch.zeros(1, 1, arch.resolution, arch.resolution), source)
    images = calibration_inputs(data, arch.resolution)
    few = with_fewer_to_validate(data, CHOSEN_ON).validation
    validation, report = (
        tuple(found.numpy() for found in split.batch(slice(None), arch.resolution, data.preprocessing))
        for split in (few, data.report)
    )
    return Subject(net, source, images, validation, report, activation_histograms(source, images))


def measure(name: str, of: Subject, results: Results) -> None:
    target = of.source.with_name("int8.tflite")
    for way, write in ways(of).items():

        def measured(write: Way = write) -> Row:
            write(of, target)
            return figures(of, target)

        results.row(measured, peer=way, subnet=name)
    if name == "smallest":
        results.row(lambda: {"operators": costs_of_operators(of, target)}, peer="operators", subnet=name)


def ways(of: Subject) -> dict[str, Way]:
    """By names: all but the first few have hard-swish in float32, as it is in none of XNNPACK's kernels in 8 bits."""
    first = first_two_convolutions(operators_of(of.source))

    def by_method(method: LiteRTMethod, activation_bits: int, of: Subject, target: Path) -> None:
        ranges = {name: RANGES[method.ranges](one) for name, one in of.histograms.items()}
        write_by_recipe(of.source, target, quantising_recipe(method, activation_bits), ranges)

    def static(method: LiteRTMethod, activation_bits: int = 8) -> Way:
        return partial(by_method, method, activation_bits)

    kinds = ("DEPTHWISE_CONV_2D", "CONV_2D", "ADD", "MEAN", "MUL")
    return {
        "all in 8 bits, calibrated by litert-quantizer": calibrated_by_quantizer,
        **{f"all in 8 bits, {ranges}": static(LiteRTMethod(ranges, (), ())) for ranges in RANGES},
        "PT2E of litert-torch": by_pt2e,
        **{f"hard-swish in float32, {ranges}": static(LiteRTMethod(ranges)) for ranges in RANGES},
        **{
            f"hard-swish and {kind} in float32, {BEST}": static(LiteRTMethod(BEST, (), ("HARD_SWISH", kind)))
            for kind in kinds
        },
        **{
            f"hard-swish and first two convolutions in float32, {ranges}": static(LiteRTMethod(ranges, first))
            for ranges in RANGES
        },
        "activations in 16 bits, least and greatest values": static(
            LiteRTMethod("least and greatest values"), 16
        ),
        "weights in 8 bits, activations rounded as they come": partial(
            by_shipped_recipe, "dynamic_wi8_afp32"
        ),
        "weights alone in 8 bits": partial(by_shipped_recipe, "weight_only_wi8_afp32"),
    }


def calibrated_by_quantizer(of: Subject, target: Path) -> None:
    """One image at a time, whose least and greatest values a moving average follows."""
    from litert_quantizer import Quantizer

    recipe = quantising_recipe(LiteRTMethod(BEST, (), ()))
    with quietly():
        [(signature, about)] = interpreter_of(of.source, 1).get_signature_list().items()
        images = [{about["inputs"][0]: image[None]} for image in of.calibration]
        found = Quantizer(str(of.source), recipe).calibrate({signature: images}, num_threads=1)
    ranges = {
        name: (float(np.min(one["min"])), float(np.max(one["max"])))
        for name, one in found.items()
        if one and name in of.histograms
    }
    write_by_recipe(of.source, target, recipe, ranges)


def by_shipped_recipe(name: str, of: Subject, target: Path) -> None:
    from litert_quantizer import recipe

    write_by_recipe(of.source, target, getattr(recipe, name)(), {})


def by_pt2e(of: Subject, target: Path) -> None:
    """torchao's quantisation of the exported graph, by channel, with litert-torch's own quantizer."""
    import litert_torch
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    images = torch.from_numpy(of.calibration)
    with quietly(), torch.no_grad():
        quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
        prepared = prepare_pt2e(torch.export.export(of.net, (images[:1],)).module(), quantizer)
        for image in images:
            prepared(image[None])
        made = convert_pt2e(prepared, fold_quantize=False)
        settings = QuantConfig(pt2e_quantizer=quantizer)
        litert_torch.convert(made, (images[:1],), quant_config=settings).export(str(target))


def figures(of: Subject, target: Path) -> Row:
    """Both files on the report split, and in turns on the processor."""
    images, labels = of.report
    before, after = logits_of(of.source, images), logits_of(target, images)
    right, also = before.argmax(1) == labels, after.argmax(1) == labels
    calls = [interpreter_of(path, 1).invoke for path in (of.source, target)]
    times = timing.measure_in_turns(calls, timing.ROUNDS, timing.SLICE_S)
    chosen_by = logits_of(target, of.validation[0]).argmax(1) == of.validation[1]
    return {
        "float32_top1": float(right.mean()),
        "int8_top1": float(also.mean()),
        "validation_top1": float(chosen_by.mean()),
        "paired": asdict(mcnemar(int((right & ~also).sum()), int((also & ~right).sum()))),
        "agreement": float((before.argmax(1) == after.argmax(1)).mean()),
        "float32_ms": times[0].median_ms,
        "int8_ms": times[1].median_ms,
        "busy": any(one.busy for one in times),
        "bytes": target.stat().st_size,
    }


def logits_of(path: Path, images: Any) -> Any:
    """Of a file for one image, whose input and output may be in 8 bits."""
    model = interpreter_of(path, 1)
    given, answer = model.get_input_details()[0], model.get_output_details()[0]
    found = []
    for image in images:
        model.set_tensor(given["index"], stored(image[None], given))
        model.invoke()
        found.append(loaded(model.get_tensor(answer["index"])[0], answer))
    return np.stack(found)


def stored(values: Any, about: Any) -> Any:
    scale, zero = about["quantization"]
    if not scale:
        return values
    limits = np.iinfo(about["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(about["dtype"])


def loaded(values: Any, about: Any) -> Any:
    scale, zero = about["quantization"]
    return (values.astype(np.float32) - zero) * scale if scale else values.copy()


def costs_of_operators(of: Subject, target: Path) -> list[Row]:
    """What each operator alone costs in 8 bits, and how wide what it puts out is beside its quietest channel."""
    operators, exact = operators_of(of.source), logits_of(of.source, of.validation[0])
    quietest: dict[str, list[Any]] = {}
    for name, values in activations(of.source, of.calibration):
        quietest.setdefault(name, []).append(values.reshape(-1, values.shape[-1]).copy())
    found = []
    for one in operators:
        others = tuple(other.output for other in operators if other is not one)
        quantise_tflite(of.source, target, of.histograms, LiteRTMethod(BEST, others, ()))
        rounded = logits_of(target, of.validation[0])
        right = [(logits.argmax(1) == of.validation[1]).mean() for logits in (exact, rounded)]
        least, greatest = RANGES[BEST](of.histograms[one.output])
        deviations = np.concatenate(quietest[one.output]).std(axis=0)
        found.append(
            {
                "kind": one.kind,
                "module": one.output,
                "error": float(np.sqrt(np.square(rounded - exact).mean()) / exact.std()),
                "points": float(100 * (right[1] - right[0])),
                "step": (greatest - least) / 255,
                "quietest": float(deviations.min()),
                "loudest": float(deviations.max()),
            }
        )
    return found


def report(results: Results) -> str:
    lines = [
        "| subnet | way | validation (%) | top-1 (%) | difference | p | same class (%) | ms to float32's | KiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [line_of(row) for row in results.rows if "int8_ms" in row]
    for row in results.rows:
        if "operators" in row:
            lines += ["", *operator_lines(row["operators"])]
    return "\n".join(lines)


def line_of(row: Row) -> str:
    points = 100 * (row["int8_top1"] - row["float32_top1"])
    return (
        f"| {row['subnet']} | {row['peer']} | {100 * row['validation_top1']:.2f} | {100 * row['int8_top1']:.2f} | {points:+.2f} | "
        f"{row['paired']['p_value']:.2g} | {100 * row['agreement']:.1f} | {row['int8_ms'] / row['float32_ms']:.2f}"
        f"{'*' if row['busy'] else ''} | {row['bytes'] / 1024:,.0f} |"
    )


def operator_lines(operators: list[Row]) -> list[str]:
    """The worst, in the network's order, and the sum of the rest's squared errors as one error."""
    worst = sorted(operators, key=lambda one: -one["error"])[:WORST]
    rest = sum(one["error"] ** 2 for one in operators if one not in worst) ** 0.5
    return [
        "| operator | number | error of logits (%) | points | one step | deviation of the quietest channel | of the loudest |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {one['kind']} | {place} | {100 * one['error']:.1f} | {one['points']:+.2f} | {one['step']:.3f} | "
            f"{one['quietest']:.3f} | {one['loudest']:.3f} |"
            for place, one in enumerate(operators, start=1)
            if one in worst
        ),
        f"| the other {len(operators) - len(worst)} together | | {100 * rest:.1f} | | | | |",
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
