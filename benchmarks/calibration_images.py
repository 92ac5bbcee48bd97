"""Whether more calibration images, or another order, would make the embedded supernet's subnets more accurate.

python benchmarks/calibration_images.py

Top-1 on the validation and the report split, batch norms recalibrated on training images, which
torchvision downloads where Debian's dataset-fashion-mnist is not installed; and on the calibration
split with its images class by class, as folders list them, and mixed, as they are then taken.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from supernet.archs.arch import Arch
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.families.catalog import open_supernet
from supernet.images.data import Dataset, load_dataset, mixed_images
from supernet.images.fashion_mnist import load_official, split_of_training_images
from supernet.images.image_folder import ImageFiles
from supernet.images.preprocessing import prepare
from supernet.networks.calibration import recalibrate

COUNTS = (500, 2_000, 20_000)


def main() -> None:
    supernet = open_supernet("fmnist_mbv3")
    net, data, space = supernet.load(), load_dataset(supernet.data, supernet), supernet.space
    images, _ = load_official(Path("runs/training/fmnist_mbv3/data"), train=True)
    training = images[torch.from_numpy(split_of_training_images("training"))]
    print("subnet      images  validation %  report %")
    for name, arch in (("smallest", space.smallest()), ("medium", space.middle())):
        for count in COUNTS:
            subnet = net.extract(arch).to(memory_format=torch.channels_last)
            recalibrate(subnet, prepare(training[:count], arch.resolution, data.preprocessing))
            show(name, f"{count:,}", subnet, arch, data)
        for order, places in orders(data.calibration.labels).items():
            split = data.calibration.picked(places)
            show(name, order, specialise(net, arch, replace(data, calibration=split)), arch, data)


def orders(labels: Tensor) -> dict[str, list[int]]:
    """Places of images with these labels, class by class and mixed."""
    by_class = labels.argsort(stable=True).tolist()
    files = ImageFiles(Path(), tuple(map(str, by_class)), labels[by_class])
    return {"by class": by_class, "mixed": [int(file) for file in mixed_images(files).files]}


def show(name: str, images: str, subnet: nn.Module, arch: Arch, data: Dataset) -> None:
    top1 = [100 * evaluate(subnet, arch, data, split).top1 for split in ("validation", "report")]
    print(f"{name:9} {images:>8} {top1[0]:13.2f} {top1[1]:9.2f}")


if __name__ == "__main__":
    main()
