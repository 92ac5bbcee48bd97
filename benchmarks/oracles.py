"""What the benchmarks search without measuring anything: published predictors with exact costs.

The published data lie in a folder beside the checkout, or where ``ONCEFIT_REFERENCE`` or a
benchmark's ``--reference`` says; nothing is written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_models.devices import import_device
from cost_models.protocol import Target
from cost_models.registry import Cost, build
from oncefit.predictors import file_sha256, read_state
from search.predictors import files, mlp
from search.predictors.protocol import Predictor
from search.predictors.slopes import slope_of
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from search.proposing.acquisition import front
from search.proposing.annealing import Slope
from supernet.archs.space import Codes, SearchSpace
from supernet.arrays import Floats
from supernet.families.catalog import Supernet, open_supernet

REFERENCE = Path(os.environ.get("ONCEFIT_REFERENCE", Path(__file__).parents[2] / "shared" / "ofa-reference"))
MILLION = 1e6
TINY = 1e-30
"""Products of two such numbers are subnormal, or 0, in float32."""

Weights = npt.NDArray[Any]


@dataclass(frozen=True)
class Box:
    """What a front's hypervolume is a share of: costs from ``cheapest`` to ``dearest``, top-1 from ``floor`` to ``ceiling``.

    The dearest and the floor are the reference point: about the cost of the largest subnet and the top-1 of the
    smallest. The ceiling is a little above the best that is known. All four are constants, so that runs compare.
    """

    cheapest: float
    dearest: float
    floor: float
    ceiling: float


@dataclass(frozen=True)
class Oracle:
    """A space, restricted to what its predictor was trained on, with predicted top-1 and one cost.

    ``predictor_file`` and ``tables`` are the published files that ``ofa``'s own classes read; None
    where the predictor is ours, and the cost is multiply-adds.
    """

    name: str
    supernet: Supernet
    predictor: Predictor
    cost: Cost
    budgets: tuple[float, ...]
    box: Box
    predictor_file: Path | None
    tables: Path | None

    @property
    def space(self) -> SearchSpace:
        return self.supernet.space

    def predict(self, codes: Codes) -> Floats:
        """Predicted top-1 as fractions, shape (n,)."""
        return self.predictor.predict(self.space, codes).top1

    @property
    def slope(self) -> Slope | None:
        """The predictor's slopes, where it knows them."""
        return slope_of(self.predictor, self.space)

    def within(self, budget: float) -> Problem:
        """Most accurate within a budget."""
        return self.problem(("top1",), budget)

    def both(self) -> Problem:
        """The front of accuracy and cost, without a budget."""
        return self.problem(("top1", self.cost.name))

    def problem(self, objectives: Sequence[str], budget: float | None = None) -> Problem:
        budgets = {} if budget is None else {self.cost.name: budget}
        return Problem(self.space, parse_objectives(objectives), {self.cost.name: self.cost}, budgets)

    def hypervolume(self, codes: Codes) -> float:
        """Share of the box that archs dominate, in 0..1."""
        return hypervolume(self.predict(codes), self.cost.batch(codes), self.box)


def hypervolume(top1: Floats, cost: Floats, box: Box) -> float:
    """Share of the box that archs of these top-1 and costs (n,) dominate, in 0..1."""
    import moocore

    if not len(top1):
        return 0.0
    kept = front(top1, cost[:, None])
    signed = np.column_stack([cost[kept], -top1[kept]])
    area = float(moocore.hypervolume(signed, ref=[box.dearest, -box.floor]))
    return area / ((box.dearest - box.cheapest) * (box.ceiling - box.floor))


# -- the four ----------------------------------------------------------------------

MBV3_MACS = (200 * MILLION, 300 * MILLION, 400 * MILLION, 600 * MILLION)
W1_MACS = (200 * MILLION, 300 * MILLION, 400 * MILLION, 500 * MILLION)
"""The largest subnet of w1.0 at resolution 224 has 566 M."""
RESNET_MACS = (1000 * MILLION, 2000 * MILLION, 3000 * MILLION, 4000 * MILLION)
"""Its subnets have 315 M to 7,492 M."""


def note10(reference: Path) -> Oracle:
    """OFA's predictor for w1.2 with the latency tables of a Samsung Note10."""
    file, tables = need(reference / "acc_predictor.pth"), need(reference / "note10")
    supernet, predictor = published("ofa_mbv3_w1.2", file)
    cost = build("latency_ms", Target(supernet, import_device("note10", tables, supernet, "note10")))
    box = Box(9.8, 92.4, 0.753, 0.852)
    return Oracle("note10", supernet, predictor, cost, (18.0, 20.0, 25.0, 30.0), box, file, tables)


def w12_macs(reference: Path) -> Oracle:
    """OFA's predictor for w1.2 with multiply-adds."""
    file = need(reference / "acc_predictor.pth")
    supernet, predictor = published("ofa_mbv3_w1.2", file)
    box = Box(100 * MILLION, 843 * MILLION, 0.753, 0.852)
    return Oracle("w1.2-macs", supernet, predictor, macs(supernet), MBV3_MACS, box, file, None)


def w10_macs(reference: Path) -> Oracle:
    """The predictor for w1.0 that ships, at the one resolution that it was trained on, with multiply-adds."""
    supernet = open_supernet("ofa_mbv3_w1.0")
    predictor = files.open_predictor(supernet.name, supernet)
    supernet = supernet.restricted(predictor.card.domain)
    box = Box(121 * MILLION, 566 * MILLION, 0.706, 0.777)
    return Oracle("w1.0-macs", supernet, predictor, macs(supernet), W1_MACS, box, None, None)


def resnet50_macs(reference: Path) -> Oracle:
    """OFA's predictor for ResNet50 with multiply-adds."""
    file = need(reference / "ofa_resnet50_acc_predictor.pth")
    supernet, predictor = published("ofa_resnet50", file)
    box = Box(315 * MILLION, 7491 * MILLION, 0.747, 0.831)
    return Oracle("resnet50-macs", supernet, predictor, macs(supernet), RESNET_MACS, box, file, None)


ORACLES: dict[str, Callable[[Path], Oracle]] = {
    "note10": note10, "w1.2-macs": w12_macs, "w1.0-macs": w10_macs, "resnet50-macs": resnet50_macs,
}  # fmt: skip
WORDS = {name: (make.__doc__ or "").strip() for name, make in ORACLES.items()}


def open_oracle(name: str, reference: Path = REFERENCE) -> Oracle:
    """An oracle by name. Ends the process with a sentence where the published data are absent."""
    return ORACLES[name](reference)


def published(supernet_name: str, file: Path) -> tuple[Supernet, Predictor]:
    """A supernet, restricted to what one of OFA's predictors was trained on, and that predictor."""
    whole = open_supernet(supernet_name)
    predictor = mlp.import_published(
        whole.name,
        normal(read_state(file)),
        whole.family.space,
        whole.fingerprint,
        None,
        file.name,
        file_sha256(file),
    )
    return whole.restricted(predictor.card.domain), predictor


def normal(state: Mapping[str, Weights]) -> dict[str, Weights]:
    """The same numbers with 0 for those so near 0 that they are subnormal.

    These are 9 in 10 of the weights of OFA's predictor for ResNet50, and processors multiply them so slowly
    that whoever predicts with it takes 50 times as long. Predictions stay as they are.
    """
    return {
        name: np.where(np.abs(values) < TINY, 0, values).astype(values.dtype)
        for name, values in state.items()
    }


def macs(supernet: Supernet) -> Cost:
    return build("macs", Target(supernet))


def need(path: Path) -> Path:
    if not path.exists():
        sys.exit(
            f"{path} is not there; give the folder of OFA's published data with --reference FOLDER or ONCEFIT_REFERENCE"
        )
    return path
