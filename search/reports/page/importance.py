"""Which dimensions of a space an accuracy depended on, by what a study has seen."""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from search.proposing.distributions import distributions
from search.proposing.recalling import study_showing
from search.runs.results import evenly
from search.runs.run import Run
from search.runs.study import own
from search.storages.ended import EndedTrial
from search.storages.following import ended_trials
from supernet.archs.arch import Choice

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

FEWEST_TRIALS = 20
FEWEST_GOOD = 5
"""Trials among the good ones that PED-ANOVA needs to be stable, by its authors."""
GOOD = 0.1
"""Share of the trials that are good ones, where these are enough."""
MOST_WEIGHED = 500
"""Trials that importances are computed from, evenly over the search: more take long, and hardly change them."""
RESAMPLES = 20
"""Of the trials, for the interval of an importance."""


@dataclass(frozen=True)
class Effect:
    """A dimension's share of all importance, the range of it over resampled trials, and mean accuracies by its choices."""

    name: str
    importance: float
    low: float
    high: float
    by_choice: Mapping[str, tuple[float, int]]
    """Mean accuracy as a fraction, and of how many trials, by choice."""


def effects(run: Run, study: optuna.Study) -> list[Effect]:
    """By PED-ANOVA of Optuna, the most important first; empty where too few trials say something.

    So are those of a predictor's best, which are all alike. The interval has the middle 90 % of resampled trials. Dimensions
    of blocks that most trials skip are left out: what a trial has for them does nothing.
    """
    trials = judged_trials(run, study)
    if len(trials) < FEWEST_TRIALS or len({judged_value(run, trial) for trial in trials}) < 2:
        return []
    chosen = [run.problem.space.arch(trial.params).values for trial in trials]
    names = [d.name for d in run.problem.space.dimensions if is_common(chosen, d.name)]
    kinds = distributions(run.problem.space)
    random, bares = np.random.default_rng(0), [bare(trial, kinds) for trial in trials]
    shares = importances(run, study, bares, names)
    again = [
        importances(run, study, [bares[i] for i in random.integers(len(trials), size=len(trials))], names)
        for _ in range(RESAMPLES)
    ]
    found = []
    for name, share in sorted(shares.items(), key=lambda pair: (-pair[1], pair[0])):
        low, high = np.quantile([one.get(name, 0.0) for one in again], [0.05, 0.95])
        found.append(
            Effect(
                name,
                share,
                min(low, share),
                max(high, share),
                means_by_choice(chosen, [judged_value(run, trial) for trial in trials], name),
            )
        )
    return found


def good_share(trials: int) -> float:
    """Which share of so many trials are taken for the good ones."""
    return max(GOOD, FEWEST_GOOD / trials)


def judged_trials(run: Run, study: optuna.Study) -> list[EndedTrial]:
    """Trials whose accuracy a search had, of many some; of a predictor's search only where a sampler proposed them."""
    from search.proposing.samplers import GUIDED

    if run.predictor is not None and run.config.sampler == GUIDED:
        return []
    complete = [trial for trial in ended_trials(study) if trial.state.name == "COMPLETE"]
    return evenly(own(study, complete), MOST_WEIGHED)


def is_common(archs: Sequence[Mapping[str, Choice]], name: str) -> bool:
    """Whether at least half of the archs have the block that a dimension is of, and made different choices for it."""
    made = [arch[name] for arch in archs if name in arch]
    return 2 * len(made) >= len(archs) and len(set(made)) > 1


def judged_value(run: Run, trial: EndedTrial | FrozenTrial) -> float:
    assert trial.values is not None
    return float(trial.values[run.problem.accuracy_index])


def importances(
    run: Run, study: optuna.Study, trials: Sequence[FrozenTrial], names: Sequence[str]
) -> dict[str, float]:
    """The share of each of the named dimensions."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apart = [copy.copy(trial) for trial in trials]
        for place, trial in enumerate(apart):  # one that was drawn twice counts as two
            trial._trial_id = trial.number = place
        evaluator = PedAnovaImportanceEvaluator(target_quantile=good_share(len(trials)))
        found = get_param_importances(
            study_showing(study, apart),
            evaluator=evaluator,
            params=list(names),
            target=lambda trial: -judged_value(run, trial),
            normalize=False,
        )
    total = sum(found.values())
    return {name: share / total if total > 0 else 0.0 for name, share in found.items()}


def bare(trial: EndedTrial, kinds: dict[str, BaseDistribution]) -> FrozenTrial:
    """What importance is computed from; attributes, as which images were right, would take long to copy.

    Trials that share their distributions are compared in half the time.
    """
    import optuna

    given = trial.params
    params = {name: given[name] for name in kinds}
    return optuna.trial.create_trial(params=params, distributions=kinds, values=trial.values)


def means_by_choice(
    archs: Sequence[Mapping[str, Choice]], accuracies: Sequence[float], name: str
) -> dict[str, tuple[float, int]]:
    """Mean accuracy and number of trials of each choice that a trial made where it has the block that it is of."""
    seen = defaultdict[Choice, list[float]](list)
    for arch, accuracy in zip(archs, accuracies, strict=True):
        if name in arch:
            seen[arch[name]].append(accuracy)
    return {str(choice): (float(np.mean(seen[choice])), len(seen[choice])) for choice in sorted(seen)}
