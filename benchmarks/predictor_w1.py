"""How well our ImageNet top-1 predictor, and others, predict subnets that they were not trained on.

python benchmarks/predictor_w1.py FOLDER [ACC_PREDICTOR]

FOLDER holds CSV files of measured subnets of ofa_mbv3_w1.0 at resolution 224 as Intel Labs
publishes them with DyNAS-T. Each file in turn is left out, and those of its subnets are predicted
that no other file has; then random fifths of all subnets are, with two seeds. ACC_PREDICTOR is
OFA's predictor for ofa_mbv3_w1.2, whose prediction one of the ways then takes as a feature.
About two minutes on one idle core.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import BayesianRidge
from sklearn.svm import SVR

from oncefit.predictors import read_state
from search.predictors import mlp, training
from search.predictors.features import step_encoding_of
from search.predictors.measured import Measured
from search.predictors.protocol import Prediction
from search.predictors.scores import IN_POINTS, Scores, score
from search.proposing import surrogate
from search.runs.measured_subnets import read_all
from supernet.arrays import Floats
from supernet.families.catalog import open_supernet

SUPERNET = open_supernet("ofa_mbv3_w1.0")
SEEDS = 2
CEILING = 0.8
"""For what has no ceiling of its own: between those that training finds."""
SPEED_ARCHS = 100_000

Way = Callable[[Measured, Measured], Prediction]


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    files = sorted(Path(sys.argv[1]).glob("*.csv"))
    rows = training.narrowed(read_all(files, SUPERNET))
    ways: dict[str, Way] = {
        "support vectors, one-hot": lambda a, b: learned(
            SVR(C=100, epsilon=0.02, gamma=0.005), one_hot, a, b
        ),
        "support vectors, steps": lambda a, b: learned(SVR(C=100, epsilon=0.02, gamma=0.005), steps, a, b),
        "the surrogate of guided": guided,
        "additive": lambda a, b: learned(BayesianRidge(), steps, a, b),
        "additive, size": lambda a, b: learned(BayesianRidge(), sized, a, b),
        "additive, curve": lambda a, b: learned(bent(), steps, a, b),
        "additive, size, curve": lambda a, b: learned(bent(), sized, a, b),
        "shipped: with pairs, all fitted": lambda a, b: training.predicted(SUPERNET, a, b),
    }
    if len(sys.argv) == 3:
        ofa = published(Path(sys.argv[2]))
        ways["additive, size, curve, OFA's"] = lambda a, b: learned(
            bent(), lambda x: np.column_stack([sized(x), ofa(x)]), a, b
        )
    groups = list(dict.fromkeys(rows.groups))
    print(f"{len(rows)} rows, {len(rows.merged())} subnets. RMSE in points, Kendall's tau, and the share of")
    print("measurements within the 90 % interval where there is one")
    print(f"{'':32}" + "".join(f"{g.split('_')[1] + ' left out':>22}" for g in groups) + f"{'5 folds':>22}")
    for name, way in ways.items():
        found = [*(left_out(way, rows, group) for group in groups), folds(way, rows)]
        print(f"{name:32}" + "".join(f"{told(s):>22}" for s in found), flush=True)
    print_speed(rows)


def left_out(way: Way, rows: Measured, group: str) -> list[Scores]:
    """Of the subnets of a file that no other has, by what was fitted to the others."""
    seen = rows[[i for i, other in enumerate(rows.groups) if other != group]].merged()
    unseen = rows.of(group).without(seen).merged()
    return [score(way(seen, unseen), unseen.top1)]


def folds(way: Way, rows: Measured) -> list[Scores]:
    """Of all subnets, each by what was fitted to the other four fifths; one for each seed."""
    merged, found = rows.merged(), []
    for seed in range(SEEDS):
        order = np.random.default_rng(seed).permutation(len(merged))
        parts = [(merged[np.delete(order, np.s_[i::5])], merged[order[i::5]]) for i in range(5)]
        made = [way(seen, unseen) for seen, unseen in parts]
        stds = [p.std for p in made if p.std is not None]
        together = Prediction(np.concatenate([p.top1 for p in made]), np.concatenate(stds) if stds else None)
        found.append(score(together, np.concatenate([unseen.top1 for _, unseen in parts])))
    return found


def told(scores: list[Scores]) -> str:
    rmse, tau = (np.mean([getattr(s, key) for s in scores]) for key in ("rmse_points", "kendall_tau"))
    covered = [s.coverage for s in scores if s.coverage is not None]
    return f"{rmse:.3f} {tau:.3f} " + (f"{100 * np.mean(covered):3.0f} %" if covered else "    -")


# -- ways --------------------------------------------------------------------------


def learned(
    model: object, features: Callable[[Measured], Floats], seen: Measured, unseen: Measured
) -> Prediction:
    """By a regression of scikit-learn on features; top-1 in points."""
    fitted = model.fit(features(seen), IN_POINTS * seen.top1)  # type: ignore[attr-defined]
    return Prediction(fitted.predict(features(unseen)) / IN_POINTS, None)


def bent() -> TransformedTargetRegressor:
    """Linear below a curve that flattens out towards the ceiling."""
    return TransformedTargetRegressor(
        BayesianRidge(), check_inverse=False,
        func=lambda y: -np.log(IN_POINTS * CEILING - y), inverse_func=lambda z: IN_POINTS * CEILING - np.exp(-z),
    )  # fmt: skip


def one_hot(rows: Measured) -> Floats:
    """1 for each choice that counts."""
    active = rows.space.active(rows.codes)
    columns = [
        active[:, i] & (rows.codes[:, i] == code)
        for i, d in enumerate(rows.space.dimensions)
        for code in range(len(d.choices))
    ]
    return np.array(columns, dtype=np.float64).T


def steps(rows: Measured) -> Floats:
    """1 for each choice that is reached."""
    everything = rows.space.sample(1000, np.random.default_rng(0))
    encoding = step_encoding_of(rows.space, everything)
    return encoding.columns(rows.codes)[: len(encoding.steps)].T.astype(np.float64)


def logs(rows: Measured) -> Floats:
    """Logarithms of multiply-adds and parameters."""
    sizes = training.sizes_of(SUPERNET, rows)
    return np.stack([size.columns(rows.codes)[0] + size.middle for size in sizes], axis=1)


def sized(rows: Measured) -> Floats:
    return np.column_stack([steps(rows), logs(rows)])


def guided(seen: Measured, unseen: Measured) -> Prediction:
    fitted = surrogate.fit_surrogate(sized(seen), seen.top1, n_costs=2)
    return Prediction(fitted.predict(sized(unseen))[0], None)


def published(path: Path) -> Callable[[Measured], Floats]:
    """What OFA's predictor for the wider supernet says of the same choices."""
    wider = open_supernet("ofa_mbv3_w1.2")
    made = mlp.import_published("ofa", read_state(path), wider.family.space, wider.fingerprint, "", "")
    return lambda rows: IN_POINTS * made.predict(rows.space, rows.codes).top1


def print_speed(rows: Measured) -> None:
    made = training.fit_saturating(SUPERNET, rows)
    codes = rows.space.sample(SPEED_ARCHS, np.random.default_rng(0))
    start = time.perf_counter()
    made.predict(rows.space, codes)
    print(f"shipped: {SPEED_ARCHS / (time.perf_counter() - start):,.0f} archs a second, with their deviation")


if __name__ == "__main__":
    main()
