"""Racing: a candidate that a paired test shows to be dominated is not evaluated on the rest of the images.

A candidate is evaluated on one part of the validation split after the other. After each, its hits are
compared with those of its rival, the most accurate finished candidate that costs no more in any objective,
on the same images. What a search decides by is accuracy on the whole split, so the test asks about that:
whether so many more misses than the rival's could be the luck of the images that came first.

A stopped candidate's trial is pruned and has the attribute ``raced`` (:meth:`Raced.attribute`), which
surrogates may learn from.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.bool_]
"""Whether a candidate gets an image right, shape (images of the split,); False where it cannot be decoded."""

LEVEL = 0.1
"""Bound of the chance to stop a candidate that on the whole split is as accurate as its rival; less if it is more so."""

BOUND = 0.01
"""Share of the level that bounds in how many images the two differ."""


def parts(images: int) -> tuple[range, ...]:
    """Places of a quarter, another one and the other half of a split.

    Every part takes images from all over the split, as those of a folder come class by class.
    """
    return range(0, images, 4), range(2, images, 4), range(1, images, 2)


@dataclass(frozen=True)
class Rival:
    """A finished candidate that costs no more, with its accuracy on the whole split as a fraction."""

    arch_id: str
    accuracy: float
    hits: Bits


@dataclass(frozen=True)
class Raced:
    """A candidate that was stopped after ``images`` of the ``of`` images of the split.

    ``estimate`` is not measured: the rival's accuracy on the whole split, plus the mean difference on
    the images that both were evaluated on.
    """

    images: int
    of: int
    estimate: float
    rival: str

    def attribute(self, accuracy: str) -> dict[str, Any]:
        """What its trial has as ``raced``: ``{"images": 1250, "of": 5000, "top1": 0.91, "rival": "e3a2b34163"}``.

        ``accuracy`` is what the search maximises, ``top1`` or ``top5``, and the key of the estimate.
        """
        return {"images": self.images, "of": self.of, accuracy: self.estimate, "rival": self.rival}


def from_attribute(raced: Mapping[str, Any], accuracy: str) -> Raced:
    return Raced(raced["images"], raced["of"], raced[accuracy], raced["rival"])


class Race:
    """One candidate against its rival, on a split of ``images`` images."""

    def __init__(self, images: int, rival: Rival | None, level: float = LEVEL) -> None:
        self.rival = rival
        self.hits: Bits = np.zeros(images, dtype=np.bool_)
        self.parts = parts(images) if rival is not None else (range(images),)
        self._level = level / max(1, len(self.parts) - 1)  # after the last part nothing is left to save
        self._looks = self._seen = self._wins = self._losses = 0

    def look(self, places: npt.ArrayLike, hits: Bits) -> Raced | None:
        """Take the hits (n,) of the next part at ``places`` (n,); not None if the candidate is to be stopped."""
        places = np.asarray(places, dtype=np.intp)
        self.hits[places] = hits
        self._looks += 1
        if self.rival is None:
            return None
        others = self.rival.hits[places]
        self._seen += len(places)
        self._wins += int((hits & ~others).sum())
        self._losses += int((others & ~hits).sum())
        if self._looks == len(self.parts):
            return None
        if dominated(self._wins, self._losses, self._seen, len(self.hits), self._level) > self._level:
            return None
        difference = (self._wins - self._losses) / self._seen
        return Raced(self._seen, len(self.hits), self.rival.accuracy + difference, self.rival.arch_id)


def dominated(wins: int, losses: int, seen: int, images: int, level: float) -> float:
    """P-value of a candidate being as accurate as its rival on all ``images``, of which ``seen`` were drawn.

    It alone was right on ``wins`` of these, the rival alone on ``losses``. This is the one-sided exact
    sign test (McNemar, 1947) for a finite split: were it as accurate, at most half of all images on which
    the two differ would be losses, and those seen are drawn from them without replacement. In how many
    they differ is bounded with confidence (Berger and Boos, 1994); the chance that it is more is part of
    the p-value. In a split without end it is the usual sign test.
    """
    # notation: D is the unknown number of images of the split on which the two differ, L the losses among
    # those; d = wins + losses of them were seen, of which l = losses
    if losses <= wins:
        return 1.0
    spent = BOUND * level
    differing = most_marked(images, seen, wins + losses, spent)  # D is greater with a chance of spent at most
    differing += differing % 2  # L = D / 2 of an equal, which must be whole; a greater D is on the safe side
    # p = P(at least l losses among d drawn of D, of which D / 2 are losses) + P(D is greater)
    return at_least(losses, wins + losses, differing // 2, differing) + spent


def most_marked(total: int, drawn: int, marked: int, level: float) -> int:
    """An upper bound of how many of ``total`` are marked where ``marked`` of the ``drawn`` are.

    With more there would be so few among the drawn with a chance of at most ``level``.
    """
    low, high = marked, marked + total - drawn
    while low < high:
        middle = (low + high + 1) // 2
        if at_least(drawn - marked, drawn, total - middle, total) > level:
            low = middle
        else:
            high = middle - 1
    return low


def at_least(least: int, drawn: int, marked: int, total: int) -> float:
    """Chance of ``least`` or more marked ones among ``drawn`` of ``total``, drawn without replacement."""
    from scipy.stats import hypergeom  # its import takes about a second, which only races need

    # SciPy's M = total, n = marked, N = drawn; its survival function is of more than k, so k = least - 1
    return float(hypergeom.sf(least - 1, M=total, n=marked, N=drawn))


def packed(hits: Bits) -> str:
    """Hits as a trial keeps them: a bit an image, in base64."""
    return base64.b64encode(np.packbits(hits).tobytes()).decode()


def unpacked(text: str, images: int) -> Bits:
    bits = np.frombuffer(base64.b64decode(text), dtype=np.uint8)
    return np.unpackbits(bits, count=images).astype(np.bool_)


def packed_bits(text: str) -> Bits:
    """As :func:`unpacked`, with up to seven images after the last that none gets right."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8)).astype(np.bool_)


def images_saved(raced: Mapping[str, Raced], measured: int, images: int) -> float:
    """Share of the images that were not evaluated, beside ``measured`` candidates with ``images`` each."""
    saved = sum(images - one.images for one in raced.values())
    return saved / (images * (measured + len(raced)))
