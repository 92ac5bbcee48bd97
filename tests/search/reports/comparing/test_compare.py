"""Runs side by side: budgets that include the best, devices that are not one axis, and comparisons that stay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from search.feasible.budget_messages import round_up
from search.reports.comparing import compare as comparing
from search.runs.opening import open_run
from search.runs.study import candidates
from supernet.families.catalog import open_supernet
from tests.helpers.commands import Here
from tests.helpers.own_predictor import write_mlp
from tests.helpers.tiny import write_device

SUPERNET = open_supernet("fmnist_mbv3")


def device(name: str, factor: float) -> str:
    """A device whose every price is ``factor`` times that of another."""
    path = write_device(SUPERNET, Path(f"{name}.yaml"))
    keys = yaml.safe_load(path.read_text())
    latency = keys["latency"]
    latency["intercept_ms"] *= factor
    latency["coefficients"] = {key: factor * price for key, price in latency["coefficients"].items()}
    path.write_text(yaml.safe_dump(keys | {"name": name}))
    return str(path)


@pytest.fixture
def searched(here: Here) -> Callable[..., Path]:
    """A predicted front in a folder, for a device; the predictor is the same every time."""
    write_mlp(SUPERNET, Path("drawn.safetensors"))

    def search(out: str, **keys: object) -> Path:
        settings = {
            "supernet": "fmnist_mbv3", "accuracy": "predicted", "predictor": "drawn.safetensors",
            "objectives": ["top1", "macs"], "trials": 8,
        } | keys  # fmt: skip
        Path("mine.yaml").write_text(json.dumps(settings))
        here("search", "mine.yaml", "--out", out)
        return Path(out)

    return search


def test_the_default_budgets_include_the_best_of_all_runs(searched: Callable[..., Path], here: Here) -> None:
    runs = [searched("a"), searched("b", seed=1, budgets={"macs": 3e6})]
    out, _ = here("compare", *runs, "--json")
    for one in json.loads(out)["runs"]:
        run = open_run(Path(one["run"]))
        best = max(c.value("top1") for c in candidates(run.study(), run.problem))
        assert one["best_at"][-1]["top1"] == best
    table, beside = here("compare", *runs)
    order = beside.partition("Runs are not told apart")[0]
    assert " ".join(order.split()).endswith("% beyond the worst")
    assert max(map(len, order.splitlines())) <= 80
    assert "Best top-1 (%) within budgets" in table


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(5_723_776.0, 3, 5.73e6), (0.057, 3, 0.057), (0.0570001, 3, 0.0571), (1_000.0, 3, 1_000.0),
     (17.7612, 4, 17.77), (999.9, 3, 1_000.0)],
)  # fmt: skip
def test_rounded_up_is_never_below(value: float, digits: int, expected: float) -> None:
    assert round_up(value, digits) == expected
    some = np.random.default_rng(0).lognormal(0, 8, 1_000)
    assert all(x <= round_up(x, 3) <= 1.01 * x for x in some)


def test_a_cost_of_different_devices_is_shown_side_by_side_without_a_verdict(
    searched: Callable[..., Path], here: Here
) -> None:
    of_device = {"objectives": ["top1", "latency_ms"]}
    runs = [
        searched("slow", device=device("slow", 2.0), **of_device),
        searched("fast", device=device("fast", 1.0), **of_device),
    ]
    for cost in ("latency_ms", "energy_mj", "co2e_mg"):
        text, _ = here("compare", *runs, "--cost", cost)
        assert "Of different devices or fits: no hypervolume, no dominance" in text
        assert "dominated by the others" not in text
        assert "slow (slow)" in text
        assert "fast (fast)" in text
        found = json.loads(here("compare", *runs, "--cost", cost, "--json")[0])
        assert "reference_point" not in found
        assert "different devices" in found["not_one_axis"]
        assert all({"hypervolume", "share_dominated_by"}.isdisjoint(one) for one in found["runs"])
        assert all(len(one["best_at"]) == 4 and one["front_size"] for one in found["runs"])


def test_a_cost_free_of_devices_and_the_same_device_compare_as_ever(
    searched: Callable[..., Path], here: Here
) -> None:
    slow, fast = device("slow", 2.0), device("fast", 1.0)
    of_device = {"objectives": ["top1", "latency_ms"]}
    runs = [
        searched("a", device=slow, **of_device),
        searched("b", device=fast, **of_device),
        searched("c", device=fast, seed=1, **of_device),
    ]
    for some, cost in ((runs, "macs"), (runs[1:], "latency_ms")):
        found = json.loads(here("compare", *some, "--cost", cost, "--json")[0])
        assert all(0 < one["hypervolume"] <= 1 for one in found["runs"])
        assert all(len(one["share_dominated_by"]) == len(some) - 1 for one in found["runs"])


def test_two_fits_of_one_name_are_two_devices(searched: Callable[..., Path], here: Here) -> None:
    of_device = {"objectives": ["top1", "latency_ms"]}
    runs = [
        searched("before", device=device("same", 1.0), **of_device),
        searched("after", device=device("same", 1.1), **of_device),
    ]
    assert "Of different devices or fits" in here("compare", *runs)[0]


def test_each_comparison_has_its_folder_and_none_is_overwritten(
    searched: Callable[..., Path], here: Here
) -> None:
    a, b, c = (searched(name, seed=seed) for seed, name in enumerate("abc"))
    for runs, options, name in (
        ((a, b), (), "comparison-a-b"),
        ((a, c), (), "comparison-a-c"),
        ((a, b), ("--cost", "params"), "comparison-a-b-params"),
    ):
        here("compare", *runs, *options)
        assert json.loads((Path("runs") / name / "comparison.json").read_text())["runs"]
    before = Path("runs/comparison-a-b/comparison.json").read_bytes()
    here("compare", a, b, "--at", 2e6)  # of the same runs
    assert Path("runs/comparison-a-b/comparison.json").read_bytes() != before
    for arguments in ((a, c), (a, b, "--cost", "params")):
        kept = Path("runs/comparison-a-b/comparison.json").read_bytes()
        _, said = here("compare", *arguments, "--out", "runs/comparison-a-b", code=2)
        assert "holds the comparison of a, b in macs; choose another folder with --out" in said
        assert Path("runs/comparison-a-b/comparison.json").read_bytes() == kept
    Path("runs/comparison-a-b/comparison.json").write_text("[]")
    assert "runs that it does not name" in here("compare", a, b, code=2)[1]


def test_runs_of_one_name_elsewhere_do_not_take_a_comparisons_place(
    searched: Callable[..., Path], here: Here
) -> None:
    here("compare", searched("x/a"), searched("x/b", seed=1))
    _, said = here("compare", searched("y/a", seed=2), searched("y/b", seed=3), code=2)
    assert "holds the comparison of x/a, x/b in macs" in said


def test_a_folders_name_is_one_that_a_file_system_takes() -> None:
    many = [Path(f"runs/{i:04d}-of-a-long-name") for i in range(90)]
    name = comparing.default_folder(many, None).name
    assert len(name) < 200
    assert name != comparing.default_folder(many[:-1], None).name
