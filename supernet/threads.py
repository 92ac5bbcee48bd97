"""How many threads torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_torch_thread() -> Iterator[int]:
    """One thread for each operation of torch, also in Python threads that start inside; yields the number before.

    Operations on small images gain little from more threads, and wait for each other where
    other programs want the cores, many times longer than the work itself takes.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)
