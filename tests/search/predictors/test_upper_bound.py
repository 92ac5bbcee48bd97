"""What no arch is predicted above, against predicting every arch."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cost_models.protocol import CostModel, Target
from cost_models.registry import Cost, build
from search.cli.app import main
from search.predictors import files, training
from search.predictors import saturating_form as stages
from search.predictors import upper_bound as bounds
from search.predictors.form import Form
from search.predictors.measured import of_rows
from search.predictors.saturating import Saturating
from search.predictors.upper_bound import upper_bound
from search.problem.objectives import parse_objectives
from search.problem.problem import Problem
from supernet.archs.arch import Arch
from supernet.archs.space import Codes, SearchSpace
from supernet.families.catalog import Supernet, open_supernet
from tests.helpers.own_predictor import make_mlp, write_mlp

SHIPPED = "ofa_mbv3_w1.0"
ONLY = {"resolution": [18, 28], "depth": [1, 2], "kernel": [3, 5], "expand": [2, 4]}

PATIENCE = 600.0
"""Seconds for a proof: what is found must not depend on how busy the machine is."""


def every(space: SearchSpace) -> Codes:
    """All archs of a small space."""
    codes = np.array(list(itertools.product(*(range(n) for n in space.sizes))), dtype=np.int16)
    return np.unique(space.canonical(codes), axis=0)


@pytest.fixture(scope="module")
def small(supernet: Supernet) -> tuple[Supernet, Codes]:
    """A part of the embedded supernet, of 16,000 archs: no stage has a third block."""
    unused = {
        d.name: d.choices[:1] for d in supernet.space.dimensions if d.name[-2:] in (".3", ".4") and d.needs
    }
    part = supernet.restricted({**ONLY, **unused})
    return part, every(part.space)


@pytest.fixture(scope="module")
def trained(supernet: Supernet) -> Saturating:
    rng = np.random.default_rng(1)
    archs = supernet.space.decode(supernet.space.sample(150, rng))

    def law(arch: Arch) -> float:
        quality = sum(float(v) * (0.1 + 0.05 * len(name) % 0.07) for name, v in arch.values.items()) / 5
        return 0.93 - 0.4 * float(np.exp(-quality)) + 0.002 * float(rng.standard_normal())

    return training.fit_saturating(supernet, of_rows([(a, law(a)) for a in archs], supernet.space, "one"))


def drawn(predictor: Saturating, seed: int, pairs: float, sizes: float) -> Saturating:
    """The same with weights of both signs; how large those of pairs and of sizes are is given."""
    rng = np.random.default_rng(seed)
    weights = predictor.weights.copy()
    singles = 1 + len(predictor.encoding.steps) + len(predictor.encoding.sums)
    end = singles + 2 * len(predictor.sizes)
    weights[0, :singles] = rng.normal(0, 0.1, singles)
    weights[0, singles:end] = rng.normal(0, sizes, end - singles) if sizes else 0
    weights[0, end:] = rng.normal(0, pairs, weights.shape[1] - end) if pairs else 0
    return replace(predictor, weights=weights)


def problem_of(supernet: Supernet, codes: Codes, **shares: float) -> Problem:
    """Budgets that these shares of the archs keep."""
    costs = {name: build(name, Target(supernet)) for name in shares}
    budgets = {name: float(np.quantile(costs[name].batch(codes), share)) for name, share in shares.items()}
    return Problem(supernet.space, parse_objectives(["top1"]), costs, budgets)


BUDGETS = [
    {"macs": 0.05},
    {"macs": 0.4},
    {"macs": 0.5, "params": 0.3},
    {"macs": 0.6, "peak_memory_bytes": 0.5},
    {},
]


@pytest.mark.parametrize("shares", BUDGETS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_of_an_additive_predictor_it_is_the_best_there_is(
    small: tuple[Supernet, Codes], trained: Saturating, shares: dict[str, float], seed: int
) -> None:
    part, codes = small
    predictor = drawn(trained, seed, pairs=0, sizes=0)
    problem = problem_of(part, codes, **shares)
    best = predictor.predict(part.space, codes[problem.within(codes)]).top1.max()
    found = upper_bound(problem, predictor, codes[:0], seconds=PATIENCE)
    assert found is not None
    assert best <= found <= best + 1e-5


@pytest.mark.parametrize("shares", BUDGETS, ids=str)
@pytest.mark.parametrize(
    ("seed", "pairs", "sizes"), [(0, 0.02, 0.2), (1, 0.05, 0.3), (2, 0.0, 0.5), (3, 0.1, 0.0)]
)
def test_no_arch_is_predicted_above_it(
    small: tuple[Supernet, Codes],
    trained: Saturating,
    shares: dict[str, float],
    seed: int,
    pairs: float,
    sizes: float,
) -> None:
    part, codes = small
    predictor = drawn(trained, seed, pairs, sizes)
    problem = problem_of(part, codes, **shares)
    inside = codes[problem.within(codes)]
    top1 = predictor.predict(part.space, inside).top1
    for known in (codes[:0], inside[[top1.argmax()]], inside[:1]):
        found = upper_bound(problem, predictor, known, seconds=PATIENCE)
        assert found is not None
        assert top1.max() <= found
        assert found - top1.max() < 0.1 * np.ptp(top1) + 1e-5
    at_once = upper_bound(problem, predictor, inside[:1], seconds=0.0)
    assert at_once is not None
    assert top1.max() <= at_once


@pytest.mark.parametrize("only", [{}, {"depth": [2]}, {"kernel": [3, 5], "resolution": [23]}], ids=str)
def test_the_form_is_the_prediction(
    supernet: Supernet, trained: Saturating, only: dict[str, list[int]]
) -> None:
    space = supernet.space.restricted(only)
    codes = space.sample(300, np.random.default_rng(0))
    form = trained.form(space)
    assert isinstance(form, Form)
    expected = trained.predict(space, codes).top1
    assert form.top1(form.latent(codes)) == pytest.approx(expected, abs=1e-6)
    assert form.tighter is not None
    shares = np.full(300, 1 / 300)
    other = form.tighter({f.columns: (codes, shares) for f in form.factors})
    assert other.top1(other.latent(codes)) == pytest.approx(expected, abs=1e-6)


def test_a_stage_of_too_many_combinations_has_no_form(
    supernet: Supernet, trained: Saturating, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "MOST_ENTRIES", 100)
    assert trained.form(supernet.space) is None


def test_other_predictors_and_black_boxes(small: tuple[Supernet, Codes], trained: Saturating) -> None:
    part, codes = small
    problem = problem_of(part, codes, macs=0.3)
    assert upper_bound(problem, make_mlp(open_supernet("fmnist_mbv3")), codes[:0]) is None
    found = upper_bound(problem, trained, codes[:0], seconds=PATIENCE)
    macs = problem.costs["macs"]

    class Opaque:
        name = "opaque_ms"

        def __call__(self, arch: Arch) -> float:
            return macs(arch)

    model: CostModel = Opaque()
    opaque = Problem(
        problem.space,
        problem.objectives,
        {"opaque_ms": Cost(model, part.space)},
        {"opaque_ms": problem.budgets["macs"]},
    )
    without = upper_bound(replace(problem, budgets={}), trained, codes[:0], seconds=PATIENCE)
    assert upper_bound(opaque, trained, codes[:0], seconds=PATIENCE) == without
    assert found is not None
    assert without is not None
    assert found < without


@pytest.mark.parametrize("macs", [200e6, 300e6])
def test_the_one_that_ships_is_bounded_closely(macs: float) -> None:
    whole = open_supernet(SHIPPED)
    part = whole.restricted({"resolution": [224]})
    predictor = files.open_predictor(SHIPPED, whole)
    cost = build("macs", Target(part))
    problem = Problem(part.space, parse_objectives(["top1"]), {"macs": cost}, {"macs": macs})
    sample = part.space.sample(20_000, np.random.default_rng(0))
    inside = sample[problem.within(sample)]
    top1 = predictor.predict(part.space, inside).top1
    found = upper_bound(problem, predictor, inside[[top1.argmax()]], seconds=PATIENCE)
    assert found is not None
    assert top1.max() <= found < top1.max() + 0.01


def search(folder: Path, capsys: pytest.CaptureFixture[str], **keys: object) -> tuple[dict, str]:
    """The result of a search and what it printed."""
    settings = {
        "supernet": SHIPPED, "space": {"resolution": [224]}, "accuracy": "predicted", "predictor": SHIPPED,
        "budgets": {"macs": 250e6}, "trials": 3,
    } | keys  # fmt: skip
    (folder / "mine.yaml").write_text(json.dumps(settings))
    with pytest.raises(SystemExit) as end:
        main(["search", str(folder / "mine.yaml"), "--out", str(folder / "run")])
    assert not end.value.code
    out = " ".join(capsys.readouterr().out.split())
    return json.loads((folder / "run" / "result.json").read_text()), out


def test_a_search_shows_it_and_proves_it_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result, out = search(tmp_path, capsys)
    found, top1 = result["upper_bound_top1"], result["chosen"]["predicted"]["top1"]
    assert top1 <= found < top1 + 0.002
    assert result["upper_bound_gap_points"] == pytest.approx(100 * (found - top1))
    assert f"No subnet within the budget is predicted above {100 * found + 0.005:.2f} % (gap " in out
    assert "proven by integer programming." in out
    monkeypatch.setattr(bounds, "upper_bound", None)
    again, _ = search(tmp_path, capsys)
    assert again == result


def test_where_the_form_allows_none_it_is_said_so_without_a_solver(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mlp(open_supernet("fmnist_mbv3"), tmp_path / "drawn.safetensors")
    keys = {
        "supernet": "fmnist_mbv3",
        "space": {},
        "predictor": str(tmp_path / "drawn.safetensors"),
        "budgets": {"macs": 2e6},
    }
    result, out = search(tmp_path, capsys, **keys)
    assert "No upper bound: the form of the predictor drawn does not allow one." in out
    assert not [key for key in result if key.startswith("upper_bound")]
    code = (
        "import sys\nfrom search.cli.app import main\ntry:\n"
        f"    main(['search', {str(tmp_path / 'mine.yaml')!r}, '--out', {str(tmp_path / 'other')!r}])\n"
        "except SystemExit as end:\n    print(end.code, 'scipy.optimize' in sys.modules, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "0 False False"


def test_of_a_front_there_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result, out = search(tmp_path, capsys, objectives=["top1", "macs"])
    assert "upper_bound_top1" not in result
    assert "pper bound" not in out
