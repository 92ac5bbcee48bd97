"""Ranges of estimated energy and CO2e, wherever a subnet's figures stand: tables, CSV files and comparisons."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from cost_models.device import Device, Power
from cost_models.devices import open_device
from cost_models.protocol import Target
from cost_models.registry import build
from oncefit import open_run
from search.reports.figures.plots import front_figure
from search.reports.words import told_power
from supernet import documents
from supernet.families.catalog import Supernet
from tests.helpers.command_here import command_here
from tests.helpers.own_predictor import write_mlp
from tests.helpers.tiny import write_device

ENDS = {
    "static_w": {"low": 1.0, "value": 1.7, "high": 3.5}, "pj_per_mac": {"low": 2.0, "value": 4.3, "high": 9.0},
    "pj_per_byte": {"low": 10.0, "value": 151.0, "high": 320.0},
}  # fmt: skip
ESTIMATES = ("energy_mj", "co2e_mg")


@pytest.fixture
def ran(
    supernet: Supernet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command beside a device whose power has ranges; returns what it printed on standard output."""
    monkeypatch.chdir(tmp_path)
    write_mlp(supernet, Path("drawn.safetensors"))
    device = yaml.safe_load(write_device(supernet, Path("known.yaml")).read_text())
    Path("known.yaml").write_text(yaml.safe_dump({**device, "power": {**ENDS, "source": "made up"}}))

    return command_here(capsys)


@pytest.fixture
def searched(ran: Callable[..., str]) -> Callable[..., str]:
    def search(out: str, *options: str, **keys: object) -> str:
        settings = {
            "supernet": "fmnist_mbv3", "accuracy": "predicted", "predictor": "drawn.safetensors", "trials": 6,
            "device": "known.yaml", "objectives": ["top1", "co2e_mg"],
        } | keys  # fmt: skip
        Path("mine.yaml").write_text(json.dumps(settings))
        return ran("search", "mine.yaml", "--out", out, *options)

    return search


def brief(ends: tuple[float, float]) -> str:
    """Two ends in mg as the tables have them: µg with two digits."""
    return "-".join(f"{float(f'{1e3 * end:.2g}'):.4g}" for end in ends)


def extremes(supernet: Supernet, name: str, arch: dict[str, Any]) -> tuple[float, float]:
    """The least and the greatest at any corner of the figures, by the cost model, which knows no ranges."""
    device = open_device("known.yaml", supernet, lambda _: None)
    grid = documents.load(Path("known.yaml"))["region"]
    assert grid == "FRA", "a grid without a range of its own"
    found = []
    for ends in itertools.product(("low", "high"), repeat=len(ENDS)):
        figures = {key: ENDS[key][end] for key, end in zip(ENDS, ends, strict=True)}
        corner = device.model_copy(
            update={"power": documents.check({**figures, "source": ""}, Power, "corner")}
        )
        assert isinstance(corner, Device)
        found.append(build(name, Target(supernet, corner))(supernet.space.from_dict(arch)))
    return min(found), max(found)


def test_a_front_has_the_ranges_of_every_subnet(searched: Callable[..., str], supernet: Supernet) -> None:
    table = searched("run")
    rows, told = pd.read_csv("run/front.csv"), json.loads(Path("run/result.json").read_text())
    assert len(rows) == len(told["front"])
    for (_, row), member in zip(rows.iterrows(), told["front"], strict=True):
        for name in ESTIMATES:
            least, greatest = extremes(supernet, name, member["arch"])
            assert row[f"predicted_{name}_low"] == pytest.approx(least)
            assert row[f"predicted_{name}_high"] == pytest.approx(greatest)
            assert least < row[f"predicted_{name}"] < greatest
        shown = next(line for line in table.splitlines() if member["arch_id"] in line)
        assert brief(extremes(supernet, "co2e_mg", member["arch"])) in shown
    assert "range of" in table
    assert "Ranges of energy and CO2e: what figures of power and grid allow." in table
    assert max(map(len, table.splitlines())) <= 80


def test_energy_by_a_meter_is_estimated_from_measured_power(
    searched: Callable[..., str], ran: Callable[..., str]
) -> None:
    """In the same words wherever it stands: table, card, cost, front, picture, comparison and ledger."""
    device = yaml.safe_load(Path("known.yaml").read_text())
    fitted = {
        "meter": "RAPL (package-0)", "date": "2026-01-02", "subnets": 8, "error_percent": 1.0,
        "worst_error_percent": 2.0, "spread_percent": 0.5,
    }  # fmt: skip
    assumed = searched("assumed", objectives=["top1"])
    assert "energy (mJ), estimated for known" in assumed
    assert "power_meter" not in json.loads(Path("assumed/result.json").read_text())
    Path("known.yaml").write_text(yaml.safe_dump(device | {"power": device["power"] | {"fitted": fitted}}))
    assert "energy (mJ), estimated from measured power for known" in searched("metered", objectives=["top1"])
    assert json.loads(Path("metered/result.json").read_text())["power_meter"] == "RAPL (package-0)"
    shown = ran("export", "metered", "--uncalibrated", "--out", "bundle")
    assert "CO2e (µg), estimated from measured power for known" in shown
    assert json.loads(Path("bundle/card.json").read_text())["device"]["power_meter"] == "RAPL (package-0)"
    assert "power, measured" in ran("device", "known.yaml", "--supernet", "fmnist_mbv3")
    arch = "bundle/arch.json"
    assert "energy (mJ), estimated from measured power for known" in ran(
        "cost", arch, "--device", "known.yaml"
    )
    costs = json.loads(ran("cost", arch, "--device", "known.yaml", "--json"))
    assert costs["power_meter"] == "RAPL (package-0)"
    front = searched("fronts")
    assert "Energy and CO2e are estimated from measured power." in front
    assert max(map(len, front.splitlines())) <= 80
    label = front_figure(open_run(Path("fronts")).result).axes[0].get_xlabel()
    assert label == "CO2e (µg), estimated from measured power for known"
    assert "CO2e is estimated from measured power." in ran(
        "compare", "fronts", "metered", "--cost", "co2e_mg"
    )
    ledger = ran("carbon", "metered", "--requests-per-day", 9, "--life-days", 9, "--out", "ledger", "--json")
    assert json.loads(ledger)["known"]["inference"] == "estimated from measured power: known"


def test_a_comparison_says_where_only_some_power_is_measured() -> None:
    assert told_power(["macs"], ["RAPL"]) == []
    assert told_power(["co2e_mg"], ["RAPL", "RAPL"]) == ["CO2e is estimated from measured power."]
    assert told_power(["energy_mj", "co2e_mg"], [None]) == ["Energy and CO2e are estimated."]
    assert told_power(["energy_mj"], [None, "RAPL"]) == [
        "Energy is estimated, of some runs from measured power."
    ]


def test_what_has_no_range_is_shown_without(searched: Callable[..., str], supernet: Supernet) -> None:
    write_device(supernet, Path("known.yaml"))
    table = searched("run")
    assert "ange" not in table
    assert not any("_low" in name for name in pd.read_csv("run/front.csv"))


def test_a_wide_table_leaves_ranges_to_the_file(searched: Callable[..., str]) -> None:
    table = searched("run", objectives=["top1", "co2e_mg", "energy_mj"], budgets={"latency_ms": 9.0})
    assert "range of" not in table
    assert max(map(len, table.splitlines())) <= 80
    assert "predicted_co2e_mg_low" in pd.read_csv("run/front.csv")


def test_a_comparison_in_co2e_has_ranges(
    searched: Callable[..., str], ran: Callable[..., str], supernet: Supernet
) -> None:
    searched("a")
    searched("b", "--seed", "1")
    told = json.loads(ran("compare", "a", "b", "--out", "c", "--json"))
    table = ran("compare", "a", "b", "--out", "c")
    fronts = {member["arch_id"]: member for front in told["fronts"].values() for member in front}
    rows = pd.read_csv("c/comparison.csv")
    for _, row in rows.iterrows():
        least, greatest = extremes(supernet, "co2e_mg", fronts[row["arch_id"]]["arch"])
        assert (row["predicted_co2e_mg_low"], row["predicted_co2e_mg_high"]) == pytest.approx(
            (least, greatest)
        )
        assert fronts[row["arch_id"]]["predicted"]["co2e_mg_low"] == pytest.approx(least)
    best = told["runs"][0]["best_at"][-1]
    least, greatest = extremes(supernet, "co2e_mg", fronts[best["arch_id"]]["arch"])
    assert best["predicted_co2e_mg_low"] == pytest.approx(least)
    assert least < best["predicted_co2e_mg"] < greatest
    assert brief((least, greatest)) in table
    assert "Ranges of CO2e: what figures of power and grid allow." in table
    assert "Ranges" not in ran("compare", "a", "b", "--cost", "macs", "--out", "d"), "multiply-adds are exact"
