"""What work emitted while it ran, by codecarbon (extra ``oncefit[carbon]``), kept in a JSON file that adds up.

codecarbon reads the power meters that it finds (RAPL, NVML) and assumes the power of what has none; whether the
processor was metered, or its power assumed, is kept with the figure.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from cost_models.grid import Place, carbon_intensity
from cost_models.host import region_of_this_machine
from supernet import documents, locks
from supernet.atomic import make_folder
from supernet.documents import Document
from supernet.errors import InputError

TRACKED = "emissions.json"
"""In the folder of a run, or of a fleet: what its search emitted. Of a training the name begins with that of its weights."""
METERED = ("intel_power_gadget", "intel_rapl", "windows_emi")
"""Modes of codecarbon's processor in which it reads a meter."""


class Tracked(Document):
    """Seconds, kilowatt-hours and kilograms of CO2e of all sessions; ``measured`` where each had a meter."""

    seconds: float
    kwh: float
    kg: float
    measured: bool
    how: str
    sessions: int = 1

    def __add__(self, other: Tracked) -> Tracked:
        how = self.how if self.how == other.how else f"{self.how}; {other.how}"
        return Tracked(
            seconds=self.seconds + other.seconds, kwh=self.kwh + other.kwh, kg=self.kg + other.kg,
            measured=self.measured and other.measured, how=how, sessions=self.sessions + other.sessions,
        )  # fmt: skip


def tracked_here(path: Path, wanted: bool) -> AbstractContextManager[None]:
    """As :func:`tracked` on this machine's grid, where that is wanted."""
    return tracked(path, region_of_this_machine()) if wanted else nullcontext()


@contextmanager
def tracked(path: Path, region: Place) -> Iterator[None]:
    """Track what the body emits on the grid of a region, and add it to a file, whatever the body raises.

    Raises InputError where codecarbon is not installed.
    """
    tracker = make_tracker(carbon_intensity(region).grams_per_kwh)
    if path.is_file():
        read_tracked(path)  # another file is refused before the work, not after it
    started = time.monotonic()
    tracker.start()
    try:
        yield
    finally:
        kg = tracker.stop()
        add_tracked(path, of_tracker(tracker, float(kg or 0.0), time.monotonic() - started))


def add_tracked(path: Path, now: Tracked) -> None:
    """Add to what a file holds at this moment: others may have added to it since the work began."""
    make_folder(path.parent)
    with locks.awaited(path.with_name(f".{path.name}.lock"), lambda: None):
        made = read_tracked(path) + now if path.is_file() else now
        documents.write_text(path, json.dumps(made.model_dump(mode="json"), indent=2) + "\n")


def make_tracker(grams_per_kwh: float) -> Any:
    """codecarbon's tracker: no network, no files of its own, our grid."""
    try:
        from codecarbon import OfflineEmissionsTracker  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise InputError(
            "tracking what a search emits needs codecarbon: pip install 'oncefit[carbon]'; without it "
            "oncefit carbon estimates by wall time and static power"
        ) from None
    return OfflineEmissionsTracker(
        country_iso_code="USA",  # not used: the intensity is forced
        force_carbon_intensity_g_co2e_kwh=grams_per_kwh,
        save_to_file=False, save_to_api=False, log_level="critical", allow_multiple_runs=True,
    )  # fmt: skip


def of_tracker(tracker: Any, kg: float, seconds: float) -> Tracked:
    from importlib.metadata import version

    modes = {type(part).__name__: str(getattr(part, "_mode", "")) for part in tracker._hardware}
    measured = modes.get("CPU") in METERED
    how = f"codecarbon {version('codecarbon')}, processor {'metered' if measured else 'not metered, its power assumed'}"
    kwh = float(tracker.final_emissions_data.energy_consumed)
    return Tracked(seconds=seconds, kwh=kwh, kg=kg, measured=measured, how=how)


def read_tracked(path: Path) -> Tracked:
    """What a file holds. Raises InputError for another one."""
    return documents.check(documents.load_json(path), Tracked, str(path))
