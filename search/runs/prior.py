"""Which predictor a measured search begins with where its config names none: one that is known and fits."""

from __future__ import annotations

from search.predictors import files
from search.problem.objectives import parse_objectives
from search.proposing.samplers import GUIDED
from search.runs.config import MEASURED, NO_PREDICTOR, RunConfig
from supernet.families.catalog import Supernet


def may_have_prior(config: RunConfig) -> bool:
    """Whether a search of this config would begin with a predictor, and leaves it open with which."""
    accuracy = next(o for o in parse_objectives(config.objectives) if o.is_accuracy)
    open_to_one = config.predictor is None and config.accuracy == MEASURED
    return open_to_one and config.sampler == GUIDED and accuracy.name == "top1"


def with_prior(config: RunConfig, begun: RunConfig | None, supernet: Supernet) -> RunConfig:
    """The config with the prior that it leaves open, by name or as none; ``begun`` is that of the run that is resumed.

    A run goes on with what it began with, whatever predictors came since.
    """
    if not may_have_prior(config):
        return config
    name = begun.predictor if begun is not None else files.fitting(supernet)
    return config.model_copy(update={"predictor": name or NO_PREDICTOR})


def begins_with(name: str, supernet: Supernet) -> str:
    """What is said of a prior that nobody asked for."""
    return (
        f"the predictor {name} fits {supernet.name} and tells where to begin; what counts is measured "
        f"(predictor: {NO_PREDICTOR} begins without it)"
    )
