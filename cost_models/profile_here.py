"""A device made of this machine: a runtime with its threads, batch and precision, measured and fitted.

Whole subnets are measured, or every layer alone and a few whole subnets (:mod:`cost_models.layer_table`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from cost_models import measuring
from cost_models.device import Device, LatencyModel, LatencyTable, Power
from cost_models.drift import quiet_latencies
from cost_models.energy_fit import LEAST_SUBNETS, measured_power
from cost_models.fit_design import Design, choose_archs
from cost_models.host import HOST, host_file
from cost_models.latency_fit import fit
from cost_models.layer_table import plan_layers
from cost_models.measurements import Measurements, Setup
from cost_models.measuring import Bar, LayersByKey, settings
from cost_models.meters import Meter, the_meter
from cost_models.timing import BUSY_PERCENT
from supernet import documents
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.messages import say


class Plan(Protocol):
    """Which subnets of a supernet are measured, with which layers beside them, and what latency follows from that."""

    @property
    def supernet(self) -> Supernet: ...

    @property
    def archs(self) -> tuple[Arch, ...]: ...

    @property
    def layers(self) -> LayersByKey: ...

    def told(self) -> str:
        """How much that is, for who waits."""
        ...

    def latency(self, measured: Measurements) -> LatencyModel | LatencyTable: ...


@dataclass(frozen=True)
class SubnetsPlan:
    """Whole subnets, and a sum over what their layers are made of that is fitted to them."""

    supernet: Supernet
    design: Design
    layers: LayersByKey = field(default_factory=dict)

    @property
    def archs(self) -> tuple[Arch, ...]:
        return self.design.archs

    def told(self) -> str:
        return f"measuring {len(self.archs)} whole subnets of {self.supernet.name}"

    def latency(self, measured: Measurements) -> LatencyModel:
        return fit(
            self.supernet,
            self.archs,
            quiet_latencies(measured),
            settings(measured),
            tested=self.design.random,
        )


def profile_here(
    name: str,
    supernet: Supernet,
    setup: Setup,
    samples: int,
    seed: int,
    bar: Bar,
    even_busy: bool = False,
    meter: Meter | None = None,
    layers: bool = False,
    resolutions: Sequence[int] | None = None,
) -> Device:
    """This machine with ``setup`` as a device of its own, with region of the host, and raw times.

    Its latency is fitted to ``samples`` whole subnets; with ``layers`` it is a table of every layer at ``resolutions``,
    or at as many as there is time for. Its power figures are fitted to a ``meter``, or those of the host for so many
    cores. Raises InputError where the runtime cannot do that, and for a busy machine unless ``even_busy``.
    """
    plan = plan_of(supernet, samples, seed, layers, resolutions)
    host = documents.read(host_file(), Device)
    say(plan.told())
    with measuring.loaded_subnets(plan.supernet, plan.archs, setup, bar, plan.layers) as loaded:
        measured = measuring.measure_loaded(loaded, bar)
        latency = plan.latency(measured)
        check_quiet(latency, even_busy)
        if meter is None:
            power = power_with(setup, host.power)
        else:
            power = measured_power(plan.supernet, plan.archs, loaded.runs, meter, bar, measured.date)
    made = {"name": name, "runtime": setup.runtime, "threads": setup.threads, "cpu": measured.cpu}
    found = {
        "date": measured.date,
        "versions": measured.versions,
        "latency": latency,
        "measurements": measured,
    }
    return host.model_copy(update={**made, **found, "power": power})


def meter_for(setup: Setup, samples: int) -> Meter:
    """The meter that power figures of a setup are fitted to.

    Raises InputError where there is none, or where energy could not be fitted: before anything is measured.
    """
    if setup.batch != 1:
        raise InputError(f"--energy is of one inference: it goes with --batch 1, got --batch {setup.batch}")
    if samples < LEAST_SUBNETS:
        raise InputError(f"--energy is fitted to at least {LEAST_SUBNETS} subnets, got --samples {samples}")
    return the_meter()


def plan_of(
    supernet: Supernet, samples: int, seed: int, layers: bool, resolutions: Sequence[int] | None
) -> Plan:
    """What is measured. Raises InputError for resolutions of what is no table, and as :func:`plan_layers` does."""
    if layers:
        return plan_layers(supernet, resolutions, samples, seed)
    if resolutions:
        raise InputError("--resolutions are of a latency table: give --layers too; without it all are fitted")
    whole = supernet.restricted({})
    return SubnetsPlan(whole, choose_archs(whole, samples, np.random.default_rng(seed)))


def check_quiet(latency: LatencyModel | LatencyTable, even_busy: bool) -> None:
    """Raises InputError for what a busy machine measured unless ``even_busy``."""
    fitted = latency.whole if isinstance(latency, LatencyTable) else latency
    assert fitted is not None
    if fitted.spread_percent > BUSY_PERCENT and not even_busy:
        raise InputError(
            f"this machine is busy: repeated measurements spread by {fitted.spread_percent:.1f} %, more than "
            f"{BUSY_PERCENT:g} %. Nothing is kept: profile it again when it is quiet, or give --even-busy"
        )


def power_with(setup: Setup, power: Power | None) -> Power | None:
    """The host's power figures, which are of one core at fp32, for what a setup uses; None, and said, where they hold for none."""
    if power is None:
        return None
    if setup.batch != 1:
        say(f"no power figures: energy is of one inference, and latencies are of a batch of {setup.batch}")
        return None
    if setup.precision != "fp32":
        say(
            f"no power figures: those of {HOST} are of multiply-adds and bytes at fp32, not {setup.precision}; "
            "without them there is no energy_mj and no co2e_mg. Figures of yours can be written into the device's file"
        )
        return None
    if setup.threads == 1:
        return power
    source = f"{power.source.rstrip('.')}. static_w: {setup.threads} times that, as {setup.threads} threads use so many cores"
    # what was fitted with one thread is not fitted with several
    return power.model_copy(
        update={"static_w": power.static_w * setup.threads, "source": source, "fitted": None}
    )


def check_not_there(file: Path, supernet: Supernet, again: bool) -> None:
    """Raises InputError where a device of that name is there already, and is not to be measured again."""
    if not file.exists() or again:
        return
    kept = documents.read(file, Device)
    of = kept.latency.supernet if kept.latency is not None else "no supernet"
    other = "" if of == supernet.name else f"; for {supernet.name} beside {of} give it another name"
    raise InputError(
        f"device {kept.name} is there already, for {of}, in {file}: --refresh measures again{other}"
    )
