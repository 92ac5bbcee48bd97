"""A run that others began, opened to take part in it: in its folder, or through its study alone.

What a worker has here is held against what the study is of before it makes a trial.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from search.runs import study as studies
from search.runs.config import to_yaml
from search.runs.fleet_devices import FLEET
from search.runs.opening import open_run
from search.runs.run import CONFIG, DEVICE, PREDICTOR, Run
from search.runs.study import PLACE, Place
from search.storages.travelling import KEPT_FILES, unpack_files
from search.storages.urls import NotThereError, is_file, lasting, open_storage
from supernet import documents
from supernet.errors import InputError, prefixed

if TYPE_CHECKING:
    import optuna

Found = TypeVar("Found")

LOOK_S = 2.0
"""Seconds between two looks for a study that is waited for."""
COST_TOLERANCE = 1e-6
"""By how much a cost may differ that is computed here and elsewhere, relatively."""


def run_to_join(
    folder: Path, storage: str | None, supernet: str | None, data: str | None, wait_s: float = 0.0
) -> Run:
    """The run in a folder, checked. Raises InputError where there is none, or something differs here."""

    def opened() -> Run:
        if (folder / FLEET).is_file():
            raise InputError(f"{folder} is a search for several devices, which one process makes at a time")
        if not (folder / PLACE).is_file():
            raise NotThereError(f"{folder} is not a run: it has no {PLACE}; oncefit search writes one")
        return open_run(folder, storage, None, supernet, data)

    run = insisted(opened, wait_s)
    check_here(run, insisted(run.study, wait_s))
    return run


@contextmanager
def study_to_join(
    url: str, name: str, supernet: str | None, data: str | None, wait_s: float = 0.0
) -> Iterator[Run]:
    """The run of a study, in a folder that is gone afterwards, checked.

    Raises InputError where there is none, or something differs here.
    """
    if url.startswith("sqlite"):
        raise InputError(
            f"{lasting(url)} is for the processes of one machine, which join in the run's folder: oncefit work RUN"
        )
    study = insisted(lambda: study_there(url, name), wait_s)
    with TemporaryDirectory(prefix="oncefit-") as made:
        folder = Path(made)
        unpack_files(study, folder, (CONFIG, DEVICE, PREDICTOR))
        documents.write_text(folder / PLACE, to_yaml(Place(name=name, storage=lasting(url))))
        try:
            run = open_run(folder, url, None, supernet, data)
        except InputError as error:
            raise prefixed(error, f"the study {name!r}") from None
        check_here(run, study)
        yield run


def study_there(url: str, name: str) -> optuna.Study:
    """Raises InputError where there is no study of that name, or nothing to join in it."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if is_file(lasting(url)) and not Path(lasting(url).split(":///", 1)[1]).is_file():
        raise NotThereError(f"there is no {lasting(url)}; oncefit search --storage makes it")
    storage = open_storage(url)
    try:
        found = optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        others = [one.study_name for one in storage.get_all_studies()]
        known = f"; it has {', '.join(others[:5])}{', ...' if others[5:] else ''}" if others else ""
        raise NotThereError(f"there is no study {name!r} in {lasting(url)}{known}") from None
    studies.identity_of(found)
    if KEPT_FILES not in found.user_attrs:  # which whoever began it may be about to write
        raise NotThereError(
            f"the study {name!r} does not hold the files of its run; go on with oncefit search in the run's folder once, "
            "which puts them there, or join in that folder: oncefit work RUN"
        )
    return found


def insisted(ask: Callable[[], Found], wait_s: float) -> Found:
    """What ``ask`` gives, asked again for some seconds as long as it says that something is not there yet."""
    began = time.monotonic()
    while True:
        try:
            return ask()
        except NotThereError:
            if time.monotonic() - began >= wait_s:
                raise
        time.sleep(LOOK_S)


def check_here(run: Run, study: optuna.Study) -> None:
    """Raises InputError that names all of the network, weights, images, device and costs that differ here from the study's."""
    images = {"images": run.accuracy.data.sha256} if run.measures else {}
    differs = studies.differing(study, {**run.identity, **images})
    differs += other_costs(run, study)
    if differs:
        raise InputError(
            f"this machine cannot work on the study {study.study_name!r}, which is of {', '.join(differs)}; give what the "
            "study is of, as --supernet FILE or --data DIR"
        )


def other_costs(run: Run, study: optuna.Study) -> list[str]:
    """Costs of the first arch that was judged that are others here, as those of one's own code may be."""
    first = next(iter(studies.candidates(study, run.problem)), None)
    if first is None:
        return []
    here = {name: run.costs[name](first.arch) for name in first.costs if name in run.costs}
    return [
        f"the {name} {first.costs[name]} of {first.arch.id} (here: {value})"
        for name, value in here.items()
        if not math.isclose(value, first.costs[name], rel_tol=COST_TOLERANCE)
    ]
