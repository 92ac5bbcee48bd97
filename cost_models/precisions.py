"""Costs of archs that say their precision: the tables of each precision side by side, with one more column.

A cost at one precision is a sum, or a maximum, over the layers of the network, on the device as it is at that
precision. So the joint cost is in tables too, and batches, exact reaches and certificates are had of it as of any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cost_models.device import Device
from cost_models.protocol import Target
from cost_models.tables import Factor, TableCost
from supernet.archs.arch import PRECISION
from supernet.archs.space import SearchSpace
from supernet.errors import InputError
from supernet.families.catalog import Supernet


def across(builder: Callable[[Target], TableCost], target: Target) -> TableCost:
    """The cost of a supernet with precisions. Raises InputError where its device lacks one that the cost needs."""
    supernet = target.supernet
    parts = [builder(at_one(target, name)) for name in supernet.precisions]
    return joined_tables(parts, supernet.space)


def at_one(target: Target, precision: str) -> Target:
    """What a cost is made for at one precision: the supernet without it, the device as it is there."""
    network, device = target.supernet.of_networks, target.device
    return Target(network, device and device_at(device, precision, network), precision)


def device_at(device: Device, precision: str, supernet: Supernet) -> Device:
    """Raises InputError, with the remedy, for a device of which nothing is known at a precision."""
    found = device.at_precision(precision)
    if found is None:
        raise InputError(
            f"device {device.name!r} has no latency at {precision}: it was measured in {device.precision}. "
            f"oncefit profile {device.name}-{precision} --precision {precision} --supernet {supernet.name} measures this "
            f"machine so; then give device: {{base: {device.name}, at: {{{precision}: {device.name}-{precision}}}}}, "
            f"or search by costs that need no device, or leave {precision} out of precision"
        )
    return found


def joined_tables(parts: Sequence[TableCost], space: SearchSpace) -> TableCost:
    """One cost whose tables have the precision, the last dimension of ``space``, as their last axis."""
    first, column = parts[0], space.index[PRECISION]
    alike = all(
        [factor.columns for factor in part.factors] == [f.columns for f in first.factors] for part in parts
    )
    factors = (
        [stacked_tables(tables, column) for tables in zip(*(part.factors for part in parts), strict=True)]
        if alike
        else [alone(factor, i, len(parts), column) for i, part in enumerate(parts) for factor in part.factors]
    )
    offsets = np.array([part.offset for part in parts])
    if (offsets == first.offset).all():
        return TableCost(first.name, space, tuple(factors), first.combine, first.offset)
    return TableCost(first.name, space, (*factors, Factor((column,), offsets)), first.combine)


def stacked_tables(tables: Sequence[Factor], column: int) -> Factor:
    """The tables of one segment at each precision; as they are where the precision makes no difference."""
    first = tables[0]
    if all(np.array_equal(first.table, other.table) for other in tables):
        return first
    return Factor((*first.columns, column), np.stack([other.table for other in tables], axis=-1))


def alone(factor: Factor, place: int, count: int, column: int) -> Factor:
    """A table that counts at one of ``count`` precisions, and is nothing at the others."""
    table = np.zeros((*factor.table.shape, count))
    table[..., place] = factor.table
    return Factor((*factor.columns, column), table)
