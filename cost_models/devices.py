"""Devices: who runs a subnet, how fast, on how much power, on which grid.

A device is a YAML file in ``configs/devices`` or anywhere. ``host`` is this machine:
its file holds power and region, and its latency model is fitted once for each
supernet and kept in a cache folder, where imported latency tables are too. A file with
``base`` is another device on another grid or with other power figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cost_models.device import Device
from cost_models.device_files import device_file, kept_devices
from cost_models.host import HOST, host_device, host_file
from cost_models.latency import check_space
from cost_models.latency_tables import read_latency_table
from cost_models.variants import Variant, check_grid, check_measured_with, from_file, in_region, varied
from supernet import documents
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.messages import Say

NAME = r"\w[\w-]*(\.[\w-]+)*"
"""What a device may be called: its file is named after it."""


def open_device(
    given: str | Variant, supernet: Supernet, report: Say, refresh: bool = False, region: str | None = None
) -> Device:
    """A device by its name, its YAML file or as a variant, fit for ``supernet``; ``host`` is measured where it must be.

    ``region`` takes it to another grid. Raises InputError for an unknown name, a wrong file, a latency
    model of another space, fields that would not be honoured, and for ``refresh``, which
    measures anew, of another device than ``host``.
    """
    return opened(in_region(given, region), supernet, report, refresh)


def check_there(given: str | Variant) -> None:
    """Raises InputError for a device that is not here, before another one is measured."""
    name = given.base if isinstance(given, Variant) else given
    if name != HOST:
        device_file(name)


def opened(
    given: str | Variant, supernet: Supernet, report: Say, refresh: bool, above: tuple[Path, ...] = ()
) -> Device:
    """``above`` are the files whose base it is, in turn."""
    if isinstance(given, Variant):
        check_grid(given)
        there = (given.at or {}).items()
        at: dict[str, Device] = {name: opened(one, supernet, report, False, above) for name, one in there}
        others = supernet.at_precisions(name for name in supernet.precisions if name not in at)
        return varied(opened(given.base, others, report, refresh, above), given, at)
    if given == HOST:
        return host_device(supernet, report, refresh)
    path = device_file(given)
    if path.samefile(host_file()):
        return host_device(supernet, report, refresh)
    data = documents.load(path)
    if "base" in data:
        if path.resolve() in above:
            raise InputError(f"{path} is its own base, by way of {above[-1]}; a base is another device")
        return opened(from_file(data, path), supernet, report, refresh, (*above, path.resolve()))
    if refresh:
        raise InputError(f"--refresh measures {HOST} again; {given} is read from its file")
    device = documents.check(data, Device, str(path))
    for one in (device, *(device.at or {}).values()):
        check_measured_with(one, str(path))
        if one.latency is not None:
            check_space(one.latency, supernet, one.name)
    return device


def import_device(
    format_name: str, tables: Path, supernet: Supernet, name: str, unit: str = "ms", say: Say = print
) -> Device:
    """A device of published latency tables, which are read from a folder or a file and cover ``supernet``.

    ``say`` gets what is suspicious. Raises InputError for a name that means something else, an unknown format, wrong
    files, what cannot be meant, and for what they lack.
    """
    check_name(name)
    others = {
        found.name: found.table for found in imported() if found.table is not None and found.name != name
    }
    return Device(name=name, latency=read_latency_table(format_name, tables, supernet, unit, others, say))


def imported() -> Iterator[Device]:
    """The devices that are kept; a file that is none is passed over, since nobody asked for it."""
    for path in sorted(kept_devices().glob("*.yaml")):
        with suppress(InputError):
            yield documents.read(path, Device)


def check_name(name: str) -> None:
    """Raises InputError for what no device that is made may be called."""
    if name in documents.names("devices"):
        raise InputError(f"{name} is a device that ships; give this one another name")
    if not re.fullmatch(NAME, name):
        raise InputError(
            f"a device's name is made of letters, digits, '_', '-' and inner dots, got {name!r}; give another name"
        )
    if name.endswith(documents.YAML):
        raise InputError(
            f"a device called {name!r} would be taken for a file; give the name {Path(name).stem!r}, or a file with --out"
        )
