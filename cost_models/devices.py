"""Devices: who runs a subnet, how fast, on how much power, on which grid.

A device is a YAML file in ``configs/devices`` or anywhere. ``host`` is this machine:
its file holds power and region, and its latency model is fitted once for each
supernet and kept in a cache folder, where imported latency tables are too.
"""

from __future__ import annotations

import re
from pathlib import Path

from cost_models.device import Device
from cost_models.device_files import device_file
from cost_models.host import HOST, host_device
from cost_models.latency import check_space
from cost_models.latency_tables import read_latency_table
from supernet import documents
from supernet.catalog import Supernet
from supernet.errors import InputError
from supernet.messages import Say

NAME = r"\w[\w-]*(\.[\w-]+)*"
"""What a device may be called: its file is named after it."""


def open_device(name_or_path: str, supernet: Supernet, report: Say, refresh: bool = False) -> Device:
    """The device of a name or a YAML file, fit for ``supernet``; ``host`` is measured where it must be.

    Raises InputError for an unknown name, a wrong file, a latency model of another space, and
    for ``refresh``, which measures anew, of another device than ``host``.
    """
    if name_or_path == HOST:
        return host_device(supernet, report, refresh)
    if refresh:
        raise InputError(f"--refresh measures {HOST} again; {name_or_path} is read from its file")
    device = documents.read(device_file(name_or_path), Device)
    if device.latency is not None:
        check_space(device.latency, supernet, device.name)
    return device


def import_device(format_name: str, tables: Path, supernet: Supernet, name: str) -> Device:
    """A device of published latency tables, which are read from a folder or a file and cover ``supernet``.

    Raises InputError for a name that means something else, an unknown format, wrong files and
    for what they lack.
    """
    if name in documents.names("devices"):
        raise InputError(f"{name} is a device that ships; give the imported one another name with --name")
    if not re.fullmatch(NAME, name):
        raise InputError(
            f"a device's name is made of letters, digits, '_', '-' and inner dots, got {name!r}; give one with --name"
        )
    return Device(name=name, latency=read_latency_table(format_name, tables, supernet))
