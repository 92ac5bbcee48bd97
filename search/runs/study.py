"""The Optuna study of a run: the record of every candidate.

Each candidate is a trial. Its parameters are the dimensions of the space; its
constraints are the budgets; costs, accuracies and the arch are attributes. A
proposal over budget is told as pruned, with its costs and without an accuracy,
since none was measured; so is a candidate that was stopped early, see
:mod:`search.runs.racing`.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from search.problem.limits import within
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.history import codes_of_ended
from search.runs.racing import Raced, from_attribute
from search.storages.ended import TRIAL_COSTS, EndedTrial, collector_waits
from search.storages.following import ARCH_ID, IDENTITY, ended_trials, followed, storage_of
from search.storages.urls import NotThereError, cannot_open, database_in, lasting
from search.storages.urls import open_storage as open_storage
from supernet import documents, locks
from supernet.accuracy import Accuracy, OwnAccuracy, PredictedAccuracy
from supernet.archs.arch import Arch
from supernet.archs.space import SearchSpace
from supernet.atomic import check_writable, make_folder, unwritable
from supernet.errors import InputError, short
from supernet.messages import say

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

DATABASE, PLACE, LOCK = "study.db", "study.yaml", ".lock"
LONGEST_DATABASE = 500
"""Bytes of a path that SQLite opens: it has room for 512, its own suffixes included."""
VALIDATION, REPORT, PREDICTED, OWN = "validation", "report", "predicted", "own"
HITS, REPORT_HITS, RACED = "hits", "report_hits", "raced"
SECONDS = "seconds_outside_trials"
"""The attribute of a study with the seconds of a search on a predictor, of measuring its best, and of timing these."""
SHARED = "shared"
"""The attribute of a trial that another device's run evaluated (:mod:`search.fleets.fleet_trials`)."""

FOREIGN_TOLD: set[str] = set()
"""Names of the studies whose foreign trials a message was given of: one is enough."""


Ended = TypeVar("Ended", bound="EndedTrial | FrozenTrial")

Judgement = Accuracy | PredictedAccuracy | OwnAccuracy
"""What a trial's accuracy is."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An arch with its costs and its accuracy: predicted, measured on the validation split, or both, or the caller's.

    ``hits`` are the validation images it got right, packed, where it was measured.
    """

    number: int
    arch: Arch
    costs: Mapping[str, float]
    validation: Accuracy | None = None
    predicted: PredictedAccuracy | None = None
    own: OwnAccuracy | None = None
    hits: str | None = field(default=None, repr=False)

    def value(self, name: str) -> float:
        """A cost by its name, or ``top1`` or ``top5``: as measured if it was, else as predicted."""
        if name in self.costs:
            return self.costs[name]
        return float(getattr(self.judgement, name))

    @property
    def judgement(self) -> Judgement:
        """Its accuracy: as measured if it was, else as predicted, or as the caller's own evaluation says."""
        found = self.validation or self.predicted or self.own
        assert found is not None
        return found


def judged(number: int, arch: Arch, costs: Mapping[str, float], accuracy: Judgement | None) -> Candidate:
    """A candidate with an accuracy of any kind."""
    if isinstance(accuracy, Accuracy):
        return Candidate(number, arch, costs, validation=accuracy)
    if isinstance(accuracy, OwnAccuracy):
        return Candidate(number, arch, costs, own=accuracy)
    return Candidate(number, arch, costs, predicted=accuracy)


def open_study(
    folder: Path, url: str | None, identity: Mapping[str, object], create: bool = False
) -> optuna.Study:
    """The study of a run folder; with ``create``, a new one where there is none yet.

    ``identity`` is what the run is of, as far as it is known; a new study needs all of it.
    Raises InputError for a study that is missing or of something else.
    """
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    place = read_place(folder, url)
    where = place.storage or str(folder / DATABASE)
    if place.storage is None and not create and not (folder / DATABASE).is_file():
        # a search that has just begun reads its images before it makes the study
        raise NotThereError(
            f"{folder} has no {DATABASE}: its study was removed; search again in another folder"
        )
    storage = open_storage(url or place.storage or database_in(folder / DATABASE))
    try:
        if create:
            found = create_study(storage, place.name, identity)
        else:
            found = optuna.load_study(study_name=place.name, storage=storage)
    except KeyError:
        raise NotThereError(f"there is no study {place.name!r} in {where}; oncefit search makes it") from None
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise cannot_open(where, error) from error
    check_identity(found, identity, where)
    return found


def create_study(
    storage: optuna.storages.BaseStorage, name: str, identity: Mapping[str, object]
) -> optuna.Study:
    """Make a study, or load the one of that name; one that a kill left empty gets its identity now."""
    import optuna

    objectives = parse_objectives(identity["objectives"])  # type: ignore[arg-type]
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=[o.direction for o in objectives],
        load_if_exists=True,
    )
    if IDENTITY not in study.user_attrs and not study.get_trials(deepcopy=False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([o.name for o in objectives])
        study.set_user_attr(IDENTITY, dict(identity))
    return study


def identity_of(study: optuna.Study) -> dict[str, object]:
    """What the study's figures are of. Raises InputError for a study that oncefit did not make."""
    found = study.user_attrs.get(IDENTITY)
    if not isinstance(found, dict):
        kind = (
            InputError if study.get_trials(deepcopy=False) else NotThereError
        )  # it may be about to be written
        raise kind(
            f"the study {study.study_name!r} was not made by oncefit search; "
            "choose another folder with --out or another --storage"
        )
    return found


def check_identity(study: optuna.Study, identity: Mapping[str, object], where: str) -> None:
    """Raises InputError where a study is of something else than ``identity`` says."""
    if changed := differing(study, identity):
        raise InputError(
            f"the study {study.study_name!r} in {where} is of {', '.join(changed)}; "
            "put back what it was of, or start anew in another folder with --out"
        )


def differing(study: optuna.Study, identity: Mapping[str, object]) -> list[str]:
    """What a study is of that ``identity`` says otherwise."""
    found = identity_of(study)
    return [
        f"the {key} {found.get(key)} (here: {here})"
        for key, here in identity.items()
        if found.get(key) != here
    ]


@contextmanager
def still_there(study: optuna.Study) -> Iterator[None]:
    """Raises InputError in place of what Optuna says where a study is deleted while it is used."""
    storage, study_id = storage_of(study)
    try:
        yield
    except KeyError as error:
        try:
            storage.get_study_user_attrs(study_id)
        except KeyError:
            raise InputError(
                f"the study {study.study_name!r} was deleted while it was searched; search again in another folder with "
                "--out, or put back a copy of its storage, and the same command goes on"
            ) from error
        raise


# -- where a study is --------------------------------------------------------------


class Place(documents.Document):
    """``study.yaml`` in a run folder: the study's name, and its storage if that is not in the folder."""

    name: str
    storage: str | None = None


def new_place(folder: Path, url: str | None, name: str | None = None) -> Place:
    """A place for a new study; unless it is given, its name is used nowhere else, as a storage may hold the runs of many."""
    name = name or f"{folder.resolve().name}-{secrets.token_hex(4)}"
    return Place(name=name, storage=lasting(url) if url is not None else None)


def read_place(folder: Path, url: str | None) -> Place:
    """Where a run's study is. Raises InputError where there is none, or where ``url`` leads elsewhere."""
    if not (folder / PLACE).is_file():
        raise NotThereError(f"{folder} has no study yet: it has no {PLACE}; oncefit search writes one")
    place = documents.read(folder / PLACE, Place)
    if url is not None and (place.storage is None or lasting(url) != lasting(place.storage)):
        raise InputError(
            f"the study of {folder} is in {place.storage or folder / DATABASE}, not in "
            f"{lasting(url)}; leave --storage out, or choose another folder with --out"
        )
    return place


def check_study_name(folder: Path, name: str | None) -> None:
    """Raises InputError where a folder's study has another name than is given."""
    if name is not None and (folder / PLACE).is_file() and read_place(folder, None).name != name:
        raise InputError(
            f"the study of {folder} is {read_place(folder, None).name!r}, not {name!r}; leave --study out, or choose another "
            "folder with --out"
        )


def check_database(folder: Path) -> None:
    """Raises InputError where SQLite could not open a study in ``folder``, whose path it takes into a short buffer."""
    length = len(os.fsencode((folder / DATABASE).absolute()))
    if length > LONGEST_DATABASE:
        raise InputError(
            f"cannot keep a study in {short(str(folder))}: the path of its {DATABASE} would have {length:,} bytes, and "
            f"SQLite takes {LONGEST_DATABASE}; choose another folder with --out, or another --storage"
        )


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One process at a time in a folder, which is made. Raises InputError where another is at work."""
    refusal = f"another process is searching in {folder}; wait for it or stop it"
    make(folder)
    with locks.held(folder / LOCK, refusal):
        yield


@contextmanager
def in_turn(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """One process after the other in a run folder, which is made; ``waiting`` is called while another is at work."""
    make(folder)
    with locks.awaited(folder / LOCK, waiting):
        yield


def make(folder: Path) -> None:
    """Raises InputError where the folder cannot be made or written to."""
    try:
        make_folder(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    check_writable(folder)


def attributes(
    arch: Arch, costs: Mapping[str, float], found: Candidate | Raced | None, accuracy: str
) -> dict[str, Any]:
    """What a trial records besides its parameters and values; ``accuracy`` is the objective's name."""
    made: dict[str, Any] = {ARCH_ID: arch.id, TRIAL_COSTS: dict(costs)}
    if isinstance(found, Raced):
        made[RACED] = found.attribute(accuracy)
    elif found is not None:
        kind = OWN if found.own is not None else VALIDATION if found.validation is not None else PREDICTED
        made[kind] = asdict(found.judgement)
        if found.hits is not None:
            made[HITS] = found.hits
    return made


def own(study: optuna.Study, finished: Iterable[Ended]) -> list[Ended]:
    """Those of a study's finished trials that a search made and did not fail; of others one message is given."""
    import optuna

    ended = [trial for trial in finished if trial.state != optuna.trial.TrialState.FAIL]
    foreign = [trial.number for trial in ended if ARCH_ID not in trial.user_attrs]
    if foreign and study.study_name not in FOREIGN_TOLD:
        FOREIGN_TOLD.add(study.study_name)
        say(
            f"trials of the study {study.study_name!r} that oncefit did not make are left out: "
            f"{', '.join(map(str, foreign[:5]))}{', ...' if len(foreign) > 5 else ''}"
        )
    return [trial for trial in ended if ARCH_ID in trial.user_attrs]


def candidates(study: optuna.Study, problem: Problem) -> list[Candidate]:
    """Every distinct arch within budget, in the order in which accuracies were had."""
    found = candidates_of(own(study, ended_trials(study)), problem)
    study_attrs = study.user_attrs
    for arch_id, later in saved(study, VALIDATION).items():
        if arch_id in found and found[arch_id].validation is None:
            hits = study_attrs.get(f"{HITS}:{arch_id}")
            found[arch_id] = replace(found[arch_id], validation=later, hits=hits)
    return list(found.values())


def candidates_of(
    trials: Iterable[EndedTrial], problem: Problem, known: Container[str] = ()
) -> dict[str, Candidate]:
    """The candidates of a search's trials by arch id, with what each arch's first trial knows; less those that are known."""
    return made_candidates(first_trials(trials, problem, known), problem.space)


def first_trials(
    trials: Iterable[EndedTrial], problem: Problem, known: Container[str] = ()
) -> dict[str, EndedTrial]:
    """The first complete trial of each arch within the budgets, by arch id, less the archs that are known."""
    from optuna.trial import TrialState

    first: dict[str, EndedTrial] = {}
    for trial in trials:
        arch_id = trial.user_attrs[ARCH_ID]
        if (
            trial.state == TrialState.COMPLETE
            and arch_id not in known
            and within(trial.user_attrs[TRIAL_COSTS], problem.budgets)
        ):
            first.setdefault(arch_id, trial)
    return first


def made_candidates(first: Mapping[str, EndedTrial], space: SearchSpace) -> dict[str, Candidate]:
    """A candidate of each trial, by arch id."""
    with collector_waits():
        archs = archs_of_trials(space, list(first.values()))
        return {
            arch_id: candidate_of(trial, arch.known_as(arch_id))
            for (arch_id, trial), arch in zip(first.items(), archs, strict=True)
        }


def value_of_trial(trial: EndedTrial, name: str) -> float:
    """As :meth:`Candidate.value` of what the trial knows."""
    attrs = trial.user_attrs
    if name in attrs[TRIAL_COSTS]:
        return float(attrs[TRIAL_COSTS][name])
    return float(next(attrs[kind] for kind in (VALIDATION, PREDICTED, OWN) if kind in attrs)[name])


def archs_of_trials(space: SearchSpace, trials: Sequence[EndedTrial]) -> list[Arch]:
    """Raises InputError for a trial without an arch of the space."""
    codes, are_archs = codes_of_ended(space, trials)
    for trial, is_arch in zip(trials, are_archs, strict=True):
        if not is_arch:
            space.arch(trial.params)  # which says what is wrong
    return space.decode(codes)


def candidate_of(trial: EndedTrial, arch: Arch) -> Candidate:
    attrs = trial.user_attrs
    return Candidate(
        trial.number,
        arch,
        attrs[TRIAL_COSTS],
        Accuracy(**attrs[VALIDATION]) if VALIDATION in attrs else None,
        PredictedAccuracy(**attrs[PREDICTED]) if PREDICTED in attrs else None,
        OwnAccuracy(**attrs[OWN]) if OWN in attrs else None,
        attrs.get(HITS),
    )


def raced(study: optuna.Study, problem: Problem) -> dict[str, Raced]:
    """Every arch that was stopped early, by its id."""
    return raced_of(own(study, ended_trials(study)), problem)


def raced_of(trials: Iterable[EndedTrial], problem: Problem) -> dict[str, Raced]:
    accuracy = problem.objectives[problem.accuracy_index].name
    return {
        trial.user_attrs[ARCH_ID]: from_attribute(trial.user_attrs[RACED], accuracy)
        for trial in trials
        if trial.state.name == "PRUNED" and RACED in trial.user_attrs
    }


def proposals(study: optuna.Study) -> int:
    """How many archs a search has proposed, each one that it proposed again included."""
    now = followed(study)
    finished = [trial for trial in now.ended if SHARED not in trial.user_attrs]
    waiting = [trial for trial in now.open if SHARED not in trial.user_attrs]
    failed = sum(trial.state.name == "FAIL" for trial in finished)
    return len(waiting) + failed + len(own(study, finished))


def over_budget_proposals(study: optuna.Study) -> int:
    """How many of the proposals were over a budget, so that their accuracy was not had."""
    pruned = [trial for trial in ended_trials(study) if trial.state.name == "PRUNED"]
    return sum(RACED not in trial.user_attrs for trial in own(study, pruned))


def search_seconds(study: optuna.Study) -> float:
    """Seconds that a search took: those of its trials, and of what it did outside them, all processes together."""
    inside = sum(trial_seconds(trial) for trial in own(study, ended_trials(study)))
    return inside + float(study.user_attrs.get(SECONDS, 0.0))


@contextmanager
def counted_outside(study: optuna.Study, clock: Callable[[], float]) -> Iterator[None]:
    """Add the seconds of the body to those outside of trials, also where it is stopped; by one process at a time."""
    started = clock()
    try:
        yield
    finally:
        count_outside(study, clock() - started)


def count_outside(study: optuna.Study, seconds: float) -> None:
    """Add seconds outside of trials; by one process at a time."""
    if seconds:
        study.set_user_attr(SECONDS, float(study.user_attrs.get(SECONDS, 0.0)) + seconds)


def trial_seconds(trial: EndedTrial | FrozenTrial) -> float:
    """How long a trial took by its machine's clock; nothing where that was set back meanwhile."""
    return max(trial.duration.total_seconds(), 0.0) if trial.duration is not None else 0.0


def saved(study: optuna.Study, split: str) -> dict[str, Accuracy]:
    """Accuracies on a split that were measured after their trial had ended, by arch id."""
    prefix = f"{split}:"
    return {
        key.removeprefix(prefix): Accuracy(**json.loads(value))
        for key, value in study.user_attrs.items()
        if key.startswith(prefix)
    }


def save(study: optuna.Study, arch: Arch, accuracy: Accuracy, hits: str | None = None) -> None:
    """Keep an accuracy that was measured after the arch's trial had ended, and which images were right.

    A kill in between leaves the latter without an accuracy, so that both are measured again.
    """
    if hits is not None:
        of_split = REPORT_HITS if accuracy.split == REPORT else HITS
        study.set_user_attr(f"{of_split}:{arch.id}", hits)
    study.set_user_attr(f"{accuracy.split}:{arch.id}", json.dumps(asdict(accuracy)))
