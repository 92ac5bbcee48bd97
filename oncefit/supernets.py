"""A supernet as a value: its space, its subnets with their weights, and their accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cost_models.device import Device
from cost_models.devices import open_device
from cost_models.protocol import Target
from cost_models.registry import build
from oncefit.bundles import Bundle, open_bundle
from search.reports.export import export_arch
from search.reports.formats import FormatsAsked, extending
from search.runs.measuring import MeasuredAccuracy
from search.runs.opening import free_costs
from search.runs.own import OwnSupernet, adapted
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch
from supernet.archs.space import SearchSpace
from supernet.errors import InputError
from supernet.families import catalog
from supernet.formats.protocol import BatchSize
from supernet.messages import Say, say
from supernet.ofa_format.given import Given, given_arch

if TYPE_CHECKING:
    from torch import nn

    from cost_models.first_look import FirstLook


@dataclass(frozen=True, repr=False)
class Supernet:
    """A supernet, and the images that its subnets are calibrated and measured on.

    ``data`` is a folder of images, or None for those that ship with the supernet. Nothing is read before it is used.
    """

    described: catalog.Supernet
    data: str | None = None
    source: str | None = None

    @property
    def is_named(self) -> bool:
        """Whether a name or a file says what it is, and not an object of the caller's."""
        return self.source is not None

    @property
    def name(self) -> str:
        return self.described.name

    @property
    def space(self) -> SearchSpace:
        """Its choices; ``space.size`` says how many subnets there are."""
        return self.described.space

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the network's outputs, in order."""
        return self.described.classes

    @cached_property
    def measuring(self) -> MeasuredAccuracy:
        return MeasuredAccuracy(self.described, self.data or self.described.data)

    # -- archs ---------------------------------------------------------------

    def arch(self, choices: Given) -> Arch:
        """The arch of a value for each dimension, or of any encoding of docs/net-config.md, be it in a file.

        Raises InputError that says what is missing or not allowed.
        """
        if isinstance(choices, Mapping) and set(choices) & set(self.space.index):
            return self.space.arch(choices)
        return given_arch(choices, self.described)

    def smallest(self) -> Arch:
        return self.space.smallest()

    def largest(self) -> Arch:
        return self.space.largest()

    def sample(self, count: int, seed: int = 0) -> list[Arch]:
        """Archs whose choices are drawn uniformly."""
        return self.space.decode(self.space.sample(count, np.random.default_rng(seed)))

    def costs(self, arch: Arch, device: str | Device | None = None) -> dict[str, float]:
        """Every built-in cost that is known, by name; with a device its latency, and energy and CO2e if it has power."""
        opened = open_device(device, self.described, say) if isinstance(device, str) else device
        target = Target(self.described.with_arch(arch), opened)
        return {name: build(name, target)(arch) for name in free_costs(self.described, opened)}

    def first_look(self) -> FirstLook:
        """How many subnets there are, the spread of their costs, the size of the weights, and what it is built of.

        Raises InputError for a supernet that describes no layers.
        """
        from cost_models.first_look import looked_at_first

        return looked_at_first(self.described)

    # -- subnets -------------------------------------------------------------

    def extract(self, arch: Arch, calibrated: bool = True) -> nn.Module:
        """An independent static module of an arch with its weights, in eval mode.

        It takes images (n, channels, resolution, resolution) and gives logits (n, classes). Statistics of batch
        norms are recalibrated on the calibration images, or left as they are in the supernet. Raises InputError
        where weights or images are missing.
        """
        return self.measuring.subnet(arch) if calibrated else self.measuring.net.extract(arch)

    def export(
        self,
        arch: Given,
        out: str | Path | None = None,
        *,
        device: str | Device | None = None,
        calibrated: bool = True,
        formats: str | Iterable[str] | None = None,
        batch: BatchSize | None = None,
        image_size: int | None = None,
        opset: int | None = None,
        threads: int = 1,
        say: Say = say,
    ) -> Bundle:
        """Write an arch as a bundle, verified before it is in place; in ``runs/bundles`` by default.

        ``formats`` are added to it, and what is further asked is of them, as in :func:`oncefit.convert`.

        ``arch`` may be in any encoding of docs/net-config.md. With a device the bundle has its predicted costs. Not
        ``calibrated``, it needs no images, says so, and nothing is measured.
        """
        asked: FormatsAsked = {
            "formats": formats, "batch": batch, "image_size": image_size, "opset": opset, "threads": threads,
        }  # fmt: skip
        extend = extending(asked, say, calibrated)
        opened = open_device(device, self.described, say) if isinstance(device, str) else device
        folder = Path(out) if out is not None else None
        found = given_arch(arch, self.described)
        target, summary = export_arch(self.measuring, found, opened, folder, say, calibrated, extend)
        return open_bundle(target, supernet=self, summary=summary)

    def evaluate(self, arch: Arch, split: str = "validation", subnet: nn.Module | None = None) -> Accuracy:
        """Top-1 and top-5 of an arch, measured on a split: ``validation``, or ``report`` for final figures.

        ``subnet`` is a module of the caller's for this arch, as :meth:`extract` gave it or changed since.
        """
        if split not in ("validation", "report"):
            raise InputError(f"there is no split {split!r} to evaluate on; give 'validation' or 'report'")
        return self.measuring.evaluate(self.extract(arch) if subnet is None else subnet, arch, split)

    def __repr__(self) -> str:
        return f"Supernet({self.name!r}: {self.space.size:.3g} subnets)"

    def _repr_html_(self) -> str:
        dimensions = len(self.space.dimensions)
        return (
            f"<b>{escape(self.name)}</b>: {self.space.size:.3g} subnets ({dimensions} dimensions), "
            f"{len(self.classes)} classes"
        )


def open_supernet(supernet: str | Path | OwnSupernet, *, data: str | Path | None = None) -> Supernet:
    """A supernet by its name, a YAML file that describes one, or an object of the caller's own.

    An object has ``name`` and ``space`` (a :class:`SearchSpace`), and where accuracies are measured here ``classes``
    and ``extract(arch)``; see docs/python.md. ``data`` is a folder of images, as ``oncefit search --data`` takes it.
    """
    images = str(Path(data).absolute()) if data is not None else None
    if isinstance(supernet, (str, Path)):
        return Supernet(catalog.open_supernet(str(supernet)), images, str(supernet))
    return Supernet(adapted(supernet), images)


def as_supernet(supernet: str | Path | Supernet | OwnSupernet) -> Supernet:
    return supernet if isinstance(supernet, Supernet) else open_supernet(supernet)
