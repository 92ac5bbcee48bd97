"""Processes that search in one run share its trials: each arch is judged once, and no live trial is failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from search.proposing.claims import claiming
from search.proposing.samplers import SAMPLERS, build_sampler
from search.runs.ledger import Ledger
from search.runs.own import Own
from search.runs.results import conclude
from search.runs.trials import consider, search
from search.storages.workers import BEAT, BEAT_S, MARK, PATIENCE_S, Worker, at_work, worker_lock_path
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch
from tests.helpers.free_search import FreeRun, at_once, busy, free_run, judged
from tests.helpers.postgresql import NoServerError, server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    pytest.importorskip("psycopg")
    try:
        with server() as url:
            yield url
    except NoServerError as error:
        pytest.skip(str(error))


def url_of(storage: str, request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("postgresql") if storage == "postgresql" else storage  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("storage", "sampler"),
    [
        pytest.param("folder", "guided", marks=pytest.mark.slow),
        ("journal", "nsga2"),
        ("postgresql", "random"),
        pytest.param("folder", "tpe", marks=pytest.mark.slow),
    ],
)
def test_processes_of_one_run_judge_every_arch_once(
    storage: str, sampler: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder, url = tmp_path / "run", url_of(storage, request)
    at_once(folder, sampler, 60, url, processes=4)
    found = judged(folder)
    assert set(found.values()) == {1}
    assert len(found) == 60
    if storage == "postgresql":
        return  # whose connection this process would leave open
    study = free_run(folder, sampler, 60, url).study()
    states = {trial.state for trial in study.get_trials(deepcopy=False)}
    assert not states & {TrialState.RUNNING, TrialState.WAITING}
    if sampler == "guided":
        ended = [t for t in study.get_trials(deepcopy=False) if t.state != TrialState.FAIL]
        assert len({trial.user_attrs["arch_id"] for trial in ended}) == len(ended) == 60


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["folder", "journal", "postgresql"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_eight_processes_on_a_busy_machine(
    storage: str, sampler: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Run with ``-s`` for the figures."""
    folder, url, began = tmp_path / "run", url_of(storage, request), time.monotonic()
    with busy(2):
        at_once(folder, sampler, 400, url, processes=8)
    found, seconds = judged(folder), time.monotonic() - began
    print(f"{storage} {sampler}: {found.total()} judged, {len(found)} different, {seconds:.0f} s")
    if storage != "postgresql":  # whose connection this process would leave open
        trials = free_run(folder, sampler, 400, url).study().get_trials(deepcopy=False)
        failed = sum(trial.state == TrialState.FAIL for trial in trials)
        print(f"{len(trials)} trials, {failed} given up")
    assert found.total() == len(found) == 400


@pytest.fixture
def run(tmp_path: Path) -> FreeRun:
    return free_run(tmp_path / "run", "random", 6, "folder")


def begun(run: FreeRun) -> tuple[optuna.Study, Worker]:
    """The study, and a process of the run that leaves nothing behind but what it asks for."""
    search(free_run(run.folder, "random", 2, "folder"), lambda progress: None)
    study = run.study()
    study.sampler = claiming(build_sampler("random", run.problem, 0, 6), run.problem, 0)
    return study, Worker(run.folder / ".workers")


def test_a_trial_of_a_process_that_lives_is_left_to_it(run: FreeRun) -> None:
    study, _ = begun(run)
    with at_work(run.folder) as other, at_work(run.folder) as mine:
        trial = other.ask(study, run.problem.space)
        ledger = Ledger(study, run.problem)
        ledger.follow()
        assert [one.number for one in ledger.running] == [trial.number]
        assert mine.those_gone(ledger.running) == []
        consider(run, study, trial, ledger, other)
    assert study.get_trials()[trial.number].state == TrialState.COMPLETE


def test_a_trial_of_a_process_that_died_is_failed_and_its_arch_is_free(run: FreeRun) -> None:
    study, dead = begun(run)
    trial = dead.ask(study, run.problem.space)  # its lock is held by nobody
    worker_lock_path(run.folder / ".workers", dead.id).touch()  # as a kill leaves it
    search(run, lambda progress: None)
    trials = study.get_trials()
    assert trials[trial.number].state == TrialState.FAIL
    assert len(judged(run.folder)) == 6


def test_a_trial_that_something_else_runs_is_never_failed(run: FreeRun) -> None:
    study, _ = begun(run)
    foreign = study.ask()
    search(run, lambda progress: None)
    assert study.get_trials()[foreign.number].state == TrialState.RUNNING
    study.tell(foreign, 0.5)
    assert len(judged(run.folder)) == 6


def test_elsewhere_a_process_is_dead_when_it_was_silent_for_long(run: FreeRun, tmp_path: Path) -> None:
    study, _ = begun(run)
    (tmp_path / "copy").mkdir()
    now = [0.0]
    other, mine = Worker(tmp_path / "copy"), Worker(run.folder / ".workers", clock=lambda: now[0])
    trial = other.ask(study, run.problem.space)

    def is_gone() -> bool:
        return mine.is_gone(study.get_trials()[trial.number])

    def looks(seconds: float) -> bool:
        """Whether it is gone after so many seconds in which it was looked at all the time."""
        found = [is_gone()]
        for _ in range(int(seconds / BEAT_S)):
            now[0] += BEAT_S
            found.append(is_gone())
        assert found == sorted(found), "who is dead stays dead"
        return found[-1]

    assert not looks(PATIENCE_S)
    other.beat(1)
    assert not looks(PATIENCE_S), "it was heard"
    now[0] += 10 * PATIENCE_S
    other.beat(2)
    assert not looks(PATIENCE_S)
    other.beat(1)
    now[0] += 10 * PATIENCE_S
    assert not looks(PATIENCE_S - BEAT_S), "nobody looked meanwhile"
    assert looks(2 * BEAT_S)
    assert study.get_trials()[trial.number].system_attrs[BEAT] == 1


def test_of_two_processes_one_gets_a_trial_that_waits(run: FreeRun) -> None:
    study, _ = begun(run)
    study.enqueue_trial({d.name: d.choices[0] for d in run.problem.space.dimensions})
    [waiting] = study.get_trials(states=(TrialState.WAITING,))
    with at_work(run.folder) as first, at_work(run.folder) as second:
        mine = first.ask(study, run.problem.space, [waiting])
        other = second.ask(study, run.problem.space, [waiting])
    assert mine.number == waiting.number != other.number
    marks = study.get_trials()[waiting.number].system_attrs
    assert marks[MARK + first.id]
    assert not marks.get(MARK + second.id)


def test_an_arch_that_two_enqueued_is_judged_once(run: FreeRun) -> None:
    study, _ = begun(run)
    for _ in range(2):
        study.enqueue_trial({d.name: d.choices[0] for d in run.problem.space.dimensions})
    search(run, lambda progress: None)
    assert set(judged(run.folder).values()) == {1}
    assert len(judged(run.folder)) == 6


def test_a_trial_that_was_failed_from_outside_ends_no_search(
    run: FreeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    study, _ = begun(run)
    told: list[int] = []

    class Sabotaged(FreeRun):
        def judge(self, arch: Arch) -> Accuracy:
            if not told:
                [running] = [t for t in study.get_trials() if t.state == TrialState.RUNNING]
                told.append(running.number)
                study.tell(running.number, state=TrialState.FAIL)
            return super().judge(arch)

    search(Sabotaged(**vars_of(run)), lambda progress: None)
    assert f"trial {told[0]} was given up by another process" in capsys.readouterr().err
    assert len([t for t in study.get_trials() if t.state == TrialState.COMPLETE]) == 6


def test_a_trial_that_was_failed_while_it_was_proposed_ends_no_search(
    run: FreeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    study, _ = begun(run)
    told: list[int] = []

    class Slow(optuna.samplers.RandomSampler):
        def sample_independent(self, *given: Any) -> Any:
            if not told:
                told.append(given[1].number)
                study.tell(given[1].number, state=TrialState.FAIL)
            return super().sample_independent(*given)

    search(replace(run, own=Own(sampler=Slow(0))), lambda progress: None)
    assert "a trial was given up by another process" in capsys.readouterr().err
    assert len([t for t in study.get_trials() if t.state == TrialState.COMPLETE]) == 6


def vars_of(run: FreeRun) -> dict[str, object]:
    return {field.name: getattr(run, field.name) for field in fields(run)}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_foreign_trial_is_left_out_with_one_message(
    sampler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = free_run(tmp_path / "run", sampler, 8, "folder")
    search(free_run(tmp_path / "run", sampler, 3, "folder"), lambda progress: None)
    study = run.study()
    space = run.problem.space
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    study.optimize(
        lambda t: float(t.suggest_categorical("resolution", space.dimensions[0].choices)), n_trials=1
    )
    capsys.readouterr()
    search(run, lambda progress: None)
    assert len(judged(run.folder)) == 8
    assert capsys.readouterr().err.count("that oncefit did not make") == 1
    result = conclude(Reported(**vars_of(run)), print)
    assert len(result.candidates) == 8
    assert result.proposals == len(study.get_trials()) - 3
    assert capsys.readouterr().err == ""


class Reported(FreeRun):
    """One whose accuracies on the report split cost nothing either."""

    @property
    def accuracy(self) -> Callable[[Arch, str], Accuracy]:  # type: ignore[override]
        return lambda arch, split: replace(self.judge(arch), split=split)
