"""Which dimensions of a space an accuracy depended on, by what a study has seen."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from search.runs.run import Run
from search.runs.study import own
from supernet.archs.arch import Choice

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

FEWEST_TRIALS = 20
FEWEST_GOOD = 5
"""Trials among the good ones that PED-ANOVA needs to be stable, by its authors."""
GOOD = 0.1
"""Share of the trials that are good ones, where these are enough."""
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
    names = [d.name for d in run.problem.space.dimensions if is_common(run, trials, d.name)]
    shares = importances(run, study, trials, names)
    random = np.random.default_rng(0)
    again = [
        importances(run, study, [trials[i] for i in random.integers(len(trials), size=len(trials))], names)
        for _ in range(RESAMPLES)
    ]
    found = []
    for name, share in sorted(shares.items(), key=lambda pair: (-pair[1], pair[0])):
        low, high = np.quantile([one.get(name, 0.0) for one in again], [0.05, 0.95])
        found.append(
            Effect(name, share, min(low, share), max(high, share), means_by_choice(run, trials, name))
        )
    return found


def good_share(trials: int) -> float:
    """Which share of so many trials are taken for the good ones."""
    return max(GOOD, FEWEST_GOOD / trials)


def judged_trials(run: Run, study: optuna.Study) -> list[FrozenTrial]:
    """Trials whose accuracy a search had; of a predictor's search only where a sampler proposed them."""
    import optuna

    from search.proposing.samplers import GUIDED

    if run.predictor is not None and run.config.sampler == GUIDED:
        return []
    return own(study, study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


def is_common(run: Run, trials: Sequence[FrozenTrial], name: str) -> bool:
    """Whether at least half of the trials have the block that a dimension is of, and made different choices for it."""
    chosen = [run.problem.space.arch(trial.params).values.get(name) for trial in trials]
    made = [choice for choice in chosen if choice is not None]
    return 2 * len(made) >= len(trials) and len(set(made)) > 1


def judged_value(run: Run, trial: FrozenTrial) -> float:
    return float(trial.values[run.problem.accuracy_index])


def importances(
    run: Run, study: optuna.Study, trials: Sequence[FrozenTrial], names: Sequence[str]
) -> dict[str, float]:
    """The share of each of the named dimensions."""
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copied = optuna.create_study(directions=study.directions)
        copied.add_trials([bare(trial) for trial in trials])
        evaluator = PedAnovaImportanceEvaluator(target_quantile=good_share(len(trials)))
        found = get_param_importances(
            copied,
            evaluator=evaluator,
            params=list(names),
            target=lambda trial: -judged_value(run, trial),
            normalize=False,
        )
    total = sum(found.values())
    return {name: share / total if total > 0 else 0.0 for name, share in found.items()}


def bare(trial: FrozenTrial) -> FrozenTrial:
    """What importance is computed from; attributes, as which images were right, would take long to copy."""
    import optuna

    return optuna.trial.create_trial(
        params=trial.params, distributions=trial.distributions, values=trial.values
    )


def means_by_choice(run: Run, trials: Sequence[FrozenTrial], name: str) -> dict[str, tuple[float, int]]:
    """Mean accuracy and number of trials of each choice that a trial made where it has the block that it is of."""
    seen = defaultdict[Choice, list[float]](list)
    for trial in trials:
        arch = run.problem.space.arch(trial.params)
        if name in arch.values:
            seen[arch.values[name]].append(judged_value(run, trial))
    return {str(choice): (float(np.mean(seen[choice])), len(seen[choice])) for choice in sorted(seen)}
