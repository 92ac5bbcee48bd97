"""One point of a search space, as a value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

Choice = int | float


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

    @cached_property
    def id(self) -> str:
        """Ten hex digits that name the arch, the same in every process."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:10]

    def to_dict(self) -> dict[str, object]:
        return {"space": self.space, "choices": dict(self.choices)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), separators=(",", ":"))

    def __str__(self) -> str:
        """For people: ``r28 d2-3-4 k3.5-5.5.7-3.3.3.5 e2.4-...``."""
        groups: dict[str, dict[str, list[str]]] = {}
        for name, value in self.choices:
            kind, _, place = name.partition(".")
            groups.setdefault(kind, {}).setdefault(place.partition(".")[0], []).append(f"{value:g}")
        between = "," if any(isinstance(value, float) for _, value in self.choices) else "."
        return " ".join(
            ("r" if kind == "resolution" else kind[0])
            + "-".join(between.join(values) for values in stages.values())
            for kind, stages in groups.items()
        )
