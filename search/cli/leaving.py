"""What a worker takes for Ctrl-C: a scheduler's SIGTERM, and the end of the process that started it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopped_by(stdin_closes: bool) -> Iterator[None]:
    """Inside, SIGTERM is as Ctrl-C; so is the end of standard input where ``stdin_closes`` says so."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    if stdin_closes:
        threading.Thread(target=interrupt_at_end_of_stdin, daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def interrupt_at_end_of_stdin() -> None:
    # the descriptor, since a daemon thread that holds the lock of sys.stdin stops the interpreter at its end
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.kill(os.getpid(), signal.SIGINT)
