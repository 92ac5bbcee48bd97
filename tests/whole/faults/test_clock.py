"""A clock that is set back, between two commands and in the middle of a search: nothing is lost, and no time is negative."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import optuna
import pytest

from search.runs.study import search_seconds, trial_seconds
from tests.helpers.free_search import free_run
from tests.helpers.paths import ROOT


def test_a_trial_that_ended_before_it_began_took_no_time() -> None:
    """By its machine's clock, which was set back meanwhile."""
    began = datetime(2026, 11, 29, 3, 0)
    for lasted in (timedelta(seconds=2.5), timedelta(hours=-1)):
        trial = optuna.trial.create_trial(value=0.0)
        trial.datetime_start, trial.datetime_complete = began, began + lasted
        assert trial_seconds(trial) == max(lasted.total_seconds(), 0)


PROGRAM = """
import sys
from pathlib import Path
from search.runs.trials import search
from tests.helpers.free_search import FreeRun, free_run

folder, clock, back = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
real, calls = FreeRun.judge, 0

def judge(self, arch):
    global calls
    calls += 1
    if calls == 4:
        clock.write_text(back)
    return real(self, arch)

FreeRun.judge = judge
search(free_run(folder, "random", int(sys.argv[4]), "folder"), lambda progress: None)
"""


@pytest.mark.slow
def test_a_search_whose_clock_is_set_back(tmp_path: Path) -> None:
    """By an hour within its fourth trial, and by a year before it goes on."""
    library = next(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("libfaketime is not here: apt-get install faketime")
    clock, folder = tmp_path / "clock", tmp_path / "run"
    clock.write_text("+0")
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }  # fmt: skip
    for back, trials in (("-3600", 10), ("-31536000", 20)):
        command = [sys.executable, "-c", PROGRAM, str(folder), str(clock), back, str(trials)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
    study = free_run(folder, "random", 20, "folder").study()
    found = [t.user_attrs["arch_id"] for t in study.trials if t.state.name == "COMPLETE"]
    assert len(set(found)) == len(found) == 20
    begun = [t.datetime_start for t in study.trials if t.datetime_start is not None]
    assert max(begun) - min(begun) > timedelta(days=300), "the clock was set back"
    assert any(t.duration is not None and t.duration.total_seconds() < 0 for t in study.trials)
    assert 0 < search_seconds(study) < 600
