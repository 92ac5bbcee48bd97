"""A confusion matrix as a picture and as CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search.reports.csv_text import csv_lines
from search.reports.figures.plots import new_figure, save_figure
from supernet import documents

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from supernet.evaluating.confusion import Confusion

NAMED_CLASSES = 60
"""So many classes can be named on an axis; counts are written into the cells of half as many."""


def write_confusion(found: Confusion, picture: Path) -> list[Path]:
    """Write the picture, and beside it the CSV; returns both paths."""
    table = picture.with_suffix(".csv")
    save_figure(confusion_figure(found), picture)
    documents.write_text(table, confusion_csv(found))
    return [picture, table]


def confusion_csv(found: Confusion) -> str:
    """A row a class of the images, a column a class that they are taken for, in the order of the outputs."""
    rows = zip(found.classes, found.counts.tolist(), strict=True)
    return csv_lines(
        [["images of \\ taken for", *found.classes], *([name, *counts] for name, counts in rows)]
    )


def confusion_figure(found: Confusion) -> Figure:
    """Of the classes that occur, as shares of the images of each class."""
    shown = np.flatnonzero((found.counts.sum(axis=0) > 0) | (found.images > 0))
    counts = found.counts[np.ix_(shown, shown)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.35 * len(shown) + 2.5, 5, 16))
    figure, axes = new_figure(size=(side + 1, side))
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100)
    figure.colorbar(image, ax=axes, label="% of the images of a class", shrink=0.8)
    axes.set_xlabel("taken for")
    axes.set_ylabel("images of")
    axes.set_title(f"balanced accuracy {100 * found.balanced_accuracy:.2f} %", fontsize=10)
    if len(shown) > NAMED_CLASSES:
        return figure
    names = [found.classes[place] for place in shown]
    axes.set_xticks(range(len(shown)), names, rotation=90, fontsize=7, parse_math=False)
    axes.set_yticks(range(len(shown)), names, fontsize=7, parse_math=False)
    for row, column in np.argwhere(counts) if 2 * len(shown) <= NAMED_CLASSES else ():
        dark = shares[row, column] > 0.5
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=6,
                  color="white" if dark else "black")  # fmt: skip
    return figure
