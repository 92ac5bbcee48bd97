"""Fronts against brute force and closed forms."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import optuna
import pytest

from search.feasible.budget_messages import round_up
from search.problem.limits import over_budget, within
from search.problem.objectives import ACCURACIES, Objective, parse_objectives
from search.reports.figures.plots import draw_front, new_figure, save_figure
from search.reports.units import amount
from search.runs.front import Points, best, coverage, dominated_share, front, knee, pick, points
from search.runs.results import Result
from search.runs.study import Candidate
from supernet.accuracy import Accuracy
from supernet.errors import InputError
from supernet.families.catalog import open_supernet

SPACE = open_supernet("fmnist_mbv3").space
AXES = parse_objectives(["top1", "macs"])


def candidates(pairs: list[tuple[float, float]]) -> list[Candidate]:
    archs = SPACE.decode(SPACE.sample(len(pairs), np.random.default_rng(0)))
    return [
        Candidate(i, arch, {"macs": macs}, Accuracy("validation", 100, top1, 1.0, 0, 1, 0, 1))
        for i, (arch, (top1, macs)) in enumerate(zip(archs, pairs, strict=True))
    ]


def test_front_is_what_brute_force_finds() -> None:
    rng = np.random.default_rng(4)
    found = candidates([(float(a), float(m)) for a, m in np.round(rng.random((60, 2)), 1)])

    def dominates(a: Candidate, b: Candidate) -> bool:
        no_worse = a.value("top1") >= b.value("top1") and a.value("macs") <= b.value("macs")
        return no_worse and (a.value("top1"), a.value("macs")) != (b.value("top1"), b.value("macs"))

    expected = {
        (c.value("top1"), c.value("macs")) for c in found if not any(dominates(other, c) for other in found)
    }
    members = front(found, AXES)
    assert [(c.value("top1"), c.value("macs")) for c in members] == sorted(expected, key=lambda p: p[1])


def test_of_equal_candidates_the_first_is_on_the_front() -> None:
    found = candidates([(0.9, 2.0), (0.8, 1.0), (0.9, 2.0)])
    assert front(found, AXES) == [found[1], found[0]]


def test_best_takes_the_cheaper_of_equals() -> None:
    found = candidates([(0.9, 3.0), (0.9, 2.0), (0.8, 1.0)])
    assert best(found, AXES) is found[1]
    assert best(found, AXES[:1]) is found[0]


def test_knee_of_a_bent_line() -> None:
    found = candidates([(0.0, 0.0), (0.8, 0.1), (0.9, 0.5), (1.0, 1.0)])
    assert knee(found, AXES) is found[1]


@pytest.mark.parametrize(
    ("inner", "chosen"),
    [
        ([(0.75, 0.25), (0.875, 0.375)], 1),
        ([(0.5, 0.0625), (0.6875, 0.3125)], 0),
        ([(0.5, 0.0625), (0.6875, 0.125)], 1),
    ],
    ids=["of equal sums the most accurate", "the sum counts, not the worst", "the least sum"],
)
@pytest.mark.parametrize("unit", [1.0, 1024.0])
def test_knee_by_hand(inner: list[tuple[float, float]], chosen: int, unit: float) -> None:
    """Between ends at (0, 0) and (1, 1), whatever unit the cost has."""
    found = candidates([(top1, macs * unit) for top1, macs in [(0.0, 0.0), *inner, (1.0, 1.0)]])
    assert knee(found, AXES) is found[1 + chosen]


@pytest.mark.parametrize(
    "pairs",
    [
        [(0.9, 2.0)],
        [(0.8, 1.0), (0.9, 2.0)],
        [(0.0, 0.0), (0.1, 0.8), (1.0, 1.0)],
    ],
    ids=["one point", "only ends", "nothing below the line through the ends"],
)
def test_a_front_without_a_knee_picks_the_best(pairs: list[tuple[float, float]]) -> None:
    found = candidates(pairs)
    assert knee(found, AXES) is pick(found, AXES, "knee") is best(found, AXES) is found[-1]


def test_pick_by_id_and_its_errors() -> None:
    found = candidates([(0.8, 1.0), (0.9, 2.0)])
    assert pick(found, AXES, found[1].arch.id[:6]) is found[1]
    assert pick(found, AXES, "best") is found[1]
    with pytest.raises(InputError, match="'zz' names no candidate of the front; give best, knee or one of"):
        pick(found, AXES, "zz")


def signed(pairs: list[tuple[float, float]]) -> Points:
    return points(candidates(pairs), AXES)


def test_hypervolume_of_two_staircases_by_hand() -> None:
    one, other = coverage([signed([(0.0, 0.0), (1.0, 1.0)]), signed([(0.5, 0.5)])])
    # box: accuracy from 1 down to -0.01, cost from 0 up to 1.01; both sides 1.01
    assert one.reference == pytest.approx((0.01, 1.01))
    assert one.hypervolume == pytest.approx((0.01 * 1.01 + 1.01 * 0.01 - 0.01 * 0.01) / 1.01**2)
    assert other.hypervolume == pytest.approx(0.51**2 / 1.01**2)


def test_a_front_of_one_point_covers_its_box() -> None:
    [found] = coverage([signed([(0.5, 7.0)])])
    assert found.reference == pytest.approx((-0.49, 7.01))
    assert found.hypervolume == pytest.approx(1)


def test_hypervolumes_do_not_depend_on_units() -> None:
    rng = np.random.default_rng(2)
    one, other = (rng.random((8, 2)) for _ in range(2))
    shares = [
        [c.hypervolume for c in coverage([signed(pts * (1, unit)) for pts in (one, other)])]
        for unit in (1.0, 3e6)
    ]
    assert shares[0] == pytest.approx(shares[1])


def test_fronts_share_the_worst_of_all_in_any_order() -> None:
    fronts = [signed([(0.4, 1.0), (0.5, 2.0)]), signed([(0.45, 1.5), (0.9, 8.0)])]
    there, back = coverage(fronts), coverage(fronts[::-1])
    assert there == back[::-1]
    assert there[0].reference == there[1].reference == pytest.approx((-0.4 + 0.005, 8.07))


def test_hypervolume_equals_monte_carlo() -> None:
    rng = np.random.default_rng(1)
    pts = signed([(float(a), float(b)) for a, b in rng.random((12, 2))])
    [found] = coverage([pts])
    ideal, reference = np.array(found.ideal), np.array(found.reference)
    sample = ideal + rng.random((200_000, 2)) * (reference - ideal)
    dominated = np.zeros(len(sample), dtype=bool)
    for p in pts:
        dominated |= (p <= sample).all(axis=1)
    assert found.hypervolume == pytest.approx(dominated.mean(), abs=0.005)


def test_dominated_share_counts_pairs() -> None:
    one = signed([(0.9, 2.0), (0.8, 1.0)])
    other = signed([(0.95, 2.0), (0.8, 1.0)])
    assert dominated_share(one, other) == 0.5
    assert dominated_share(other, one) == 0.0
    assert dominated_share(one, one) == 0.0


def test_objectives_are_one_accuracy_then_costs() -> None:
    assert [o.direction for o in parse_objectives(["top5", "macs", "params"])] == [
        "maximize",
        "minimize",
        "minimize",
    ]
    for wrong in ([], ["macs"], ["top1", "top5"], ["macs", "top1"], ["top1", "a", "b", "c"]):
        with pytest.raises(InputError, match="objectives must be one of top1, top5, then up to two costs"):
            parse_objectives(wrong)
    with pytest.raises(InputError, match="repeat"):
        parse_objectives(["top1", "macs", "macs"])


def test_budgets_are_relative_and_hard() -> None:
    assert over_budget({"macs": 3.0}, {"macs": 2.0}) == {"macs": 0.5}
    assert within({"macs": 2.0}, {"macs": 2.0})
    assert not within({"macs": np.nextafter(2.0, 3.0)}, {"macs": 2.0})


@pytest.mark.parametrize("value", [0.033711, 552416.0, 1.0, 99999.9])
def test_round_up_is_never_below(value: float) -> None:
    rounded = round_up(value)
    assert value <= rounded <= value * 1.001


def test_points_are_signed_so_that_less_is_better() -> None:
    assert signed([(0.9, 2.0), (0.8, 3.0)]).tolist() == [[-0.9, 2.0], [-0.8, 3.0]]
    assert Objective("top5").signed(0.75) == -0.75
    assert Objective("latency_ms").signed(7.5) == 7.5


@pytest.mark.parametrize("names", [["top1"], ["top1", "macs"], ["top5", "macs", "params"]])
def test_directions_and_fronts_are_those_of_optuna(names: list[str]) -> None:
    """Told the same values with our directions, Optuna finds the same best trials."""
    axes, rng = parse_objectives(names), np.random.default_rng(len(names))
    values = np.round(rng.random((40, len(names))), 2)
    archs = SPACE.decode(SPACE.sample(40, rng))
    found = []
    study = optuna.create_study(directions=[axis.direction for axis in axes])
    for i, (arch, row) in enumerate(zip(archs, values.tolist(), strict=True)):
        given = dict(zip(names, row, strict=True))
        top1, top5 = given.get("top1", 0.0), given.get("top5", 1.0)
        measured = Accuracy("validation", 100, top1, top5, 0, 1, 0, 1)
        found.append(Candidate(i, arch, {n: v for n, v in given.items() if n not in ACCURACIES}, measured))
        study.add_trial(optuna.trial.create_trial(values=row))
    best_trials = [study.best_trial] if len(names) == 1 else study.best_trials
    expected = {tuple(trial.values) for trial in best_trials}
    members = front(found, axes)
    assert {tuple(c.value(name) for name in names) for c in members} == expected
    assert len(expected) < len(found) / 2
    assert best(found, axes).value(names[0]) == values[:, 0].max()


def test_costs_are_told_with_their_units() -> None:
    told = {"latency_ms": 0.12, "macs": 2e6, "params": 94_800, "peak_memory_bytes": 51_200, "weights_kib": 60}
    assert [amount(name, value) for name, value in told.items()] == [
        "0.12 ms", "2 M MACs", "94.8 k parameters", "50 KiB", "60 weights_kib",
    ]  # fmt: skip


@pytest.mark.parametrize("pairs", [[(0.9, 2e6)], [(0.9, 2e6), (0.8, 3e6)], [(0.8, 1e6), (0.9, 2e6)]])
def test_a_front_is_drawn_whole_whatever_its_length(pairs: list[tuple[float, float]], tmp_path: Path) -> None:
    found = candidates(pairs)
    members = front(found, AXES)
    config = SimpleNamespace(objectives=("top1",), budgets={"macs": 3e6}, sampler="guided")
    run = SimpleNamespace(
        axes=AXES,
        config=config,
        where="",
        supernet=SimpleNamespace(name="any"),
        measures=True,
        kind="validation split",
        predictor=None,
        power_meter=None,
    )
    chosen = best(found, AXES)
    result = Result(run, found, members, chosen, {chosen.arch.id: chosen.validation}, 3)  # type: ignore[arg-type]
    draw_front(result, tmp_path / "front.png")
    assert [path.name for path in tmp_path.iterdir()] == ["front.png"]
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "front.png").mkdir()
    (tmp_path / "front.png" / "mine").touch()
    with pytest.raises(InputError, match="cannot write"):
        save_figure(new_figure()[0], tmp_path / "front.png")
    assert [path.name for path in tmp_path.iterdir()] == ["front.png"]
