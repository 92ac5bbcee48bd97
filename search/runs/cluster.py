"""A search whose candidates a Dask cluster measures: ``--executor dask://HOST:PORT``.

Proposals, costs and the study stay with this process, which has a thread for each of the cluster's workers: a worker of
the study like any other (:func:`search.runs.trials.join_search`), but that it has an arch measured elsewhere. What
makes several processes share a study keeps the threads apart too. An arch whose worker died is measured by another one,
which Dask sees to.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from search.runs.cluster_task import REFUSAL, MeasuredOrRaced, asking, question, task, understood
from search.runs.config import OWN, PREDICTED, RunConfig
from search.runs.crew import LEAVE_S, LOOK_S, search_by
from search.runs.own import Own
from search.runs.racing import Rival
from search.runs.run import Progress, Run
from search.runs.trials import Told, join_search
from supernet.archs.arch import Arch
from supernet.errors import InputError, prefixed, short
from supernet.messages import say

if TYPE_CHECKING:
    from distributed import Client, Future

DASK = "dask://"
CONNECT_S = 10.0
WORKERS_S = 60.0
"""Seconds that a cluster without workers is waited for: one that grows as it is asked begins with none."""
MOST_AT_ONCE = 256
"""Archs that are measured at the same time; each is a thread here, which follows the study."""
GOES_ON = "nothing that was finished is lost, and the same command goes on"


def check_executor(executor: str | None, workers: int, config: RunConfig, own: Own) -> None:
    """Raises InputError for an executor that cannot be, or that has nothing to do."""
    if executor is None:
        return
    if not executor.startswith(DASK) or not executor.removeprefix(DASK).rpartition(":")[2].isdigit():
        raise InputError(f"executor: got {executor!r}; give a Dask scheduler's address, as dask://HOST:8786")
    if workers > 1:
        raise InputError("executor: the cluster's workers measure; leave --workers out, or the executor")
    if config.accuracy == PREDICTED:
        raise InputError("executor: accuracies are predicted here, and nothing is measured; leave it out")
    given = [name for name, one in {"supernet": own.supernet, "accuracy": own.accuracy}.items() if one]
    if given or config.accuracy == OWN:
        raise InputError(
            f"executor: {' and '.join(given)} came as objects of this process, which a cluster's workers do not have; name "
            "them in a config, or leave the executor out"
        )


def search_on_cluster(run: Run, executor: str, progress: Callable[[Progress], None]) -> None:
    """As :func:`search.runs.trials.search`, with all that is measured measured by a cluster.

    Raises InputError where it cannot be reached, has no workers, or these have other files. KeyboardInterrupt leaves the
    study resumable.
    """
    with connected(executor, run) as cluster:
        cluster.wait(Told(progress, run.config.trials).again)
        elsewhere = replace(run, elsewhere=cluster.measure)
        search_by(run, lambda left: threads(elsewhere, cluster, left), progress)


class Cluster:
    """Dask's workers at an address, and what they are asked for a run."""

    def __init__(self, client: Client, address: str, of: dict[str, Any]) -> None:
        self._client, self._address, self._of = client, address, of
        self._asked: set[Future] = set()
        self._checks: dict[str, Future] = {}
        self._ready: set[str] = set()
        self._seen = time.monotonic()
        self.stopped = False

    def measure(self, arch: Arch, rival: Rival | None, accuracy: str) -> MeasuredOrRaced:
        """MeasuredOrRaced by one of the workers. Raises InputError where none can, and KeyboardInterrupt after :meth:`stop`."""
        from distributed.scheduler import KilledWorker

        future = self._client.submit(task(), asking(self._of, arch, rival, accuracy), pure=False)
        self._asked.add(future)
        try:
            if self.stopped:  # which may have missed this one
                future.cancel()
            return understood(self._answer(future))
        except KilledWorker as error:
            raise InputError(
                f"subnet {arch.id} was given up: {error.allowed_failures + 1} workers of the cluster at {self._address} died "
                f"while they measured it; {GOES_ON}. Where memory is short, give each worker more of it"
            ) from None
        except (InputError, OSError):
            raise
        except Exception as error:  # of the worker's own: its memory, its packages
            raise InputError(
                f"a worker of the cluster at {self._address} could not measure subnet {arch.id}: {type(error).__name__}: "
                f"{short(str(error))}; mend that there; {GOES_ON}"
            ) from error
        finally:
            self._asked.discard(future)

    def check(self) -> int:
        """Ask those that are new whether they could measure; how many workers there are.

        Raises InputError for one that could not, and where there is none for too long.
        """
        from distributed.scheduler import KilledWorker

        try:
            present = list(self._client.nthreads())
        except (OSError, ValueError, RuntimeError):
            raise self._gone() from None
        for worker in present:
            if worker not in self._ready and worker not in self._checks:
                request = asking(self._of, None, None, "")
                self._checks[worker] = self._client.submit(task(), request, pure=False, workers=[worker])
        for worker, check in list(self._checks.items()):
            if worker not in present:
                del self._checks[worker]
            elif check.status in ("finished", "error"):
                with suppress(TimeoutError, KilledWorker):  # it died before its answer was here
                    self._answer(check, worker, CONNECT_S)
                    self._ready.add(worker)
                    del self._checks[worker]
        if present:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > WORKERS_S:
            raise InputError(
                f"the cluster at {self._address} has no workers, for {WORKERS_S:.0f} s now; start some, as dask worker "
                f"{self._address} --nthreads 1. Where a search had begun, {GOES_ON}"
            )
        return len(present)

    def wait(self, waiting: Callable[[], None]) -> None:
        """Until one of the workers is ready; ``waiting`` is called between two looks."""
        while not self.check() or not self._ready:
            waiting()
            time.sleep(LOOK_S / 5)

    def stop(self) -> None:
        """Whoever waits for an answer is interrupted, now."""
        self.stopped = True
        for future in list(self._asked):
            future.cancel()

    def _answer(self, future: Future, worker: str = "", timeout: float | None = None) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(future.result(timeout))
        except CancelledError:
            if self.stopped:
                raise KeyboardInterrupt from None
            raise self._gone() from None
        if REFUSAL in answer:
            who = f"the worker {worker}" if worker else "a worker"
            raise prefixed(
                InputError(answer[REFUSAL]), f"{who} of the cluster at {self._address} cannot measure"
            )
        return answer

    def _gone(self) -> InputError:
        return InputError(
            f"the Dask scheduler at {self._address} does not answer any more; {GOES_ON} when it does"
        )


@contextmanager
def connected(executor: str, run: Run) -> Iterator[Cluster]:
    """The cluster at an address. Raises InputError where none is."""
    address = executor.removeprefix(DASK)
    try:
        from distributed import Client
    except ImportError:
        raise InputError(
            f"cannot use the executor {executor}: Dask is not installed; pip install 'oncefit[dask]'"
        ) from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what it has to say is said here
    try:
        # without a scheme, which Dask's own configuration says, as it does where certificates are
        client = Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"there is no Dask scheduler at {address}: {' '.join(str(error).split())}; start one with dask scheduler, or "
            "leave --executor out"
        ) from None
    with client:
        yield Cluster(client, address, question(run))


class Threads:
    """Workers of a study that have a cluster measure for them, at most as many as it has workers."""

    def __init__(self, run: Run, cluster: Cluster, most: int) -> None:
        self._run, self._cluster, self._most = run, cluster, min(most, MOST_AT_ONCE)
        self._threads: list[threading.Thread] = []
        self._leaving = threading.Event()
        self._error: BaseException | None = None

    def look(self, wanted: bool) -> int:
        """Begin as many as there are workers, if they are wanted; the number of those at work, or to come. Raises what one of them raised."""
        if self._error is not None:
            raise self._error
        while wanted and len(self._threads) < min(self._cluster.check(), self._most):
            self._threads.append(threading.Thread(target=self._work, daemon=True))
            self._threads[-1].start()
        if wanted and not self._threads:
            return 1  # the cluster has no worker for now
        return sum(thread.is_alive() for thread in self._threads)

    def stop(self, at_once: bool) -> None:
        """Let each finish the arch that it is at, unless they are to stop ``at_once``, or a second Ctrl-C says so."""
        self._leaving.set()
        try:
            if not at_once:
                self._await(None)
        finally:
            self._cluster.stop()
            self._await(LEAVE_S)

    def _await(self, seconds: float | None) -> None:
        began = time.monotonic()
        while any(thread.is_alive() for thread in self._threads):
            if seconds is not None and time.monotonic() - began > seconds:
                return
            time.sleep(LOOK_S / 5)

    def _work(self) -> None:
        try:
            join_search(self._run, self._told, measures=True)
        except KeyboardInterrupt:
            pass
        except BaseException as error:
            self._error = self._error or error

    def _told(self, _: Progress) -> None:
        if self._leaving.is_set():
            raise KeyboardInterrupt


@contextmanager
def threads(run: Run, cluster: Cluster, most: int) -> Iterator[Threads]:
    """At work in a run; whatever ends the body, none is left."""
    made = Threads(run, cluster, most)
    try:
        yield made
    except KeyboardInterrupt:
        say("waiting for the subnets that are being measured; a second Ctrl-C stops at once")
        made.stop(at_once=False)
        raise
    except BaseException:
        made.stop(at_once=True)
        raise
