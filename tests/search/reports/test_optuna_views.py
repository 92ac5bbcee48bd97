"""Optuna's own pictures show a run's study, under the names that the run has for things."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
from optuna.exceptions import ExperimentalWarning
from optuna.visualization import matplotlib as views

import oncefit
from supernet.families.catalog import Supernet
from tests.helpers.pages import predicted_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, supernet: Supernet) -> oncefit.Run:
    return predicted_run(tmp_path_factory.mktemp("views") / "run", supernet)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    import matplotlib.pyplot as plt

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        warnings.filterwarnings("ignore", "PedAnovaImportanceEvaluator computes", UserWarning)
        yield
    plt.close("all")


def test_the_front_has_the_names_of_the_objectives(run: oncefit.Run) -> None:
    axes = views.plot_pareto_front(run.study)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("top1", "macs")
    best = {(trial.values[0], trial.values[1]) for trial in run.study.best_trials}
    assert best == {(c.value("top1"), c.value("macs")) for c in run.result.front}


def test_the_history_is_of_the_accuracy(run: oncefit.Run) -> None:
    axes = views.plot_optimization_history(
        run.study, target=lambda trial: trial.values[0], target_name="top1"
    )
    assert axes.get_ylabel() == "top1"
    offsets = axes.collections[0].get_offsets()
    assert [float(y) for _, y in offsets] == [trial.values[0] for trial in run.study.get_trials()]


def test_importances_and_slices_are_by_dimension(run: oncefit.Run) -> None:
    from optuna.importance import PedAnovaImportanceEvaluator

    names = ["resolution", "depth.1", "kernel.1.1"]
    bars = views.plot_param_importances(
        run.study, evaluator=PedAnovaImportanceEvaluator(), params=names, target=lambda trial: -trial.values[0],
        target_name="top1",
    )  # fmt: skip
    assert {label.get_text() for label in bars.get_yticklabels()} == set(names)
    panels = views.plot_slice(
        run.study, params=names, target=lambda trial: trial.values[0], target_name="top1"
    )
    assert sorted(panel.get_xlabel() for panel in panels) == sorted(names)
    assert panels[0].get_ylabel() == "top1"


def test_a_trial_tells_what_it_is_of(run: oncefit.Run) -> None:
    """What a dashboard shows of a trial: its arch, what it costs, and its accuracy by how it is known."""
    for trial in run.study.get_trials():
        assert {"arch_id", "costs", "predicted"} <= set(trial.user_attrs)
        assert set(trial.params) == {d.name for d in run.supernet.space.dimensions}
    assert run.study.metric_names == ["top1", "macs"]
