"""optuna-dashboard shows a run's study under the names that the run has for things; skipped where it is not installed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

import oncefit
from supernet.families.catalog import Supernet
from tests.helpers.pages import predicted_run

dashboard = pytest.importorskip("optuna_dashboard", reason="pip install -e '.[dashboard]' brings it")

Ask = Callable[[str], Any]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, supernet: Supernet) -> oncefit.Run:
    return predicted_run(tmp_path_factory.mktemp("dashboard") / "run", supernet, trials=5)


@pytest.fixture(scope="module")
def ask(run: oncefit.Run) -> Iterator[Ask]:
    """A dashboard of the run's study, asked by HTTP."""
    app = dashboard.wsgi(f"sqlite:///{Path(run.folder).resolve()}/study.db")
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield lambda path: json.load(urlopen(f"http://127.0.0.1:{server.server_port}/api/{path}"))
        server.shutdown()


def test_it_lists_the_study_by_the_name_of_the_run(ask: Ask, run: oncefit.Run) -> None:
    [found] = ask("studies")["study_summaries"]
    assert found["study_name"] == run.study.study_name
    assert found["study_name"].startswith("run-")
    assert found["directions"] == ["maximize", "minimize"]


def test_it_shows_objectives_dimensions_and_what_trials_are_of(ask: Ask, run: oncefit.Run) -> None:
    [study] = ask("studies")["study_summaries"]
    found = ask(f"studies/{study['study_id']}?after=0")
    assert found["objective_names"] == ["top1", "macs"]
    assert len(found["trials"]) == 5
    assert {one["name"] for one in found["union_search_space"]} == {
        d.name for d in run.supernet.space.dimensions
    }
    assert {one["key"] for one in found["union_user_attrs"]} == {"arch_id", "costs", "predicted"}
    for shown, trial in zip(found["trials"], run.study.get_trials(), strict=True):
        assert shown["values"] == trial.values
        told = {one["name"]: one["param_external_value"] for one in shown["params"]}
        assert told == {name: str(value) for name, value in trial.params.items()}
