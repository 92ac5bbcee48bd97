"""The page of a run, parsed: it is whole, has every figure, needs no network, and no name is markup in it."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import optuna
import pytest

import oncefit
from cost_models.timing import of_rounds
from search.cli.app import main
from search.proposing.distributions import distributions
from search.reports import report
from search.reports.carbon_tables import pays
from search.reports.page.blocks import of_table, sort_key
from search.reports.page.charts import MOST_POINTS, candidates_drawn, front_chart, texts_of
from search.reports.page.importance import effects
from search.reports.page.making import page_of_one
from search.reports.page.run_page import page_of_run
from search.reports.page.writing import LARGEST_PAGE, page_html
from search.runs.on_device import verified_of
from search.runs.results import Result, so_far
from search.runs.trials import full_values
from search.storages.following import ARCH_ID
from supernet.atomic import whole
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from tests.helpers.own_data import write_folders
from tests.helpers.pages import (
    HOSTILE,
    Parsed,
    hostile_device,
    hostile_predictor,
    measured_run,
    parsed,
    predicted_run,
)
from tests.helpers.tiny import write_device


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def measured(folder: Path, data, supernet: Supernet) -> oncefit.Run:
    device = write_device(supernet, folder / "device.yaml")
    return measured_run(folder / "measured", write_folders(data, folder / "images"), device)


@pytest.fixture(scope="module")
def predicted(folder: Path, supernet: Supernet) -> oncefit.Run:
    return predicted_run(folder / "predicted", supernet)


@pytest.fixture(scope="module")
def of_measured(measured: oncefit.Run) -> Parsed:
    return parsed(measured.report().read_text())


@pytest.fixture(scope="module")
def of_predicted(predicted: oncefit.Run) -> Parsed:
    return parsed(predicted.report().read_text())


@pytest.fixture(scope="module")
def of_both(folder: Path, predicted: oncefit.Run, supernet: Supernet) -> Parsed:
    other = predicted_run(folder / "other", supernet, seed=1, trials=4)
    return parsed(oncefit.report([predicted, other], folder / "both.html").read_text())


@pytest.fixture(params=["of_measured", "of_predicted", "of_both"])
def page(request: pytest.FixtureRequest) -> Parsed:
    return request.getfixturevalue(request.param)


# -- whole, and alone --------------------------------------------------------------


def test_a_page_is_well_formed_and_every_link_leads_somewhere(page: Parsed) -> None:
    assert page.faults == []
    ids = page.attribute("id")
    assert len(ids) == len(set(ids))
    for link in page.attribute("href"):
        assert link.startswith("#")
        assert link[1:] in ids
    assert {
        *page.attribute("for"),
        *page.attribute("aria-labelledby"),
        *page.attribute("aria-describedby"),
    } <= set(ids)
    assert {f"chart-{name}" for name in page.charts} <= set(ids)


def test_a_page_asks_nobody_for_anything(page: Parsed) -> None:
    assert page.attribute("src") == []
    assert not re.search(r"url\(|@import|https?:", page.scripts[0])
    assert {tag for tag, _ in page.elements} & {"img", "link", "iframe", "object", "form", "base"} == set()
    policy = page.attribute("content")[0]
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert "unsafe-eval" not in policy


def test_a_browser_is_told_the_hashes_of_the_only_two_programs(page: Parsed) -> None:
    plotly = gzip.decompress(base64.b64decode(page.scripts[1]))
    assert plotly.startswith(b"/**\n* plotly.js")
    told = re.search(r"script-src ([^;]+);", page.attribute("content")[0])
    assert told is not None
    expected = [
        base64.b64encode(hashlib.sha256(text).digest()).decode()
        for text in (page.scripts[2].encode(), plotly)
    ]
    assert told[1].split() == [f"'sha256-{one}'" for one in expected]


def test_a_page_is_one_file_that_can_be_sent_around(measured: oncefit.Run, of_measured: Parsed) -> None:
    assert (measured.folder / "report.html").stat().st_size < LARGEST_PAGE / 2
    assert len(of_measured.scripts) == 3


# -- every figure ------------------------------------------------------------------


def test_every_figure_of_every_candidate_is_in_the_table_and_where_one_points_at_it(
    measured: oncefit.Run, of_measured: Parsed
) -> None:
    result = measured.result
    [chosen] = [trace for trace in of_measured.charts["front"]["figure"]["data"] if trace["name"] == "chosen"]
    [every] = [t for t in of_measured.charts["front"]["figure"]["data"] if t["name"].startswith("candidates")]
    assert len(every["x"]) == len(result.candidates) == 6
    for candidate in result.candidates:
        figures = [row for rows in report.subnet_lines(result, candidate) for row in rows]
        assert {figure for _, figure in figures} <= set(of_measured.cells)
        [text] = [text for text in every["text"] if candidate.arch.id in text]
        assert all(f"{name}: {figure}" in text for name, figure in figures)
    assert chosen["text"][0].startswith(f"<b>arch {result.chosen.arch.id}</b>")
    assert "top-1 (%), report split: " in chosen["text"][0]
    assert "latency (ms), predicted for known: " in chosen["text"][0]


def test_what_the_terminal_says_is_on_the_page(measured: oncefit.Run, of_measured: Parsed) -> None:
    text = " ".join(of_measured.text.split())
    assert " ".join(report.legend(measured.result).split()) in text
    for section in (
        "Result",
        "What was searched",
        "Carbon",
        "Certificates and bounds",
        "Bundles",
        "Do it again",
    ):
        assert section in text
    assert f"oncefit search {measured.folder}/config.yaml --out {measured.folder}-again" in text
    assert "sampler: tpe" in text
    ledger = oncefit.carbon(measured, requests_per_day=1, life_days=1)
    assert ledger.found.pays_after is not None
    assert pays(ledger.found.pays_after) in text


def test_the_axis_can_be_any_cost(measured: oncefit.Run, of_measured: Parsed) -> None:
    chart = of_measured.charts["front"]
    titles = [axis["title"] for axis in chart["axes"]]
    assert titles[0] == "latency (ms), predicted for known"
    assert "MACs (M)" in titles
    assert chart["axes"][0]["budget"] == 0.15
    macs = chart["axes"][titles.index("MACs (M)")]
    assert macs["x"][0] == [c.costs["macs"] / 1e6 for c in measured.result.candidates]
    assert [len(x) for x in macs["x"]] == [len(trace["x"]) for trace in chart["figure"]["data"]]
    assert macs["budget"] is None


def test_the_line_of_the_search_is_the_best_so_far(measured: oncefit.Run, of_measured: Parsed) -> None:
    _, best = of_measured.charts["progress"]["figure"]["data"]
    ordered = sorted(measured.result.candidates, key=lambda c: c.number)
    for number, value in zip(best["x"], best["y"], strict=True):
        assert value == 100 * max(c.value("top1") for c in ordered if c.number <= number)
    assert best["y"][-1] == 100 * measured.result.chosen.value("top1")
    assert best["x"][-1] == ordered[-1].number


def test_proposals_are_counted_by_what_became_of_them(measured: oncefit.Run, of_measured: Parsed) -> None:
    trials = measured.study.get_trials()
    over = sum(trial.user_attrs["costs"]["latency_ms"] > 0.15 for trial in trials)
    assert over > 0
    place = of_measured.cells.index("proposals over a budget, not measured")
    assert of_measured.cells[place + 1] == str(over)
    place = of_measured.cells.index("proposals in all")
    assert of_measured.cells[place + 1] == str(len(trials))


def test_what_the_space_reaches_is_what_its_ends_cost(measured: oncefit.Run, of_measured: Parsed) -> None:
    supernet = measured.supernet
    least, most = (supernet.costs(arch)["macs"] / 1e6 for arch in (supernet.smallest(), supernet.largest()))
    place = of_measured.cells.index("least")
    row = of_measured.cells.index("MACs (M)", place)
    assert of_measured.cells[row + 1 : row + 3] == [f"{least:.4g}", f"{most:.4g}"]


def test_the_ends_are_measured_where_that_is_asked_for(measured: oncefit.Run, folder: Path) -> None:
    before = set(so_far(measured.result.run).reports)
    path = oncefit.report(measured, folder / "ends.html", measure_ends=True, say=lambda _: None)
    known = so_far(measured.result.run).reports
    ends = {measured.supernet.smallest().id, measured.supernet.largest().id}
    assert set(known) == before | ends
    cells = parsed(path.read_text()).cells
    assert report.percent(known[measured.supernet.largest().id], "top1") in cells
    again = oncefit.report(measured, folder / "again.html", say=lambda said: pytest.fail(said))
    assert report.percent(known[measured.supernet.smallest().id], "top1") in parsed(again.read_text()).cells


def test_a_deployment_has_its_ledger(measured: oncefit.Run, folder: Path) -> None:
    deployment = {"requests_per_day": 2000.0, "life_days": 1000.0, "embodied": {"kg": 0.25}}
    found = parsed(oncefit.report(measured, folder / "ledger.html", deployment=deployment).read_text())
    assert "2 million requests" in found.cells
    assert found.cells[found.cells.index("embodied") + 1] == "250 g"
    specialised = found.charts["emissions"]["figure"]["data"][1]
    ledger = oncefit.carbon(measured, deployment).found
    for requests, kg in zip(specialised["x"], specialised["y"], strict=True):
        assert kg == pytest.approx(ledger.specialised.total_kg(requests).value)


def test_files_of_a_bundle_stand_with_the_hashes_that_they_have(measured: oncefit.Run, folder: Path) -> None:
    bundle = measured.export()
    cells = parsed(measured.report(folder / "bundled.html").read_text()).cells
    for path in sorted(bundle.folder.iterdir()):
        if path.name != "card.json":
            at = cells.index(path.name)
            assert cells[at + 2] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_measured_latencies_stand_beside_predicted_ones(measured: oncefit.Run) -> None:
    result = measured.result
    timed = {c.arch.id: of_rounds([0.3, 0.31, 0.33]) for c in result.candidates[:2]}
    verified = verified_of(result.candidates, timed, 0.4)
    page = page_of_run(result.run, dataclasses.replace(result, verified=verified))
    [chart] = [chart for chart in page.charts if chart.name == "timed"]
    marks = chart.figure["data"][1]
    assert marks["x"] == [c.costs["latency_ms"] for c in result.candidates[:2]]
    assert marks["y"] == [0.31, 0.31]
    assert marks["error_y"]["array"] == pytest.approx([0.02, 0.02])
    assert "latency (ms), measured on known: 0.31 [0.3, 0.33]" in marks["text"][0]


# -- which choices matter ----------------------------------------------------------


def test_importances_are_shares_and_tell_what_a_choice_did(
    predicted: oncefit.Run, of_predicted: Parsed
) -> None:
    found = effects(predicted.result.run, predicted.study)
    assert sum(one.importance for one in found) == pytest.approx(1)
    assert all(one.low <= one.importance <= one.high for one in found)
    by_name = {one.name: one for one in found}
    seen = [c for c in predicted.result.candidates if c.arch.values["resolution"] == 28]
    mean, trials = by_name["resolution"].by_choice["28"]
    assert trials == len(seen)
    assert mean == pytest.approx(sum(c.value("top1") for c in seen) / len(seen))
    bars = of_predicted.charts["importance"]["figure"]["data"][0]
    assert bars["y"][-1] == found[0].name


def test_a_choice_that_decides_is_the_most_important(predicted: oncefit.Run, supernet: Supernet) -> None:
    """Where accuracy is that of the resolution, and of a hair of everything else."""
    run = predicted.result.run
    study = optuna.create_study(directions=["maximize", "minimize"])
    for arch in supernet.space.decode(supernet.space.sample(60, np.random.default_rng(1))):
        value = arch.values["resolution"] / 40 + int(arch.id[:4], 16) / 1e8
        params = full_values(supernet.space, arch)
        kinds = distributions(supernet.space)
        study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=kinds, values=[value, 1.0], user_attrs={ARCH_ID: arch.id}
            )
        )
    found = effects(run, study)
    assert found[0].name == "resolution"
    assert found[0].importance > 2 * found[1].importance
    means = [mean for mean, _ in found[0].by_choice.values()]
    assert means == pytest.approx([18 / 40, 23 / 40, 28 / 40], abs=1e-3)


def test_of_too_few_trials_nothing_is_said(measured: oncefit.Run, of_measured: Parsed) -> None:
    assert effects(measured.result.run, measured.study) == []
    assert "Not computed: it takes 20 trials of different accuracies." in of_measured.text


# -- names -------------------------------------------------------------------------


def test_no_name_brings_markup(supernet: Supernet, tmp_path: Path) -> None:
    """Of a folder, a device and its parts, a predictor, and the images that it is for."""
    run = oncefit.search(
        "fmnist_mbv3", out=tmp_path / HOSTILE.replace("/", "∕"), accuracy="predicted",
        device=str(hostile_device(supernet, tmp_path / "device.yaml")),
        predictor=str(hostile_predictor(supernet, tmp_path / "drawn.safetensors")), objectives=["top1", "latency_ms"],
        sampler="random", trials=4, say=lambda _: None,
    )  # fmt: skip
    others = [predicted_run(tmp_path / name, supernet, trials=2) for name in ("<b>{other}", "another")]
    of_one, of_two = (
        parsed(path.read_text()) for path in (run.report(), oncefit.report(others, tmp_path / "two.html"))
    )
    for page in (of_one, of_two):
        assert page.faults == []
        assert [tag for tag, _ in page.elements].count("script") == 3
        assert not {tag for tag, _ in page.elements} & {"img", "b", "other"}
        assert not [name for _, attrs in page.elements for name in attrs if name.startswith("on")]
        assert not set("<>&\u2028\u2029") & set(page.scripts[0])
        for chart in page.charts.values():
            for text in texts_in(chart["figure"]):
                assert not re.search(r"<(?!/?b>|br>|/?extra>)", text), "Plotly would take it for markup"
    assert HOSTILE.replace("/", "∕") in of_one.text
    assert any(HOSTILE in cell for cell in of_one.cells)
    assert "<b>{other}" in of_two.text


def texts_in(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in texts_in(one)]
    if isinstance(value, list):
        return [text for one in value for text in texts_in(one)]
    return [value] if isinstance(value, str) else []


# -- several runs, large runs, runs that have not ended ----------------------------


def test_a_comparison_has_the_tables_of_the_terminal(of_both: Parsed, folder: Path) -> None:
    comparison = oncefit.compare([folder / "predicted", folder / "other"])
    for one in comparison.found.runs:
        assert one.coverage is not None
        assert f"{one.coverage.hypervolume:.4f}" in of_both.cells
    assert "Runs are not told apart by images: accuracies are not measured" in of_both.text
    assert "Order of hypervolumes: " in of_both.text or "THE ORDER DEPENDS" in of_both.text
    fronts = of_both.charts["fronts"]["figure"]["data"]
    assert [len(trace["x"]) for trace in fronts] == [len(one.front) for one in comparison.found.runs]
    assert {trace["marker"]["symbol"] for trace in fronts} == {"circle", "diamond"}, (
        "told apart without colour"
    )


def test_of_very_many_candidates_some_are_shown_and_that_is_told(measured: oncefit.Run) -> None:
    many = [
        dataclasses.replace(c, number=1000 * i + c.number)
        for i in range(1000)
        for c in measured.result.candidates
    ]
    result: Result = dataclasses.replace(measured.result, candidates=many)
    shown = candidates_drawn(result)
    assert MOST_POINTS <= len(shown) <= MOST_POINTS + len(result.shown)
    assert {c.number for c in result.shown} <= {c.number for c in shown}
    assert f"Of 6,000 candidates {len(shown):,} are shown" in front_chart(result, texts_of(result)).told
    assert len(page_html(page_of_run(result.run, result)).encode()) < LARGEST_PAGE


def test_a_search_that_has_not_ended_is_told_as_far_as_it_is(measured: oncefit.Run) -> None:
    run = measured.result.run
    wanted = dataclasses.replace(run, config=run.config.model_copy(update={"trials": 60}))
    assert "So far: 6 of 60 candidates." in parsed(page_html(page_of_one(wanted))).text
    nothing = parsed(page_html(page_of_run(run, None)))
    assert nothing.faults == []
    assert "No candidate yet" in nothing.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing is not a run"),
        (["measured", "--cost", "macs"], "cost and at are of a comparison"),
        (["measured", "predicted"], "cannot be compared"),
        (["predicted", "other", "--deployment", "d.yaml"], "report each by itself"),
        (["predicted", "--measure-ends"], "are predicted, not measured"),
        (["measured", "--port", "1"], "--port 1 is for --serve"),
        (["measured", "predicted", "--serve"], "--serve follows one run"),
        (["measured", "--serve", "--out", "x.html"], "writes and measures nothing"),
        (["measured", "--out", "."], "is a folder"),
        (["measured", "--serve", "--port", "70000"], "ports are 0 to 65535"),
    ],
)
def test_what_cannot_be_reported_is_told(
    arguments, message, measured, of_both, folder, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(folder)
    with whole(Path("d.yaml")) as partial:
        partial.write_text("{requests_per_day: 1, life_days: 1}")
    with pytest.raises(SystemExit) as end:
        main(["report", *arguments])
    assert end.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_command_says_what_it_wrote(measured, folder, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as end:
        main(["report", "measured", "--out", "sub/page.html"])
    assert not end.value.code
    assert capsys.readouterr().err == "wrote sub/page.html (2.0 MB)\n"
    assert parsed(Path("sub/page.html").read_text()).faults == []


def test_without_a_run_there_is_no_report() -> None:
    with pytest.raises(InputError, match="needs a run"):
        oncefit.report([])


# -- small parts -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "key"),
    [
        ("92.85 [92.06, 93.56]", "92.85"), ("13,118", "13118"), ("-", ""), ("−3.5 points", "-3.5"), ("+0.58 [+0.28, +0.89]", "+0.58"), ("1e-05", "1e-05"),
        ("e3a2b34163", ""), ("-: not known", ""),
    ],
)  # fmt: skip
def test_a_column_is_sorted_by_the_numbers_that_figures_begin_with(figure: str, key: str) -> None:
    assert sort_key(figure) == key


def test_a_table_of_the_terminal_keeps_its_words(measured: oncefit.Run) -> None:
    found = of_table(report.chosen_table(measured.result))
    assert found.headings == ()
    assert ("arch", measured.chosen.id) in list(found.rows)


def test_json_has_no_number_that_json_lacks(of_measured: Parsed) -> None:
    assert json.loads(of_measured.scripts[0], parse_constant=lambda name: pytest.fail(name))["polled"] is None
