"""One look at every image of a part of a data set: is it one, how large, of which mode, and is it there twice?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from supernet.errors import InputError
from supernet.images.image_folder import ImageFiles, Undecodable, converted, decoded
from supernet.images.images import Images
from supernet.images.near_copies import thumb

if TYPE_CHECKING:
    from PIL import Image

LOOKS_AHEAD = 4096
"""Images that wait for a thread: a training set has more than a million."""


class Look(NamedTuple):
    """An image of the name ``called``, with what is known of it: ``reason`` why it cannot be decoded, or the rest.

    ``digest`` is the sha256 of the file's bytes, or of the pixels where there is no file; ``size`` is width and
    height in pixels, ``mode`` Pillow's, and ``thumb`` what :func:`supernet.images.near_copies.thumb` makes of it.
    """

    called: str
    label: int
    digest: bytes = b""
    size: tuple[int, int] = (0, 0)
    mode: str = ""
    thumb: bytes = b""
    reason: str | None = None


def looks_at(images: ImageFiles | Images, part: str) -> Iterator[Look]:
    """A look at each image of a part, in order; files are really decoded, on all cores."""
    if isinstance(images, Images):
        yield from looks_in_memory(images, part)
        return
    pairs = list(zip(images.files, images.labels.tolist(), strict=True))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(pairs), LOOKS_AHEAD):
            yield from pool.map(
                lambda pair: look_at(images.folder, *pair), pairs[first : first + LOOKS_AHEAD]
            )


def looks_in_memory(images: Images, part: str) -> Iterator[Look]:
    from PIL import Image

    mode = "L" if images.pixels.ndim == 3 else "RGB"
    height, width = images.pixels.shape[-2:]
    for place, (pixels, label) in enumerate(zip(images.pixels, images.labels.tolist(), strict=True)):
        digest = hashlib.sha256(pixels.numpy().tobytes()).digest()
        made = Image.fromarray(pixels.numpy() if mode == "L" else pixels.permute(1, 2, 0).numpy())
        yield Look(f"{part}, image {place}", label, digest, (width, height), mode, thumb(made))


def look_at(folder: Path, file: str, label: int) -> Look:
    def look(image: Image.Image, content: bytes) -> Look:
        image.load()
        digest = hashlib.sha256(content).digest()
        grey = thumb(converted(image, 1))
        return Look(str(folder / file), label, digest, image.size, image.mode, grey)

    try:
        return decoded(folder / file, look)
    except Undecodable as error:
        return Look(str(folder / file), label, reason=error.reason)
    except InputError as error:
        return Look(str(folder / file), label, reason=str(error))
