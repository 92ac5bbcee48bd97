"""A search whose candidates a Dask cluster measures: what it finds is what this process finds, whatever dies."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import oncefit
from search.cli.app import main
from search.runs import cluster
from search.runs.cluster import check_executor, search_on_cluster
from search.runs.cluster_task import answered, asking, opened, question, understood
from search.runs.config import RunConfig, load_config
from search.runs.opening import open_run, start
from search.runs.own import Own
from search.runs.racing import Rival
from search.runs.run import Run
from search.runs.study import open_study
from search.storages.workers import WORKERS
from supernet import locks
from supernet.errors import InputError
from supernet.images.data import Dataset
from tests.helpers.dask_cluster import DaskCluster, running_cluster
from tests.helpers.own_data import write_folders
from tests.helpers.paths import ROOT
from tests.helpers.struck import struck

NONE = lambda _: None  # noqa: E731


@pytest.fixture
def config(tmp_path: Path, data: Dataset) -> Path:
    """A search that measures on a few images, one proposal after the other."""
    settings = {
        "supernet": "fmnist_mbv3", "predictor": "none", "data": str(write_folders(data, tmp_path / "images")),
        "budgets": {"macs": 3e6}, "objectives": ["top1", "macs"], "sampler": "random", "trials": 4,
    }  # fmt: skip
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(settings))
    return path


def begun(config: Path, folder: Path, **keys: object) -> Run:
    return start(folder, load_config(config, keys, {}), None, NONE)


@pytest.fixture
def own_processes(tmp_path: Path) -> Iterator[DaskCluster]:
    """Four workers, each a process."""
    pytest.importorskip("distributed")
    with running_cluster(tmp_path / "cluster", 4, {"PYTHONPATH": str(ROOT)}) as made:
        yield made


# -- without a cluster ------------------------------------------------------------


def test_what_is_asked_and_answered_in_json_is_what_is_measured(config: Path, tmp_path: Path) -> None:
    run = begun(config, tmp_path / "run")
    of, space = question(run), run.supernet.space
    opened.cache_clear()
    small, large = (space.arch({d.name: d.choices[place] for d in space.dimensions}) for place in (0, -1))
    measured = run.accuracy.with_hits(large, "top1")
    assert understood(json.loads(answered(asking(of, large, None, "top1")))) == measured
    images = len(run.accuracy.data.validation)
    perfect = Rival("perfect", 1.0, np.ones(images, dtype=np.bool_))
    assert understood(json.loads(answered(asking(of, small, perfect, "top1")))) == run.accuracy.race(
        small, perfect, "top1"
    )
    assert answered(asking(of, None, None, "")) == "{}"


def test_other_files_than_the_search_has_are_refused(config: Path, tmp_path: Path) -> None:
    of = question(begun(config, tmp_path / "run"))
    of["identity"]["weights"] = "0123"
    refused = json.loads(answered(asking(of, None, None, "")))["refused"]
    assert "with other files than the search: weights " in refused
    assert "(the search: 0123)" in refused
    assert "images" not in refused
    of["config"]["data"] = str(tmp_path / "nowhere")
    assert "nowhere" in json.loads(answered(asking(of, None, None, "")))["refused"]


@pytest.mark.parametrize(
    ("executor", "workers", "keys", "own", "message"),
    [
        ("ray://head:10001", 1, {}, Own(), "got 'ray://head:10001'; give a Dask scheduler's address, as dask://HOST:8786"),
        ("dask://head", 1, {}, Own(), "give a Dask scheduler's address"),
        ("dask://head:8786", 2, {}, Own(), "leave --workers out"),
        ("dask://head:8786", 1, {"accuracy": "predicted"}, Own(), "nothing is measured"),
        ("dask://head:8786", 1, {"accuracy": "own"}, Own(accuracy=lambda arch: 0.5), "accuracy came as objects"),
    ],
)  # fmt: skip
def test_an_executor_that_cannot_be(
    executor: str, workers: int, keys: dict[str, str], own: Own, message: str
) -> None:
    config = RunConfig.model_validate({"supernet": "fmnist_mbv3", **keys})
    with pytest.raises(InputError, match=message):
        check_executor(executor, workers, config, own)


def test_where_there_is_no_scheduler(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "CONNECT_S", 0.2)
    with pytest.raises(SystemExit) as end:
        main(["search", str(config), "--out", str(tmp_path / "run"), "--executor", "dask://127.0.0.1:1"])
    assert end.value.code == 2
    assert "there is no Dask scheduler at 127.0.0.1:1: " in capsys.readouterr().err


# -- a cluster within this process -------------------------------------------------


def test_each_arch_is_measured_once_and_as_it_is_here(config: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    settings = {"processes": False, "n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(protocol="tcp", **settings) as local:
        address = local.scheduler_address.removeprefix("tcp://")
        run = oncefit.search(config=config, out=tmp_path / "run", executor=f"dask://{address}")
    check(run, 4)


def check(run: oncefit.Run, trials: int) -> None:
    """As many distinct archs as were asked for, each measured once, with the accuracy that this process measures."""
    study = run.study
    complete = [t for t in study.get_trials() if t.state.name == "COMPLETE"]
    assert len({t.user_attrs["arch_id"] for t in complete}) == len(complete) == trials
    assert {t.state.name for t in study.get_trials()} <= {"COMPLETE", "FAIL", "PRUNED"}
    here = open_run(run.folder)
    for trial in complete[:2]:
        arch = here.problem.space.arch(trial.params)
        assert here.accuracy.with_hits(arch, "top1")[0].top1 == trial.user_attrs["validation"]["top1"]


# -- clusters of processes ---------------------------------------------------------


@pytest.mark.slow
def test_a_worker_that_is_killed_loses_nothing(
    own_processes: DaskCluster, config: Path, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill(progress: object) -> None:
        if not killed and progress.trials >= 3:  # type: ignore[attr-defined]
            killed.append(progress.trials)  # type: ignore[attr-defined]
            own_processes.kill(0)

    run = oncefit.search(
        config=config, out=tmp_path / "run", executor=own_processes.executor, trials=16, progress=kill
    )
    assert killed
    check(run, 16)
    assert threading.active_count() < 20, "its threads have ended"


@pytest.mark.slow
def test_ctrl_c_ends_and_the_same_command_goes_on(
    own_processes: DaskCluster, config: Path, tmp_path: Path
) -> None:
    command = ("search", config, "--out", "run", "--trials", 10, "--executor", own_processes.executor)
    ended = struck("search.runs.cluster:Threads.look", 2, signal.SIGINT, *command, cwd=tmp_path)
    assert ended.returncode == 130, ended.stderr
    assert "the same command continues" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not any(locks.is_held(path) for path in (tmp_path / "run" / WORKERS).glob("*.lock"))
    left = open_study(tmp_path / "run", None, {}).get_trials()
    assert {trial.state.name for trial in left} <= {"COMPLETE", "FAIL"}, "none is left as running"
    check(oncefit.search(config=config, out=tmp_path / "run", executor=own_processes.executor, trials=10), 10)


@pytest.mark.slow
def test_what_is_wrong_with_a_cluster_is_said(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "WORKERS_S", 1.0)
    fewer = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with running_cluster(tmp_path / "cluster", 0, {"PYTHONPATH": str(ROOT), **fewer}) as made:
        run = begun(config, tmp_path / "run")
        with pytest.raises(InputError, match=f"the cluster at {made.address} has no workers, for 1 s now"):
            search_on_cluster(run, made.executor, NONE)

        monkeypatch.setattr(cluster, "WORKERS_S", 60.0)
        made.add(1, environment=made.without)
        with pytest.raises(
            InputError, match=r"the worker tcp://.* cannot measure: oncefit cannot be imported"
        ):
            search_on_cluster(run, made.executor, NONE)
        made.kill(0)

        made.add(1)
        image = next((tmp_path / "images" / "validation").glob("*/*.png"))
        image.rename(tmp_path / "kept.png")
        with pytest.raises(InputError, match=r"other files than the search: images [0-9a-f]+ \(the search: "):
            search_on_cluster(run, made.executor, NONE)
        (tmp_path / "kept.png").rename(image)
        made.kill(1)

        (tmp_path / "deadly.py").write_text(
            "import os\nfrom search.runs.measuring import MeasuredAccuracy\n"
            "MeasuredAccuracy.race = lambda *given: os.kill(os.getpid(), 9)\n"
        )
        made.add(1, "--preload", str(tmp_path / "deadly.py"))
        with pytest.raises(InputError, match=r"was given up: 1 workers of the cluster at .* died while"):
            search_on_cluster(run, made.executor, NONE)

        made.add(1)
        gone = lambda progress: made.scheduler.kill() if progress.trials else None  # noqa: E731
        with pytest.raises(InputError, match="does not answer any more; nothing that was finished is lost"):
            search_on_cluster(run, made.executor, gone)
    states = {trial.state.name for trial in run.study().get_trials()}
    assert states <= {"COMPLETE", "FAIL"}, "no trial is left as running"
