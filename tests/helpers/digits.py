"""scikit-learn's handwritten digits, which come with it, as a person's own folder of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def write_digits(target: Path, train: int, val: int, names: tuple[str, ...] = NAMES) -> Path:
    """So many different images of each class in ``train/`` and ``val/``, as PNG files of 28 pixels."""
    digits = load_digits()
    for label, name in enumerate(names):
        of_class = digits.images[digits.target == label][: train + val]
        assert len(of_class) == train + val
        for i, image in enumerate(of_class):
            path = target / ("train" if i < train else "val") / name / f"{i:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = Image.fromarray((image * 255 / 16).astype(np.uint8))
            pixels.resize((28, 28), Image.Resampling.BILINEAR).save(path)
    return target
