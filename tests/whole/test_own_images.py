"""What people are told of the images that they bring: figures under other folder names, and when to doubt them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image

from search.reports.export import evaluate_summary
from search.runs.measuring import MeasuredAccuracy
from supernet.bundle import Bundle, write_bundle
from supernet.catalog import Supernet
from supernet.data import Dataset
from supernet.data_summary import suspicion


@pytest.fixture(scope="module")
def bundle(supernet: Supernet, few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The smallest subnet with its trained weights, which is right on about nine of ten images."""
    folder = tmp_path_factory.mktemp("bundles") / "smallest"
    return write_bundle(folder, supernet, supernet.load(), supernet.space.smallest(), few, {}, {})


def write_images(data: Dataset, folder: Path, names: Mapping[int, str]) -> Path:
    """The first 200 report images in folders that are called as ``names`` say of each label."""
    for i, (pixels, label) in enumerate(
        zip(data.report.pixels[:200], data.report.labels[:200].tolist(), strict=True)
    ):
        path = folder / names[label] / "images" / f"{i}.pgm"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.numpy()).save(path)
    return folder


def test_numbered_folders_have_the_accuracy_of_named_ones(
    bundle: Bundle, data: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """1 to 10, which are 1, 10, 2, ... as text."""
    named = {label: name.replace("/", "_") for label, name in enumerate(data.classes)}
    expected, _ = evaluate_summary(bundle.folder, write_images(data, tmp_path / "named", named))
    numbers = write_images(data, tmp_path / "numbers", {label: str(label + 1) for label in range(10)})
    capfd.readouterr()
    found, _ = evaluate_summary(bundle.folder, numbers)
    assert found["measured"]["accuracy"]["top1"] == expected["measured"]["accuracy"]["top1"] > 0.8
    assert capfd.readouterr().err == (
        f"images in {numbers}: 200 of 10 classes; class folders are taken as numbers: 2 before 10, which as text "
        "would come after it\n"
    )


def test_labels_of_another_order_are_said_to_be_suspicious(
    bundle: Bundle, data: Dataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    turned = write_images(data, tmp_path / "turned", {label: f"{(label + 5) % 10}" for label in range(10)})
    found = evaluate_summary(bundle.folder, turned)[0]["measured"]["accuracy"]
    assert found["top1"] < 0.1
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[1].startswith(f"SUSPICIOUS: top-1 on 200 images ({turned}) is {100 * found['top1']:.2f} % [")
    assert (
        "no better than guessing one of 10 classes (10 %). Likely the classes are in another order" in said[1]
    )


def test_a_search_says_once_that_its_figures_are_no_better_than_guessing(
    supernet: Supernet, random_net: torch.nn.Module, few: Dataset
) -> None:
    said: list[str] = []
    measuring = MeasuredAccuracy(supernet, "fashion_mnist", said.append)
    measuring.__dict__.update(net=random_net, data=few)
    for arch in (supernet.space.smallest(), supernet.space.middle()):
        found = measuring(arch, "validation")
        assert suspicion(found, few.validation, 10) is not None, (
            "the random network is too good for this test"
        )
    assert len(said) == 1
    assert (
        "Likely the weights or the preprocessing (mean, std, crop) are not those of this network" in said[0]
    )
