"""Runs told apart by the images that their subnets get right: kept, checked, compared, and a gate for integration."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from rich.console import Console

import oncefit
from search.reports.comparing.compare import tables
from search.runs import study as studies
from search.runs.measuring import MeasuredAccuracy
from search.runs.opening import open_run
from search.runs.racing import packed, packed_bits
from search.runs.report_hits import kept_hits, report_hits
from search.runs.results import settled
from supernet.accuracy import Accuracy, mcnemar
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from supernet.images.data import Dataset
from tests.helpers.commands import Here
from tests.helpers.own_data import write_folders
from tests.helpers.own_predictor import write_mlp
from tests.helpers.paths import ROOT

Copied = Callable[..., Path]


MADE = {
    "a": {"seed": 0},
    "b": {"seed": 1},
    "c": {"seed": 2, "sampler": "nsga2"},
    "d": {"seed": 3, "sampler": "nsga2"},
    "e": {"seed": 4, "sampler": "tpe"},
}
"""Searches by name: of two trials each, on fifty images a split."""


@pytest.fixture(scope="module")
def made(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of them."""
    folder = tmp_path_factory.mktemp("made")
    own = write_folders(data, folder / "own")
    for name, keys in MADE.items():
        oncefit.search(
            supernet="fmnist_mbv3", data=str(own), objectives=["top1", "macs"], out=folder / name,
            **({"sampler": "random", "trials": 2} | keys),
        ).write()  # fmt: skip
    return folder


@pytest.fixture
def copied(here: Here, made: Path) -> Copied:
    """Copies one of these runs into the working directory, under a name."""

    def copy(name: str, to: str | None = None) -> Path:
        return Path(shutil.copytree(made / name, to or name))

    return copy


def rewrite(folder: Path, shares: float, images: int = 2_000, seed: int = 0) -> None:
    """As if all subnets had been measured on many images, where they get so many right, almost all the same ones."""
    run = open_run(folder)
    study = run.study()
    easy = np.random.default_rng(0).permutation(images)
    for candidate in settled(run, study):
        bits = easy < shares * images
        bits[np.random.default_rng([seed, candidate.number]).integers(0, images, 10)] ^= True
        top1 = float(bits.mean())
        measured = Accuracy("report", images, top1, 1, top1 - 0.02, top1 + 0.02, 1, 1)
        studies.save(study, candidate.arch, measured, packed(bits))


def found_in(out: str) -> dict:
    return {(one["about"], one.get("budget")): one for one in json.loads(out)["significance"]["verdicts"]}


def test_a_search_keeps_which_report_images_are_right_and_compare_evaluates_none(
    copied: Copied, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [copied("a"), copied("b")]
    kept = []
    for folder in runs:
        run = open_run(folder)
        study = run.study()
        result = json.loads((folder / "result.json").read_text())
        found = report_hits(run, study)
        chosen = result["chosen"]
        assert found.of[chosen["arch_id"]].sum() == round(50 * chosen["measured"]["report"]["top1"])
        assert found.images == 50
        kept.append(found.of[chosen["arch_id"]])
    monkeypatch.setattr(MeasuredAccuracy, "race", lambda *_: pytest.fail("a subnet was evaluated again"))
    verdicts = found_in(here("compare", *runs, "--json")[0])
    one = verdicts["chosen subnet", None]
    expected = mcnemar(int((kept[0] & ~kept[1]).sum()), int((kept[1] & ~kept[0]).sum()))
    assert one["p_value"] == expected.p_value
    assert one["difference"] == pytest.approx((kept[1].mean() - kept[0].mean()) * len(kept[0]) / 50)
    assert len(verdicts) == 6  # the chosen, four budgets and the hypervolume
    assert all(
        v["verdict"] in ("better", "worse", "not told apart") or "missing" in v for v in verdicts.values()
    )


def test_of_an_old_run_it_is_said_and_the_command_that_is_told_makes_the_same_bits(
    copied: Copied, here: Here
) -> None:
    runs = [copied("a"), copied("b")]
    before = kept_hits(open_run(runs[0]).study())
    first = here("compare", *runs, "--json", "--measure")[0]
    every = kept_hits(open_run(runs[0]).study())
    assert before.items() <= every.items()
    with sqlite3.connect(runs[0] / "study.db") as database:  # as an earlier version left it
        database.execute("DELETE FROM study_user_attributes WHERE key LIKE 'report_hits:%'")
    _, said = here("compare", *runs)
    assert "right is not kept. This measures it, once: oncefit compare a b --measure" in said
    _, said = here("compare", *runs, "--fail-if-worse", code=2)
    assert "top1 cannot be compared: which report images a subnet of a gets right is not kept" in said
    assert "oncefit compare a b --measure" in said
    assert here("compare", *runs, "--json", "--measure")[0] == first
    assert kept_hits(open_run(runs[0]).study()) == every


def test_bits_that_are_not_those_of_the_accuracy_are_refused(copied: Copied, here: Here) -> None:
    runs = [copied("a"), copied("b")]
    run = open_run(runs[0])
    study = run.study()
    [name, *_] = kept_hits(study)
    bits = packed_bits(kept_hits(study)[name])
    bits[:3] ^= True
    study.set_user_attr(f"{studies.REPORT_HITS}:{name}", packed(bits))
    assert "but its accuracy is of" in here("compare", *runs, code=2)[1]


def test_predicted_runs_are_not_told_apart(copied: Copied, here: Here) -> None:
    predictor = str(write_mlp(open_supernet("fmnist_mbv3"), Path("drawn.safetensors")))
    runs = []
    for seed, name in enumerate("pq"):
        found = oncefit.search(
            supernet="fmnist_mbv3", accuracy="predicted", predictor=predictor, objectives=["top1", "macs"],
            trials=4, seed=seed, out=name,
        )  # fmt: skip
        runs.append(found.folder)
    assert "Runs are not told apart by images: accuracies are not measured" in here("compare", *runs)[1]
    assert "top1 cannot be compared" in here("compare", *runs, "--fail-if-worse", code=2)[1]
    assert (
        "MACs (M), predicted"
        in here("compare", runs[0], runs[1], "--fail-if-worse", "--metric", "macs", "--margin", 9)[1]
    )


def test_a_run_that_is_worse_beyond_the_margin_fails(copied: Copied, here: Here) -> None:
    base, new = copied("a"), copied("b")
    rewrite(base, 0.90)
    rewrite(new, 0.88, seed=1)
    out, said = here("compare", base, new, "--fail-if-worse", code=3)
    assert "worse" in out
    assert "FAILED: b: top1 -2" in said
    _, said = here(
        "compare", base, new, "--fail-if-worse", "--margin", 1.9, "--markdown", "s.md", "--json", "c.json"
    )
    assert "worse, but perhaps by no more than 1.9" in said
    assert "**passed**: b: top1" in Path("s.md").read_text()
    assert json.loads(Path("c.json").read_text())["fail_if_worse"][0]["worse"] is False
    here("compare", base, new, "--fail-if-worse", "--margin", 1, "--metric", "top1", code=3)
    here("compare", new, base, "--fail-if-worse")
    chosen = [
        json.loads((folder / "result.json").read_text())["chosen"]["predicted"]["macs"]
        for folder in (base, new)
    ]
    order = (base, new) if chosen[0] < chosen[1] else (new, base)
    here("compare", *order, "--fail-if-worse", "--metric", "macs", code=3)
    here(
        "compare",
        *order,
        "--fail-if-worse",
        "--metric",
        "macs",
        "--margin",
        abs(chosen[1] - chosen[0]) / 1e6 + 1e-3,
    )
    for arguments, message in (
        (("--fail-if-worse", "--metric", "top5"), "these runs are compared by top1"),
        (("--fail-if-worse", "--metric", "speed"), "not every run records it"),
        (("--fail-if-worse", "--margin", -1), "must be 0 or more"),
        (("--margin", 1), "say what --fail-if-worse asks"),
    ):
        assert message in here("compare", base, new, *arguments, code=2)[1]


def test_what_cannot_be_told_apart_says_how_many_images_would(copied: Copied, here: Here) -> None:
    base, new = copied("a"), copied("b")
    rewrite(base, 0.900)
    rewrite(new, 0.902, seed=1)
    comparison = oncefit.compare([base, new])
    row = comparison.verdicts.set_index("about").loc["chosen subnet"]
    assert row["verdict"] == "not told apart"
    assert row["images_needed"] > 2_000
    assert row["sentence"].startswith("cannot be told apart with these 2,000 images; about ")
    assert "cannot be told apart" in comparison._repr_html_()
    assert "cannot be told apart with these 2,000 images" in comparison.to_markdown()
    page = " ".join(oncefit.report([base, new], "both.html").read_text().split())
    assert f"b against a: top-1 of the chosen subnet {100 * row['difference']:+.2f} [" in page
    assert "points, cannot be told apart with these 2,000 images; about " in page
    assert page.index("Which is better</h2>") < page.index("Fronts compared")
    assert not any(one.worse for one in comparison.judge())
    assert list(comparison.reference_points.index) == [0.01, 0.02, 0.05, 0.1]
    assert isinstance(comparison.order_depends_on_reference, bool)
    same = oncefit.compare([base, new], reference="10%")
    assert same.to_dict()["reference_points"] == comparison.to_dict()["reference_points"]
    assert same.table["hypervolume"].to_dict() == pytest.approx(
        comparison.reference_points.loc[0.1].to_dict()
    )
    with pytest.raises(InputError, match="compared in top1 and macs"):
        oncefit.compare([base, new], reference="params=3")


def test_a_terminal_of_80_columns_shows_each_verdict_in_one_line(copied: Copied) -> None:
    runs = [copied("a"), copied("b"), copied("c", "a-run-whose-folder-has-rather-a-long-name")]
    for seed, (folder, top1) in enumerate(zip(runs, (0.900, 0.902, 0.890), strict=True)):
        rewrite(folder, top1, seed=seed)
    comparison = oncefit.compare(runs)
    printed = Console(width=80, file=io.StringIO())
    for table in tables(comparison.found):
        printed.print(table)
    lines = printed.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    rows = [line for line in lines if " [" in line]
    assert len(rows) == len(comparison.verdicts)
    word = r"(better|worse|not told apart( +[\d,]+)?)"
    assert all(re.fullmatch(rf"  .* [+-][\d.]+ \[\S+, \S+\] +{word}", row.rstrip()) for row in rows)


def test_runs_that_differ_in_the_seed_are_one_side(copied: Copied, here: Here) -> None:
    base, new = [copied("a"), copied("b")], [copied("c"), copied("d")]
    for seed, folder in enumerate([*base, *new]):
        rewrite(folder, 0.9 + 0.01 * (folder in new), seed=seed)
    verdicts = found_in(here("compare", *base, *new, "--json")[0])
    one = verdicts["chosen subnet", None]
    assert (one["base"], one["new"], one["runs"]) == ("a and 1 more seeds", "c and 1 more seeds", [2, 2])
    assert one["difference"] == pytest.approx(0.01, abs=0.01)
    assert "Student" in one["interval"]
    alone = found_in(here("compare", *base, "--json")[0])
    assert "runs" not in alone["chosen subnet", None], "two seeds of one search are two runs"


def test_one_seed_twice_is_no_repeat(copied: Copied, here: Here) -> None:
    """A copy of a run would make the spread between seeds seem smaller than it is."""
    again = r"$\frac{$"  # no formula in the picture
    runs = [copied("a"), copied("a", again), copied("c")]
    for folder in runs:
        rewrite(folder, 0.9)
    found = json.loads(here("compare", *runs, "--json")[0])["significance"]
    assert {one["new"] for one in found["verdicts"]} == {again, "c"}
    assert all("runs" not in one for one in found["verdicts"])


def test_several_runs_are_adjusted_together(copied: Copied, here: Here) -> None:
    runs = [copied("a"), copied("c"), copied("e")]
    for seed, folder in enumerate(runs):
        rewrite(folder, 0.9, seed=seed)
    found = json.loads(here("compare", *runs, "--json")[0])["significance"]
    chosen = [one for one in found["verdicts"] if one["about"] == "chosen subnet"]
    assert [one["new"] for one in chosen] == ["c", "e"]
    smallest = min(one["p_value"] for one in chosen)
    assert min(one["p_value_adjusted"] for one in chosen) == pytest.approx(min(1, 2 * smallest))


@pytest.mark.slow
def test_the_example_of_a_workflow_runs_in_a_shell(copied: Copied, here: Here, tmp_path: Path) -> None:
    """Its steps but the first, with this checkout as the program, and a search that is finished."""
    text = (ROOT / "docs/examples/compare.workflow.yml").read_text()
    job = yaml.safe_load(text)["jobs"]["compare"]
    steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    assert list(steps) == ["Install", "Search", "Compare", "Show"]
    copied("a", "runs/base")
    new = copied("b", "runs/new")  # finished, so that the search has nothing left to do
    Path("search.yaml").write_text((new / "config.yaml").read_text())
    program = tmp_path / "bin" / "oncefit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m search "$@"\n')
    program.chmod(0o755)
    summary = tmp_path / "step_summary.md"
    env = os.environ | job["env"] | {
        "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "GITHUB_STEP_SUMMARY": str(summary),
    }  # fmt: skip
    for name in ("Search", "Compare", "Show"):
        done = subprocess.run(
            ["bash", "-e", "-c", steps[name]], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
    assert summary.read_text().startswith("### oncefit: runs/new against runs/base")
    assert json.loads(Path("comparison.json").read_text())["fail_if_worse"][0]["worse"] is False
