"""What the manifest of a kit and the result of one look like."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cost_models.kit import measure
from supernet.amounts import Count, Seed, ShownName
from supernet.documents import Document

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class KitModel(Document):
    """An ONNX file of the kit and the arch it is of; ``random`` ones are those on which the fit's error is told."""

    id: str
    file: str
    sha256: str
    arch: dict[str, object]
    channels: Count
    resolution: Count
    random: bool


class Weights(Document):
    """The pseudo-random numbers that all models share: uniform between plus and minus ``bound``."""

    file: str
    bytes: Annotated[int, Field(gt=0)]
    seed: Seed
    bound: Positive
    sha256: str


class KitSettings(Document):
    """What latencies depend on besides the device; :func:`cost_models.profiling.settings` has more, of the same names."""

    runtime: str
    threads: Count
    provider: str
    execution: str
    graph_optimization: str
    batch: Count
    rounds: Count
    slice_s: Positive
    warm_up_runs: Count
    reference_every: Count


class Manifest(Document):
    """What a kit holds, and for which network."""

    kind: Literal["oncefit kit"] = "oncefit kit"
    format: Literal[1] = 1
    name: ShownName
    supernet: str
    fingerprint: str
    classes: Count
    settings: KitSettings
    weights: Weights
    reference: str
    models: Annotated[tuple[KitModel, ...], Field(min_length=2)]
    seal: str


class Machine(Document):
    """The device as the program found it."""

    cpu: str
    cores: Annotated[int, Field(ge=0)]
    machine: str
    system: str
    versions: dict[str, str]


class Round(Document):
    """Median milliseconds of each model in one round, in which ``order``, and of the reference between them."""

    order: tuple[str, ...]
    times_ms: dict[str, Positive]
    reference_ms: Annotated[tuple[Positive, ...], Field(min_length=2)]


class KitResult(Document):
    """What ``measure.py`` wrote."""

    kind: Literal["oncefit kit result"]
    format: Literal[1]
    finished: bool
    manifest: Manifest
    settings: KitSettings
    device: Machine
    began: str
    ended: str
    rounds: tuple[Round, ...]
    seal: str


def seal_of(document: Mapping[str, object]) -> str:
    """What ``measure.py`` seals a document with."""
    return measure.seal_of(dict(document))


def as_text(document: Mapping[str, object]) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def content_sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
