"""Disks that are full, and folders that are read-only: told in a sentence, and what was finished stays."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from cost_models.device import Device
from cost_models.device_files import write_device
from search.cli.app import main
from search.runs.trials import search
from supernet import documents
from supernet.atomic import LEFT_S, swap, whole
from supernet.bundles.bundle import replace_folder
from supernet.downloads import download
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from supernet.training.training_state import load_state, save_state
from tests.helpers.disks import Disk, small_disk
from tests.helpers.free_search import FreeRun, free_run, judged
from tests.helpers.loopback import serving
from tests.helpers.tiny import open_tiny
from tests.helpers.tiny import write_device as write_known_device

IDENTITY = {"network": "any"}
Refused = Callable[..., str]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command in this process that must be refused; returns what it says."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(map(str, arguments)))
        said = capsys.readouterr().err
        assert end.value.code == 2, said
        return said.splitlines()[-1]

    return run


def none(_: object) -> None:
    """Nobody looks at the progress."""


# -- full ----------------------------------------------------------------------


@pytest.mark.parametrize(("storage", "told"), [
    pytest.param(
        "folder", r"study.db: database or disk is full; its disk is full: make room; nothing that was finished is lost",
        marks=pytest.mark.slow,
    ),
    ("journal", r"cannot write .*run.journal: No space left on device; mend that, and the same command goes on"),
])  # fmt: skip
def test_a_search_goes_on_when_there_is_room_again(
    storage: str, told: str, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = free_run(disk.folder / "run", "random", 9, storage), FreeRun.judge

    def filling(self: FreeRun, arch: object) -> object:
        found = real(self, arch)
        if sum(judged(self.folder).values()) == 4:
            disk.fill(100)
        return found

    monkeypatch.setattr(FreeRun, "judge", filling)
    with pytest.raises(InputError, match=told):
        search(run, none)
    disk.empty()
    finished = {trial.user_attrs["arch_id"] for trial in run.study().trials if trial.state.name == "COMPLETE"}
    assert len(finished) >= 3
    before = judged(run.folder)
    monkeypatch.setattr(FreeRun, "judge", real)
    search(run, none)
    complete = [trial for trial in run.study().trials if trial.state.name == "COMPLETE"]
    assert len({trial.user_attrs["arch_id"] for trial in complete}) == len(complete) == 9
    again = judged(run.folder) - before
    assert not finished & again.keys(), "what was finished is not done again"


def test_a_training_keeps_its_last_state(disk: Disk) -> None:
    path = disk.folder / "supernet.checkpoint"
    save_state(path, IDENTITY, {"step": 1, "weights": torch.ones(10_000)})
    disk.fill(20_000)
    with pytest.raises(InputError, match=r"cannot write .*supernet.checkpoint: No space left on device"):
        save_state(path, IDENTITY, {"step": 2, "weights": torch.ones(10_000)})
    assert load_state(path, IDENTITY, "training")["step"] == 1
    assert [file.name for file in disk.folder.iterdir() if file.name.startswith(".")] == []


@pytest.mark.slow
def test_a_bundle_is_not_left_half_written(disk: Disk, refused: Refused, tmp_path: Path) -> None:
    supernet = open_supernet("fmnist_mbv3")
    arch = tmp_path / "arch.json"
    arch.write_text(json.dumps(supernet.space.smallest().to_dict()))
    disk.fill(300_000)
    told = refused("export", "fmnist_mbv3", "--pick", arch, "--uncalibrated", "--out", disk.folder / "bundle")
    assert f"cannot write {disk.folder}/" in told
    assert "No space left on device; choose another folder with --out" in told
    assert [path.name for path in disk.folder.iterdir()] == ["filler"]


def test_a_download_goes_on_where_it_stopped(disk: Disk) -> None:
    content = bytes(range(256)) * 2_000
    with serving() as site:
        site.files["/net"] = content
        disk.fill(200_000)
        with pytest.raises(InputError, match=r"cannot write .*partial: No space left on device"):
            download(f"{site.url}/net", disk.folder / "net", lambda *_: None)
        assert not (disk.folder / "net").exists()
        disk.empty()
        download(f"{site.url}/net", disk.folder / "net", lambda *_: None)
        assert (disk.folder / "net").read_bytes() == content
        assert site.ranges_seen()[0] is None
        assert site.ranges_seen()[1] is not None, "what was here was not asked for again"


def test_a_device_is_not_left_half_written(disk: Disk, tmp_path: Path) -> None:
    device = documents.read(write_known_device(open_tiny(tmp_path), tmp_path / "known.yaml"), Device)
    path = disk.folder / "known.yaml"
    write_device(device, path)
    disk.fill(4096)
    with pytest.raises(InputError, match=r"cannot write .*known.yaml: No space left on device"):
        write_device(device.model_copy(update={"name": "other"}), path)
    assert documents.read(path, Device) == device


# -- read-only -----------------------------------------------------------------


@pytest.mark.slow
def test_a_read_only_folder_is_told_before_anything_is_done(
    disk: Disk, refused: Refused, tmp_path: Path
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("supernet: fmnist_mbv3\nbudgets: {macs: 2.0e+6}\n")
    disk.become("ro")
    below = disk.folder / "below"
    for arguments in (
        ("search", config, "--out", below),
        ("train", "configs/training/fmnist_mbv3.yaml", "--out", below),
        ("profile", "mine", "--out", below / "mine.yaml"),
    ):
        assert f"{disk.folder} is read-only" in refused(*arguments)
    told = refused("weights", "fetch", "ofa_mbv3_w1.0", "--cache-dir", below)
    assert (
        f"cannot write {below / 'weights'}: Read-only file system; name another folder with --cache-dir"
        in told
    )


@pytest.mark.slow
def test_a_read_only_run_says_to_copy_it(disk: Disk, tmp_path: Path) -> None:
    """SQLite cannot read it there: it writes beside the file."""
    made = free_run(tmp_path / "run", "random", 3, "folder")
    search(made, none)
    shutil.copytree(made.folder, disk.folder / "run", ignore=shutil.ignore_patterns("study.db*"))
    with (
        closing(sqlite3.connect(made.folder / "study.db")) as here,
        closing(sqlite3.connect(disk.folder / "run" / "study.db")) as there,
    ):
        here.backup(there)  # as a process that ended leaves it
    run = free_run(disk.folder / "run", "random", 3, "folder")
    disk.become("ro")
    with pytest.raises(
        InputError, match="its folder is read-only, and SQLite writes beside what it reads: copy the run's"
    ):
        run.study()
    with pytest.raises(InputError, match="read-only"):
        search(run, none)
    copied = free_run(Path(shutil.copytree(run.folder, tmp_path / "copy")), "random", 3, "folder")
    assert len(copied.study().trials) == 3


# -- what kills leave ----------------------------------------------------------


def test_what_a_kill_left_is_removed_a_day_later(tmp_path: Path) -> None:
    old, fresh, foreign = (
        tmp_path / name for name in (".a.txt.7.partial", ".a.txt.8.partial", ".b.txt.7.partial")
    )
    for path in (old, fresh, foreign):
        path.mkdir()
        (path / "weights").write_text("half of them")
    for path in (old, foreign):
        os.utime(path, (time.time() - LEFT_S - 60,) * 2)
    with whole(tmp_path / "a.txt") as partial:
        partial.write_text("whole")
    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "a.txt", fresh, foreign]), (
        "another machine may be at the one, and the other is of another file"
    )


def test_a_bundle_is_replaced_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between two steps would leave no bundle."""
    new, folder = tmp_path / "new", tmp_path / "bundle"
    for path in (new, folder):
        path.mkdir()
        (path / "card.json").write_text(path.name)
    if not swap(new, folder):
        pytest.skip("this system cannot exchange two folders")
    swap(new, folder)

    def renamed(*_: object) -> None:
        raise AssertionError("there is a moment without a bundle")

    monkeypatch.setattr(Path, "rename", renamed)
    replace_folder(new, folder)
    assert (folder / "card.json").read_text() == "new"
    assert (new / "card.json").read_text() == "bundle"
