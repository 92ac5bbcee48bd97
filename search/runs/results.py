"""What a run found: the candidates that count, their front, the one that is chosen, and accuracies on the report split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from search.feasible.budget_messages import nothing_found
from search.problem.confidence import latency_limit
from search.problem.objectives import Objective
from search.runs import study as studies
from search.runs.carbon_stop import STOPPED
from search.runs.config import BOTH
from search.runs.correction import Corrected, corrected_estimate
from search.runs.front import best, by_accuracy, front, signed_values, undominated_points
from search.runs.on_device import (
    Verified,
    latencies_of,
    other_versions,
    read_sessions,
    verified_of,
)
from search.runs.racing import Raced
from search.runs.run import PREDICTIONS, RESELECTED, UPPER_BOUND, Run
from search.runs.study import Candidate
from search.storages.following import ARCH_ID, ended_trials
from supernet.accuracy import Accuracy
from supernet.errors import InputError
from supernet.messages import Say

if TYPE_CHECKING:
    import optuna


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
    places = {
        place for of in {tuple(axes), run.axes} for place in undominated_points(signed_values(trials, of))
    }
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


def check_images(run: Run) -> None:
    """Raises InputError where the images that are here are not those that a run measured on."""
    known, found = studies.identity_of(run.study()).get("images"), run.accuracy.data.sha256
    if known != found:
        raise InputError(
            f"{run.folder} measured on images with sha256 {known}, but those in {run.accuracy.data_name} have "
            f"{found}; give the run's own images with --data"
        )


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
