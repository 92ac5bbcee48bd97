"""Where the files of devices are, and how one is written."""

from __future__ import annotations

from pathlib import Path

from cost_models.device import Device
from cost_models.published_tables import AFTER_DEVICES
from supernet import documents
from supernet.cache import default_cache
from supernet.errors import InputError

LINE = 110


def device_file(name_or_path: str) -> Path:
    """The file of a device that ships, that was imported, or at a path."""
    try:
        return documents.find("devices", name_or_path, more=kept_devices())
    except InputError:
        if name_or_path not in AFTER_DEVICES:
            raise
        raise InputError(
            f"device {name_or_path!r} is not here yet: oncefit devices import {name_or_path} DIR makes it "
            "of its published latency tables in a folder DIR"
        ) from None


def write_device(device: Device, path: Path) -> None:
    """Write a device's YAML file, whole or not at all."""
    lists = device.table is not None or device.measurements is not None
    flow = None if lists else False  # None: a line for each innermost list
    documents.write_text(path, documents.dump(device.model_dump(exclude_none=True), flow, LINE))


def kept_devices() -> Path:
    """The folder of fitted and imported devices."""
    return default_cache() / "devices"
