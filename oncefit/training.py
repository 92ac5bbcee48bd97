"""Training of supernets by progressive shrinking."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from oncefit.one_at_a_time import one_at_a_time

if TYPE_CHECKING:
    from supernet.training_job import Trained


def train(
    recipe: str | Path,
    *,
    alone: str | None = None,
    out: str | Path | None = None,
    track_carbon: bool = False,
    progress: bool = False,
) -> Trained:
    """Train the supernet of a recipe, or with ``alone`` (small, medium or large) one of its subnets from scratch.

    The same call resumes a killed training; ``out`` is ``runs/training/RECIPE`` by default. ``track_carbon`` keeps what
    the training emits beside its weights, as ``supernet.emissions.json`` (or ``small``, ...), for ``tracked:`` of a
    deployment; it needs codecarbon. Raises InputError for a recipe that is not one, and where another process trains the
    same in ``out``.
    """
    from cost_models.tracking import TRACKED, tracked_here
    from search.reports.progress import training_progress
    from supernet import documents, training_job
    from supernet.atomic import check_writable
    from supernet.errors import unknown

    if alone is not None and alone not in training_job.SIZES:
        raise unknown("size", alone, training_job.SIZES)
    path = documents.find("training", recipe)
    folder = Path(out) if out is not None else Path("runs") / "training" / path.stem
    check_writable(folder)
    weights = training_job.weights_file(folder, alone)
    ledger = weights.with_suffix(f".{TRACKED}")
    showing = training_progress() if progress else nullcontext(lambda _: None)
    with one_at_a_time(weights, "trains"), tracked_here(ledger, track_carbon), showing as show:
        return training_job.run(path, folder, alone, show)
