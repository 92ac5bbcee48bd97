"""The precision of a subnet as one more choice: a dimension of the space, in bits of a weight.

It stands last in the space of a supernet that is searched in several precisions, and in no other: so its archs are
points of a space like all others, for samplers, costs and the record. The network of an arch is the same at each.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from supernet.archs.arch import BITS_OF, PRECISION
from supernet.archs.space import Codes, Dimension, SearchSpace
from supernet.errors import unknown


def ascending(names: Iterable[str]) -> tuple[str, ...]:
    """The precisions without repeats, that of fewest bits first. Raises InputError for one that is not known."""
    given = list(names)
    for name in given:
        if name not in BITS_OF:
            raise unknown("precision", name, BITS_OF)
    return tuple(name for name in BITS_OF if name in given)


def with_precisions(space: SearchSpace, names: Iterable[str]) -> SearchSpace:
    """The space with precision as its last dimension; the same where there are no names."""
    bits = tuple(BITS_OF[name] for name in ascending(names))
    return replace(space, dimensions=(*space.dimensions, Dimension(PRECISION, bits))) if bits else space


def codes_of_networks(space: SearchSpace, codes: Codes) -> Codes:
    """Codes (n, dimensions) without the column of the precision, where the space has one."""
    return codes[:, :-1] if PRECISION in space.index else codes
