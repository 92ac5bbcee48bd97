"""Picking again from what a run knows: another budget, another device, and no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cost_models.variants import any_in_region, parse_device
from oncefit.runs import Run, open_run
from search.problem.confidence import plain_budgets
from search.runs.config import with_full_paths
from search.runs.naming import as_typed, run_name
from supernet import documents
from supernet.messages import Say, say


class Limits(documents.Document):
    """Budgets as numbers: what is no number is told as it is of a search's file."""

    budgets: dict[str, float]


def reselect(
    run: Run | str | Path,
    *,
    budgets: Mapping[str, float | Mapping[str, float]] | None = None,
    device: str | Mapping[str, object] | None = None,
    region: str | None = None,
    measure: int | None = None,
    out: str | Path | None = None,
    say: Say = say,
) -> Run:
    """The best of a run's candidates under other budgets, or on another device, as a run of its own in ``out``.

    Nothing is trained and no new subnet is tried: costs are computed for ``device`` from its profile, accuracies are
    those that the run has, and only the ``measure`` best (1; 0 measures none) are measured on the report split where
    they are not yet. ``budgets`` take the place of the run's own of the same costs. What the run has recorded stays as
    it is. The new one is beside it by default, and can be exported, compared and searched on. Raises InputError where no
    subnet keeps the budgets, and where none of the candidates does, with the nearest.
    """
    from search.fleets.reselection import reselect_run

    source = run if isinstance(run, Run) else open_run(run, measure=False, say=say)
    limits = documents.check({"budgets": plain_budgets(budgets or {})}, Limits, "reselect").budgets
    given = with_full_paths({"device": device}, Path())["device"]
    place = parse_device(given, "reselect: device", Path())
    before = source.config.device
    place = any_in_region(place if place is not None or region is None else before, region)
    folder = Path(out) if out is not None else folder_beside(source.folder, limits, device, region)
    return Run(reselect_run(source.result.run, folder, limits, place, measure, say), say)


def folder_beside(
    folder: Path,
    limits: Mapping[str, float],
    device: str | Mapping[str, object] | None,
    region: str | None,
) -> Path:
    """``latency-reselected-latency_ms0.1-phone``, next to the run's folder."""
    settings = {"device": device, "region": region}
    return folder.with_name(run_name(f"{folder.resolve().name}-reselected", settings, as_typed(limits)))
