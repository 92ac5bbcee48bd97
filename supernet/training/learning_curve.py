"""How a training went: validation accuracy by epoch, images seen and processor seconds, in a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from supernet.documents import write_text

CURVE_FILE = "learning_curve.csv"


@dataclass(frozen=True)
class CurvePoint:
    """After an epoch: what was seen and spent, the mean loss of its steps, and top-1 by size of subnet.

    ``processor_seconds`` are of training alone, of all processes together, without what a kill undid.
    """

    epoch: int
    images: int
    processor_seconds: float
    loss: float
    top1: dict[str, float]


def write_curve(path: Path, points: Sequence[CurvePoint]) -> None:
    """One row a point; accuracies are fractions of the validation images, measured after calibration of batch norms."""
    text = io.StringIO()
    sizes = list(points[0].top1)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["epoch", "images", "processor_seconds", "loss", *(f"validation_top1_{size}" for size in sizes)]
    )
    for p in points:
        row = [p.epoch, p.images, f"{p.processor_seconds:.1f}", f"{p.loss:.4f}"]
        writer.writerow([*row, *(f"{p.top1[size]:.4f}" for size in sizes)])
    write_text(path, text.getvalue())


def plain_points(points: Sequence[CurvePoint]) -> list[dict[str, object]]:
    """For a checkpoint, which holds no classes."""
    return [asdict(point) for point in points]
