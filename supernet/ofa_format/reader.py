"""The one reader of a subnet that somebody wrote down, in whichever of the known encodings.

:func:`read` takes a file, for what a network costs; :func:`arch_in` what stands in a row or a
request, for an arch of a supernet that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from supernet.archs.arch import BITS_OF, PRECISION, Arch
from supernet.archs.layers import Layer
from supernet.archs.precisions import with_precisions
from supernet.errors import InputError, prefixed, some
from supernet.families.catalog import Supernet, open_supernet
from supernet.ofa_format import attentive_nas, files, matching, mmrazor, net_config, settings

Data = Mapping[str, Any]

Point = tuple[Supernet, Arch]


@dataclass(frozen=True)
class Network:
    """A network at an image size; ``point`` is the supernet and arch that it is, if it is one's."""

    name: str
    image_size: int
    walk: Callable[[], tuple[Layer, ...]]
    point: Point | None

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, in the order in which they run."""
        return self.walk()


@dataclass(frozen=True)
class Asked:
    """What was asked beside the file: another image size, and which supernet it is a subnet of."""

    image_size: int | None = None
    supernet: Supernet | None = None
    beside: int | None = None
    """The image size in a run.config beside the file."""

    def size(self, own: int | None, file: str) -> int:
        """The side of the images: as asked, else ``own`` of the file, else that beside it."""
        found = next((n for n in (self.image_size, own, self.beside) if n is not None), None)
        if found is None:
            raise InputError(
                f"{file} does not say how large its images are: give --image-size N, "
                f'or put a {files.RUN_CONFIG} with {{"image_size": N}} beside it'
            )
        net_config.check_size(found)
        return found


@dataclass(frozen=True)
class Encoding:
    """One way to write a subnet down.

    ``words`` say it to people; ``fits`` tells it by its keys; ``network`` reads it from a file,
    and ``arch`` as an arch of a supernet, raising InputError for what is none.
    """

    words: str
    fits: Callable[[Data], bool]
    network: Callable[[Data, str, Asked], Network]
    arch: Callable[[Data, Supernet, str], Arch]


def read(path: Path, image_size: int | None = None, supernet: Supernet | None = None) -> Network:
    """The network in a file, at ``image_size`` or, without one, at its own or that of a run.config beside it.

    Raises InputError for an encoding that is not known, and for anything that would not be counted.
    """
    data = files.load(path)
    # the file beside is not looked at where its size does not matter
    beside = files.image_size_beside(path) if image_size is None else None
    return network_of(data, str(path), image_size, supernet, beside)


def network_of(
    data: Data,
    where: str,
    image_size: int | None = None,
    supernet: Supernet | None = None,
    beside: int | None = None,
) -> Network:
    """The same of keys and values that were read from ``where``; ``beside`` is the size in a run.config there."""
    return encoding_of(data, where).network(data, where, Asked(image_size, supernet, beside))


def arch_in(data: Data, supernet: Supernet, where: str) -> Arch:
    """The arch of ``supernet`` that ``data`` describes. Raises InputError where it describes none."""
    return encoding_of(data, where).arch(data, supernet, where)


def encoding_of(data: Data, where: str) -> Encoding:
    """The encoding that has such keys."""
    for encoding in ENCODINGS:
        if encoding.fits(data):
            return encoding
    if "pareto_models" in data or "supernet_config" in data:
        attentive_nas.refuse_several(data, where)
    raise InputError(f"{where} is none of: {forms()}; its keys are {some(data) or 'none'}")


def forms() -> str:
    *most, last = (encoding.words for encoding in ENCODINGS)
    return f"{', '.join(most)}, or {last}"


# -- ours --------------------------------------------------------------------------


def of_arch(data: Data, file: str, asked: Asked) -> Network:
    """The network of an arch or of a bundle's arch.json. Raises InputError for one of another network."""
    arch = data.get("arch", data)
    space = arch.get("space") if isinstance(arch, dict) else None
    if not isinstance(space, str):
        raise InputError(f"{file} holds no arch, which names its space; a file may be {forms()}")
    supernet = asked.supernet or open_supernet(space)
    found = arch_of_ours(data, supernet, file)
    if asked.image_size is not None:
        found = supernet.space.arch({**found.values, "resolution": asked.image_size})
    return at_point(supernet, found)


def arch_of_ours(data: Data, supernet: Supernet, where: str) -> Arch:
    """The arch of :meth:`Arch.to_dict` or of a bundle's arch.json; it may say its precision."""
    fingerprint = data.get("fingerprint", supernet.fingerprint)
    if fingerprint != supernet.fingerprint:
        raise InputError(
            f"{where} is of a network called {supernet.name} with fingerprint {fingerprint}, "
            f"but the one here has {supernet.fingerprint}: they are different networks"
        )
    arch, space = data.get("arch", data), supernet.family.space
    choices = arch.get("choices") if isinstance(arch, dict) else None
    says = isinstance(choices, dict) and PRECISION in choices and PRECISION not in space.index
    return (with_precisions(space, BITS_OF) if says and supernet.precisions else space).from_dict(arch)


def at_point(supernet: Supernet, arch: Arch) -> Network:
    return Network(supernet.name, arch.resolution, lambda: supernet.layers(arch), (supernet, arch))


# -- net.config ----------------------------------------------------------------------


def of_net_config(data: Data, file: str, asked: Asked) -> Network:
    config = net_config.parse_net_config(data, file)
    size = asked.size(config.image_size, file)
    point = matching.arch_of(config, size, asked.supernet)
    return Network(config.name, size, lambda: config.layers(size), point)


def arch_of_net_config(data: Data, supernet: Supernet, where: str) -> Arch:
    return arch_at(of_net_config(data, where, Asked(supernet=supernet)), supernet, where)


def arch_at(network: Network, supernet: Supernet, where: str) -> Arch:
    if network.point is None:
        raise InputError(
            f"{where}: the {network.name} at {network.image_size} pixels is no subnet of {supernet.name}"
        )
    return network.point[1]


# -- settings ------------------------------------------------------------------------


def of_settings(data: Data, file: str, asked: Asked) -> Network:
    try:
        size = asked.size(own_size(data), file)
        return at_any_size(data, asked.supernet or settings.fitting_supernet(data, size), size)
    except InputError as error:
        raise prefixed(error, file) from None


def own_size(data: Data) -> int | None:
    """The resolution where settings have one."""
    return (
        settings.resolution(data)
        if any(data.get(key) is not None for key in settings.RESOLUTION_KEYS)
        else None
    )


def at_any_size(data: Data, supernet: Supernet, size: int) -> Network:
    """The network of settings, and a point where the space has the image size."""
    settings.check_width(data, supernet)
    space = supernet.family.space
    values = settings.choices_in(data, space)
    if size in space.by_name["resolution"].choices:
        return at_point(supernet, space.arch({**values, "resolution": size}))
    arch = Arch(space.name, tuple((name, {**values, "resolution": size}[name]) for name in values))
    return Network(supernet.name, size, lambda: supernet.layers(arch), None)


def arch_of_settings(data: Data, supernet: Supernet, where: str) -> Arch:
    try:
        settings.check_width(data, supernet)
        return settings.from_settings(data, supernet.family.space)
    except InputError as error:
        raise prefixed(error, where) from None


# -- of other projects ----------------------------------------------------------------


def of_attentive(data: Data, file: str, asked: Asked) -> Network:
    keys = attentive_nas.parse_subnet(data, file)
    size = asked.size(keys.resolution, file)
    return Network(attentive_nas.FORMAT_NAME, size, lambda: attentive_nas.layers_of_subnet(keys, size), None)


def arch_of_attentive(data: Data, supernet: Supernet, where: str) -> Arch:
    return arch_at(of_attentive(data, where, Asked()), supernet, where)


def of_mmrazor(data: Data, file: str, asked: Asked) -> Network:
    """One of AttentiveNAS's, or of the supernet that has the file's widths."""
    if mmrazor.is_attentive(data):
        return of_attentive(mmrazor.attentive_settings(data, file), file, asked)
    given, widths = mmrazor.ofa_settings(data, file), mmrazor.widths(data, file)
    shipped = [asked.supernet] if asked.supernet is not None else matching.shipped()
    for supernet in shipped:
        if mmrazor.widths_of(supernet) == widths:
            return of_settings(given, file, replace(asked, supernet=supernet))
    raise InputError(
        f"{file}: its widths are {', '.join(map(str, widths))}, which {' or '.join(s.name for s in shipped)} "
        "does not have: a family that is not known; --supernet names one that is yours"
    )


def arch_of_mmrazor(data: Data, supernet: Supernet, where: str) -> Arch:
    return arch_at(of_mmrazor(data, where, Asked(supernet=supernet)), supernet, where)


ENCODINGS = (
    Encoding(
        'an arch ({"space": ..., "choices": {...}}) or the arch.json of a bundle',
        lambda data: "arch" in data or "choices" in data, of_arch, arch_of_ours,
    ),
    Encoding(
        'a net.config of ofa, MCUNet or NAT ({"name": ..., "blocks": [...], ...})',
        lambda data: "blocks" in data or str(data.get("name")) in net_config.SUPERNETS,
        of_net_config, arch_of_net_config,
    ),
    Encoding(
        'settings of ofa ({"ks": ..., "e": ..., "d": ..., "r": ...})',
        lambda data: "d" in data and "e" in data, of_settings, arch_of_settings,
    ),
    Encoding(
        "a subnet of AttentiveNAS (resolution, width, depth, kernel_size, expand_ratio)",
        lambda data: "depth" in data and "expand_ratio" in data, of_attentive, arch_of_attentive,
    ),
    Encoding(
        "a subnet of mmrazor in YAML (backbone.layers.2.0.kernel_size and the like)",
        mmrazor.is_one, of_mmrazor, arch_of_mmrazor,
    ),
)  # fmt: skip
"""All encodings; the first that fits counts."""
