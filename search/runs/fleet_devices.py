"""What a search's YAML says under ``devices``: several devices, each with budgets of its own where it has some."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cost_models.variants import Variant, parse_device
from search.problem.confidence import plain_budgets
from supernet.documents import Document, from_folder
from supernet.errors import InputError, short

DEVICES = "devices"
FLEET = "fleet.yaml"
"""In the folder of a search for several devices: its config. Each device has a folder of its name beside it."""


class FleetDevice(Document):
    """One of several devices; ``budgets`` stand beside, or in place of, those that all devices have."""

    device: str | Variant
    budgets: dict[str, float] = {}


def parse_devices(given: object, where: str, folder: Path) -> list[dict[str, object]]:
    """Entries for :class:`FleetDevice`, of a list of devices or of a mapping of devices to budgets.

    A device is a name, a file or a variant; a file is from ``folder``. Raises InputError for anything else.
    """
    if isinstance(given, Mapping):
        pairs = [*given.items()]
    elif isinstance(given, (list, tuple)):
        pairs = [device_and_budgets(entry) for entry in given]
    else:
        raise InputError(
            f"{where}: got {short(repr(given))}; devices are a list, as [note10, host], or a mapping to their "
            "budgets, as {note10: {latency_ms: 25}, host: {latency_ms: 0.12}}"
        )
    return [
        {
            "device": parse_device(full(device, folder), where, folder),
            "budgets": plain_budgets(budgets) if isinstance(budgets, Mapping) else budgets or {},
        }
        for device, budgets in pairs
    ]


def device_and_budgets(entry: object) -> tuple[object, object]:
    """A device of a list, and its budgets where the entry is a mapping that has some."""
    if isinstance(entry, FleetDevice):
        return entry.device, entry.budgets
    if isinstance(entry, Mapping) and "device" in entry:
        return entry["device"], entry.get("budgets")
    return entry, None


def full(device: object, folder: Path) -> object:
    """A file's name made absolute."""
    if isinstance(device, str) and device.endswith((".yaml", ".yml")):
        return from_folder(folder, device)
    return device
