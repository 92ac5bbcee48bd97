"""What training in simulated 8 bits gains on a subnet of the embedded supernet, beside training in float32 for as long.

    python benchmarks/int8_finetuning.py                      # the smallest subnet, three seeds
    python benchmarks/int8_finetuning.py --epochs 1 --seeds 1 # a look
    python benchmarks/int8_finetuning.py --report             # the table, in Markdown

Both train on the 2,000 images of the calibration split by the same recipe (configs/training/finetune_int8.yaml), and keep the
epoch that is best on validation images, one in simulated 8 bits, the other in float32. Then both and the parent are
quantised alike, with ranges of the same 256 calibration images, and compared on the report split in ONNX Runtime, image by
image. Rows go to runs/benchmarks/int8_finetuning.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from results import Results, Row
from torch import Tensor, nn

import oncefit
from supernet.accuracy import mcnemar
from supernet.archs.arch import Arch
from supernet.bundles.bundle import write_bundle
from supernet.evaluating.evaluation import evaluate, hits_of_answers, specialise
from supernet.families.catalog import open_supernet
from supernet.images.class_folders import folder_name
from supernet.images.data import Dataset, Images, load_dataset
from supernet.training.finetuning_recipe import INT8_RECIPE

SUPERNET = "fmnist_mbv3"
CONTROL, TRAINED = "trained in float32", "trained in simulated 8 bits"
PRECISIONS = {CONTROL: "fp32", TRAINED: "int8"}


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--report", action="store_true", help="print what was measured")
    given = options.parse_args()
    results = Results("int8_finetuning")
    if not given.report:
        with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
            measure(Path(scratch), given.epochs, given.seeds, results)
    print(report(results))


def measure(folder: Path, epochs: int, seeds: int, results: Results) -> None:
    supernet = open_supernet(SUPERNET)
    data, arch = load_dataset("fashion_mnist", supernet), supernet.space.smallest()
    for split in ("calibration", "validation", "report"):
        write_images(data, getattr(data, split), folder / "images" / split)
    write_images(data, data.calibration, folder / "images" / "train")
    parent = specialise(supernet.load(), arch, data)
    write_bundle(folder / "parent", supernet, None, arch, data, {}, {}, subnet=parent)
    before = hits_in_int8(parent, arch, data)

    def untrained() -> Row:
        return {
            "float32": evaluate(parent, arch, data, "report").top1,
            "int8": float(before.float().mean()),
            "images": len(before),
        }

    def trained(seed: int) -> Row:
        """Both trainings of a seed, so that they are compared on the same images."""
        made = {name: tuned(folder, name, epochs, seed) for name in PRECISIONS}
        subnets = {name: bundle.opened.subnet() for name, bundle in made.items()}
        hits = {name: hits_in_int8(subnet, arch, data) for name, subnet in subnets.items()}
        return {
            name: {
                "float32": evaluate(subnets[name], arch, data, "report").top1,
                "int8": float(hits[name].float().mean()),
                "kept_epoch": made[name].card.finetuning.best_epoch,
                "to_before": asdict(paired(before, hits[name])),
                "to_control": asdict(paired(hits[CONTROL], hits[name])),
            }
            for name in PRECISIONS
        }

    results.row(untrained, peer="before")
    for seed in range(seeds):
        results.row(lambda s=seed: trained(s), peer="trained", seed=seed, epochs=epochs)  # type: ignore[misc]


def tuned(folder: Path, name: str, epochs: int, seed: int) -> oncefit.Bundle:
    return oncefit.finetune(
        folder / "parent", folder / "images", precision=PRECISIONS[name], recipe=INT8_RECIPE, epochs=epochs, seed=seed,
        out=folder / f"{PRECISIONS[name]}-{seed}", say=lambda _: None,
    )  # fmt: skip


def hits_in_int8(subnet: nn.Module, arch: Arch, data: Dataset) -> Tensor:
    """Which report images the subnet gets right, quantised as a search quantises it."""
    from search.runs.in_int8 import int8_answers

    every = [range(len(data.report))]
    [(_, hits)] = hits_of_answers(int8_answers(subnet, arch, data), arch.resolution, data, "report", every)
    return hits[:, 0]


def paired(before: Tensor, after: Tensor):  # type: ignore[no-untyped-def]
    return mcnemar(int((before & ~after).sum()), int((after & ~before).sum()))


def write_images(data: Dataset, images: Images, target: Path) -> None:
    """In class folders."""
    for i, (pixels, label) in enumerate(zip(images.pixels, images.labels.tolist(), strict=True)):
        path = target / folder_name(data.classes[label]) / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels.numpy())).save(path)


def report(results: Results) -> str:
    [before] = [row for row in results.rows if row["peer"] == "before"]
    seeds = [row for row in results.rows if row["peer"] == "trained"]
    lines = [
        f"{before['images']:,} report images; before: float32 {100 * before['float32']:.2f} %, int8 {100 * before['int8']:.2f} %",
        "",
        "| seed | training | epoch kept | float32 (%) | int8 (%) | to before | p | to float32's training | p |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in seeds:
        for name in PRECISIONS:
            one = row[name]
            control = pair_cells(one["to_control"], before["images"]) if name == TRAINED else " | "
            lines.append(
                f"| {row['seed']} | {name} | {one['kept_epoch']} of {row['epochs']} | {100 * one['float32']:.2f} | "
                f"{100 * one['int8']:.2f} | {pair_cells(one['to_before'], before['images'])} | {control} |"
            )
    gains = [100 * (row[TRAINED]["int8"] - row[CONTROL]["int8"]) for row in seeds]
    if len(gains) > 1:
        error = statistics.stdev(gains) / len(gains) ** 0.5
        lines += [
            "",
            f"Simulated 8 bits to float32's training, mean of {len(gains)} seeds: {statistics.mean(gains):+.2f} points, "
            f"standard error {error:.2f}",
        ]
    return "\n".join(lines)


def pair_cells(found: Row, images: int) -> str:
    """Difference in points, and McNemar's p-value."""
    points = 100 * (found["only_after"] - found["only_before"]) / images
    return f"{points:+.2f} | {found['p_value']:.2g}"


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
