"""One point of a search space, as a value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

Choice = int | float

PRECISION = "precision"
"""The dimension of archs that say their precision, see :mod:`supernet.archs.precisions`."""
FLOAT32, INT8 = "fp32", "int8"
BITS_OF: Mapping[str, int] = {INT8: 8, FLOAT32: 32}
"""Of a weight, by the precision's name; they ascend, as choices do."""


@dataclass(frozen=True)
class Arch:
    """A subnetwork of one space: frozen, canonical, hashable.

    ``choices`` holds ``(dimension name, value)`` pairs in the order of the
    space, without those of skipped blocks. Build one with
    :meth:`supernet.archs.space.SearchSpace.arch`, which checks and canonicalises.
    """

    space: str
    choices: tuple[tuple[str, Choice], ...]

    @cached_property
    def values(self) -> Mapping[str, Choice]:
        return dict(self.choices)

    def __getitem__(self, dimension: str) -> Choice:
        return self.values[dimension]

    @property
    def resolution(self) -> int:
        """Side of the square input image in pixels."""
        return int(self.values["resolution"])

    @property
    def precision(self) -> str:
        """The name of its precision; what says none is in float32."""
        bits = self.values.get(PRECISION)
        return next((name for name, known in BITS_OF.items() if known == bits), FLOAT32)

    @cached_property
    def network(self) -> Arch:
        """Without its precision: which network it is."""
        if PRECISION not in self.values:
            return self
        return Arch(self.space, tuple(pair for pair in self.choices if pair[0] != PRECISION))

    @cached_property
    def id(self) -> str:
        """Ten hex digits that name the network, the same in every process; in int8 they are followed by ``-int8``."""
        digits = hashlib.sha256(self.network.to_json().encode()).hexdigest()[:10]
        return digits if self.precision == FLOAT32 else f"{digits}-{self.precision}"

    def known_as(self, arch_id: str) -> Arch:
        """The same, whose ``id`` was computed before."""
        self.__dict__["id"] = arch_id
        return self

    def to_dict(self) -> dict[str, object]:
        return {"space": self.space, "choices": dict(self.choices)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def __str__(self) -> str:
        """For people: ``r28 d2-3-4 k3.5-5.5.7-3.3.3.5 e2.4-...``, and its precision where it says one."""
        groups: dict[str, dict[str, list[str]]] = {}
        for name, value in self.network.choices:
            kind, _, place = name.partition(".")
            groups.setdefault(kind, {}).setdefault(place.partition(".")[0], []).append(f"{value:g}")
        between = "," if any(isinstance(value, float) for _, value in self.choices) else "."
        told = " ".join(
            ("r" if kind == "resolution" else kind[0])
            + "-".join(between.join(values) for values in stages.values())
            for kind, stages in groups.items()
        )
        return told if self.network is self else f"{told} {self.precision}"
