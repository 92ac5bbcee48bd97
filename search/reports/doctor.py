"""What is installed here: runtimes and converters, whether each works with the others, and what to type for the rest."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from supernet.formats.protocol import is_installed
from supernet.formats.registry import EXPORT_FORMATS, export_format

if TYPE_CHECKING:
    from rich.table import Table

CORE = ("oncefit", "torch", "torchvision", "onnx", "onnxruntime", "numpy", "ofa", "optuna", "safetensors")
EXTRAS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "postgresql": ("one study in a database", ("psycopg",)),
    "grpc": ("one study behind a proxy", ("grpcio",)),
    "carbon": ("measured emissions", ("codecarbon", "nvidia-ml-py")),
    "dashboard": ("a look into a study", ("optuna-dashboard",)),
}
"""Extras that are no format: what they are for, and their packages."""
MODULES = {"grpcio": "grpc", "nvidia-ml-py": "pynvml", "optuna-dashboard": "optuna_dashboard"}
"""What is imported of a package that is called otherwise."""
LIMIT_S = 180
WORKS, FAILS, MISSING = "works", "fails", "not installed"
DOCTOR_COLUMNS, FOUND_WIDTH = 80, 44
"""Characters of a line, and of the widest column of a table that is no wider."""
PROBE = "search.reports.probe_format"


@dataclass(frozen=True)
class Diagnosis:
    """Of one format or extra: ``state`` is ``works``, ``fails`` or ``not installed``, and ``remedy`` what to type."""

    name: str
    about: str
    state: str
    versions: Mapping[str, str]
    told: str = ""
    remedy: str = ""


def diagnose() -> dict[str, Any]:
    """Versions, and what became of a tiny network in each format and of the import of each further extra.

    Each is tried in a process of its own: what crashes takes nothing with it.
    """
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2)) as pool:
        formats = list(pool.map(of_one_format, EXPORT_FORMATS))
        extras = list(pool.map(of_one_extra, EXTRAS))
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: found for name in CORE if (found := version_here(name)) is not None},
        "formats": {one.name: as_values(one) for one in formats},
        "extras": {one.name: as_values(one) for one in extras},
    }


def as_values(found: Diagnosis) -> dict[str, Any]:
    values = {
        "about": found.about,
        "state": found.state,
        "versions": dict(found.versions),
        "told": found.told,
    }
    return values | ({"remedy": found.remedy} if found.remedy else {})


def of_one_format(name: str) -> Diagnosis:
    format = export_format(name)
    packages = dict.fromkeys((*format.packages, *format.runtime))
    found = {package: known for package in packages if (known := version_here(package)) is not None}
    if missing := [package for package in packages if not is_installed(package)]:
        told = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not here"
        return Diagnosis(name, format.about, MISSING, found, told, format.how)
    state, told = tried([sys.executable, "-m", PROBE, name])
    return Diagnosis(name, format.about, state, found, told, upgraded(format.how) if state == FAILS else "")


def of_one_extra(name: str) -> Diagnosis:
    about, packages = EXTRAS[name]
    how = f"pip install 'oncefit[{name}]'"
    found = {package: known for package in packages if (known := version_here(package)) is not None}
    if missing := [package for package in packages if package not in found]:
        return Diagnosis(name, about, MISSING, found, f"{' and '.join(missing)} not here", how)
    imports = "; ".join(f"import {MODULES.get(package, package)}" for package in packages)
    state, told = tried([sys.executable, "-c", imports])
    return Diagnosis(name, about, state, found, told, upgraded(how) if state == FAILS else "")


def upgraded(how: str) -> str:
    return how.replace("pip install", "pip install --upgrade", 1)


def tried(command: list[str]) -> tuple[str, str]:
    """Whether a process ends well, and what it says: a line of JSON, or the last line of what it complains of."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, env=environment(), check=False
        )
    except subprocess.TimeoutExpired:
        return FAILS, f"no answer within {LIMIT_S} s"
    if done.returncode < 0:
        return FAILS, f"the process was ended by signal {-done.returncode}"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines() or [""]
    if done.returncode != 0:
        return FAILS, lines[-1][:300]
    return WORKS, told_by(lines[-1])


def told_by(line: str) -> str:
    try:
        return str(json.loads(line)["told"])
    except (ValueError, KeyError, TypeError):
        return "is imported"


def environment() -> dict[str, str]:
    """This one, in which our packages are found as they are here."""
    ours = str(files("search").joinpath(".."))
    path = os.pathsep.join(filter(None, [os.path.realpath(ours), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}


def version_here(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def doctor_table(found: Mapping[str, Any]) -> Table:
    """Formats, then further extras: whether they work, what was found, and with which versions; at most 80 columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE)
    for heading in ("", "state"):
        made.add_column(heading, no_wrap=True)
    made.add_column("found", overflow="fold", max_width=FOUND_WIDTH)
    for kind in ("formats", "extras"):
        for name, one in found[kind].items():
            versions = ", ".join(f"{package} {known}" for package, known in one["versions"].items())
            made.add_row(*map(Text, (name, one["state"], "\n".join(filter(None, (one["told"], versions))))))
        made.add_section()
    return made


def doctor_title(found: Mapping[str, Any]) -> str:
    """What it runs on, and the versions of what oncefit stands on."""
    versions = ", ".join(f"{name} {known}" for name, known in found["versions"].items())
    return f"Python {found['python']} on {found['platform']}\n{textwrap.fill(versions, DOCTOR_COLUMNS)}"


def doctor_notes(found: Mapping[str, Any]) -> str:
    """What to type, for each that is missing or does not work."""
    every = {**found["formats"], **found["extras"]}
    lines = [f"  {one['remedy']}" for one in every.values() if "remedy" in one]
    failing = [name for name, one in every.items() if one["state"] == FAILS]
    told = f"Does not work: {', '.join(failing)}.\n" if failing else ""
    return told + (
        "For what is not here, type:\n" + "\n".join(lines) if lines else "All of it is here and works."
    )
