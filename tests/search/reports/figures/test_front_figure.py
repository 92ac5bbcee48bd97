"""What a picture of a front shows: the part that matters, what is outside of it, and no text over another."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from search.problem.objectives import parse_objectives
from search.reports.figures.extents import is_spread, least_shown
from search.reports.figures.plots import front_figure, save_figure
from search.runs.correction import Corrected
from search.runs.front import best, front
from search.runs.results import Result
from search.runs.study import Candidate
from supernet.accuracy import Accuracy
from supernet.families.catalog import open_supernet
from tests.helpers.drawn_texts import overlapping

AXES = parse_objectives(["top1", "latency_ms"])
SPACE = open_supernet("fmnist_mbv3").space
HOSTILE = "</text><script>alert(1)</script> $\\frac{1}{2}$ $x & <b>"
CROWD = [(0.92 + 0.0002 * i, 0.060 + 0.0001 * i) for i in range(38)]
"""Near a budget of 0.064 ms."""


def result_of(
    pairs: list[tuple[float, float]],
    budget: float | None = 0.064,
    objectives: tuple[str, ...] = ("top1",),
    name: str = "any",
) -> Result:
    archs = SPACE.decode(SPACE.sample(len(pairs), np.random.default_rng(0)))
    found = [
        Candidate(i, arch, {"latency_ms": cost}, Accuracy("validation", 100, top1, 1.0, top1 - 0.01, top1 + 0.01, 0.9, 1.0))
        for i, (arch, (top1, cost)) in enumerate(zip(archs, pairs, strict=True))
    ]  # fmt: skip
    config = SimpleNamespace(
        objectives=objectives, budgets={} if budget is None else {"latency_ms": budget}, sampler=name
    )
    run: Any = SimpleNamespace(
        axes=AXES, config=config, where=name, supernet=SimpleNamespace(name=name), measures=True, kind="validation split",
        predictor=None, power_meter=None,
    )  # fmt: skip
    chosen = best(found, AXES)
    reports = {chosen.arch.id: Accuracy("report", 100, 0.921, 1.0, 0.919, 0.923, 0.9, 1.0)}
    result = Result(run, found, front(found, AXES), chosen, reports, len(found))
    result.__dict__["corrected"] = {chosen.arch.id: Corrected(0.925, 0.92, 0.93, len(found))}
    return result


def test_a_far_start_of_the_front_is_an_arrow_with_its_figures() -> None:
    figure = front_figure(result_of([(0.9074, 0.0226), (0.9073, 0.0300), *CROWD]))
    axes = figure.axes[0]
    left, right = axes.get_xlim()
    assert 0.055 < left < 0.060 < 0.064 < right
    assert axes.get_ylim()[0] > 90.74
    assert axes.get_ylim()[0] < 91.9, "the report split's interval"
    assert [text.get_text() for text in axes.texts] == ["0.0226 ms: 90.74 %"]
    assert "candidates (40, 2 outside), validation split" in axes.get_legend_handles_labels()[1]
    assert overlapping(figure) == []


def test_many_far_points_have_arrows_that_do_not_overlap() -> None:
    far = [(0.9000 + 0.0001 * i, 0.0100 + 0.001 * i) for i in range(6)]
    figure = front_figure(result_of([*far, *CROWD, *[(0.91, 0.063)] * 10]))
    assert [text.get_text() for text in figure.axes[0].texts] == [
        "0.013 ms: 90.03 % (+3 more)", "0.014 ms: 90.04 %", "0.015 ms: 90.05 %",
    ]  # fmt: skip
    assert overlapping(figure) == []


def test_a_front_without_far_points_is_shown_whole() -> None:
    axes = front_figure(result_of([(0.90 + 0.001 * i, 0.030 + 0.001 * i) for i in range(30)])).axes[0]
    assert axes.get_xlim()[0] < 0.030
    assert axes.get_ylim()[0] < 90
    assert not axes.texts


def test_a_front_that_was_asked_for_is_never_cut_but_logarithmic_where_it_is_spread() -> None:
    spread = [(0.9, 0.01), (0.91, 0.1), (0.93, 1.0), *[(0.935, 5 + 0.01 * i) for i in range(30)]]
    figure = front_figure(result_of(spread, None, ("top1", "latency_ms")))
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim()[0] < 0.01
    assert not axes.texts
    assert "0.1" in [label.get_text() for label in axes.get_xticklabels()]
    assert overlapping(figure) == []
    near = front_figure(result_of(CROWD, None, ("top1", "latency_ms"))).axes[0]
    assert near.get_xscale() == "linear"


def test_the_corrected_estimate_is_drawn_and_explained() -> None:
    axes = front_figure(result_of(CROWD)).axes[0]
    handles, labels = axes.get_legend_handles_labels()
    label = "corrected for the luck of the best of 38 (winner's curse)"
    drawn = handles[labels.index(label)].get_offsets()
    assert drawn[0][1] == pytest.approx(92.5)


@pytest.mark.parametrize("count", [1, 2])
def test_few_candidates_are_drawn(count: int, tmp_path: Path) -> None:
    save_figure(front_figure(result_of(CROWD[:count])), tmp_path / "few.png")
    assert (tmp_path / "few.png").read_bytes().startswith(b"\x89PNG")


def test_an_svg_is_well_formed_the_same_each_time_and_has_names_as_text(tmp_path: Path) -> None:
    result = result_of(CROWD, name=HOSTILE)
    for name in ("a.svg", "b.svg"):
        save_figure(front_figure(result), tmp_path / name)
    text = (tmp_path / "a.svg").read_text()
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert not [one for one in root.iter() if one.tag.endswith("script")]
    assert text == (tmp_path / "b.svg").read_text()


def test_what_is_shown_has_what_is_near_and_what_must_be() -> None:
    crowd = [10.0 - 0.1 * i for i in range(10)]
    assert least_shown([1.0, *crowd], 10.0) == pytest.approx(9.1)
    assert least_shown([1.0, *crowd], 10.0, [8.0]) == pytest.approx(8.0)
    assert least_shown([8.9, *crowd], 10.0) == 8.9
    assert least_shown([5.0], 10.0) == 5.0
    assert least_shown([3.0, 3.0, 3.0], 3.0) == 3.0
    assert is_spread([1, 10])
    assert not is_spread([0, 10])
    assert not is_spread([2, 10])
