"""``oncefit.check_data`` and ``oncefit data check``: the picture, the JSON and the exit code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import oncefit
from search.cli.app import main
from supernet.families.catalog import PreprocessingKeys
from supernet.images.data import Dataset
from supernet.images.preprocessing import denormalised, prepare
from tests.helpers.own_data import WNIDS, write_folders, write_train_and_val


@pytest.fixture(scope="module")
def folder(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(data, tmp_path_factory.mktemp("own"))


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as end:
        main(["data", "check", *arguments])
    return end.value.code


def test_what_is_normalised_comes_back() -> None:
    how = PreprocessingKeys(stored=8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.1))
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8))
    torch.testing.assert_close(denormalised(prepare(pixels, 8, how), how), pixels / 255)


def test_the_picture_shows_the_images_with_the_names_of_their_classes(folder: Path, data: Dataset) -> None:
    figure = oncefit.check_data(folder, supernet="fmnist_mbv3").plot()
    panels = [panel for panel in figure.axes if panel.images]
    assert len(panels) == 25
    by_file = {
        np.asarray(Image.open(file)).tobytes(): file.parent.name
        for file in (folder / "calibration").rglob("*.png")
    }
    for panel in panels:
        shown = np.rint(np.asarray(panel.images[0].get_array()) * 255).astype(np.uint8)
        assert by_file[shown.tobytes()] == panel.get_title().replace("/", "_")


def test_the_picture_says_what_folders_are_called_that_are_not_called_like_classes(tmp_path: Path) -> None:
    for name in ("wnids", "others"):  # a folder's listing is kept
        write_train_and_val(tmp_path / name, 6, 8)
    others = tmp_path / "others"
    supernet = oncefit.open_supernet("ofa_mbv3_w1.0")

    def titles(found: oncefit.DataCheck) -> set[str]:
        return {panel.get_title() for panel in found.plot().axes if panel.images}

    assert "tench\nn01440764" in titles(oncefit.check_data(tmp_path / "wnids", supernet=supernet))
    for label, wnid in enumerate(WNIDS):
        for part in ("train", "val"):
            (others / part / wnid).rename(others / part / f"w{label}")
    found = oncefit.check_data(others, supernet=supernet)
    assert found.errors == 1  # seven folders for a thousand outputs
    with pytest.raises(oncefit.InputError, match="7 class folders"):
        found.plot()
    for label in range(len(WNIDS)):
        for part in ("train", "val"):
            (others / part / f"w{label}").rename(others / part / f"{label:03d}")
    assert "tench\n000" in titles(oncefit.check_data(others, supernet=supernet))


def test_a_picture_takes_a_supernet(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(str(folder), "--picture", str(tmp_path / "seen.png")) == 2
    assert "say which one with --supernet" in capsys.readouterr().err


def test_the_command_writes_the_picture_and_prints_what_was_found(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(folder), "--supernet", "fmnist_mbv3", "--picture", str(tmp_path / "seen.png")) == 0
    out = capsys.readouterr().out
    assert "0 errors, 3 warnings, 0 notes" in out
    assert "WARNING (few images): report has 50 images" in out
    with Image.open(tmp_path / "seen.png") as picture:
        assert min(picture.size) > 500


def test_an_error_is_exit_code_2_and_json_has_its_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leaking = shutil.copytree(folder, tmp_path / "leaking")
    shutil.copy(leaking / "calibration" / "Bag" / "0.png", leaking / "report" / "Bag" / "again.png")
    assert run(str(leaking), "--json") == 2
    told = json.loads(capsys.readouterr().out)
    [leak] = [finding for finding in told["findings"] if finding["kind"] == "leakage"]
    assert (leak["severity"], [Path(file).name for file in leak["files"]]) == (
        "error",
        ["0.png", "again.png"],
    )
    assert (told["errors"], told["parts"]["report"]["classes"]["Bag"]) == (1, 6)
    assert told["parts"]["report"]["width"] == {"least": 28, "median": 28, "greatest": 28}
    assert told == json.loads(json.dumps(oncefit.check_data(leaking).to_dict()))


def test_many_classes_are_shown_by_their_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in range(40):
        for part in ("train", "val"):
            for i in range(2 + label):
                path = tmp_path / part / f"c{label:02d}" / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((2, 2), 3 * label + i, np.uint8)).save(path)
    run(str(tmp_path))
    out = capsys.readouterr().out
    assert "... 30 between" in out
    assert "c00" in out
    assert "c39" in out
    assert "c20" not in out.split("WARNING")[0].split("ERROR")[0]
