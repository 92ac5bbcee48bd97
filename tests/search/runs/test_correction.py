"""Corrected accuracies against simulated noise, whose truth is known, and against closed forms."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from search.cli.app import main
from search.problem.objectives import parse_objectives
from search.runs.correction import Corrected, corrected_estimate, crossed, with_interval
from search.runs.opening import open_run
from search.runs.racing import Bits, packed, packed_bits
from search.runs.results import settled
from search.runs.study import Candidate
from supernet.accuracy import Accuracy, wilson
from supernet.archs.arch import Arch
from supernet.families.catalog import open_supernet
from supernet.images.data import Dataset
from tests.helpers.own_data import write_folders
from tests.helpers.own_predictor import write_mlp

IMAGES = 1_000
SPACE = open_supernet("fmnist_mbv3").space
ARCHS: list[Arch] = SPACE.decode(SPACE.sample(60, np.random.default_rng(0)))


def candidates(hits: Bits, costs: list[float] | None = None) -> list[Candidate]:
    """A candidate for each row of hits (candidates, images)."""
    found = []
    for i, row in enumerate(hits):
        measured = Accuracy("validation", len(row), float(row.mean()), 1, 0, 1, 0, 1)
        macs = costs[i] if costs is not None else float(i)
        found.append(Candidate(i, ARCHS[i], {"macs": macs}, measured, hits=packed(row)))
    return found


def best_of(found: list[Candidate]) -> Candidate:
    return max(found, key=lambda c: c.value("top1"))


def correction(found: list[Candidate], seed: int = 0) -> Corrected:
    chosen = best_of(found)
    axes = parse_objectives(["top1", "macs"])
    return corrected_estimate(found, chosen, [], axes, np.random.default_rng(seed))[chosen.arch.id]


def noisy(truths: np.ndarray, shared: float, rng: np.random.Generator) -> Bits:
    """Hits of candidates with these true accuracies that agree in a share of the images, where one draw is for all."""
    common = rng.random(IMAGES) < shared
    draws = np.where(common, rng.random(IMAGES), rng.random((len(truths), IMAGES)))
    return draws < truths[:, None]


@pytest.mark.parametrize(
    ("truths", "shared"),
    [
        (np.full(40, 0.9), 0.5),
        (np.full(40, 0.9), 0.0),
        (np.linspace(0.86, 0.90, 40), 0.5),
        (np.array([0.95, *np.full(30, 0.8)]), 0.5),
    ],
    ids=["all alike", "all alike, nothing shared", "close together", "one far ahead"],
)
def test_the_corrected_figure_is_unbiased_within_its_interval_where_the_raw_one_is_not(
    truths: np.ndarray, shared: float
) -> None:
    rng = np.random.default_rng(5)
    raw, mended, held, raw_held = [], [], [], []
    for _ in range(300):
        found = candidates(noisy(truths, shared, rng))
        chosen, made = best_of(found), correction(found)
        truth, seen = truths[chosen.number], chosen.value("top1")
        raw.append(seen - truth)
        mended.append(made.value - truth)
        held.append(made.low <= truth <= made.high)
        low, high = wilson(round(seen * IMAGES), IMAGES)
        raw_held.append(low <= truth <= high)
    error = np.std(mended) / np.sqrt(len(mended))
    assert np.mean(held) > 0.92
    assert abs(np.mean(mended)) < 3 * error + 0.001
    if truths[0] == truths[-1]:  # among equals all of the lead is luck
        assert np.mean(raw) > 0.008 > 5 * abs(np.mean(mended))
        assert np.mean(raw_held) < np.mean(held) - 0.05
    elif truths[0] == 0.95:  # no choice, no correction
        assert np.allclose(raw, mended)
    else:
        assert np.mean(raw) > 0.004


def test_one_candidate_has_its_own_accuracy_and_wilsons_interval() -> None:
    hits = np.arange(IMAGES) % 10 > 0
    made = correction(candidates(hits[None]))
    assert (made.value, made.among) == (pytest.approx(0.9), 1)
    assert (made.low, made.high) == pytest.approx(wilson(900, IMAGES), abs=1e-7)


def test_a_split_is_judged_as_two_plain_loops_judge_it() -> None:
    """With two candidates and a pool each: what the other half says of the better one of each half."""
    rng = np.random.default_rng(1)
    hits = rng.random((3, 20)) < 0.6
    pools = np.array([[True, True, True], [True, False, True]])
    found = crossed(list(hits), pools, np.random.default_rng(2))
    again = np.random.default_rng(2).permuted(np.tile(np.arange(20) % 2, (100, 1)), axis=1)
    for pool, row in zip(pools, found, strict=True):
        for half, right in zip(again, row, strict=True):
            expected = 0
            for mine in (half == 1, half == 0):
                scores = [(int(hits[k][mine].sum()), -k) for k in range(3) if pool[k]]
                expected += int(hits[-max(scores)[1]][~mine].sum())
            assert right == expected


def test_a_member_of_a_front_was_chosen_among_those_that_cost_no_more() -> None:
    rng = np.random.default_rng(3)
    hits = noisy(np.linspace(0.7, 0.9, 9), 0.5, rng)
    found = candidates(hits, [float(i) for i in range(9)])
    axes = parse_objectives(["top1", "macs"])
    made = corrected_estimate(found, found[8], [found[0], found[4], found[8]], axes, np.random.default_rng(0))
    assert {c.number: made[c.arch.id].among for c in (found[0], found[4], found[8])} == {0: 1, 4: 5, 8: 9}
    assert made[found[0].arch.id].value == pytest.approx(found[0].value("top1"))


def test_what_was_passed_over_for_another_reason_is_not_what_it_was_chosen_from() -> None:
    """The most accurate may be refused, as when it turns out to be too slow."""
    hits = np.zeros((3, IMAGES), dtype=np.bool_)
    hits[0, :900], hits[1, :950], hits[2, :800] = True, True, True
    found = candidates(hits)
    axes = parse_objectives(["top1", "macs"])
    made = corrected_estimate(found, found[0], [], axes, np.random.default_rng(0))
    assert made[found[0].arch.id].among == 2
    assert made[found[0].arch.id].value == pytest.approx(0.9)


def test_images_that_cannot_be_decoded_do_not_count() -> None:
    """Every candidate misses them, and the accuracy is of the others."""
    hits = np.zeros((1, IMAGES), dtype=np.bool_)
    hits[0, :450] = True
    [one] = candidates(hits)
    assert one.validation is not None
    measured = Accuracy("validation", 500, 0.9, 1, 0, 1, 0, 1)
    found = Candidate(0, one.arch, one.costs, measured, hits=one.hits)
    assert correction([found]).value == pytest.approx(0.9)


def test_nothing_is_corrected_where_hits_are_not_known() -> None:
    found = candidates(np.ones((2, IMAGES), dtype=np.bool_))
    bare = Candidate(2, ARCHS[2], {"macs": 1.0}, found[0].validation)
    axes = parse_objectives(["top1", "macs"])
    assert corrected_estimate([*found, bare], found[0], [], axes, np.random.default_rng(0)) == {}


def test_the_interval_is_wider_where_the_choice_is_unsteady() -> None:
    steady = with_interval(np.full(100, 0.9), IMAGES, 2)
    unsteady = with_interval(np.array([0.89, 0.91] * 50), IMAGES, 2)
    assert unsteady.value == pytest.approx(steady.value)
    variance = 0.9 * 0.1 / IMAGES
    assert (unsteady.high - unsteady.low) / (steady.high - steady.low) == pytest.approx(
        np.sqrt((variance + 0.01**2) / variance), rel=0.02
    )


@pytest.mark.parametrize("accuracy", ["measured", "predicted-then-measured"])
def test_a_search_keeps_the_hits_and_its_results_have_the_corrected_figure(
    accuracy: str, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "supernet": "fmnist_mbv3", "data": str(write_folders(data, tmp_path / "own")), "trials": 4,
        "objectives": ["top1", "macs"], "sampler": "random", "accuracy": accuracy,
    }  # fmt: skip
    if accuracy != "measured":
        predictor = write_mlp(open_supernet("fmnist_mbv3"), tmp_path / "drawn.safetensors")
        settings |= {"predictor": str(predictor), "measure": 3}
    (tmp_path / "mine.yaml").write_text(json.dumps(settings))
    folder = tmp_path / "run"
    with pytest.raises(SystemExit) as end:
        main(["search", str(tmp_path / "mine.yaml"), "--out", str(folder)])
    assert end.value.code == 0
    assert "Corrected: validation accuracy less what the choice by it added" in capsys.readouterr().out
    run = open_run(folder)
    found = settled(run, run.study())
    assert len(found) == (4 if accuracy == "measured" else 3)
    for one in found:
        assert one.hits is not None
        assert one.validation is not None
        assert packed_bits(one.hits).sum() == round(one.validation.top1 * one.validation.images)
    written = json.loads((folder / "result.json").read_text())
    figures = written["chosen"]["validation_corrected_for_choice"]
    assert figures["top1_low"] <= figures["top1"] <= figures["top1_high"]
    assert figures["among"] == len(found)
    assert "validation_corrected_for_choice" not in written["chosen"]["measured"], "it is an estimate"
    rows = {row["arch_id"]: row for row in csv.DictReader((folder / "front.csv").read_text().splitlines())}
    assert float(rows[written["chosen"]["arch_id"]]["validation_corrected_top1"]) == figures["top1"]
    assert all(float(row["validation_corrected_top1"]) > 0 for row in rows.values())
