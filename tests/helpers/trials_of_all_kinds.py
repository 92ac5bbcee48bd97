"""A study with trials of every state."""

import math

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState


def all_kinds(study: optuna.Study) -> None:
    """Trials of every state, with parameters, values, attributes and steps of every kind."""
    kinds = {
        "letter": CategoricalDistribution((None, "a", 2, 0.5, True)),
        "count": IntDistribution(1, 9, step=2),
        "rate": FloatDistribution(1e-5, 1, log=True),
    }
    for value in (1.5, math.inf, -math.inf):
        trial = study.ask(kinds)
        for step, seen in enumerate((value, math.nan)):
            trial.set_user_attr(f"seen {step}", {"nested": [seen if math.isfinite(seen) else None, "\u00e9"]})
        trial.set_constraint("macs", -1.0)
        study.tell(trial, [value, 2.0])
    study.tell(study.ask(kinds), state=TrialState.PRUNED)
    study.tell(study.ask(), state=TrialState.FAIL)
    study.add_trial(
        optuna.trial.create_trial(
            state=TrialState.PRUNED, params={"count": 5}, distributions={"count": kinds["count"]},
            intermediate_values={0: 0.25, 1: math.inf, 7: -math.inf},
        )
    )  # fmt: skip
    study.ask(kinds)
    study.enqueue_trial({"count": 3}, user_attrs={"mine": 1})
