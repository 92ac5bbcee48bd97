"""Measured accuracy of a candidate: extract, recalibrate, evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from supernet.arch import Arch
from supernet.catalog import Supernet

if TYPE_CHECKING:
    from supernet.accuracy import Accuracy
    from supernet.data import Dataset
    from supernet.networks import ElasticNet, Subnet


@dataclass(frozen=True)
class MeasuredAccuracy:
    """Accuracy of subnets with the supernet's own weights, without fine-tuning."""

    supernet: Supernet
    data_name: str

    @cached_property
    def net(self) -> ElasticNet:
        return self.supernet.load()

    @cached_property
    def data(self) -> Dataset:
        from supernet.data import load_dataset

        return load_dataset(self.data_name, self.supernet.classes)

    def load(self) -> None:
        """Read weights and images now. Raises InputError where one of them is missing or wrong."""
        _ = self.net, self.data

    def subnet(self, arch: Arch) -> Subnet:
        from supernet.evaluation import specialise

        return specialise(self.net, arch, self.data)

    def __call__(self, arch: Arch, split: str) -> Accuracy:
        """Measured on ``validation`` during a search, on ``report`` for final figures only."""
        from supernet.evaluation import evaluate

        return evaluate(self.subnet(arch), arch, self.data, split)
