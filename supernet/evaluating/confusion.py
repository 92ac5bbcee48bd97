"""Which classes are taken for which, and accuracy class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from supernet.accuracy import wilson

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Confusion:
    """``counts`` (classes, classes): images of the class of the row that are taken for the class of the column."""

    classes: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    @cached_property
    def images(self) -> npt.NDArray[np.int64]:
        """Of each class, shape (classes,)."""
        return np.asarray(self.counts.sum(axis=1))

    @cached_property
    def right(self) -> npt.NDArray[np.int64]:
        """Those of them that are taken for what they are."""
        return np.diag(self.counts)

    @property
    def imbalance(self) -> float:
        """Images of the largest class to those of the smallest that has any."""
        present = self.images[self.images > 0]
        return float(present.max() / present.min())

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the recalls of all classes that there are images of: each class counts the same."""
        present = self.images > 0
        return float((self.right[present] / self.images[present]).mean())

    def balanced_interval(self) -> tuple[float, float]:
        """Its 95 % interval: those of the classes, joined as for a mean of independent shares (Zou and Donner, 2008)."""
        classes = self.by_class()
        shares, low, high = (np.array([one[key] for one in classes]) for key in ("recall", "low", "high"))
        below, above = (float(np.sqrt(((shares - end) ** 2).sum())) / len(classes) for end in (low, high))
        return self.balanced_accuracy - below, self.balanced_accuracy + above

    def by_class(self) -> list[dict[str, Any]]:
        """Recall of each class that there are images of, with its 95 % interval; ``output`` is its place."""
        return [
            {
                "output": place, "class": self.classes[place], "images": int(self.images[place]),
                "right": int(self.right[place]), "recall": float(self.right[place] / self.images[place]),
                **dict(zip(("low", "high"), wilson(int(self.right[place]), int(self.images[place])), strict=True)),
            }
            for place in np.flatnonzero(self.images).tolist()
        ]  # fmt: skip


def confusion_of_logits(logits: Tensor, labels: Tensor, classes: Sequence[str]) -> Confusion:
    """Of logits (n, classes) and labels (n,); the best of equal logits is the first."""
    count = len(classes)
    places = labels.numpy() * count + logits.argmax(dim=1).numpy()
    return Confusion(tuple(classes), np.bincount(places, minlength=count**2).reshape(count, count))
