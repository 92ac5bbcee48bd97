"""Images that look alike: copies that were resized, or saved again with another quality or format.

Each image is looked at as ``thumb``, 16 rows of 17 grey pixels, and its difference hash says of each pixel whether the
next one in its row is brighter (N. Krawetz, "Kind of Like That", 2013). The hashes are sorted sixteen times, each time by
another row first, so that hashes that differ in few rows are neighbours in some order, and neighbours alone are
compared: the time grows with the number of images as sorting does. Two whose hashes differ in few bits look alike
where their thumbs correlate almost entirely; brightness and contrast may differ. An image that is nearly of one grey
looks like nothing.

=========  ==================  ==============================================
``thumbs``  (n, 16, 17) uint8   grey pixels
``hashes``  (n, 32) uint8       256 bits, two bytes a row of the thumb
=========  ==================  ==============================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

THUMB_ROWS, THUMB_COLUMNS = 16, 17
NEIGHBOURS = 8
"""How many of those that follow each hash in an order are compared with it."""
MOST_BITS = 48
"""Of 256: beyond that thumbs are not compared."""
LEAST_CORRELATION = 0.99
LEAST_CONTRAST = 4.0
"""Standard deviation of a thumb's pixels, of 255."""

THUMBS_AT_ONCE = 16_384
"""Thumbs whose contrast is computed together."""
PAIRS_AT_ONCE = 16_384
"""Pairs of thumbs that are compared together: of images that are much alike there are a hundred times as many as images."""

Thumbs = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint8]
Pairs = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.float32]


def thumb(image: Image.Image) -> bytes:
    """The image as so few grey pixels, row by row."""
    from PIL.Image import Resampling

    return image.convert("L").resize((THUMB_COLUMNS, THUMB_ROWS), Resampling.BILINEAR).tobytes()


def look_alike(thumbs: Thumbs) -> list[tuple[int, int]]:
    """Pairs of places (n, 16, 17) whose images look alike, the smaller one first, in order."""
    blocks = np.array_split(thumbs, 1 + len(thumbs) // THUMBS_AT_ONCE)
    contrast = np.concatenate([block.std(axis=(1, 2)) for block in blocks])
    known = np.flatnonzero(contrast >= LEAST_CONTRAST)
    pairs = known[hashes_near(hashes_of(thumbs[known]))]
    return [
        (int(i), int(j))
        for first in range(0, len(pairs), PAIRS_AT_ONCE)
        for i, j in correlated(thumbs, pairs[first : first + PAIRS_AT_ONCE])
    ]


def correlated(thumbs: Thumbs, pairs: Pairs) -> Pairs:
    """Those pairs of places whose thumbs correlate almost entirely."""
    one, other = (
        thumbs[places].reshape(-1, THUMB_ROWS * THUMB_COLUMNS).astype(np.float32) for places in pairs.T
    )
    alike: Pairs = pairs[correlation(one, other) >= LEAST_CORRELATION]
    return alike


def hashes_of(thumbs: Thumbs) -> Hashes:
    return np.packbits(thumbs[:, :, 1:] > thumbs[:, :, :-1], axis=2).reshape(-1, 2 * THUMB_ROWS)


def hashes_near(hashes: Hashes) -> Pairs:
    """Pairs (p, 2) of places whose hashes are near each other in some order and differ in few bits."""
    found = [np.empty((0, 2), np.int64)]
    for row in range(THUMB_ROWS):
        keys = np.ascontiguousarray(np.roll(hashes, -2 * row, axis=1)).view(">u8")
        order = np.lexsort(keys.T[::-1])
        for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
            pairs = np.stack([order[:-step], order[step:]], axis=1)
            bits = np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]).sum(axis=1, dtype=np.int64)
            found.append(pairs[bits <= MOST_BITS])
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def correlation(one: Pixels, other: Pixels) -> Pixels:
    """Of each row of (p, pixels) with that of the other."""
    one, other = one - one.mean(axis=1, keepdims=True), other - other.mean(axis=1, keepdims=True)
    product: Pixels = (one * other).sum(axis=1)
    scale: Pixels = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return product / scale
