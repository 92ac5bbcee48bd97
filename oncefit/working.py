"""Work on a search that somebody else began."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from oncefit.runs import Show, showing
from supernet.errors import InputError

if TYPE_CHECKING:
    from search.runs.run import Run


def work(
    run: str | Path | None = None,
    *,
    storage: str | None = None,
    study: str | None = None,
    supernet: str | Path | None = None,
    data: str | Path | None = None,
    wait: float = 0.0,
    check: bool = False,
    progress: bool | Show = False,
) -> int:
    """Make trials of a search that was begun elsewhere, until it has all; returns how many subnets were evaluated here.

    It is that of the folder ``run``, or of the ``study`` in a ``storage``; ``supernet`` and ``data`` say where these are on
    this machine, if elsewhere. ``wait`` seconds for it to begin. ``check`` only sees whether this machine could, and returns
    0. Raises InputError that names what differs here: network, weights, images, device, predictor or costs.
    """
    from search.reports.progress import search_progress
    from search.runs.trials import join_search

    with to_join(run, storage, study, supernet, data, wait) as found:
        if check:
            return 0
        with showing(progress, lambda: search_progress(found)) as show:
            return join_search(found, show, measures=run is not None)


@contextmanager
def to_join(
    run: str | Path | None,
    storage: str | None,
    study: str | None,
    supernet: str | Path | None,
    data: str | Path | None,
    wait: float,
) -> Iterator[Run]:
    """The run that is meant, checked."""
    from search.runs.joining import run_to_join, study_to_join

    network, images = (str(one) if one is not None else None for one in (supernet, data))
    if (run is None) == (study is None):
        raise InputError("give the folder of a run, or its study as --storage URL --study NAME")
    if run is not None:
        yield run_to_join(Path(run), storage, network, images, wait)
        return
    assert study is not None
    if storage is None:
        raise InputError(f"the study {study!r} is in a storage: give it as --storage URL")
    with study_to_join(storage, study, network, images, wait) as found:
        yield found
