"""Measured accuracy of a candidate: extract, recalibrate, quantise where it is in int8, evaluate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from search.runs.racing import Race, Raced, Rival, packed
from supernet.archs.arch import FLOAT32, Arch
from supernet.errors import InputError
from supernet.families.catalog import Elastic, Supernet
from supernet.messages import Say, say

if TYPE_CHECKING:
    from torch import Tensor, nn

    from supernet.accuracy import Accuracy
    from supernet.images.data import Dataset


@dataclass(frozen=True)
class MeasuredAccuracy:
    """Accuracy of subnets with the supernet's own weights, without fine-tuning.

    ``say`` is told of images that cannot be decoded and were left out, of each once, and of the first
    top-1 that guessing would give as well.
    """

    supernet: Supernet
    data_name: str | None
    say: Say = say

    @cached_property
    def known(self) -> dict[tuple[str, str], tuple[Accuracy, str | None]]:
        """What was measured, by arch id and split, with the packed hits where they are kept: it is not measured again."""
        return {}

    @cached_property
    def net(self) -> Elastic:
        return self.supernet.load()

    @cached_property
    def data(self) -> Dataset:
        """Raises InputError where there are no images, or wrong ones."""
        from supernet.images.data import load_dataset

        return load_dataset(self.given_data, self.supernet)

    @property
    def given_data(self) -> str:
        """The name of the data set. Raises InputError where there is none."""
        if self.data_name is None:
            raise InputError(
                f"{self.supernet.name} ships no images: give --data FOLDER, or data: FOLDER in the search's "
                "YAML (train/ and val/, one folder of images a class)"
            )
        return self.data_name

    @cached_property
    def told(self) -> set[str]:
        """Images, and splits of a suspicious figure, that ``say`` was told of."""
        return set()

    def load(self) -> None:
        """Read weights and images now. Raises InputError where one of them is missing or wrong."""
        _ = self.given_data, self.net, self.data

    def images(self) -> list[str]:
        """Sentences on how many images of how many classes each split has, and what was left out."""
        from supernet.images.data_summary import of_dataset

        return of_dataset(self.data)

    def subnet(self, arch: Arch) -> nn.Module:
        from supernet.evaluating.evaluation import specialise

        subnet = specialise(self.net, arch.network, self.data)
        self.tell()
        return subnet

    def hits_by_part(
        self, subnet: nn.Module, arch: Arch, split: str, parts: Iterable[range]
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Which images a subnet that :meth:`subnet` gave gets right, at the arch's precision, a part after the other.

        In int8 it is quantised on the calibration split and runs in ONNX Runtime, as it does when it is deployed.
        """
        from supernet.evaluating import evaluation

        if arch.precision == FLOAT32:
            return evaluation.hits_by_part(subnet, arch, self.data, split, parts)
        from search.runs.in_int8 import int8_answers

        answers = int8_answers(subnet, arch, self.data)
        return evaluation.hits_of_answers(answers, arch.resolution, self.data, split, parts)

    def evaluate(self, subnet: nn.Module, arch: Arch, split: str) -> Accuracy:
        """Of a subnet that :meth:`subnet` gave, at the arch's precision."""
        from supernet.evaluating.evaluation import accuracy_of_hits

        [(_, hits)] = self.hits_by_part(subnet, arch, split, [range(len(getattr(self.data, split)))])
        found = accuracy_of_hits(hits, split)
        self.tell()
        self.doubt(found)
        return found

    def __call__(self, arch: Arch, split: str) -> Accuracy:
        """Measured on ``validation`` during a search, on ``report`` for final figures only."""
        if (arch.id, split) not in self.known:
            self.known[arch.id, split] = (self.evaluate(self.subnet(arch), arch, split), None)
        return self.known[arch.id, split][0]

    def with_hits(self, arch: Arch, accuracy: str, split: str = "validation") -> tuple[Accuracy, str]:
        """What :meth:`__call__` measures, and which images of the split are right by ``accuracy``, packed."""
        found = self.race(arch, None, accuracy, split)
        assert not isinstance(found, Raced), "without a rival nothing is stopped"
        return found

    def race(
        self, arch: Arch, rival: Rival | None, accuracy: str, split: str = "validation"
    ) -> tuple[Accuracy, str] | Raced:
        """Measured on a split, with its packed hits, or stopped as its rival dominates it.

        ``accuracy``, top1 or top5, is what it is compared by. What is measured is what :meth:`__call__` measures.
        """
        import torch

        from supernet.evaluating.evaluation import accuracy_of_hits

        before, hits_before = self.known.get((arch.id, split), (None, None))
        if rival is None and before is not None and hits_before is not None:
            return before, hits_before
        race = Race(len(getattr(self.data, split)), rival)
        found = []
        for places, hits in self.hits_by_part(self.subnet(arch), arch, split, race.parts):
            found.append(hits)
            right = hits[:, 0] if accuracy == "top1" else hits.any(dim=1)
            stopped = race.look(places, right.numpy())
            self.tell()
            if stopped is not None:
                return stopped
        measured = accuracy_of_hits(torch.cat(found), split)
        self.doubt(measured)
        self.known[arch.id, split] = (measured, packed(race.hits))
        return measured, packed(race.hits)

    def doubt(self, found: Accuracy) -> None:
        """Say of a split, once, that a top-1 on it is no better than guessing, if it is not."""
        from supernet.images.data_summary import suspicion

        images = getattr(self.data, found.split)
        doubt = suspicion(found, images, len(self.data.classes), self.data.preprocessing)
        if doubt is not None and found.split not in self.told:
            self.told.add(found.split)
            self.say(doubt)

    def tell(self) -> None:
        """Say which images were left out since the last time."""
        from supernet.images.data_summary import left_out

        new = {file: why for file, why in self.data.undecodable.items() if file not in self.told}
        if new:
            self.told.update(new)
            self.say(left_out(new))
