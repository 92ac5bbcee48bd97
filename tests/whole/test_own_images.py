"""What people are told of the images that they bring: figures under other folder names, and when to doubt them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image

from search.reports.export import evaluate_summary, verify_summary
from search.runs.measuring import MeasuredAccuracy
from supernet.bundles.bundle import Bundle, write_bundle
from supernet.evaluating.evaluation import accuracy_of_hits, specialise
from supernet.families.catalog import PreprocessingKeys, Supernet
from supernet.images.data import Dataset, Images
from supernet.images.data_summary import suspicion


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


def test_verify_says_that_a_bundle_guesses(
    supernet: Supernet,
    few: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A bundle whose classifier was turned, and one that is sound."""
    net = supernet.load()
    for turned in (False, True):
        folder, arch = tmp_path / str(turned), supernet.space.smallest()
        subnet = specialise(net, arch, few)
        if turned:
            subnet.classifier.load_state_dict(
                {k: x.roll(5, 0) for k, x in subnet.classifier.state_dict().items()}
            )
        write_bundle(folder, supernet, net, arch, few, {}, {}, subnet=subnet)
        monkeypatch.setattr("search.reports.export.data_set", lambda *_: few)
        capfd.readouterr()
        found = verify_summary(folder)
        assert found["accuracy"]["top1"] == found["top1_onnxruntime"]
        said = capfd.readouterr().err
        assert said.startswith("SUSPICIOUS: top-1 on 300 images (report)") == turned, said
        assert not said or "oncefit data check FOLDER --supernet NAME --picture seen.png" in said


def test_grey_images_for_a_network_of_colour_are_named(few: Dataset) -> None:
    colour = PreprocessingKeys(crop=0.875, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    guessed = accuracy_of_hits(torch.zeros(300, 5, dtype=torch.bool), "report")
    grey = Images(few.report.pixels[:, None].expand(-1, 3, -1, -1), few.report.labels)
    red = Images(
        torch.stack([few.report.pixels, *(torch.zeros_like(few.report.pixels),) * 2], 1), few.report.labels
    )
    words = "these images are grey, and it gets three equal channels"
    assert words in str(suspicion(guessed, grey, 10, colour))
    assert words not in str(suspicion(guessed, red, 10, colour))
    assert words not in str(suspicion(guessed, few.report, 10, few.preprocessing))  # a network of grey images


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
