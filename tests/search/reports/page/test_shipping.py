"""What a page says of which subnet to ship: differences from the chosen, by exact tests made here anew."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import optuna
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binomtest, norm

import oncefit
from search.reports.comparing.against_chosen import against_chosen
from search.reports.comparing.paired_tests import paired_difference
from search.reports.comparing.significance import Verdict, adjusted
from search.reports.page.charts import front_chart, texts_of
from search.reports.page.making import page_of_one
from search.reports.page.shipping_section import cheapest_alike, which_to_ship
from search.reports.page.writing import page_html
from search.runs.opening import open_run
from search.runs.racing import Raced
from search.runs.report_hits import kept_hits, packed_bits
from search.runs.results import Result, so_far
from search.runs.trials import full_values
from supernet.families.catalog import Supernet
from tests.helpers.own_data import write_folders
from tests.helpers.pages import measured_run, parsed
from tests.helpers.tiny import write_device


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, data, supernet: Supernet) -> oncefit.Run:
    folder = tmp_path_factory.mktemp("shipping")
    images, device = write_folders(data, folder / "images"), write_device(supernet, folder / "device.yaml")
    run = measured_run(folder / "run", images, device)
    run.report(measure_ends=True)
    return run


def front_of(run: oncefit.Run) -> Result:
    """Its candidates as a front, the dearest chosen."""
    candidates = sorted(run.result.candidates, key=lambda c: c.costs["latency_ms"])
    members = [
        dataclasses.replace(c, costs=c.costs | {"latency_ms": 0.01 * (i + 1)})
        for i, c in enumerate(candidates)
    ]
    run_of_two = dataclasses.replace(
        run.result.run, config=run.result.run.config.model_copy(update={"objectives": ("top1", "latency_ms")})
    )
    return dataclasses.replace(
        run.result, run=run_of_two, candidates=members, front=members, chosen=members[-1]
    )


def verdicts_of(result: Result, *only: tuple[int, int]) -> dict[str, Verdict]:
    """Of members on 1,000 images, of which so many only the chosen, and only the member, gets right."""
    base = np.arange(1_000) < 900
    made = []
    for member, (losses, wins) in zip(result.front, only, strict=False):
        new = base.copy()
        new[:losses], new[900 : 900 + wins] = False, True
        made.append(
            Verdict("subnet of the run", "base", member.arch.id, difference=paired_difference(base, new))
        )
    return {one.new: one for one in adjusted(made)}


def score_low(losses: int, wins: int, images: int, confidence: float) -> float:
    """The lower end of Tango's interval: the difference that is as far below what was seen as a normal quantile, by likelihood."""
    value, z = (wins - losses) / images, norm.ppf(0.5 + confidence / 2)

    def score(difference: float) -> float:
        def loss(q: float) -> float:
            shares = (q, q + difference, 1 - 2 * q - difference)
            return -float(np.dot([losses, wins, images - losses - wins], np.log(shares)))

        ends = max(0.0, -difference) + 1e-12, (1 - difference) / 2 - 1e-12
        q = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-12}).x
        return float((value - difference) / np.sqrt((2 * q + difference - difference**2) / images))

    return float(brentq(lambda difference: score(difference) - z, -0.2, value - 1e-6))


def test_ends_are_held_against_the_chosen_by_the_exact_test(measured: oncefit.Run) -> None:
    result = so_far(measured.result.run)
    assert result is not None
    found = against_chosen(result)
    ends = {measured.supernet.smallest().id, measured.supernet.largest().id}
    assert set(found) == ends - {measured.chosen.id}
    bits = {name: packed_bits(text) for name, text in kept_hits(measured.study).items()}
    base = bits[measured.chosen.id]
    p_values = []
    for name, verdict in found.items():
        wins, losses = int((bits[name] & ~base).sum()), int((base & ~bits[name]).sum())
        assert verdict.difference is not None
        assert verdict.difference.value == pytest.approx((wins - losses) / 50)
        p_values.append(binomtest(wins, wins + losses).pvalue if wins + losses else 1.0)
    assert found[max(found, key=lambda name: found[name].adjusted)].adjusted <= min(1, 2 * max(p_values))
    cells = parsed(page_html(page_of_one(measured.result.run))).cells
    place = cells.index("top-1, less the chosen's (points)")
    largest = found[measured.supernet.largest().id].difference
    assert cells[place + 2] == "-"
    assert largest is not None
    assert cells[place + 3].startswith(
        f"{100 * largest.value:+.2f} [{100 * largest.low:+.2f}, {100 * largest.high:+.2f}]: "
    )


def test_the_cheapest_that_is_not_clearly_worse_is_named(measured: oncefit.Run) -> None:
    result = front_of(measured)
    names = [c.arch.id for c in result.front]
    verdicts = verdicts_of(result, (60, 0), (5, 3), (2, 3), (0, 0))
    told = cheapest_alike(result, verdicts)
    assert told.startswith(
        f"The cheapest of the front that was measured on report images (4 of 5) that is not clearly worse is {names[1]} with 0.02 ms, "
    )
    assert "On 1,000 report images its top-1 cannot be told apart from that of the chosen" in told
    least = score_low(5, 3, 1_000, 1 - 0.05 / 4)
    assert f"it is at most {-100 * least:.2f} points worse" in told
    [section] = which_to_ship(result, verdicts)
    rows = {row[0].removesuffix("\u00a0★"): row for row in section.blocks[1].rows}
    assert list(rows) == list(reversed(names))
    assert rows[names[0]][4].startswith("-6.00 [")
    assert rows[names[0]][5] == "worse"
    assert rows[names[-1]][4:] == ["-", "the chosen"]
    assert rows[names[4]][4:] == ["-", "not measured on report images"]
    assert which_to_ship(measured.result, verdicts) == [], "a search for one objective asked for one"


def test_where_all_are_worse_or_none_is_known_that_is_said(measured: oncefit.Run) -> None:
    result = front_of(measured)
    assert "(2 of 5) is less accurate than the chosen" in cheapest_alike(
        result, verdicts_of(result, (60, 0), (50, 0))
    )
    better = cheapest_alike(result, verdicts_of(result, (0, 60)))
    assert "its top-1 is better than that of the chosen" in better
    assert "points worse" not in better
    assert which_to_ship(result, {}) == []
    assert "No cheaper member" in cheapest_alike(result, {})


def test_what_is_near_the_budget_is_shown_first(measured: oncefit.Run) -> None:
    some = measured.result.candidates[0]
    costs = [0.01, *(0.14 + 0.0005 * i for i in range(20))]
    candidates = [
        dataclasses.replace(some, number=i, costs=some.costs | {"latency_ms": c}) for i, c in enumerate(costs)
    ]
    result = dataclasses.replace(
        measured.result, candidates=candidates, front=candidates[-1:], chosen=candidates[-1]
    )
    chart = front_chart(result, texts_of(result))
    assert chart.axes[0].range is not None
    left, right = chart.axes[0].range
    assert 0.01 < left < 0.14 < 0.15 < right
    assert "1 candidate is outside" in chart.told
    assert chart.figure["layout"]["xaxis"]["range"] == (left, right)
    assert all(axis.range is None for axis in chart.axes[1:])


def test_what_a_race_stopped_is_marked_where_it_was_stopped(measured: oncefit.Run, tmp_path: Path) -> None:
    run = open_run(Path(shutil.copytree(measured.folder, tmp_path / "raced")))
    run = dataclasses.replace(run, config=run.config.model_copy(update={"race": True}))
    study, space = run.study(), run.supernet.space
    raced = Raced(25, 50, 0.61, measured.chosen.id)
    told = study.get_trials()[0]
    for _ in range(2):  # proposed again later, it is told again
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.PRUNED, params=full_values(space, space.largest()),
                distributions=told.distributions,
                user_attrs={"arch_id": space.largest().id, "costs": told.user_attrs["costs"], "raced": raced.attribute("top1")},
            )
        )  # fmt: skip
    page = parsed(page_html(page_of_one(run)))
    [*_, marks] = page.charts["progress"]["figure"]["data"]
    assert marks["name"] == "stopped early, estimated (1)"
    assert (marks["x"], marks["y"]) == ([len(study.get_trials()) - 2], [61.0])
    assert "stopped after 25 of 50 images" in marks["text"][0]
    place = page.cells.index("stopped early, clearly beaten")
    assert page.cells[place + 1] == "1"
