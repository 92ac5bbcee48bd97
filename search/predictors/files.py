"""Predictors on disk: one safetensors file each, with the card as JSON in its metadata."""

from __future__ import annotations

import hashlib
import importlib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from search.predictors.kinds import KINDS
from search.predictors.protocol import Prediction, Predictor, PredictorCard
from supernet import documents
from supernet.archs.space import SearchSpace
from supernet.atomic import whole
from supernet.cache import default_cache
from supernet.errors import InputError, some, unknown

if TYPE_CHECKING:
    from supernet.families.catalog import Supernet

Tensors = Mapping[str, npt.NDArray[np.float32]]

SUFFIX = ".safetensors"
PRETRAINED_PREDICTORS = Path(__file__).parent / "pretrained"
"""Predictors that ship with the package."""
CARD = "card"
SAMPLE = 64
"""Random archs of a space that :func:`check_choices` predicts."""
PLAUSIBLE = (-0.5, 1.5)
"""Top-1 as a fraction that an intact predictor may say: far beyond the data it may leave 0 to 1, but not by much."""


def predictor_folder() -> Path:
    """Where predictors of one's own are kept."""
    return default_cache() / "predictors"


def predictor_names() -> list[str]:
    """The predictors that are known by name: those that ship, and one's own."""
    return sorted(
        {
            path.stem
            for place in (PRETRAINED_PREDICTORS, predictor_folder())
            for path in place.glob(f"*{SUFFIX}")
        }
    )


def find_predictor(name_or_path: str) -> Path:
    """The file of a predictor: one's own by name, one that ships, or a path.

    Raises InputError that lists the names there are.
    """
    if name_or_path.endswith(SUFFIX):
        if Path(name_or_path).is_file():
            return Path(name_or_path)
        raise InputError(
            f"there is no predictor file {name_or_path}; known by name: {some(predictor_names()) or 'none'}"
        )
    for place in (predictor_folder(), PRETRAINED_PREDICTORS):
        if (place / f"{name_or_path}{SUFFIX}").is_file():
            return place / f"{name_or_path}{SUFFIX}"
    error = unknown("predictor", name_or_path, predictor_names())
    raise InputError(
        f"{error}. Make it with oncefit predictor import {name_or_path} FILE --supernet NAME, or with "
        "oncefit predictor train"
    )


def is_known(name_or_path: str) -> bool:
    """Whether :func:`find_predictor` leads somewhere."""
    return name_or_path in predictor_names() or (
        name_or_path.endswith(SUFFIX) and Path(name_or_path).is_file()
    )


def read_predictor(path: Path) -> Predictor:
    """The predictor in a file. Raises InputError for a file that holds none, or a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error
    if broken := [name for name, values in tensors.items() if not np.isfinite(values).all()]:
        raise InputError(
            f"{path} is damaged: its tensor {broken[0]} holds numbers that are not finite; import or train the "
            "predictor again"
        )
    if CARD not in metadata:
        raise InputError(f"{path} holds no predictor: it has no card; oncefit predictor makes one that has")
    card = documents.check_json(metadata[CARD], PredictorCard, f"card of {path}")
    if card.kind not in KINDS:
        raise unknown(f"kind of predictor in {path}:", card.kind, KINDS)
    module, _, builder = KINDS[card.kind].partition(":")
    made: Predictor = getattr(importlib.import_module(module), builder)(card, tensors)
    return made


def write_predictor(predictor: Predictor, path: Path) -> None:
    """Write a predictor's file, whole or not at all."""
    from safetensors.numpy import save

    tensors = {name: np.ascontiguousarray(values) for name, values in predictor.tensors().items()}
    metadata = {CARD: predictor.card.model_dump_json(exclude_none=True)}
    with whole(path) as partial:
        partial.write_bytes(save(tensors, metadata))


def open_predictor(name_or_path: str, supernet: Supernet) -> Predictor:
    """The predictor of a name or a file, made for ``supernet``. Raises InputError for another's."""
    path = find_predictor(name_or_path)
    predictor = read_predictor(path)
    check_made_for(predictor.card, supernet, path)
    return predictor


def fitting(supernet: Supernet) -> str | None:
    """The name of the predictor made for ``supernet`` that knows all of its space, if one is known by name.

    Of several the one whose held-out error is least, those last that tell none; files that cannot be read
    are passed over, as ``oncefit predictor list`` does.
    """
    found = [
        (error, name) for name in predictor_names() if (error := error_where_fit(name, supernet)) is not None
    ]
    return min(found)[1] if found else None


def error_where_fit(name: str, supernet: Supernet) -> float | None:
    """Held-out error of a predictor in points, infinite where it tells none; None where it does not fit."""
    try:
        predictor = open_predictor(name, supernet)
        if outside_domain(predictor.card, supernet.space) is not None:
            return None
        check_choices(predictor, supernet.space)
    except InputError:
        return None
    held = predictor.card.held_out
    return held.rmse_points if held is not None else math.inf


def check_made_for(card: PredictorCard, supernet: Supernet, path: Path) -> None:
    """Raises InputError where a predictor is of another network."""
    if card.fingerprint != supernet.fingerprint:
        raise InputError(
            f"the predictor {card.name} ({path}) was made for {card.supernet} with the network "
            f"{card.fingerprint}, not for {supernet.name} ({supernet.fingerprint}); import or train one "
            f"for {supernet.name}: see oncefit predictor --help"
        )


def check_choices(predictor: Predictor, space: SearchSpace) -> None:
    """Raises InputError where a space has a choice that a predictor has no input for, or where it says nonsense.

    Predicted are one arch for each choice, the largest one with that choice, the smallest, and a few at random.
    """
    [largest] = space.encode([space.largest()])
    tried = np.repeat(largest[None], int(space.sizes.sum()), axis=0)
    row = 0
    for column, size in enumerate(space.sizes.tolist()):
        tried[row : row + size, column] = np.arange(size)
        row += size
    some = space.sample(SAMPLE, np.random.default_rng(0))
    codes = np.concatenate([space.canonical(tried), space.encode([space.smallest()]), some])
    with np.errstate(over="ignore", invalid="ignore"):  # said below, in words
        found = predictor.predict(space, codes)
    check_plausible(predictor.card, found)


def check_plausible(card: PredictorCard, found: Prediction) -> None:
    """Raises InputError for a prediction that is not finite, or that no top-1 is near."""
    low, high = PLAUSIBLE
    remedy = "it is damaged, or its top-1 was no fraction: import or train it again"
    wrong = ~((found.top1 >= low) & (found.top1 <= high))
    if wrong.any():
        raise InputError(
            f"the predictor {card.name} predicts a top-1 of {found.top1[wrong][0]:g}, as a fraction; {wrong.sum()} of "
            f"{len(wrong)} subnets that were tried get one outside {low:g} to {high:g}; {remedy}"
        )
    if found.std is not None and not np.isfinite(found.std).all():
        raise InputError(
            f"the predictor {card.name} predicts a standard deviation of "
            f"{found.std[~np.isfinite(found.std)][0]:g}, which is not finite; {remedy}"
        )


def digest(predictor: Predictor) -> str:
    """Sixteen hex digits that change with any of a predictor's numbers and what its card says."""
    made = hashlib.sha256(predictor.card.model_dump_json().encode())
    for name, values in sorted(predictor.tensors().items()):
        made.update(f"{name}{values.shape}{values.dtype}".encode())
        made.update(np.ascontiguousarray(values).tobytes())
    return made.hexdigest()[:16]


def outside_domain(card: PredictorCard, space: SearchSpace) -> str | None:
    """What is to be said where a space has choices that a predictor was not trained on."""
    for name, seen in card.domain.items():
        foreign = sorted(
            {c for d in space.dimensions if name in (d.name, d.kind) for c in d.choices} - set(seen)
        )
        if foreign:
            return (
                f"warning: the predictor {card.name} was trained on {name} {listed_choices(seen)} only and is asked about "
                f"{listed_choices(foreign)}, where it extrapolates; to keep the search where it knows something, put "
                f"space: {{{name}: [{listed_choices(seen)}]}} into its YAML"
            )
    return None


def listed_choices(choices: Iterable[object]) -> str:
    found = [f"{choice:g}" if isinstance(choice, float) else str(choice) for choice in choices]
    return ", ".join(found) if len(found) <= 10 else f"{', '.join(found[:5])}, ..., {found[-1]}"
