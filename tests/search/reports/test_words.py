"""What people read: units, intervals and plurals, in eighty columns."""

from __future__ import annotations

import io
import re
import time
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from cost_models.device import Device, LatencyModel
from cost_models.grid import carbon_intensity
from cost_models.profiling import LatencyMeasurement
from search.problem.objectives import Objective
from search.reports import progress, report
from search.reports import words as readable
from search.reports.units import counted, short_number
from search.runs.correction import Corrected
from search.runs.on_device import verified_of
from search.runs.study import Candidate
from supernet import documents
from supernet.accuracy import Accuracy, PredictedAccuracy, wilson

ACCURACY = Accuracy("report", 10_000, 0.913, 0.9995, *wilson(9130, 10_000), *wilson(9995, 10_000))
COSTS = {
    "macs": 2_931_520.0,
    "params": 136_586.0,
    "latency_ms": 0.10243,
    "energy_mj": 0.000123,
    "co2e_mg": 5.01e-5,
}
TUNED = {
    "arch_id": "624c40a76c", "measured": {"report": asdict(ACCURACY), "validation": asdict(ACCURACY)},
    "finetuning": {
        "classes": {"kept": ["one", "two"], "new": [], "gone": ["three"]}, "training_images": 53_000, "epochs": 12,
        "best_epoch": 0, "distilled_from": "f232e1fb29", "before": asdict(ACCURACY),
        "paired": {"only_before": 2310, "only_after": 12, "p_value": 1.5e-17},
    },
}  # fmt: skip
LATENCY = asdict(LatencyMeasurement(0.1011, 0.0999, 0.1202, 12))
EXPORTED = {
    "arch_id": "624c40a76c", "calibrated": True, "device": {"name": "host"}, "predicted": COSTS,
    "measured": {"report": asdict(ACCURACY), "validation": asdict(ACCURACY), "latency": LATENCY},
    "size_bytes": {"model.onnx": 551_526},
}  # fmt: skip
HOW = {"resolution": 132, "crop": 0.875, "rounded": "nearest", "shorter_side": 151}
EVALUATED = {
    "arch_id": "624c40a76c", "calibrated": True, "preprocessing": HOW,
    "measured": {
        "accuracy": asdict(ACCURACY), "latency": LATENCY, "imbalance": 2.0,
        "balanced_accuracy": {"value": 0.9, "low": 0.8, "high": 0.95},
        "classes": [{"class": name, "images": 40, "recall": 0.75, "low": 0.6, "high": 0.9} for name in ("cat", "dog")],
    },
}  # fmt: skip
VERIFIED = {
    "max_difference": 1.3e-5, "compared_images": 256, "images": 10_000, "top1_torch": 0.913,
    "top1_onnxruntime": 0.913, "calibrated": True, "files": {"a": "", "b": "", "c": ""},
}  # fmt: skip


def flat(sections: list[readable.Lines]) -> dict[str, str]:
    return dict(row for rows in sections for row in rows)


def device(**changes: object) -> Device:
    model = LatencyModel(
        supernet="fmnist_mbv3", fingerprint="0" * 16, intercept_ms=0.1, coefficients={"conv1.calls": 0.001},
        subnets=32, error_percent=0.87, folds=8, spread_percent=2.3,
    )  # fmt: skip
    host = documents.read(documents.find("devices", "host"), Device)
    measured = {"latency": model, "date": "2026-01-31", "cpu": "AMD EPYC 9654 96-Core Processor"}
    return host.model_copy(update={**measured, "versions": {"onnxruntime": "1.32.0"}, **changes})


def rendered(table: object, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(table)
    return out.getvalue()


TABLES = {
    "device": readable.of_device(device()),
    "export": readable.of_export(EXPORTED),
    "fine-tuning": readable.of_finetuning(TUNED),
    "evaluation": readable.of_evaluation(EVALUATED, None),
    "verification": readable.of_verification(VERIFIED),
    "training": readable.of_training({"small": ACCURACY}),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_row_is_a_line_of_words_and_units(name: str) -> None:
    sections = TABLES[name]
    text = rendered(readable.table(sections))
    for row in (row for rows in sections for row in rows):
        assert re.search(rf"^ *{re.escape(row[0])} +{re.escape(row[1])} *$", text, re.MULTILINE)
        assert not re.search(r"_|\b0\.9\d\d|[a-z]\.[a-z]+\.", " ".join(row).replace("fmnist_mbv3", ""))
    assert max(map(len, text.splitlines())) <= 80
    assert "None" not in text
    assert max(map(len, (readable.INTERVALS, readable.INTERVAL))) <= 80


def test_accuracy_is_a_percentage_with_its_interval() -> None:
    """The interval of 9130 of 10,000 is Wilson's, worked out by hand: 90.73 to 91.84."""
    for rows, name in (
        (readable.of_export(EXPORTED), "top-1 (%), report split"),
        (readable.of_finetuning(TUNED), "top-1 (%), report split, before"),
        (readable.of_evaluation(EVALUATED, None), "top-1 (%)"),
        (readable.of_verification(VERIFIED), "top-1 (%), torch"),
        (readable.of_training({"small": ACCURACY}), "top-1 (%), small"),
    ):
        assert flat(rows)[name] == "91.30 [90.73, 91.84]"


def test_accuracy_is_shown_by_class_where_classes_are_uneven() -> None:
    rows = flat(readable.of_evaluation(EVALUATED, None))
    assert rows["balanced accuracy (%)"] == "90.00 [80.00, 95.00]"
    assert rows["top-1 (%), dog"] == "75.00 [60.00, 90.00] of 40 images"
    measured = EVALUATED["measured"]
    many = [measured["classes"][0] | {"class": f"c{i}", "recall": i / 40} for i in range(31)]
    shown = flat(readable.of_evaluation(EVALUATED | {"measured": measured | {"classes": many}}, None))
    assert shown["..."] == "21 classes between"
    assert {"top-1 (%), c4", "top-1 (%), c26"} <= set(shown)
    assert not {"top-1 (%), c5", "top-1 (%), c25"} & set(shown)
    even = flat(readable.of_evaluation(EVALUATED | {"measured": measured | {"imbalance": 1.9}}, None))
    assert "top-1 (%), dog" not in even


def test_predicted_and_measured_latency_are_told_apart() -> None:
    rows = flat(readable.of_export(EXPORTED))
    assert rows["latency (ms), predicted for host"] == "0.1024"
    assert rows["latency (ms), measured on host"] == "0.1011 [0.0999, 0.1202]"
    busy = LatencyMeasurement(**{**LATENCY, "median_ms": 0.171})
    assert readable.of_latency(busy) == (
        "latency (ms), measured here",
        "0.171 [0.0999, 0.1202]; the machine was busy",
    )
    assert rows["MACs (M)"] == "2.932"
    assert rows["model.onnx (KiB)"] == "538.6"


@pytest.mark.parametrize(
    ("meter", "how"), [({}, "estimated"), ({"power_meter": "RAPL"}, "estimated from measured power")]
)
def test_energy_is_estimated_be_it_from_measured_power(meter: dict[str, str], how: str) -> None:
    told = flat(readable.of_export({**EXPORTED, "device": {"name": "host", **meter}}))
    assert f"CO2e (µg), {how} for host" in told
    assert f"energy (mJ), {how} for host" in told
    assert "latency (ms), predicted for host" in told


def test_a_device_in_words() -> None:
    rows = flat(readable.of_device(device()))
    grams = carbon_intensity("WORLD")
    assert list(rows.items()) == [
        ("CPU", "AMD EPYC 9654 96-Core Processor"),
        ("runtime", "onnxruntime 1.32.0, 1 thread"),
        ("measured on", "2026-01-31"),
        ("latency fitted to", "32 subnets of fmnist_mbv3"),
        ("error of the fit, cross-validated", "0.9 % (median)"),
        ("spread of repeated measurements", "2.3 %"),
        ("power, assumed", "1.9 (0.95 to 3.75) W"),
        ("energy per MAC, assumed", "4.6 (1.5 to 9.2) pJ"),
        ("energy per byte, assumed", "160 (1.25 to 160) pJ"),
        ("region", f"WORLD: {grams.grams_per_kwh:.0f} g CO2e per kWh ({grams.year})"),
    ]
    bare = flat(readable.of_device(device(latency=None, cpu=None, date=None, threads=2)))
    assert bare["latency"] == "not measured"
    assert bare["runtime"].endswith("2 threads")
    assert not {"CPU", "measured on"} & bare.keys()


def test_large_figures_have_no_exponent() -> None:
    assert [short_number(value) for value in (0.01234567, 12.3456, 9999.4, 27_260.4)] == [
        "0.01235",
        "12.35",
        "9999",
        "27,260",
    ]


def test_plurals() -> None:
    assert [counted(n, "candidate") for n in (0, 1, 2, 10_000)] == [
        "0 candidates", "1 candidate", "2 candidates", "10,000 candidates",
    ]  # fmt: skip


# -- the result of a search ------------------------------------------------------


def result(
    objectives: tuple[str, ...], budgets: dict[str, float], found: int = 3, kind: str = "measured"
) -> SimpleNamespace:
    """What report.py reads of a search.runs.results.Result."""
    known = ACCURACY if kind != "predicted" else None
    candidates = [
        Candidate(
            i, SimpleNamespace(id=f"{i}24c40a76c", values={}), COSTS, known,
            PredictedAccuracy(0.761 - 0.01 * i, 0.002) if kind != "measured" else None,
        )
        for i in range(found)
    ]  # fmt: skip
    config = SimpleNamespace(
        objectives=objectives, budgets=budgets, sampler="guided", accuracy=kind, precision=()
    )
    axes = tuple(Objective(name) for name in (*objectives, *([] if len(objectives) > 1 else ["macs"])))
    theirs = SimpleNamespace(card=SimpleNamespace(name="theirs", split="its images"))
    run = SimpleNamespace(
        config=config,
        supernet=SimpleNamespace(precisions=()),
        axes=axes,
        device=device(),
        power_meter=None,
        costs=COSTS,
        where="host",
        folder=Path("run"),
        measures=kind != "predicted",
        kind="predicted" if kind == "predicted" else "validation split",
        predictor=None if kind == "measured" else theirs,
        stds=lambda arch: {"latency_ms": 0.004},
        ranges=lambda candidate: {},
        outside=None,
    )
    reports = {candidates[0].arch.id: ACCURACY} if kind != "predicted" else {}
    return SimpleNamespace(
        upper_bound=None,
        raced={},
        corrected={
            c.arch.id: Corrected(0.9062, 0.9005, 0.9117, found) for c in candidates if kind != "predicted"
        },
        run=run,
        candidates=candidates,
        front=candidates,
        shown=candidates,
        chosen=candidates[0],
        reports=reports,
        proposals=found,
        verified=None,
        reselected=None,
    )


@pytest.mark.parametrize(
    ("objectives", "budgets"),
    [
        (("top1",), {}),
        (("top1",), {"latency_ms": 0.12, "macs": 2e6}),
        (("top1", "macs"), {}),
        (("top1", "latency_ms"), {"macs": 3e6}),
        (("top1", "latency_ms", "macs"), {"params": 3e5}),
    ],
)
def test_a_result_fits_in_eighty_columns(objectives: tuple[str, ...], budgets: dict[str, float]) -> None:
    found = result(objectives, budgets)
    narrow, wide = (rendered(report.result_table(found), width) for width in (80, 200))
    assert max(len(line.rstrip()) for line in wide.splitlines()) <= 80
    assert [line.rstrip() for line in narrow.splitlines()] == [line.rstrip() for line in wide.splitlines()]
    assert "…" not in narrow
    assert "91.30 [90.73, 91.84]" in narrow
    assert max(map(len, report.legend(found).splitlines())) <= 80


@pytest.mark.parametrize("kind", ["measured", "predicted", "both"])
@pytest.mark.parametrize("objectives", [("top1",), ("top1", "macs"), ("top1", "latency_ms", "macs")])
@pytest.mark.parametrize("measured", [0.1011, 0.13])
def test_measured_and_predicted_latency_stand_side_by_side(
    objectives: tuple[str, ...], kind: str, measured: float
) -> None:
    found = result(objectives, {"latency_ms": 0.12}, kind=kind)
    times = {c.arch.id: LatencyMeasurement(measured, 0.0999, 0.1502, 12) for c in found.candidates[:2]}
    found.verified = verified_of(found.candidates, times, 0.12)
    shown, legend = rendered(report.result_table(found), 80), report.legend(found)
    assert "measured" in shown
    assert f"{measured:g}" in shown
    assert "0.1024" in shown, "what is predicted"
    told = [line for line in legend.splitlines() if "Rank correlation" not in line]
    assert max(map(len, [*shown.splitlines(), *told])) <= 80
    within = measured <= 0.12
    assert (
        "The winner holds its budget of 0.12 ms when measured on host" in " ".join(legend.split())
    ) == within
    assert (report.alarm(found) == "") == within
    assert report.alarm(found).startswith("" if within else "MACHINE BUSY")


@pytest.mark.parametrize("objectives", [("top1",), ("top1", "macs"), ("top1", "latency_ms", "macs")])
def test_a_predicted_result_says_so_and_nothing_of_measurements(objectives: tuple[str, ...]) -> None:
    found = result(objectives, {"latency_ms": 0.12}, kind="predicted")
    shown = rendered(report.result_table(found), 80)
    assert "76.10 ± 0.33" in shown
    assert "predicted" in shown
    assert not {"report", "validation", "measured"} & set(re.findall(r"[a-z]+", shown))
    legend = report.legend(found)
    assert "No accuracy is measured" in legend
    assert "Top-1 is predicted by theirs" in legend
    assert max(map(len, [*shown.splitlines(), *legend.splitlines()])) <= 80


@pytest.mark.parametrize("objectives", [("top1",), ("top1", "macs"), ("top1", "latency_ms", "macs")])
def test_a_result_predicted_then_measured_shows_both_side_by_side(objectives: tuple[str, ...]) -> None:
    found = result(objectives, {}, kind="both")
    shown = rendered(report.result_table(found), 80)
    assert "91.30 [90.73, 91.84]" in shown
    assert "76.10 ± 0.33" in shown
    assert "3 candidates measured, 3 predicted" in report.legend(found)
    assert max(map(len, shown.splitlines())) <= 80


def test_the_rank_correlation_of_predicted_and_measured() -> None:
    """Of 1 2 3 4 against 1 3 2 4: one of six pairs is swapped, and ranks differ by 1 twice."""
    candidates = [
        Candidate(i, SimpleNamespace(id=str(i)), COSTS, replace(ACCURACY, top1=m), PredictedAccuracy(p))
        for i, (p, m) in enumerate([(0.71, 0.61), (0.72, 0.63), (0.73, 0.62), (0.74, 0.64)])
    ]
    found = report.agreement(SimpleNamespace(candidates=candidates))
    assert found.rows == 4
    assert found.kendall_tau == pytest.approx(4 / 6)
    assert found.spearman == pytest.approx(1 - 6 * 2 / (4 * 15))


def test_a_result_of_one_candidate_is_told_in_the_singular() -> None:
    assert "1 candidate measured, 1 proposed" in report.legend(result(("top1",), {}, found=1))
    assert "3 candidates measured, 3 proposed" in report.legend(result(("top1",), {}))


# -- progress --------------------------------------------------------------------


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    out = io.StringIO()
    shown = Console(file=out, force_terminal=True, width=80, highlight=False, soft_wrap=True)
    monkeypatch.setattr(progress, "console", lambda stderr: shown)
    return out


def wait_for(text: str, screen: io.StringIO) -> None:
    """Until it is drawn, for which rich has a thread."""
    while text not in screen.getvalue():
        time.sleep(0.02)


def test_a_resumed_bar_starts_where_the_study_stands(screen: io.StringIO) -> None:
    with progress.drawn("searching") as show_state:
        show_state(30, 60, "")  # first what an earlier command did
        wait_for("30/60", screen)
        show_state(31, 60, "")
        wait_for("31/60", screen)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "30/60" in text
    assert "31/60" in text
    assert "0/60" not in text.replace("30/60", "")
    assert "00:00" not in text, "what was done before must not count as done in no time"


def test_progress_fits_in_eighty_columns(screen: io.StringIO) -> None:
    best = SimpleNamespace(value=lambda name: 0.9182, validation=ACCURACY)
    run = SimpleNamespace(problem=SimpleNamespace(objectives=[Objective("top1")]), predictor=None)
    status = []
    with progress.drawn("searching") as show_state:
        pretend = lambda done, of, text: (status.append(text), show_state(done, of, text))  # noqa: E731
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(progress, "bar", lambda task: nullcontext(pretend))
            with progress.search_progress(run) as update:
                update(SimpleNamespace(trials=126, of=200, proposals=150, best=best))
    assert status == ["top-1 91.82 % on validation, 150 proposed"]
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).replace("\r", "\n").splitlines()
    assert any("126/200" in line and line.rstrip().endswith(status[0]) for line in lines)
    assert max(len(line.rstrip()) for line in lines) <= 80


def test_a_fine_tuning_is_told_with_its_test() -> None:
    rows = flat(readable.of_finetuning(TUNED))
    assert rows["classes"] == "2 kept, 1 gone"
    assert rows["weights kept"] == "as before: no epoch was better"
    assert rows["right only before, only after"] == "2,310, 12 images"
    assert rows["p-value of no difference"] == "1.5e-17 (McNemar, exact)"
    about = {name: value for name, value in TUNED["finetuning"].items() if name not in ("before", "paired")}
    rows = flat(readable.of_finetuning({**TUNED, "finetuning": {**about, "best_epoch": 7}}))
    assert rows["top-1 (%), report split, before"] == "-: it lacked classes"
    assert rows["weights kept"] == "after epoch 7"
    assert "p-value of no difference" not in rows
