"""The Optuna study of a run: the record of every candidate.

Each candidate is a trial. Its parameters are the dimensions of the space; its
constraints are the budgets; costs, accuracies and the arch are attributes. A
proposal over budget is told as pruned, with its costs and without an accuracy,
since none was measured.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.config import RunConfig
from search.problem import Problem
from supernet.accuracy import Accuracy
from supernet.arch import Arch
from supernet.atomic import unwritable
from supernet.errors import InputError

if TYPE_CHECKING:
    import optuna

DATABASE = "study.db"


@dataclass(frozen=True)
class Candidate:
    """An arch with its predicted costs and its accuracy measured on the validation split."""

    number: int
    arch: Arch
    costs: dict[str, float]
    validation: Accuracy

    def value(self, name: str) -> float:
        """A cost by its name, or ``top1`` or ``top5`` on the validation split."""
        return self.costs[name] if name in self.costs else float(getattr(self.validation, name))


def open_study(
    folder: Path, config: RunConfig, problem: Problem, url: str | None, sampler: optuna.samplers.BaseSampler
) -> optuna.Study:
    """Create or load the study of a run folder. Raises InputError for one of another space."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(url or f"sqlite:///{folder / DATABASE}")
    name = folder.resolve().name
    try:
        if url is None:  # the folder may have been renamed since
            name = next(iter(optuna.get_all_study_names(storage)), name)
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            sampler=sampler,
            directions=[o.direction for o in problem.objectives],
            load_if_exists=True,
        )
        if "space" in study.user_attrs or study.get_trials(deepcopy=False):
            check_identity(study, config, problem, url or str(folder))
            return study
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise cannot_open(url or str(folder / DATABASE), error) from error
    identity = {"space": problem.space.name, "fingerprint": problem.space.fingerprint}
    # the space comes last: a study that has it has the rest
    study.set_user_attr("objectives", list(config.objectives))
    study.set_user_attr("budgets", config.budgets)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(config.objectives))
    study.set_user_attr("space", identity)
    return study


def check_identity(study: optuna.Study, config: RunConfig, problem: Problem, where: str) -> None:
    """Raises InputError where a study that was there is not of this run."""
    what = f"the study {study.study_name!r} in {where}"
    remedy = "choose another folder with --out or another --storage"
    space, attributes = problem.space, study.user_attrs
    found = attributes.get("space")
    if not isinstance(found, dict) or not {"space", "fingerprint"} <= found.keys():
        raise InputError(f"{what} was not made by oncefit search; {remedy}")
    if found["fingerprint"] != space.fingerprint:
        raise InputError(
            f"{what} is of the space {found['space']} ({found['fingerprint']}), "
            f"not of {space.name} ({space.fingerprint}); {remedy}"
        )
    for name, here in (("objectives", list(config.objectives)), ("budgets", config.budgets)):
        if name in attributes and attributes[name] != here:
            raise InputError(f"{what} has the {name} {attributes[name]}, but this run has {here}; {remedy}")


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """An Optuna storage; SQLite keeps every commit through a killed process at a tenth of the default's time."""
    import optuna
    from sqlalchemy import event
    from sqlalchemy.exc import SQLAlchemyError

    try:
        storage = optuna.storages.RDBStorage(url, skip_compatibility_check=False)
    except (SQLAlchemyError, ImportError, ValueError, RuntimeError) as error:
        # Optuna raises RuntimeError for a database of another of its versions
        raise cannot_open(url, error) from error
    if url.startswith("sqlite"):
        event.listen(storage.engine, "connect", use_write_ahead_log)
        storage.engine.dispose()
    return storage


def cannot_open(url: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:300]
    return InputError(
        f"cannot use the storage {url}: {reason}. Give --storage as an Optuna storage URL, for example "
        "sqlite:///study.db, or leave it out to keep the study in the run folder"
    )


def use_write_ahead_log(connection: Any, _: object) -> None:
    """A commit survives the death of the process; only a power cut may lose the last ones."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """One process at a time in a run folder. Raises InputError where another is at work."""
    import fcntl

    try:
        opened = (folder / ".lock").open("w")
    except OSError as error:
        raise unwritable(folder, error) from error
    with opened as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another process is searching in {folder}; wait for it or stop it") from error
        yield


def fail_stale_trials(study: optuna.Study) -> None:
    """Trials that a killed process left running are failed; they were never measured."""
    import optuna

    running = optuna.trial.TrialState.RUNNING
    for trial in study.get_trials(deepcopy=False, states=(running,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def record(trial: optuna.Trial, arch: Arch, costs: dict[str, float], accuracy: Accuracy | None) -> None:
    trial.set_user_attr("arch_id", arch.id)
    trial.set_user_attr("costs", costs)
    if accuracy is not None:
        trial.set_user_attr("validation", asdict(accuracy))


def candidates(study: optuna.Study, problem: Problem) -> list[Candidate]:
    """Every distinct measured arch within budget, in the order in which they were measured."""
    import optuna

    complete = optuna.trial.TrialState.COMPLETE
    found: dict[str, Candidate] = {}
    for trial in study.get_trials(deepcopy=False, states=(complete,)):
        if trial.user_attrs["arch_id"] not in found:
            found[trial.user_attrs["arch_id"]] = Candidate(
                trial.number,
                problem.space.arch(trial.params),
                trial.user_attrs["costs"],
                Accuracy(**trial.user_attrs["validation"]),
            )
    return list(found.values())


def saved_reports(study: optuna.Study) -> dict[str, Accuracy]:
    """Accuracies on the report split that were measured before, by arch id."""
    prefix = "report:"
    return {
        key.removeprefix(prefix): Accuracy(**json.loads(value))
        for key, value in study.user_attrs.items()
        if key.startswith(prefix)
    }


def save_report(study: optuna.Study, arch: Arch, accuracy: Accuracy) -> None:
    study.set_user_attr(f"report:{arch.id}", json.dumps(asdict(accuracy)))
