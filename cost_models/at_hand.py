"""Whether a device is the machine that this runs on, so that what is timed here is timed on it."""

from __future__ import annotations

from cost_models import profiling
from cost_models.device import Device
from cost_models.measurements import Setup
from cost_models.runtimes.run_onnxruntime import PROVIDER
from supernet import documents


def setup_of(device: Device) -> Setup | None:
    """What its latency was measured with, as far as its file says; None for what does not say its runtime."""
    if device.measurements is not None:
        return device.measurements.setup
    if device.fitted is None or device.runtime is None or device.threads is None:
        return None
    settings = device.fitted.settings
    said: dict[str, object] = {name: settings[name] for name in ("batch", "precision") if name in settings}
    given = {"runtime": device.runtime, "threads": device.threads, **said}
    return documents.check(given, Setup, f"device {device.name}")


def why_not_here(device: Device) -> str | None:
    """Why nothing that is timed on this machine is of the device; None where it is this machine."""
    if device.table is not None and device.measurements is None:
        return "its latency is from published tables"
    if device.cpu is None or setup_of(device) is None:
        return "its file does not say which processor and runtime its latency was measured with"
    if device.cpu != (here := profiling.cpu_name()):
        return f"its latency was measured on {device.cpu}, and this machine is {here}"
    provider = (
        device.measurements.reported.get("provider", PROVIDER)
        if device.measurements is not None
        else PROVIDER
    )
    if provider != PROVIDER:
        return f"its latency was measured with {provider}, and what is timed here runs with {PROVIDER}"
    return None
