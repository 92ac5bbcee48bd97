"""The threads by which a search has a cluster measure: they share a storage, and each proposes for itself."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from search.runs import cluster, crew
from search.runs.config import RunConfig
from search.runs.crew import search_by
from search.runs.opening import start
from search.runs.study import candidates
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch

TRIALS = 30


class Workers:
    """A cluster that measures nothing; ``present`` are its workers from one look to the next, the last for good."""

    def __init__(self, present: list[int]) -> None:
        self._present = present
        self.measured: Counter[str] = Counter()

    def check(self) -> int:
        return self._present.pop(0) if len(self._present) > 1 else self._present[0]

    def stop(self) -> None:
        pass

    def measure(self, arch: Arch, *_: object) -> tuple[Accuracy, str]:
        time.sleep(0.01)
        self.measured[arch.id] += 1
        top1 = 0.6 + 0.3 * Random(arch.id).random()
        return Accuracy("validation", 100, top1, top1, top1, top1, top1, top1), "AAAA"


@pytest.mark.parametrize(("sampler", "present"), [("nsga2", [16]), ("random", [0, 0, 4])])
def test_threads_share_the_trials_and_none_is_lost(
    sampler: str, present: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last cluster has no worker at first, and the search waits."""
    for module in (crew, cluster):
        monkeypatch.setattr(module, "LOOK_S", 0.02)
    config = RunConfig(
        supernet="fmnist_mbv3", predictor="none", budgets={"macs": 3e6}, objectives=("top1", "macs"), sampler=sampler,
        trials=TRIALS,
    )  # fmt: skip
    run, workers = start(tmp_path / "run", config, None, lambda _: None), Workers(present)
    measuring = replace(run, elsewhere=workers.measure)
    search_by(run, lambda left: cluster.threads(measuring, workers, left), lambda _: None)  # type: ignore[arg-type]
    found = candidates(run.study(), run.problem)
    assert Counter(candidate.arch.id for candidate in found) == workers.measured
    assert len(found) == TRIALS
    assert set(workers.measured.values()) == {1}
