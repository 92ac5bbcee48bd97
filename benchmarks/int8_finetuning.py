"""What training in simulated 8 bits gains on a subnet of the embedded supernet: 8 bits before and after, and float32.

    python benchmarks/int8_finetuning.py                  # the smallest subnet, all of Fashion-MNIST's calibration images
    python benchmarks/int8_finetuning.py --epochs 1       # a look

Trained on the calibration split, which it shares with ranges; the epoch is chosen on validation images in simulated 8 bits;
figures are of the report split in ONNX Runtime.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import oncefit
from supernet.accuracy import Accuracy
from supernet.bundles.bundle import write_bundle
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.families.catalog import open_supernet
from supernet.images.class_folders import folder_name
from supernet.images.data import Dataset, Images, load_dataset

SUPERNET = "fmnist_mbv3"


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--epochs", type=int, default=5)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    supernet = open_supernet(SUPERNET)
    data, arch = load_dataset("fashion_mnist", supernet), supernet.space.smallest()
    with tempfile.TemporaryDirectory(prefix="oncefit-") as scratch:
        folder = Path(scratch)
        for split in ("calibration", "validation", "report"):
            images = getattr(data, split)
            write_images(data, images, folder / "images" / split)
            if split == "calibration":
                write_images(data, images, folder / "images" / "train")
        subnet = specialise(supernet.load(), arch, data)
        write_bundle(folder / "parent", supernet, None, arch, data, {}, {}, subnet=subnet)
        made = oncefit.finetune(
            folder / "parent", folder / "images", precision="int8", epochs=given.epochs, seed=given.seed,
            out=folder / "int8",
        )  # fmt: skip
        about = made.card.finetuning
        print("| smallest subnet | top-1 (%) |\n|---|---|")
        print(f"| float32, before | {100 * evaluate(subnet, arch, data, 'report').top1:.2f} |")
        print(f"| int8, before | {100 * Accuracy(**about.before).top1:.2f} |")
        print(
            f"| int8, trained in simulated 8 bits | {100 * made.card.figures.measured['report']['top1']:.2f} |"
        )
        print(
            f"\n{about.training_images:,} images, {about.epochs} epochs, kept: {about.best_epoch}; {about.paired}"
        )


def write_images(data: Dataset, images: Images, target: Path) -> None:
    """In class folders."""
    for i, (pixels, label) in enumerate(zip(images.pixels, images.labels.tolist(), strict=True)):
        path = target / folder_name(data.classes[label]) / f"{i:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(pixels.numpy())).save(path)


if __name__ == "__main__":
    main()
