"""Searches whose accuracy is predicted, and those that measure the best of what was predicted."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

from search.predictors import files
from search.predictors.protocol import HeldOut
from search.proposing.samplers import SAMPLERS
from search.runs.opening import open_run
from search.runs.results import settled
from supernet.accuracy import Accuracy
from supernet.families.catalog import open_supernet
from supernet.images.data import Dataset, load_dataset
from tests.helpers.commands import Here
from tests.helpers.imports import loaded_after
from tests.helpers.own_data import write_folders
from tests.helpers.own_predictor import make_mlp, write_mlp
from tests.helpers.paths import REFERENCE
from tests.helpers.plain_evaluation import plain_accuracy
from tests.helpers.struck import struck
from tests.search.predictors.test_mlp import check_published_files

MACS = 2.0e6
SUPERNET = open_supernet("fmnist_mbv3")


@pytest.fixture(scope="module")
def own_data(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(data, tmp_path_factory.mktemp("own"))


@pytest.fixture
def config(own_data: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes a search of the embedded supernet with a drawn predictor beside it; keys may be changed."""
    write_mlp(SUPERNET, tmp_path / "drawn.safetensors")

    def write(**keys: object) -> Path:
        settings = {
            "supernet": "fmnist_mbv3", "data": str(own_data), "accuracy": "predicted",
            "predictor": "drawn.safetensors", "budgets": {"macs": MACS}, "trials": 6,
        } | keys  # fmt: skip
        path = tmp_path / "mine.yaml"
        path.write_text(json.dumps({key: value for key, value in settings.items() if value is not None}))
        return path

    return write


def saved(database: Path) -> list[tuple[str, str]]:
    """What a study's attributes say of accuracies measured after their trials, read with plain SQL."""
    query = "select key, value_json from study_user_attributes where key like 'validation:%'"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return sorted(connection.execute(query).fetchall())


def test_a_predicted_search_finds_what_no_arch_within_budget_beats(
    config: Callable[..., Path], here: Here
) -> None:
    result = json.loads(here("search", config(), "--out", "run", "--json")[0])
    chosen = result["chosen"]
    assert chosen["predicted"]["macs"] <= MACS
    space = SUPERNET.space
    codes = space.encode([space.from_dict(chosen["arch"])])
    mlp = make_mlp(SUPERNET)
    assert chosen["predicted"]["top1"] == pytest.approx(mlp.predict(space, codes).top1[0], abs=1e-6)
    sample = space.sample(20_000, np.random.default_rng(0))
    run = open_run(Path("run"))
    inside = sample[run.problem.within(sample)]
    assert chosen["predicted"]["top1"] >= mlp.predict(space, inside).top1.max() - 1e-6
    assert result["predicted_candidates"] == 6
    assert result["predictions"] > 1000
    assert "proposals" not in result


def test_a_predicted_result_holds_no_measured_figure(config: Callable[..., Path], here: Here) -> None:
    out, _ = here("search", config(objectives=["top1", "macs"]), "--out", "run")
    assert "top-1 (%)" in out
    assert "No accuracy is measured" in out
    assert "predicted by drawn" in out.replace("\n", " ")
    result = json.loads(Path("run/result.json").read_text())
    assert result["accuracy"] == "predicted"
    assert result["predictor"] == "drawn"
    assert all(member["measured"] == {} for member in result["front"])
    columns = set(pd.read_csv("run/front.csv").columns)
    assert {"predicted_top1", "predicted_macs"} <= columns
    assert not {name for name in columns if name.startswith(("validation", "report"))}
    points = [(m["predicted"]["top1"], m["predicted"]["macs"]) for m in result["front"]]
    assert points == sorted(points)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "guided"])
def test_every_sampler_may_be_given_a_predictor(
    sampler: str, config: Callable[..., Path], here: Here
) -> None:
    result = json.loads(here("search", config(sampler=sampler), "--out", "run", "--json")[0])
    assert result["predicted_candidates"] == 6
    mlp, space = make_mlp(SUPERNET), SUPERNET.space
    for candidate in settled(open_run(Path("run")), open_run(Path("run")).study()):
        assert candidate.validation is None
        assert candidate.predicted is not None
        expected = mlp.predict(space, space.encode([candidate.arch])).top1[0]
        assert candidate.predicted.top1 == pytest.approx(expected, abs=1e-6)
        assert candidate.costs["macs"] <= MACS


def test_the_same_command_goes_on_and_more_trials_add_to_it(config: Callable[..., Path], here: Here) -> None:
    first = json.loads(here("search", config(), "--out", "run", "--json")[0])
    again = json.loads(here("search", config(), "--out", "run", "--json")[0])
    assert again == first
    more = json.loads(here("search", config(), "--out", "run", "--trials", "9", "--json")[0])
    assert more["predicted_candidates"] == 9
    assert more["chosen"]["arch_id"] == first["chosen"]["arch_id"]


def test_a_study_is_of_one_predictor(config: Callable[..., Path], here: Here, tmp_path: Path) -> None:
    here("search", config(), "--out", "run")
    write_mlp(SUPERNET, tmp_path / "drawn.safetensors", seed=1)
    _, said = here("search", config(), "--out", "run", "--trials", "7", code=2)
    assert re.search(r"is of the predictor drawn, \w{16} \(here: drawn, \w{16}\)", said)


def test_a_predicted_search_imports_no_torch(config: Callable[..., Path], tmp_path: Path) -> None:
    arguments = ["search", str(config()), "--out", str(tmp_path / "run")]
    loaded = loaded_after(
        f"from search.cli.app import main\ntry:\n    main({arguments!r})\nexcept SystemExit as end:\n    assert not end.code"
    )
    assert "optuna" in loaded
    assert not loaded & {"torch", "torchvision", "ofa", "sklearn"}


def test_predicted_then_measured_shows_both_with_their_rank_correlation(
    config: Callable[..., Path], own_data: Path, here: Here
) -> None:
    given = config(accuracy="predicted-then-measured", measure=6, trials=8)
    result = json.loads(here("search", given, "--out", "run", "--json")[0])
    run = open_run(Path("run"))
    candidates = settled(run, run.study())
    assert result["measured_candidates"] == len(candidates) == 6
    images = load_dataset(str(own_data), SUPERNET)
    net = SUPERNET.load()
    for candidate in candidates:
        found, subnet = candidate.validation, net.extract(candidate.arch)
        plain = plain_accuracy(subnet, candidate.arch.resolution, images.calibration, images.validation)
        assert (found.top1, found.top5) == pytest.approx(plain)
    pairs = np.array([(c.predicted.top1, c.validation.top1) for c in candidates])
    assert np.ptp(pairs, axis=0).all()
    told = result["rank_correlation"]
    assert told["spearman"] == pytest.approx(spearmanr(*pairs.T).statistic)
    assert told["kendall"] == pytest.approx(kendalltau(*pairs.T).statistic)
    assert result["chosen"]["measured"]["validation"]["top1"] == pairs[:, 1].max()
    arch = SUPERNET.space.from_dict(result["chosen"]["arch"])
    report = Accuracy(**result["chosen"]["measured"]["report"])
    plain = plain_accuracy(net.extract(arch), arch.resolution, images.calibration, images.report)
    assert (report.top1, report.top5) == pytest.approx(plain)
    assert "top1" in result["chosen"]["predicted"]


def test_measured_are_the_best_by_prediction_and_each_once(
    config: Callable[..., Path], here: Here, tmp_path: Path
) -> None:
    given = config(accuracy="predicted-then-measured", measure=2, trials=6)
    here("search", given, "--out", "run")
    run = open_run(Path("run"))
    everything = sorted((t.values[0] for t in run.study().get_trials()), reverse=True)
    assert sorted((c.predicted.top1 for c in settled(run, run.study())), reverse=True) == everything[:2]
    database = tmp_path / "run" / "study.db"
    before = saved(database)
    assert len(before) == 2
    here("search", config(accuracy="predicted-then-measured", measure=3, trials=6), "--out", "run")
    assert len(saved(database)) == 3
    assert set(before) < set(saved(database))


def test_a_space_is_restricted_and_stays_so(config: Callable[..., Path], here: Here) -> None:
    result = json.loads(
        here("search", config(space={"resolution": [23], "kernel": [3, 5]}), "--out", "run", "--json")[0]
    )
    for member in result["front"]:
        choices = member["arch"]["choices"]
        assert choices["resolution"] == 23
        assert {value for name, value in choices.items() if name.startswith("kernel")} <= {3, 5}
    _, said = here("search", config(space={"resolution": [28]}), "--out", "run", code=2)
    assert "space was" in said


def test_a_predictor_outside_its_domain_is_warned_of(
    config: Callable[..., Path], here: Here, tmp_path: Path
) -> None:
    write_mlp(SUPERNET, tmp_path / "drawn.safetensors", domain={"resolution": (28,)})
    _, said = here("search", config(), "--out", "run")
    assert "warning: the predictor drawn was trained on resolution 28 only and is asked about 18, 23" in said
    assert "space: {resolution: [28]}" in said
    assert (
        "trained on resolution 28 only" in json.loads(Path("run/result.json").read_text())["outside_domain"]
    )
    _, said = here("search", config(space={"resolution": [28]}), "--out", "other")
    assert "warning" not in said
    assert "outside_domain" not in json.loads(Path("other/result.json").read_text())


def test_a_measured_search_starts_from_a_predictor(config: Callable[..., Path], here: Here) -> None:
    """Every other of the first candidates is one that the predictor puts first; all accuracies are measured."""
    here("search", config(accuracy="measured"), "--out", "run")
    study = open_run(Path("run")).study()
    first, *_ = study.get_trials()[1:]  # before it comes the witness of the budget
    predict = make_mlp(SUPERNET).predict
    space = SUPERNET.space
    some = space.sample(4000, np.random.default_rng(0))
    macs = open_run(Path("run")).problem.costs["macs"].batch(some)
    proposals = [space.arch(trial.params) for trial in study.get_trials()]
    best = float(np.max(predict(space, space.encode(proposals)).top1))
    assert best > np.quantile(predict(space, some[macs <= MACS]).top1, 0.999)
    assert "validation" in first.user_attrs
    found = json.loads(Path("run/result.json").read_text())
    assert found["accuracy"] == "measured"
    assert "predictor" not in found
    assert "top1" not in found["chosen"]["predicted"]
    assert "prior" in study.user_attrs["of"]
    here("search", config(accuracy="measured", trials=7), "--out", "run")
    _, said = here("search", config(accuracy="measured", predictor="none", trials=7), "--out", "run", code=2)
    assert "prior" in said


BY_ITSELF = "fits fmnist_mbv3 and tells where to begin"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of one's own predictors, which holds one for the embedded supernet, called ``mine``."""
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "predictors"
    write_mlp(SUPERNET, folder / "mine.safetensors")
    return folder


def archs_of(folder: str) -> list[dict]:
    """What the trials of a run tried, in order."""
    return [trial.params for trial in open_run(Path(folder)).study().get_trials()]


def test_a_measured_search_begins_by_itself_with_a_predictor_that_fits(
    config: Callable[..., Path], here: Here, kept: Path
) -> None:
    """It is the search that names the predictor, and not the one that wants none."""
    _, said = here("search", config(accuracy="measured", predictor=None), "--out", "run")
    assert said.count(BY_ITSELF) == 1
    assert "the predictor mine fits" in said
    assert "predictor: mine" in Path("run/config.yaml").read_text()
    assert json.loads(Path("run/result.json").read_text())["accuracy"] == "measured"
    _, said = here("search", config(accuracy="measured", predictor="mine"), "--out", "named")
    assert BY_ITSELF not in said
    assert archs_of("run") == archs_of("named")
    _, said = here("search", config(accuracy="measured", predictor="none"), "--out", "without")
    assert BY_ITSELF not in said
    assert archs_of("without") != archs_of("run")
    assert open_run(Path("without")).prior is None


def test_a_run_goes_on_with_what_it_began_with(config: Callable[..., Path], here: Here, kept: Path) -> None:
    """Whatever became of the predictors since."""
    asked = {"accuracy": "measured", "predictor": None}
    here("search", config(**asked, trials=9), "--out", "whole")
    here("search", config(**asked, trials=4), "--out", "run")
    write_mlp(SUPERNET, kept / "mine.safetensors", seed=3)
    _, said = here("search", config(**asked, trials=9), "--out", "run")
    assert BY_ITSELF in said
    assert archs_of("run") == archs_of("whole")
    (kept / "mine.safetensors").unlink()
    here("search", config(**asked, trials=4), "--out", "without")
    write_mlp(SUPERNET, kept / "mine.safetensors")
    _, said = here("search", config(**asked, trials=5), "--out", "without")
    assert BY_ITSELF not in said
    assert open_run(Path("without")).prior is None


KNOWN = {"resolution": [18, 23]}


@pytest.mark.parametrize(
    "keys",
    [
        {"sampler": "random", "space": KNOWN},
        {"objectives": ["top5"], "space": KNOWN},
        {"space": {"resolution": [28]}},
    ],
)
def test_no_predictor_is_taken_where_it_does_not_serve(
    keys: dict, config: Callable[..., Path], here: Here, kept: Path
) -> None:
    """Another sampler, another accuracy, another space than it was trained on."""
    write_mlp(SUPERNET, kept / "mine.safetensors", domain={"resolution": (18, 23)})
    assert files.fitting(SUPERNET.restricted(KNOWN)) == "mine"
    _, said = here("search", config(accuracy="measured", predictor=None, trials=2, **keys), "--out", "run")
    assert BY_ITSELF not in said
    assert open_run(Path("run")).prior is None


def test_of_several_that_fit_the_one_with_the_least_held_out_error_is_taken(kept: Path) -> None:
    assert files.fitting(SUPERNET) == "mine"
    for name, error in (("rough", 0.9), ("fine", 0.2), ("foreign", 0.1)):
        made = make_mlp(SUPERNET)
        held = HeldOut(rows=50, folds=5, rmse_points=error, largest_error_points=2 * error)
        card = made.card.model_copy(update={"name": name, "held_out": held})
        if name == "foreign":
            card = card.model_copy(update={"fingerprint": "0" * 16})
        files.write_predictor(dataclasses.replace(made, card=card), kept / f"{name}.safetensors")
    (kept / "damaged.safetensors").write_bytes(b"nothing")
    assert files.fitting(SUPERNET) == "fine"
    large = open_supernet("ofa_mbv3_w1.0")
    assert files.fitting(large) is None
    assert files.fitting(large.restricted({"resolution": (224,)})) == "ofa_mbv3_w1.0"


def test_no_predictor_is_called_none(here: Here, kept: Path) -> None:
    _, said = here("predictor", "train", "none", "rows.csv", "--supernet", "fmnist_mbv3", code=2)
    assert "none stands for no predictor" in said


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"accuracy": "measured", "sampler": "random"},
            "drawn.safetensors' is given, but accuracy is measured; of the samplers only guided starts from one",
        ),
        ({"predictor": None}, "accuracy: predicted needs a predictor"),
        ({"accuracy": "predicted-then-measured", "measure": 7}, "measure: 7 of trials: 6 cannot be"),
        ({"objectives": ["top5"]}, "predictors know top1 only, not top5"),
        ({"predictor": "nowhere.safetensors"}, "there is no predictor file"),
        ({"predictor": "ofa_mbv3_w1.3"}, "unknown predictor 'ofa_mbv3_w1.3'"),
        ({"accuracy": "guessed"}, "predicted-then-measured"),
        ({"space": {"resolution": [17]}}, r"resolution \[17\]; allowed: \[18, 23, 28\]"),
        ({"budgets": {"macs": 1e5}}, "no subnet of fmnist_mbv3 reaches it"),
    ],
)
def test_a_wrong_config_says_what_is_allowed(
    keys: dict, said: str, config: Callable[..., Path], here: Here
) -> None:
    _, message = here("search", config(**keys), "--out", "run", code=2)
    assert re.search(said, message), message
    assert not Path("run").exists()


def test_runs_by_different_predictors_are_not_compared(
    config: Callable[..., Path], here: Here, tmp_path: Path
) -> None:
    here("search", config(), "--out", "one")
    here("search", config(sampler="random"), "--out", "two")
    out, _ = here("compare", "one", "two")
    assert "predicted by drawn" in out
    write_mlp(SUPERNET, tmp_path / "drawn.safetensors", seed=3)
    here("search", config(), "--out", "three")
    write_mlp(SUPERNET, tmp_path / "drawn.safetensors")
    _, said = here("compare", "one", "two", "three", code=2)
    assert "three" in said


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_a_trial_has_the_predicted_accuracy_whatever_was_measured_later(
    sampler: str, config: Callable[..., Path], here: Here
) -> None:
    given = {"accuracy": "predicted-then-measured", "measure": 2, "sampler": sampler, "space": {
        "resolution": [23], "depth": [1], "kernel": [3], "expand.1.1": [2], "expand.2.1": [2, 3],
    }}  # fmt: skip
    here("search", config(**given, trials=2), "--out", "run")
    here("search", config(**given, trials=4), "--out", "run")
    run, mlp = open_run(Path("run")), make_mlp(SUPERNET)
    trials = [t for t in run.study().get_trials() if t.values]
    assert len(trials) >= 4
    for trial in trials:
        codes = run.problem.space.encode([run.problem.space.arch(trial.params)])
        expected = mlp.predict(run.problem.space, codes).top1[0]
        assert trial.values[0] == pytest.approx(expected, abs=1e-6)
        assert "validation" not in trial.user_attrs


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    config: Callable[..., Path], here: Here, tmp_path: Path
) -> None:
    given = config(accuracy="predicted-then-measured", measure=8, trials=10)
    here("search", given, "--out", "whole")
    killed = struck(
        "supernet.evaluating.evaluation:specialise",
        3,
        signal.SIGKILL,
        "search",
        given,
        "--out",
        "run",
        cwd=tmp_path,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    database = tmp_path / "run" / "study.db"
    before = saved(database)
    assert len(before) == 2
    _, said = here("export", "run", code=2)
    assert f"is not finished: {len(before)} of its 8 best by prediction are measured" in said
    here("search", given, "--out", "run")
    assert set(before) < set(saved(database))
    assert Path("run/front.csv").read_text() == Path("whole/front.csv").read_text()


def test_more_trials_on_a_front_are_spread_over_it(config: Callable[..., Path], here: Here) -> None:
    given = config(objectives=["top1", "macs"], budgets={})
    here("search", given, "--out", "run", "--trials", "6")
    more = json.loads(here("search", given, "--out", "run", "--trials", "12", "--json")[0])
    costs = np.log([member["predicted"]["macs"] for member in more["front"]])
    assert len(costs) >= 9
    middle = (costs[0] + costs[-1]) / 2
    assert 3 <= (costs < middle).sum() <= len(costs) - 3


def test_a_run_keeps_its_predictor(config: Callable[..., Path], here: Here, tmp_path: Path) -> None:
    result = json.loads(here("search", config(), "--out", "run", "--json")[0])
    (tmp_path / "drawn.safetensors").unlink()
    again = json.loads(here("search", tmp_path / "mine.yaml", "--out", "run", "--json")[0])
    assert again["chosen"] == result["chosen"]
    exported = json.loads(here("export", "run", "--out", "bundle", "--json")[0])
    assert exported["predicted"]["top1"] == result["chosen"]["predicted"]["top1"]
    assert set(exported["measured"]) == {"report"}


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the published predictor and tables are not here")
def test_the_published_predictors_and_the_tutorials_search_within_25_ms(
    here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_published_files()
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    predictor = REFERENCE / "acc_predictor.pth"
    here("predictor", "import", "ofa_mbv3_w1.2", predictor, "--supernet", "ofa_mbv3_w1.2")
    here("devices", "import", "note10", REFERENCE / "note10")
    result = json.loads(here("search", "note10-25ms", "--out", "run", "--json")[0])
    chosen = result["chosen"]
    assert chosen["predicted"]["top1"] >= 0.819
    assert chosen["predicted"]["latency_ms"] <= 25
    assert 0.1 < chosen["predicted"]["latency_ms_std"] < 0.5
    assert chosen["measured"] == {}
