"""How well the surrogate of `guided`, and others, rank ImageNet subnets that they have not seen.

python benchmarks/surrogate_ranking.py FOLDER

FOLDER holds CSV files of measured subnets of ofa_mbv3_d234_e346_k357_w1.0 as Intel Labs
publishes them with DyNAS-T: columns Sub-network, MACs and Top-1 Acc (%). Prints the median
rank correlation (Spearman) over seeds, with the accuracies as they are and with noise added.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from search.proposing import surrogate
from supernet.archs.space import Codes
from supernet.arrays import Floats
from supernet.networks.inverted_residuals import MobileNetV3Spec, Stage, space

SEEDS, MEASURED, NOISES = 12, (30, 60, 120), (0.0, 0.3)
WIDTHS, STRIDES = (24, 40, 80, 112, 160), (2, 2, 2, 1, 2)
SPACE = space(
    MobileNetV3Spec(
        "ofa_mbv3_w1.0", classes=1000, in_channels=3, resolutions=(224,), stem_width=16, stem_stride=2,
        first_width=16, first_stride=1, head_width=960,
        stages=tuple(
            Stage(width, stride, "h_swish", True, (2, 3, 4), (3, 5, 7), (3, 4, 6))
            for width, stride in zip(WIDTHS, STRIDES, strict=True)
        ),
    )
)  # fmt: skip


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    codes, macs, top1 = read(Path(sys.argv[1]))
    thermometer = surrogate.features_of_archs(SPACE, codes, macs[:, None])
    ways: dict[str, Callable[[list[int], list[int], Floats], Floats]] = {
        "RBF on thermometer codes": lambda a, b, y: process(thermometer, a, b, y),
        "RBF on one-hot codes": lambda a, b, y: process(one_hot(codes, macs), a, b, y),
        "linear": lambda a, b, y: learned(BayesianRidge(), thermometer, a, b, y),
        "random forest": lambda a, b, y: learned(RandomForestRegressor(random_state=0), thermometer, a, b, y),
        "support vectors": lambda a, b, y: learned(SVR(C=10), thermometer, a, b, y),
        "multiply-adds alone": lambda a, b, y: macs[b],
    }
    print(f"{len(codes)} subnets, {SEEDS} seeds, trained on {MEASURED}")
    for noise in NOISES:
        print(f"with noise of {noise} points")
        for name, predict in ways.items():
            ranks = [median_rank(predict, top1, measured, noise) for measured in MEASURED]
            print(f"  {name:26}" + "".join(f"  {rank:.3f}" for rank in ranks))


def read(folder: Path) -> tuple[Codes, Floats, Floats]:
    """Codes of the distinct archs, their multiply-adds and their mean top-1 in percent."""
    rows = pd.concat([pd.read_csv(path) for path in sorted(folder.glob("*.csv"))])
    archs = []
    for text in rows["Sub-network"]:
        found = ast.literal_eval(text)
        values = {"resolution": 224}
        for stage, depth in enumerate(found["d"], 1):
            values[f"depth.{stage}"] = depth
            for block in range(1, depth + 1):
                place = 4 * (stage - 1) + block - 1
                values[f"kernel.{stage}.{block}"] = found["ks"][place]
                values[f"expand.{stage}.{block}"] = found["e"][place]
        archs.append(SPACE.arch(values))
    means = rows.assign(arch=archs).groupby("arch", sort=False)[["MACs", "Top-1 Acc (%)"]].mean()
    macs, top1 = means.to_numpy(dtype=np.float64).T
    return SPACE.encode(means.index), macs, top1


def one_hot(codes: Codes, macs: Floats) -> Floats:
    active = SPACE.active(codes)
    columns = [
        active[:, i] & (codes[:, i] == c)
        for i, d in enumerate(SPACE.dimensions)
        for c in range(len(d.choices))
    ]
    return np.column_stack([*columns, np.log(macs)]).astype(np.float64)


def process(rows: Floats, seen: list[int], unseen: list[int], top1: Floats) -> Floats:
    return surrogate.fit_surrogate(rows[seen], top1, n_costs=1).predict(rows[unseen])[0]


def learned(model: object, rows: Floats, seen: list[int], unseen: list[int], top1: Floats) -> Floats:
    return make_pipeline(StandardScaler(), model).fit(rows[seen], top1).predict(rows[unseen])


def median_rank(predict: Callable[..., Floats], top1: Floats, measured: int, noise: float) -> float:
    """Median over seeds of the rank correlation on all subnets but the ``measured`` ones."""
    ranks = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(top1))
        seen, unseen = order[:measured], order[measured:]
        noisy = top1[seen] + noise * rng.standard_normal(measured)
        ranks.append(spearmanr(predict(seen, unseen, noisy), top1[unseen]).statistic)
    return float(np.median(ranks))


if __name__ == "__main__":
    main()
