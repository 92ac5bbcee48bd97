"""Studies that are removed while they are searched, damaged, or made by an older Optuna."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml
from safetensors.torch import load_file, save_file

import oncefit
from search.proposing.following import storage_of
from search.runs.journal_file import cut_unfinished
from search.runs.storage_urls import open_storage
from search.runs.trials import search
from supernet.archs.arch import Arch
from supernet.documents import CONFIGS
from supernet.errors import InputError
from supernet.images.data import Dataset
from supernet.weights.stored_weights import PRETRAINED
from tests.helpers.free_search import FreeRun, free_run
from tests.helpers.own_data import write_folders
from tests.helpers.paths import ROOT

TRIALS = 5


def none(_: object) -> None:
    """Nobody looks at the progress."""


def delete_study(run: FreeRun) -> None:
    storage, _ = storage_of(run.study())
    [name] = optuna.get_all_study_names(storage)
    optuna.delete_study(study_name=name, storage=storage)


def remove_file(run: FreeRun) -> None:
    for path in (*run.folder.glob("study.db*"), *run.folder.parent.glob("*.journal")):
        path.rename(path.with_name(f"{path.name}.away"))


def put_back(run: FreeRun) -> None:
    for path in (*run.folder.glob("*.away"), *run.folder.parent.glob("*.away")):
        path.rename(path.with_suffix(""))


def does_at(place: int, act: Callable[[FreeRun], None], monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Do something in the middle of a trial; returns what tells how many were judged."""
    real, calls = FreeRun.judge, 0

    def judge(self: FreeRun, arch: Arch) -> object:
        nonlocal calls
        calls += 1
        if calls == place:
            act(self)
        return real(self, arch)

    monkeypatch.setattr(FreeRun, "judge", judge)
    return lambda: calls


@pytest.mark.parametrize(("storage", "act", "told"), [
    pytest.param("folder", delete_study, "was deleted while it was searched; search again in another folder", marks=pytest.mark.slow),
    pytest.param("journal", delete_study, "was deleted while it was searched; search again in another folder", marks=pytest.mark.slow),
    pytest.param("folder", remove_file, "study.db was removed: put it back, or search again", marks=pytest.mark.slow),
    ("journal", remove_file, "run.journal was removed: put it back, or search again"),
])  # fmt: skip
def test_a_study_that_is_removed_under_a_worker_ends_it_at_once(
    storage: str, act: Callable[[FreeRun], None], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it would evaluate on would be lost."""
    run = free_run(tmp_path / "run", "random", TRIALS, storage)
    judged = does_at(3, act, monkeypatch)
    with pytest.raises(InputError, match=told):
        search(run, none)
    assert judged() == 3
    if act is remove_file:
        put_back(run)
        search(run, none)
        found = [t.user_attrs["arch_id"] for t in run.study().trials if t.state.name == "COMPLETE"]
        assert len(set(found)) == len(found) == TRIALS


# -- older ---------------------------------------------------------------------


def restored(version: str, folder: Path) -> str:
    """The URL of a database as that Optuna made it: a study of two trials."""
    path = folder / "study.db"
    with sqlite3.connect(path) as connection:
        connection.executescript((ROOT / "tests" / "data" / f"optuna-{version}.sql").read_text())
    return f"sqlite:///{path}"


def test_the_database_of_an_older_optuna_is_upgraded_as_the_message_says(tmp_path: Path) -> None:
    url = restored("3.1.1", tmp_path)
    with pytest.raises(InputError) as error:
        open_storage(url)
    assert "which an older Optuna made" in str(error.value)
    assert str(error.value).endswith(f"optuna storage upgrade --storage {url}")
    # which is what that command does
    optuna.storages.RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True).upgrade()
    assert len(optuna.load_study(study_name="mine", storage=open_storage(url)).trials) == 2


def test_the_database_of_an_optuna_with_the_same_tables_is_taken_as_it_is(tmp_path: Path) -> None:
    assert (
        len(optuna.load_study(study_name="mine", storage=open_storage(restored("4.0.0", tmp_path))).trials)
        == 2
    )


# -- damaged -------------------------------------------------------------------


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Of a search of three trials."""
    search(free_run(tmp_path / "run", "random", 3, "journal"), none)
    return tmp_path / "run.journal"


def complete(journal: Path) -> list[str]:
    run = free_run(journal.with_suffix(""), "random", TRIALS, "journal")
    search(run, none)
    return [t.user_attrs["arch_id"] for t in run.study().trials if t.state.name == "COMPLETE"]


def test_a_line_without_its_end_does_no_harm(journal: Path) -> None:
    """As a process that died, or a full disk, leaves one."""
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":8,"worker_id":"' + b"x" * 70_000)
    found = complete(journal)
    assert journal.read_bytes().startswith(whole)
    assert len(set(found)) == len(found) == TRIALS


@pytest.mark.parametrize("content", [b"", b"no end", b"one\n", b"one\ntwo", b"one\n" + b"x" * (1 << 17)])
def test_whole_lines_are_kept(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    cut_unfinished(path)
    assert path.read_bytes() == (b"one\n" if b"\n" in content else b"")


@pytest.mark.parametrize("damage", [
    b"{}}\n",
    *(pytest.param(one, marks=pytest.mark.slow) for one in (b"\0" * 8 + b"\n", b"[1]\n", b'{"op_code": 4, "wor\n')),
])  # fmt: skip
def test_a_damaged_line_is_named(damage: bytes, journal: Path, tmp_path: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:30], damage, *lines[31:]]))
    with pytest.raises(InputError) as error:
        complete(journal)
    told = str(error.value)
    assert f"line 31 of {journal} is damaged: " in told
    assert f"head -n 30 {journal} > NEW, and move NEW to its place" in told
    journal.write_bytes(b"".join(lines[:30]))  # as it says
    assert len(set(complete(journal))) == TRIALS


def test_operations_of_another_version_are_told(journal: Path) -> None:
    with journal.open("ab") as file:
        file.write(b'{"op_code": 99, "worker_id": "x"}\n')
    with pytest.raises(InputError, match=r"cannot use the storage journal:///.*run.journal: "):
        complete(journal)


@pytest.mark.slow
def test_a_worker_with_other_weights_is_refused(data: Dataset, tmp_path: Path) -> None:
    images, url = write_folders(data, tmp_path / "images"), f"{tmp_path}/mine.journal"
    config = tmp_path / "mine.yaml"
    config.write_text(f"supernet: fmnist_mbv3\ndata: {images}\nbudgets: {{macs: 2.0e+6}}\ntrials: 2\n")
    oncefit.search(config=config, out=tmp_path / "run", storage=url, study="mine")
    weights = load_file(PRETRAINED / "fmnist_mbv3.safetensors")
    weights["classifier.bias"] += 1
    save_file(weights, tmp_path / "other.safetensors")
    sha256 = hashlib.sha256((tmp_path / "other.safetensors").read_bytes()).hexdigest()
    keys = yaml.safe_load((CONFIGS / "supernets" / "fmnist_mbv3.yaml").read_text())
    (tmp_path / "other.yaml").write_text(
        yaml.safe_dump({**keys, "weights": {"file": "other.safetensors", "sha256": sha256}})
    )
    with pytest.raises(
        InputError, match=rf"cannot work on the study 'mine', which is of the weights \w+ \(here: {sha256}\)"
    ):
        oncefit.work(storage=url, study="mine", supernet=tmp_path / "other.yaml")


@pytest.mark.slow
def test_a_damaged_database_is_told(tmp_path: Path) -> None:
    run = free_run(tmp_path / "run", "random", 3, "folder")
    search(run, none)
    content = bytearray((run.folder / "study.db").read_bytes())
    content[4096 * 3 :] = bytes(len(content) - 4096 * 3)
    (run.folder / "study.db").write_bytes(content)
    with pytest.raises(
        InputError, match=r"study.db: database disk image is malformed; the file is damaged: put back a copy"
    ):
        search(run, none)
