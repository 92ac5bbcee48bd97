"""One search in a folder: from a config to measured results, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from cost_models.devices import Device, open_device, write_device
from cost_models.protocol import Target
from cost_models.registry import COSTS, OF_A_DEVICE, Cost, build
from search import config as configs
from search import study as studies
from search.accuracy import MeasuredAccuracy
from search.budget import check_feasible, nothing_found, over_budget, within
from search.config import RunConfig
from search.front import best, front
from search.objectives import Objective, parse_objectives
from search.problem import Problem
from search.samplers import build_sampler, distributions
from search.study import Candidate
from supernet import documents
from supernet.accuracy import Accuracy
from supernet.atomic import check_writable
from supernet.catalog import Supernet, open_supernet
from supernet.errors import InputError

if TYPE_CHECKING:
    import optuna

CONFIG, DEVICE = "config.yaml", "device.yaml"
PROPOSALS_PER_TRIAL = 50
"""A search ends when it has proposed this many archs for each one it may measure."""


@dataclass(frozen=True)
class Run:
    """A run folder and what its config resolves to; ``costs`` are all that it records."""

    folder: Path
    config: RunConfig
    supernet: Supernet
    device: Device | None
    problem: Problem
    costs: Mapping[str, Cost]
    storage: str | None = None

    @property
    def where(self) -> str:
        """The device that costs are predicted for, empty without one."""
        return self.device.name if self.device is not None else ""

    @property
    def axes(self) -> tuple[Objective, ...]:
        """What fronts are drawn in: the objectives, or accuracy against the first budget (else macs)."""
        if len(self.problem.objectives) > 1:
            return self.problem.objectives
        cost = next(iter(self.config.budgets), "macs")
        return (*self.problem.objectives, Objective(cost))

    @cached_property
    def accuracy(self) -> MeasuredAccuracy:
        return MeasuredAccuracy(self.supernet, self.config.data or self.supernet.data)

    @cached_property
    def identity(self) -> dict[str, object]:
        """What its figures are of, as far as it is known without a look at the images."""
        return {
            "supernet": f"{self.supernet.name}, network {self.supernet.fingerprint}",
            "weights": self.supernet.weights.sha256,
            "device": f"{self.device.name}, {self.device.digest}" if self.device is not None else "",
            "objectives": list(self.config.objectives),
            "budgets": dict(self.config.budgets),
        }

    def study(self, create: bool = False) -> optuna.Study:
        """Its record. Raises InputError where there is none, and where it is of something else.

        To create one, or to measure for it, takes the images.
        """
        images = {"images": self.accuracy.data.sha256} if create else {}
        return studies.open_study(self.folder, self.storage, {**self.identity, **images}, create)


@dataclass(frozen=True)
class Progress:
    """Where a search stands; ``trials`` counts distinct measured archs."""

    trials: int
    of: int
    proposals: int
    best: Candidate | None


@dataclass(frozen=True)
class Result:
    """What a run found; every candidate is within budget, ``reports`` are by arch id."""

    run: Run
    candidates: list[Candidate]
    front: list[Candidate]
    chosen: Candidate
    reports: Mapping[str, Accuracy]
    proposals: int


Say = Callable[[str], None]


def make_run(
    folder: Path, config: RunConfig, supernet: Supernet, device: Device | None, storage: str | None
) -> Run:
    """A run records the costs that its config names, and the built-in ones that need no more than is given."""
    target = Target(supernet, device)
    objectives = parse_objectives(config.objectives)
    decisive = dict.fromkeys([*config.budgets, *(o.name for o in objectives if not o.is_accuracy)])
    free = [name for name in COSTS if device is not None or name not in OF_A_DEVICE]
    names = dict.fromkeys([*decisive, *config.costs, *free])
    costs = {name: build(name, target, config.costs) for name in names}
    problem = Problem(supernet.space, objectives, {name: costs[name] for name in decisive}, config.budgets)
    return Run(folder, config, supernet, device, problem, costs, storage)


def start(folder: Path, config: RunConfig, storage: str | None, say: Say) -> Run:
    """A new run, or the one that is in the folder, with all that it needs; writes nothing there.

    Raises InputError for a folder that holds something else, an infeasible budget, and
    missing or wrong weights, images or storage.
    """
    check_folder(folder, config)
    check_writable(folder)
    supernet = open_supernet(config.supernet)
    known_device = str(folder / DEVICE) if (folder / DEVICE).exists() else config.device
    device = open_device(known_device, supernet, say) if known_device is not None else None
    run = make_run(folder, config, supernet, device, storage)
    check_feasible(run.problem, run.where)
    run.accuracy.load()
    if storage is not None:
        studies.open_storage(storage)
    return run


def check_folder(folder: Path, config: RunConfig) -> None:
    """Raises InputError for a folder that holds the run of another config, or something else."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose another folder with --out")
    if (folder / CONFIG).exists():
        changed = configs.differences(documents.read(folder / CONFIG, RunConfig), config)
        if changed:
            raise InputError(
                f"{folder} holds a run of another config: {'; '.join(changed)}. "
                "Choose another folder with --out, or remove this one"
            )
    elif folder.exists() and any(entry.name != studies.LOCK for entry in folder.iterdir()):
        raise InputError(f"{folder} is not empty and not a run; choose another folder with --out")


def write_down(run: Run) -> None:
    """What the run's folder lacks of config, device and place of the study; a kill in between does no harm."""
    check_folder(run.folder, run.config)
    if not (run.folder / CONFIG).exists():
        documents.write_text(run.folder / CONFIG, configs.to_yaml(run.config))
    if run.device is not None and not (run.folder / DEVICE).exists():
        write_device(run.device, run.folder / DEVICE)
    if not (run.folder / studies.PLACE).exists():
        place = studies.new_place(run.folder, run.storage)
        documents.write_text(run.folder / studies.PLACE, configs.to_yaml(place))


def open_run(folder: Path, storage: str | None = None) -> Run:
    """A run that exists. Raises InputError for a folder that is none."""
    if not (folder / CONFIG).is_file():
        raise InputError(f"{folder} is not a run: it has no {CONFIG}; oncefit search writes one")
    config = documents.read(folder / CONFIG, RunConfig)
    supernet = open_supernet(config.supernet)
    device = (
        open_device(str(folder / DEVICE), supernet, lambda _: None) if (folder / DEVICE).exists() else None
    )
    return make_run(folder, config, supernet, device, storage)


def search(run: Run, progress: Callable[[Progress], None]) -> None:
    """Measure candidates until the run has as many as its config says.

    Returns at once where it has; continues after a kill. KeyboardInterrupt leaves the
    study resumable. Raises InputError where another process searches in the same folder.
    """
    with studies.exclusive(run.folder):
        write_down(run)
        study = run.study(create=True)
        # only now is it known to be the same run, with other trials or files elsewhere
        documents.write_text(run.folder / CONFIG, configs.to_yaml(run.config))
        studies.fail_stale_trials(study)
        measure(run, study, progress)


def measure(run: Run, study: optuna.Study, progress: Callable[[Progress], None]) -> None:
    """Propose and measure, from where the study stands."""
    import optuna

    finished = len(study.get_trials(deepcopy=False))
    config = run.config
    study.sampler = build_sampler(config.sampler, run.problem, config.seed, config.trials, finished)
    known = {c.arch.id: c for c in studies.candidates(study, run.problem)}
    witness = check_feasible(run.problem, run.where)
    waiting = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
    if witness is not None and witness.id not in known and not waiting:
        study.enqueue_trial(
            {d.name: witness.values.get(d.name, d.choices[0]) for d in run.problem.space.dimensions}
        )
    choices = distributions(run.problem.space)
    proposals = 0
    limit = PROPOSALS_PER_TRIAL * config.trials
    best_so_far = best(list(known.values()), run.axes) if known else None
    progress(Progress(len(known), config.trials, 0, best_so_far))
    while len(known) < config.trials and proposals < limit:
        trial = study.ask(choices)
        proposals += 1
        try:
            candidate = consider(run, study, trial, known)
        except BaseException:
            study.tell(trial, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
            raise
        if candidate is not None:
            known[candidate.arch.id] = candidate
            best_so_far = best(list(known.values()), run.axes)
        progress(Progress(len(known), config.trials, proposals, best_so_far))


def consider(
    run: Run,
    study: optuna.Study,
    trial: optuna.Trial,
    known: Mapping[str, Candidate],
) -> Candidate | None:
    """Tell the study what a proposal costs and, where it is within budget, how accurate it is.

    An arch that was measured before is told again with the same figures.
    """
    import optuna

    arch = run.problem.space.arch(trial.params)
    costs = {name: cost(arch) for name, cost in run.costs.items()}
    for name, excess in over_budget(costs, run.config.budgets).items():
        trial.set_constraint(name, excess)
    if not within(costs, run.config.budgets):
        studies.record(trial, arch, costs, None)
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return None
    validation = known[arch.id].validation if arch.id in known else run.accuracy(arch, "validation")
    studies.record(trial, arch, costs, validation)
    candidate = Candidate(trial.number, arch, costs, validation)
    study.tell(trial, [candidate.value(o.name) for o in run.problem.objectives])
    return candidate


def conclude(run: Run, say: Say) -> Result:
    """Measure what the run found on the report split. Raises InputError where nothing is within budget."""
    study = run.study()
    found = studies.candidates(study, run.problem)
    if not found:
        raise nothing_found(run.problem, run.folder, len(study.get_trials(deepcopy=False)))
    objectives = run.problem.objectives
    chosen = best(found, run.axes)
    members = front(found, run.axes)
    finals = members if len(objectives) > 1 else [chosen]
    reports = studies.saved_reports(study)
    missing = [candidate for candidate in finals if candidate.arch.id not in reports]
    for i, candidate in enumerate(missing, 1):
        say(f"measuring on the report split: {i} of {len(missing)}")
        reports[candidate.arch.id] = run.accuracy(candidate.arch, "report")
        studies.save_report(study, candidate.arch, reports[candidate.arch.id])
    return Result(run, found, members, chosen, reports, len(study.get_trials(deepcopy=False)))
