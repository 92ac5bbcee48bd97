"""What kills commands at random moments (:mod:`tests.helpers.killing`) finds what is wrong, and nothing where all is well."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.helpers.killing import Job, killed_at_random

KILLS = 3
PROGRAM = """
import os, sys, time

whole, place = sys.argv[1] == "whole", "made.partial" if sys.argv[1] == "whole" else "made"
with open("begun", "a") as file:
    file.write("x")
with open(place, "w") as file:
    for piece in range(6):
        print(piece, file=file, flush=True)
        time.sleep(0.01)
if whole:
    os.replace(place, "made")
if sys.argv[1] == "other" and os.path.getsize("begun") > 1:
    open("made", "w").write("another")
"""
MADE = "0\n1\n2\n3\n4\n5\n"


def job(kind: str) -> Job:
    def is_sound(folder: Path) -> None:
        if (made := folder / "made").exists() and kind != "other":
            assert made.read_text() == MADE, "half of it"

    def result(folder: Path) -> str:
        return (folder / "made").read_text()

    return Job((kind,), result, is_sound, command=(sys.executable, "-S", "-c", PROGRAM))


def test_a_command_that_writes_whole_files_is_sound(tmp_path: Path) -> None:
    tally = killed_at_random(job("whole"), KILLS, 1, tmp_path)
    assert tally.kills == KILLS
    assert 0 < tally.ended <= KILLS
    assert tally.early < KILLS


@pytest.mark.parametrize(
    ("kind", "fault"), [("half", "half of it"), ("other", "ends otherwise than undisturbed")]
)
def test_one_that_does_not_is_found(kind: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=fault):
        killed_at_random(job(kind), 20, 1, tmp_path)


def test_what_was_finished_and_is_lost_is_found(tmp_path: Path) -> None:
    given = job("whole")
    lost = Job(
        given.arguments,
        given.result,
        finished=lambda folder: (folder / "made.partial").exists() * [1],
        command=given.command,
    )
    with pytest.raises(AssertionError, match="lost what was finished"):
        killed_at_random(lost, 20, 1, tmp_path)
