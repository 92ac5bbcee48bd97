"""One search for several devices: a run for each, in folders side by side, that share every accuracy.

Accuracy is a property of an arch, latency one of an arch on a device. So each device has a run of its own, with its
device, budgets, study and front, which every command reads as any other run; and an arch that was evaluated for one of
them is a trial of all (:mod:`search.fleets.fleet_trials`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cost_models.devices import NAME, check_there
from cost_models.registry import ALIASES
from cost_models.variants import Variant
from search.problem.limits import within
from search.runs import study as studies
from search.runs.config import MEASURED, OWN, RunConfig, normalised, to_yaml
from search.runs.enqueued import check_counts, enqueued_archs, with_enqueued
from search.runs.fleet_devices import DEVICES, FLEET
from search.runs.front import best
from search.runs.naming import base
from search.runs.opening import check_folder, open_run, start
from search.runs.own import Own
from search.runs.report_hits import kept_hits
from search.runs.results import Result, conclude
from search.runs.run import Progress, Run
from search.runs.study import Candidate
from supernet import documents
from supernet.archs.arch import Arch
from supernet.atomic import check_writable
from supernet.errors import InputError
from supernet.messages import Say

FEWEST = 2
"""Devices of a fleet; one is a run."""


ShowMember = Callable[[str, Progress], None]
"""Told of the device's name, and where the search of the fleet stands with the best for this device."""


@dataclass(frozen=True)
class Fleet:
    """The runs of a search for several devices, by the name of the device, in the order of the config."""

    folder: Path
    config: RunConfig
    runs: Mapping[str, Run]

    @property
    def first(self) -> Run:
        return next(iter(self.runs.values()))

    @property
    def enqueued(self) -> tuple[Arch, ...]:
        """Archs that are evaluated first."""
        return enqueued_archs(self.config, self.first.problem.space)


@dataclass(frozen=True)
class FleetResult:
    """What was found for each device; ``evaluations`` are the distinct archs whose accuracy was had for all of them.

    ``common`` is the most accurate candidate within the budgets of every device, None where none is.
    """

    fleet: Fleet
    results: Mapping[str, Result]
    evaluations: int
    common: Candidate | None


def members(config: RunConfig, where: str) -> dict[str, RunConfig]:
    """The config of each device, by its name: one device, its budgets beside or in place of the common ones.

    What is enqueued is the fleet's. Raises InputError for one device, for a device that is given twice, where candidates
    race, and where archs are enqueued that no device would share.
    """
    if len(config.devices) < FEWEST:
        raise InputError(
            f"{where}: {DEVICES} has {len(config.devices)} of at least {FEWEST}; one device is given as device:"
        )
    if config.enqueue and config.accuracy not in (MEASURED, OWN):
        raise InputError(
            f"{where}: enqueue: with accuracy: {config.accuracy} each of several devices is searched for by itself, and "
            "an arch may be within the budgets of one and over those of another; leave it out, or search for each device "
            "with archs of its own"
        )
    if config.race:
        raise InputError(
            f"{where}: race: true stops a candidate by what is cheaper on its device, which says nothing for the other "
            "devices of a fleet; leave race out"
        )
    found: dict[str, RunConfig] = {}
    for entry in config.devices:
        label = label_of(entry.device)
        check_label(label, where)
        if label in found:
            raise InputError(
                f"{where}: the device {label} is given twice; two of one name need names of their own, as "
                "{base: host, region: FRA, name: host-fra}"
            )
        alone = {
            "devices": (),
            "enqueue": (),
            "device": entry.device,
            "budgets": {**config.budgets, **{ALIASES.get(n, n): limit for n, limit in entry.budgets.items()}},
        }
        found[label] = normalised(config.model_copy(update=alone), f"{where}, device {label}")
    return found


def label_of(device: str | Variant) -> str:
    """A device's name; of a variant without one those of its base and region."""
    if not isinstance(device, Variant):
        return base(device)
    parts = (base(device.base), device.region)
    return device.name or "-".join(str(part) for part in parts if part is not None)


def check_label(label: str, where: str) -> None:
    """Raises InputError for a device's name that cannot be that of its folder in the fleet's."""
    if not re.fullmatch(NAME, label) or label.startswith("fleet."):
        raise InputError(
            f"{where}: the device {label!r} has a folder of its name: it is made of letters, digits, '_', '-' and inner "
            "dots, and does not begin with 'fleet.'; give it another one, as {base: host, name: office}"
        )


def start_fleet(
    folder: Path, config: RunConfig, storage: str | None, say: Say, own: Own | None = None
) -> Fleet:
    """A new fleet, or the one that is in the folder, with all that it needs; writes nothing there.

    Raises InputError as :func:`search.runs.opening.start` does, for a device by its name.
    """
    configs = members(config, "the search")
    check_folder(folder, config, FLEET, "fleet")
    check_writable(folder)
    for alone in configs.values():
        assert alone.device is not None  # each of several has one
        check_there(alone.device)
    runs: dict[str, Run] = {}
    for label, alone in configs.items():
        beside = next(iter(runs.values()), None)
        runs[label] = start(folder / label, alone, storage, say, own, beside)
    begun = documents.read(folder / FLEET, RunConfig) if is_fleet(folder) else None
    config, given = with_enqueued(config, begun, next(iter(runs.values())).supernet)
    check_some_device_has(given, [*runs.values()])
    check_counts(config)
    return Fleet(folder, config, runs)


def check_some_device_has(given: Mapping[Arch, str], runs: Sequence[Run]) -> None:
    """Raises InputError for an enqueued arch, called as its value says, that is over budget on every device."""
    for arch, name in given.items():
        if not any(keeps(run, arch) for run in runs):
            raise InputError(
                f"{name}: arch {arch.id} cannot be enqueued: it is over a budget of every device; leave it out, or raise "
                "a budget"
            )


def write_fleet(fleet: Fleet) -> None:
    """Write down its config, with the trials that are asked for now."""
    documents.write_text(fleet.folder / FLEET, to_yaml(fleet.config))


def is_fleet(folder: Path) -> bool:
    return (folder / FLEET).is_file()


def open_fleet(folder: Path, storage: str | None = None, own: Own | None = None) -> Fleet:
    """A fleet that was searched before. Raises InputError for a folder that holds none."""
    if not is_fleet(folder):
        raise InputError(
            f"{folder} is not a fleet: it has no {FLEET}; oncefit search with devices: writes one"
        )
    config = documents.read(folder / FLEET, RunConfig)
    runs: dict[str, Run] = {}
    for label in members(config, str(folder / FLEET)):
        runs[label] = open_run(folder / label, storage, own, beside=next(iter(runs.values()), None))
    return Fleet(folder, config, runs)


def fleet_of(run: Run) -> Fleet | None:
    """The fleet that a run is one device of; None for a search for its device alone."""
    folder = run.folder.absolute()
    if not is_fleet(folder.parent):
        return None
    fleet = open_fleet(folder.parent, run.storage, run.own)
    return fleet if folder.name in fleet.runs else None


def conclude_fleet(fleet: Fleet, say: Say, measure: bool = True) -> FleetResult:
    """Measure what each run found on the report split, an arch that several of them chose once.

    Raises InputError for a device that nothing was found for.
    """
    remember(fleet)
    results = {}
    for label, run in fleet.runs.items():
        results[label] = conclude(run, partial(say_of, say, label), measure)
    archs = {c.arch.id for result in results.values() for c in result.candidates}
    return FleetResult(fleet, results, len(archs), within_all(results))


def say_of(say: Say, label: str, text: str) -> None:
    say(f"{label}: {text}")


def remember(fleet: Fleet) -> None:
    """Let the runs know of what any of them has measured, so that nothing is measured twice."""
    if not fleet.first.measures:
        return
    known = fleet.first.accuracy.known
    for run in fleet.runs.values():
        if not (run.folder / studies.PLACE).is_file():
            continue
        study = run.study()
        hits = kept_hits(study)
        for candidate in studies.candidates(study, run.problem):
            if candidate.validation is not None:
                known[candidate.arch.id, studies.VALIDATION] = (candidate.validation, candidate.hits)
        for arch_id, accuracy in studies.saved(study, studies.REPORT).items():
            known[arch_id, studies.REPORT] = (accuracy, hits.get(arch_id))


def within_all(results: Mapping[str, Result]) -> Candidate | None:
    """The most accurate candidate of any device that keeps the budgets of all; its costs are those of the first."""
    runs = [result.run for result in results.values()]
    pool = {c.arch.id: c for result in results.values() for c in result.candidates}
    held = [of_run(c, runs[0]) for c in pool.values() if all(keeps(run, c.arch) for run in runs)]
    return best(held, runs[0].axes) if held else None


def keeps(run: Run, arch: Arch) -> bool:
    """Whether an arch is within the budgets of a run, whatever it was a candidate of."""
    costs = {name: cost(arch) for name, cost in run.problem.costs.items()}
    return within(costs, run.config.budgets)


def of_run(candidate: Candidate, run: Run) -> Candidate:
    """A candidate of any of the runs as one of ``run``: the same accuracy, and what it costs there."""
    return replace(candidate, costs={name: cost(candidate.arch) for name, cost in run.costs.items()})
