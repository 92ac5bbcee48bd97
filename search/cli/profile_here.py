"""``oncefit profile NAME`` without a file: this machine is measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cost_models.device import Device


def measure_here(
    name: str, supernet: str, setup: dict[str, Any], samples: int, seed: int,
    table: tuple[bool, Sequence[int] | None], out: Path | None, again: bool, even_busy: bool, as_json: bool,
) -> None:  # fmt: skip
    """Measure (``table``: every layer, or not, at which resolutions), fit, write the device, and show it; nothing is written before the end."""
    from cost_models.device_files import kept_devices, write_device
    from cost_models.devices import check_name
    from cost_models.measurements import Setup
    from cost_models.profile_here import check_not_there, profile_here
    from cost_models.runtimes.registry import open_runtime
    from search.cli import terminal
    from search.cli.devices import check_place
    from search.reports import words as readable
    from supernet import documents
    from supernet.catalog import open_supernet

    asked = documents.check(setup, Setup, f"oncefit profile {name}")
    open_runtime(asked)
    check_name(name)
    net = open_supernet(supernet)
    file = out if out is not None else kept_devices() / f"{name}.yaml"
    check_not_there(file, net, again)
    check_place(file, replace=True)
    try:
        device = profile_here(name, net, asked, samples, seed, terminal.bar, even_busy, *table)
    except KeyboardInterrupt:
        terminal.say("stopped; nothing was written")
        raise SystemExit(130) from None
    write_device(device, file)
    if as_json:
        terminal.print_json(summary(device, file))
        return
    terminal.show_titled(
        f"device {name} in {file}",
        readable.table(readable.of_device(device)),
        f"For a search: device: {file if out is not None else name}",
    )


def summary(device: Device, file: Path) -> dict[str, Any]:
    """What ``--json`` prints."""
    from cost_models.drift import drift_percent

    latency, fitted, measured = device.latency, device.fit, device.measurements
    assert latency is not None
    assert fitted is not None
    assert measured is not None
    table = device.table
    more = {"resolutions": list(table.resolutions), "layers": len(table.keys)} if table is not None else {}
    return {
        "device": device.name, "file": str(file), "supernet": latency.supernet, "fingerprint": latency.fingerprint,
        "setup": measured.setup.model_dump(), "reported": measured.reported, "versions": measured.versions,
        "subnets": fitted.subnets, "error_percent": fitted.error_percent,
        "worst_error_percent": fitted.worst_error_percent, "spread_percent": fitted.spread_percent,
        "drift_percent": round(drift_percent(measured), 2), "rounds": measured.rounds,
        **more,
    }  # fmt: skip
