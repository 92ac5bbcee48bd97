"""What Optuna and guided cost a trial when a study has 100 trials, and when it has 10,000.

    python benchmarks/overhead.py [--storages NAME...] [--trials N]

The accuracy is a closed form, so that nothing else takes time: a front of the embedded supernet's
space. Trials before the timed ones are put into the storage as finished (``benchmarks/filling.py``). Also: how long a study
of 10,000 trials takes to be opened and proposed for again, and its front to be computed. Rows go to
runs/benchmarks/overhead.json.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import optuna
from filling import Unflushed, add_to_database
from optuna.storages import RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from results import Results, Row

from cost_models.protocol import Target
from cost_models.registry import build
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.distributions import distributions
from search.proposing.samplers import build_sampler
from search.runs.front import front
from search.runs.study import attributes, candidates, judged, open_storage
from search.storages.following import CLAIM
from search.storages.workers import MARK
from supernet.accuracy import Accuracy, wilson
from supernet.archs.arch import Arch
from supernet.families.catalog import open_supernet

NAME = "overhead"
FEW, MANY, TIMED = 100, 10_000, 40
GROWTH, RESUME_SECONDS, FRONT_SECONDS = 1.2, 4.0, 1.0
IMAGES = 5000

Open = Callable[[], optuna.storages.BaseStorage]
Add = Callable[[Sequence[FrozenTrial]], None]


def storage_in(name: str, folder: Path) -> tuple[Open, Add]:
    """How to open a storage, in-memory is the same one each time, and how to add trials to its study."""
    if name == "memory":
        kept = optuna.storages.InMemoryStorage()
        return lambda: kept, lambda trials: one_by_one(kept, trials)
    if name == "sqlite":
        url = f"sqlite:///{folder / 'study.db'}"
        return lambda: open_storage(url), lambda trials: add_to_database(RDBStorage(url), NAME, trials)
    file, journal = str(folder / "journal.log"), optuna.storages.JournalStorage
    opened = lambda: journal(JournalFileBackend(file))  # noqa: E731
    return opened, lambda trials: one_by_one(journal(Unflushed(file)), trials)


def one_by_one(storage: optuna.storages.BaseStorage, trials: Sequence[FrozenTrial]) -> None:
    optuna.load_study(study_name=NAME, storage=storage).add_trials(trials)


@cache
def problem_of() -> Problem:
    supernet = open_supernet("fmnist_mbv3")
    costs = {"macs": build("macs", Target(supernet))}
    return Problem(supernet.space, parse_objectives(("top1", "macs")), costs, {})


def accuracy(problem: Problem, arch: Arch) -> Accuracy:
    """A made-up one that grows with the size, with a little noise that belongs to the arch."""
    code = problem.space.encode([arch])
    noise = np.random.default_rng(int.from_bytes(code.tobytes()[:8], "little")).normal()
    hits = round(IMAGES * (0.8 + 0.02 * np.log(problem.totals(code)[0, 0] / 5e5) + 0.002 * noise))
    return Accuracy("validation", IMAGES, hits / IMAGES, 1.0, *wilson(hits, IMAGES), 1.0, 1.0)


def told(problem: Problem, arch: Arch, number: int) -> tuple[list[float], dict[str, object]]:
    """Values and attributes of a trial, as a search records them."""
    costs = {"macs": problem.costs["macs"](arch)}
    candidate = judged(number, arch, costs, accuracy(problem, arch))
    return [candidate.value("top1"), costs["macs"]], attributes(arch, costs, candidate, "top1")


@cache
def finished(problem: Problem, number: int) -> FrozenTrial:
    """The trial of a random arch, with all that a trial of a search has when it has ended."""
    space = problem.space
    codes = (np.random.default_rng(number).random(len(space.sizes)) * space.sizes).astype(int)
    params = {d.name: d.choices[i] for d, i in zip(space.dimensions, codes, strict=True)}
    arch = space.arch(params)
    values, attrs = told(problem, arch, number)
    marks = {CLAIM: space.encode([arch])[0].tolist(), f"{MARK}{number // 1000:016x}": "0:0"}
    return optuna.trial.create_trial(
        params=params, distributions=distributions(space), values=values, user_attrs=attrs, system_attrs=marks
    )


def seconds_a_trial(study: optuna.Study, problem: Problem, trials: int) -> list[float]:
    choices, seconds = distributions(problem.space), []
    for _ in range(trials):
        began = time.perf_counter()
        trial = study.ask(choices)
        asked = time.perf_counter() - began
        values, attrs = told(problem, problem.space.arch(trial.params), trial.number)
        began = time.perf_counter()
        for name, value in attrs.items():
            trial.set_user_attr(name, value)
        study.tell(trial, values)
        seconds.append(asked + time.perf_counter() - began)
    return seconds


def reading_side_by_side(url: str) -> None:
    """Print how long all trials of a database take to be read by Optuna's own storage, and by ours."""
    for who, opened in (("Optuna", optuna.storages.RDBStorage), ("oncefit", open_storage)):
        study = optuna.load_study(study_name=NAME, storage=opened(url))
        began = time.process_time()
        trials = study.get_trials(deepcopy=False)
        print(f"{who} reads {len(trials):,} trials in {time.process_time() - began:.2f} s of processor time")


def measure(name: str, trials: int) -> Row:
    problem, seconds = problem_of(), {}
    with tempfile.TemporaryDirectory() as folder:
        opened, add = storage_in(name, Path(folder))
        directions = [objective.direction for objective in problem.objectives]
        optuna.create_study(study_name=NAME, storage=opened(), directions=directions)
        for before in (FEW, MANY):
            there = len(optuna.load_study(study_name=NAME, storage=opened()).get_trials(deepcopy=False))
            add([finished(problem, number) for number in range(there, before - 1)])
            study = optuna.load_study(study_name=NAME, storage=opened())
            study.sampler = build_sampler("guided", problem, 0, MANY)
            seconds_a_trial(study, problem, 1)  # what a process does once
            seconds[before] = seconds_a_trial(study, problem, trials)
        began, busy = time.perf_counter(), time.process_time()
        study = optuna.load_study(study_name=NAME, storage=opened())
        study.sampler = build_sampler("guided", problem, 0, MANY)
        seconds_a_trial(study, problem, 1)
        resumed, of_processor = time.perf_counter() - began, time.process_time() - busy
        if name == "sqlite":
            reading_side_by_side(f"sqlite:///{Path(folder) / 'study.db'}")
        began = time.perf_counter()
        found = candidates(study, problem)
        read = time.perf_counter() - began
        began = time.perf_counter()
        members = front(found, problem.objectives)
        return {
            "few_ms": [1e3 * s for s in seconds[FEW]], "many_ms": [1e3 * s for s in seconds[MANY]],
            "resume_seconds": resumed, "resume_processor_seconds": of_processor, "candidates_seconds": read,
            "front_seconds": time.perf_counter() - began, "front": len(members), "candidates": len(found),
        }  # fmt: skip


HEADS = (
    "storage", f"trial {FEW} (ms)", f"trial {MANY:,} (ms)", "growth", "mean growth", "resumes (s)",
    "of which processor (s)", "reads its candidates (s)", "front (s)", "held",
)  # fmt: skip


def lines_of(rows: list[Row]) -> list[tuple[str, ...]]:
    lines = []
    for row in rows:
        few, many = (statistics.median(row[key]) for key in ("few_ms", "many_ms"))
        mean = statistics.mean(row["many_ms"]) / statistics.mean(row["few_ms"])
        resumes, processor = (
            "-" if row["peer"] == "memory" else f"{row[key]:.1f}"
            for key in ("resume_seconds", "resume_processor_seconds")
        )
        held = many <= GROWTH * few and row["front_seconds"] <= FRONT_SECONDS
        held = held and (row["peer"] == "memory" or row["resume_seconds"] <= RESUME_SECONDS)
        lines.append((
            row["peer"], f"{few:.1f}", f"{many:.1f}", f"{many / few:.2f}", f"{mean:.2f}", resumes, processor, f"{row['candidates_seconds']:.2f}", f"{row['front_seconds']:.3f}", "yes" if held else "**no**",
        ))  # fmt: skip
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    storages = ("memory", "sqlite", "journal")
    parser.add_argument("--storages", nargs="+", default=storages, choices=storages)
    parser.add_argument("--trials", type=int, default=TIMED, help="timed, of each study")
    parser.add_argument("--fresh", action="store_true", help="forget the rows that are there")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    results = Results(NAME, given.fresh)
    for name in given.storages:
        results.row(lambda name=name: measure(name, given.trials), peer=name)  # type: ignore[misc]
    for line in (HEADS, *lines_of(results.rows)):
        print("  ".join(cell.ljust(len(head)) for cell, head in zip(line, HEADS, strict=True)))


if __name__ == "__main__":
    main()
