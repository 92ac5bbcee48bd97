"""Bundles of earlier versions open, answer, are converted and are measured; those of other versions are refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import oncefit
from supernet.bundles.bundle import Bundle, evaluate_bundle, open_bundle, verify_bundle
from supernet.bundles.bundle_card import CARD, OLDEST, VERSION, read_card
from supernet.bundles.standalone import predict
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.formats.conversion import convert_bundle
from supernet.formats.protocol import FormatRequest
from supernet.formats.registry import export_formats
from supernet.formats.verification import verify_formats
from supernet.images.data import Dataset, load_dataset
from supernet.weights.checkpoints import sha256_of
from tests.helpers.kept_bundle import kept_bundle, write_patterns
from tests.helpers.tiny import open_tiny

every_version = pytest.mark.parametrize("version", range(OLDEST, VERSION + 1))
ZEROS = "0" * 64


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def supernet(home: Path) -> Supernet:
    return open_tiny(home)


@pytest.fixture(scope="module")
def images(home: Path, supernet: Supernet) -> Dataset:
    return load_dataset(str(write_patterns(home / "images", supernet.classes)), supernet)


def opened(version: int, folder: Path, supernet: Supernet) -> Bundle:
    return open_bundle(kept_bundle(version, folder / "bundle"), supernet)


@every_version
def test_it_opens_verifies_and_is_measured_as_it_was(
    version: int, tmp_path: Path, supernet: Supernet, images: Dataset
) -> None:
    bundle = opened(version, tmp_path, supernet)
    assert bundle.card.version == version
    found = verify_bundle(bundle.folder, images, supernet)
    assert found.images == 12
    report = evaluate_bundle(bundle, images.report)
    assert report.top1 == found.top1_torch == bundle.card.figures.measured["report"]["top1"]
    evaluated = oncefit.open_bundle(bundle.folder).evaluate(Path(images.name) / "report")
    assert evaluated["measured"]["accuracy"]["top1"] == report.top1


@every_version
def test_it_is_converted_and_its_card_is_of_this_version_then(
    version: int, tmp_path: Path, supernet: Supernet, images: Dataset
) -> None:
    folder = kept_bundle(version, tmp_path / "bundle")
    made = convert_bundle(
        folder, export_formats("onnx"), FormatRequest(batch=2, opset=13), images, supernet=supernet
    )
    assert made.card.version == VERSION
    found = verify_formats(made, images)["onnx"]
    assert found["max_difference"] <= found["allowed"]


@every_version
def test_its_program_answers_as_it_did(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the program of today, so that none of an older bundle is run here."""
    monkeypatch.setattr(predict, "HERE", kept_bundle(version, tmp_path / "bundle"))
    assert predict.main(["--self-test"]) == 0, capsys.readouterr()


@every_version
def test_the_card_of_a_version_is_read_as_it_was_written(version: int, tmp_path: Path) -> None:
    folder = kept_bundle(version, tmp_path / "bundle")
    values = json.loads((folder / CARD).read_text())
    assert read_card(folder).model_dump(mode="json", exclude_none=True) == values


def with_version(folder: Path, number: int) -> None:
    """A card of another version whose own hash is right, and which has what this one does not know."""
    path = folder / CARD
    values = json.loads(path.read_text())
    values |= {"format": f"oncefit bundle {number}", "card_sha256": ZEROS}
    values = {"more": np.arange(3).tolist(), **values}
    text = json.dumps(values, indent=2)
    path.write_text(text.replace(ZEROS, sha256_of(text.encode())))


@pytest.mark.parametrize(
    ("number", "parts"),
    [
        (VERSION + 1, (f"reads {OLDEST} to {VERSION}: upgrade it (pip install --upgrade oncefit)", "oncefit 0.1.0")),
        (17, ("is of version 17 of bundles, and oncefit ", "upgrade it")),
        (1, ("is of version 1 of bundles", "export the subnet again from its run (oncefit export RUN)")),
    ],
)  # fmt: skip
def test_another_version_is_refused_with_what_to_do(
    number: int, parts: tuple[str, ...], tmp_path: Path
) -> None:
    folder = kept_bundle(VERSION, tmp_path / "bundle")
    with_version(folder, number)
    with pytest.raises(InputError) as caught:
        open_bundle(folder)
    for part in parts:
        assert part in str(caught.value)


def test_a_bundle_of_this_version_is_kept(tmp_path: Path) -> None:
    """Whoever counts the version up keeps a bundle of it: ``python -m tests.helpers.kept_bundle``."""
    assert read_card(kept_bundle(VERSION, tmp_path / "bundle")).version == VERSION
