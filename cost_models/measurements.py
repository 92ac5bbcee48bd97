"""Raw measurements of subnets, as a document: every round's median in milliseconds, in the order it was taken.

A device file keeps them beside what was fitted to them, so that anyone can fit again. The subnets are measured
in rounds, all of them in each; a reference net is measured again and again between them, and tells when the
machine itself became slower (:mod:`cost_models.drift`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from supernet.amounts import Count
from supernet.archs.arch import Arch
from supernet.documents import Document
from supernet.errors import InputError
from supernet.families.catalog import Supernet

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[str, ...] = get_args(Precision)
Ms = Annotated[float, Field(gt=0)]
Place = Annotated[int, Field(ge=0)]


class Setup(Document):
    """What a subnet is run with. Each of these moves its latency, so none is left to a runtime's default."""

    runtime: str = "onnxruntime"
    threads: Count = 1
    batch: Count = 1
    precision: Precision = "fp32"


class Timing(Document):
    """How long a subnet is timed in one round, and at most how many runs warm it up before."""

    slice_s: float = Field(gt=0)
    warm_up_runs: Count


class MeasuredArch(Document):
    """An arch in its JSON encoding, :meth:`supernet.archs.arch.Arch.to_dict`."""

    space: str
    choices: dict[str, int | float]

    @property
    def key(self) -> tuple[object, ...]:
        """The same for the same arch, however its choices are ordered."""
        return (self.space, *sorted(self.choices.items()))


class MeasuredSubnet(Document):
    """The median milliseconds of one call, for the whole batch, in each round."""

    arch: MeasuredArch
    rounds_ms: tuple[Ms, ...] = Field(min_length=1)


class MeasuredLayers(Document):
    """The same of a block, or of a layer that stands alone, as a network of its own; ``key`` is that of a latency table."""

    key: str
    rounds_ms: tuple[Ms, ...] = Field(min_length=1)


class Reference(Document):
    """A net that is measured before the first subnet of a round, after every ``every`` subnets, and after the last.

    ``rounds_ms`` has a list of its medians for each round.
    """

    arch: MeasuredArch
    every: Count
    rounds_ms: tuple[tuple[Ms, ...], ...] = Field(min_length=1)


class Measurements(Document):
    """What was measured, of which supernet, with what, in which order.

    ``order`` has a list for each round: the places in ``subnets``, then in ``layers`` if there are any, in the order
    in which they were measured.
    ``reported`` is what the runtime said of itself once a subnet was loaded, as the precision it computes in.
    """

    supernet: str
    fingerprint: str
    setup: Setup
    timing: Timing
    reported: dict[str, str | int | float] = {}
    versions: dict[str, str]
    cpu: str
    date: str
    order: tuple[tuple[Place, ...], ...] = Field(min_length=1)
    subnets: tuple[MeasuredSubnet, ...] = Field(min_length=1)
    layers: tuple[MeasuredLayers, ...] | None = None
    reference: Reference

    @property
    def rounds(self) -> int:
        return len(self.order)

    @model_validator(mode="after")
    def complete(self) -> Self:
        """Every subnet, layer and the reference have a figure for every round, and none of them comes twice."""
        layers = self.layers or ()
        count, rounds = len(self.subnets) + len(layers), self.rounds
        what = "subnets and layers" if layers else "subnets"
        for i, turn in enumerate(self.order):
            if sorted(turn) != list(range(count)):
                raise ValueError(f"order.{i} must name each of the {count} {what} once, by 0 to {count - 1}")
        taken = {f"subnets.{i}": subnet.rounds_ms for i, subnet in enumerate(self.subnets)}
        taken |= {f"layers.{i}": layer.rounds_ms for i, layer in enumerate(layers)}
        for name, times in taken.items():
            if len(times) != rounds:
                raise ValueError(f"{name} has {len(times)} rounds_ms, but there are {rounds} rounds")
        if len({subnet.arch.key for subnet in self.subnets}) != len(self.subnets):
            raise ValueError("a subnet is there twice")
        if len({layer.key for layer in layers}) != len(layers):
            raise ValueError("a layer is there twice")
        readings = readings_of(count, self.reference.every)
        wrong = [len(found) for found in self.reference.rounds_ms if len(found) != readings]
        if wrong or len(self.reference.rounds_ms) != rounds:
            raise ValueError(
                f"reference.rounds_ms must have {rounds} lists of {readings}: the reference is measured before "
                f"the first of {count} {what}, after every {self.reference.every}, and after the last"
            )
        return self


def readings_of(subnets: int, every: int) -> int:
    """How often the reference is measured in a round."""
    return 1 + math.ceil(subnets / every)


def measured_arch(arch: Arch) -> MeasuredArch:
    return MeasuredArch(space=arch.space, choices=dict(arch.choices))


def archs_of(measured: Measurements, supernet: Supernet) -> list[Arch]:
    """The measured archs. Raises InputError for measurements of another supernet, and for what is not in its space."""
    if measured.fingerprint != supernet.fingerprint:
        raise InputError(
            f"these measurements are of the network of {measured.supernet} ({measured.fingerprint}), not of that "
            f"of {supernet.name} ({supernet.fingerprint}): give --supernet {measured.supernet}, or measure "
            f"{supernet.name}"
        )
    return [supernet.space.from_dict(subnet.arch.model_dump()) for subnet in measured.subnets]


def subnets_of(archs: Iterable[Arch], rounds_ms: Iterable[Iterable[float]]) -> tuple[MeasuredSubnet, ...]:
    """Archs with their rounds, as the document has them."""
    pairs = zip(archs, rounds_ms, strict=True)
    return tuple(MeasuredSubnet(arch=measured_arch(arch), rounds_ms=tuple(times)) for arch, times in pairs)


def layers_of(keys: Iterable[str], rounds_ms: Iterable[Iterable[float]]) -> tuple[MeasuredLayers, ...]:
    """The same of layers by their keys."""
    pairs = zip(keys, rounds_ms, strict=True)
    return tuple(MeasuredLayers(key=key, rounds_ms=tuple(times)) for key, times in pairs)
