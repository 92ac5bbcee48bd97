"""Searches that race beside the same without, and what they leave behind."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch

from search.cli.app import main
from search.reports import report
from search.runs.config import RunConfig, differences, load_config
from search.runs.measuring import MeasuredAccuracy
from search.runs.opening import start
from search.runs.racing import (
    Raced,
    Rival,
    images_saved,
    unpacked,
)
from search.runs.results import conclude
from search.runs.run import Run
from search.runs.study import candidates, raced
from search.runs.trials import full_values, search
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.evaluating import evaluation
from supernet.evaluating.evaluation import hits_by_part
from supernet.families.catalog import PreprocessingKeys, Supernet
from supernet.images.data import Dataset, load_dataset
from tests.helpers.own_data import WNIDS, write_folders, write_train_and_val
from tests.helpers.plain_evaluation import plain_accuracy

PRUNED, COMPLETE = optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.COMPLETE

# -- images that cannot be decoded --------------------------------------------------


class Means(torch.nn.Module):
    """Seven numbers of an image for logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[:, i % 3, i :: i + 2].mean((1, 2)) for i in range(7)], dim=1)


def test_hits_stay_aligned_where_images_cannot_be_decoded(tmp_path: Path) -> None:
    how = PreprocessingKeys(crop=0.875, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    network = types.SimpleNamespace(classes=WNIDS, preprocessing=how)
    folder = write_train_and_val(tmp_path / "own", 5, 10)
    for broken in (0, 5):  # all validation images of one class, and with them some parts
        (folder / "val" / WNIDS[0] / f"{broken:03d}.{'JPEG' if broken == 0 else 'png'}").write_bytes(b"no")
    data = load_dataset(str(folder), network)
    arch: Arch = types.SimpleNamespace(resolution=64)  # type: ignore[assignment]
    subnet = Means().eval()
    for split_parts in ([range(14)], [range(i, 14, 4) for i in range(4)], [range(0, 2), range(2, 14)]):
        found = list(hits_by_part(subnet, arch, data, "validation", split_parts))
        assert sorted(place for places, _ in found for place in places) == list(range(2, 14))
        assert all(len(places) == len(hits) for places, hits in found)
        both = {
            place: hit for places, hits in found for place, hit in zip(places, hits.tolist(), strict=True)
        }
        whole = evaluation.hits_of(subnet, arch, data, "validation").tolist()
        assert [both[place] for place in range(2, 14)] == whole
    with pytest.raises(InputError, match="none of the 14 images"):
        list(hits_by_part(subnet, arch, data, "validation", [range(0, 2)]))


# -- searches ----------------------------------------------------------------------

Evaluated = list[tuple[Arch, int]]


@pytest.fixture
def evaluated(supernet: Supernet, monkeypatch: pytest.MonkeyPatch) -> Evaluated:
    """Hits that grow with resolution and depth, without a network; returns what was evaluated, by part."""
    done: Evaluated = []
    difficulty = np.random.default_rng(0).random(5000)
    sizes = {d.name: max(d.choices) for d in supernet.space.dimensions}

    def planned(arch: Arch) -> torch.Tensor:
        size = np.mean([arch.values.get(name, 0) / most for name, most in sizes.items()])
        noise = np.random.default_rng(int(arch.id, 16)).normal(0, 0.05, 5000)
        first = difficulty + noise < 0.5 + 0.4 * size
        return torch.from_numpy(np.stack([first, ~first & (difficulty < 0.95)], axis=1))

    def hits_by_part(
        subnet: Arch, arch: Arch, data: Dataset, split: str, asked: Iterable[range]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        hits = planned(arch)
        for part in asked:
            done.append((arch, len(part)))
            yield list(part), hits[[place % 5000 for place in part]]

    monkeypatch.setattr(evaluation, "hits_by_part", hits_by_part)
    monkeypatch.setattr(MeasuredAccuracy, "subnet", lambda self, arch: arch)
    return done


def configured(folder: Path, **keys: object) -> Run:
    given = {"trials": 20, "sampler": "random", "budgets": {"macs": 2e6}, "race": True, **keys}
    return start(folder, RunConfig(supernet="fmnist_mbv3", **given), None, print)  # type: ignore[arg-type]


def searched(folder: Path, **keys: object) -> Run:
    run = configured(folder, **keys)
    search(run, lambda progress: None)
    return run


@pytest.mark.parametrize("accuracy", ["top1", "top5"])
def test_survivors_have_the_figures_that_they_have_without_racing(
    evaluated: Evaluated, tmp_path: Path, accuracy: str
) -> None:
    """Random proposals are the same with and without."""
    racing, plain = (
        searched(tmp_path / str(race), race=race, objectives=(accuracy,)) for race in (True, False)
    )
    survivors = {c.arch.id: c.validation for c in candidates(racing.study(), racing.problem)}
    everyone = {c.arch.id: c.validation for c in candidates(plain.study(), plain.problem)}
    stopped = raced(racing.study(), racing.problem)
    assert len(everyone) == len(survivors) + len(stopped) == 20
    assert len(stopped) > 5 or accuracy == "top5"
    assert all(everyone[arch_id] == found for arch_id, found in survivors.items())
    assert set(everyone) == {*survivors, *stopped}
    best = max(everyone, key=lambda arch_id: getattr(everyone[arch_id], accuracy))
    assert getattr(everyone[best], accuracy) == max(getattr(found, accuracy) for found in survivors.values())


def test_a_stopped_candidate_is_pruned_with_what_is_known_of_it(evaluated: Evaluated, tmp_path: Path) -> None:
    run = searched(tmp_path / "run")
    trials = run.study().get_trials()
    hits = {
        t.user_attrs["arch_id"]: unpacked(t.user_attrs["hits"], 5000) for t in trials if t.state == COMPLETE
    }
    stopped = [t for t in trials if "raced" in t.user_attrs]
    assert stopped
    for trial in stopped:
        assert trial.state == PRUNED
        assert set(trial.user_attrs) == {"arch_id", "costs", "raced"}
        assert trial.constraints["macs"] <= 0
        record = trial.user_attrs["raced"]
        assert set(record) == {"images", "of", "top1", "rival"}
        assert record["images"] in (1250, 2500)
        assert record["top1"] < hits[record["rival"]].mean()
    images = sum(count for _, count in evaluated)
    saved = images_saved(raced(run.study(), run.problem), len(hits), 5000)
    assert images == pytest.approx((1 - saved) * 5000 * 20)


def test_a_stopped_arch_that_comes_again_is_not_evaluated_again(evaluated: Evaluated, tmp_path: Path) -> None:
    run = searched(tmp_path / "run")
    before = raced(run.study(), run.problem)
    again = next(t for t in run.study().get_trials() if "raced" in t.user_attrs)
    arch = run.problem.space.arch(again.params)
    run.study().enqueue_trial(full_values(run.problem.space, arch))
    search(configured(tmp_path / "run", trials=21), lambda progress: None)
    repeated = [t for t in run.study().get_trials() if t.user_attrs["arch_id"] == arch.id]
    assert [t.state for t in repeated] == [PRUNED, PRUNED]
    assert repeated[1].user_attrs["raced"] == again.user_attrs["raced"]
    assert len({one.id for one, _ in evaluated}) == 21
    assert {
        arch_id: found for arch_id, found in raced(run.study(), run.problem).items() if arch_id in before
    } == before


@pytest.mark.parametrize("stop_after", [5, 12])
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(
    evaluated: Evaluated, tmp_path: Path, stop_after: int
) -> None:
    def told(run: Run) -> list[tuple[object, ...]]:
        return [(t.state, t.params, t.user_attrs) for t in run.study().get_trials() if t.state.is_finished()]

    whole = searched(tmp_path / "whole", sampler="guided", trials=16)
    run = configured(tmp_path / "halves", sampler="guided", trials=16)

    def stop(progress: object) -> None:
        if progress.trials == stop_after:  # type: ignore[attr-defined]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(run, stop)
    assert len(told(run)) == stop_after
    assert told(searched(tmp_path / "halves", sampler="guided", trials=16)) == told(whole)
    assert len(raced(whole.study(), whole.problem)) > 0


@pytest.mark.parametrize("objectives", [("top1", "macs"), ("top1", "macs", "params")])
def test_of_several_objectives_only_what_a_cheaper_one_dominates_is_stopped(
    evaluated: Evaluated, tmp_path: Path, objectives: tuple[str, ...]
) -> None:
    run = searched(tmp_path / "run", objectives=objectives, trials=25)
    known = {c.arch.id: c for c in candidates(run.study(), run.problem)}
    stopped = [t for t in run.study().get_trials() if "raced" in t.user_attrs]
    assert stopped
    for trial in stopped:
        rival = known[trial.user_attrs["raced"]["rival"]]
        assert all(rival.costs[name] <= trial.user_attrs["costs"][name] for name in objectives[1:])
    result = conclude(run, print)
    assert len(result.candidates) + len(result.raced) == 25
    assert not set(result.raced) & {member.arch.id for member in result.front}


def test_the_result_says_how_many_were_stopped_and_what_it_saved(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    run = searched(tmp_path / "run")
    result = conclude(run, print)
    found = report.result_dict(result)
    stopped, images = found["stopped_early"], sum(count for _, count in evaluated if count < 10_000)
    assert found["measured_candidates"] + stopped["candidates"] == 20
    assert f"{found['measured_candidates']} candidates measured, 20 proposed." in report.legend(result)
    percent = f"{100 * stopped['share_of_images_saved']:.0f} % fewer images evaluated"
    assert f"{stopped['candidates']} more stopped early: {percent}." in report.legend(result)
    assert images - 10_000 <= (1 - stopped["share_of_images_saved"]) * 5000 * 20 <= images


def test_racing_is_for_measured_accuracy_and_for_a_whole_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("supernet: ofa_mbv3_w1.0\naccuracy: predicted\npredictor: ofa_mbv3_w1.0\nrace: true\n")
    with pytest.raises(InputError, match=r"race: true .* set accuracy: measured"):
        load_config(path, {}, {})
    old, new = RunConfig(supernet="fmnist_mbv3", race=False), RunConfig(supernet="fmnist_mbv3", race=True)
    assert differences(old, new) == ["race was False and is True"]


# -- with networks and images --------------------------------------------------------


def test_a_raced_survivor_is_measured_as_any_other(supernet: Supernet, few: Dataset) -> None:
    measure = MeasuredAccuracy(supernet, "fashion_mnist", print)
    vars(measure)["data"] = few
    for arch in supernet.space.decode(supernet.space.sample(3, np.random.default_rng(0))):
        nobody = Rival("rival", 0.0, np.zeros(300, dtype=np.bool_))
        found = measure.race(arch, nobody, "top1")
        assert not isinstance(found, Raced)
        subnet = supernet.load().extract(arch)
        plain = plain_accuracy(subnet, arch.resolution, few.calibration, few.validation)
        assert (found[0].top1, found[0].top5) == pytest.approx(plain)
        assert unpacked(found[1], 300).sum() == round(300 * found[0].top1)
    perfect = Rival("perfect", 1.0, np.ones(300, dtype=np.bool_))
    stopped = measure.race(arch, perfect, "top1")
    assert isinstance(stopped, Raced)
    assert stopped.images < 300
    assert stopped.estimate == pytest.approx(unpacked(found[1], 300)[:: 300 // stopped.images].mean())


def test_the_command_line_races(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    own = write_folders(data, tmp_path / "own")
    config.write_text(f"supernet: fmnist_mbv3\ndata: {own}\nbudgets: {{macs: 2e6}}\ntrials: 5\n")
    monkeypatch.chdir(tmp_path)
    for options, key in ((["--race"], True), (["--no-race"], False)):
        with pytest.raises(SystemExit):
            main(["search", "mine.yaml", "--json", *options])
        found = json.loads(capsys.readouterr().out)
        assert ("stopped_early" in found) == key
        assert found["run"] == f"runs/mine-{'race' if key else 'no-race'}"
