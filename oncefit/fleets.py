"""One search for several devices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from cost_models.tracking import TRACKED, tracked_here
from oncefit.runs import Run, planned, showing, split_own
from oncefit.supernets import Supernet, as_supernet
from search.fleets.fleet import FleetResult, ShowMember, conclude_fleet, start_fleet
from search.fleets.fleet import open_fleet as open_recorded
from search.reports import fleet as reporting
from search.runs.own import AccuracyFunction, CostFunction, OwnSupernet
from supernet.archs.arch import Arch, Choice
from supernet.messages import Say, say
from supernet.ofa_format.given import Given

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from optuna.samplers import BaseSampler

Devices = Sequence[str | Mapping[str, object]] | Mapping[str, Mapping[str, float]]
"""Devices as a list of names, files or variants, or as a mapping of names or files to budgets of their own."""


class FleetSettings(TypedDict, total=False):
    """Those of :func:`oncefit.search` that need no other words for several devices."""

    objectives: Sequence[str] | None
    trials: int | None
    seed: int | None
    race: bool | None
    enqueue: Sequence[Given] | None
    predictor: str | None
    measure: int | None
    data: str | Path | None
    space: Mapping[str, Iterable[Choice]] | None
    precision: Iterable[str] | None


def search_fleet(
    supernet: str | Path | Supernet | OwnSupernet | None = None,
    *,
    devices: Devices | None = None,
    config: str | Path | None = None,
    budgets: Mapping[str, float] | None = None,
    sampler: str | BaseSampler | None = None,
    accuracy: str | AccuracyFunction | None = None,
    costs: Mapping[str, str | CostFunction] | None = None,
    out: str | Path | None = None,
    storage: str | None = None,
    track_carbon: bool = False,
    progress: bool | ShowMember = False,
    say: Say = say,
    **settings: Unpack[FleetSettings],
) -> Fleet:
    """Find the best subnet, or a front, for each of several devices; every arch is evaluated once for all of them.

    ``trials`` are the subnets that are evaluated, of all devices together, and ``budgets`` those that a device has
    that names none of its own; all else is as for :func:`oncefit.search`. ``track_carbon`` keeps what the search emits
    in the fleet's folder, of which each device has one share. ``progress`` shows a bar, or is called with
    the device's name after every candidate. Raises InputError as that does, for a device by its name.
    """
    # imports Optuna, which opening a bundle does not need
    from search.fleets.fleet_trials import search_fleet as make_trials
    from search.reports.progress import fleet_progress

    given = {"devices": devices, **settings}
    plan = planned(supernet, config, budgets, costs, sampler, accuracy, out, given)
    fleet = start_fleet(plan.folder, plan.config, storage, say, plan.own)
    tracking = tracked_here(plan.folder / TRACKED, track_carbon)
    with tracking, showing(progress, lambda: fleet_progress(fleet)) as show:
        make_trials(fleet, show)
    return Fleet(conclude_fleet(fleet, say), say)


def open_fleet(
    folder: str | Path,
    *,
    storage: str | None = None,
    supernet: str | Path | Supernet | OwnSupernet | None = None,
    costs: Mapping[str, CostFunction] | None = None,
    accuracy: AccuracyFunction | None = None,
    say: Say = say,
) -> Fleet:
    """A search for several devices that was made before. Raises InputError for a folder that holds none.

    ``supernet``, ``costs`` and ``accuracy`` are needed where they were objects given in Python, as for
    :func:`oncefit.open_run`.
    """
    opened = as_supernet(supernet) if supernet is not None else None
    own, _ = split_own(opened, costs, None, accuracy)
    return Fleet(conclude_fleet(open_recorded(Path(folder), storage, own), say), say)


@dataclass(frozen=True, repr=False)
class Fleet:
    """A search for several devices that has ended, and what it found for each of them."""

    result: FleetResult
    say: Say = say

    @property
    def folder(self) -> Path:
        return self.result.fleet.folder

    @cached_property
    def runs(self) -> dict[str, Run]:
        """The run of each device, by its name: a run like any other."""
        return {label: Run(result, self.say) for label, result in self.result.results.items()}

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a device, as ``fleet.csv`` has them: budgets, the chosen arch, its costs and accuracies."""
        import pandas as pd

        return pd.DataFrame(reporting.fleet_rows(self.result)).set_index("device")

    @property
    def evaluations(self) -> int:
        """Distinct subnets whose accuracy was had, each once for all devices."""
        return self.result.evaluations

    @property
    def one_for_all(self) -> Arch | None:
        """The most accurate subnet within the budgets of every device; None where no candidate is."""
        return self.result.common.arch if self.result.common is not None else None

    def to_dict(self) -> dict[str, Any]:
        """All figures, as ``fleet.json`` has them."""
        return reporting.fleet_dict(self.result)

    def plot(self) -> Figure:
        """A panel a device: candidates, front, the chosen one and the budget."""
        return reporting.fleet_figure(self.result)

    def write(self) -> list[Path]:
        """Write ``fleet.csv``, ``.png`` and ``.json``, and each run's own files; returns the former's paths."""
        return reporting.write_fleet_files(self.result)

    def __repr__(self) -> str:
        return f"Fleet({str(self.folder)!r}: {', '.join(self.result.results)})"

    def _repr_html_(self) -> str:
        told = "<br>".join(map(escape, reporting.fleet_legend(self.result).splitlines()))
        return f"<b>{escape(str(self.folder))}</b>{self.table.to_html(float_format='{:.5g}'.format)}<p>{told}</p>"
