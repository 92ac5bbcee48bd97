"""Picking again from a run: what a look at all of its candidates finds, with nothing evaluated and its study untouched."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

import oncefit
from cost_models.device import Device
from cost_models.latency import latency_ms
from cost_models.protocol import Target
from search.runs.measuring import MeasuredAccuracy
from supernet import documents
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.images.data import Dataset
from tests.helpers.command_here import command_here
from tests.helpers.own_data import write_folders
from tests.helpers.tiny import all_archs, open_tiny, write_device

TRIALS = 25


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def supernet(home: Path) -> Supernet:
    return open_tiny(home)


class Judge:
    """Made-up accuracies that grow with the work of an arch, and how often each arch was asked for."""

    def __init__(self, supernet: Supernet) -> None:
        self.supernet, self.asked = supernet, Counter[str]()

    def __call__(self, arch: Arch) -> float:
        self.asked[arch.id] += 1
        return self.accuracy(arch)

    def accuracy(self, arch: Arch) -> float:
        work = sum(layer.macs for layer in self.supernet.layers(arch))
        return 0.5 + 0.3 * (work / 1e6) ** 0.3 + int(arch.id[:4], 16) / 2**16 / 200


@pytest.fixture(scope="module")
def judge(supernet: Supernet) -> Judge:
    return Judge(supernet)


@pytest.fixture(scope="module")
def run(home: Path, judge: Judge) -> oncefit.Run:
    """A search without a device, whose sampler goes everywhere; tests of it show that nothing changes it."""
    return oncefit.search(
        str(home / "tiny.yaml"), budgets={"macs": 1e9}, accuracy=judge, sampler="random", trials=TRIALS,
        out=home / "run",
    )  # fmt: skip


def rows(folder: Path) -> list[str]:
    """All that a study holds."""
    with sqlite3.connect(folder / "study.db") as database:
        return list(database.iterdump())


def archs_of(run: oncefit.Run) -> list[Arch]:
    archs = {arch.id: arch for arch in all_archs(run.result.run.supernet)}
    return [archs[arch_id] for arch_id in run.candidates.index]


def test_another_device_and_budget_give_what_a_look_at_all_candidates_gives(
    home: Path, supernet: Supernet, run: oncefit.Run, judge: Judge
) -> None:
    file, before = write_device(supernet, home / "phone.yaml"), rows(run.folder)
    files = {
        path: path.read_bytes()
        for path in run.folder.iterdir()
        if path.is_file() and "study.db" not in path.name
    }
    cost = latency_ms(Target(supernet, documents.read(file, Device)))
    limit = sorted(cost(arch) for arch in archs_of(run))[TRIALS // 2]
    asked = judge.asked.copy()
    found = oncefit.reselect(run, budgets={"latency_ms": limit}, device=str(file))
    within = [arch for arch in archs_of(run) if cost(arch) <= limit]
    assert found.folder == home / f"run-reselected-latency_ms{limit:.17g}-phone"
    assert set(found.candidates.index) == {arch.id for arch in within}
    assert found.chosen == max(within, key=judge.accuracy)
    for arch in within:
        assert found.candidates.loc[arch.id, "predicted_latency_ms"] == pytest.approx(cost(arch))
        assert found.candidates.loc[arch.id, "own_top1"] == judge.accuracy(arch)
    assert judge.asked == asked
    assert rows(run.folder) == before
    assert {path: path.read_bytes() for path in files} == files
    told = found.to_dict()["reselected_from"]
    assert (told["candidates"], told["within"]) == (TRIALS, len(within))


def test_it_is_a_run_that_a_search_goes_on_from(home: Path, run: oncefit.Run, judge: Judge) -> None:
    limit = float(run.candidates["predicted_macs"].median())
    found = oncefit.reselect(run, budgets={"macs": limit})
    count, asked = len(found.candidates), judge.asked.copy()
    again = oncefit.reselect(str(run.folder), budgets={"macs": limit})  # changes nothing
    assert list(again.candidates.index) == list(found.candidates.index)
    more = oncefit.search(
        config=found.folder / "config.yaml", supernet=str(home / "tiny.yaml"), accuracy=judge, out=found.folder,
        trials=count + 3,
    )  # fmt: skip
    assert set(found.candidates.index) < set(more.candidates.index)
    assert len(more.candidates) == count + 3
    assert sum(judge.asked.values()) == sum(asked.values()) + 3
    assert (more.candidates["predicted_macs"] <= limit).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "nothing is asked for that .* was not searched with; give --budget COST=NUMBER, --device NAME"),
        ({"budgets": {"macs": 1e9}}, "nothing is asked for"),
        ({"budgets": {"mac": 1e5}}, "unknown cost in reselect: 'mac'.* Did you mean 'macs'"),
        ({"budgets": {"macs": -1}}, "must be positive"),
        ({"budgets": {"latency_ms": 1}}, "latency_ms needs a device"),
        ({"device": "none-such"}, "unknown device"),
        ({"budgets": {"macs": 1e8}, "measure": -1}, "--measure: got -1; give 0 or more"),
        ({"budgets": {"macs": 1e8}, "measure": 2}, r"the accuracies of .* are not measured \(own\); leave it out"),
        ({"budgets": {"macs": 1e8}, "out": "run"}, "is the run itself, whose study stays as it is"),
        ({"budgets": {"macs": 1e8}, "out": "other"}, "is not empty and not a run"),
    ],
)  # fmt: skip
def test_what_is_refused(given: dict, message: str, tmp_path: Path, run: oncefit.Run) -> None:
    out = run.folder if given.get("out") == "run" else tmp_path / "other"
    if given.get("out") == "other":
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=message):
        oncefit.reselect(run, **{**given, "out": out})
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == (
        ["notes.txt"] if given.get("out") == "other" else []
    )


def test_images_that_are_not_here_are_refused_before_they_are_in_a_config(run: oncefit.Run) -> None:
    with pytest.raises(InputError, match=r"unknown data set .* 'nowhere'"):
        oncefit.open_run(run.folder, data="nowhere")


def test_a_search_of_its_own_is_left_as_it_is(
    home: Path, tmp_path: Path, run: oncefit.Run, judge: Judge
) -> None:
    asked: dict = {"budgets": {"macs": 1e8}, "out": tmp_path / "search"}
    oncefit.search(str(home / "tiny.yaml"), accuracy=judge, sampler="random", trials=2, **asked)
    before = rows(tmp_path / "search")
    with pytest.raises(InputError, match="holds a search of its own, and is left as it is"):
        oncefit.reselect(run, **asked)
    assert rows(tmp_path / "search") == before


@pytest.fixture(scope="module")
def predicted(home: Path) -> oncefit.Run:
    """Its candidates are just within the budget, far above the least that can be reached."""
    return oncefit.search(config="imagenet-macs", budgets={"macs": 200e6}, trials=2, out=home / "predicted")


def test_a_predicted_run_tells_how_far_the_best_prediction_can_be(predicted: oncefit.Run) -> None:
    figures = oncefit.reselect(predicted, budgets={"macs": 300e6}).to_dict()
    assert figures["upper_bound_gap_points"] > predicted.to_dict()["upper_bound_gap_points"]
    problem, predictor = predicted.result.run.problem, predicted.result.run.predictor
    assert predictor is not None
    codes = problem.space.sample(2_000, np.random.default_rng(0))
    top1 = predictor.predict(problem.space, codes[problem.totals(codes)[:, 0] <= 300e6]).top1
    assert figures["upper_bound_top1"] > top1.max() > predicted.candidates["predicted_top1"].max()


def test_where_no_candidate_is_within_the_nearest_is_named_and_what_would_do(
    home: Path, predicted: oncefit.Run
) -> None:
    before, costs = sorted(home.iterdir()), predicted.candidates["predicted_macs"]
    with pytest.raises(InputError) as caught:
        oncefit.reselect(predicted, budgets={"macs": 150e6})
    for part in (
        f"none of the 2 candidates of {predicted.folder} is within the budget macs <= 1.5e+08; the nearest is arch "
        f"{costs.idxmin()}: macs {costs.min():.6g} ({100 * costs.min() / 150e6 - 100:.0f} % over)",
        "which would do with --budget macs=",
        "The space has subnets within, as arch ",
        f"oncefit search {predicted.folder / 'config.yaml'} --budget macs=1.5e+08 --out {predicted.folder}-reselected",
    ):
        assert part in str(caught.value), part
    with pytest.raises(InputError, match=r"no subnet of ofa_mbv3_w1\.0 reaches it; the smallest is"):
        oncefit.reselect(predicted, budgets={"macs": 10e6})
    assert sorted(home.iterdir()) == before


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    return command_here(capsys)


def test_the_command_measures_only_the_best_on_the_report_split_and_its_bundle_is_sound(
    tmp_path: Path, data: Dataset, here: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, config = write_folders(data, tmp_path / "own"), tmp_path / "mine.yaml"
    config.write_text(
        yaml.safe_dump({"supernet": "fmnist_mbv3", "data": str(own), "sampler": "random", "trials": 3})
    )
    here("search", config, "--out", tmp_path / "run", "--json")
    run = oncefit.open_run(tmp_path / "run")
    limit = float(run.candidates["predicted_macs"].nlargest(2).iloc[1])
    known, measured = set(run.result.reports), []
    by_part = MeasuredAccuracy.hits_by_part

    def counted(self: MeasuredAccuracy, subnet: object, arch: Arch, split: str, parts: object) -> object:
        measured.append((arch.id, split))
        return by_part(self, subnet, arch, split, parts)  # type: ignore[arg-type]

    monkeypatch.setattr(MeasuredAccuracy, "hits_by_part", counted)
    out = ("--out", tmp_path / "again")
    found = json.loads(
        here("reselect", tmp_path / "run", "--budget", f"macs={limit}", "--measure", 0, *out, "--json")
    )
    assert measured == []
    other = tmp_path / "other"
    shutil.copytree(own, other)
    next((other / "validation").rglob("*.png")).unlink()
    with pytest.raises(
        InputError, match=r"measured on images with sha256 .* give the run's own images with --data"
    ):
        oncefit.reselect(
            oncefit.open_run(tmp_path / "run", data=other),
            budgets={"macs": limit},
            measure=0,
            out=tmp_path / "no",
        )
    assert not (tmp_path / "no").exists()
    shutil.copytree(own, tmp_path / "moved")
    moved = oncefit.open_run(tmp_path / "run", data=tmp_path / "moved")
    oncefit.reselect(moved, budgets={"macs": limit}, measure=0, out=tmp_path / "elsewhere")
    assert measured == []
    assert found["reselected_from"]["within"] == 2
    told = here("reselect", tmp_path / "run", "--budget", f"macs={limit}", "--measure", 2, *out, "--bundle")
    within = run.candidates[run.candidates["predicted_macs"] <= limit]
    best = within.sort_values(["validation_top1", "predicted_macs"], ascending=[False, True]).index[:2]
    assert set(measured) == {(arch_id, "report") for arch_id in best if arch_id not in known}
    assert all(arch_id in told for arch_id in best)
    assert f"Picked from 3 candidates of {tmp_path / 'run'}, 2 of them within" in " ".join(told.split())
    assert (
        f"oncefit search {tmp_path / 'again' / 'config.yaml'} --out {tmp_path / 'again'} --trials 5" in told
    )
    card = oncefit.open_bundle(tmp_path / "again" / "bundles" / best[0]).card
    assert card.figures.measured["validation"]["top1"] == within.loc[best[0], "validation_top1"]
