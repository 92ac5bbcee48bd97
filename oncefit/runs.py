"""Searches, and the runs that they leave in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cost_models.measuring import said
from cost_models.tracking import TRACKED, tracked_here
from oncefit.bundles import Bundle, open_bundle
from oncefit.supernets import Supernet, as_supernet
from search.problem.confidence import plain_budgets
from search.reports import report
from search.reports.export import export_picked, picked
from search.reports.formats import FormatsAsked, extending
from search.reports.on_device import line_of_timed, told_versions
from search.runs.config import RunConfig, load_config, made_config
from search.runs.enqueued import spelled
from search.runs.naming import as_typed, run_name
from search.runs.opening import open_run as open_recorded
from search.runs.opening import start
from search.runs.own import GIVEN, AccuracyFunction, CostFunction, Own, OwnSupernet, is_given, told
from search.runs.results import Result, conclude
from search.runs.run import Progress
from supernet.accuracy import Accuracy
from supernet.archs.arch import FLOAT32, Arch, Choice
from supernet.errors import InputError
from supernet.formats.protocol import BatchSize
from supernet.messages import Say, say
from supernet.ofa_format.given import Given

if TYPE_CHECKING:
    import optuna
    import pandas as pd
    from matplotlib.figure import Figure
    from optuna.samplers import BaseSampler
    from torch import nn

Show = Callable[[Progress], None]
quiet: Say = lambda _: None  # noqa: E731


def search(
    supernet: str | Path | Supernet | OwnSupernet | None = None,
    *,
    config: str | Path | None = None,
    objectives: Sequence[str] | None = None,
    budgets: Mapping[str, float | Mapping[str, float]] | None = None,
    device: str | Mapping[str, object] | None = None,
    region: str | None = None,
    sampler: str | BaseSampler | None = None,
    trials: int | None = None,
    seed: int | None = None,
    race: bool | None = None,
    accuracy: str | AccuracyFunction | None = None,
    predictor: str | None = None,
    measure: int | None = None,
    data: str | Path | None = None,
    costs: Mapping[str, str | CostFunction] | None = None,
    space: Mapping[str, Iterable[Choice]] | None = None,
    precision: Iterable[str] | None = None,
    enqueue: Sequence[Given] | None = None,
    verify_on_device: int | None = None,
    verify_again: bool = False,
    out: str | Path | None = None,
    storage: str | None = None,
    study: str | None = None,
    workers: int = 1,
    executor: str | None = None,
    track_carbon: bool = False,
    progress: bool | Show = False,
    say: Say = say,
) -> Run:
    """Find the best subnet of a supernet, or a front, within hard budgets; the same call resumes a killed search.

    Settings are those of a search's YAML file (README, "Search with a budget"); what is None is as ``config`` says,
    a YAML file or a name in ``configs/searches``, or as such a file has it by default. In place of names may stand a
    cost as a function of an :class:`Arch`, a sampler as any ``optuna.samplers.BaseSampler``, and an accuracy as a
    function of an :class:`Arch` that returns top-1 as a fraction (or an :class:`OwnAccuracy`, or an
    :class:`Accuracy`). ``enqueue`` are archs that are evaluated first, as objects, files or mappings in any encoding
    of docs/net-config.md; a run keeps them, and evaluates each once. ``precision``, of ``"fp32"`` and ``"int8"``, makes
    that a choice of every candidate (docs/precision.md). The run is kept in ``out``, else in ``runs/NAME``.

    So many of the most accurate candidates as ``verify_on_device`` says are timed on the device, which must be this
    machine, and :attr:`Run.chosen` is the most accurate that holds the latency budget when it is measured;
    ``verify_again`` times them anew.
    So many processes of this machine as ``workers`` says share its trials and threads, and those of other machines join with
    :func:`oncefit.work`; ``study`` is what the study is called in its ``storage`` (docs/workers.md).
    ``executor``, as ``dask://HOST:PORT``, is a Dask cluster that measures the candidates that this process proposes.
    ``track_carbon`` keeps what the search emits in the run's folder, for :func:`oncefit.carbon`; it needs codecarbon.
    ``progress`` shows a bar on standard error, or is called after every candidate. Raises InputError for wrong
    settings, an infeasible budget, and missing weights or images.
    """
    # imports Optuna, which opening a bundle does not need
    from search.reports.progress import bar, search_progress
    from search.runs.cluster import check_executor, search_on_cluster
    from search.runs.crew import check_workers, search_in_crew
    from search.runs.trials import search as make_trials
    from search.runs.verifying import verify_run

    plan = planned(
        supernet, config, budgets, costs, sampler, accuracy, out, {
            "objectives": objectives, "device": device, "region": region, "trials": trials, "seed": seed, "race": race,
            "predictor": predictor, "measure": measure, "data": data, "space": space,
            "precision": precision, "enqueue": enqueue, "verify_on_device": verify_on_device,
        },
    )  # fmt: skip
    if plan.config.devices:
        raise InputError(
            f"{config} has devices: a search for several of them is oncefit.search_fleet(config={str(config)!r})"
        )
    if verify_again and plan.config.verify_on_device is None:
        raise InputError(
            "verify_again times anew what verify_on_device does, and that is not given; give it too"
        )
    check_workers(workers, plan.own)
    check_executor(executor, workers, plan.config, plan.own)
    run = start(plan.folder, plan.config, storage, say, plan.own, study=study)
    with tracked_here(plan.folder / TRACKED, track_carbon):
        with showing(progress, lambda: search_progress(run)) as show:
            if executor is not None:
                search_on_cluster(run, executor, show)
            elif workers > 1:
                search_in_crew(run, workers, show)
            else:
                make_trials(run, show)
        if plan.config.verify_on_device is not None:
            verify_run(run, bar if progress is True else said(say), verify_again)
    found = Run(conclude(run, say), say)
    if (verified := found.result.verified) is not None and plan.config.verify_on_device is not None:
        for one in verified.timed:
            say(line_of_timed(one, verified.limit_ms, run.axes[0].name))
        if told := told_versions(verified, run.where):
            say(told)
    return found


class Plan(NamedTuple):
    """What a search begins with: its config, the caller's objects, and the folder."""

    config: RunConfig
    own: Own
    folder: Path


def planned(
    supernet: str | Path | Supernet | OwnSupernet | None,
    config: str | Path | None,
    budgets: Mapping[str, float | Mapping[str, float]] | None,
    costs: Mapping[str, str | CostFunction] | None,
    sampler: str | BaseSampler | None,
    accuracy: str | AccuracyFunction | None,
    out: str | Path | None,
    settings: Mapping[str, Any],
) -> Plan:
    """The config of what a caller gives; ``settings`` are the keys of a search's YAML that need no more than a look."""
    opened = as_supernet(supernet) if supernet is not None else None
    own, named = split_own(opened, costs, sampler, accuracy)
    given = {**settings, **named}
    if given.get("data") is not None:
        given["data"] = str(given["data"])
    elif opened is not None:
        given["data"] = opened.data
    given["enqueue"] = spelled(given["enqueue"]) if given.get("enqueue") else None
    if given.get("space") is not None:
        given["space"] = {name: list(choices) for name, choices in given["space"].items()}
    if (precision := given.get("precision")) is not None:
        given["precision"] = [precision] if isinstance(precision, str) else list(precision)
    limits = plain_budgets(budgets or {})
    resolved = load_config(Path(config), given, limits) if config is not None else made_config(given, limits)
    folder = Path(out) if out is not None else Path("runs") / run_name(config, given, as_typed(limits))
    return Plan(resolved, own, folder)


def split_own(
    supernet: Supernet | None,
    costs: Mapping[str, str | CostFunction] | None,
    sampler: str | BaseSampler | None,
    accuracy: str | AccuracyFunction | None,
) -> tuple[Own, dict[str, object]]:
    """The caller's objects, and what a config says in their place."""
    functions = {name: cost for name, cost in (costs or {}).items() if not isinstance(cost, str)}
    own = Own(
        supernet.described if supernet is not None and not supernet.is_named else None,
        functions,
        None if sampler is None or isinstance(sampler, str) else sampler,
        None if accuracy is None or isinstance(accuracy, str) else accuracy,
    )
    return own, {
        "supernet": supernet and (supernet.source if supernet.is_named else f"{GIVEN}: {supernet.name}"),
        "costs": {n: cost if isinstance(cost, str) else told(cost) for n, cost in costs.items()}
        if costs
        else None,
        "sampler": sampler if own.sampler is None else told(sampler),
        "accuracy": accuracy if own.accuracy is None else "own",
    }


def showing(progress: bool | Callable[..., None], bar: Callable[[], Any]) -> Any:
    """A context with what is called after every candidate; ``bar`` makes the one that is drawn."""
    if callable(progress):
        return nullcontext(progress)
    return bar() if progress else nullcontext(lambda *_: None)


def open_run(
    folder: str | Path,
    *,
    storage: str | None = None,
    supernet: str | Path | Supernet | OwnSupernet | None = None,
    costs: Mapping[str, CostFunction] | None = None,
    accuracy: AccuracyFunction | None = None,
    data: str | Path | None = None,
    measure: bool = True,
    say: Say = say,
) -> Run:
    """A run that was searched before, with its figures. Raises InputError for a folder that holds none.

    ``storage`` is needed where its URL has a password, ``supernet`` and ``data`` where these are elsewhere now, and
    ``supernet``, ``costs`` and ``accuracy`` where they were objects given in Python and something new is asked of them. Without ``measure`` no report figure is measured that is missing.
    """
    opened = as_supernet(supernet) if supernet is not None else None
    own, _ = split_own(opened, costs, None, accuracy)
    images = str(data) if data is not None else None
    named = opened.source if opened is not None else None
    return Run(conclude(open_recorded(Path(folder), storage, own, named, images), say, measure), say)


@dataclass(frozen=True, repr=False)
class Run:
    """A search that has ended, and what it found; every candidate is within the budgets."""

    result: Result
    say: Say = say

    @property
    def folder(self) -> Path:
        return self.result.run.folder

    @property
    def config(self) -> RunConfig:
        """Its settings, all of them."""
        return self.result.run.config

    @property
    def study(self) -> optuna.Study:
        """Its record as Optuna's study, with every proposal."""
        return self.result.run.study()

    @cached_property
    def supernet(self) -> Supernet:
        run = self.result.run
        named = None if is_given(run.config.supernet) else run.config.supernet
        return Supernet(run.supernet, self.config.data, named)

    # -- figures -------------------------------------------------------------

    @cached_property
    def front(self) -> pd.DataFrame:
        """The candidates that no other dominates, one a row by arch id, as ``front.csv`` has them.

        Where :attr:`chosen` is not of them, as its measured latency chose it, it is there too.
        Columns say predicted, validation or report; accuracies are fractions, costs in the unit of their name.
        """
        return self._frame(self.result.shown)

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """All candidates within the budgets, in the order in which accuracies were had; columns as :attr:`front`."""
        return self._frame(self.result.candidates)

    def _frame(self, candidates: Sequence[Any]) -> pd.DataFrame:
        import pandas as pd

        rows = report.candidate_rows(self.result, candidates)
        return pd.DataFrame(rows).set_index("arch_id")

    @property
    def chosen(self) -> Arch:
        """The most accurate subnet within the budgets: as measured on the device where that was asked for."""
        return self.result.chosen.arch

    @property
    def verified(self) -> bool | None:
        """Whether :attr:`chosen` holds its latency budget when it is measured on the device.

        False where none of those that were timed does: the chosen is then within it by prediction only. None where none
        was timed, or a busy machine leaves it open.
        """
        return self.result.verified.holds if self.result.verified is not None else None

    def pick(self, which: Given = "best") -> Arch:
        """``best``, ``knee`` (the best compromise of the front), or the arch whose id begins so; or any arch.

        An arch may be given in any encoding of docs/net-config.md, as a file, a text or a mapping; one over a budget
        of the run is refused.
        """
        return picked(self.result, which).arch

    def to_dict(self) -> dict[str, Any]:
        """All figures, as ``result.json`` has them."""
        return report.result_dict(self.result)

    def write(self) -> list[Path]:
        """Write ``front.csv``, ``front.png`` and ``result.json`` into the run's folder; returns their paths."""
        return report.write_report(self.result)

    def plot(self, kind: str = "front", out: str | Path | None = None) -> Figure:
        """A picture, written to ``out`` too if that is given, a ``.png`` or ``.svg`` file.

        ``front`` is accuracy against cost, ``history`` how the search went, ``importance`` which choices matter,
        ``layers`` the chosen subnet block by block beside the largest, and ``timeline`` when each trial ran (docs/pictures.md).
        Raises InputError for another kind, and where the run has too few trials for it.
        """
        from search.reports.figures.pictures import picture, picture_file
        from search.reports.figures.plots import save_figure

        path = picture_file(self.folder, kind, None, Path(out)) if out is not None else None
        figure = picture(self.result, kind)
        if path is not None:
            save_figure(figure, path)
        return figure

    def report(
        self,
        out: str | Path | None = None,
        *,
        deployment: str | Path | Mapping[str, object] | None = None,
        measure_ends: bool = False,
    ) -> Path:
        """Write one HTML file that tells what was found, and needs no network, see :func:`oncefit.report`; returns its path."""
        from search.reports.page import making

        path = Path(out) if out is not None else making.default_page([self.folder], None)
        given = making.serving_of(Path(deployment) if isinstance(deployment, str) else deployment)
        run = self.result.run
        if measure_ends:
            making.measure_ends(run, self.say)
        return making.write_page(making.page_of_one(run, given), path)

    # -- subnets -------------------------------------------------------------

    def extract(self, which: Given = "best") -> nn.Module:
        """A subnet of the front as an independent torch module, see :meth:`Supernet.extract`.

        Raises InputError for one in int8, which torch does not run as it is deployed.
        """
        arch = self.pick(which)
        if arch.precision != FLOAT32:
            raise InputError(
                f"{arch.id} is in {arch.precision}, and torch modules are in float32: export() writes what runs on the "
                "device, and supernet.extract(arch.network) gives its network in float32"
            )
        return self.supernet.extract(arch.network)

    def evaluate(self, which: Given = "best", split: str = "report") -> Accuracy:
        """Top-1 and top-5 of a subnet of the front at its precision, measured on a split."""
        arch = self.pick(which)
        return (
            self.supernet.evaluate(arch.network, split)
            if arch.precision == FLOAT32
            else self.result.run.accuracy(arch, split)
        )

    def export(
        self,
        which: Given = "best",
        out: str | Path | None = None,
        calibrated: bool = True,
        *,
        formats: str | Iterable[str] | None = None,
        batch: BatchSize | None = None,
        image_size: int | None = None,
        opset: int | None = None,
        threads: int = 1,
    ) -> Bundle:
        """Write a subnet of the front as a bundle, verified before it is in place; in the run's folder by default.

        ``formats`` are added to it, and what is further asked is of them, as in :func:`oncefit.convert`.

        A run whose accuracies are predicted needs images: ``open_run(folder, data=...)``; or not ``calibrated``, and
        then the bundle says so and nothing is measured.
        """
        folder = Path(out) if out is not None else None
        asked: FormatsAsked = {
            "formats": formats, "batch": batch, "image_size": image_size, "opset": opset, "threads": threads,
        }  # fmt: skip
        extend = extending(asked, self.say, calibrated)
        target, summary = export_picked(self.result, which, folder, self.say, calibrated, extend)
        return open_bundle(target, supernet=self.supernet, summary=summary)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r}: {len(self.result.candidates)} candidates, chosen {self.chosen.id})"

    def _repr_html_(self) -> str:
        told = "<br>".join(map(escape, report.legend(self.result).splitlines()))
        alarm = f"<p><b>{escape(found)}</b></p>" if (found := report.alarm(self.result)) else ""
        shown = self.front if len(self.config.objectives) > 1 else self.candidates.loc[[self.chosen.id]]
        figures = shown.drop(columns=list(self.result.run.supernet.space.index), errors="ignore")
        return f"<b>{escape(str(self.folder))}</b>{figures.to_html(float_format='{:.5g}'.format)}<p>{told}</p>{alarm}"
