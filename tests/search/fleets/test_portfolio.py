"""A portfolio of subnets: who gets which, what it loses, and what is said where it cannot be."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import oncefit
from cost_models.device import Device
from cost_models.latency import latency_ms
from cost_models.protocol import Target
from search.fleets.one_proxy import proxy_front, rank_correlations
from supernet import documents
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.images.data import Dataset
from tests.helpers.command_here import command_here
from tests.helpers.fleets import Judge, budgets_of, made_devices
from tests.helpers.own_data import write_folders
from tests.helpers.paths import REFERENCE
from tests.helpers.tiny import all_archs, open_tiny

ROWS = """name,top1,top1_low,top1_high,phone,board,watch,board_mj
small,0.80,0.79,0.81,1.0,2.0,3.0,5
wide,0.88,0.87,0.89,2.9,2.5,9.0,6
deep,0.90,0.89,0.91,2.5,6.0,8.0,9
large,0.95,0.94,0.96,9.0,9.0,9.5,20
"""
DEVICES = {"phone": {"latency_ms": 3.0}, "board": {"latency_ms": 3.0}, "watch": {"latency_ms": 9.0}}
OWN = {"phone": "deep", "board": "wide", "watch": "deep"}
"""The most accurate row within each budget."""


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    return path


def test_each_device_has_the_best_of_the_kept_within_its_budget(rows: Path) -> None:
    made = oncefit.fleet(candidates=rows, devices=DEVICES, subnets=2)
    assert made.lost == 0
    assert made.table["subnet"].to_dict() == OWN
    assert made.table.loc["board", "left_of_budget_latency_ms"] == pytest.approx(1 - 2.5 / 3)
    assert set(made.table["latency_ms_is"]) == {"measured"}
    assert made.table.loc["phone", ["top1", "top1_low", "top1_high"]].tolist() == [0.90, 0.89, 0.91]
    assert made.archs == {}


def test_a_name_is_never_a_formula_in_the_picture(rows: Path, tmp_path: Path) -> None:
    rows.write_text(ROWS.replace("phone", r"$\frac{$").replace("deep", "$x_{$"))
    made = oncefit.fleet(
        candidates=rows, devices={r"$\frac{$": {"latency_ms": 3.0}, "board": {"latency_ms": 3.0}}, subnets=2
    )
    made.write(tmp_path / "out")
    named = [label.get_text() for label in made.plot().axes[1].get_yticklabels()]
    assert sorted(named) == [r"$\frac{$", "board"]


def test_one_subnet_for_all_loses_what_can_be_counted(rows: Path) -> None:
    made = oncefit.fleet(candidates=rows, devices=DEVICES, subnets=1)
    assert made.subnets == ("wide",)
    assert made.lost == pytest.approx((2 + 0 + 2) / 3)
    assert made.lost_at_least == pytest.approx(made.lost)
    assert made.curve["lost"].tolist() == pytest.approx([made.lost, 0, 0], abs=1e-9)
    assert made.curve["worst_device"][1] in ("phone", "watch")


def test_weights_decide_who_gets_less(rows: Path) -> None:
    """Two subnets for three devices that want three: the one with few requests gives way."""
    wanted = {"phone": {"latency_ms": 3.0}, "board": {"latency_ms": 3.0}, "watch": {"latency_ms": 10.0}}
    for light in ("phone", "watch"):
        devices = [
            {"device": name, "budgets": limits, "count": 1 if name == light else 50, "requests_per_day": 20}
            for name, limits in wanted.items()
        ]
        made = oncefit.fleet(candidates=rows, devices=devices, subnets=2)
        assert made.table["lost"].idxmax() == light
        assert made.table.loc[light, "weight"] == pytest.approx(1 / 101)
        assert made.lost == pytest.approx(made.table.loc[light, "lost"] / 101)


def test_a_device_that_does_not_count_is_served_all_the_same(rows: Path) -> None:
    devices = [{"device": n, "budgets": b, "count": 0 if n == "board" else 3} for n, b in DEVICES.items()]
    made = oncefit.fleet(candidates=rows, devices=devices, subnets=2)
    assert made.lost == 0
    assert made.table.loc["board", "latency_ms"] <= 3.0


def test_slack_is_held_back_of_every_budget(rows: Path) -> None:
    made = oncefit.fleet(candidates=rows, devices=DEVICES, subnets=3, slack=0.17)
    assert made.table["subnet"].to_dict() == {"phone": "small", "board": "small", "watch": "small"}
    made = oncefit.fleet(candidates=rows, devices=DEVICES, subnets=3, slack=0.11)
    assert made.table["subnet"].to_dict() == OWN


def test_the_least_of_a_cost_above_a_floor(rows: Path) -> None:
    devices = {
        "phone": {"columns": {"latency_ms": "phone", "energy_mj": "phone"}},
        "board": {"columns": {"latency_ms": "board", "energy_mj": "board_mj"}, "requests_per_day": 3},
    }
    made = oncefit.fleet(candidates=rows, devices=devices, subnets=2, minimize="energy_mj", floor=0.85)
    assert made.table["subnet"].to_dict() == {"phone": "deep", "board": "wide"}
    one = oncefit.fleet(candidates=rows, devices=devices, subnets=1, minimize="energy_mj", floor=0.85)
    assert one.subnets == ("wide",)
    # 2.9 in place of 2.5 for one request in four, of (2.5 + 3 x 6) / 4
    assert one.lost == pytest.approx(100 * (2.9 - 2.5) / (2.5 + 3 * 6))
    assert set(one.table["lost_unit"]) == {"%"}


def test_no_more_subnets_are_kept_than_are_of_use(rows: Path) -> None:
    made = oncefit.fleet(candidates=rows, devices=DEVICES, subnets=3)
    assert sorted(made.subnets) == ["deep", "wide"]
    assert len(oncefit.fleet(candidates=rows, devices=DEVICES, subnets=40).subnets) == 2


def test_rows_of_one_candidate_count_once_by_their_median(tmp_path: Path) -> None:
    path = tmp_path / "twice.csv"
    path.write_text("name,top1,phone\na,0.5,1\nb,0.6,4\nb,0.6,2\nb,0.6,2.2\n")
    made = oncefit.fleet(candidates=path, devices={"phone": {"latency_ms": 2.5}}, subnets=1)
    assert made.table.loc["phone", ["subnet", "latency_ms"]].tolist() == ["b", 2.2]


def test_a_candidate_without_a_cost_on_a_device_is_not_for_it(tmp_path: Path) -> None:
    path = tmp_path / "gaps.csv"
    path.write_text("name,top1,phone,board\na,0.9,,1\nb,0.6,2,3\n")
    made = oncefit.fleet(
        candidates=path, devices={name: {"latency_ms": 5.0} for name in ("phone", "board")}, subnets=2
    )
    assert made.table["subnet"].to_dict() == {"phone": "b", "board": "a"}


# -- a search for several devices ----------------------------------------------------------


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[oncefit.Fleet, Judge, dict[str, str]]:
    folder = tmp_path_factory.mktemp("searched")
    supernet = open_tiny(folder)
    files, judge = made_devices(folder, supernet), Judge(supernet)
    limits = budgets_of(supernet, files)
    devices = {files[name]: {"latency_ms": limit} for name, limit in limits.items()}
    fleet = oncefit.search_fleet(
        str(folder / "tiny.yaml"), devices=devices, accuracy=judge, trials=18, out=folder / "fleet"
    )
    return fleet, judge, files


def test_one_study_serves_its_devices_and_others(
    searched: tuple[oncefit.Fleet, Judge, dict[str, str]], tmp_path: Path
) -> None:
    fleet, judge, files = searched
    made = oncefit.fleet(run=fleet, subnets=3)
    assert made.archs == {n: run.chosen for n, run in fleet.runs.items()}
    assert oncefit.fleet(run=fleet, subnets=1).lost == pytest.approx(
        100
        * np.mean([judge.accuracy(r.chosen) - judge.accuracy(fleet.one_for_all) for r in fleet.runs.values()])  # type: ignore[arg-type]
    )
    # of a device that was not searched for costs are predicted now
    supernet: Supernet = next(iter(fleet.runs.values())).supernet.described
    other = tmp_path / "other.yaml"
    slower = yaml.safe_load(Path(files["wide"]).read_text())
    slower["name"] = "other"
    slower["latency"]["coefficients"] = {k: 1.5 * v for k, v in slower["latency"]["coefficients"].items()}
    other.write_text(yaml.safe_dump(slower))
    cost = latency_ms(Target(supernet, documents.read(other, Device)))
    archs = {arch.id: arch for arch in all_archs(supernet)}
    limit = sorted(cost(archs[key]) for key in judge.asked)[6]
    more = oncefit.fleet(
        run=fleet, subnets=4,
        devices=[*({"device": name} for name in fleet.runs), {"device": str(other), "budgets": {"latency_ms": limit}}],
    )  # fmt: skip
    within = [archs[key] for key in judge.asked if cost(archs[key]) <= limit]
    assert more.archs["other"] == max(within, key=judge.accuracy)
    assert set(more.table["latency_ms_is"]) == {"predicted"}
    assert more.table.loc["other", "latency_ms"] == pytest.approx(cost(more.archs["other"]))


def test_the_command_says_who_gets_what_and_writes_it(
    searched: tuple[oncefit.Fleet, Judge, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    fleet, _, _ = searched
    monkeypatch.chdir(tmp_path)
    # the accuracies of this run came from a function, which only searching needs
    run = command_here(capsys)
    printed = run("fleet", fleet.folder, "--subnets", 2)
    made = oncefit.fleet(fleet.folder, subnets=2)
    for name, arch in made.archs.items():
        assert any(name in line and arch.id in line for line in printed.splitlines())
    out = tmp_path / "runs" / "portfolio-fleet"
    assert sorted(path.name for path in out.iterdir()) == [
        "portfolio-curve.csv", "portfolio.csv", "portfolio.json", "portfolio.png",
    ]  # fmt: skip
    figures = json.loads((out / "portfolio.json").read_text())
    assert figures == made.to_dict()
    with (out / "portfolio-curve.csv").open() as file:
        losses = [float(row["lost"]) for row in csv.DictReader(file)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0
    assert figures["one_proxy"]["proxies"][0]["lost"] >= 0


def test_what_was_measured_is_measured_on_the_report_split(tmp_path: Path, data: Dataset) -> None:
    run = oncefit.search(
        "fmnist_mbv3",
        budgets={"macs": 1.2e6},
        trials=2,
        out=tmp_path / "run",
        data=write_folders(data, tmp_path / "own"),
    )
    devices = {"office": {"macs": 1.2e6}, "door": {"macs": 2e6}}
    [subnet] = oncefit.fleet(run=run, subnets=1, devices=devices).to_dict()["subnets"]
    assert subnet["devices"] == ["office", "door"]
    known = run.result.reports[subnet["subnet"]]
    assert [subnet[f"report_top1{end}"] for end in ("", "_low", "_high")] == [
        known.top1,
        known.top1_low,
        known.top1_high,
    ]
    measured = run.result.chosen.validation
    assert measured is not None
    assert [subnet[f"top1{end}"] for end in ("", "_low", "_high")] == [
        measured.top1,
        measured.top1_low,
        measured.top1_high,
    ]
    again = oncefit.fleet(run=run.folder, subnets=1, devices=devices, measure=False)
    assert again.archs == {"office": run.chosen, "door": run.chosen}
    assert "report_top1" not in again.to_dict()["subnets"][0]


# -- one proxy --------------------------------------------------------------------------


def test_of_monotone_devices_one_proxy_is_enough(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    latency = rng.lognormal(0, 0.5, 200)
    top1 = 0.7 + 0.05 * np.log1p(latency) + 0.01 * rng.random(200)
    path = tmp_path / "monotone.csv"
    lines = [
        f"c{i},{top1[i]:.6f},{latency[i]:.6f},{3 * latency[i] ** 0.8:.6f},{1 + latency[i]:.6f}"
        for i in range(200)
    ]
    path.write_text("name,top1,one,two,three\n" + "\n".join(lines) + "\n")
    devices = {"one": {"latency_ms": 1.0}, "two": {"latency_ms": 2.0}, "three": {"latency_ms": 3.0}}
    found = oncefit.fleet(candidates=path, devices=devices, subnets=3).to_dict()["one_proxy"]
    assert found["enough"]
    for one in found["proxies"]:
        assert one["least_spearman"] == pytest.approx(1)
        assert one["lost"] == pytest.approx(0, abs=1e-9)


def test_of_devices_in_other_orders_a_proxy_loses_what_its_front_lacks(rows: Path) -> None:
    found = oncefit.fleet(candidates=rows, devices=DEVICES, subnets=2).to_dict()["one_proxy"]
    by_name = {one["device"]: one for one in found["proxies"]}
    # on the board deep is dearer than wide and more accurate, on the phone wide is dearer and less so
    assert by_name["board"]["lost"] == 0
    assert by_name["phone"]["front_size"] == 3
    assert by_name["phone"]["lost"] == pytest.approx((88 - 80) / 3)


def test_ranks_are_correlated_as_scipy_has_them() -> None:
    from scipy.stats import spearmanr

    costs = np.random.default_rng(1).integers(0, 20, (5, 60)).astype(float)
    assert rank_correlations(costs) == pytest.approx(spearmanr(costs.T)[0])


def test_a_front_has_what_nothing_else_is_as_good_and_as_cheap_as() -> None:
    rng = np.random.default_rng(2)
    top1, cost = rng.integers(0, 30, 80) / 30, rng.integers(0, 30, 80).astype(float)
    kept = set(proxy_front(top1, cost).tolist())
    for i in range(80):
        beaten = (top1 >= top1[i]) & (cost <= cost[i]) & ((top1 > top1[i]) | (cost < cost[i]))
        twins = [j for j in kept if top1[j] == top1[i] and cost[j] == cost[i]]
        assert (len(twins) == 1) == (not beaten.any())


# -- what cannot be --------------------------------------------------------------------


def entry(**keys: object) -> dict[str, Any]:
    return {"devices": [{"device": "phone", "budgets": {"latency_ms": 3.0}, **keys}]}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"devices": {"watch": {"latency_ms": 2.0}}}, r"device watch: .*the nearest, small, has latency_ms 3, 50 % over.*latency_ms: 3\b"),
        ({"slack": 0.8}, "device phone: .*less the slack of 80 %.*; device board: .*; device watch"),
        ({"subnets": 0}, "subnets: got '0'"),
        ({"subnets": None}, "say how many subnets"),
        (entry(count=-1), "count: got '-1'"),
        (entry(requests_per_day=-2.5), "requests_per_day: got '-2.5'"),
        (entry(count=0), "is 0 for all of them"),
        ({"devices": {"phome": {"latency_ms": 3.0}}}, "phome needs latency_ms .* Its columns: .*phone"),
        ({"devices": {"phone": {"latency_ms": 3.0}, "b": {"columns": {"latency_ms": "bord"}, "budgets": {"latency_ms": 1}}}}, "Did you mean 'board'"),
        ({"devices": [{"device": "phone", "budgets": {"latency_ms": 3.0}}] * 2}, "phone is given twice"),
        ({"devices": {"phone": {}}}, "phone has no budget"),
        ({"devices": {"phone": {"latency_ms": -3.0}}}, "must be positive"),
        ({"devices": None}, "the portfolio needs devices"),
        ({"devices": 3}, "devices are a list"),
        ({"minimize": "latency_ms", "floor": 0.97}, "floor: 0.97: no candidate .* the best, large, has 0.95"),
        ({"minimize": "latency_ms", "floor": 0.92}, "device phone: no candidate within its budgets has a top1 of 0.92; the nearest, deep, has 0.90"),
        ({"minimize": "latency_ms"}, "minimize and floor go together"),
        ({"floor": 0.9}, "minimize and floor go together"),
        ({"minimize": "top1", "floor": 0.9}, "is an accuracy"),
        ({"slack": 1.0}, "slack: got '1.0'"),
        ({"run": "somewhere"}, "one of them"),
        ({"predictor": "mine"}, "say of which supernet"),
        ({"seconds": 0.0}, "seconds: got"),
    ],
)  # fmt: skip
def test_what_no_portfolio_can_be_made_of_is_refused(asked: dict[str, Any], said: str, rows: Path) -> None:
    given: dict[str, Any] = {"candidates": rows, "devices": DEVICES, "subnets": 2, **asked}
    with pytest.raises(InputError, match=said):
        oncefit.fleet(**given)


def test_too_few_subnets_say_how_many_are_enough(tmp_path: Path) -> None:
    path = tmp_path / "apart.csv"
    path.write_text("name,top1,a,b,c\nx,0.9,1,9,9\ny,0.8,9,1,9\nz,0.7,9,9,1\n")
    devices = {name: {"latency_ms": 2.0} for name in "abc"}
    with pytest.raises(InputError, match=r"no 2 of the candidates .* 3 do: --subnets 3"):
        oncefit.fleet(candidates=path, devices=devices, subnets=2)
    made = oncefit.fleet(candidates=path, devices=devices, subnets=3)
    assert made.curve["lost"].isna().tolist() == [True, True, False]


def test_a_file_has_paths_from_its_folder_and_options_take_its_place(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "asked.yaml").write_text(
        yaml.safe_dump({"candidates": "rows.csv", "devices": DEVICES, "subnets": 1, "slack": 0.5})
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run = command_here(capsys)
    figures = json.loads(run("fleet", "../asked.yaml", "--subnets", 2, "--slack", 0.1, "--json"))
    assert {one["device"]: one["subnet"] for one in figures["devices"]} == OWN
    assert (tmp_path / "elsewhere" / "runs" / "portfolio-asked" / "portfolio.png").is_file()


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published measurements are not here")
def test_the_published_gpus_need_two_subnets_within_every_budget(tmp_path: Path) -> None:
    """Every latency is the file's own, so that none may be above its budget; one subnet loses more than two."""
    predictor, rows = tmp_path / "w12.safetensors", REFERENCE / "measured/latency/latency_ms_gpu.csv"
    oncefit.import_predictor("w12", REFERENCE / "acc_predictor.pth", "ofa_mbv3_w1.2", out=predictor)
    with rows.open() as file:
        known = [row for row in csv.DictReader(file) if int(row["r"]) in (160, 176, 192, 208, 224)]
    names = [name for name in known[0] if name not in ("d", "ks", "e", "r")]
    medians = {name: float(np.median([float(row[name]) for row in known])) for name in names}
    made = oncefit.fleet(
        candidates=rows, supernet="ofa_mbv3_w1.2", predictor=str(predictor), subnets=2, slack=0.03,
        devices={name: {"latency_ms": limit} for name, limit in medians.items()},
    )  # fmt: skip
    assert len(made.subnets) == 2
    assert made.table["left_of_budget_latency_ms"].min() >= 0.03
    assert made.curve["lost"][1] > made.curve["lost"][2] + 0.5
    assert made.curve["proven"].all()
