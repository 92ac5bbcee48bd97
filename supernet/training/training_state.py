"""What trainings keep on disk while they run, so that a killed one goes on, and how they end where they diverge."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from supernet.atomic import whole
from supernet.errors import InputError

SECONDS_BETWEEN_SAVES = 30
"""Within an epoch; what a kill costs at most, beside one step."""
LEAST_IN_BATCH = 2
"""Images whose statistics a batch norm can take."""


class Diverged(InputError):
    """A loss or a gradient is no number; the last good state is kept in the checkpoint."""


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands; ``phase`` is a word on it, the loss is the mean of the last epoch's steps.

    ``seconds_left`` are what is left at the speed so far.
    """

    step: int
    steps: int
    phase: str
    loss: float
    images_per_second: float
    seconds_left: float


def diverged(step: int, loss: float, rate: float, where: str, checkpoint: Path) -> Diverged:
    """The error of a step; ``where`` a lower learning ``rate`` is to be given."""
    return Diverged(
        f"the loss at step {step} is {loss:g}, or its gradient is no number: the training diverged; the last good "
        f"state is kept in {checkpoint}; give a lower learning_rate than {rate:g} {where}, "
        "and another folder with --out"
    )


def save_state(path: Path, identity: Mapping[str, str], state: Mapping[str, Any]) -> None:
    """Write a checkpoint whole or not at all."""
    made = io.BytesIO()  # torch itself tells of a full disk by an error without a reason
    torch.save({"identity": dict(identity), **state}, made)
    with whole(path) as partial:
        partial.write_bytes(made.getbuffer())


def load_state(path: Path, identity: Mapping[str, str], what: str) -> dict[str, Any]:
    """The state in a checkpoint of a ``what``, as "fine-tuning". Raises InputError for a damaged one, and another's."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        theirs = state["identity"]
    except (OSError, RuntimeError, EOFError, KeyError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is no checkpoint or damaged; remove the file to start again") from error
    others = [name for name in identity if theirs.get(name) != identity[name]]
    if others:
        raise InputError(
            f"{path} is of another {what}, which was stopped: {', '.join(others)} differed; give another folder "
            "with --out, or remove the file to start again"
        )
    return state
