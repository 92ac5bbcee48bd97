"""What a format is: how a subnet is written in it, and how its own runtime reads it back."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from supernet.bundles.ports import OPSET, OPSETS
from supernet.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from supernet.bundles.bundle import Bundle
    from supernet.images.data import Dataset

NetworkInputs = npt.NDArray[np.float32]
Logits = npt.NDArray[np.float32]
BatchSize = int | Literal["dynamic"]
DYNAMIC: Literal["dynamic"] = "dynamic"
MOST_BATCH = 4096
LARGEST_SIDE = 4096


@dataclass(frozen=True)
class FormatRequest:
    """How formats are to be written: ``batch`` None is what each of them does by default, ``image_size`` the arch's."""

    batch: BatchSize | None = None
    image_size: int | None = None
    opset: int | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.batch is not None and self.batch != DYNAMIC and not 1 <= self.batch <= MOST_BATCH:
            raise InputError(
                f"--batch: got {self.batch}; give 'dynamic', or a whole number from 1 to {MOST_BATCH:,}"
            )
        if self.image_size is not None and not 1 <= self.image_size <= LARGEST_SIDE:
            raise InputError(f"--image-size: got {self.image_size}; give 1 to {LARGEST_SIDE:,} pixels")
        if self.opset is not None and self.opset not in OPSETS:
            raise InputError(
                f"--opset: got {self.opset}; torch's exporter writes {OPSETS[0]} to {OPSETS[-1]}, and below 14 "
                "hard-swish by its parts"
            )


@dataclass(frozen=True)
class ToWrite:
    """What is written: a subnet in eval mode and the bundle that it is of; ``batch`` None takes any number of images.

    ``data`` is the bundle's own images, where they are here.
    """

    subnet: nn.Module
    bundle: Bundle
    resolution: int
    batch: int | None
    opset: int = OPSET
    data: Dataset | None = None

    @property
    def channels(self) -> int:
        return self.bundle.card.preprocessing.channels

    @property
    def example(self) -> Any:
        """Images of zeros as a tensor; two where any number is taken, since of one a tracer makes a constant."""
        import torch

        return torch.zeros(self.batch or 2, self.channels, self.resolution, self.resolution)


@dataclass(frozen=True)
class Opened:
    """A format in its runtime: ``predict`` takes any number of images (n, c, r, r) to logits (n, classes).

    ``bound`` gives the call that is timed, on images that are set, as many as the format takes at once.
    """

    predict: Callable[[NetworkInputs], Logits]
    bound: Callable[[NetworkInputs], Callable[[], object]]


@dataclass(frozen=True)
class Reading:
    """What a runtime is told: the format's folder, threads, the batch that it was written for, and the bundle."""

    folder: Path
    threads: int
    batch: int | None
    bundle: Bundle


Opening = Callable[[Reading], AbstractContextManager[Opened]]
"""How a runtime opens a format."""


@dataclass(frozen=True)
class AccuracyBound:
    """How far a format that rounds on purpose may be from torch on the report split.

    ``points`` is how much less top-1 it may have, in percentage points, unless McNemar's test calls more than that
    chance (p of at least 0.05); ``agreement`` the least share of images whose best class is torch's.
    """

    points: float
    agreement: float

    def __str__(self) -> str:
        most = f"{self.points:g} point{'' if self.points == 1 else 's'}"
        return f"at most {most} less top-1 unless by chance, and at least {100 * self.agreement:g} % of best classes the same"


@dataclass(frozen=True)
class QuantisedAs:
    """How a format was quantised: by what, on how many calibration images, and why what is left in float32 is.

    ``tried`` is the validation top-1 of each method, on ``validation_images``, where there was a choice.
    """

    method: str
    calibration_images: int
    in_float: Mapping[str, str]
    tried: Mapping[str, float] | None = None
    validation_images: int | None = None


@dataclass(frozen=True)
class ExportFormat:
    """``main`` is the file that a person asks for; ``packages`` are the distributions that write it, and those that
    run it are ``runtime``. ``extra`` installs both where oncefit alone does not, and ``note`` is what else to know.

    ``batch`` is what it takes by default, and what it takes at all where ``any_batch`` is false. A format without
    ``opened`` is not run here, and ``not_run`` says why; ``opened`` then reads what can be checked of it, if anything.

    A format with a ``bound`` is in 8 bits: it needs images, and its latency is told beside that of ``in_float``, the
    format of the same runtime in float32.
    """

    name: str
    about: str
    main: str
    packages: tuple[str, ...]
    write: Callable[[ToWrite, Path], QuantisedAs | None]
    opened: Opening | None
    batch: BatchSize = DYNAMIC
    any_batch: bool = True
    runtime: tuple[str, ...] = ()
    extra: str | None = None
    note: str = ""
    not_run: str | None = None
    takes_opset: bool = False
    bound: AccuracyBound | None = None
    in_float: str | None = None
    needs_room: bool = False
    """Whether its converter ends the process where a disk is full: then there must be room before it is asked."""

    @property
    def how(self) -> str:
        """What to type for what is missing."""
        return f"pip install 'oncefit[{self.extra}]'{self.note}" if self.extra else "pip install oncefit"

    def versions(self) -> dict[str, str]:
        found = {name: version(name) for name in dict.fromkeys((*self.packages, *self.runtime))}
        return {**found, "python": platform.python_version()}

    def missing(self) -> list[str]:
        """Distributions that writing it needs and that are not here."""
        return [name for name in self.packages if not is_installed(name)]

    def missing_to_run(self) -> list[str]:
        return [name for name in self.runtime or self.packages if not is_installed(name)]

    def batch_of(self, asked: BatchSize | None) -> BatchSize:
        """The batch to write for. Raises InputError where it cannot be any."""
        if asked == DYNAMIC and not self.any_batch:
            raise InputError(
                f"--batch dynamic: {self.name} is written for a fixed number of images; give --batch 1, or leave it out"
            )
        return self.batch if asked is None else asked


def is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def check_formats_installed(formats: Sequence[ExportFormat]) -> None:
    """Raises InputError where what writes formats is not installed, with what does that for each of them."""
    told = [
        f"format {format.name} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
        f"installed: {format.how}"
        for format in formats
        if (missing := format.missing())
    ]
    if told:
        raise InputError("; ".join(told))


def in_fixed_batches(
    call: Callable[[NetworkInputs], Logits], batch: int
) -> Callable[[NetworkInputs], Logits]:
    """A call that takes exactly ``batch`` images as one that takes any number; the last ones are filled up by zeros."""

    def predict(images: NetworkInputs) -> Logits:
        found = []
        for first in range(0, len(images), batch):
            part = images[first : first + batch]
            filled = np.concatenate([part, np.zeros((batch - len(part), *part.shape[1:]), dtype=np.float32)])
            found.append(np.array(call(np.ascontiguousarray(filled)))[: len(part)])
        return np.concatenate(found)

    return predict


def batched(call: Callable[[NetworkInputs], Logits], batch: int | None) -> Callable[[NetworkInputs], Logits]:
    """The same where the batch may be any."""
    return call if batch is None else in_fixed_batches(call, batch)
