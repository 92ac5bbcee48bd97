"""Every long job, killed with -9 at random moments: it goes on, and ends as one that was not.

``make test-faults`` kills each fifty times, ``make test-slow`` :data:`FEW` times. Run with ``-s`` for what was counted.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from cost_models.device import Device
from supernet import documents
from supernet.bundles.bundle import open_bundle
from supernet.documents import CONFIGS
from supernet.downloads import content_of
from supernet.formats.registry import EXPORT_FORMATS, export_format
from supernet.images.data import Dataset
from supernet.weights.kept_weights import HASH_DIGITS, Record
from supernet.weights.stored_weights import PRETRAINED
from tests.helpers.digits import write_digits
from tests.helpers.killing import Job, ended, killed_at_random
from tests.helpers.loopback import Site, serving
from tests.helpers.own_data import write_folders
from tests.helpers.own_supernet import write_own
from tests.helpers.tiny import open_tiny

FEW = 5
KILLS = int(os.environ.get("ONCEFIT_KILLS", FEW))
SEED = 17
MACS = 2.0e6
FORMATS = [name for name in EXPORT_FORMATS if not export_format(name).missing()]


# -- searches ------------------------------------------------------------------


def trials_of(folder: Path, key: str) -> list[tuple[str, float, dict[str, Any]]]:
    """Arch id, value and the attribute ``key`` of every finished trial, by plain SQL."""
    query = (
        "select a.value_json, v.value, b.value_json from trials t "
        "join trial_user_attributes a on a.trial_id = t.trial_id and a.key = 'arch_id' "
        "left join trial_values v on v.trial_id = t.trial_id "
        "left join trial_user_attributes b on b.trial_id = t.trial_id and b.key = ? "
        "where t.state = 'COMPLETE' order by t.number"
    )
    database = folder / "run" / "study.db"
    if not database.is_file():
        return []
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        try:
            rows = connection.execute(query, (key,)).fetchall()
        except sqlite3.OperationalError:  # the tables are not there yet
            return []
    return [(json.loads(arch), value, json.loads(judged)) for arch, value, judged in rows]


def check_run_files(folder: Path) -> None:
    """What is there of the files of a run is whole."""
    run = folder / "run"
    if (file := run / "config.yaml").is_file():
        assert yaml.safe_load(file.read_text())["trials"]
    if (file := run / "result.json").is_file():
        assert json.loads(file.read_text())["chosen"]["arch_id"]
    if (file := run / "front.csv").is_file():
        assert len({len(row) for row in csv.reader(file.read_text().splitlines())}) == 1
    if (file := run / "front.png").is_file():
        assert file.read_bytes().endswith(b"IEND\xaeB`\x82")


def measured_search(folder: Path, data: Dataset, _: Site) -> Job:
    return search_of(folder, data)


def search_of(folder: Path, data: Dataset, *more: object) -> Job:
    images, trials = write_folders(data, folder / "images"), 12
    config = folder / "mine.yaml"
    config.write_text(f"supernet: fmnist_mbv3\ndata: {images}\nbudgets: {{macs: {MACS}}}\ntrials: {trials}\n")
    seen: dict[str, float] = {}

    def is_sound(place: Path) -> None:
        check_run_files(place)
        for arch, value, accuracy in trials_of(place, "validation"):
            assert accuracy["top1"] == value == seen.setdefault(arch, value), "the same in all folders"

    def finished(place: Path) -> list[str]:
        return [arch for arch, _, _ in trials_of(place, "validation")]

    def result(place: Path) -> int:
        chosen = json.loads((place / "run" / "result.json").read_text())["chosen"]
        assert chosen["measured"]["validation"]["top1"] == max(seen[arch] for arch in finished(place))
        return len(finished(place))

    return Job(("search", config, "--out", "run", *more), result, is_sound, finished)


def search_by_workers(folder: Path, data: Dataset, _: Site) -> Job:
    return search_of(folder, data, "--workers", 2)


def predicted_search(folder: Path, _data: Dataset, _site: Site) -> Job:
    def finished(place: Path) -> list[tuple[str, float]]:
        return [(arch, value) for arch, value, _ in trials_of(place, "predicted")]

    def result(place: Path) -> object:
        told = json.loads((place / "run" / "result.json").read_text())
        return finished(place), told["chosen"], told["front"]

    config = CONFIGS / "searches" / "imagenet-macs.yaml"
    return Job(("search", config, "--budget", "macs=2e8", "--out", "run"), result, check_run_files, finished)


# -- training ------------------------------------------------------------------


def training(folder: Path, _data: Dataset, _site: Site) -> Job:
    recipe = write_own(folder / "recipe", epochs=6)
    digits = write_digits(folder / "digits", 30, 30)

    def finished(place: Path) -> list[tuple[str, ...]]:
        """Rows of the learning curve, without the seconds."""
        file = place / "out" / "learning_curve.csv"
        rows = list(csv.reader(file.read_text().splitlines())) if file.is_file() else []
        return [(*row[:2], *row[3:]) for row in rows]

    def result(place: Path) -> object:
        weights = load_file(place / "out" / "supernet.safetensors")
        assert yaml.safe_load((place / "out" / "supernet.yaml").read_text())["weights"]["sha256"]
        return finished(place), {name: value.numpy().tobytes() for name, value in weights.items()}

    def is_sound(place: Path) -> None:
        if (file := place / "out" / "supernet.safetensors").is_file():
            assert load_file(file)

    return Job(("train", recipe, "--data", digits, "--out", "out"), result, is_sound, finished)


# -- export --------------------------------------------------------------------


def exporting(folder: Path, data: Dataset, _: Site) -> Job:
    """Of every second folder over a bundle of another subnet, in fewer formats."""
    whole = folder / "whole"
    whole.mkdir()
    search = search_of(folder, data)
    assert ended(search, whole, None)
    old = Job(("export", "run", "--pick", "knee", "--out", "bundle", "--format", "openvino"), None)
    assert ended(old, whole, None)
    files = content_of(whole / "bundle" / "card.json")

    def begin(place: Path, number: int) -> None:
        shutil.copytree(whole / "run", place / "run")
        if number % 2:
            shutil.copytree(whole / "bundle", place / "bundle")

    def is_sound(place: Path) -> None:
        card = place / "bundle" / "card.json"
        if (place / "bundle").exists():
            found = open_bundle(place / "bundle")
            formats = ["openvino"] if content_of(card) == files else FORMATS
            assert sorted(found.card.formats) == sorted(formats)

    def result(place: Path) -> object:
        card = open_bundle(place / "bundle").card
        same = {
            name: of for name, of in card.files.items() if name.endswith((".safetensors", ".onnx", ".py"))
        }
        return card.arch_id, sorted(card.formats), sorted(card.files), same, card.figures.measured["report"]

    formats = ",".join(FORMATS)
    return Job(("export", "run", "--out", "bundle", "--format", formats), result, is_sound, begin=begin)


# -- downloads -----------------------------------------------------------------


def downloading(folder: Path, _: Dataset, site: Site) -> Job:
    keys = yaml.safe_load((CONFIGS / "supernets" / "fmnist_mbv3.yaml").read_text())
    path = folder / "elsewhere.yaml"
    path.write_text(yaml.safe_dump({**keys, "name": "elsewhere", "weights": None}))
    published = (PRETRAINED / "fmnist_mbv3.safetensors").read_bytes()

    def is_sound(place: Path) -> None:
        weights = place / "cache" / "weights"
        for partial in weights.glob("*.partial"):
            if "checkpoint" in partial.name:
                assert published.startswith(partial.read_bytes())
        if (weights / "elsewhere.yaml").is_file():
            result(place)

    def result(place: Path) -> object:
        record = documents.read(place / "cache" / "weights" / "elsewhere.yaml", Record)
        kept = f"elsewhere.{record.weights.sha256[:HASH_DIGITS]}.safetensors"
        assert content_of(place / "cache" / "weights" / kept) == record.weights
        return record.checkpoint, record.weights

    site.files["/net"], site.pause_s = published, 0.05
    arguments = ("weights", "fetch", path, "--from", f"{site.url}/net", "--cache-dir", "cache")
    return Job(arguments, result, is_sound)


# -- devices -------------------------------------------------------------------


def fitting_device(folder: Path, _data: Dataset, _site: Site) -> Job:
    """Of every second folder over one that was fitted before."""
    open_tiny(folder)
    arguments = (
        "profile", "mine", "--supernet", folder / "tiny.yaml", "--samples", 6, "--even-busy", "--refresh", "--out", "mine.yaml",
    )  # fmt: skip

    def result(place: Path) -> object:
        device = documents.read(place / "mine.yaml", Device)
        assert device.measurements is not None
        assert device.fitted is not None
        return device.name, [subnet.arch for subnet in device.measurements.subnets]

    def is_sound(place: Path) -> None:
        if (place / "mine.yaml").exists():
            result(place)

    def begin(place: Path, number: int) -> None:
        if number > 1 and number % 2:
            shutil.copy(place.parent / "0" / "mine.yaml", place)

    return Job(arguments, result, is_sound, begin=begin)


JOBS: dict[str, Callable[[Path, Dataset, Site], Job]] = {
    "search": measured_search, "search by workers": search_by_workers, "predicted search": predicted_search,
    "training": training, "export": exporting, "download": downloading, "device": fitting_device,
}  # fmt: skip


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_is_killed_goes_on(name: str, data: Dataset, site: Site, tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    print(f"\n{name}: {killed_at_random(JOBS[name](given, data, site), KILLS, SEED, tmp_path)}")
