"""Runtimes by name."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping

from cost_models.measurements import Setup
from cost_models.runtimes.protocol import Runtime
from supernet.errors import InputError, unknown

RUNTIMES: Mapping[str, str] = {
    "onnxruntime": "cost_models.runtimes.run_onnxruntime",
    "openvino": "cost_models.runtimes.run_openvino",
    "torch": "cost_models.runtimes.run_torch",
    "litert": "cost_models.runtimes.run_litert",
    "executorch": "cost_models.runtimes.run_executorch",
}
"""Modules with a ``RUNTIME`` each; they import what they run when they are asked to."""


def runtime_of(name: str) -> Runtime:
    """The runtime of a name, installed or not. Raises InputError for an unknown name."""
    if name not in RUNTIMES:
        raise unknown("runtime", name, RUNTIMES)
    found = importlib.import_module(RUNTIMES[name]).RUNTIME
    assert isinstance(found, Runtime)
    return found


def open_runtime(setup: Setup) -> Runtime:
    """The runtime of a setup that it can do here.

    Raises InputError for an unknown one, for a precision it has not, for more threads than there are processors,
    and where it is not installed: what is possible, and what installs it.
    """
    runtime = runtime_of(setup.runtime)
    if setup.precision not in runtime.precisions:
        others = [n for n in RUNTIMES if setup.precision in runtime_of(n).precisions]
        raise InputError(
            f"--precision {setup.precision} is nothing that {runtime.name} can do here: it does "
            f"{', '.join(runtime.precisions)}; {setup.precision} is done by {', '.join(others)}"
        )
    if setup.threads > processors():
        raise InputError(
            f"--threads: got {setup.threads}, and this process may use {processors()} processors; more threads "
            "than that wait for each other"
        )
    check_installed(runtime)
    return runtime


def check_installed(runtime: Runtime) -> None:
    """Raises InputError for a runtime that is not here: what installs it, and what is here."""
    if missing := runtime.missing():
        how = f"pip install 'oncefit[{runtime.extra}]'" if runtime.extra else f"pip install {missing[0]}"
        raise InputError(
            f"runtime {runtime.name} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            f"installed: {how} does that{runtime.note}. Installed here: {', '.join(available())}"
        )


def available() -> list[str]:
    """The runtimes that are installed."""
    return [name for name in RUNTIMES if not runtime_of(name).missing()]


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
