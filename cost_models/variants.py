"""A device that is another one on another grid, or with other power figures: ``{base: host, region: FRA}``.

Its latency is its base's. What that was measured with cannot be changed beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cost_models import profiling
from cost_models.device import FIGURES, Device, Power
from cost_models.grid import Place, carbon_intensity
from cost_models.measurements import Precision
from supernet import documents
from supernet.amounts import ShownName
from supernet.documents import Document
from supernet.errors import InputError

MEASURED_WITH = ("runtime", "threads")
"""Fields of a device that its latency holds for and no other."""


class Variant(Document):
    """``base`` is a device's name or YAML file; what is absent is as the base has it.

    ``at`` are devices that are it at other precisions, by their names or YAML files.
    """

    base: str
    name: ShownName | None = None
    region: Place | None = None
    power: Power | None = None
    at: dict[Precision, str] | None = None


def parse_device(given: object, where: str, folder: Path) -> str | Variant | None:
    """What a YAML's ``device`` says: a name, a file, a variant whose base may be a file from ``folder``, or none.

    Raises InputError for anything else.
    """
    if given is None or isinstance(given, (str, Variant)):
        return given
    if isinstance(given, Mapping):
        return with_full_base(parse_variant(given, where), folder)
    raise InputError(
        f"{where}: got {str(given)[:80]!r}; a device is a name, a YAML file, or {{base: host, region: FRA}}"
    )


def parse_variant(given: Mapping[str, object], where: str) -> Variant:
    """The variant that a mapping describes. Raises InputError for fields that would not be honoured."""
    fixed = [key for key in given if key in Device.model_fields and key not in Variant.model_fields]
    if fixed:
        raise InputError(
            f"{where}: {', '.join(fixed)} cannot be given beside base: {given.get('base', 'host')}, "
            "whose latency holds only for what it was measured with "
            f"(host: {profiling.RUNTIME}, {profiling.THREADS} thread). Leave that out; a device that was measured "
            f"otherwise is a file with its own latency and without base. Beside base stand "
            f"{', '.join(name for name in Variant.model_fields if name != 'base')}"
        )
    return documents.check(dict(given), Variant, where)


def from_file(given: Mapping[str, object], path: Path) -> Variant:
    """The variant in a device's file: called as the file, its base found from the file's folder."""
    found = with_full_base(parse_variant(given, str(path)), path.parent)
    return found.model_copy(update={"name": found.name or path.stem})


def with_full_base(variant: Variant, folder: Path) -> Variant:
    """The same variant; devices that are files from ``folder`` are made absolute."""

    def full_name(device: str) -> str:
        return documents.from_folder(folder, device) if device.endswith((".yaml", ".yml")) else device

    at = variant.at and {precision: full_name(device) for precision, device in variant.at.items()}
    return variant.model_copy(update={"base": full_name(variant.base), "at": at})


def in_region(device: str | Variant, region: str | None) -> str | Variant:
    """The device on the grid of a region, where one is given."""
    if region is None:
        return device
    known = device if isinstance(device, Variant) else Variant(base=device)
    return known.model_copy(update={"region": region})


def any_in_region(device: str | Variant | None, region: str | None) -> str | Variant | None:
    """The same where there may be no device. Raises InputError for a region without one."""
    if device is not None:
        return in_region(device, region)
    if region is not None:
        raise InputError(
            f"region {region} is that of a device, and there is none: give --device host, for example"
        )
    return None


def check_grid(variant: Variant) -> None:
    """Raises InputError for an unknown region, before anything is measured."""
    if variant.region is not None:
        carbon_intensity(variant.region)


def varied(base: Device, variant: Variant, at: Mapping[str, Device] | None = None) -> Device:
    """``base`` with what the variant changes; without a name of its own it is called after its region.

    ``at`` are the devices that the variant names. Raises InputError for a region that would change nothing, and for a
    device that was measured at another precision than is said.
    """
    for precision, found in (at or {}).items():
        if found.latency is not None and found.precision != precision:
            raise InputError(
                f"at: {{{precision}: {found.name}}}: that device was measured in {found.precision}; give one that was "
                f"measured in {precision}, as oncefit profile NAME --precision {precision} makes"
            )
    power = variant.power or base.power
    if variant.region is not None and power is None:
        raise InputError(
            f"region {variant.region} changes nothing for device {base.name!r}, which has no power figures: "
            f"give power: too, with {', '.join(FIGURES)}"
        )
    elsewhere = variant.region is not None and variant.region != base.region
    name = variant.name or (f"{base.name}-{variant.region}" if elsewhere else base.name)
    region = variant.region or base.region
    there = {
        precision: found.model_copy(update={"region": variant.region or found.region})
        for precision, found in {**(base.at or {}), **(at or {})}.items()
    }
    return base.model_copy(update={"name": name, "power": power, "region": region, "at": there or None})


def check_measured_with(device: Device, where: str) -> None:
    """Raises InputError where a fitted device's file says another runtime or other threads than its latency has."""
    if device.fit is None:
        return
    for name in MEASURED_WITH:
        fitted, said = device.fit.settings.get(name), getattr(device, name)
        if fitted is not None and said is not None and said != fitted:
            raise InputError(
                f"{where}: {name}: {said} is not honoured: its latency was fitted with {name}: {fitted}, and does "
                f"not hold for another. Put back {name}: {fitted}, or give the file a latency measured with {said}"
            )
