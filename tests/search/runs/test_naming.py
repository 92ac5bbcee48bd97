"""Where a search goes that is told no folder: what decides its figures decides the name."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.runs.naming import run_name

CONFIG = Path("configs/searches/macs.yaml")


def named(data: str | None = None) -> str:
    return run_name(CONFIG, {"data": data, "seed": 3}, ["macs=2e6"])


def test_other_images_are_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are called the same too."""
    for name in ("a", "b"):
        (tmp_path / name / "images").mkdir(parents=True)
    found = {
        named(),
        named("fashion_mnist"),
        *(named(str(tmp_path / name / "images")) for name in ("a", "b")),
    }
    assert len(found) == 4
    assert {"macs-macs2e6-seed3", "macs-macs2e6-fashion_mnist-seed3"} < found
    monkeypatch.chdir(tmp_path)
    assert named("a/images") == named("a/images/") == named(str(tmp_path / "b" / ".." / "a" / "images"))
    assert named("a/images").startswith("macs-macs2e6-images-")
    monkeypatch.chdir(tmp_path / "a" / "images")
    assert named(".") == named(str(tmp_path / "a" / "images"))


def test_a_search_without_any_predictor_has_a_folder_of_its_own() -> None:
    names = [run_name(CONFIG, {"predictor": given}, []) for given in (None, "mine", "none")]
    assert names == ["macs", "macs-mine", "macs-no-predictor"]
