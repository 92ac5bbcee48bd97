"""Power meters of this machine: counters of energy that are read before and after some work.

RAPL is read from ``/sys/class/powercap``, where Linux shows the processor's own meter; NVML, NVIDIA's, through
``pynvml`` (extra ``oncefit[carbon]``). Both count millijoules since some time, so that the energy of short work is a
difference, without a thread that samples power. Read as codecarbon reads them: the package zones, and the memory's,
which is not in them; zones that mirror another (``intel-rapl-mmio``, dies with one counter) count once; a counter
that went round is set right by its range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from supernet.errors import InputError

POWERCAP = Path("/sys/class/powercap")
MJ_PER_UJ, J_PER_UJ = 1e-3, 1e-6
MIRROR_J = 1.0
"""Two zones are one counter where their readings, one after the other, differ by less: milliseconds at full load."""


class Meter(Protocol):
    """A counter of energy."""

    @property
    def name(self) -> str: ...

    def read(self) -> tuple[float, ...]:
        """What each of its counters shows, in millijoules."""
        ...

    def between(self, before: Sequence[float], after: Sequence[float]) -> float:
        """Millijoules from one reading to a later one."""
        ...


@dataclass(frozen=True)
class Zone:
    """A zone of RAPL: its name and folder, and at how many microjoules its counter begins anew; 0 is not known."""

    name: str
    folder: Path
    range_uj: int

    def read_uj(self) -> int:
        return read_number(self.folder / "energy_uj")


@dataclass(frozen=True)
class Rapl:
    """The processor's packages and their memory."""

    zones: tuple[Zone, ...]

    @property
    def name(self) -> str:
        return f"RAPL ({', '.join(zone.name for zone in self.zones)})"

    def read(self) -> tuple[float, ...]:
        return tuple(zone.read_uj() * MJ_PER_UJ for zone in self.zones)

    def between(self, before: Sequence[float], after: Sequence[float]) -> float:
        return sum(
            later - earlier + (zone.range_uj * MJ_PER_UJ if later < earlier else 0.0)
            for zone, earlier, later in zip(self.zones, before, after, strict=True)
        )


@dataclass(frozen=True)
class Nvml:
    """NVIDIA's graphics processors, all of them."""

    library: Any
    handles: tuple[Any, ...]

    @property
    def name(self) -> str:
        return f"NVML ({len(self.handles)} GPU)"

    def read(self) -> tuple[float, ...]:
        return tuple(
            float(self.library.nvmlDeviceGetTotalEnergyConsumption(handle)) for handle in self.handles
        )

    def between(self, before: Sequence[float], after: Sequence[float]) -> float:
        return sum(later - earlier for earlier, later in zip(before, after, strict=True))


def the_meter(powercap: Path = POWERCAP) -> Meter:
    """The processor's meter, where subnets run. Raises InputError that says which meters were looked for, and why none will do."""
    found = find_rapl(powercap)
    if isinstance(found, Rapl):
        return found
    gpu = find_nvml()
    other = gpu if isinstance(gpu, str) else f"{gpu.name} shows what graphics takes, not the processor"
    raise InputError(
        f"no power meter of the processor, on which subnets run, was found: {found}; {other}. Energy stays estimated "
        "by the power figures of the device's file; a figure from a meter at the plug can be written there "
        "(docs/devices.md)"
    )


# -- RAPL ------------------------------------------------------------------------


def find_rapl(powercap: Path) -> Rapl | str:
    """The meter in a folder of the kernel's, or why there is none."""
    folders = sorted(path for path in powercap.glob("intel-rapl*:*") if (path / "energy_uj").exists())
    if not folders:
        return f"no RAPL: {powercap} has no intel-rapl:* with energy_uj (virtual machines seldom have one)"
    wanted = [zone for folder in folders if (zone := zone_of(folder)) is not None]
    if not wanted:
        return f"RAPL shows no package: {powercap} has only {', '.join(folder.name for folder in folders)}"
    if shut := [str(zone.folder / "energy_uj") for zone in wanted if not is_readable(zone)]:
        return f"RAPL is there but cannot be read: {', '.join(shut)} (chmod a+r as root lets others read it)"
    if endless := [str(zone.folder / "max_energy_range_uj") for zone in wanted if zone.range_uj <= 0]:
        return (
            f"RAPL is there but does not say where its counters begin anew: {', '.join(endless)} has no positive number "
            "that can be read, and energy would be negative after that"
        )
    return Rapl(tuple(without_mirrors(wanted)))


def zone_of(folder: Path) -> Zone | None:
    """A package, or memory beside packages; cores and graphics are parts of their package, psys has them in it."""
    name = (folder / "name").read_text().strip() if (folder / "name").is_file() else folder.name
    if not (name.startswith("package") or name == "dram"):
        return None
    shown = f"{name} of {folder.name}" if name == "dram" else name
    try:
        largest = read_number(folder / "max_energy_range_uj")
    except (OSError, ValueError):
        largest = 0
    return Zone(shown, folder, largest)


def is_readable(zone: Zone) -> bool:
    try:
        zone.read_uj()
    except (OSError, ValueError):
        return False
    return True


def without_mirrors(zones: Sequence[Zone]) -> list[Zone]:
    """The zones without those that show another's counter; a counter at zero tells nothing of that."""
    kept: list[Zone] = []
    for zone in zones:
        reading = zone.read_uj()
        same = [other for other in kept if reading and abs(other.read_uj() - reading) * J_PER_UJ < MIRROR_J]
        if not same:
            kept.append(zone)
    return kept


def read_number(path: Path) -> int:
    return int(path.read_text())


# -- NVML ------------------------------------------------------------------------


def find_nvml() -> Nvml | str:
    """NVIDIA's meter, or why there is none."""
    try:
        import pynvml  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return "no NVML: the package nvidia-ml-py is not installed (pip install 'oncefit[carbon]')"
    try:
        pynvml.nvmlInit()
        handles = tuple(pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount()))
        found = Nvml(pynvml, handles)
        found.read()
    except pynvml.NVMLError as error:
        return f"no NVML: {error}"
    return found if handles else "no NVML: it knows no GPU"
