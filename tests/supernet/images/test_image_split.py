"""Splits by content, checked by plain counting and hashing of what lies on disk."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import oncefit
from search.cli.app import main
from supernet import locks
from supernet.images.image_split import FoundImages, Shares, planned_split

AMOUNTS = {"cat": 40, "dog": 25, "fox": 10}


def write_noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for label, (name, count) in enumerate(AMOUNTS.items()):
        for i in range(count):
            write_noise(tmp_path / "photos" / name / ("deep" if i % 2 else "") / f"{i}.png", 1000 * label + i)
    return tmp_path / "photos"


def content(folder: Path) -> dict[str, Counter[str]]:
    """The sha256 of each file by class folder."""
    return {
        inner.name: Counter(hashlib.sha256(f.read_bytes()).hexdigest() for f in inner.rglob("*.png"))
        for inner in sorted(folder.iterdir())
    }


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as end:
        main(["data", "split", *arguments])
    return end.value.code


def test_each_file_is_in_one_split_in_the_order_of_its_hash(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = oncefit.split_images(photos, out, validation=0.2, report=0.1, calibration=10)
    before = content(photos)
    splits = {split: content(out / split) for split in ("train", "calibration", "validation", "report")}
    for name, count in AMOUNTS.items():
        validation, report = {"cat": (8, 4), "dog": (5, 3), "fox": (2, 1)}[name]
        ordered = sorted(before[name])
        assert sorted(splits["report"][name]) == ordered[:report]
        assert sorted(splits["validation"][name]) == ordered[report : report + validation]
        assert sorted(splits["train"][name]) == ordered[report + validation :]
        calibration = sorted(splits["calibration"][name])
        assert calibration == ordered[count - len(calibration) :]
        assert made.counts["train"][name] == count - report - validation
    assert 10 <= sum(made.counts["calibration"].values()) < 10 + len(AMOUNTS)
    assert {path.name for path in out.iterdir()} == {
        "train",
        "calibration",
        "validation",
        "report",
        "split.json",
    }


def test_neither_names_nor_copying_change_it(photos: Path, tmp_path: Path) -> None:
    first = oncefit.split_images(photos, tmp_path / "first")
    for i, file in enumerate(sorted(photos.rglob("*.png"))):
        file.rename(file.with_name(f"renamed{-i}.png"))
    second = oncefit.split_images(photos, tmp_path / "second")
    assert content(tmp_path / "first" / "report") == content(tmp_path / "second" / "report")
    assert first.to_dict()["sha256"] == second.to_dict()["sha256"]
    assert json.loads((tmp_path / "first" / "split.json").read_text())["counts"] == first.counts


def test_copies_stay_together(photos: Path, tmp_path: Path) -> None:
    """Whatever their number, and those of several classes are for training."""
    for i, file in enumerate(sorted((photos / "cat").rglob("*.png"))):
        for copy in range(i % 3):
            shutil.copy(file, file.with_name(f"copy{copy}-{file.name}"))
    shared = sorted((photos / "cat").rglob("*.png"))[0]
    shutil.copy(shared, photos / "dog" / "also.png")
    made = oncefit.split_images(photos, tmp_path / "out", validation=0.2, report=0.2)
    found = {split: content(tmp_path / "out" / split) for split in ("train", "validation", "report")}
    held = {
        split: {digest for of_class in classes.values() for digest in of_class}
        for split, classes in found.items()
    }
    assert not held["train"] & held["validation"]
    assert not held["train"] & held["report"]
    assert not held["validation"] & held["report"]
    assert hashlib.sha256(shared.read_bytes()).hexdigest() in held["train"]
    total = len(list(photos.rglob("*.png")))
    assert sum(sum(c.total() for c in classes.values()) for classes in found.values()) == total
    cats = len(list((photos / "cat").rglob("*.png")))
    assert found["report"]["cat"].total() == round(0.2 * cats)
    assert "in several classes (" in " ".join(made.told)
    assert "dog/also.png" in " ".join(made.told)


def test_a_class_of_copies_has_too_few_different_images(tmp_path: Path) -> None:
    for i in range(5):
        write_noise(tmp_path / "photos" / "cat" / f"{i}.png", i)
        write_noise(tmp_path / "photos" / "dog" / f"{i}.png", 77)
    with pytest.raises(oncefit.InputError, match=r"dog \(1\)"):
        oncefit.split_images(tmp_path / "photos", tmp_path / "out")


def test_large_groups_that_leave_a_split_empty_are_told(tmp_path: Path) -> None:
    for i in range(9):
        write_noise(tmp_path / "photos" / "cat" / f"{i}.png", i % 3)
        write_noise(tmp_path / "photos" / "dog" / f"{i}.png", 50 + i)
    with pytest.raises(oncefit.InputError, match="cat in validation, cat in report"):
        oncefit.split_images(tmp_path / "photos", tmp_path / "out")


def test_the_shares_are_exact_for_many_images() -> None:
    """By plain counting, for classes of 5,000 images as CIFAR's."""
    digests = {
        name: {f"{name}/{i}": hashlib.sha256(f"{name}{i}".encode()).hexdigest() for i in range(5000)}
        for name in ("a", "b")
    }
    plan = planned_split(FoundImages(Path(), digests, ()), Shares(calibration=400))
    assert {split: plan.count(split) for split in plan.files} == {
        "train": 8000, "calibration": 400, "validation": 1000, "report": 1000,
    }  # fmt: skip
    assert set(plan.files["calibration"]["a"]) <= set(plan.files["train"]["a"])


def test_links_take_no_room(photos: Path, tmp_path: Path) -> None:
    oncefit.split_images(photos, tmp_path / "linked", link=True)
    oncefit.split_images(photos, tmp_path / "copied")
    inodes = {file.stat().st_ino for file in photos.rglob("*.png")}
    assert {file.stat().st_ino for file in (tmp_path / "linked").rglob("*.png")} == inodes
    assert not {file.stat().st_ino for file in (tmp_path / "copied").rglob("*.png")} & inodes


def test_the_folder_is_one_that_the_other_commands_take(photos: Path, tmp_path: Path) -> None:
    oncefit.split_images(photos, tmp_path / "out")
    found = oncefit.check_data(tmp_path / "out")
    assert not [finding for finding in found.findings if finding.kind in ("layout", "leakage", "duplicates")]
    assert found.parts["report"].classes == {"cat": 4, "dog": 3, "fox": 1}
    assert found.parts["train"].images == found.parts["calibration"].images == 59
    file = next((tmp_path / "out" / "train" / "fox").rglob("*.png"))
    shutil.copy(file, tmp_path / "out" / "report" / "fox" / "leaked.png")
    leaks = [f for f in oncefit.check_data(tmp_path / "out").findings if f.kind == "leakage"]
    assert {f.told.partition(" (")[0] for f in leaks} == {"1 image of report"}
    assert len(leaks) == 2  # the training image is a calibration image too


@pytest.mark.parametrize("packed", ["tar", "gztar", "zip"])
def test_an_archive_is_split_as_its_folder(packed: str, photos: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), packed, tmp_path, "photos")
    of_folder, of_archive = (
        oncefit.split_images(s, tmp_path / o) for s, o in ((photos, "a"), (archive, "b"))
    )
    assert of_folder.to_dict()["sha256"] == of_archive.to_dict()["sha256"]
    assert content(tmp_path / "b" / "train") == content(tmp_path / "a" / "train")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def refused(said: str, source: Path = photos, target: Path = out, **settings: float) -> None:
        with pytest.raises(oncefit.InputError, match=said):
            oncefit.split_images(source, target, **settings)  # type: ignore[arg-type]
        assert not out.exists()
        assert not list(tmp_path.glob(".*"))

    refused("there is no ", tmp_path / "nowhere")
    refused("names no new folder", target=tmp_path / "new" / "..")
    refused("at most 255 are possible", target=tmp_path / ("o" * 250))
    refused("is inside", target=photos / "out")
    refused("is there already", target=photos)
    refused("--validation: got 0", validation=0.0)
    refused("--report: got 1.5", report=1.5)
    refused("less than a tenth to train on", validation=0.5, report=0.45)
    refused("--calibration: got 0", calibration=0)
    text = tmp_path / "text.tar"
    text.write_text("no archive")
    refused("neither a folder nor a TAR or ZIP", text)
    (photos / "fox" / "0.png").write_bytes(b"no image")
    refused(r"1 of 75 files cannot be decoded as images: .*fox/0\.png \(cannot identify")


def test_folders_that_are_no_classes_are_refused(photos: Path, tmp_path: Path) -> None:
    one = tmp_path / "one"
    shutil.copytree(photos / "cat", one / "cat")
    write_noise(one / "stray.png", 5)
    with pytest.raises(oncefit.InputError, match="one class, cat"):
        oncefit.split_images(one, tmp_path / "out")
    oncefit.split_images(photos, tmp_path / "split")
    with pytest.raises(oncefit.InputError, match="is split already"):
        oncefit.split_images(tmp_path / "split", tmp_path / "out")


def test_a_write_that_fails_leaves_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(oncefit.InputError, match="No space left"):
        oncefit.split_images(photos, tmp_path / "out")
    assert sorted(os.listdir(tmp_path)) == ["photos"]


def test_what_a_killed_one_left_is_removed_by_the_next(photos: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / ".out.partial" / "split" / "train" / "cat" / "stale.png", 1)
    oncefit.split_images(photos, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("stale.png"))
    assert sorted(os.listdir(tmp_path)) == ["out", "photos"]


def test_two_at_once_do_not_mix(photos: Path, tmp_path: Path) -> None:
    write_noise(tmp_path / ".out.partial" / "split" / "other.png", 1)
    with (
        locks.held(tmp_path / ".out.lock", ""),
        pytest.raises(oncefit.InputError, match=r"another process splits into .*out; wait"),
    ):
        oncefit.split_images(photos, tmp_path / "out")
    assert (tmp_path / ".out.partial" / "split" / "other.png").exists()


def test_the_command_says_counts(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "cat" / "notes.txt").write_text("")
    assert run(str(photos), "--out", str(tmp_path / "out"), "--report", "0.2") == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.split()}
    assert rows["class"] == ["train", "calibration", "validation", "report"]
    assert rows["cat"] == ["28", "28", "4", "8"]
    assert rows["all"] == ["52", "52", "8", "15"]
    assert "1 .txt" in printed
    assert run(str(photos), "--out", str(tmp_path / "other"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["counts"]["report"] == {"cat": 4, "dog": 3, "fox": 1}
