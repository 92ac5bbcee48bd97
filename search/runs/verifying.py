"""The most accurate candidates of a run, timed on its device."""

from __future__ import annotations

import time
from collections.abc import Callable

from cost_models import measuring
from cost_models.measuring import Bar
from cost_models.profiling import ATTEMPTS
from search.problem.confidence import latency_limit
from search.runs import study as studies
from search.runs.front import by_accuracy
from search.runs.on_device import latencies_of, read_sessions, setups_at_hand, verified_of, write_sessions
from search.runs.results import settled
from search.runs.run import Run
from supernet.archs.arch import Arch


def verify_run(run: Run, bar: Bar, again: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
    """Time so many of the most accurate candidates as the run's config says, all in each round, and keep the times.

    What has a verdict already is not timed again, unless ``again`` forgets what is kept; what a busy machine left open
    is, a few times. One process of the run does it, and its seconds count as the search's. Raises InputError where the device is not at hand.
    """
    count, limit_ms = run.config.verify_on_device, latency_limit(run.config.budgets)
    assert count is not None
    assert limit_ms is not None
    setups = setups_at_hand(run.device, run.supernet.precisions, count)
    whole = run.supernet.of_networks.restricted({})
    with studies.in_turn(run.folder, lambda: None):
        study = run.study()
        wanted = by_accuracy(settled(run, study), run.axes)[:count]
        sessions = () if again else read_sessions(run.folder)

        def left_open() -> list[Arch]:
            found = verified_of(wanted, latencies_of(sessions, run.supernet), limit_ms)
            known = (
                {one.candidate.arch for one in found.timed if one.within(limit_ms) is not None}
                if found
                else set()
            )
            return [candidate.arch for candidate in wanted if candidate.arch not in known]

        for _ in range(ATTEMPTS):
            if not (archs := left_open()):
                return
            for precision, setup in setups.items():
                mine = [arch.network for arch in archs if arch.precision == precision]
                if not mine:
                    continue
                with studies.counted_outside(study, clock):
                    sessions = (*sessions, measuring.measure(whole, mine, setup, bar))
                write_sessions(run.folder, sessions)
