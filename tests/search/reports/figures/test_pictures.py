"""The pictures of a run: what they show of its record, and what is said where there is nothing to show."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import oncefit
from search.cli.app import main
from search.reports.figures.pictures import FIGURES, picture, picture_file
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from tests.helpers.drawn_texts import overlapping
from tests.helpers.pages import predicted_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, supernet: Supernet) -> oncefit.Run:
    return predicted_run(tmp_path_factory.mktemp("pictures") / "run", supernet)


@pytest.mark.parametrize("kind", FIGURES)
def test_a_picture_has_no_text_over_another_and_is_a_well_formed_svg(
    kind: str, run: oncefit.Run, tmp_path: Path
) -> None:
    assert overlapping(run.plot(kind, tmp_path / "drawn.svg")) == []
    assert ET.parse(tmp_path / "drawn.svg").getroot().tag.endswith("svg")


def test_the_shares_of_layers_are_those_of_the_subnets(run: oncefit.Run) -> None:
    axes = run.plot("layers").axes
    for drawn, arch in zip(axes, (run.chosen, run.supernet.space.largest()), strict=True):
        widths = [bar.get_width() for bar in drawn.patches]
        assert sum(widths) == pytest.approx(100)
        assert sum(text.get_text() == "left out" for text in drawn.texts) == len(axes[1].patches) - len(
            widths
        )
        assert arch.id in drawn.get_title()


def test_a_history_and_a_timeline_have_every_trial(run: oncefit.Run) -> None:
    history = run.plot("history").axes[0]
    assert len(history.collections[0].get_offsets()) == len(run.candidates)
    best = history.lines[0].get_ydata()
    assert list(best) == sorted(best)
    timeline = run.plot("timeline").axes[0]
    assert len(timeline.patches) == len(run.study.trials)
    assert timeline.get_yticklabels()[0].get_text().startswith(f"process 1: {len(run.study.trials)} trials")


def test_wrong_input_is_told(run: oncefit.Run, tmp_path: Path, supernet: Supernet) -> None:
    with pytest.raises(InputError, match=r"'pie' is no kind of picture; give one of front, history"):
        picture(run.result, "pie")
    with pytest.raises(InputError, match=r"'pdf' is no format of a picture; give png or svg"):
        picture_file(tmp_path, "front", None, Path("a.pdf"))
    with pytest.raises(InputError, match="differ"):
        picture_file(tmp_path, "front", "svg", Path("a.png"))
    few = predicted_run(tmp_path / "few", supernet, trials=3)
    with pytest.raises(InputError, match=r"has 3 trials .* it takes 20"):
        few.plot("importance")


def test_a_run_without_trials_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.yaml").write_text(
        json.dumps({"supernet": "fmnist_mbv3", "objectives": ["top1"], "budgets": {"macs": 2e6}})
    )
    with pytest.raises(SystemExit) as end:
        main(["plot", str(tmp_path), "--kind", "layers"])
    assert end.value.code == 2
    assert "has no study yet" in capsys.readouterr().err
