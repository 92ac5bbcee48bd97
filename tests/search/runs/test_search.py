"""Searches as a user runs them: real processes, real storages, the embedded supernet."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pandas as pd
import pytest
import yaml

from search.feasible.budget_messages import check_feasible
from search.proposing.distributions import distributions
from search.proposing.samplers import SAMPLERS
from search.runs.config import RunConfig
from search.runs.opening import open_run, start, write_down
from search.runs.results import conclude
from search.runs.study import candidates
from search.runs.trials import search
from supernet.accuracy import Accuracy
from supernet.documents import CONFIGS
from supernet.errors import InputError
from supernet.families.catalog import open_supernet, parse_supernet
from supernet.images.data import Dataset, load_dataset
from supernet.weights.stored_weights import PRETRAINED
from tests.helpers.command_here import command_here
from tests.helpers.own_data import write_folders
from tests.helpers.paths import ROOT
from tests.helpers.plain_evaluation import plain_accuracy
from tests.helpers.struck import struck

Oncefit = Callable[..., subprocess.CompletedProcess]
MACS = 2.0e6


@pytest.fixture(scope="module")
def own_data(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folders(data, tmp_path_factory.mktemp("own"))


@pytest.fixture
def config(own_data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(f"supernet: fmnist_mbv3\ndata: {own_data}\nbudgets: {{macs: {MACS}}}\ntrials: 8\n")
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "search", *map(str, arguments)]


def oncefit(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess:
    run = subprocess.run(command(*arguments), cwd=cwd, capture_output=True, text=True)
    assert run.returncode == code, run.stderr
    return run


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a command in this process, which saves its imports; returns what it printed on standard output."""
    monkeypatch.chdir(tmp_path)

    return command_here(capsys)


def finished(database: Path) -> list[tuple[int, str]]:
    """(trial number, arch id) of every finished trial, read with plain SQL."""
    if not database.exists():
        return []
    query = (
        "select t.number, a.value_json from trials t join trial_user_attributes a on a.trial_id = t.trial_id "
        "where t.state = 'COMPLETE' and a.key = 'arch_id' order by t.number"
    )
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError:  # the tables are not there yet
            return []


@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_every_sampler_keeps_the_budget_and_never_measures_twice(
    sampler: str, config: Path, tmp_path: Path, here: Callable[..., str]
) -> None:
    result = json.loads(here("search", config, "--sampler", sampler, "--out", "run", "--json"))
    assert result["measured_candidates"] == 8
    assert result["chosen"]["predicted"]["macs"] <= MACS
    assert all(member["predicted"]["macs"] <= MACS for member in result["front"])
    opened = open_run(tmp_path / "run")
    study = opened.study()
    complete = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    assert all(trial.user_attrs["costs"]["macs"] <= MACS for trial in complete)
    by_arch: dict[str, set[float]] = {}
    for trial in complete:
        by_arch.setdefault(trial.user_attrs["arch_id"], set()).add(trial.value)
    assert len(by_arch) == 8
    assert all(len(values) == 1 for values in by_arch.values())
    over = study.get_trials(states=(optuna.trial.TrialState.PRUNED,))
    assert all(
        trial.user_attrs["costs"]["macs"] > MACS and "validation" not in trial.user_attrs for trial in over
    )


def test_the_results_are_what_an_independent_evaluation_measures(
    config: Path, own_data: Path, data: Dataset, tmp_path: Path, here: Callable[..., str]
) -> None:
    result = json.loads(here("search", config, "--out", "run", "--json"))
    supernet = open_supernet("fmnist_mbv3")
    images = load_dataset(str(own_data), supernet)
    arch = supernet.space.from_dict(result["chosen"]["arch"])
    subnet = supernet.load().extract(arch)
    for split in ("validation", "report"):
        measured, part = Accuracy(**result["chosen"]["measured"][split]), getattr(images, split)
        assert (measured.split, measured.images) == (split, len(part))
        plain = plain_accuracy(subnet, arch.resolution, images.calibration, part)
        assert (measured.top1, measured.top5) == pytest.approx(plain)
    accuracies = [
        c.validation.top1
        for c in candidates(open_run(tmp_path / "run").study(), open_run(tmp_path / "run").problem)
    ]
    assert result["chosen"]["measured"]["validation"]["top1"] == max(accuracies)
    csv = pd.read_csv(tmp_path / "run" / "front.csv")
    assert list(csv["arch_id"]) == [member["arch_id"] for member in result["front"]]
    assert (tmp_path / "run" / "front.png").read_bytes().startswith(b"\x89PNG")


def test_same_seed_same_run_and_another_seed_another(
    config: Path, tmp_path: Path, here: Callable[..., str]
) -> None:
    def visited(name: str, seed: int) -> list[tuple[int, str]]:
        here("search", config, "--seed", seed, "--out", name)
        return finished(tmp_path / name / "study.db")

    assert visited("a", 3) == visited("b", 3) != visited("c", 4)


def test_two_objectives_give_a_front(config: Path, own_data: Path, here: Callable[..., str]) -> None:
    config.write_text(
        f"supernet: fmnist_mbv3\ndata: {own_data}\nobjectives: [top1, flops, params]\ntrials: 10\n"
    )
    result = json.loads(here("search", config, "--out", "run", "--json"))
    assert result["objectives"] == ["top1", "macs", "params"]
    points = [
        (-m["measured"]["validation"]["top1"], m["predicted"]["macs"], m["predicted"]["params"])
        for m in result["front"]
    ]
    for one in points:
        assert not any(
            other != one and all(x <= y for x, y in zip(other, one, strict=True)) for other in points
        )
    assert all("report" in member["measured"] for member in result["front"])


def states(database: Path) -> dict[str, int]:
    with sqlite3.connect(database) as connection:
        return dict(connection.execute("select state, count(*) from trials group by state"))


def test_killed_it_resumes_without_losing_or_repeating(
    config: Path, tmp_path: Path, here: Callable[..., str]
) -> None:
    database = tmp_path / "run" / "study.db"
    arguments = ("search", config, "--trials", 8, "--sampler", "random", "--out", "run")
    killed = struck("optuna:Study.tell", 5, signal.SIGKILL, *arguments, cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = finished(database)
    assert len(before) == 4
    assert states(database)["RUNNING"] == 1, "the fifth was measured, and not written down yet"
    again = oncefit(*arguments, cwd=tmp_path)
    assert "wrote" in again.stderr
    after = finished(database)
    assert after[: len(before)] == before
    assert len({arch for _, arch in after}) == len(after) == 8
    assert "RUNNING" not in states(database)
    here(*arguments)
    assert finished(database) == after


def test_ctrl_c_stops_cleanly_and_resumably(config: Path, tmp_path: Path, here: Callable[..., str]) -> None:
    database = tmp_path / "run" / "study.db"
    arguments = ("search", config, "--trials", 6, "--sampler", "random", "--out", "run")
    stopped = struck("optuna:Study.tell", 3, signal.SIGINT, *arguments, cwd=tmp_path)
    assert stopped.returncode == 130, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "the same command continues" in stopped.stderr
    kept = finished(database)
    assert 2 <= len(kept) < 6
    here(*arguments)
    assert finished(database)[: len(kept)] == kept


def test_another_storage_url(config: Path, tmp_path: Path, here: Callable[..., str]) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    here("search", config, "--trials", 3, "--storage", url, "--out", "run")
    assert not (tmp_path / "run" / "study.db").exists()
    [name] = optuna.get_all_study_names(url)
    assert name.startswith("run-")
    study = optuna.load_study(study_name=name, storage=url)
    assert len(study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))) >= 3
    assert study.metric_names == ["top1"]


def test_the_folder_knows_its_storage_from_every_working_directory(
    config: Path, tmp_path: Path, here: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here("search", config, "--trials", 2, "--storage", "sqlite:///mine.db", "--out", "run")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    result = json.loads(here("search", config, "--trials", 3, "--out", "../run", "--json"))
    assert result["measured_candidates"] == 3
    with sqlite3.connect(tmp_path / "mine.db") as connection:
        assert connection.execute("select count(*) from studies").fetchone() == (1,)
    assert not list((tmp_path / "below").iterdir())


def test_paths_in_a_yaml_file_start_at_its_folder(
    own_data: Path, tmp_path: Path, here: Callable[..., str]
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(own_data, mine / "photos")
    shutil.copy(PRETRAINED / "fmnist_mbv3.safetensors", mine / "net.safetensors")
    keys = yaml.safe_load((CONFIGS / "supernets" / "fmnist_mbv3.yaml").read_text())
    keys["weights"]["file"] = "net.safetensors"
    (mine / "net.yaml").write_text(yaml.safe_dump({**keys, "data": "photos"}))
    (mine / "search.yaml").write_text("supernet: net.yaml\ntrials: 1\nsampler: random\n")
    here("search", "mine/search.yaml", "--out", "run")
    run = open_run(tmp_path / "run")
    assert run.supernet.weights.path == mine / "net.safetensors"
    assert run.accuracy.data.sha256 == load_dataset(str(own_data), run.supernet).sha256
    (mine / "net.yaml").write_text(
        yaml.safe_dump({**keys, "data": "photos", "preprocessing": keys["preprocessing"] | {"std": [0.5]}})
    )
    parse_supernet.cache_clear()
    with pytest.raises(InputError, match=r"is of the preprocessing .*std \[0\.353\].*here: .*std \[0\.5\]"):
        open_run(tmp_path / "run").study()


def test_a_second_process_in_the_same_folder_joins(config: Path, tmp_path: Path) -> None:
    arguments = ("search", config, "--trials", 12, "--sampler", "random", "--out", "run")
    started = [
        subprocess.Popen(command(*arguments), cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert len(finished(tmp_path / "run" / "study.db")) == 12
    assert len({arch for _, arch in finished(tmp_path / "run" / "study.db")}) == 12


def test_a_cost_of_the_users_own_is_an_objective_and_a_budget(own_data: Path, tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(
        f"supernet: fmnist_mbv3\ndata: {own_data}\nobjectives: [top1, weights_kib]\n"
        "costs: {weights_kib: 'weights_kib:weights_kib'}\nbudgets: {weights_kib: 90}\ntrials: 6\n"
    )
    examples = ROOT / "docs" / "examples"
    run = subprocess.run(
        command("search", config, "--out", "run", "--json"), cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(examples)},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert all(member["predicted"]["weights_kib"] <= 90 for member in json.loads(run.stdout)["front"])


def test_json_is_one_object_and_nothing_else(config: Path, here: Callable[..., str]) -> None:
    for arguments in (
        ("search", config, "--out", "run"),
        ("search", config, "--seed", 1, "--out", "other"),
        ("export", "run"),
        ("verify", "run/bundle"),
        ("evaluate", "run/bundle"),
        ("compare", "run", "other"),
    ):
        extra = ("--out", "run/bundle") if arguments[0] == "export" else ()
        assert isinstance(json.loads(here(*arguments, *extra, "--json")), dict)


def test_compare_agrees_with_the_runs(config: Path, tmp_path: Path, here: Callable[..., str]) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        here("search", config, "--seed", seed, "--out", name)
    found = json.loads(here("compare", "a", "b", "--at", "1.2e6", "--at", MACS, "--json"))
    assert found["cost"] == "macs"
    for one in found["runs"]:
        run = open_run(tmp_path / one["run"])
        measured = candidates(run.study(), run.problem)
        for at in one["best_at"]:
            inside = [c.validation.top1 for c in measured if c.costs["macs"] <= at["budget"]]
            assert at.get("top1") == (max(inside) if inside else None)
    assert (tmp_path / "runs" / "comparison-a-b" / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert set(pd.read_csv(tmp_path / "runs" / "comparison-a-b" / "comparison.csv")["run"]) == {"a", "b"}


def test_a_kill_during_the_first_trial_does_not_lose_the_arch_that_is_known_to_fit(
    own_data: Path, tmp_path: Path
) -> None:
    config = RunConfig(
        supernet="fmnist_mbv3", data=str(own_data), budgets={"macs": 5.6e5}, trials=1, sampler="random"
    )
    run = start(tmp_path / "run", config, None, print)
    witness = check_feasible(run.problem, run.where)
    assert witness is not None
    write_down(run)
    study = run.study(create=True)
    study.enqueue_trial({d.name: d.choices[0] for d in run.problem.space.dimensions})
    study.ask(distributions(run.problem.space))  # and the process dies here
    search(run, lambda progress: None)
    result = conclude(run, print)
    assert [candidate.arch for candidate in result.candidates] == [witness]
    assert result.chosen in result.front
