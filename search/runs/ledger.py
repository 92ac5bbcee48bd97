"""What a study holds, for a search that other processes may take part in: followed trial by trial."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from optuna.trial import TrialState

from search.feasible.neighbours import keys
from search.problem.objectives import Objective
from search.problem.problem import Problem
from search.proposing.history import codes_of_trial
from search.runs.front import best
from search.runs.racing import Raced
from search.runs.study import Candidate, candidates_of, own, raced_of, trial_seconds
from search.storages.following import CLAIM, followed
from search.storages.workers import places_of
from supernet.archs.arch import Arch
from supernet.archs.space import SearchSpace

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


class Ledger:
    """The archs of a study that are ``known`` and those that were ``raced``, by id, and its ``open`` trials by number.

    Known are the candidates within the budgets, with the accuracy that their trials have. ``seconds`` are what all
    trials that the search made and did not fail took.
    """

    def __init__(self, study: optuna.Study, problem: Problem) -> None:
        self._study = study
        self._problem = problem
        self._taken = 0
        self.trials = 0
        """Trials of the study, whatever became of them."""
        self.known: dict[str, Candidate] = {}
        self.raced: dict[str, Raced] = {}
        self.open: dict[int, FrozenTrial] = {}
        self.seconds = 0.0
        self._best: Candidate | None = None
        self._unranked: list[Candidate] = []

    @property
    def done(self) -> int:
        """Distinct archs that were judged."""
        return len(self.known) + len(self.raced)

    @property
    def waiting(self) -> list[FrozenTrial]:
        """Trials that were enqueued and that nobody has begun."""
        return [trial for trial in self.open.values() if trial.state == TrialState.WAITING]

    @property
    def running(self) -> list[FrozenTrial]:
        """Trials that a process of the run is at; those that something else began are none of them."""
        return [t for t in self.open.values() if t.state == TrialState.RUNNING and places_of(t)]

    def follow(self) -> None:
        """Take in what is new in the study."""
        now = followed(self._study, self._taken)
        self.trials = now.seen
        self.open = {trial.number: trial for trial in now.open}
        self._taken += len(now.ended)
        news = own(self._study, now.ended)
        self.seconds += sum(map(trial_seconds, news))
        for arch_id, candidate in candidates_of(news, self._problem, self.known).items():
            self.known[arch_id] = candidate
            self._unranked.append(candidate)
        for arch_id, raced in raced_of(news, self._problem).items():
            self.raced.setdefault(arch_id, raced)

    def best(self, objectives: Sequence[Objective]) -> Candidate | None:
        """The best of those known, always in the same objectives; only what is new since the last look is ranked."""
        if self._unranked:
            before = [self._best] if self._best is not None else []
            self._best, self._unranked = best([*before, *self._unranked], objectives), []
        return self._best

    def missing(self, archs: Iterable[Arch]) -> list[Arch]:
        """Those of the archs that no trial has judged, is at, or waits with."""
        left = [arch for arch in archs if arch.id not in self.known and arch.id not in self.raced]
        if not left:
            return []
        space = self._problem.space
        owned = {key for trial in (*self.running, *self.waiting) for key in self._owned(trial)}
        rows = keys(space.encode(left))
        return [arch for arch, key in zip(left, rows, strict=True) if key not in owned]

    def holders(self, arch: Arch) -> list[FrozenTrial]:
        """Running trials that own an arch."""
        [wanted] = keys(self._problem.space.encode([arch]))
        return [trial for trial in self.running if wanted in self._owned(trial)]

    def left_by(self, gone: FrozenTrial) -> Arch | None:
        """The arch that a trial of a dead process owns; None where it is judged, or another open trial owns it too."""
        owned = self._owned(gone)
        others = [trial for trial in (*self.running, *self.waiting) if trial.number != gone.number]
        if not owned or any(owned[0] in self._owned(trial) for trial in others):
            return None
        row = codes_of_trial(self._problem.space, gone)
        assert row is not None  # what it owns has codes
        [arch] = self._problem.space.decode(row)
        return arch if arch.id not in self.known and arch.id not in self.raced else None

    def _owned(self, trial: FrozenTrial) -> list[bytes]:
        """The key of the arch that an open trial owns; none where it owns none."""
        space = self._problem.space
        row = codes_of_trial(space, trial)
        return keys(row) if row is not None and has_its_own(trial, space) else []


def has_its_own(trial: FrozenTrial, space: SearchSpace) -> bool:
    """Whether a trial owns its arch: it has claimed it, or was enqueued with it."""
    fixed = trial.system_attrs.get("fixed_params", {})
    return bool(trial.system_attrs.get(CLAIM)) or all(d.name in fixed for d in space.dimensions)
