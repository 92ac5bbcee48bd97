"""A search for several devices evaluates each arch once, and finds for each device what a look at all archs finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from torch import Tensor, nn

import oncefit
from cost_models.device import Device
from cost_models.latency import latency_ms
from cost_models.protocol import Target
from search.fleets.fleet import keeps, members, within_all
from search.runs.config import made_config
from search.runs.measuring import MeasuredAccuracy
from search.runs.study import SHARED
from supernet import documents
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.fleets import SCALES, Judge, budgets_of, made_devices
from tests.helpers.tiny import all_archs, open_tiny


@pytest.fixture
def supernet(tmp_path: Path) -> Supernet:
    return open_tiny(tmp_path)


def test_each_arch_is_evaluated_once_and_every_device_gets_its_best(
    tmp_path: Path, supernet: Supernet
) -> None:
    files, judge = made_devices(tmp_path, supernet), Judge(supernet)
    limits = budgets_of(supernet, files)
    devices = {files[name]: {"latency_ms": limit} for name, limit in limits.items()}
    fleet = oncefit.search_fleet(
        str(tmp_path / "tiny.yaml"), devices=devices, accuracy=judge, trials=60, out=tmp_path / "fleet"
    )
    assert set(judge.asked.values()) == {1}
    assert len(judge.asked) == fleet.evaluations == 60
    archs = {arch.id: arch for arch in all_archs(supernet)}
    for name, run in fleet.runs.items():
        cost = latency_ms(Target(supernet, documents.read(Path(files[name]), Device)))
        within = [archs[key] for key in judge.asked if cost(archs[key]) <= limits[name]]
        assert set(run.candidates.index) == {arch.id for arch in within}
        assert run.chosen == max(within, key=judge.accuracy)
        assert cost(run.chosen) == pytest.approx(run.front.loc[run.chosen.id, "predicted_latency_ms"])
        every = [judge.accuracy(arch) for arch in archs.values() if cost(arch) <= limits[name]]
        assert sum(better > judge.accuracy(run.chosen) for better in every) <= len(every) * 0.02
        trials = run.study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        assert {trial.user_attrs["arch_id"] for trial in trials} == set(judge.asked)
        assert 0 < sum(SHARED in trial.user_attrs for trial in trials) < 60
    common = fleet.one_for_all
    assert common is not None
    for name, file in files.items():
        assert latency_ms(Target(supernet, documents.read(Path(file), Device)))(common) <= limits[name]


def test_a_stopped_fleet_goes_on_and_asks_for_nothing_again(tmp_path: Path, supernet: Supernet) -> None:
    files, judge = made_devices(tmp_path, supernet), Judge(supernet)
    limits = budgets_of(supernet, files)
    given = {
        "devices": {files[name]: {"latency_ms": limit} for name, limit in limits.items()},
        "trials": 24, "out": tmp_path / "fleet",
    }  # fmt: skip

    def stopping(arch: Arch) -> float:
        if len(judge.asked) == 11:
            raise KeyboardInterrupt
        return judge(arch)

    with pytest.raises(KeyboardInterrupt):
        oncefit.search_fleet(str(tmp_path / "tiny.yaml"), accuracy=same_name(stopping), **given)  # type: ignore[arg-type]
    assert len(judge.asked) == 11
    found = oncefit.search_fleet(str(tmp_path / "tiny.yaml"), accuracy=same_name(judge), **given)  # type: ignore[arg-type]
    assert set(judge.asked.values()) == {1}
    assert found.evaluations == len(judge.asked) == 24
    again = oncefit.open_fleet(tmp_path / "fleet")
    assert again.table.equals(found.table)
    assert [path.name for path in again.write()] == ["fleet.csv", "fleet.png", "fleet.json"]


def test_what_is_enqueued_is_evaluated_first_and_once_on_whatever_device_it_fits(
    tmp_path: Path, supernet: Supernet
) -> None:
    files, judge = made_devices(tmp_path, supernet), Judge(supernet)
    limits = budgets_of(supernet, files)
    costs = {
        name: latency_ms(Target(supernet, documents.read(Path(file), Device))) for name, file in files.items()
    }

    def fits(arch: Arch) -> set[str]:
        return {name for name, cost in costs.items() if cost(arch) <= limits[name]}

    every = all_archs(supernet)
    on_others = next(arch for arch in every if fits(arch) == {"wide", "deep"})
    on_all = next(arch for arch in every if len(fits(arch)) == len(SCALES))
    on_none = next(arch for arch in every if not fits(arch))
    given = {
        "devices": {files[name]: {"latency_ms": limit} for name, limit in limits.items()},
        "accuracy": judge, "out": tmp_path / "fleet",
    }  # fmt: skip
    network = str(tmp_path / "tiny.yaml")
    with pytest.raises(InputError, match="cannot be enqueued: it is over a budget of every device"):
        oncefit.search_fleet(network, trials=6, enqueue=[on_all, on_none], **given)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 archs are to be evaluated first, but the run has 0 of its 1"):
        oncefit.search_fleet(network, trials=1, enqueue=[on_all, on_others], **given)  # type: ignore[arg-type]
    assert not judge.asked
    fleet = oncefit.search_fleet(network, trials=6, enqueue=[on_others, on_all, on_others], **given)  # type: ignore[arg-type]
    assert set([*judge.asked][:2]) == {on_others.id, on_all.id}
    assert set(judge.asked.values()) == {1}
    assert fleet.evaluations == 6
    for name, run in fleet.runs.items():
        assert on_all.id in run.candidates.index
        assert (on_others.id in run.candidates.index) == (name != "slow")
    more = next(arch for arch in every if arch.id not in judge.asked and fits(arch))
    with pytest.raises(InputError, match="the run has 6 of its 6 trials behind it; give --trials 7"):
        oncefit.search_fleet(network, trials=6, enqueue=[more], **given)  # type: ignore[arg-type]
    again = oncefit.search_fleet(network, trials=7, **given)  # type: ignore[arg-type]
    assert [*judge.asked][6] == more.id, "what was enqueued and not evaluated is not forgotten"
    assert again.evaluations == 7
    assert set(judge.asked.values()) == {1}


def same_name(function: object) -> object:
    """An object whose code a run's config cannot tell from another."""

    class Named:
        __name__ = "judge"

        def __call__(self, arch: Arch) -> float:
            return function(arch)  # type: ignore[operator, no-any-return]

    return Named()


def test_an_arch_that_a_run_measured_is_not_measured_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: Counter[str] = Counter()
    by_part = MeasuredAccuracy.hits_by_part

    def counted(
        self: MeasuredAccuracy, subnet: nn.Module, arch: Arch, split: str, parts: Sequence[Sequence[int]]
    ) -> Iterator[tuple[list[int], Tensor]]:
        reported[arch.id] += split == "report"
        return by_part(self, subnet, arch, split, parts)

    monkeypatch.setattr(MeasuredAccuracy, "hits_by_part", counted)
    devices = list(made_devices(tmp_path, open_supernet("fmnist_mbv3")).values())[:2]
    fleet = oncefit.search_fleet(
        "fmnist_mbv3", devices=devices, budgets={"macs": 1.2e6}, trials=3, out=tmp_path / "fleet"
    )
    first, second = fleet.runs.values()
    assert first.result.chosen.validation == second.result.chosen.validation
    assert first.result.chosen.costs["latency_ms"] != second.result.chosen.costs["latency_ms"]
    assert first.result.reports == second.result.reports
    assert sorted(first.candidates.index) == sorted(second.candidates.index)
    assert +reported == {first.chosen.id: 1}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"devices": ["host"]}, "at least 2"),
        ({"devices": ["host", "host"]}, "given twice"),
        ({"devices": 3}, "a list, as"),
        ({"devices": ["host", {"base": "host", "name": "b"}], "race": True}, "leave race out"),
        ({"devices": ["host", "hots"]}, "hots"),
        (
            {
                "devices": ["host", {"base": "host", "name": "b"}],
                "enqueue": ["a.json"],
                "accuracy": "predicted",
                "predictor": "mine",
            },
            "enqueue: with accuracy: predicted each of several devices is searched for by itself",
        ),
        ({"devices": []}, "has 0 of at least 2"),
        ({"devices": ["host", {"base": "host", "name": "../evil"}]}, "a folder of its name"),
        ({"devices": ["host", {"base": "host", "name": "fleet.yaml"}]}, "a folder of its name"),
        ({"devices": {"host": {"latenzy_ms": 3}, "note10": {}}}, "latenzy_ms"),
    ],
)
def test_what_no_fleet_can_be_made_of_is_refused(
    settings: dict[str, object], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        oncefit.search_fleet("fmnist_mbv3", out=tmp_path / "fleet", trials=4, **settings)  # type: ignore[arg-type]
    assert not (tmp_path / "fleet").exists()


def test_a_config_with_devices_is_no_plain_search(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="search_fleet"):
        oncefit.search(config="fleet", out=tmp_path / "run")


def test_a_devices_own_budget_takes_the_place_of_the_common_one_by_any_name() -> None:
    devices = [{"device": "host", "budgets": {"flops": 1e6}}, {"device": {"base": "host", "name": "b"}}]
    config = made_config({"supernet": "fmnist_mbv3", "devices": devices}, {"macs": 2e6})
    assert {name: alone.budgets for name, alone in members(config, "here").items()} == {
        "host": {"macs": 1e6}, "b": {"macs": 2e6},
    }  # fmt: skip


@pytest.mark.parametrize("order", [["slow", "wide", "deep"], ["deep", "wide", "slow"]])
def test_one_subnet_for_all_is_found_whatever_device_comes_first(
    order: list[str], tmp_path: Path, supernet: Supernet
) -> None:
    """Also where each device has candidates of its own only, as where accuracies are predicted."""
    files, judge = made_devices(tmp_path, supernet), Judge(supernet)
    limits = budgets_of(supernet, files)
    limits["slow"] *= 0.7
    devices = {files[name]: {"latency_ms": limits[name]} for name in order}
    fleet = oncefit.search_fleet(
        str(tmp_path / "tiny.yaml"), devices=devices, accuracy=judge, trials=30, out=tmp_path / "fleet"
    ).result
    slow = fleet.results["slow"]
    apart = {name: replace(r, candidates=[r.chosen]) for name, r in fleet.results.items()}
    found = within_all(apart)
    held = [r.chosen for r in apart.values() if all(keeps(one.run, r.chosen.arch) for one in apart.values())]
    assert slow.chosen.arch.id in {c.arch.id for c in held}
    assert found is not None
    assert judge.accuracy(found.arch) == max(judge.accuracy(c.arch) for c in held)
