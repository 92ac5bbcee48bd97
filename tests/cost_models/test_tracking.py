"""Tracking by the real codecarbon: energy times the grid, added up over sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from cost_models.grid import OwnGrid
from cost_models.tracking import read_tracked, tracked
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
