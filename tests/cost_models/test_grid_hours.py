"""When to start a job: against trying every start, and what is refused of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cost_models.grid_hours import Hourly, read_hourly, schedule, window_at, windows
from supernet.errors import InputError


@pytest.mark.parametrize("job_hours", [0.25, 1, 3.5, 7, 24])
def test_every_window_is_the_mean_of_a_minute_by_minute_walk(job_hours: float) -> None:
    rng = np.random.default_rng(1)
    grams = rng.uniform(20, 600, 24)
    series = Hourly(tuple(map(str, range(24))), tuple(grams))
    found = windows(series, job_hours)
    minutes = np.repeat(grams, 60)
    length = round(job_hours * 60)
    starts = range(0, len(minutes) - length + 1, 60)
    walked = [minutes[start : start + length].mean() for start in starts]
    assert [window.grams_per_kwh for window in found] == pytest.approx(walked)
    best = schedule(series, job_hours)
    assert best.best.start == str(int(np.argmin(walked)))
    assert best.saved_share(best.first.grams_per_kwh) == pytest.approx(1 - min(walked) / walked[0])
    assert window_at(series, job_hours, "0").grams_per_kwh == pytest.approx(walked[0])


def test_a_file_with_times(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text("grams_per_kwh,hour\n300,2026-02-28T22:00\n100,2026-02-28T23:00\n50,2026-03-01T00:00\n\n")
    found = schedule(read_hourly(path), 2)
    assert (found.best.start, found.best.grams_per_kwh) == ("2026-02-28T23:00", 75)
    with pytest.raises(InputError, match=r"a job of 4 hours does not fit into 3 hours"):
        schedule(read_hourly(path), 4)
    with pytest.raises(InputError, match=r"cannot start at 'noon'; starts are 2026-02-28T22:00 to"):
        window_at(read_hourly(path), 1, "noon")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the first line must be hour,grams_per_kwh"),
        ("time,g\n0,1\n", "the first line must be hour,grams_per_kwh, got 'time,g'"),
        ("hour,grams_per_kwh\n", "has no hours"),
        ("hour,grams_per_kwh\n0,1\n2,1\n", "line 3: hour 2 does not follow on 0"),
        ("hour,grams_per_kwh\n0,1\n2026-01-01T00:00,1\n", "line 3: .* does not follow"),
        ("hour,grams_per_kwh\n2026-01-01T00:00,1\n2026-01-01T00:30,1\n", "line 3"),
        ("hour,grams_per_kwh\n0,many\n", "line 2: 'many' is no intensity"),
        ("hour,grams_per_kwh\n0,-1\n", "line 2: '-1' is no intensity"),
        ("hour,grams_per_kwh\n0\n", "line 2: 1 values, and there must be 2"),
        ("hour,grams_per_kwh\nsoon,4\n", "line 2: 'soon' is no hour"),
        (f"hour,grams_per_kwh\n{'9' * 5000},4\n", "line 2: '999.* is no hour"),
    ],
)
def test_a_wrong_file_is_refused_by_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_hourly(path)
