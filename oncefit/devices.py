"""Devices: what is known of a machine that subnets are to run on."""

from __future__ import annotations

from pathlib import Path

from cost_models.device import Device
from oncefit.supernets import Supernet, as_supernet
from supernet.messages import Say, say


def device(
    name: str = "host",
    *,
    supernet: str | Path | Supernet = "fmnist_mbv3",
    region: str | None = None,
    refresh: bool = False,
    say: Say = say,
) -> Device:
    """A device by its name or YAML file, with its latency model of a supernet.

    ``host`` is this machine: it is measured if it was not before, or anew with ``refresh``, and kept if it was quiet.
    ``region`` is the grid region of its energy. Raises InputError for a device that is not known.
    """
    from cost_models.devices import open_device

    return open_device(name, as_supernet(supernet).described, say, refresh, region)
