"""One search in a folder: from a config to measured results, resumable at any moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from cost_models.device import Device, device_costs
from cost_models.device_files import write_device
from cost_models.devices import open_device
from cost_models.energy import ranges
from cost_models.latency import latency_std_ms
from cost_models.protocol import Target
from cost_models.ranges import Range
from cost_models.registry import BY_PRECISION, COSTS, OF_A_DEVICE, ON_REQUEST, Cost, build
from search.feasible.budget_messages import check_feasible, nothing_found
from search.predictors import files as predictors
from search.predictors.files import check_choices, digest, is_known, open_predictor, outside_domain
from search.predictors.protocol import Predictor
from search.problem.confidence import latency_limit
from search.problem.objectives import Objective, parse_objectives
from search.problem.problem import Problem
from search.runs import study as studies
from search.runs.carbon_stop import STOPPED
from search.runs.config import BOTH, MEASURED, OWN, PREDICTED, RunConfig, differences, to_yaml
from search.runs.correction import Corrected, corrected_estimate
from search.runs.enqueued import check_enqueued, enqueued_archs, with_enqueued
from search.runs.fleet_devices import FLEET
from search.runs.front import best, by_accuracy, front, signed_values, undominated_points
from search.runs.measuring import MeasuredAccuracy
from search.runs.on_device import (
    Verified,
    latencies_of,
    other_versions,
    read_sessions,
    setups_at_hand,
    verified_of,
)
from search.runs.own import Own, is_given, own_cost, own_judgement, told
from search.runs.prior import begins_with, may_have_prior, with_prior
from search.runs.racing import Raced, Rival
from search.runs.study import Candidate
from search.storages.following import ARCH_ID, ended_trials
from supernet import documents
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch
from supernet.archs.precisions import codes_of_networks
from supernet.atomic import check_writable
from supernet.errors import InputError
from supernet.families.catalog import Supernet, open_supernet
from supernet.messages import Say

if TYPE_CHECKING:
    import optuna

CONFIG, DEVICE, PREDICTOR = "config.yaml", "device.yaml", "predictor.safetensors"
PREDICTIONS = "predictions"
"""The attribute of a study that says how many archs a predictor was asked about outside its trials."""
UPPER_BOUND = "upper_bound_top1"
"""The attribute that says what no arch within the budgets is predicted above; null where nothing is proven."""
RESELECTED = "reselected"
"""The attribute of a study that began with candidates of another run's (:mod:`search.fleets.reselection`): which, and how many."""


@dataclass(frozen=True)
class Run:
    """A run folder and what its config resolves to; ``costs`` are all that it records.

    A ``predictor`` says what accuracies are; a ``prior`` only where a search that measures them begins. ``own``
    are objects of the caller's, in place of names in the config.
    """

    folder: Path
    config: RunConfig
    supernet: Supernet
    device: Device | None
    problem: Problem
    costs: Mapping[str, Cost]
    predictor: Predictor | None = None
    prior: Predictor | None = None
    storage: str | None = field(default=None, repr=False)
    """The URL of its storage if that is given, maybe with a password."""
    study_name: str | None = None
    """What a new study is called if that is given."""
    own: Own = field(default_factory=Own)
    elsewhere: Callable[[Arch, Rival | None, str], tuple[Accuracy, str] | Raced] | None = None
    """What measures in place of this process: an arch against a rival, by top1 or top5."""
    beside: Run | None = None
    """A run of the same supernet and images for another device: what is measured is measured for both."""

    @property
    def where(self) -> str:
        """The device that costs are predicted for, empty without one."""
        return self.device.name if self.device is not None else ""

    @property
    def axes(self) -> tuple[Objective, ...]:
        """What fronts are drawn in: the objectives, or accuracy against the first budget (else macs, or any cost)."""
        if len(self.problem.objectives) > 1:
            return self.problem.objectives
        cost = next(iter([*self.config.budgets, *(["macs"] if "macs" in self.costs else self.costs)]))
        return (*self.problem.objectives, Objective(cost))

    @cached_property
    def enqueued(self) -> tuple[Arch, ...]:
        """Archs that are evaluated first."""
        return enqueued_archs(self.config, self.problem.space)

    @property
    def outside(self) -> str | None:
        """What is to be said where the predictor is asked about what it was not trained on."""
        asked = self.predictor or self.prior
        return outside_domain(asked.card, self.problem.space) if asked is not None else None

    @property
    def measures(self) -> bool:
        """Whether accuracies are measured, be it only those of the best."""
        return self.config.accuracy not in (PREDICTED, OWN)

    @property
    def kind(self) -> str:
        """What the accuracies that decide are: those of the validation split, predicted, or the caller's own."""
        if self.config.accuracy == OWN:
            return "own evaluation"
        return "validation split" if self.measures else "predicted"

    @property
    def accuracy_name(self) -> str:
        """What it maximises, ``top1`` or ``top5``: by that its images count as right."""
        return self.problem.objectives[0].name

    @cached_property
    def accuracy(self) -> MeasuredAccuracy:
        if self.beside is not None:
            return self.beside.accuracy
        return MeasuredAccuracy(self.supernet, self.config.data or self.supernet.data)

    def measured(self, arch: Arch, rival: Rival | None = None) -> tuple[Accuracy, str] | Raced:
        """Its accuracy on the validation split with its packed hits, or where it was stopped as a rival dominates it."""
        return (self.elsewhere or self.accuracy.race)(arch, rival, self.accuracy_name)

    def judge(self, arch: Arch) -> studies.Judgement:
        """What a trial's accuracy is where it is not measured: the caller's own, or predicted."""
        if self.config.accuracy == OWN:
            return own_judgement(self.own, arch)
        assert self.predictor is not None
        [found] = self.predictor.predict(self.problem.space, self.problem.space.encode([arch]))
        return found

    def stds(self, arch: Arch) -> dict[str, float]:
        """Standard deviations of those predicted costs whose models know them."""
        device = self.device_of(arch)
        if device is None or device.table is None or "latency_ms" not in self.costs:
            return {}
        network = self.supernet.of_networks
        return {"latency_ms": float(latency_std_ms(Target(network, device))(arch.network))}

    def device_of(self, arch: Arch) -> Device | None:
        """The device as it is at an arch's precision; where archs say none, as it is."""
        if self.device is None or not self.supernet.precisions:
            return self.device
        return self.device.at_precision(arch.precision)

    @property
    def power_meter(self) -> str | None:
        """What the power of its device was fitted to; None where that is assumed, or not known."""
        return self.device.power_meter if self.device is not None else None

    def ranges(self, candidate: Candidate) -> dict[str, Range]:
        """The least and the greatest that estimated costs may be, by name."""
        known = candidate.costs.get("latency_ms")
        layers = self.supernet.layers(candidate.arch) if known is not None and self.supernet.segments else ()
        return ranges(self.device_of(candidate.arch), known, layers)

    @cached_property
    def identity(self) -> dict[str, object]:
        """What its figures are of, as far as it is known without a look at the images."""
        found: dict[str, object] = {
            "supernet": f"{self.supernet.name}, network {self.supernet.fingerprint}",
            "device": f"{self.device.name}, {self.device.digest}" if self.device is not None else "",
            "objectives": list(self.config.objectives),
            "budgets": dict(self.config.budgets),
        }
        if self.config.space:
            found["space"] = {name: list(choices) for name, choices in self.config.space.items()}
        if self.config.precision:
            found["precision"] = list(self.config.precision)
        if self.own.accuracy is not None:
            found["accuracy"] = told(self.own.accuracy)
        if self.predictor is not None:
            found["predictor"] = f"{self.predictor.card.name}, {digest(self.predictor)}"
        if self.measures:
            found["prior"] = f"{self.prior.card.name}, {digest(self.prior)}" if self.prior is not None else ""
        if self.measures:
            found["weights"] = self.supernet.weights_sha256
            found["preprocessing"] = self.supernet.preprocessing.told
        return found

    def study(self, create: bool = False) -> optuna.Study:
        """Its record, opened once. Raises InputError where there is none, and where it is of something else.

        To create one, or to measure for it, takes the images.
        """
        if create:
            images = {"images": self.accuracy.data.sha256} if self.measures else {}
            self.__dict__["_opened"] = self._open_study(images, create)
        return self._opened

    @cached_property
    def _opened(self) -> optuna.Study:
        return self._open_study({}, create=False)

    def _open_study(self, images: Mapping[str, object], create: bool) -> optuna.Study:
        return studies.open_study(self.folder, self.storage, {**self.identity, **images}, create)


@dataclass(frozen=True)
class Progress:
    """Where a search stands; ``trials`` counts the distinct archs that count: measured, or predicted."""

    trials: int
    of: int
    proposals: int
    best: Candidate | None


@dataclass(frozen=True)
class Result:
    """What a run found; every candidate is within budget, ``reports`` are by arch id.

    Where accuracy is predicted and then measured, the candidates are those that were measured. ``upper_bound`` is
    what no subnet within the budgets is predicted above, where that was proven.
    """

    run: Run
    candidates: list[Candidate]
    front: list[Candidate]
    chosen: Candidate
    reports: Mapping[str, Accuracy]
    proposals: int
    upper_bound: float | None = None
    raced: Mapping[str, Raced] = field(default_factory=dict)
    """Those that were stopped early, by arch id; none of them is a candidate."""
    stopped: Mapping[str, float] | None = None
    """What was expected of the trials that were not made, where the search ended for its carbon."""
    verified: Verified | None = None
    """The candidates that were timed on the device, where some were: then the chosen is the winner among them, if any."""
    reselected: Mapping[str, Any] | None = None
    """Which run its first candidates are of, where they are of another one."""

    @property
    def shown(self) -> list[Candidate]:
        """The front, and the chosen where its measured latency chose one that is not of it."""
        return [*self.front, *([] if self.chosen in self.front else [self.chosen])]

    @cached_property
    def corrected(self) -> Mapping[str, Corrected]:
        """Validation accuracies corrected for having been chosen, by arch id: of the chosen, and of a front that was asked for.

        Empty where nothing is measured, and where a run of an earlier version did not keep which images were right.
        """
        members = self.front if len(self.run.config.objectives) > 1 else []
        return corrected_estimate(
            self.candidates, self.chosen, members, self.run.axes, np.random.default_rng(0)
        )


def make_run(
    folder: Path,
    config: RunConfig,
    supernet: Supernet,
    device: Device | None,
    storage: str | None,
    kept: bool = False,
    own: Own | None = None,
) -> Run:
    """A run records the costs that its config names, and the built-in ones that need no more than is given.

    ``kept`` takes the predictor that was written into the folder, whatever the config's name leads to now.
    """
    target = Target(supernet, device)
    objectives = parse_objectives(config.objectives)
    decisive = dict.fromkeys([*config.budgets, *(o.name for o in objectives if not o.is_accuracy)])
    names = dict.fromkeys([*decisive, *config.costs, *free_costs(supernet, device)])
    own = own or Own()
    costs = {
        name: own_cost(name, own, supernet.space)
        if is_given(config.costs.get(name, ""))
        else build(name, target, config.costs)
        for name in names
    }
    if not costs:
        raise InputError(
            f"{supernet.name} describes no layers, so it has no built-in cost; give one as a function: costs={{...}}"
        )
    problem = Problem(supernet.space, objectives, {name: costs[name] for name in decisive}, config.budgets)
    known = predictor_of(folder, config, supernet, kept) if config.named_predictor is not None else None
    if known is not None and config.accuracy == MEASURED:
        network, space = supernet.of_networks.space, supernet.space  # which is all that predictors know
        problem = replace(
            problem,
            expected=lambda codes: known.predict(network, codes_of_networks(space, codes)).top1,
        )
        return Run(folder, config, supernet, device, problem, costs, prior=known, storage=storage, own=own)
    return Run(folder, config, supernet, device, problem, costs, predictor=known, storage=storage, own=own)


def free_costs(supernet: Supernet, device: Device | None) -> list[str]:
    """The built-in costs that are known of a supernet's layers, on a device if there is one."""
    of_device = device_costs(device, supernet.precisions) if device is not None else ()
    asked = [name for name in ON_REQUEST if not (supernet.precisions and name in BY_PRECISION)]
    known = [name for name in COSTS if name not in asked] if supernet.segments else []
    return [name for name in known if name not in OF_A_DEVICE or name in of_device]


def predictor_of(folder: Path, config: RunConfig, supernet: Supernet, kept: bool) -> Predictor:
    """The predictor that the config names, or the folder's copy of it where that is wanted or all that is left."""
    name, copy = config.named_predictor, folder / PREDICTOR
    assert name is not None
    if copy.is_file() and (kept or not is_known(name)):
        return open_predictor(str(copy), supernet)
    return open_predictor(name, supernet)


def start(
    folder: Path,
    config: RunConfig,
    storage: str | None,
    say: Say,
    own: Own | None = None,
    beside: Run | None = None,
    study: str | None = None,
) -> Run:
    """A new run, or the one that is in the folder, with all that it needs; writes nothing there.

    ``study`` is what a new study is called. What ``beside``, a run for another device, has opened is not opened again.
    Raises InputError for a folder that holds something else, an infeasible budget, and
    missing or wrong weights, images or storage.
    """
    check_folder(folder, config)
    check_writable(folder)
    studies.check_study_name(folder, study)
    if storage is None:
        studies.check_database(folder)
    supernet = supernet_of(config, own) if beside is None else beside.supernet
    known_device = str(folder / DEVICE) if (folder / DEVICE).exists() else config.device
    device = open_device(known_device, supernet, say) if known_device is not None else None
    begun = documents.read(folder / CONFIG, RunConfig) if (folder / CONFIG).exists() else None
    by_itself = may_have_prior(config)
    config = with_prior(config, begun, supernet.of_networks)
    config, given = with_enqueued(config, begun, supernet)
    run = make_run(folder, config, supernet, device, storage, kept=by_itself and begun is not None, own=own)
    run = replace(run, beside=beside, study_name=study)
    if config.verify_on_device is not None:
        setups_at_hand(device, supernet.precisions, config.verify_on_device)
    check_feasible(run.problem, run.where)
    check_enqueued(config, run.costs, given)
    if beside is not None:
        return run
    if by_itself and run.prior is not None:
        say(begins_with(str(config.predictor), supernet))
    if (asked := run.predictor or run.prior) is not None:
        check_choices(asked, supernet.of_networks.space)
        if run.outside is not None:
            say(run.outside)
    if run.measures:
        run.accuracy.load()
        for line in run.accuracy.images():
            say(line)
    if storage is not None:
        studies.open_storage(storage)
    return run


def check_folder(folder: Path, config: RunConfig, file: str = CONFIG, what: str = "run") -> None:
    """Raises InputError for a folder that holds ``what`` of another config, in ``file``, or something else."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose another folder with --out")
    if (folder / file).exists():
        changed = differences(documents.read(folder / file, RunConfig), config)
        if changed:
            raise InputError(
                f"{folder} holds a {what} of another config: {'; '.join(changed)}. "
                "Choose another folder with --out, or remove this one"
            )
    elif folder.exists() and any(entry.name != studies.LOCK for entry in folder.iterdir()):
        raise InputError(f"{folder} is not empty and not a {what}; choose another folder with --out")


def write_down(run: Run) -> None:
    """What the run's folder lacks of config, device and place of the study; a kill in between does no harm."""
    check_folder(run.folder, run.config)
    if not (run.folder / CONFIG).exists():
        documents.write_text(run.folder / CONFIG, to_yaml(run.config))
    if run.device is not None and not (run.folder / DEVICE).exists():
        write_device(run.device, run.folder / DEVICE)
    kept = run.predictor or run.prior
    if kept is not None and not (run.folder / PREDICTOR).exists():
        predictors.write_predictor(kept, run.folder / PREDICTOR)
    if not (run.folder / studies.PLACE).exists():
        place = studies.new_place(run.folder, run.storage, run.study_name)
        documents.write_text(run.folder / studies.PLACE, to_yaml(place))


def open_run(
    folder: Path,
    storage: str | None = None,
    own: Own | None = None,
    supernet: str | None = None,
    data: str | None = None,
    beside: Run | None = None,
) -> Run:
    """A run that exists; ``supernet`` and ``data`` say where these are now, if not where its config has them.

    What ``beside``, a run for another device, has opened is not opened again. Raises InputError for a folder that is no run.
    """
    if (folder / FLEET).is_file():
        raise InputError(
            f"{folder} is a search for several devices, not a run: each device has a run in a folder of its name there; "
            "give one of these"
        )
    if not (folder / CONFIG).is_file():
        from supernet.bundles.bundle_card import CARD

        told = f"is a bundle, by its {CARD}, and not a run" if (folder / CARD).is_file() else "is not a run"
        raise InputError(f"{folder} {told}: it has no {CONFIG}; oncefit search writes one")
    config = documents.read(folder / CONFIG, RunConfig)
    if data is not None:
        from supernet.images.data import check_images_are_there

        check_images_are_there(
            data
        )  # before it is written down, as the data of a run that is made of this one
        data = documents.from_folder(Path(), data)
    given = {key: value for key, value in (("supernet", supernet), ("data", data)) if value is not None}
    config = config.model_copy(update=given)
    network = supernet_of(config, own) if beside is None else beside.supernet
    device = (
        open_device(str(folder / DEVICE), network, lambda _: None) if (folder / DEVICE).exists() else None
    )
    made = make_run(folder, config, network, device, storage, kept=True, own=own)
    return replace(made, beside=beside)


def supernet_of(config: RunConfig, own: Own | None) -> Supernet:
    """The supernet of a config's name, or the caller's, with the choices that the config leaves."""
    if not is_given(config.supernet):
        return open_supernet(config.supernet).restricted(config.space).at_precisions(config.precision)
    if own is None or own.supernet is None:
        raise InputError(
            f"the supernet of this run was {config.supernet}, and it is not here; give it again: supernet=..."
        )
    return own.supernet.restricted(config.space).at_precisions(config.precision)


def check_images(run: Run) -> None:
    """Raises InputError where the images that are here are not those that a run measured on."""
    known, found = studies.identity_of(run.study()).get("images"), run.accuracy.data.sha256
    if known != found:
        raise InputError(
            f"{run.folder} measured on images with sha256 {known}, but those in {run.accuracy.data_name} have "
            f"{found}; give the run's own images with --data"
        )


def settled(run: Run, study: optuna.Study) -> list[Candidate]:
    """The candidates that results are of: where some are predicted only, and some measured, the latter."""
    found = studies.candidates(study, run.problem)
    return [c for c in found if c.validation is not None] if run.measures else found


def finalists(run: Run, study: optuna.Study, axes: Sequence[Objective]) -> list[Candidate]:
    """Those of the settled candidates that may be on the front of ``axes``, or be chosen.

    Of 100,000 trials few are either: where trials know all that decides, no candidate is made of the others.
    """
    if run.measures or read_sessions(run.folder):
        return settled(run, study)
    first = studies.first_trials(studies.own(study, ended_trials(study)), run.problem)
    trials = list(first.values())
    places = {place for of in (axes, run.axes) for place in undominated_points(signed_values(trials, of))}
    kept = {trials[place].user_attrs[ARCH_ID]: trials[place] for place in sorted(places)}
    return list(studies.made_candidates(kept, run.problem.space).values())


def most_promising(run: Run, study: optuna.Study) -> list[Candidate]:
    """Those that are to be measured, as many as the config says: the best by prediction.

    Of several objectives evenly over the predicted front, from cheap to dear, then the most accurate of the rest. Those
    that were enqueued come before all.
    """
    found = [replace(candidate, validation=None) for candidate in studies.candidates(study, run.problem)]
    ranked = sorted(found, key=lambda c: -c.value(run.problem.objectives[0].name))
    first = evenly(front(found, run.axes), run.config.measure) if len(run.problem.objectives) > 1 else []
    given = [c for c in found if c.arch in run.enqueued]
    chosen = {c.arch: c for c in [*given, *first, *ranked]}
    return list(chosen.values())[: run.config.measure]


Item = TypeVar("Item")


def evenly(items: Sequence[Item], count: int) -> list[Item]:
    """At most ``count`` of ``items``, evenly spread over them, the first and the last included."""
    places = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))
    return [items[place] for place in places]


def check_finished(run: Run, study: optuna.Study) -> None:
    """Raises InputError where some of the candidates that are to be measured are not yet."""
    if run.config.accuracy != BOTH:
        return
    measured = {c.arch.id for c in settled(run, study)}
    wanted = [c.arch.id for c in most_promising(run, study)]
    done = sum(arch_id in measured for arch_id in wanted)
    if done < len(wanted):
        raise InputError(
            f"{run.folder} is not finished: {done} of its {len(wanted)} best by prediction are measured; the same "
            "oncefit search measures the others"
        )


def conclude(run: Run, say: Say, measure: bool = True) -> Result:
    """Measure what the run found on the report split, unless its accuracies are predicted only.

    Without ``measure`` only what is measured already is in the result. Raises InputError where nothing is within budget.
    """
    study = run.study()
    found = settled(run, study)
    check_finished(run, study)
    if not found:
        raise nothing_found(run.problem, run.folder, studies.proposals(study))
    return result_of(run, study, found, lambda finals: reported(run, study, finals, say) if measure else {})


def so_far(run: Run) -> Result | None:
    """What a run has found that may not have ended, with what is measured already; None where nothing is yet."""
    study = run.study()
    found = settled(run, study)
    return result_of(run, study, found, lambda _: {}) if found else None


def result_of(
    run: Run,
    study: optuna.Study,
    found: list[Candidate],
    measured: Callable[[Sequence[Candidate]], Mapping[str, Accuracy]],
) -> Result:
    """What candidates, at least one, amount to; ``measured`` gives the final ones' accuracies on the report split."""
    objectives = run.problem.objectives
    verified = verified_among(run, found)
    chosen = chosen_of(run, found, verified)
    members = front(found, run.axes)
    finals = list({c.arch: c for c in [*members, chosen]}.values()) if len(objectives) > 1 else [chosen]
    reports = {**studies.saved(study, studies.REPORT), **measured(finals)}
    proposals = study.user_attrs.get(PREDICTIONS, studies.proposals(study))
    bound, raced = study.user_attrs.get(UPPER_BOUND), studies.raced(study, run.problem)
    missing = len({*(c.arch.id for c in found), *raced}) < run.config.trials
    stopped = study.user_attrs.get(STOPPED) if missing else None  # another process may have made the rest
    origin = study.user_attrs.get(RESELECTED)
    return Result(run, found, members, chosen, reports, proposals, bound, raced, stopped, verified, origin)


def chosen_of(run: Run, found: Sequence[Candidate], verified: Verified | None) -> Candidate:
    """The winner among those that were timed on the device, else the best."""
    winner = verified.winner if verified is not None else None
    return winner.candidate if winner is not None else best(found, run.axes)


def verified_among(run: Run, found: Sequence[Candidate]) -> Verified | None:
    """What was timed of candidates on the device, now or by an earlier process; None where nothing was."""
    sessions, limit_ms = read_sessions(run.folder), latency_limit(run.config.budgets)
    if not sessions:
        return None
    verified = verified_of(by_accuracy(found, run.axes), latencies_of(sessions, run.supernet), limit_ms)
    return replace(verified, other_versions=other_versions(run.device, sessions)) if verified else None


def reported(run: Run, study: optuna.Study, finals: Sequence[Candidate], say: Say) -> dict[str, Accuracy]:
    """Accuracies on the report split by arch id, measured now where they are missing: by one process of the run only."""
    reports = studies.saved(study, studies.REPORT)
    if not run.measures or all(c.arch.id in reports for c in finals):
        return reports
    check_images(run)
    with studies.in_turn(run.folder, lambda: None):
        reports = studies.saved(study, studies.REPORT)
        missing = [c for c in finals if c.arch.id not in reports]
        for i, candidate in enumerate(missing, 1):
            say(f"measuring on the report split: {i} of {len(missing)}")
            found, hits = run.accuracy.with_hits(candidate.arch, run.accuracy_name, studies.REPORT)
            studies.save(study, candidate.arch, found, hits)
            reports[candidate.arch.id] = found
    return reports
