"""Archs are values, and the network has one name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from supernet.conformance.subject import Mismatch, NotApplicable, Subject


def check_archs(subject: Subject) -> Iterator[Mismatch]:
    """Archs are canonical, and the same through JSON and through integers."""
    space = subject.supernet.space
    largest = {d.name: d.choices[-1] for d in space.dimensions}
    for arch in subject.archs:
        for what, found in (
            ("through JSON", space.from_json(arch.to_json())),
            ("through integers", space.decode(space.encode([arch]))[0]),
            ("with choices of what it skips", space.arch({**largest, **arch.values})),
        ):
            if found != arch or found.id != arch.id:
                yield Mismatch(f"the arch {what}", arch.to_json(), found.to_json(), arch)


def check_fingerprint(subject: Subject) -> Iterator[Mismatch]:
    """Described again, the supernet has the same fingerprint, and the same layers."""
    supernet = subject.supernet
    if supernet.with_outputs is None:
        raise NotApplicable("given in Python, it is described once")
    again = replace(supernet, family=supernet.with_outputs(supernet.classes))
    if again.fingerprint != supernet.fingerprint:
        yield Mismatch("the fingerprint of the same description", supernet.fingerprint, again.fingerprint)
    for arch in subject.archs:
        if (found := again.layers(arch)) != (expected := supernet.layers(arch)):
            pair = next((pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]), None)
            if pair is None:
                yield Mismatch("layers", f"{len(expected)} of them", f"{len(found)}", arch)
            else:
                yield Mismatch("layers of the same description", str(pair[0]), str(pair[1]), arch)
