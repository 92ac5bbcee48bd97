"""How many threads torch computes with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import TypeVar

import torch

OfEach = TypeVar("OfEach")
Made = TypeVar("Made")


def made_ahead(
    make: Callable[[OfEach], Made], items: Iterable[OfEach], pool: Executor, ahead: int
) -> Iterator[Made]:
    """``make(item)`` of each item in order, ``ahead`` of which are made by ``pool`` while one is used."""
    waiting: deque[Future[Made]] = deque()
    for item in items:
        waiting.append(pool.submit(make, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


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


@contextmanager
def torch_threads(wanted: int | None) -> Iterator[int]:
    """So many threads of torch, or as many as it has; yields the number."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
