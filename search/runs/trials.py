"""The trials of a run: proposed and judged one by one, or the best that a predictor knows."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from search.feasible.budget_messages import check_feasible
from search.predictors.slopes import slope_of
from search.problem.limits import over_budget, within
from search.proposing.claims import claiming
from search.proposing.distributions import distributions
from search.proposing.samplers import GUIDED, build_sampler
from search.runs import enqueued
from search.runs import study as studies
from search.runs.carbon_prospect import begin_anew, watch_of
from search.runs.config import BOTH, OWN, to_yaml
from search.runs.front import best
from search.runs.ledger import Ledger, has_its_own
from search.runs.opening import write_down
from search.runs.racing import Raced, Rival, unpacked
from search.runs.results import evenly, most_promising, settled
from search.runs.run import CONFIG, DEVICE, PREDICTIONS, PREDICTOR, UPPER_BOUND, Progress, Run
from search.runs.study import Candidate
from search.storages.following import followed, storage_of
from search.storages.patience import GaveUp
from search.storages.together import written_together
from search.storages.travelling import publish
from search.storages.workers import Worker, at_work, others_at_work
from supernet import documents, locks
from supernet.accuracy import PredictedAccuracy
from supernet.archs.arch import Arch, Choice
from supernet.archs.space import SearchSpace
from supernet.messages import say

if TYPE_CHECKING:
    import optuna

PROPOSALS_PER_TRIAL = 50
"""A process ends its search when it has proposed this many archs for each one that the run may measure."""

POLL_S = 0.2
"""Seconds between two looks at what others do, while there is nothing else to do."""

APART = 1_000_003
"""What another process at work counts for the seed of a sampler: more trials than a study has."""


RUN_AGAIN = "again"
"""The attribute of a trial that says which earlier one, of a process that died, had its arch."""

MEASURING = ".measuring"
"""The folder in a run with a lock file for each arch that is measured after the search."""


def search(run: Run, progress: Callable[[Progress], None]) -> None:
    """Make trials until the run has as many as its config says, and measure the best if they are predicted.

    Returns at once where it has; continues after a kill. KeyboardInterrupt leaves the
    study resumable. Where another process searches in the same run, this one joins it: they share the
    trials that are left, and what only one can do the others wait for.
    """
    told = Told(progress, run.config.trials)
    witness = check_feasible(run.problem, run.where)
    study = prepared(run, told.again)
    if proposes(run):
        with studies.still_there(study), at_work(run.folder) as worker:
            with studies.in_turn(run.folder, told.again):
                ledger = begin(run, study, worker, witness)
            propose(run, study, ledger, worker, told)
    settle(run, study, told)
    if run.config.accuracy == BOTH:
        measure_best(run, study, told)


class Told:
    """What is told of the progress, which is told again while others are waited for."""

    def __init__(self, progress: Callable[[Progress], None], trials: int) -> None:
        self._progress = progress
        self._last = Progress(0, trials, 0, None)

    def __call__(self, now: Progress) -> None:
        self._last = now
        self._progress(now)

    def again(self) -> None:
        self._progress(self._last)


def prepared(run: Run, waiting: Callable[[], None]) -> optuna.Study:
    """The study of a run that is begun or goes on, with what its folder, and those who join from elsewhere, must know."""
    with studies.in_turn(run.folder, waiting):
        write_down(run)
        study = run.study(create=True)
        # only now is it known to be the same run, with other trials or files elsewhere
        documents.write_text(run.folder / CONFIG, to_yaml(run.config))
        if studies.read_place(run.folder, None).storage is not None:
            publish(study, {name: run.folder / name for name in (CONFIG, DEVICE, PREDICTOR)})
            say_how_to_join(studies.read_place(run.folder, None))
    return study


def say_how_to_join(place: studies.Place) -> None:
    if place.storage is not None and not place.storage.startswith("sqlite"):
        how = f"oncefit work --storage {shlex.quote(place.storage)} --study {shlex.quote(place.name)}"
        say(f"other machines join with: {how}")


def proposes(run: Run) -> bool:
    """Whether a sampler proposes its archs one by one; else a predictor is searched, by one process and at once."""
    return run.predictor is None or run.config.sampler != GUIDED


def settle(run: Run, study: optuna.Study, told: Told) -> None:
    """What one process does for all where accuracies are predicted, after the trials."""
    if run.predictor is None:
        return
    with studies.in_turn(run.folder, told.again), studies.counted_outside(study, time.monotonic):
        if not proposes(run):
            record_best(run, study, told)
        if len(run.problem.objectives) == 1:
            prove(run, study)


def begin(run: Run, study: optuna.Study, worker: Worker, witness: Arch | None) -> Ledger:
    """Give the study its sampler, fail what dead processes left, and enqueue the arch that is known to fit."""
    config = run.config
    begin_anew(study)
    ledger = Ledger(study, run.problem)
    ledger.follow()
    bury(run, study, ledger, worker)
    study.sampler = sampler_of(run, study, APART * others_at_work(worker, run.folder))
    wanted = ledger.missing(run.enqueued)
    enqueued.check_room(config.trials, ledger.done, len(wanted))
    enqueue(run, study, ledger, wanted)
    tried = witness is None or witness.id in {*ledger.known, *ledger.raced} or ledger.holders(witness)
    if not tried and not ledger.waiting and ledger.done < config.trials:
        assert witness is not None
        study.enqueue_trial(full_values(run.problem.space, witness))
    return ledger


def join_search(run: Run, progress: Callable[[Progress], None], measures: bool) -> int:
    """Take part in a run that others began, until nothing is left to do; the number of archs that were judged here.

    ``measures`` after the search too, for which all processes must share the run's folder.
    """
    told, study, made = Told(progress, run.config.trials), run.study(), 0
    if proposes(run):
        with studies.still_there(study), at_work(run.folder) as worker:
            study.sampler = sampler_of(run, study, APART * (1 + int(worker.id[:6], 16)))
            ledger = Ledger(study, run.problem)
            made = propose(run, study, ledger, worker, told)
    if measures and run.config.accuracy == BOTH:
        made += measure_best(run, study, told)
    return made


def sampler_of(run: Run, study: optuna.Study, apart: int) -> optuna.samplers.BaseSampler:
    """The run's sampler for this process; ``apart`` keeps it from drawing what another one does."""
    before = followed(study).seen + apart
    config = run.config
    sampler = run.own.sampler or build_sampler(
        config.sampler, run.problem, config.seed, config.trials, before
    )
    return claiming(sampler, run.problem, config.seed)


def bury(run: Run, study: optuna.Study, ledger: Ledger, worker: Worker) -> None:
    """Fail what dead processes left running; its arch waits to be run again, unless a process died at it before.

    To be called in turn, lest two processes enqueue the same.
    """
    for trial in worker.those_gone(ledger.running):
        arch = ledger.left_by(trial) if RUN_AGAIN not in trial.user_attrs else None
        if arch is not None and within(
            {name: cost(arch) for name, cost in run.costs.items()}, run.config.budgets
        ):
            study.enqueue_trial(full_values(run.problem.space, arch), user_attrs={RUN_AGAIN: trial.number})
        worker.fail(study, trial)  # only now, so that a kill in between leaves no arch behind
        ledger.follow()


def bury_in_turn(run: Run, study: optuna.Study, ledger: Ledger, worker: Worker) -> None:
    """As :func:`bury`, with a look first, which takes no turn."""
    if worker.those_gone(ledger.running):
        with studies.in_turn(run.folder, lambda: None):
            ledger.follow()
            bury(run, study, ledger, worker)


def enqueue(run: Run, study: optuna.Study, ledger: Ledger, archs: Sequence[Arch]) -> None:
    """A trial that waits for each of the archs; to be called in turn, lest two processes enqueue the same."""
    for arch in archs:
        study.enqueue_trial(full_values(run.problem.space, arch))
    if archs:
        ledger.follow()


def propose(
    run: Run, study: optuna.Study, ledger: Ledger, worker: Worker, progress: Callable[[Progress], None]
) -> int:
    """Ask the sampler and judge what it proposes, from where the study stands, until nobody has anything left to do.

    Returns how many archs were judged here.
    """
    wanted = run.config.trials
    proposals = judged = 0
    watch = watch_of(run)
    while True:
        ledger.follow()
        bury_in_turn(run, study, ledger, worker)
        if ledger.missing(run.enqueued):  # a process died at one of them
            with studies.in_turn(run.folder, lambda: None):
                ledger.follow()
                enqueue(run, study, ledger, ledger.missing(run.enqueued))
        progress(Progress(ledger.done, wanted, proposals, ledger.best(run.axes)))
        if ledger.done >= wanted or proposals >= PROPOSALS_PER_TRIAL * wanted:
            return judged
        if watch is not None and watch.ends(study, ledger):
            return judged
        if ledger.done + len(ledger.running) >= wanted:
            time.sleep(POLL_S)  # others are at the last ones, and may yet fail or find them over budget
            continue
        judged += attempt(run, study, ledger, worker)
        proposals += 1


def attempt(run: Run, study: optuna.Study, ledger: Ledger, worker: Worker) -> bool:
    """One trial, asked for and judged; it has ended afterwards, whatever happens. Whether it judged a new arch."""
    from optuna.exceptions import UpdateFinishedTrialError

    trial = None
    try:
        trial = asked(run, study, ledger, worker)
        return consider(run, study, trial, ledger, worker)
    except UpdateFinishedTrialError:
        # this process had stopped for so long that another one took it for dead
        which = "a trial" if trial is None else f"trial {trial.number}"
        say(f"{which} was given up by another process and is not counted")
        return False
    except GaveUp:
        raise  # whoever comes when the storage is back fails the trial
    except BaseException:
        if trial is not None:
            fail(study, trial)
        raise
    finally:
        worker.ended()


def asked(run: Run, study: optuna.Study, ledger: Ledger, worker: Worker) -> optuna.Trial:
    """A trial of this process: one that waits, else a new one."""
    if not ledger.waiting:
        return worker.ask(study, run.problem.space)
    with studies.in_turn(run.folder, lambda: None):  # SQLite would let two processes take the same
        ledger.follow()
        return worker.ask(study, run.problem.space, ledger.waiting)


def consider(run: Run, study: optuna.Study, trial: optuna.Trial, ledger: Ledger, worker: Worker) -> bool:
    """Tell the study what a proposal costs and, where it is within budget, how accurate it is; whether that is new.

    An arch that was measured or stopped before is told again with the same figures. A trial that is not needed
    any more, as others are at the last ones, or that has no arch of its own, is failed.
    """
    import optuna

    arch = run.problem.space.arch(trial.params)
    costs = {name: cost(arch) for name, cost in run.costs.items()}
    for name, excess in over_budget(costs, run.config.budgets).items():
        trial.set_constraint(name, excess)
    found: Candidate | Raced | None = None
    new = False
    if within(costs, run.config.budgets):
        owns = has_its_own(storage_of(study)[0].get_trial(trial._trial_id), run.problem.space)
        found = found_before(run, arch, study, trial, owns, ledger, worker)
        if found is None and not (owns and is_needed(run, trial, ledger)):
            fail(study, trial)
            return False
        new = found is None
        found = found or judge(run, trial.number, arch, costs, ledger.known)
    with written_together(study, trial._trial_id):
        for name, value in studies.attributes(arch, costs, found, run.problem.objectives[0].name).items():
            trial.set_user_attr(name, value)
    if not isinstance(found, Candidate):
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, [found.value(o.name) for o in run.problem.objectives])
    return new


def found_before(
    run: Run, arch: Arch, study: optuna.Study, trial: optuna.Trial, owns: bool, ledger: Ledger, worker: Worker
) -> Candidate | Raced | None:
    """What is known of an arch, after those that had it before this trial are done with it; None if nothing is.

    Nobody else has an arch that was claimed (:mod:`search.proposing.claims`). Several trials may have one that was
    enqueued: those with lower numbers go first. A trial that owns none, as no other arch was left, waits for all.
    """
    while True:
        ledger.follow()
        found = ledger.known.get(arch.id) or ledger.raced.get(arch.id)
        others = [other for other in ledger.holders(arch) if other.number != trial.number]
        first = [other for other in others if other.number < trial.number or not owns]
        if found is not None or not first:
            return found
        bury_in_turn(run, study, ledger, worker)
        time.sleep(POLL_S)


def is_needed(run: Run, trial: optuna.Trial, ledger: Ledger) -> bool:
    """Whether the run has too few trials, with all those that began before this one and are not finished."""
    earlier = sum(other.number < trial.number for other in ledger.running)
    return ledger.done + earlier < run.config.trials


def fail(study: optuna.Study, trial: optuna.Trial) -> None:
    """End a trial without a result, unless it has ended."""
    import optuna

    study.tell(trial, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)


def judge(
    run: Run, number: int, arch: Arch, costs: dict[str, float], known: Mapping[str, Candidate]
) -> Candidate | Raced:
    """A new arch within the budgets, predicted or measured, or stopped where the run races."""
    if run.predictor is not None or run.config.accuracy == OWN:
        return studies.judged(number, arch, costs, run.judge(arch))
    rival = rival_of(run, costs, known, len(run.accuracy.data.validation)) if run.config.race else None
    found = run.measured(arch, rival)
    return found if isinstance(found, Raced) else Candidate(number, arch, costs, found[0], hits=found[1])


def rival_of(
    run: Run, costs: Mapping[str, float], known: Mapping[str, Candidate], images: int
) -> Rival | None:
    """The most accurate candidate that costs no more in any objective; of equals the first."""
    accuracy, *others = run.problem.objectives
    cheaper = [c for c in known.values() if all(c.costs[o.name] <= costs[o.name] for o in others)]
    if not cheaper:
        return None
    rival = max(cheaper, key=lambda c: c.value(accuracy.name))
    assert rival.hits is not None
    return Rival(rival.arch.id, rival.value(accuracy.name), unpacked(rival.hits, images))


def record_best(run: Run, study: optuna.Study, progress: Callable[[Progress], None]) -> None:
    """Search on the predictor alone, and make trials of the best that it leads to."""
    from search.proposing.predictor_search import search_directly

    assert run.predictor is not None
    problem, predictor, config = run.problem, run.predictor, run.config
    known = judged_before(run, study)
    predictions = study.user_attrs.get(PREDICTIONS, 0)
    if first := [arch for arch in run.enqueued if arch.id not in known]:
        enqueued.check_room(config.trials, len(known), len(first))
        given = predictor.predict(problem.space, problem.space.encode(first))
        study.add_trials([finished_trial(run, *pair) for pair in zip(first, given, strict=True)])
        known = judged_before(run, study)
    if len(known) < config.trials:
        found = search_directly(
            problem, lambda codes: predictor.predict(problem.space, codes).top1, config.trials, config.seed,
            slope=slope_of(predictor, problem.space),
        )  # fmt: skip
        archs = problem.space.decode(found.codes)
        accuracies = list(predictor.predict(problem.space, found.codes))
        new = [pair for pair in zip(archs, accuracies, strict=True) if pair[0].id not in known]
        predictions += found.predictions
        study.set_user_attr(PREDICTIONS, predictions)
        chosen = evenly(new, config.trials - len(known)) if len(problem.objectives) > 1 else new
        study.add_trials([finished_trial(run, *pair) for pair in chosen[: config.trials - len(known)]])
        known = judged_before(run, study)
    top = best(list(known.values()), run.axes) if known else None
    progress(Progress(len(known), config.trials, predictions, top))


def prove(run: Run, study: optuna.Study) -> None:
    """Keep what no arch within the budgets is predicted above, once: better archs do not change it."""
    from search.predictors.upper_bound import upper_bound

    if run.predictor is None or UPPER_BOUND in study.user_attrs:
        return
    known = list(judged_before(run, study).values())
    top = run.problem.space.encode([best(known, run.axes).arch] if known else [])
    study.set_user_attr(UPPER_BOUND, upper_bound(run.problem, run.predictor, top))


def judged_before(run: Run, study: optuna.Study) -> dict[str, Candidate]:
    """The candidates by arch id with the accuracy that their trials have: what was measured later is another."""
    found = studies.candidates(study, run.problem)
    return {c.arch.id: c if run.predictor is None else replace(c, validation=None) for c in found}


def finished_trial(run: Run, arch: Arch, accuracy: PredictedAccuracy) -> optuna.trial.FrozenTrial:
    """The trial of an arch within the budgets that was predicted without one."""
    import optuna

    costs = {name: cost(arch) for name, cost in run.costs.items()}
    candidate = Candidate(-1, arch, costs, predicted=accuracy)
    return optuna.trial.create_trial(
        params=full_values(run.problem.space, arch),
        distributions=distributions(run.problem.space),
        values=[candidate.value(o.name) for o in run.problem.objectives],
        constraints=over_budget(costs, run.config.budgets),
        user_attrs=studies.attributes(arch, costs, candidate, run.problem.objectives[0].name),
    )


def measure_best(run: Run, study: optuna.Study, progress: Callable[[Progress], None]) -> int:
    """Measure the candidates that the predictor puts first, as many as the config says; the number of those measured here.

    Processes of the run share them: each takes what no other is at.
    """
    chosen = most_promising(run, study)
    known = {c.arch.id: c for c in settled(run, study)}
    made, seconds = 0, 0.0
    try:
        while True:
            measured = studies.saved(study, studies.VALIDATION)
            known |= {
                c.arch.id: replace(c, validation=measured[c.arch.id]) for c in chosen if c.arch.id in measured
            }
            top = best(list(known.values()), run.axes) if known else None
            progress(Progress(len(known), len(chosen), len(known), top))
            left = [candidate for candidate in chosen if candidate.arch.id not in known]
            if not left:
                return made
            began = time.monotonic()
            if any(measured_alone(run, study, candidate) for candidate in left):
                made += 1
                seconds += time.monotonic() - began
            else:
                time.sleep(POLL_S)
    except GaveUp:
        seconds = 0.0  # which cannot be kept
        raise
    finally:
        if seconds:
            with studies.in_turn(run.folder, lambda: None):
                studies.count_outside(study, seconds)


def measured_alone(run: Run, study: optuna.Study, candidate: Candidate) -> bool:
    """Measure a candidate, unless another process is at it or has been; whether that was done here."""
    folder = run.folder / MEASURING
    folder.mkdir(exist_ok=True)
    with locks.held_if_free(folder / f"{candidate.arch.id}.lock") as alone:
        if not alone or candidate.arch.id in studies.saved(study, studies.VALIDATION):
            return False
        found = run.measured(candidate.arch)
        assert not isinstance(found, Raced), "without a rival nothing is stopped"
        studies.save(study, candidate.arch, *found)
        return True


def full_values(space: SearchSpace, arch: Arch) -> dict[str, Choice]:
    """A value for every dimension: skipped blocks have their smallest."""
    return {d.name: arch.values.get(d.name, d.choices[0]) for d in space.dimensions}
