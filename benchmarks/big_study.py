"""Studies of 1,000, 10,000 and 100,000 trials: what it takes to go on with them, to report and to compare them.

    python benchmarks/big_study.py [--storages sqlite journal postgresql] [--trials 1000 10000 100000]

The trials are of random archs of ofa_mbv3_w1.0 with the costs that a search records and the accuracies of the predictor that
ships; they are put into the storage at once. Each figure is of a process of its own: wall time, processor time of this
process, and the greatest memory that it had. A proposal is a whole turn of a search: what others did is read, an arch is
proposed and judged, and written down. Rows go to runs/benchmarks/big_study.json; what is
there is not measured again, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
from filling import fill_database, fill_journal
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from results import Results, Row

from search.problem.limits import over_budget
from search.proposing.distributions import distributions
from search.proposing.first_archs import skewed
from search.runs.config import RunConfig
from search.runs.ledger import Ledger
from search.runs.opening import open_run, start
from search.runs.run import Progress, Run
from search.runs.study import Candidate, attributes
from search.runs.trials import full_values, prepared, propose, sampler_of
from search.storages.following import CLAIM
from search.storages.workers import MARK, at_work
from supernet.accuracy import PredictedAccuracy
from tests.helpers.postgresql import running_server

NAME = "big_study"
STORAGES, TRIALS = ("sqlite", "journal", "postgresql"), (1_000, 10_000, 100_000)
SAMPLERS = ("guided", "nsga2", "random", "tpe")
AT_ONCE = 2_000
WARM, TIMED = 3, 20
COMPARED = 10
BUDGET = 500e6
MOST_S = 300.0
"""Seconds after which a measurement is given up; what is missing is shown as more than that."""


# -- a study of so many trials --------------------------------------------------


def filled(folder: Path, storage: str | None, count: int, seed: int = 0) -> None:
    """A run folder with a study of ``count`` trials; it wants more, so that it may go on."""
    config = RunConfig(
        supernet="ofa_mbv3_w1.0", accuracy="predicted", predictor="ofa_mbv3_w1.0", objectives=("top1", "macs"),
        budgets={"macs": BUDGET}, sampler="random", space={"resolution": (224,)}, trials=2 * count, seed=seed,
    )  # fmt: skip
    run = start(folder, config, storage, lambda _: None)
    study = prepared(run, lambda: None)
    rng, made, kinds = np.random.default_rng(seed), 0, distributions(run.problem.space)
    seen: set[bytes] = set()
    while made < count:
        trials = list(some_trials(run, rng, made, min(AT_ONCE, count - made), seen, kinds))
        write_trials(study, storage, folder, made, trials)
        made += len(trials)


def some_trials(
    run: Run, rng: np.random.Generator, first: int, count: int, seen: set[bytes], kinds: Mapping[str, object]
) -> Iterator[FrozenTrial]:
    """Different archs within the budget, from nearly the smallest to the largest, as trials of a search that have ended."""
    space = run.problem.space
    codes = skewed(space, 3 * count, rng)
    codes = codes[run.problem.within(codes)]
    codes = np.array([row for row in codes if not (row.tobytes() in seen or seen.add(row.tobytes()))])[:count]
    costs = {name: cost.batch(codes) for name, cost in run.costs.items()}
    assert run.predictor is not None
    predicted = list(run.predictor.predict(space, codes))
    for place, (arch, accuracy) in enumerate(zip(space.decode(codes), predicted, strict=True)):
        of_arch = {name: float(values[place]) for name, values in costs.items()}
        yield ended_trial(run, first + place, arch, of_arch, accuracy, codes[place], kinds)


def ended_trial(run: Run, number: int, arch, costs: dict[str, float], accuracy: PredictedAccuracy, row, kinds) -> FrozenTrial:  # type: ignore[no-untyped-def]  # fmt: skip
    candidate = Candidate(number, arch, costs, predicted=accuracy)
    return optuna.trial.create_trial(
        params=full_values(run.problem.space, arch), distributions=kinds,
        values=[candidate.value(o.name) for o in run.problem.objectives],
        constraints=over_budget(costs, run.config.budgets),
        user_attrs=attributes(arch, costs, candidate, "top1"),
        system_attrs={CLAIM: row.tolist(), f"{MARK}{number // 1000:016x}": "0:0"},
    )  # fmt: skip


def write_trials(
    study: optuna.Study, storage: str | None, folder: Path, first: int, trials: Sequence[FrozenTrial]
) -> None:
    if storage is not None and storage.startswith("journal"):
        fill_journal(storage.removeprefix("journal:///"), study._study_id, first, trials)
    else:
        fill_database(RDBStorage(storage or f"sqlite:///{folder / 'study.db'}"), study.study_name, trials)


# -- what is measured, each in a process of its own -----------------------------


def proposals(folder: Path, storage: str | None, sampler: str) -> Row:
    """Seconds until the first proposal was judged, and of each of those after it."""
    began, busy = time.perf_counter(), time.process_time()
    run = open_run(folder, storage)
    study = run.study()
    run = replace(run, config=run.config.model_copy(update={"sampler": sampler}))
    marks: list[tuple[float, float]] = []

    def progress(now: Progress) -> None:
        marks.append((time.perf_counter(), time.process_time()))
        if len(marks) > WARM + TIMED:
            raise StopIteration

    with at_work(folder) as worker:
        study.sampler = sampler_of(run, study, 0)
        ledger = Ledger(study, run.problem)
        with suppress(StopIteration):
            propose(run, study, ledger, worker, progress)
    walls, processor = (np.diff([mark[i] for mark in marks])[WARM:].tolist() for i in (0, 1))
    return {
        "resume_s": marks[1][0] - began, "resume_processor_s": marks[1][1] - busy,
        "proposal_ms": [1e3 * s for s in walls], "proposal_processor_ms": [1e3 * s for s in processor],
    }  # fmt: skip


def commanded(*arguments: str) -> Row:
    """An ``oncefit`` command."""
    from search.cli.app import main

    began, busy = time.perf_counter(), time.process_time()
    code: object = None
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code
    if code != 0:
        raise RuntimeError(f"oncefit {' '.join(arguments)} ended with {code}")
    return {"seconds": time.perf_counter() - began, "processor_s": time.process_time() - busy}


def measured(what: str, folder: Path, storage: str | None) -> Row:
    if what in SAMPLERS:
        return proposals(folder, storage, what)
    where = ("--storage", storage) if storage is not None else ()
    if what == "compare":
        copies = [str(folder / "copies" / str(i)) for i in range(COMPARED)]
        return commanded("compare", *copies, "--out", str(folder / "comparison"), *where)
    if what == "plot":
        return commanded("plot", str(folder), "--out", str(folder / "front.png"), *where)
    return commanded("report", str(folder), *where)


def in_a_process(what: str, folder: Path, storage: str | None) -> Row:
    """The row that a process of its own prints last, with the greatest memory that it had."""
    command = [sys.executable, __file__, "--one", what, str(folder), *([storage] if storage else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_S)
    except subprocess.TimeoutExpired:
        return {"gave_up_after_s": MOST_S}
    assert done.returncode == 0, done.stderr
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def copied(folder: Path) -> None:
    """Run folders for a comparison: each has the same study, and is read as if it were another one."""
    for i in range(COMPARED):
        copy = folder / "copies" / str(i)
        copy.mkdir(parents=True)
        for file in folder.iterdir():
            if file.is_file():
                os.symlink(file.absolute(), copy / file.name)


@contextmanager
def storage_of(kind: str, folder: Path) -> Iterator[str | None]:
    with ExitStack() as stack:
        if kind == "postgresql":
            yield stack.enter_context(running_server()).url
        else:
            yield f"journal:///{folder}/study.journal" if kind == "journal" else None


def measure_study(results: Results, kind: str, count: int, names: Sequence[str]) -> None:
    """Rows of one study, which is made anew where any of them is missing."""
    wanted = [what for what in names if not known(results, kind, count, what)]
    if not wanted:
        return
    with tempfile.TemporaryDirectory() as name, storage_of(kind, Path(name)) as url:
        folder = Path(name) / "run"
        began = time.process_time()
        filled(folder, url, count)
        copied(folder)
        print(
            f"{kind}, {count:,} trials: made in {time.process_time() - began:.0f} s of processor", flush=True
        )
        for what in wanted:
            row = results.row(
                lambda what=what: in_a_process(what, folder, url), peer=kind, trials=count, what=what
            )  # type: ignore[misc]
            print(json.dumps({k: v for k, v in row.items() if not isinstance(v, list)}), flush=True)


def known(results: Results, kind: str, count: int, what: str) -> bool:
    return any((row["peer"], row["trials"], row["what"]) == (kind, count, what) for row in results.rows)


def greatest_memory_mib() -> float:
    """Of this process, as Linux tells it; what ``resource`` tells includes the process that started this one."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


HEADS = ("storage", "trials", "resume (s)", *(f"{name} (ms)" for name in SAMPLERS), "report (s)", "compare (s)", "plot (s)", "memory (MiB)")  # fmt: skip


def lines_of(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """A line a study: processor time; wall time depends on what else the machine does. A dash was not measured."""
    for kind, count in dict.fromkeys((row["peer"], row["trials"]) for row in rows):
        of = {row["what"]: row for row in rows if (row["peer"], row["trials"]) == (kind, count)}
        resumes = [row["resume_processor_s"] for row in of.values() if "resume_processor_s" in row]
        samplers = [told(of.get(name), "proposal_processor_ms", ".0f") for name in SAMPLERS]
        commands = [told(of.get(name), "processor_s", ".1f") for name in ("report", "compare", "plot")]
        memory = max((row["memory_mib"] for row in of.values() if "memory_mib" in row), default=0)
        resumed = f"{statistics.median(resumes):.1f}" if resumes else "-"
        yield kind, f"{count:,}", resumed, *samplers, *commands, f"{memory:,.0f}"


def told(row: Row | None, key: str, form: str) -> str:
    if row is None:
        return "-"
    if key not in row:
        return f"more than {row['gave_up_after_s']:.0f} s"
    found = row[key]
    return format(statistics.median(found) if isinstance(found, list) else found, form)


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if sys.argv[1:2] == ["--one"]:
        what, folder, *storage = sys.argv[2:]
        row = measured(what, Path(folder), storage[0] if storage else None)
        print(json.dumps({**row, "memory_mib": greatest_memory_mib()}))
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = (*SAMPLERS, "report", "compare", "plot")
    parser.add_argument("--storages", nargs="+", default=STORAGES, choices=STORAGES)
    parser.add_argument("--trials", nargs="+", type=int, default=TRIALS)
    parser.add_argument("--what", nargs="+", default=names, choices=names)
    parser.add_argument("--fresh", action="store_true", help="forget the rows that are there")
    given = parser.parse_args()
    results = Results(NAME, given.fresh)
    for kind in given.storages:
        for count in given.trials:
            measure_study(results, kind, count, given.what)
    print(f"| {' | '.join(HEADS)} |\n|{'---|' * len(HEADS)}")
    for line in lines_of(results.rows):
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    main()
