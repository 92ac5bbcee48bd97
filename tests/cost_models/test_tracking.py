"""Tracking by the real codecarbon: energy times the grid, added up over sessions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cost_models.grid import OwnGrid
from cost_models.tracking import Tracked, add_tracked, read_tracked, tracked
from supernet.errors import InputError


@pytest.mark.filterwarnings("ignore")
def test_what_runs_is_tracked_on_our_grid_and_added_up(tmp_path: Path) -> None:
    pytest.importorskip("codecarbon")
    path = tmp_path / "emissions.json"
    grid = OwnGrid(grams_per_kwh=500, source="made up")
    with tracked(path, grid):
        sum(range(1_000_000))
    once = read_tracked(path)
    assert once.kwh > 0
    assert once.kg == pytest.approx(once.kwh * 0.5)
    assert once.how.startswith("codecarbon 3.")
    assert ("not metered" in once.how) is not once.measured
    with pytest.raises(ZeroDivisionError), tracked(path, grid):
        _ = 1 / 0
    twice = read_tracked(path)
    assert twice.sessions == 2
    assert twice.kg > once.kg
    assert twice.how == once.how


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "emissions.json"
    path.write_text('{"seconds": 1}')
    with pytest.raises(InputError, match="the key 'kwh' is missing"):
        read_tracked(path)


@pytest.mark.filterwarnings("ignore")
def test_sessions_that_overlap_are_both_kept(tmp_path: Path) -> None:
    pytest.importorskip("codecarbon")
    path = tmp_path / "run" / "emissions.json"
    grid = OwnGrid(grams_per_kwh=500, source="made up")
    with tracked(path, grid), tracked(path, grid):
        sum(range(1_000_000))
    assert read_tracked(path).sessions == 2
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_sessions_that_end_together_are_added_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "emissions.json"
    one = Tracked(seconds=1, kwh=0.5, kg=0.25, measured=True, how="a meter")
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: add_tracked(path, one), range(12)))
    found = read_tracked(path)
    assert (found.sessions, found.kwh, found.kg) == (12, 6, 3)
