"""Weights that do not ship: fetched or imported once, kept as safetensors in the cache, checked ever after.

``NAME.yaml`` says where the checkpoint came from, when, and size and sha256 of the checkpoint and
of what was made of it, which stands beside it as ``NAME.SHA256.safetensors`` with the hash's
first digits. New weights thus never replace those of the record that is there: whatever is killed when,
the record's weights are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints

from supernet import documents
from supernet.cache import default_cache
from supernet.documents import Document
from supernet.downloads import Content
from supernet.errors import InputError
from supernet.weights.stored_weights import StoredWeights

OFFICIAL = documents.CONFIGS / "weights" / "official.yaml"
HASH_DIGITS = 12
"""Of a sha256 in the name of a file."""

Address = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]


class Published(Document):
    """A published checkpoint: addresses of the file, pages for a browser, and what it holds, if known."""

    addresses: tuple[Address, ...]
    by_hand: tuple[Address, ...] = ()
    checkpoint: Content | None = None


class PublishedFile(Document):
    """``configs/weights/official.yaml``."""

    supernets: dict[str, Published]


class Record(Document):
    """``NAME.yaml`` in the cache: ``source`` is an address or a file, ``date`` is ISO 8601.

    ``key`` is the one of the checkpoint that the weights are of, where it has keys.
    """

    source: str
    date: str
    checkpoint: Content
    weights: Content
    key: str | None = None


def published_weights() -> Mapping[str, Published]:
    """The published checkpoints by supernet."""
    return read_published(OFFICIAL)


@lru_cache(maxsize=1)
def read_published(path: Path) -> Mapping[str, Published]:
    return documents.read(path, PublishedFile).supernets


def kept_folder(cache: Path | None = None) -> Path:
    """Where weights are kept."""
    return (cache if cache is not None else default_cache()) / "weights"


def locate(name: str, cache: Path | None = None) -> StoredWeights:
    """The weights of a supernet in the cache.

    Raises InputError that says how to get them where they are not there.
    """
    record = read_record(name, cache)
    if record is None:
        raise InputError(f"the weights of {name} are not here: {remedy(name)}")
    return StoredWeights(kept_path(name, record, cache), record.weights.sha256, remedy(name))


def remedy(name: str) -> str:
    """What to do where the weights of a supernet are missing or damaged, with a network and without."""
    by_import = f"oncefit weights import {name} FILE"
    if name not in published_weights():
        return f"{by_import} takes them from a checkpoint, or name their file under weights in its YAML"
    return (
        f"oncefit weights fetch {name} downloads them; without a network "
        f"copy the checkpoint from elsewhere and run {by_import}"
    )


def read_record(name: str, cache: Path | None = None) -> Record | None:
    """What is known of the weights that are kept, None where none are. Raises InputError for a wrong file."""
    path = record_path(name, cache)
    if not path.is_file():
        return None
    record = recorded(path)
    return record if kept_path(name, record, cache).is_file() else None


def recorded(path: Path) -> Record:
    try:
        return documents.read(path, Record)
    except InputError as error:
        raise InputError(f"{error}; remove that file and get the weights again") from error


def record_path(name: str, cache: Path | None) -> Path:
    return kept_folder(cache) / f"{name}.yaml"


def weights_path(name: str, cache: Path | None) -> Path:
    """Where the weights are that are kept, as the record says. Raises InputError where there is none."""
    return kept_path(name, recorded(record_path(name, cache)), cache)


def kept_path(name: str, record: Record, cache: Path | None) -> Path:
    """Where the weights of a record are kept."""
    return kept_folder(cache) / f"{name}.{record.weights.sha256[:HASH_DIGITS]}.safetensors"


def kept_names(cache: Path | None = None) -> list[str]:
    """Supernets with published weights, and those whose weights were imported."""
    return [
        *published_weights(),
        *sorted({path.stem for path in kept_folder(cache).glob("*.yaml")} - set(published_weights())),
    ]
