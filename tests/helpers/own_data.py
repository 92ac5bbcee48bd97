"""Small data sets of one's own, as a user would bring them: real images, and a generated ImageNet."""

from pathlib import Path

import numpy as np
from PIL import Image

from supernet.images.class_folders import folder_name
from supernet.images.data import Dataset

PER_CLASS = {"calibration": 6, "validation": 5, "report": 5}

WNIDS = ("n01440764", "n01443537", "n01484850", "n02123045", "n02504458", "n03063599", "n07753592")
"""Seven class folders of ImageNet; no class is called like them."""


def write_folders(data: Dataset, target: Path) -> Path:
    """Ten classes with a few of the embedded images each, as PNG files."""
    for split, wanted in PER_CLASS.items():
        images = getattr(data, split)
        counts = dict.fromkeys(range(10), 0)
        for pixels, label in zip(images.pixels, images.labels.tolist(), strict=True):
            if counts[label] < wanted:
                folder = target / split / folder_name(data.classes[label])
                folder.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.numpy()).save(folder / f"{counts[label]}.png")
                counts[label] += 1
            elif min(counts.values()) == wanted:
                break
    return target


def write_image(path: Path, label: int, rng: np.random.Generator) -> None:
    """Stripes in the colour of a class with noise, from 90 to 220 pixels wide and high."""
    height, width = rng.integers(90, 221, 2)
    colour = np.array([40 * label, 250 - 35 * label, 90 * (label % 3)], float)
    stripes = 60 * np.sin(np.arange(width) * (label + 1) / 9)[None, :, None]
    pixels = colour + stripes + rng.normal(0, 40, (height, width, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def write_train_and_val(target: Path, train: int, val: int) -> Path:
    """As torchvision reads ImageNet: so many images of each class, as JPEG and PNG.

    One of ``val`` each is grey, RGBA, of a palette and CMYK; one file in each folder is no image.
    """
    rng = np.random.default_rng(7)
    for split, count in (("train", train), ("val", val)):
        for label, wnid in enumerate(WNIDS):
            for i in range(count):
                write_image(target / split / wnid / f"{i:03d}.{('JPEG', 'png')[i % 2]}", label, rng)
    for wnid, mode, suffix in zip(
        WNIDS, ("L", "RGBA", "P", "CMYK"), ("JPEG", "png", "png", "JPEG"), strict=False
    ):
        path = target / "val" / wnid / f"{2 if suffix == 'JPEG' else 3:03d}.{suffix}"
        with Image.open(path) as image:
            other = image.convert(mode)
        other.save(path, **({"transparency": bytes(range(256))} if mode == "P" else {}))
    for broken in (target / "train" / WNIDS[1] / "004.JPEG", target / "val" / WNIDS[2] / "006.JPEG"):
        broken.write_bytes(broken.read_bytes()[:200])
    return target
