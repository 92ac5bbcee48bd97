"""The folder that a run has where none is given."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from search.runs.config import NO_PREDICTOR
from supernet.families.catalog import DATA_SETS

FILE_SUFFIXES = (".safetensors", ".yaml")
MOST_NAMED = 3
"""Devices of a fleet that its folder is named after."""
DIGITS_OF_NAME = 6
"""Of a hash in a folder's name, which tell two paths apart."""


def run_name(config: str | Path | None, settings: Mapping[str, object], budgets: Sequence[str]) -> str:
    """The config's name, or the supernet's, and what was given beside it: ``macs-macs2e6-tpe``.

    ``budgets`` are ``cost=number`` as they were typed.
    """
    parts = [base(config if config is not None else settings.get("supernet")), *budgets]
    named = {
        "device": base,
        "devices": fleet_name,
        "region": base,
        "data": data_name,
        "predictor": predictor_name,
        "sampler": base,
        "precision": precisions_name,
    }
    parts += [name(settings[key]) for key, name in named.items() if settings.get(key) is not None]
    seed, race = settings.get("seed"), settings.get("race")
    parts += [f"seed{seed}"] if seed is not None else []
    parts += ["race" if race else "no-race"] if race is not None else []
    return "-".join(
        part.replace("=", "").replace("/", "_").replace(": ", "-").replace(" ", "_") for part in parts
    )


def as_typed(budgets: Mapping[str, Any]) -> list[str]:
    """``cost=number``, as short as a person would type it."""
    exact = {
        name: f"{limit:g}" if float(f"{limit:g}") == limit else f"{limit:.17g}"
        for name, limit in budgets.items()
    }
    return [f"{name}={limit}".replace("e+0", "e").replace("e+", "e") for name, limit in exact.items()]


def base(given: object) -> str:
    """A name, or the last part of a path without its ending; of a mapping, as a device's variant, all names in it."""
    if isinstance(given, Mapping):
        return "-".join(base(value) for value in given.values() if isinstance(value, str))
    name = Path(str(given)).name
    return next((name.removesuffix(end) for end in FILE_SUFFIXES if name.endswith(end)), name)


def fleet_name(given: object) -> str:
    """Of a few devices all their names, of many how many there are."""
    devices = list(given) if isinstance(given, (list, tuple, Mapping)) else []
    return "-".join(map(base, devices)) if len(devices) <= MOST_NAMED else f"{len(devices)}-devices"


def predictor_name(given: object) -> str:
    """As :func:`base`; that a search is to begin with none is said in full."""
    return "no-predictor" if given == NO_PREDICTOR else base(given)


def precisions_name(given: object) -> str:
    """``int8-fp32``."""
    return "-".join(map(str, given)) if isinstance(given, (list, tuple)) else str(given)


def data_name(given: object) -> str:
    """A data set's name, or that of a folder with digits of its whole path: many are called ``images``."""
    if given in DATA_SETS:
        return str(given)
    path = Path(str(given)).resolve()
    return f"{path.name}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:DIGITS_OF_NAME]}"
