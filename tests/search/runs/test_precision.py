"""Precision as a choice of a search: what is proposed, measured, kept and said."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

import oncefit
from cost_models.host_facts import cpu_name
from search.proposing.samplers import SAMPLERS
from search.reports import report
from search.runs.config import made_config
from search.runs.in_int8 import write_int8
from search.runs.measured_subnets import from_run
from search.runs.measuring import MeasuredAccuracy
from supernet import documents
from supernet.archs.arch import FLOAT32, INT8, PRECISION, Arch
from supernet.bundles.bundle import evaluate_bundle, verify_bundle
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.images.data import Dataset
from tests.helpers.own_data import write_folders
from tests.helpers.plain_evaluation import inputs_of
from tests.helpers.timed import write_device_here

BOTH = (FLOAT32, INT8)


@pytest.fixture(scope="module")
def own_data(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(data, tmp_path_factory.mktemp("own"))


@pytest.fixture(scope="module")
def settings(own_data: Path) -> dict[str, Any]:
    return {"supernet": "fmnist_mbv3", "precision": BOTH, "data": own_data, "trials": 5,
            "objectives": ["top1", "weights_bytes"], "sampler": "random", "seed": 1}  # fmt: skip


@pytest.fixture(scope="module")
def run(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> oncefit.Run:
    return oncefit.search(**settings, out=tmp_path_factory.mktemp("runs") / "run", say=lambda _: None)


def made_up(arch: Arch) -> float:
    """An accuracy that is the greater the larger the images are, and less in int8."""
    return 0.8 + arch.resolution / 1000 - 0.01 * (arch.precision == INT8)


# -- archs -------------------------------------------------------------------------


def test_an_id_is_that_of_the_network_and_says_int8(supernet: Supernet) -> None:
    network = supernet.space.middle()
    joint = supernet.at_precisions(BOTH)
    text = json.dumps({"space": network.space, "choices": dict(network.choices)}, separators=(",", ":"))
    digits = hashlib.sha256(text.encode()).hexdigest()[:10]
    low, high = (joint.space.arch({**network.values, PRECISION: bits}) for bits in (8, 32))
    assert (network.id, high.id, low.id) == (digits, digits, f"{digits}-int8")
    assert low.network == high.network == network
    assert [arch.precision for arch in (network, high, low)] == [FLOAT32, FLOAT32, INT8]
    assert str(low) == f"{network} int8"
    assert joint.fingerprint == supernet.fingerprint
    assert joint.of_networks.space == supernet.space
    assert joint.layers(low) == supernet.layers(network)
    assert joint.space.size == 2 * supernet.space.size


# -- searches ----------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_chooses_precisions_within_a_budget_of_bytes(sampler: str, tmp_path: Path) -> None:
    run = oncefit.search(
        "fmnist_mbv3", precision=BOTH, accuracy=made_up, trials=8, sampler=sampler, out=tmp_path / "run",
        budgets={"weights_bytes": 6e5}, say=lambda _: None,
    )  # fmt: skip
    assert len(run.candidates) == 8
    assert set(run.candidates["precision"]) == set(BOTH)
    assert run.candidates["predicted_weights_bytes"].max() <= 6e5
    ids = run.candidates.index
    assert [arch_id.endswith("-int8") for arch_id in ids] == list(run.candidates["precision"] == INT8)


def test_accuracies_are_those_of_the_file_in_int8(
    run: oncefit.Run, supernet: Supernet, own_data: Path, tmp_path: Path
) -> None:
    import onnxruntime

    measuring = MeasuredAccuracy(supernet, str(own_data))
    found = {c.arch.precision: c for c in run.result.candidates}
    assert set(found) == set(BOTH)
    high, low = found[FLOAT32], found[INT8]
    assert high.validation == measuring(high.arch.network, "validation")
    write_int8(measuring.subnet(low.arch), low.arch, measuring.data, tmp_path / "int8.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "int8.onnx", providers=["CPUExecutionProvider"])
    images = measuring.data.validation
    inputs = inputs_of(images.pixels, low.arch.resolution).numpy()  # type: ignore[union-attr]
    [logits] = session.run(None, {session.get_inputs()[0].name: inputs})
    assert low.validation is not None
    assert low.validation.top1 == float(np.mean(logits.argmax(1) == images.labels.numpy()))
    again = tmp_path / "again.onnx"
    write_int8(measuring.subnet(low.arch), low.arch, measuring.data, again)
    assert again.read_bytes() == (tmp_path / "int8.onnx").read_bytes()


def test_files_and_words_say_the_precision(run: oncefit.Run) -> None:
    run.write()
    rows = pd.read_csv(run.folder / "front.csv")
    assert set(rows["precision"]) <= set(BOTH)
    told = json.loads((run.folder / "result.json").read_text())
    assert {found["precision"] for found in told["front"]} == set(rows["precision"])
    assert "or in int8 where its id says so" in report.legend(run.result)
    assert run.config.precision == (INT8, FLOAT32)


def test_a_search_goes_on_in_its_precisions_only(run: oncefit.Run, settings: dict[str, Any]) -> None:
    more = oncefit.search(**{**settings, "trials": 6}, out=run.folder, say=lambda _: None)
    assert list(more.candidates.index[:5]) == list(run.candidates.index)
    with pytest.raises(InputError, match="precision was"):
        oncefit.search(**{**settings, "precision": [INT8]}, out=run.folder, say=lambda _: None)
    opened = oncefit.open_run(run.folder, measure=False)
    assert opened.candidates.shape == more.candidates.shape


def test_a_predictor_tells_a_joint_search_where_to_begin(settings: dict[str, Any], tmp_path: Path) -> None:
    said: list[str] = []
    run = oncefit.search(
        **{**settings, "sampler": "guided", "trials": 2}, out=tmp_path / "run", say=said.append
    )
    assert len(run.candidates) == 2
    problem = run.result.run.problem
    assert (problem.expected is not None) == any("tells where to begin" in line for line in said)
    if problem.expected is not None:
        arch = run.chosen
        both = problem.space.encode(
            [problem.space.arch({**arch.values, PRECISION: bits}) for bits in (8, 32)]
        )
        low, high = problem.expected(both)
        assert low == high


def test_subnets_of_a_joint_run(run: oncefit.Run, supernet: Supernet) -> None:
    low = next(arch_id for arch_id in run.candidates.index if arch_id.endswith("-int8"))
    arch = next(c.arch for c in run.result.candidates if c.arch.id == low)
    with pytest.raises(InputError, match=r"is in int8, and torch modules are in float32: export\(\)"):
        run.extract(arch)
    assert run.supernet.extract(arch.network) is not None
    assert run.evaluate(arch, "validation") == next(
        c.validation for c in run.result.candidates if c.arch.id == low
    )
    assert all(c.arch.precision == FLOAT32 for c in run.result.candidates if "-" not in c.arch.id)
    learned = from_run(run.folder, supernet)
    known = oncefit.open_run(run.folder, measure=False).candidates
    assert len(learned.top1) == sum(known["precision"] == FLOAT32) > 0


def test_a_bundle_in_int8_carries_and_runs_the_file_that_was_measured(
    run: oncefit.Run, supernet: Supernet, own_data: Path, tmp_path: Path
) -> None:
    low = next(c for c in run.result.candidates if c.arch.precision == INT8)
    bundle = run.export(low.arch, tmp_path / "bundle")
    card = bundle.card
    assert (card.arch_id, card.precision, card.deployed) == (low.arch.network.id, INT8, "model-int8.onnx")
    assert card.figures.predicted["weights_bytes"] == low.costs["weights_bytes"]
    assert low.validation is not None
    assert card.figures.measured["validation"]["top1"] == low.validation.top1
    measuring = MeasuredAccuracy(supernet, str(own_data))
    write_int8(measuring.subnet(low.arch), low.arch, measuring.data, tmp_path / "int8.onnx")
    assert (bundle.folder / "model-int8.onnx").read_bytes() == (tmp_path / "int8.onnx").read_bytes()
    assert (
        evaluate_bundle(bundle.opened, measuring.data.report).top1 == card.figures.measured["report"]["top1"]
    )
    assert verify_bundle(bundle.folder, measuring.data).other_classes == 0  # of the network in float32
    program = [sys.executable, str(bundle.folder / "predict.py"), "--self-test"]
    found = subprocess.run(program, capture_output=True, text=True)
    assert (found.returncode, found.stderr) == (0, "")
    state = load_file(bundle.folder / "weights.safetensors")
    save_file({name: tensor.flip(0) if "classifier" in name else tensor for name, tensor in state.items()},
              tmp_path / "new.safetensors")  # fmt: skip
    updated = bundle.update(tmp_path / "new.safetensors", out=tmp_path / "updated")
    assert (updated.card.precision, updated.card.deployed) == (INT8, "model-int8.onnx")
    assert updated.card.files["model-int8.onnx"] != card.files["model-int8.onnx"]
    again = evaluate_bundle(updated.opened, measuring.data.report)
    assert (
        again.top1
        == updated.card.figures.measured["report"]["top1"]
        != card.figures.measured["report"]["top1"]
    )
    high = next(c for c in run.result.candidates if c.arch.precision == FLOAT32)
    plain = run.export(high.arch, tmp_path / "plain").card
    assert (plain.arch_id, plain.precision, plain.deployed) == (high.arch.id, None, "model.onnx")
    with pytest.raises(InputError, match="in int8, whose ranges are of calibration images"):
        run.export(low.arch, tmp_path / "without", calibrated=False)


def test_an_enqueued_network_is_evaluated_at_each_precision(supernet: Supernet, tmp_path: Path) -> None:
    network = supernet.space.smallest()
    single = supernet.at_precisions(BOTH).space.arch({**supernet.space.largest().values, PRECISION: 8})
    run = oncefit.search(
        "fmnist_mbv3", precision=BOTH, accuracy=made_up, trials=3, enqueue=[network, single],
        out=tmp_path / "run", say=lambda _: None,
    )  # fmt: skip
    assert set(run.candidates.index) == {network.id, f"{network.id}-int8", f"{single.network.id}-int8"}


def test_one_precision_is_a_search_in_it_alone(tmp_path: Path) -> None:
    run = oncefit.search(
        "fmnist_mbv3", precision="int8", accuracy=made_up, trials=3, out=tmp_path / "run", say=lambda _: None
    )
    assert set(run.candidates["precision"]) == {INT8}


# -- what is refused ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precision": ["int4"]}, "unknown precision .*int4.*int8"),
        ({"precision": BOTH, "accuracy": "predicted"}, "predictors know nothing of precision"),
    ],
)
def test_what_cannot_be_searched_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made_config({"supernet": "fmnist_mbv3", **given}, {})


def test_a_run_without_precisions_says_nothing_of_them(supernet: Supernet, tmp_path: Path) -> None:
    run = oncefit.search("fmnist_mbv3", accuracy=made_up, trials=2, out=tmp_path / "run", say=lambda _: None)
    assert "precision" not in run.candidates.columns
    assert "predicted_weights_bytes" not in run.candidates.columns
    assert "precision" not in run.result.run.identity
    assert run.result.run.problem.space == supernet.space
    assert "int8" not in report.legend(run.result)


# -- devices -----------------------------------------------------------------------


@pytest.fixture
def here_in_both(supernet: Supernet, tmp_path: Path) -> dict[str, object]:
    """This machine at made-up prices, that it has in int8 too."""
    path = tmp_path / "bench.yaml"
    write_device_here(supernet, path)
    data = documents.load(path)
    data["latency"]["settings"] = {**data["latency"].get("settings", {}), "precision": INT8}
    (tmp_path / "bench8.yaml").write_text(documents.dump({**data, "name": "bench8"}))
    return {"base": str(path), "at": {INT8: str(tmp_path / "bench8.yaml")}}


def test_candidates_are_timed_at_their_precision(
    here_in_both: dict[str, object], settings: dict[str, Any], tmp_path: Path
) -> None:
    said: list[str] = []
    run = oncefit.search(
        **{**settings, "trials": 3, "objectives": ["top1"], "device": here_in_both},
        budgets={"latency_ms": 50.0}, verify_on_device=3, out=tmp_path / "run", say=said.append,
    )  # fmt: skip
    assert run.verified is not False
    sessions = documents.load(tmp_path / "run" / "on_device.yaml")["sessions"]
    timed = {s["setup"]["precision"]: len(s["subnets"]) for s in sessions}
    assert timed == dict(run.candidates["precision"].value_counts())
    assert run.candidates["measured_latency_ms"].notna().all()
    assert {s["cpu"] for s in sessions} == {cpu_name()}


def test_a_search_of_latency_needs_a_device_at_each_precision(
    supernet: Supernet, settings: dict[str, Any], tmp_path: Path
) -> None:
    write_device_here(supernet, tmp_path / "bench.yaml")
    asked: Callable[..., object] = oncefit.search
    with pytest.raises(InputError, match=r"has no latency at int8.*at: \{int8: "):
        asked(
            **{**settings, "objectives": ["top1"], "device": str(tmp_path / "bench.yaml")},
            budgets={"latency_ms": 50.0}, out=tmp_path / "run", say=lambda _: None,
        )  # fmt: skip
