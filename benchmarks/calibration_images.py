"""Whether more calibration images would make the embedded supernet's subnets more accurate.

python benchmarks/calibration_images.py

Top-1 on the validation and the report split, batch norms recalibrated on training images, which
torchvision downloads where Debian's dataset-fashion-mnist is not installed.
"""

from __future__ import annotations

from pathlib import Path

import torch

from supernet.calibration import recalibrate
from supernet.catalog import open_supernet
from supernet.data import load_dataset
from supernet.evaluation import evaluate
from supernet.fashion_mnist import load_official, split_of_training_images
from supernet.preprocessing import prepare

COUNTS = (500, 2_000, 20_000)


def main() -> None:
    supernet = open_supernet("fmnist_mbv3")
    net, data, space = supernet.load(), load_dataset(supernet.data, supernet.classes), supernet.space
    images, _ = load_official(Path("runs/training/fmnist_mbv3/data"), train=True)
    training = images[torch.from_numpy(split_of_training_images("training"))]
    print("subnet     images  validation %  report %")
    for name, arch in (("smallest", space.smallest()), ("medium", space.middle())):
        for count in COUNTS:
            subnet = net.extract(arch).to(memory_format=torch.channels_last)
            recalibrate(subnet, prepare(training[:count], arch.resolution, data.normalisation))
            top1 = [100 * evaluate(subnet, arch, data, split).top1 for split in ("validation", "report")]
            print(f"{name:9} {count:7,} {top1[0]:13.2f} {top1[1]:9.2f}")


if __name__ == "__main__":
    main()
