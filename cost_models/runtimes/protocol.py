"""What measuring needs of a runtime, and the checks that all of them pass through."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cost_models.measurements import Setup
from supernet.errors import InputError

if TYPE_CHECKING:
    from torch import nn

InputImages = npt.NDArray[np.float32]
Reported = Mapping[str, str | int | float]

TOLERANCES: Mapping[str, float] = {"fp32": 1e-3, "bf16": 0.3, "int8": 0.7}
"""How far a runtime's logits may be from torch's in float32: the norm of the difference over that of torch's.

Of untrained subnets of ``fmnist_mbv3`` and ``ofa_mbv3_w1.0`` float32 was at 1e-5, bf16 at 0.02 to 0.13 and int8 at
0.25 to 0.42; logits that have nothing to do with each other are at the square root of 2.
"""


@dataclass(frozen=True)
class Loaded:
    """A subnet in a runtime: ``run`` is the call that is timed, on images that are set; ``logits`` makes it and
    returns its answer, shape (batch, classes). ``reported`` is what the runtime says it runs it with."""

    run: Callable[[], object]
    logits: Callable[[], npt.NDArray[Any]]
    reported: Reported


Load = Callable[["nn.Module", InputImages, Setup, Path], Loaded]
"""From a subnet in evaluation mode, images (batch, channels, side, side), a setup and a folder to write to."""


def nothing_pinned(setup: Setup) -> AbstractContextManager[None]:
    return nullcontext()


@dataclass(frozen=True)
class Runtime:
    """``packages`` are the distributions whose versions move its figures, the first the runtime itself.

    ``extra`` is what installs them where oncefit alone does not, ``note`` what else a person must know for that.
    ``pinned`` sets what is of the whole process while subnets are measured, and puts it back.
    """

    name: str
    packages: tuple[str, ...]
    precisions: tuple[str, ...]
    load: Load
    extra: str | None = None
    note: str = ""
    pinned: Callable[[Setup], AbstractContextManager[None]] = field(default=nothing_pinned)

    def versions(self) -> dict[str, str]:
        """Versions that the figures depend on; Python's, because its call is a part of a short inference."""
        found = {name: version(name) for name in self.packages}
        return {**found, "python": platform.python_version()}

    def missing(self) -> list[str]:
        return [name for name in self.packages if not installed(name)]


def installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def check_input(declared: object, images: InputImages, what: str) -> None:
    """Raises InputError where a model declares another shape than that of the images it will be given.

    ``declared`` has a number where a side is fixed, and anything else where it is not. Some runtimes answer a
    wrong shape with NaN, or with the answer to a shape of the same size.
    """
    sides = list(declared) if isinstance(declared, (list, tuple)) else []
    fits = len(sides) == images.ndim and all(
        side == given for side, given in zip(sides, images.shape, strict=True) if isinstance(side, int)
    )
    if not fits:
        raise InputError(
            f"{what} does not take images of shape {images.shape}: it declares {declared}; "
            "it must have been exported for that resolution and that batch"
        )


def check_answer(
    answer: npt.NDArray[Any], expected: npt.NDArray[Any], setup: Setup, what: str
) -> float:  # the distance, for the record
    """How far an answer is from torch's logits. Raises InputError for another shape, NaN, or one too far off."""
    if answer.shape != expected.shape:
        raise InputError(
            f"{setup.runtime} answered {what} with shape {answer.shape}, and {expected.shape} is due: "
            f"{setup.batch} images, {expected.shape[-1]} classes"
        )
    if not np.isfinite(answer).all():
        raise InputError(
            f"{setup.runtime} answered {what} with NaN or infinity at {setup.precision}: its times are of no use; "
            "try another precision, or another version of the runtime"
        )
    apart = float(np.linalg.norm(answer - expected) / np.linalg.norm(expected))
    if apart > TOLERANCES[setup.precision]:
        raise InputError(
            f"{setup.runtime} answered {what} with logits that are {apart:.2g} from torch's, and at "
            f"{setup.precision} at most {TOLERANCES[setup.precision]:g} is possible (norm of the difference over "
            "that of torch's): it does not run this network as it is"
        )
    return apart
