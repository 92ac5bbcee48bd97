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
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.design import skewed, spread
from search.evolution import evolve
from search.improvement import front, improvement
from search.problem import Floats, Problem
from search.region import Region, distinct, keys
from search.samplers import distributions
from search.surrogate import Surrogate, features, fit
from supernet.arch import Choice
from supernet.space import Codes, SearchSpace

PROPOSED = "guided:codes"
"""System attribute of a trial with the codes proposed for it: others see them before its parameters are set."""

NEWEST = 400
"""Measured archs that the surrogate is fitted to; its time grows with their cube."""

NEVER_AGAIN = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.PRUNED, TrialState.WAITING)

THINKING = threading.Lock()
"""One proposal at a time in a process, so that threads of one study see each other's."""


@dataclass(frozen=True)
class History:
    """What a study knows: measured archs (n, dimensions), accuracies (n,), archs under way, all keys."""

    measured: Codes
    accuracy: Floats
    running: Codes
    seen: set[bytes]


class GuidedSampler(BaseSampler):
    """Proposes archs of ``problem`` within its budgets, each once; other parameters are drawn at random.

    Proposals depend on ``seed``, the number of the trial and what the study's
    storage holds, on nothing else. Until ``startup`` archs are known they are
    spread over the costs; then the surrogate leads.
    """

    def __init__(self, problem: Problem | None = None, *, seed: int | None = None, startup: int = 12) -> None:
        self._problem = problem
        self._seed = seed if seed is not None else int(np.random.default_rng().integers(2**31))
        self._startup = startup
        self._rows: dict[tuple[str, int], Codes | None] = {}

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
            fixed = trial.system_attrs.get("fixed_params", {})
            if not all(name in fixed for name in wanted):
                with THINKING:
                    row = self._propose(study, trial, fixed)
                    study._storage.set_trial_system_attr(trial._trial_id, PROPOSED, row[0].tolist())
                values = {
                    d.name: d.choices[int(i)]
                    for d, i in zip(self._problem.space.dimensions, row[0], strict=True)
                }
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
        """Codes of one arch, shape (1, dimensions): new unless no arch within the budgets is."""
        assert self._problem is not None
        problem, space = self._problem, self._problem.space
        rng = np.random.default_rng([self._seed, trial.number])
        region = Region(problem, fixed_columns(space, fixed))
        history = self._history(study, trial)
        known = np.concatenate([history.measured, history.running])
        if len(known) < self._startup or len(history.measured) < 2:
            found = spread(region, known, self._startup, history.seen, rng)
        else:
            found = self._improve(region, history, rng)
        if not len(found):
            found = region.fresh(history.seen)
        return found[:1] if len(found) else region.anchor

    def _improve(self, region: Region, history: History, rng: np.random.Generator) -> Codes:
        """New archs within the budgets, the one with the greatest expected improvement first."""
        assert self._problem is not None
        problem, space = self._problem, self._problem.space
        minimised = list(problem.cost_objectives)
        codes, accuracy = history.measured[-NEWEST:], history.accuracy[-NEWEST:]
        rows = features(space, codes, problem.totals(codes))
        surrogate = fit(rows, accuracy, len(problem.costs))
        if len(history.running):
            surrogate = surrogate.believe(features(space, history.running, problem.totals(history.running)))

        known = np.concatenate([history.measured, history.running])
        totals = problem.totals(known)
        means = predict(surrogate, space, known, totals)[0]
        inside = (totals <= problem.limits).all(axis=1)
        floor = float(means.min())
        gain = improvement(means[inside], totals[inside][:, minimised], floor, ceilings(problem))

        def score(candidates: Codes) -> Floats:
            totals = problem.totals(candidates)
            return gain(*predict(surrogate, space, candidates, totals), totals[:, minimised])

        best = known[inside][np.argsort(-means[inside], kind="stable")[:16]]
        leaders = known[inside][front(means[inside], totals[inside][:, minimised])]
        corners = space.encode([space.smallest(), space.largest()])
        start = np.concatenate(
            [best, rng.permutation(leaders)[:48], corners, skewed(space, 96, rng), space.sample(32, rng)]
        )
        found, _ = evolve(score, region, start, rng)
        return distinct(found, history.seen)

    def _history(self, study: Study, trial: FrozenTrial) -> History:
        assert self._problem is not None
        space = self._problem.space
        measured, accuracy, running, seen = [], [], [], set()
        index = self._problem.accuracy_index
        index = index if index < len(study.directions) else 0
        sign = 1.0 if study.directions[index] == StudyDirection.MAXIMIZE else -1.0
        for other in study.get_trials(deepcopy=False, states=NEVER_AGAIN):
            if other.number == trial.number or (row := self._row(study, other)) is None:
                continue
            seen.update(keys(row))
            if other.state == TrialState.RUNNING:
                running.append(row)
            elif other.state == TrialState.COMPLETE and np.isfinite(value := other.values[index]):
                measured.append(row)
                accuracy.append(sign * value)
        none = np.empty((0, len(space.dimensions)), dtype=np.int16)
        return History(
            np.concatenate([none, *measured]), np.array(accuracy, dtype=np.float64),
            np.concatenate([none, *running]), seen,
        )  # fmt: skip

    def _row(self, study: Study, trial: FrozenTrial) -> Codes | None:
        """Canonical codes of a trial, shape (1, dimensions), None if it has no arch of the space."""
        assert self._problem is not None
        name = (study.study_name, trial._trial_id)
        if name in self._rows:
            return self._rows[name]
        row = codes_of(self._problem.space, trial.params or trial.system_attrs.get("fixed_params", {}))
        if row is None and PROPOSED in trial.system_attrs and trial.state == TrialState.RUNNING:
            row = np.array([trial.system_attrs[PROPOSED]], dtype=np.int16)
        if trial.state.is_finished():
            self._rows[name] = row
        return row


def predict(surrogate: Surrogate, space: SearchSpace, codes: Codes, totals: Floats) -> tuple[Floats, Floats]:
    return surrogate.predict(features(space, codes, totals))


def ceilings(problem: Problem) -> Floats:
    """Reference value of each cost that is minimised: its budget, or the greatest it can be."""
    names = list(problem.costs)
    return np.array(
        [min(problem.limits[i], problem.reach[names[i]].maximum) for i in problem.cost_objectives]
    )


def fixed_columns(space: SearchSpace, values: Mapping[str, Choice]) -> dict[int, int]:
    """Column to code of those ``values`` that are choices of the space."""
    by_name = space.by_name
    return {
        space.index[name]: by_name[name].choices.index(value)
        for name, value in values.items()
        if name in by_name and value in by_name[name].choices
    }


def codes_of(space: SearchSpace, values: Mapping[str, Choice]) -> Codes | None:
    """Canonical codes, shape (1, dimensions), of an arch's values; None where one that counts is missing."""
    codes = np.full((1, len(space.dimensions)), -1, dtype=np.int16)
    for column, code in fixed_columns(space, values).items():
        codes[0, column] = code
    missing: npt.NDArray[np.bool_] = (codes < 0) & space.active(codes)
    return None if missing.any() else space.canonical(codes)
