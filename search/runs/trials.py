"""The trials of a run: proposed and judged one by one, or the best that a predictor knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from search.feasible.budget_messages import check_feasible
from search.problem.limits import over_budget, within
from search.proposing.distributions import distributions
from search.proposing.samplers import GUIDED, build_sampler
from search.runs import study as studies
from search.runs.config import BOTH, to_yaml
from search.runs.front import best
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
from supernet import documents
from supernet.accuracy import PredictedAccuracy
from supernet.arch import Arch, Choice
from supernet.space import SearchSpace

if TYPE_CHECKING:
    import optuna

PROPOSALS_PER_TRIAL = 50
"""A search ends when it has proposed this many archs for each one it may measure."""


def search(run: Run, progress: Callable[[Progress], None]) -> None:
    """Make trials until the run has as many as its config says, and measure the best if they are predicted.

    Returns at once where it has; continues after a kill. KeyboardInterrupt leaves the
    study resumable. Raises InputError where another process searches in the same folder.
    """
    with studies.exclusive(run.folder):
        write_down(run)
        study = run.study(create=True)
        # only now is it known to be the same run, with other trials or files elsewhere
        documents.write_text(run.folder / CONFIG, to_yaml(run.config))
        studies.fail_stale_trials(study)
        if run.predictor is not None and run.config.sampler == GUIDED:
            record_best(run, study, progress)
        else:
            propose(run, study, progress)
        if run.predictor is not None and len(run.problem.objectives) == 1:
            prove(run, study)
        if run.config.accuracy == BOTH:
            measure_best(run, study, progress)


def propose(run: Run, study: optuna.Study, progress: Callable[[Progress], None]) -> None:
    """Ask the sampler and judge what it proposes, from where the study stands."""
    import optuna

    finished = len(study.get_trials(deepcopy=False))
    config = run.config
    study.sampler = run.own.sampler or build_sampler(
        config.sampler, run.problem, config.seed, config.trials, finished
    )
    known = judged_before(run, study)
    raced = studies.raced(study, run.problem)
    witness = check_feasible(run.problem, run.where)
    waiting = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.WAITING,))
    if witness is not None and witness.id not in {*known, *raced} and not waiting:
        study.enqueue_trial(full_values(run.problem.space, witness))
    choices = distributions(run.problem.space)
    proposals = 0
    limit = PROPOSALS_PER_TRIAL * config.trials
    best_so_far = best(list(known.values()), run.axes) if known else None
    progress(Progress(len(known) + len(raced), config.trials, 0, best_so_far))
    while len(known) + len(raced) < config.trials and proposals < limit:
        trial = study.ask(choices)
        proposals += 1
        try:
            found = consider(run, study, trial, known, raced)
        except BaseException:
            study.tell(trial, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
            raise
        if isinstance(found, Candidate):
            known[found.arch.id] = found
            best_so_far = best(list(known.values()), run.axes)
        elif found is not None:
            raced[trial.user_attrs["arch_id"]] = found
        progress(Progress(len(known) + len(raced), config.trials, proposals, best_so_far))


def consider(
    run: Run,
    study: optuna.Study,
    trial: optuna.Trial,
    known: Mapping[str, Candidate],
    raced: Mapping[str, Raced],
) -> Candidate | Raced | None:
    """Tell the study what a proposal costs and, where it is within budget, how accurate it is.

    An arch that was measured or stopped before is told again with the same figures.
    """
    import optuna

    arch = run.problem.space.arch(trial.params)
    costs = {name: cost(arch) for name, cost in run.costs.items()}
    for name, excess in over_budget(costs, run.config.budgets).items():
        trial.set_constraint(name, excess)
    found: Candidate | Raced | None = None
    if within(costs, run.config.budgets):
        found = known.get(arch.id) or raced.get(arch.id) or judge(run, trial.number, arch, costs, known)
    for name, value in studies.attributes(arch, costs, found, run.problem.objectives[0].name).items():
        trial.set_user_attr(name, value)
    if not isinstance(found, Candidate):
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return found
    study.tell(trial, [found.value(o.name) for o in run.problem.objectives])
    return found


def judge(
    run: Run, number: int, arch: Arch, costs: dict[str, float], known: Mapping[str, Candidate]
) -> Candidate | Raced:
    """A new arch within the budgets, predicted or measured, or stopped where the run races."""
    if not run.config.race:
        return studies.judged(number, arch, costs, run.judge(arch))
    images = len(run.accuracy.data.validation)
    found = run.accuracy.race(arch, rival_of(run, costs, known, images), run.problem.objectives[0].name)
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
    if len(known) < config.trials:
        found = search_directly(
            problem, lambda codes: predictor.predict(problem.space, codes).top1, config.trials, config.seed
        )
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
            validation = run.accuracy(candidate.arch, "validation")
            studies.save(study, candidate.arch, validation)
            known[candidate.arch.id] = replace(candidate, validation=validation)
    top = best(list(known.values()), run.axes) if known else None
    progress(Progress(len(known), len(chosen), len(known), top))


def full_values(space: SearchSpace, arch: Arch) -> dict[str, Choice]:
    """A value for every dimension: skipped blocks have their smallest."""
    return {d.name: arch.values.get(d.name, d.choices[0]) for d in space.dimensions}
