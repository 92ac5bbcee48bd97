"""How many copies of images are found by how they look, and how many images are taken for copies.

    python benchmarks/near_copies.py [DIR] [--images N] [--copies N]

The images are N below DIR, chosen by a seed, and scikit-learn's digits. Shown is how many of them look like another
one as they are, with the first pairs, which a person may compare; then copies of some are added, made in one way at a
time, and it is counted how many of them look like what they were made of.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from supernet.images.image_folder import SUFFIXES, read_image
from supernet.images.near_copies import THUMB_COLUMNS, THUMB_ROWS, look_alike, thumb

SHOWN = 10


def saved(image: Image.Image, form: str, **options: int) -> Image.Image:
    """As it comes back from a file."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return Image.open(file)


def resized(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Less so much of each side."""
    x, y = share * image.width, share * image.height
    return image.resize(image.size, Image.Resampling.BICUBIC, (x, y, image.width - x, image.height - y))


WAYS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG, quality 75": lambda image: saved(image, "JPEG", quality=75),
    "JPEG, quality 30": lambda image: saved(image, "JPEG", quality=30),
    "WebP, quality 60": lambda image: saved(image, "WEBP", quality=60),
    "twice as large": lambda image: resized(image, 2),
    "three quarters": lambda image: resized(image, 0.75),
    "half": lambda image: resized(image, 0.5),
    "half, JPEG, quality 50": lambda image: saved(resized(image, 0.5), "JPEG", quality=50),
    "brighter by a fifth": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "cropped by 2 % a side": lambda image: cropped(image, 0.02),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--copies", type=int, default=1_000)
    given = parser.parse_args()
    if given.folder is not None:
        files = sorted(file for file in given.folder.rglob("*") if file.suffix.lower() in SUFFIXES)
        chosen = np.random.default_rng(0).permutation(len(files))[: given.images]
        paths = [files[i] for i in chosen]
        told(str(given.folder), [read_image(p, 3) for p in paths], list(map(str, paths)), given.copies)
    told("digits", *digits(), given.copies)


def digits() -> tuple[list[Image.Image], list[str]]:
    from sklearn.datasets import load_digits

    found = load_digits()
    grey = np.round(found.images * 255 / 16).astype(np.uint8)
    return [Image.fromarray(pixels) for pixels in grey], [
        f"image {i}, a {digit}" for i, digit in enumerate(found.target)
    ]


def told(called: str, images: Sequence[Image.Image], names: Sequence[str], copies: int) -> None:
    thumbs, began = [thumb(image) for image in images], time.process_time()
    pairs = look_alike(stacked(thumbs))
    seconds = time.process_time() - began
    alike = len({place for pair in pairs for place in pair})
    share = 100 * alike / len(images)
    print(
        f"{called}: {alike} of {len(images):,} images look like another ({share:.2f} %), {len(pairs)} pairs, {seconds:.2f} s"
    )
    for one, other in pairs[:SHOWN]:
        print(f"  {names[one]} ~ {names[other]}")
    for way, make in WAYS.items():
        made = [thumb(make(image)) for image in images[:copies]]
        found = set(look_alike(stacked([*thumbs, *made])))
        hits = sum((i, len(images) + i) in found for i in range(len(made)))
        print(f"  {way:24} {100 * hits / len(made):6.1f} % of {len(made):,} copies found", flush=True)


def stacked(thumbs: Sequence[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(thumbs), np.uint8).reshape(-1, THUMB_ROWS, THUMB_COLUMNS)


if __name__ == "__main__":
    main()
