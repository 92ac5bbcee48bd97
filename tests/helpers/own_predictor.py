"""A predictor for any supernet: a small network whose weights are drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from search.predictors import files
from search.predictors.mlp import INPUTS, KIND, Mlp, from_tensors
from search.predictors.protocol import PredictorCard
from supernet.families.catalog import Supernet


def make_mlp(supernet: Supernet, seed: int = 0, domain: dict | None = None) -> Mlp:
    """Predictions from about 0.6 to 0.9; greater choices are better on the whole."""
    rng = np.random.default_rng(seed)
    inputs = [[d.name, list(d.choices)] for d in supernet.family.space.dimensions]
    steps = np.concatenate([np.arange(len(choices)) for _, choices in inputs])
    first = rng.normal(0, 0.3, (8, len(steps))) + 0.15 * steps
    tensors = {
        "0.weight": first, "0.bias": rng.normal(0, 0.1, 8),
        "1.weight": rng.uniform(0.0, 0.008, (1, 8)), "1.bias": np.array([0.55]),
    }  # fmt: skip
    card = PredictorCard(
        name="drawn", kind=KIND, supernet=supernet.name, fingerprint=supernet.fingerprint,
        split="no images", source="drawn", domain=domain or {}, settings={INPUTS: inputs},
    )  # fmt: skip
    return from_tensors(card, {name: values.astype(np.float32) for name, values in tensors.items()})


def write_mlp(supernet: Supernet, path: Path, seed: int = 0, domain: dict | None = None) -> Path:
    files.write_predictor(make_mlp(supernet, seed, domain), path)
    return path
