"""The trials of a run: proposed and judged one by one, or the best that a predictor knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from search.feasible.budget_messages import check_feasible
from search.predictors.slopes import slope_of
from search.problem.limits import over_budget, within
from search.proposing.claims import claiming
from search.proposing.distributions import distributions
from search.proposing.following import storage_of
from search.proposing.samplers import GUIDED, build_sampler
from search.runs import enqueued
from search.runs import study as studies
from search.runs.carbon_prospect import begin_anew, watch_of
from search.runs.config import BOTH, OWN, to_yaml
from search.runs.front import best
from search.runs.ledger import Ledger, has_its_own
from search.runs.racing import Raced, Rival, unpacked
from search.runs.run import (
    CONFIG,
    PREDICTIONS,
    UPPER_BOUND,
    Progress,
    Run,
    evenly,
    most_promising,
    settled,
    write_down,
)
from search.runs.study import Candidate
from search.runs.workers import Worker, at_work, others_at_work
from supernet import documents
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


def search(run: Run, progress: Callable[[Progress], None]) -> None:
    """Make trials until the run has as many as its config says, and measure the best if they are predicted.

    Returns at once where it has; continues after a kill. KeyboardInterrupt leaves the
    study resumable. Where another process searches in the same run, this one joins it: they share the
    trials that are left, and what only one can do the others wait for.
    """
    config = run.config
    last = Progress(0, config.trials, 0, None)

    def tell(now: Progress) -> None:
        nonlocal last
        last = now
        progress(now)

    def waiting() -> None:
        progress(last)

    witness = check_feasible(run.problem, run.where)
    with studies.in_turn(run.folder, waiting):
        write_down(run)
        study = run.study(create=True)
        # only now is it known to be the same run, with other trials or files elsewhere
        documents.write_text(run.folder / CONFIG, to_yaml(config))
    if run.predictor is None or config.sampler != GUIDED:
        with at_work(run.folder) as worker:
            with studies.in_turn(run.folder, waiting):
                ledger = begin(run, study, worker, witness)
            propose(run, study, ledger, worker, tell)
    with studies.in_turn(run.folder, waiting):
        if run.predictor is None:
            return
        with studies.counted_outside(study, time.monotonic):
            if config.sampler == GUIDED:
                record_best(run, study, tell)
            if len(run.problem.objectives) == 1:
                prove(run, study)
            if config.accuracy == BOTH:
                measure_best(run, study, tell)


def begin(run: Run, study: optuna.Study, worker: Worker, witness: Arch | None) -> Ledger:
    """Give the study its sampler, fail what dead processes left, and enqueue the arch that is known to fit."""
    config = run.config
    begin_anew(study)
    ledger = Ledger(study, run.problem)
    ledger.follow()
    worker.fail_those_gone(study, ledger.running)
    ledger.follow()
    before = len(study.get_trials(deepcopy=False)) + APART * others_at_work(worker, run.folder)
    sampler = run.own.sampler or build_sampler(
        config.sampler, run.problem, config.seed, config.trials, before
    )
    study.sampler = claiming(sampler, run.problem, config.seed)
    wanted = ledger.missing(run.enqueued)
    enqueued.check_room(config.trials, ledger.done, len(wanted))
    enqueue(run, study, ledger, wanted)
    tried = witness is None or witness.id in {*ledger.known, *ledger.raced} or ledger.holders(witness)
    if not tried and not ledger.waiting and ledger.done < config.trials:
        assert witness is not None
        study.enqueue_trial(full_values(run.problem.space, witness))
    return ledger


def enqueue(run: Run, study: optuna.Study, ledger: Ledger, archs: Sequence[Arch]) -> None:
    """A trial that waits for each of the archs; to be called in turn, lest two processes enqueue the same."""
    for arch in archs:
        study.enqueue_trial(full_values(run.problem.space, arch))
    if archs:
        ledger.follow()


def propose(
    run: Run, study: optuna.Study, ledger: Ledger, worker: Worker, progress: Callable[[Progress], None]
) -> None:
    """Ask the sampler and judge what it proposes, from where the study stands, until nobody has anything left to do."""
    wanted = run.config.trials
    proposals = 0
    watch = watch_of(run)
    while True:
        ledger.follow()
        worker.fail_those_gone(study, ledger.running)
        if ledger.missing(run.enqueued):  # a process died at one of them
            with studies.in_turn(run.folder, lambda: None):
                ledger.follow()
                enqueue(run, study, ledger, ledger.missing(run.enqueued))
        top = best(list(ledger.known.values()), run.axes) if ledger.known else None
        progress(Progress(ledger.done, wanted, proposals, top))
        if ledger.done >= wanted or proposals >= PROPOSALS_PER_TRIAL * wanted:
            return
        if watch is not None and watch.ends(study, ledger):
            return
        if ledger.done + len(ledger.running) >= wanted:
            time.sleep(POLL_S)  # others are at the last ones, and may yet fail or find them over budget
            continue
        attempt(run, study, ledger, worker)
        proposals += 1


def attempt(run: Run, study: optuna.Study, ledger: Ledger, worker: Worker) -> None:
    """One trial, asked for and judged; it has ended afterwards, whatever happens."""
    from optuna.exceptions import UpdateFinishedTrialError

    trial = asked(run, study, ledger, worker)
    try:
        consider(run, study, trial, ledger, worker)
    except UpdateFinishedTrialError:
        # this process had stopped for so long that another one took it for dead
        say(f"trial {trial.number} was given up by another process and is not counted")
    except BaseException:
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


def consider(run: Run, study: optuna.Study, trial: optuna.Trial, ledger: Ledger, worker: Worker) -> None:
    """Tell the study what a proposal costs and, where it is within budget, how accurate it is.

    An arch that was measured or stopped before is told again with the same figures. A trial that is not needed
    any more, as others are at the last ones, or that has no arch of its own, is failed.
    """
    import optuna

    arch = run.problem.space.arch(trial.params)
    costs = {name: cost(arch) for name, cost in run.costs.items()}
    for name, excess in over_budget(costs, run.config.budgets).items():
        trial.set_constraint(name, excess)
    found: Candidate | Raced | None = None
    if within(costs, run.config.budgets):
        owns = has_its_own(storage_of(study)[0].get_trial(trial._trial_id), run.problem.space)
        found = found_before(arch, study, trial, owns, ledger, worker)
        if found is None and not (owns and is_needed(run, trial, ledger)):
            fail(study, trial)
            return
        found = found or judge(run, trial.number, arch, costs, ledger.known)
    for name, value in studies.attributes(arch, costs, found, run.problem.objectives[0].name).items():
        trial.set_user_attr(name, value)
    if not isinstance(found, Candidate):
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, [found.value(o.name) for o in run.problem.objectives])


def found_before(
    arch: Arch, study: optuna.Study, trial: optuna.Trial, owns: bool, ledger: Ledger, worker: Worker
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
        worker.fail_those_gone(study, first)
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
    found = run.accuracy.race(arch, rival, run.problem.objectives[0].name)
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


def measure_best(run: Run, study: optuna.Study, progress: Callable[[Progress], None]) -> None:
    """Measure the candidates that the predictor puts first, as many as the config says."""
    chosen = most_promising(run, study)
    known = {c.arch.id: c for c in settled(run, study)}
    for candidate in chosen:
        top = best(list(known.values()), run.axes) if known else None
        progress(Progress(len(known), len(chosen), len(known), top))
        if candidate.arch.id not in known:
            validation, hits = run.accuracy.with_hits(candidate.arch, run.problem.objectives[0].name)
            studies.save(study, candidate.arch, validation, hits)
            known[candidate.arch.id] = replace(candidate, validation=validation, hits=hits)
    top = best(list(known.values()), run.axes) if known else None
    progress(Progress(len(known), len(chosen), len(known), top))


def full_values(space: SearchSpace, arch: Arch) -> dict[str, Choice]:
    """A value for every dimension: skipped blocks have their smallest."""
    return {d.name: arch.values.get(d.name, d.choices[0]) for d in space.dimensions}
