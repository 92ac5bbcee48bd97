"""Candidates that were timed on their device, and the winner by what was measured.

A search keeps its budgets by prediction. Of the most accurate candidates it may have taken those that the latency
model underestimates, so the few best are timed, where the device is at hand (:mod:`search.runs.verifying`), and the
most accurate that holds the budget when it is measured is chosen. The raw times are kept in the run's folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cost_models.at_hand import setup_of, why_not_here
from cost_models.device import Device
from cost_models.drift import quiet_latencies
from cost_models.measurements import Measurements, Setup, archs_of
from cost_models.runtimes.registry import open_runtime
from cost_models.timing import LatencyMeasurement
from search.runs.study import Candidate
from supernet import documents
from supernet.archs.arch import BITS_OF, FLOAT32, PRECISION, Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet

ON_DEVICE = "on_device.yaml"


class OnDevice(documents.Document):
    """``on_device.yaml`` in a run's folder: raw times of candidates, one entry for each time that some were measured."""

    sessions: tuple[Measurements, ...]


@dataclass(frozen=True)
class Timed:
    """A candidate with its latency, measured on the device."""

    candidate: Candidate
    latency: LatencyMeasurement

    def within(self, limit_ms: float) -> bool | None:
        """Whether it holds a budget; None where a busy machine leaves that open.

        Other programs only ever slow it down: what is within the budget beside them is within it.
        """
        if self.latency.median_ms <= limit_ms:
            return True
        return None if self.latency.busy else False


@dataclass(frozen=True)
class OtherVersion:
    """A package of another version than that which a device's latency was measured with."""

    package: str
    of_device: str
    timed_with: str


@dataclass(frozen=True)
class Verified:
    """Candidates that are within the budgets by prediction and were timed, the most accurate first; at least one.

    ``ranked`` are all candidates, timed or not, the most accurate first. ``other_versions`` are what they were timed
    with where that is not what the device's latency was measured with.
    """

    limit_ms: float
    timed: tuple[Timed, ...]
    ranked: tuple[Candidate, ...]
    other_versions: tuple[OtherVersion, ...] = ()

    @property
    def winner(self) -> Timed | None:
        """The most accurate that holds the budget, else the most accurate of which a busy machine left it open.

        None where all are over it.
        """
        for wanted in (True, None):
            for one in self.timed:
                if one.within(self.limit_ms) is wanted:
                    return one
        return None

    @property
    def holds(self) -> bool | None:
        """Whether one holds the budget; None where a busy machine leaves that open."""
        winner = self.winner
        return winner.within(self.limit_ms) if winner is not None else False

    @property
    def passed_over(self) -> tuple[Timed, ...]:
        """Those that are more accurate than the winner; all of them where there is none."""
        winner = self.winner
        return self.timed if winner is None else self.timed[: self.timed.index(winner)]

    @property
    def untimed(self) -> int:
        """How many candidates are more accurate than the winner, or than the last that was timed, and were not timed."""
        last = self.winner or self.timed[-1]
        return self.ranked.index(last.candidate) - self.timed.index(last)

    def latency_of(self, candidate: Candidate) -> LatencyMeasurement | None:
        return next((one.latency for one in self.timed if one.candidate.arch == candidate.arch), None)


def verified_of(
    ranked: Sequence[Candidate], latencies: Mapping[str, LatencyMeasurement], limit_ms: float | None
) -> Verified | None:
    """What measured latencies, by arch id, say of candidates, the most accurate first; None where none was timed."""
    timed = tuple(Timed(c, latencies[c.arch.id]) for c in ranked if c.arch.id in latencies)
    return Verified(limit_ms, timed, tuple(ranked)) if timed and limit_ms is not None else None


def other_versions(device: Device | None, sessions: Sequence[Measurements]) -> tuple[OtherVersion, ...]:
    """What candidates were timed with that moves latencies, and is not what the device's was measured with."""
    known = device.versions if device is not None else {}
    found = [
        OtherVersion(package, known[package], version)
        for session in sessions
        for package, version in session.versions.items()
        if known.get(package, version) != version
    ]
    return tuple(dict.fromkeys(found))


def setup_at_hand(device: Device | None, count: int) -> Setup:
    """What candidates are timed with: what the device's latency was measured with.

    Raises InputError where the device is not this machine, or its runtime is not here.
    """
    asked = f"verify_on_device: {count} times subnets on the device itself, and"
    instead = (
        "Leave it out and give the budget a margin for what a prediction is off by, as --budget latency_ms=p95:25; "
        "or search for this machine, --device host"
    )
    if device is None:
        raise InputError(f"{asked} none is given. {instead}")
    if (why := why_not_here(device)) is not None:
        raise InputError(
            f"{asked} {device.name} is not at hand: {why}. {instead}. A kit (oncefit profile kit) times subnets where "
            "a device is, and says how far its predictions are off there"
        )
    setup = setup_of(device)
    assert setup is not None
    open_runtime(setup)
    return setup


def setups_at_hand(device: Device | None, precisions: Sequence[str], count: int) -> dict[str, Setup]:
    """The same at each precision that is searched; without any, that of archs that say none."""
    if device is None or not precisions:
        return {FLOAT32: setup_at_hand(device, count)}
    return {name: setup_at_hand(device.at_precision(name), count) for name in precisions}


def at_precision(network: Arch, precision: str, supernet: Supernet) -> Arch:
    """The arch of a network that was timed at a precision; the network where the supernet's archs say none."""
    if not supernet.precisions:
        return network
    return supernet.space.arch({**network.values, PRECISION: BITS_OF[precision]})


def read_sessions(folder: Path) -> tuple[Measurements, ...]:
    """What was timed of a run's candidates. Raises InputError for a file that is not as it was written."""
    path = folder / ON_DEVICE
    return documents.read(path, OnDevice).sessions if path.is_file() else ()


def write_sessions(folder: Path, sessions: Sequence[Measurements]) -> None:
    """Keep them, whole or not at all."""
    found = OnDevice(sessions=tuple(sessions)).model_dump(mode="json")
    documents.write_text(folder / ON_DEVICE, documents.dump(found, None))


def latencies_of(sessions: Sequence[Measurements], supernet: Supernet) -> dict[str, LatencyMeasurement]:
    """The latency of each arch by its id: of several measurements that which spreads least."""
    seen: dict[str, list[LatencyMeasurement]] = {}
    for session in sessions:
        networks = archs_of(session, supernet.of_networks)
        for network, latency in zip(networks, quiet_latencies(session), strict=True):
            arch = at_precision(network, session.setup.precision, supernet)
            seen.setdefault(arch.id, []).append(latency)
    return {arch_id: min(times, key=lambda found: found.spread) for arch_id, times in seen.items()}
