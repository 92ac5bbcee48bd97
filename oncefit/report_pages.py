"""Reports as pages of HTML, for people who were not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from oncefit.runs import Run
from supernet.errors import InputError
from supernet.messages import Say, say


def report(
    runs: Run | str | Path | Sequence[Run | str | Path],
    out: str | Path | None = None,
    *,
    cost: str | None = None,
    at: Sequence[float] = (),
    deployment: str | Path | Mapping[str, object] | None = None,
    measure_ends: bool = False,
    storage: str | None = None,
    say: Say = say,
) -> Path:
    """Write one HTML file that tells what a run found, or compares several, and needs no network; returns its path.

    Without ``out`` it is ``report.html`` in the run's folder, of several runs in the folder of their comparison. ``cost``
    and ``at`` are those of :func:`oncefit.compare`; a ``deployment``, a YAML file or a mapping, adds its carbon ledger
    (docs/carbon.md). With ``measure_ends`` the smallest and the largest subnet are measured on the report images, and the
    run keeps that. A search that has not ended is told as far as it is. Raises InputError for what is no run, and for runs
    that cannot be compared.
    """
    from search.reports.page import making
    from search.runs.opening import open_run as opened

    several = [runs] if isinstance(runs, (Run, str, Path)) else list(runs)
    folders = [run.folder if isinstance(run, Run) else Path(run) for run in several]
    if not folders:
        raise InputError("a report needs a run, or several; got none")
    path = Path(out) if out is not None else making.default_page(folders, cost)
    given = making.serving_of(Path(deployment) if isinstance(deployment, str) else deployment)
    found = [run.result.run if isinstance(run, Run) else opened(Path(run), storage) for run in several]
    if measure_ends:
        for run in found:
            making.measure_ends(run, say)
    if len(found) > 1:
        if given is not None:
            raise InputError("a deployment is of one run, and there are several; report each by itself")
        return making.write_page(making.page_of_several(folders, cost, list(at), storage), path)
    if cost is not None or at:
        raise InputError(
            f"cost and at are of a comparison, and {folders[0]} is one run; leave them out, or give another run"
        )
    return making.write_page(making.page_of_one(found[0], given), path)
