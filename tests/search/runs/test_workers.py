"""Several processes that work on one study: local ones under one command, and any that join by the study's name."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest

import oncefit
from search.cli.app import main
from search.runs import crew, joining
from search.runs.config import load_config
from search.runs.crew import Crew, check_workers, search_in_crew
from search.runs.opening import open_run, start, write_down
from search.runs.own import Own
from search.runs.run import Progress
from search.runs.study import identity_of
from search.runs.trials import MEASURING, Told, measured_alone, prepared, settle
from search.storages.urls import STORAGE_VARIABLE, NotThereError
from search.storages.workers import WORKERS, at_work
from supernet import locks
from supernet.atomic import make_folder
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from supernet.images.data import Dataset
from tests.helpers.own_data import write_folders
from tests.helpers.own_predictor import write_mlp
from tests.helpers.paths import ROOT
from tests.helpers.postgresql import NoServerError, Server, running_server
from tests.helpers.struck import struck
from tests.helpers.study_tables import ARCHS, COMPLETE, CUT, FRONT, RUN_AGAIN, STATES, asked

SUPERNET = open_supernet("fmnist_mbv3")
NONE = lambda progress: None  # noqa: E731


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg")
    try:
        with running_server() as made:
            yield made
    except NoServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Writes a search whose accuracies are predicted, one proposal after the other; keys may be changed."""
    write_mlp(SUPERNET, tmp_path / "drawn.safetensors")

    def write(**keys: object) -> Path:
        settings = {
            "supernet": "fmnist_mbv3", "accuracy": "predicted", "predictor": "drawn.safetensors", "budgets": {"macs": 3e6},
            "objectives": ["top1", "macs"], "costs": {"marked": "tests.helpers.struck_cost:marked"}, "sampler": "random",
            "trials": 20,
        } | keys  # fmt: skip
        path = tmp_path / "mine.yaml"
        path.write_text(json.dumps(settings))
        return path

    return write


def test_workers_on_a_server_lose_nothing_when_one_is_killed(
    server: Server, config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strike").touch()
    monkeypatch.setenv("STRUCK_FILE", str(tmp_path / "strike"))
    run = oncefit.search(config=config(), out=tmp_path / "run", storage=server.url, study="mine", workers=2)
    assert not (tmp_path / "strike").exists(), "one was killed"
    assert asked(server.url, ARCHS) == [(20, 20)]
    states = dict(asked(server.url, STATES))  # failed too is what the other began as the last one ended
    assert states["COMPLETE"] == 20
    assert states.keys() == {"COMPLETE", "FAIL"}
    assert asked(server.url, RUN_AGAIN) == [(1,)], "the trial of the dead one was run again"
    assert asked(server.url, "select study_name from studies") == [("mine",)]
    assert sorted(zip(run.front.predicted_macs, run.front.predicted_top1, strict=True)) == sorted(
        asked(server.url, FRONT)
    )
    assert list((tmp_path / "run" / WORKERS).iterdir()) == [], (
        "neither what they said nor their locks are left"
    )


KILLED = 20


def disturbed(server: Server, ended: threading.Event) -> dict[str, int]:
    """Until the search has ended: workers are killed, connections cut, and once the server is away for ten seconds."""
    counts = {"killed": 0, "cut": 0, "away": 0}
    rng = random.Random(0)
    while not ended.wait(4):
        children = Path(f"/proc/self/task/{threading.main_thread().native_id}/children").read_text().split()
        found = [pid for pid in children if b"work" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]
        made = asked(server.url, COMPLETE)[0][0] if found else 0
        if made and counts["killed"] < KILLED:
            os.kill(int(rng.choice(found)), signal.SIGKILL)
            counts["killed"] += 1
        if made > 100 and not counts["away"]:
            server.stop()
            time.sleep(10)
            server.start()
            counts["away"] += 1
        elif made and rng.random() < 0.5:
            counts["cut"] += len(asked(server.url, CUT))
    return counts


@pytest.mark.slow
def test_eight_workers_whose_server_is_stopped_lose_nothing(
    server: Server, config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run with ``-s`` for the figures. Linux only, where processes are found in /proc."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("there is no /proc here, where the test finds the workers")
    monkeypatch.setenv("STRUCK_PACE_S", "2.5")
    monkeypatch.setattr(crew, "DEATHS", 100)
    folder, ended, counts = tmp_path / "run", threading.Event(), dict[str, int]()
    disturber = threading.Thread(target=lambda: counts.update(disturbed(server, ended)))
    disturber.start()
    began = time.monotonic()
    try:
        run = oncefit.search(config=config(trials=300), out=folder, storage=server.url, workers=8)
    finally:
        ended.set()
        disturber.join()
    states = dict(asked(server.url, STATES))
    again = asked(server.url, RUN_AGAIN)[0][0]
    print(f"{time.monotonic() - began:.0f} s; {counts}; trials {states}, of which {again} run again")
    assert asked(server.url, ARCHS) == [(300, 300)]
    assert set(states) <= {"COMPLETE", "FAIL"}
    assert sorted(zip(run.front.predicted_macs, run.front.predicted_top1, strict=True)) == sorted(
        asked(server.url, FRONT)
    )
    assert counts["killed"] == KILLED
    assert counts["away"] == 1
    assert counts["cut"] > 0


def begun(config: Path, folder: Path, storage: str | None, study: str | None = None) -> None:
    """A search that has made no trial yet."""
    prepared(start(folder, load_config(config, {}, {}), storage, NONE, study=study), lambda: None)


def test_a_worker_elsewhere_needs_no_more_than_the_study(
    config: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = f"{tmp_path}/mine.journal"
    begun(config(trials=7), tmp_path / "run", storage, "mine")
    (tmp_path / "drawn.safetensors").unlink()  # of which the study has a copy
    shutil.move(tmp_path / "run", tmp_path / "away")
    told: list[Progress] = []
    assert oncefit.work(storage=storage, study="mine", check=True) == 0
    assert oncefit.work(storage=storage, study="mine", progress=told.append) == 7
    assert told[-1].trials == 7
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["work", "--storage", storage, "--study", "mine"])
    assert end.value.code == 0
    assert capsys.readouterr().err.splitlines()[-1] == "subnets evaluated here for the study mine: 0"
    assert oncefit.work(tmp_path / "away") == 0
    run = oncefit.open_run(tmp_path / "away")
    assert len(run.candidates) == 7


def test_what_differs_here_is_named(config: Callable[..., Path], tmp_path: Path, data: Dataset) -> None:
    storage, images = f"journal:///{tmp_path}/mine.journal", write_folders(data, tmp_path / "images")
    measured = {"accuracy": "measured", "predictor": "none", "data": str(images), "trials": 2}
    begun(config(**measured), tmp_path / "run", storage, "mine")
    other = Path(shutil.copytree(images, tmp_path / "other"))
    next(other.glob("validation/*/*.png")).unlink()
    text = (ROOT / "configs" / "supernets" / "fmnist_mbv3.yaml").read_text()
    (tmp_path / "another.yaml").write_text(text.replace("mean: [0.286]", "mean: [0.5]"))
    with pytest.raises(InputError) as error:
        oncefit.work(storage=storage, study="mine", supernet=tmp_path / "another.yaml", data=other)
    assert "this machine cannot work on the study 'mine', which is of the preprocessing " in str(error.value)
    assert ", the images " in str(error.value)
    assert "the weights" not in str(error.value)
    with pytest.raises(InputError, match=r"there is no study 'other' in journal.*; it has mine"):
        oncefit.work(storage=storage, study="other")
    with pytest.raises(InputError, match=r"there is no journal:////no/such.journal"):
        oncefit.work(storage="/no/such.journal", study="mine")
    with pytest.raises(InputError, match="which join in the run's folder"):
        oncefit.work(storage="sqlite:///mine.db", study="mine")
    with pytest.raises(InputError, match="give the folder of a run, or its study"):
        oncefit.work(storage=storage)
    with pytest.raises(InputError, match="is not a run"):
        oncefit.work(tmp_path)
    with pytest.raises(InputError, match=r"the study of .* is 'mine', not 'yours'"):
        oncefit.search(config=config(**measured), out=tmp_path / "run", storage=storage, study="yours")


def test_costs_that_differ_here_are_named(
    config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oncefit.search(config=config(trials=2), out=tmp_path / "run")
    monkeypatch.setattr("tests.helpers.struck_cost.Marked.__call__", lambda self, arch: -1.0)
    with pytest.raises(InputError, match=r"which is of the marked \d+\.0 of [0-9a-f]+ \(here: -1.0\)"):
        oncefit.work(tmp_path / "run")


def test_ctrl_c_stops_all_and_the_run_goes_on(
    config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # where the config's cost is
    command = ("search", config(trials=9), "--out", "run", "--workers", 2)
    ended = struck("search.runs.crew:Crew.look", 1, signal.SIGINT, *command, cwd=tmp_path)
    assert ended.returncode == 130, ended.stderr
    assert "the same command continues" in ended.stderr
    left = (tmp_path / "run" / WORKERS).glob("*.lock")
    assert not any(locks.is_held(path) for path in left), "nobody is at work"
    run = oncefit.search(config=config(trials=9), out=tmp_path / "run")
    assert len(run.candidates) == 9


def test_workers_that_die_again_and_again_are_given_up(
    config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRUCK_ALWAYS", "1")
    monkeypatch.setattr(crew, "DEATHS", 0)
    run = start(tmp_path / "run", load_config(config(), {}, {}), None, NONE)
    with pytest.raises(
        InputError, match=r"1 workers of .* died, the last one by SIGKILL, as the system does where"
    ):
        search_in_crew(run, 1, NONE)


def test_a_worker_waits_for_a_study_that_is_about_to_be_made(
    config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(tmp_path / "run", load_config(config(trials=2), {}, {}), None, NONE)
    make_folder(run.folder)
    write_down(run)  # images are read before the study is made, which takes a while where they are many
    with pytest.raises(NotThereError, match=r"has no study\.db"):
        oncefit.work(run.folder)
    monkeypatch.setattr(joining.time, "sleep", lambda _: prepared(run, lambda: None))
    assert oncefit.work(run.folder, wait=60, check=True) == 0


def test_a_study_without_identity_may_be_about_to_get_it(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db")
    with pytest.raises(NotThereError, match="was not made by oncefit search"):
        identity_of(study)
    study.tell(study.ask(), 1.0)
    with pytest.raises(InputError, match="was not made by oncefit search") as error:
        identity_of(study)
    assert type(error.value) is InputError, "nobody waits for that"


def test_workers_are_told_of_no_storage_of_another_search(
    config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STORAGE_VARIABLE, f"{tmp_path}/other.journal")
    begun(config(), tmp_path / "alone", None)
    assert STORAGE_VARIABLE not in crew.environment_of_workers(open_run(tmp_path / "alone"), 1)
    begun(config(), tmp_path / "shared", f"{tmp_path}/other.journal")
    assert crew.environment_of_workers(open_run(tmp_path / "shared"), 1)[STORAGE_VARIABLE].endswith(
        "other.journal"
    )


def test_only_locks_of_dead_workers_are_removed(config: Callable[..., Path], tmp_path: Path) -> None:
    begun(config(), tmp_path / "run", None)
    run = open_run(tmp_path / "run")
    with at_work(run.folder) as living:
        (run.folder / WORKERS / "dead.lock").touch()
        Crew(run, 1).forget()
        assert [path.stem for path in (run.folder / WORKERS).iterdir()] == [living.id]


def test_objects_do_not_reach_workers() -> None:
    check_workers(1, Own(accuracy=lambda arch: 0.5))
    with pytest.raises(InputError, match="accuracy came as objects; name them in a config"):
        check_workers(2, Own(accuracy=lambda arch: 0.5))
    with pytest.raises(InputError, match="workers: got 0; 1 to 1,000 is possible"):
        check_workers(0, Own())


def test_a_search_for_several_devices_takes_no_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["search", "configs/searches/fleet.yaml", "--workers", "2"])
    assert end.value.code == 2
    assert "--workers is of a search for one device" in capsys.readouterr().err


def test_a_worker_measures_the_best_by_prediction(
    config: Callable[..., Path], tmp_path: Path, data: Dataset
) -> None:
    how = {
        "accuracy": "predicted-then-measured",
        "sampler": "guided",
        "trials": 6,
        "measure": 2,
        "objectives": ["top1"],
    }
    path = config(**how, data=str(write_folders(data, tmp_path / "images")))
    made = start(tmp_path / "run", load_config(path, {}, {}), None, NONE)
    settle(made, prepared(made, lambda: None), Told(NONE, 6))  # as the search does before its workers begin
    assert oncefit.work(tmp_path / "run") == 2
    assert oncefit.work(tmp_path / "run") == 0
    assert len(oncefit.search(config=path, out=tmp_path / "run").candidates) == 2


def test_what_another_process_measures_is_left_to_it(config: Callable[..., Path], tmp_path: Path) -> None:
    oncefit.search(config=config(trials=2), out=tmp_path / "run")
    run = open_run(tmp_path / "run")
    [first, *_] = oncefit.open_run(tmp_path / "run").result.candidates
    folder = tmp_path / "run" / MEASURING
    folder.mkdir()
    with locks.held(folder / f"{first.arch.id}.lock", "held"):
        assert not measured_alone(run, run.study(), first)
