"""Every example of docs/python.md runs, in its order, and does what its comments say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib.figure
import optuna
import pandas as pd
import pytest
import torch

from tests.helpers.paths import ROOT

EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), flags=re.S)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """The names that the page's examples leave behind."""
    folder = tmp_path_factory.mktemp("python")
    (folder / "configs").symlink_to(ROOT / "configs")
    names: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for example in EXAMPLES:
            exec(compile(example, "docs/python.md", "exec"), names)
        names["folder"] = folder
        yield names


def test_the_page_shows_a_search_in_about_ten_lines() -> None:
    assert len(EXAMPLES) == 10
    assert len(EXAMPLES[0].strip().splitlines()) <= 10


def test_the_results_are_what_the_page_says(told) -> None:
    run, mine, grid = told["run"], told["mine"], told["grid"]
    assert isinstance(run.front, pd.DataFrame)
    assert (run.front["predicted_macs"] <= 2e6).all()
    assert isinstance(told["figure"], matplotlib.figure.Figure)
    assert told["costs"].costs["macs"] > 1e8
    assert 0.5 < told["predictions"][0].top1 < 0.9
    assert told["cards"]["ofa_mbv3_w1.0"] == told["predictor"].card
    assert "ofa_resnet50" in told["here"]
    board = told["board"]
    assert board.unseen.within_10_percent == 1
    assert repr(board).startswith("KeptDevice('board' for fmnist_mbv3, error ")
    assert (told["on_board"].front["predicted_latency_ms"] <= 0.2).all()
    assert told["kit"].manifest.name == "phone"
    subnet = told["subnet"]
    assert isinstance(subnet, torch.nn.Module)
    assert not subnet.training
    assert isinstance(run.study, optuna.Study)
    assert (mine.front["own_top1"].diff().dropna() > 0).all(), "dearer members of a front are more accurate"
    assert list(told["comparison"].table["front_size"]) == [len(run.front), len(told["again"].front)]
    # of width * depth <= 6 the greatest (width + 2 depth) / 10 is 2 x 3
    assert dict(grid.chosen.choices) == {"width": 2, "depth": 3}
    assert grid.candidates["own_top1"].max() == pytest.approx(0.8)


def test_the_extracted_subnet_answers_as_the_bundle(told) -> None:
    run, bundle = told["run"], told["bundle"]
    images = torch.rand(3, 1, run.chosen.resolution, run.chosen.resolution)
    with torch.inference_mode():
        expected = told["subnet"](images)
        torch.testing.assert_close(bundle.subnet()(images), expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(bundle.onnx()(images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["supernet", "run", "bundle", "comparison", "mine", "board", "kit"])
def test_notebooks_show_results_without_letting_markup_in(told, name: str) -> None:
    shown = told[name]._repr_html_()
    assert shown.startswith("<")
    assert "<script" not in shown


def test_accuracies_of_ones_own_are_not_called_predicted_or_measured(told) -> None:
    mine = told["mine"]
    shown = mine._repr_html_()
    assert "own evaluation" in shown
    assert not [name for name in mine.front if name in ("predicted_top1", "validation_top1")]
    assert "predicted_candidates" not in mine.to_dict()


def test_a_run_of_ones_own_objects_is_read_without_them_and_told_what_is_missing(told) -> None:
    import oncefit

    folder = told["folder"] / "runs"
    read = oncefit.open_run(folder / "mine")
    assert read.front.equals(told["mine"].front)
    with pytest.raises(oncefit.InputError, match="the cost layers of this run was a function"):
        read.result.run.costs["layers"](read.chosen)
    with pytest.raises(oncefit.InputError, match="the supernet of this run was given in Python: grid"):
        oncefit.open_run(folder / "grid")
    again = oncefit.open_run(folder / "grid", supernet=told["Grid"]())
    assert again.chosen == told["grid"].chosen


def test_an_edited_function_does_not_go_on_with_the_figures_of_the_one_before(tmp_path: Path) -> None:
    import oncefit

    def searched(cost, accuracy):
        space = oncefit.SearchSpace("line", (oncefit.Dimension("width", (1, 2, 3)),))
        own = type("Line", (), {"name": "line", "space": space})()
        return oncefit.search(own, costs={"size": cost}, accuracy=accuracy, trials=2, out=tmp_path / "run")

    def half(arch):
        return arch["width"] / 10

    first = searched(lambda arch: arch["width"], half)
    again = searched(lambda arch: arch["width"], half)
    assert again.candidates.equals(first.candidates)
    with pytest.raises(oncefit.InputError, match="holds a run of another config: costs was"):
        searched(lambda arch: 2 * arch["width"], half)
    with pytest.raises(oncefit.InputError, match=r"is of the accuracy given in Python: half"):
        searched(lambda arch: arch["width"], lambda arch: arch["width"] / 5)


def test_a_supernet_given_in_python_is_not_exported_and_says_what_to_do(told) -> None:
    import oncefit

    class Net:
        name = "net"
        space = oncefit.SearchSpace("net", (oncefit.Dimension("width", (1, 2)),))

        def extract(self, arch):
            return torch.nn.Linear(arch["width"], 1)

    run = oncefit.search(
        Net(), costs={"size": lambda arch: arch["width"]}, accuracy=lambda arch: 0.5, trials=2,
        out=told["folder"] / "runs" / "net",
    )  # fmt: skip
    with pytest.raises(oncefit.InputError, match=r"extract\(\) gives the subnet"):
        run.export()
    assert len(run.result.run.supernet.weights_sha256) == 64


def test_another_budget_has_another_folder() -> None:
    from search.runs.naming import as_typed

    assert as_typed({"macs": 2e6, "latency_ms": 0.12}) == ["macs=2e6", "latency_ms=0.12"]
    assert as_typed({"macs": 5723776}) != as_typed({"macs": 5723780})
