"""What this machine emits while it works, where nothing metered it: time x static power of its processors x its grid."""

from __future__ import annotations

from cost_models.deployment import Emitted, by_electricity
from cost_models.grid import Place
from cost_models.host import read_host, region_of_this_machine
from cost_models.ranges import Range
from cost_models.runtimes.registry import processors
from supernet.errors import InputError

SECONDS_PER_HOUR = 3600


def watts_at_work() -> Range:
    """Static power of each processor that this process may use. Raises InputError where the host's file has no power."""
    power = read_host().power
    if power is None:
        raise InputError(
            "what this machine draws while it searches is not known, as the file of device host has no power figures: "
            "give them there, or watts: beside stop: or for search: in a deployment"
        )
    return power.static_w * processors()


def emitted_at_work(seconds: float, watts: Range | None = None, place: Place | None = None) -> Emitted:
    """What so many seconds of work emit, estimated; watts and place are this machine's where they are not given."""
    hours = seconds / SECONDS_PER_HOUR
    return by_electricity(hours, watts or watts_at_work(), None, place or region_of_this_machine())
