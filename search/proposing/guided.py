"""``guided``: an Optuna sampler that asks a surrogate of accuracy and obeys the budgets.

A proposal costs a fraction of a measurement, so it is thought over: refit the
surrogate to the finished trials, search it by evolution within the budgets,
and propose what is expected to improve the front most. Costs are exact and
never modelled.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, PartialFixedSampler, RandomSampler
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial
from threadpoolctl import ThreadpoolController

from search.feasible.neighbours import distinct
from search.feasible.region import Region
from search.problem.problem import Problem
from search.proposing.acquisition import front, improvement, reached, roots
from search.proposing.claims import claim, claimable
from search.proposing.distributions import distributions
from search.proposing.evolution import evolve
from search.proposing.first_archs import skewed, spread
from search.proposing.history import History, Known, Seen, fixed_columns, values_of
from search.proposing.pending import Outlook, Pending, believed
from search.proposing.promises import promises
from search.proposing.surrogate import (
    Shape,
    Surrogate,
    conditioned,
    features_of_archs,
    fitted_shape,
    logs,
    scaling_of,
)
from supernet.archs.arch import Choice
from supernet.archs.space import Codes
from supernet.arrays import Floats

MOST_TOLD = 128
"""Archs that the surrogate is fitted to; its time grows with their cube."""

NEWEST = 32
"""Of these, so many are the last; the others are those nearest to the front."""

BOLDNESS = (0.02, 0.1, 0.5)
"""Of the surrogate's deviations, so much is believed, in turn from trial to trial.

They are those of a single arch, and the best of millions that are scored is chosen: with all of the
deviation a search looks for what is unknown and not for what is good (docs/decisions/010-guided.md).
"""

THINKING = threading.Lock()
"""One proposal at a time in a process, so that threads of one study see each other's."""


@cache
def blas() -> ThreadpoolController:
    """The libraries that multiply matrices: those of a few hundred rows take longer on threads that wait."""
    return ThreadpoolController()


class GuidedSampler(BaseSampler):
    """Proposes archs of ``problem`` within its budgets, each once; other parameters are drawn at random.

    Proposals depend on ``seed``, the number of the trial and what the study's
    storage holds, on nothing else. Until ``startup`` archs are known they are
    spread over the costs; then the surrogate leads.
    """

    claims = True
    """What :func:`search.proposing.claims.claiming` asks."""

    def __init__(
        self,
        problem: Problem | None = None,
        *,
        seed: int | None = None,
        startup: int = 12,
        pending: Pending = believed,
    ) -> None:
        self._problem = problem
        self._seed = seed if seed is not None else int(np.random.default_rng().integers(2**31))
        self._startup = startup
        self._pending = pending
        self._histories: WeakKeyDictionary[BaseStorage, dict[int, History]] = WeakKeyDictionary()
        self._promising: Codes | None = None
        self._learnt: tuple[object, Learnt] | None = None

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """All dimensions of the space; called at the start of each trial."""
        return {} if self._problem is None else distributions(self._problem.space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """One arch, and random values for parameters that are not of the space; called once a trial."""
        params: dict[str, Any] = {}
        if self._problem is not None:
            ours = distributions(self._problem.space)
            wanted = [name for name, given in search_space.items() if ours.get(name) == given]
            fixed = fixed_params(study, trial)
            if not all(name in fixed for name in wanted):
                with THINKING, blas().limit(limits=1, user_api="blas"):
                    row = self._claimed(study, trial, fixed)
                values = values_of(self._problem.space, row)
                params = {name: values[name] for name in wanted}
        for name, distribution in search_space.items():
            if name not in params:
                params[name] = self.sample_independent(study, trial, name, distribution)
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value; called for each parameter that is not of the space."""
        seed = np.random.SeedSequence([self._seed, trial.number, zlib.crc32(param_name.encode())])
        sampler = RandomSampler(seed=int(seed.generate_state(1)[0]))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def _propose(self, study: Study, trial: FrozenTrial, fixed: Mapping[str, Choice]) -> Codes:
        """Codes of archs, the best first, shape (n, dimensions), n > 0: new unless no arch within the budgets is."""
        assert self._problem is not None
        problem, space = self._problem, self._problem.space
        rng = np.random.default_rng([self._seed, trial.number])
        region = Region(problem, fixed_columns(space, fixed))
        history = self._history(study)
        history.follow(study, trial)
        taken = np.concatenate([history.known.codes, history.running])
        if len(taken) < self._startup or len(history.known) < 2 or not history.any_within():
            found = self._first(region, taken, history, rng)
        else:
            found = self._improve(region, history, rng)
        if not len(found):
            found = region.fresh(history.seen)
        return found if len(found) else region.anchor

    def _claimed(self, study: Study, trial: FrozenTrial, fixed: Mapping[str, Choice]) -> Codes:
        """Codes of the arch that the trial has now, shape (dimensions,); no other trial has it while another is left."""
        assert self._problem is not None
        history = self._history(study)
        proposals = self._propose(study, trial, fixed)
        region = Region(self._problem, fixed_columns(self._problem.space, fixed))
        rng = np.random.default_rng([self._seed, trial.number, 1])

        def of_others() -> Seen:
            history.follow(study, trial)
            return history.seen

        row = claim(study, trial, claimable(proposals, region, history, rng), of_others)
        return np.asarray((proposals if row is None else row)[0])

    def _first(self, region: Region, taken: Codes, history: History, rng: np.random.Generator) -> Codes:
        """New archs spread over the costs; where accuracies are expected, in turn with the best by these."""
        if region.problem.expected is not None and len(taken) % 2 == 0:
            from search.proposing.predictor_search import search_directly

            if self._promising is None:
                count = max(self._startup, 1)
                self._promising = search_directly(
                    region.problem, region.problem.expected, count, self._seed
                ).codes
            found = distinct(region.pin(self._promising), history.seen)
            found = found[region.problem.within(found)]
            if len(found):
                return np.asarray(rng.permutation(found)[:1])
        return spread(region, taken, self._startup, history.seen, rng)

    def _history(self, study: Study) -> History:
        """What is known of a study, kept as long as it is the same."""
        assert self._problem is not None
        of_storage = self._histories.setdefault(study._storage, {})
        return of_storage.setdefault(study._study_id, History(self._problem))

    def __getstate__(self) -> dict[str, Any]:
        """Without what is known of studies, which is read again."""
        return {**self.__dict__, "_histories": WeakKeyDictionary()}

    def _improve(self, region: Region, history: History, rng: np.random.Generator) -> Codes:
        """New archs within the budgets, the one with the greatest expected improvement first."""
        assert self._problem is not None
        problem, space = self._problem, self._problem.space
        minimised = list(problem.cost_objectives)
        data, surrogate = self._surrogate(history.known)
        known, totals = data.codes, data.totals
        kept = promises(surrogate.without_each(), data.accuracy, logs(totals[:, minimised]))
        outlook = Outlook(surrogate)
        if len(history.running):
            running = problem.totals(history.running)
            outlook = self._pending(surrogate, described(problem, history.running, running), rng)
            if outlook.counts:
                known, totals = np.concatenate([known, history.running]), np.concatenate([totals, running])

        means = outlook.surrogate.predict(described(problem, known, totals))[0]
        inside = (totals <= problem.limits).all(axis=1)
        floor = float(means.min())
        gain = improvement(means[inside], roots(totals[inside][:, minimised]), floor, roots(problem.ceilings))

        boldness = BOLDNESS[(len(history.known) + len(history.running)) % len(BOLDNESS)]

        def score(candidates: Codes) -> Floats:
            totals = problem.totals(candidates)
            rows = described(problem, candidates, totals)
            mean, std = outlook.surrogate.predict(rows)
            costs = totals[:, minimised]
            return gain(mean, boldness * std, roots(costs)) * kept(logs(costs)) * outlook.weight(rows)

        best = known[inside][np.argsort(-means[inside], kind="stable")[:16]]
        leaders = known[inside][front(means[inside], totals[inside][:, minimised])]
        corners = space.encode([space.smallest(), space.largest()])
        start = np.concatenate(
            [best, rng.permutation(leaders)[:48], corners, skewed(space, 96, rng), space.sample(32, rng)]
        )
        found, _ = evolve(score, region, start, rng)
        return distinct(found, history.seen)

    def _surrogate(self, known: Known) -> tuple[Known, Surrogate]:
        """The archs that it is fitted to, and the surrogate.

        Which ones they are and the kernel's shape are settled anew only now and then, by what was
        known then, so that it costs little and is the same in a run that was resumed.
        """
        assert self._problem is not None
        problem = self._problem
        settled = known[: milestone(len(known))]
        name = (settled.numbers.tobytes(), settled.accuracy.tobytes())
        if self._learnt is None or self._learnt[0] != name:
            chosen = most_telling(settled, problem)
            told = settled[chosen]
            shape = fitted_shape(
                described(problem, told.codes, told.totals),
                told.accuracy,
                telling_features(problem),
                told.noise,
            )
            self._learnt = (name, Learnt(chosen, shape))
        learnt = self._learnt[1]
        data = known[np.concatenate([learnt.rows, np.arange(len(settled), len(known))])]
        rows = described(problem, data.codes, data.totals)
        scaling = scaling_of(rows, data.accuracy, telling_features(problem))
        targets = (data.accuracy - scaling.level) / scaling.spread
        return data, conditioned(scaling, learnt.shape, scaling.near(rows), targets, data.noise)


def fixed_params(study: Study, trial: FrozenTrial) -> dict[str, Choice]:
    """Values that are not for us to choose: of an enqueued trial, and of a PartialFixedSampler around us."""
    around = study.sampler
    outer = around._fixed_params if isinstance(around, PartialFixedSampler) else {}
    return {**outer, **trial.system_attrs.get("fixed_params", {})}


@dataclass(frozen=True)
class Learnt:
    """What is settled now and then: the rows that are told to the surrogate, and its kernel's shape."""

    rows: npt.NDArray[np.intp]
    shape: Shape


def milestone(n: int) -> int:
    """The number of known archs, up to ``n``, at which the surrogate was last settled."""
    step = 1 if n < 32 else 4 if n < MOST_TOLD else 16
    return n // step * step


def most_telling(known: Known, problem: Problem) -> npt.NDArray[np.intp]:
    """Rows of at most :data:`MOST_TOLD` archs: the newest, and those nearest below the front."""
    if len(known) <= MOST_TOLD:
        return np.arange(len(known))
    costs = known.totals[:, list(problem.cost_objectives)]
    below = reached(known.accuracy, costs, costs) - known.accuracy
    nearest = np.argsort(below[:-NEWEST], kind="stable")[: MOST_TOLD - NEWEST]
    return np.concatenate([np.sort(nearest), np.arange(len(known) - NEWEST, len(known))])


def described(problem: Problem, codes: Codes, totals: Floats) -> Floats:
    """What the surrogate sees, shape (n, features): choices, costs, and what was expected beforehand."""
    rows = features_of_archs(problem.space, codes, totals)
    return rows if problem.expected is None else np.column_stack([rows, problem.expected(codes)])


def telling_features(problem: Problem) -> int:
    """How many of the last features tell most: the costs, and what was expected."""
    return len(problem.costs) + (problem.expected is not None)
