"""This machine as a device: measured once for each supernet, and kept where the machine was quiet."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import numpy as np

from cost_models import profiling
from cost_models.device import Device
from cost_models.device_files import kept_devices, write_device
from cost_models.fit_design import choose_archs
from cost_models.grid import WORLD, Place
from cost_models.latency import latency_ms
from cost_models.latency_fit import fit
from cost_models.measurements import Setup
from cost_models.profiling import BUSY_PERCENT, DEFAULT
from cost_models.protocol import Target
from supernet import documents
from supernet.archs.arch import FLOAT32
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.messages import Say

HOST = "host"
FIT_SUBNETS = 32
"""Subnets that the host's latency is fitted to; more take longer and help little."""
FIT_SEED = 0
DESIGN = "corners, random, picked"
"""How the subnets are chosen: a fit to others is another one."""
NOT_KEPT: dict[Path, Device] = {}
"""Fits of this process that are in no file, by where they would be: a demo measures a busy machine once."""


def host_device(supernet: Supernet, report: Say, refresh: bool = False) -> Device:
    """This machine, with a latency model for ``supernet`` at each of its precisions: the cached one, or measured now.

    A fit of a busy machine is good until this process ends, and not kept for the next.
    """
    names = supernet.precisions or (FLOAT32,)
    network = supernet.of_networks
    *others, own = (host_in(name, network, report, refresh) for name in names)
    return own.model_copy(update={"at": {one.precision: one for one in others}}) if others else own


def host_in(precision: str, supernet: Supernet, report: Say, refresh: bool) -> Device:
    """This machine at one precision."""
    setup = setup_in(precision)
    host = read_host()
    if precision != FLOAT32:  # its figures of power are of multiply-adds and bytes in float32
        host = host.model_copy(update={"power": None})
    path = cached_path(supernet, setup)
    if not refresh and path in NOT_KEPT:
        return NOT_KEPT[path]
    if not refresh and path.is_file():
        try:
            kept = documents.read(path, Device)
            if kept.latency is not None:
                latency_ms(Target(supernet, kept))  # has a coefficient for every layer
        except InputError as error:
            report(f"the kept fit of this host is of no use and is made anew: {error}")
        else:
            if kept.latency is not None and kept.latency.fingerprint == supernet.fingerprint:
                # power and region are read afresh: who edits the device's file expects to see it
                return kept.model_copy(update={"power": host.power, "region": host.region})
    device = fit_host(host, supernet, report, date.today().isoformat(), setup)
    NOT_KEPT[path] = device
    spread = device.fitted.spread_percent if device.fitted is not None else 0.0
    if spread > BUSY_PERCENT:
        report(
            f"this machine is busy: repeated measurements spread by {spread:.1f} %, more than {BUSY_PERCENT:g} %. "
            "The fit is used now and not kept; measure again when it is quiet"
        )
        return device
    try:
        write_device(device, path)
    except InputError as error:
        report(f"the fit of this host is not kept: {error} (ONCEFIT_CACHE names the folder)")
    else:
        report(f"kept in {path}")
        del NOT_KEPT[path]
    return device


def host_file() -> Path:
    """The file with this machine's power and region."""
    return documents.find("devices", HOST)


def read_host() -> Device:
    """This machine without a latency. Raises InputError for a file that asks for another measurement than is made."""
    host = documents.read(host_file(), Device)
    made = {"runtime": profiling.RUNTIME, "threads": profiling.THREADS}
    for name, value in made.items():
        if (asked := getattr(host, name)) not in (None, value):
            raise InputError(
                f"{host_file()}: {name}: {asked} is not honoured: {HOST} is measured with {name}: {value}; put that back"
            )
    return host


def region_of_this_machine() -> Place:
    """Whose grid this machine is on, by its file; the world's where that does not say."""
    return read_host().region or WORLD


def setup_in(precision: str) -> Setup:
    """What this machine is measured with at a precision."""
    return documents.check({**DEFAULT.model_dump(), "precision": precision}, Setup, HOST)


def fit_host(host: Device, supernet: Supernet, report: Say, today: str, setup: Setup = DEFAULT) -> Device:
    """Measure this machine: ``host`` with CPU, versions, date and a latency model for ``supernet``.

    It is fitted to the whole supernet, whatever its choices are restricted to: the fit is kept for others.
    """
    whole = supernet.restricted({})
    design = choose_archs(whole, FIT_SUBNETS, np.random.default_rng(FIT_SEED))
    how = f" in {setup.precision}" if setup != DEFAULT else ""
    report(
        f"measuring this host's latency{how} on {len(design.archs)} subnets of {whole.name}: "
        "about 15 s for a small supernet when it is quiet, minutes for a large one"
    )
    measured = profiling.profile(whole, design.archs, report, setup=setup)
    latency = fit(whole, design.archs, measured, profiling.settings(setup), tested=design.random)
    report(
        f"fitted: median error {latency.error_percent:.1f} %, largest {latency.worst_error_percent:.1f} %, "
        f"on {latency.tested} random subnets not seen; "
        f"spread of repeated measurements {latency.spread_percent:.1f} %"
    )
    found = {"cpu": profiling.cpu_name(), "versions": profiling.versions(), "date": today, "latency": latency}
    return host.model_copy(update={**found, "runtime": profiling.RUNTIME, "threads": profiling.THREADS})


def cached_path(supernet: Supernet, setup: Setup = DEFAULT) -> Path:
    """Where this host's fit for a supernet is kept; another CPU, version or setting is another file."""
    made_with: Mapping[str, object] = {
        "cpu": profiling.cpu_name(), "versions": profiling.versions(), "settings": profiling.settings(setup),
        "design": DESIGN, "subnets": FIT_SUBNETS, "seed": FIT_SEED,
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(made_with, sort_keys=True).encode()).hexdigest()[:8]
    return kept_devices() / f"{HOST}-{supernet.fingerprint}-{digest}.yaml"
