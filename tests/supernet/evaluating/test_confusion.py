"""The confusion matrix and balanced accuracy: by hand, by loops, and by simulation."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from search.reports.confusion_report import confusion_csv, confusion_figure, write_confusion
from supernet.evaluating.confusion import Confusion, confusion_of_logits
from supernet.evaluating.evaluation import accuracy_of_logits

CLASSES = ("cat", "dog", "crane", "crane")  # ImageNet has two cranes


def test_by_hand() -> None:
    """Four cats, one taken for a dog; two dogs, both right; one crane, taken for a cat; none of the other crane."""
    best = torch.tensor([0, 0, 0, 1, 1, 1, 0])
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 2])
    found = confusion_of_logits(torch.eye(4)[best], labels, CLASSES)
    assert found.counts.tolist() == [[3, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert found.balanced_accuracy == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert found.imbalance == 4
    assert [(one["output"], one["class"], one["images"], one["right"]) for one in found.by_class()] == [
        (0, "cat", 4, 3),
        (1, "dog", 2, 2),
        (2, "crane", 1, 0),
    ]
    assert [one["recall"] for one in found.by_class()] == [0.75, 1, 0]


def test_against_loops_and_the_measured_top1() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(5, 700, p=[0.6, 0.2, 0.1, 0.07, 0.03])
    logits = rng.normal(size=(700, 5)) + np.eye(5)[labels]
    found = confusion_of_logits(torch.from_numpy(logits), torch.from_numpy(labels), tuple("abcde"))
    counts = [[0] * 5 for _ in range(5)]
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        counts[label][row.index(max(row))] += 1
    assert found.counts.tolist() == counts
    recalls = [counts[c][c] / sum(counts[c]) for c in range(5)]
    assert found.balanced_accuracy == pytest.approx(sum(recalls) / 5)
    top1 = accuracy_of_logits(torch.from_numpy(logits), torch.from_numpy(labels), "own").top1
    assert found.right.sum() / found.images.sum() == pytest.approx(top1)
    assert abs(found.balanced_accuracy - top1) > 0.01  # they are not the same figure here


def test_the_interval_holds_the_true_balanced_accuracy_in_95_of_100_draws() -> None:
    rng, images, recalls = np.random.default_rng(1), np.array([400, 60, 15]), np.array([0.95, 0.8, 0.6])
    inside = 0
    for _ in range(600):
        right = rng.binomial(images, recalls)
        taken_for_the_next = np.roll(np.diag(images - right), 1, axis=1)
        found = Confusion(("a", "b", "c"), np.diag(right) + taken_for_the_next)
        assert found.images.tolist() == images.tolist()
        low, high = found.balanced_interval()
        inside += low <= recalls.mean() <= high
    assert 0.92 < inside / 600 < 0.98


def test_the_csv_has_every_class_and_count() -> None:
    found = confusion_of_logits(torch.eye(4), torch.tensor([0, 1, 2, 0]), CLASSES)
    head, *rows = csv.reader(io.StringIO(confusion_csv(found)))
    assert tuple(head[1:]) == CLASSES
    assert [row[0] for row in rows] == list(CLASSES)
    assert [list(map(int, row[1:])) for row in rows] == found.counts.tolist()


def test_the_picture_shows_shares_of_the_classes_that_occur(tmp_path: Path) -> None:
    found = confusion_of_logits(torch.eye(4)[[0, 0, 1, 1]], torch.tensor([0, 0, 0, 1]), CLASSES)
    axes = confusion_figure(found).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    np.testing.assert_allclose(axes.images[0].get_array(), [[200 / 3, 100 / 3], [0, 100]])
    assert sorted(text.get_text() for text in axes.texts) == ["1", "1", "2"]
    picture, table = write_confusion(found, tmp_path / "confusion.png")
    with Image.open(picture) as image:
        assert image.format == "PNG"
    assert table.read_text() == confusion_csv(found)


def test_many_classes_are_not_named() -> None:
    found = Confusion(tuple(map(str, range(80))), np.eye(80, dtype=np.int64))
    assert list(confusion_figure(found).axes[0].texts) == []
