"""A command that a signal strikes at a known step, however fast the machine is."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import importlib, os, sys

place, nth, number, *arguments = sys.argv[1:]
module, _, path = place.partition(":")
*owners, name = path.split(".")
owner = importlib.import_module(module)
for one in owners:
    owner = getattr(owner, one)
original, calls = getattr(owner, name), 0

def struck(*given, **named):
    global calls
    calls += 1
    if calls == int(nth):
        os.kill(os.getpid(), int(number))
    return original(*given, **named)

setattr(owner, name, struck)
from search.cli.app import main

main(arguments)
"""


def struck(
    place: str, nth: int, by: signal.Signals, *arguments: object, cwd: Path
) -> subprocess.CompletedProcess[str]:
    """``oncefit`` with ``arguments``, which is sent ``by`` before the ``nth`` call of ``place``, as ``module:Class.method``."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, place, nth, int(by), *arguments]
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
