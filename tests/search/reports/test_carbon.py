"""Ledgers of real runs: figures against the cost model's, the break-even against counting, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import oncefit
from cost_models.carbon_ledger import break_even
from cost_models.energy import co2e_range
from cost_models.grid import carbon_intensity
from cost_models.ranges import Range
from cost_models.runtimes.registry import processors
from cost_models.tracking import read_tracked
from search.cli.app import main
from search.reports import carbon as ledgers
from search.reports.carbon_tables import figure, mass, number, pays, sentences
from search.runs.carbon_stop import CarbonStop, trial_kg
from supernet.errors import InputError
from tests.helpers import tiny

DEPLOYMENT = {
    "requests_per_day": 100.0, "life_days": 1000.0, "devices": 50,
    "training": {"hours": 2, "watts": {"low": 40, "value": 65, "high": 100}, "region": "DEU", "shared_by": 40},
    "search": {"kwh": 1e-7}, "embodied": {"kg": 0.5},
}  # fmt: skip


def made_up(arch: oncefit.Arch) -> float:
    """More is better, by a bit."""
    return 0.9 + sum(int(value) for value in arch.values.values()) / 1e4


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> oncefit.Run:
    folder = tmp_path_factory.mktemp("ledger")
    device = tiny.write_device(tiny.open_tiny(folder), folder / "known.yaml")
    data = yaml.safe_load(device.read_text())
    data["power"]["static_w"] = {"low": 1.0, "value": tiny.STATIC_W, "high": 3.0}
    device.write_text(yaml.safe_dump(data))
    return oncefit.search(
        str(folder / "tiny.yaml"), accuracy=made_up, device=str(device), budgets={"macs": 2.5e5}, trials=6,
        sampler="random", out=folder / "run", say=lambda _: None,
    )  # fmt: skip


def test_a_request_is_what_the_cost_model_says_and_the_break_even_is_where_totals_meet(
    run: oncefit.Run,
) -> None:
    found = oncefit.carbon(run, DEPLOYMENT).found
    costs = run.result.run.costs["co2e_mg"]
    assert found.specialised.per_request_mg.value == pytest.approx(costs(run.chosen))
    assert found.baseline is not None
    assert found.baseline.per_request_mg.value == pytest.approx(costs(run.supernet.space.largest()))
    kwh = 2 * 0.065 / 40
    assert found.specialised.once_kg["training"].value == pytest.approx(
        kwh * carbon_intensity("DEU").grams_per_kwh / 1000
    )
    assert found.specialised.once_kg["embodied"].value == 25
    assert found.requests == 100 * 1000 * 50
    pays_after = found.pays_after
    assert pays_after is not None
    assert pays_after.low is not None
    assert pays_after.value is not None
    assert pays_after.high is not None
    assert pays_after.low < pays_after.value < pays_after.high
    at = [plan.total_kg(pays_after.value).value for plan in (found.specialised, found.baseline)]
    assert at[0] == pytest.approx(at[1], rel=1e-9)
    n = round(pays_after.value * 1.01)
    assert found.specialised.total_kg(n).value < found.baseline.total_kg(n).value


def test_what_is_saved_has_the_range_of_the_difference(run: oncefit.Run) -> None:
    """One power figure for both subnets: at each end of it, by the work of both."""
    found = oncefit.carbon(run, DEPLOYMENT).found
    inner = run.result.run
    work = ledgers.work_in(inner, inner.supernet.space.largest()) - ledgers.work_in(inner, run.chosen)
    assert inner.device is not None
    assert inner.device.power is not None
    saved = co2e_range(inner.device.power, "FRA", work)
    assert found.saved_mg == saved
    assert found.saved_kg is not None
    n = found.requests / 1e6
    assert found.saved_kg.low == pytest.approx(
        saved.low * n - 1e-7 * 56.039e-3
    )  # training and embodied are equal


def test_a_baseline_may_be_an_arch_a_figure_or_a_bundle_of_another_supernet_is_refused(
    run: oncefit.Run,
) -> None:
    other = next(c.arch for c in run.result.candidates if c.arch != run.chosen)
    found = oncefit.carbon(run, DEPLOYMENT, baseline=other.id).found
    assert found.baseline is not None
    assert found.baseline.name == f"baseline {other.id}"
    given = oncefit.carbon(
        run, {**DEPLOYMENT, "baseline": {"mj": 3.0, "name": "MnasNet", "training": {"kg": 7}}}
    ).found
    assert given.baseline is not None
    assert given.baseline.once_kg["training"].value == 7
    assert given.baseline.per_request_mg.value == pytest.approx(3.0 / 3.6e9 * 56.039 * 1e3)
    assert given.saved_kg is not None
    assert given.saved_kg.value > 6
    assert pays(given.pays_after) == "has paid for itself at once"  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"baseline 'zz' is no candidates of .*run and no bundle; give largest"
    ):
        oncefit.carbon(run, DEPLOYMENT, baseline="zz")


def test_a_baseline_may_be_a_bundle_outside_the_space_that_was_searched(tmp_path: Path) -> None:
    supernet = oncefit.open_supernet("fmnist_mbv3")
    device = str(tiny.write_device(supernet.described, tmp_path / "known.yaml"))
    outside = supernet.smallest()
    bundle = supernet.export(outside, tmp_path / "bundle", calibrated=False)
    largest = supernet.space.largest().resolution
    run = oncefit.search(
        "fmnist_mbv3", accuracy=made_up, device=device, space={"resolution": [largest]}, trials=2,
        sampler="random", out=tmp_path / "run", say=lambda _: None,
    )  # fmt: skip
    with pytest.raises(InputError, match="resolution"):
        run.supernet.space.arch(outside.values)
    found = oncefit.carbon(run, DEPLOYMENT, baseline=str(bundle.folder)).found
    assert found.baseline is not None
    assert found.baseline.name == f"baseline {outside.id}"
    assert found.baseline.per_request_mg.value == pytest.approx(supernet.costs(outside, device)["co2e_mg"])


@pytest.mark.parametrize("which", ["", "zz"])
def test_a_text_that_every_id_begins_with_is_no_arch(run: oncefit.Run, which: str) -> None:
    with pytest.raises(InputError, match=f"--pick '{which}' names no candidate"):
        oncefit.carbon(run, DEPLOYMENT, pick=which)
    with pytest.raises(InputError, match=f"baseline '{which}' is no candidates of"):
        oncefit.carbon(run, DEPLOYMENT, baseline=which)


def test_a_search_is_estimated_by_its_trials_time_unless_it_was_tracked(
    run: oncefit.Run, tmp_path: Path
) -> None:
    given = {key: value for key, value in DEPLOYMENT.items() if key != "search"}
    found = oncefit.carbon(run, given).found
    seconds = sum(t.duration.total_seconds() for t in run.study.trials if t.duration is not None)
    assert found.specialised.once_kg["search"].value > 0
    assert found.notes["search"].startswith("estimated: ")
    watts = 1.9 * processors()
    assert f"{seconds:,.0f} s x {watts:g} W of {processors()} cores in WORLD" in found.notes["search"]
    stop = CarbonStop(requests=1, top1=0.5)  # what a search ends by is the same
    assert found.specialised.once_kg["search"].value == pytest.approx(trial_kg(stop, seconds))
    tracked = {"seconds": 3, "kwh": 0.01, "kg": 0.004, "measured": True, "how": "a meter"}
    file = run.folder / "emissions.json"
    file.write_text(json.dumps(tracked))
    try:
        found = oncefit.carbon(run, given).found
    finally:
        file.unlink()
    assert found.specialised.once_kg["search"].value == 0.004
    assert found.notes["search"] == "measured: 0.01 kWh in 3 s, a meter"


@pytest.mark.filterwarnings("ignore")
def test_of_a_search_for_several_devices_each_takes_a_share_tracked_or_not(tmp_path: Path) -> None:
    pytest.importorskip("codecarbon")
    tiny.write_device(tiny.open_tiny(tmp_path), tmp_path / "known.yaml")
    fleet = oncefit.search_fleet(
        str(tmp_path / "tiny.yaml"), devices=[str(tmp_path / f"{name}.yaml") for name in three_of(tmp_path)],
        accuracy=made_up, budgets={"macs": 2.5e5}, trials=6, sampler="random", out=tmp_path / "fleet",
        track_carbon=True, say=lambda _: None,
    )  # fmt: skip
    assert sorted(tmp_path.glob("fleet/**/*emissions.json")) == [tmp_path / "fleet" / "emissions.json"]
    kept = read_tracked(tmp_path / "fleet" / "emissions.json")
    assert kept.sessions == 1
    given = {key: value for key, value in DEPLOYMENT.items() if key != "search"}
    for run in fleet.runs.values():
        found = oncefit.carbon(run, given).found
        assert found.specialised.once_kg["search"].value == pytest.approx(kept.kg / 3)
        assert found.notes["search"].endswith("; one of 3 shares")
    (tmp_path / "fleet" / "emissions.json").unlink()
    trials = [trial for run in fleet.runs.values() for trial in run.study.trials]
    seconds = sum(trial.duration.total_seconds() for trial in trials if trial.duration is not None)
    stop = CarbonStop(requests=1, top1=0.5)
    for run in fleet.runs.values():
        found = oncefit.carbon(run.folder, given).found
        assert found.specialised.once_kg["search"].value == pytest.approx(trial_kg(stop, seconds) / 3)
    with pytest.raises(InputError, match="is a search for several devices, not a run: each device has a run"):
        oncefit.carbon(fleet.folder, given)


def three_of(folder: Path) -> list[str]:
    """Names of three devices that are alike, written beside the one that is known."""
    data, names = yaml.safe_load((folder / "known.yaml").read_text()), ["one", "two", "three"]
    for name in names:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**data, "name": name}))
    return names


def test_the_command_writes_a_table_a_json_and_a_plot(
    run: oncefit.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(yaml.safe_dump(DEPLOYMENT))
    with pytest.raises(SystemExit) as end:
        main(
            [
                "carbon",
                str(run.folder),
                "--deployment",
                str(path),
                "--out",
                str(tmp_path),
                "--devices",
                "7",
                "--json",
            ]
        )
    assert not end.value.code
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "carbon.json").read_text())
    assert told["requests"] == 700_000
    assert told["known"]["inference"] == "estimated: known, assumed power"
    assert told["break_even_requests"]["value"] == oncefit.carbon(run, DEPLOYMENT).break_even_requests
    assert (tmp_path / "carbon.png").read_bytes().startswith(b"\x89PNG")
    lines = {
        line.get_label(): line for line in figure(oncefit.carbon(run, DEPLOYMENT).found).axes[0].get_lines()
    }
    assert {f"specialised {run.chosen.id}", f"largest {run.supernet.space.largest().id}"} <= lines.keys()


def test_a_ledger_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    deployment = {
        "requests_per_day": 10.0,
        "life_days": 10.0,
        "inference": {"mg": 2.0},
        "search": {"kg": 1e-4},
    }
    alone = oncefit.carbon(None, deployment)
    assert alone.break_even_requests is None
    assert "No baseline was given" in sentences(alone.found)
    both = oncefit.carbon(None, {**deployment, "baseline": {"mg": {"low": 3, "value": 4, "high": 5}}})
    assert both.break_even_requests == pytest.approx(50)
    assert pays(both.found.pays_after) == "has paid for itself after 50 requests (33 to 100)"  # type: ignore[arg-type]
    for wrong, said in (
        ({"inference": {"mj": 1.0}}, "needs its grid: region: FRA"),
        ({"baseline": "largest"}, "baseline 'largest' is of a run, and there is none"),
        ({"inference": None}, r"a ledger needs one inference: give a RUN, or inference"),
    ):
        with pytest.raises(InputError, match=said):
            oncefit.carbon(None, {**deployment, **wrong})


@pytest.mark.parametrize(
    ("once", "saved", "said"),
    [
        ((1, 1, 1), (-2, -1, 0), "never pays for itself: a request takes no less"),
        ((1, 2, 3), (-2, -1, 4), "does not pay for itself by the central estimates: a request takes no less "
         "(at best after 250,000, at worst never)"),
        ((-2, -2, -2), (-1, -1, -1), "pays until 2 million requests: it takes less at first, and each request takes more"),
        ((-3, -2, 1), (-2, -1, 1), "pays until 2 million requests: it takes less at first, and each request takes more "
         "(at best at once and for ever, at worst never)"),
        ((-4, -3, -2), (-2, 1, 2), "has paid for itself at once (at best at once and for ever, at worst until 1 million)"),
        ((1, 2, 3), (-1, 2, 4), "has paid for itself after 1 million requests (250,000 to never)"),
    ],
)  # fmt: skip
def test_a_break_even_is_told_with_its_best_and_worst_case(
    once: tuple[float, float, float], saved: tuple[float, float, float], said: str
) -> None:
    ranges = [Range(low=low, value=value, high=high) for low, value, high in (once, saved)]
    assert pays(break_even(*ranges)) == said


def test_a_plan_that_costs_more_later_says_until_when_it_pays() -> None:
    deployment = {"requests_per_day": 10.0, "life_days": 10.0, "inference": {"mg": 5.0}}
    baseline = {"mg": 3.0, "training": {"kg": 1e-4}}
    found = oncefit.carbon(None, {**deployment, "baseline": baseline})
    assert found.to_dict()["pays_until_requests"] == {
        key: pytest.approx(50) for key in ("best", "value", "worst")
    }
    assert "specialising\npays until 50 requests: " in sentences(found.found)
    lines = [line.get_xdata() for line in figure(found.found).axes[0].get_lines()]
    assert any(list(xs) == pytest.approx([50, 50]) for xs in lines)


def test_a_device_with_power_and_no_latency_is_told_apart(tmp_path: Path) -> None:
    file = tiny.write_device(tiny.open_tiny(tmp_path), tmp_path / "known.yaml")
    data = yaml.safe_load(file.read_text())
    del data["latency"]
    file.write_text(yaml.safe_dump(data))
    run = oncefit.search(
        str(tmp_path / "tiny.yaml"), accuracy=made_up, device=str(file), trials=2, sampler="random",
        out=tmp_path / "run", say=lambda _: None,
    )  # fmt: skip
    with pytest.raises(
        InputError, match=r"device 'known' has power figures and no latency for tiny.*measure it"
    ):
        oncefit.carbon(run, DEPLOYMENT)


def test_a_job_is_scheduled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "grid.csv"
    path.write_text(
        "hour,grams_per_kwh\n" + "".join(f"{h},{g}\n" for h, g in enumerate((300, 200, 100, 100, 400)))
    )
    with pytest.raises(SystemExit) as end:
        main(["carbon", "--intensity", str(path), "--hours", "2"])
    assert not end.value.code
    said = capsys.readouterr().out
    assert "Start at 2: 100 g CO2e per kWh over 2 h." in said
    assert "saves 60 % against starting at 0 (250 g)" in said
    for arguments, why in (
        (["--hours", "2"], "takes both"),
        (["--intensity", str(path), "--hours", "2", "--devices", "3"], "without RUN"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["carbon", *arguments])
        assert end.value.code == 2
        assert why in capsys.readouterr().err


def test_masses_and_numbers_have_units() -> None:
    assert [mass(kg) for kg in (2.5e6, 3.21, 4.1e-4, 1.36e-11)] == ["2,500 t", "3.21 kg", "410 mg", "13.6 ng"]
    assert [number(n) for n in (53_000, 2.42e8, 7.1e12)] == ["53,000", "242 million", "7.1 trillion"]
