"""Archs that are given are evaluated first, once each, whatever they are written in and whoever evaluates them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

import oncefit
from tests.helpers.free_search import BUDGETS, at_once, judged
from tests.helpers.own_predictor import write_mlp


class Judge:
    """An accuracy that counts what it is asked, and breaks at some archs."""

    def __init__(self, *broken: str) -> None:
        self.asked: list[str] = []
        self.broken = broken

    def __call__(self, arch: oncefit.Arch) -> float:
        if arch.id in self.broken:
            raise RuntimeError("the machine fell over")
        self.asked.append(arch.id)
        return int(arch.id[:4], 16) / 0x10000


def settings(net: oncefit.Supernet, arch: oncefit.Arch) -> dict[str, object]:
    """The arch as ofa's settings, written out here: a value a block, those of skipped blocks included."""
    space = net.space
    values = {d.name: arch.values.get(d.name, d.choices[0]) for d in space.dimensions}
    lists = {
        key: [value for name, value in values.items() if name.startswith(kind)]
        for key, kind in (("d", "depth"), ("ks", "kernel"), ("e", "expand"))
    }
    return {**lists, "r": arch.resolution}


@pytest.fixture(scope="module")
def net() -> oncefit.Supernet:
    return oncefit.open_supernet("fmnist_mbv3")


@pytest.mark.parametrize("sampler", ["guided", "nsga2"])
def test_they_come_first_in_their_order_and_once_each(
    net: oncefit.Supernet, sampler: str, tmp_path: Path
) -> None:
    a, b, c = net.sample(3, seed=3)
    file = tmp_path / "b.txt"
    file.write_text(str(settings(net, b)))  # as Python prints a dict
    judge = Judge()
    run = oncefit.search(
        net, accuracy=judge, trials=5, enqueue=[a, file, json.dumps(c.to_dict()), settings(net, a)],
        sampler=sampler, out=tmp_path / "run",
    )  # fmt: skip
    assert judge.asked[:3] == [a.id, b.id, c.id]
    assert set(Counter(judge.asked).values()) == {1}
    assert list(run.candidates.index) == judge.asked
    assert run.config.enqueue == tuple(arch.to_dict() for arch in (a, b, c))


def test_a_run_keeps_them_and_takes_more_when_it_is_resumed(net: oncefit.Supernet, tmp_path: Path) -> None:
    a, b, c = net.sample(3, seed=3)
    out = tmp_path / "run"
    with pytest.raises(RuntimeError, match="fell over"):
        oncefit.search(net, accuracy=Judge(b.id), trials=3, enqueue=[a, b], out=out, sampler="random")
    again = Judge()
    oncefit.search(net, accuracy=again, trials=3, out=out, sampler="random")
    assert again.asked[0] == b.id, "what was enqueued and not evaluated is not forgotten"
    assert a.id not in again.asked
    with pytest.raises(oncefit.InputError, match=r"run has 3 of its 3 trials behind it; give --trials 4"):
        oncefit.search(net, accuracy=again, trials=3, enqueue=[c], out=out, sampler="random")
    run = oncefit.search(net, accuracy=again, trials=4, enqueue=[c, a], out=out, sampler="random")
    assert again.asked.count(c.id) == 1
    assert a.id not in again.asked
    assert len(run.candidates) == 4
    assert [data["choices"] for data in run.config.enqueue] == [dict(arch.choices) for arch in (a, b, c)]


def test_processes_that_begin_at_once_evaluate_each_once(net: oncefit.Supernet, tmp_path: Path) -> None:
    within = [arch for arch in net.sample(40, seed=1) if net.costs(arch)["macs"] <= BUDGETS["macs"]][:5]
    (tmp_path / "run.enqueue").write_text(json.dumps([arch.to_dict() for arch in within]))
    at_once(tmp_path / "run", "random", 6, "folder", processes=2)
    found = judged(tmp_path / "run")
    assert set(found.values()) == {1}
    assert {arch.id for arch in within} <= set(found)
    assert len(found) == 6


def test_a_search_on_a_predictor_has_them_among_its_candidates(net: oncefit.Supernet, tmp_path: Path) -> None:
    worst = net.smallest()
    run = oncefit.search(
        net, accuracy="predicted", predictor=str(write_mlp(net.described, tmp_path / "p.safetensors")),
        trials=3, enqueue=[worst], out=tmp_path / "run",
    )  # fmt: skip
    assert worst.id in run.candidates.index
    assert len(run.candidates) == 3


def test_a_yaml_file_names_them_from_where_it_is(net: oncefit.Supernet, tmp_path: Path) -> None:
    arch = net.smallest()
    (tmp_path / "subnet.json").write_text(json.dumps(arch.to_dict()))
    config = tmp_path / "config.yaml"
    config.write_text("supernet: fmnist_mbv3\nenqueue: [subnet.json, {d: 2, ks: 3, e: 3, r: 28}]\n")
    judge = Judge()
    oncefit.search(config=config, accuracy=judge, trials=2, out=tmp_path / "run", sampler="random")
    assert judge.asked[0] == arch.id
    assert len(judge.asked) == 2


@pytest.mark.parametrize(
    ("given", "settings", "said"),
    [
        ("{d: 2, ks: 5, e: 4, r: 28}", {"budgets": {"macs": 1e6}}, r"cannot be enqueued: its macs is .* over the budget"),
        ("{d: 2, ks: 5, e: 4, r: 28}", {"space": {"resolution": [18]}}, r"r: 28.*resolution = 28 is not in space"),
        ("{d: 2, ks: 5, e: 9, r: 28}", {}, r"expand.1.1 = 9 is not in space .* allowed"),
        ("nowhere.json", {}, "cannot read nowhere.json"),
        ("{d: 2, ks", {}, "the subnet is not valid YAML"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_refused_before_the_first_trial(
    given: str, settings: dict, said: str, tmp_path: Path
) -> None:
    judge = Judge()
    with pytest.raises(oncefit.InputError, match=said):
        oncefit.search(
            "fmnist_mbv3", accuracy=judge, trials=2, enqueue=[given], out=tmp_path / "run", **settings
        )
    assert not judge.asked


def test_more_than_there_are_trials_are_refused(net: oncefit.Supernet, tmp_path: Path) -> None:
    with pytest.raises(oncefit.InputError, match=r"2 archs are to be evaluated first.*give --trials 2"):
        oncefit.search(net, accuracy=Judge(), trials=1, enqueue=net.sample(2), out=tmp_path / "run")
