"""What one subnet costs, in whichever encoding it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oncefit.supernets import Supernet, as_supernet
from supernet.archs.arch import Arch
from supernet.errors import InputError
from supernet.messages import Say, say
from supernet.ofa_format.given import Given, called, read

if TYPE_CHECKING:
    from cost_models.device import Device
    from cost_models.variants import Variant
    from supernet.ofa_format.reader import Network


@dataclass(frozen=True, repr=False)
class NetworkCosts:
    """What a network costs at its image size: ``costs`` by name, those of a device predicted for ``device``.

    A latency that a published table predicts has a ``latency_ms_std`` beside it, an estimate that has a range its
    ``NAME_low`` and ``NAME_high``. Energy and CO2e are estimated, from measured power where its figures were fitted to
    ``power_meter``.
    """

    network: Network
    file: str
    costs: Mapping[str, float]
    device: str | None = None
    power_meter: str | None = None

    @property
    def image_size(self) -> int:
        """Side of its images in pixels."""
        return self.network.image_size

    @property
    def arch(self) -> Arch | None:
        """The arch of a supernet that it is, if it is one's."""
        return self.network.point[1] if self.network.point is not None else None

    @property
    def supernet(self) -> str | None:
        """The name of that supernet."""
        return self.network.point[0].name if self.network.point is not None else None

    def to_dict(self) -> dict[str, Any]:
        """All of it, as ``oncefit cost --json`` prints it; what is not known is left out."""
        found: dict[str, Any] = {
            "file": self.file,
            "network": self.network.name,
            "image_size": self.image_size,
        }
        if self.arch is not None:
            found |= {"supernet": self.supernet, "arch_id": self.arch.id, "arch": self.arch.to_dict()}
        if self.device is not None:
            found["device"] = self.device
        if self.power_meter is not None:
            found["power_meter"] = self.power_meter
        return found | {"costs": dict(self.costs)}

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value:.6g}" for name, value in self.costs.items())
        return f"NetworkCosts({self.network.name} at {self.image_size}: {told})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{escape(n)}</th><td>{value:,.6g}</td></tr>" for n, value in self.costs.items()
        )
        return f"<b>{escape(self.network.name)}</b> at {self.image_size} pixels<table>{rows}</table>"


def cost(
    subnet: Given,
    *,
    image_size: int | None = None,
    supernet: str | Path | Supernet | None = None,
    device: str | Mapping[str, object] | None = None,
    region: str | None = None,
    say: Say = say,
) -> NetworkCosts:
    """Multiply-adds, parameters and peak memory of a subnet; with a device, what that predicts.

    ``subnet`` is in any encoding of docs/net-config.md: a file, a text that begins with ``{``, a mapping, or an
    :class:`Arch`. ``supernet`` says whose it is, where that is not clear. Raises InputError for what cannot be read,
    and for a device where the subnet is none of a supernet.
    """
    from cost_models.compute import of_layers
    from cost_models.variants import any_in_region, parse_device

    of = as_supernet(supernet).described if supernet is not None else None
    network, name = read(subnet, image_size, of), called(subnet)
    costs: dict[str, float] = {**of_layers(network.layers)}
    known = parse_device(device, "device", Path()) if device is not None else None
    asked = any_in_region(known, region)
    if asked is None:
        return NetworkCosts(network, name, costs)
    chosen, predicted = costs_of_device(network, name, asked, say)
    return NetworkCosts(network, name, costs | predicted, chosen.name, chosen.power_meter)


def costs_of_device(
    network: Network, file: str, given: str | Variant, say: Say
) -> tuple[Device, dict[str, float]]:
    """A device, and what it predicts for the network; a table knows ``latency_ms_std``, ranges have ends."""
    from cost_models.device import device_costs
    from cost_models.devices import open_device
    from cost_models.energy import ranges
    from cost_models.latency import latency_std_ms
    from cost_models.latency_tables import listed
    from cost_models.protocol import Target
    from cost_models.registry import build

    if network.point is None:
        raise InputError(
            f"{file} at {network.image_size} pixels is no subnet of a shipped supernet, and a device's latency model "
            "is of one: leave --device out for multiply-adds, parameters and peak memory"
        )
    supernet, arch = network.point
    device = open_device(given, supernet, say)
    if device.table is not None and arch.resolution not in device.table.resolutions:
        raise InputError(
            f"the latency table of device {device.name!r} has no resolution {arch.resolution}; "
            f"give another --image-size, one of {listed(device.table.resolutions)}"
        )
    # a table that lacks layers of other archs still prices this one
    target = Target(supernet.restricted({dimension: (choice,) for dimension, choice in arch.choices}), device)
    predicted = {cost: build(cost, target)(arch) for cost in device_costs(device)}
    known = ranges(device, predicted.get("latency_ms"), supernet.layers(arch))
    predicted |= {f"{n}_{end}": getattr(r, end) for n, r in known.items() for end in ("low", "high")}
    if device.table is not None:
        predicted["latency_ms_std"] = latency_std_ms(target)(arch)
    return device, predicted
