"""Fine-tuning: a subnet with its weights is trained on, on labels and where it can be on a larger one's answers.

The usual recipe (supernet/training/finetuning_recipe.py): AdamW or SGD, learning rates that warm up and fall by a cosine,
smoothed labels, clipped gradients, and an average of the weights over steps, which is what is validated and kept.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from supernet.errors import InputError, unknown
from supernet.threads import made_ahead
from supernet.training.finetuning_recipe import FinetuningRecipe
from supernet.training.optimizers import averaging, learning_rate, make_optimizer
from supernet.training.processes import Processes
from supernet.training.training_batches import Batches
from supernet.training.training_state import (
    LEAST_IN_BATCH,
    SECONDS_BETWEEN_SAVES,
    TrainingProgress,
    diverged,
    load_state,
    save_state,
)

DEVICE_TYPES = ("auto", "cpu", "cuda", "mps")

Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Tuned:
    """The average of weights that was best on the validation images, after ``best_epoch``; 0 is before the first.

    ``top1`` are the validation accuracies of each epoch, the one before the first included.
    """

    state: Parameters
    best_epoch: int
    top1: tuple[float, ...]
    steps: int

    @property
    def epochs(self) -> int:
        """Those that were trained, fewer than asked for where it stopped early."""
        return len(self.top1) - 1


class NetOnDevice(nn.Module):
    """``net``, which may be on a GPU, as a function of inputs on the CPU to logits there."""

    def __init__(self, net: nn.Module, device: torch.device) -> None:
        super().__init__()
        self.net, self.device = net, device

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x.to(self.device))
        return logits.cpu()


def finetune(
    net: nn.Module,
    batches: Batches,
    teacher: nn.Module | None,
    processes: Processes,
    checkpoint: Path,
    identity: Mapping[str, str],
    validate: Callable[[nn.Module], float],
    report: Callable[[TrainingProgress], None],
) -> Tuned:
    """Train ``net`` on the device of ``processes`` and return the best average of its weights.

    ``teacher`` is a network whose answers to the images of the second resolution of each batch are learned too. ``validate`` gives the top-1 of a network on the validation images, and may change its statistics. Everything is
    kept in ``checkpoint`` after every epoch, and every half a minute: the same call, with the same ``identity``,
    continues from it and ends with the same weights as an uninterrupted one. Raises InputError for another's
    checkpoint, and Diverged. Several processes each train on their share of every batch; the first one validates
    and writes.
    """
    recipe, device = batches.recipe, processes.device
    assert isinstance(recipe, FinetuningRecipe)
    steps = batches.per_epoch * recipe.epochs
    run = Learner.begun(net.to(device).to(memory_format=torch.channels_last), recipe, processes, checkpoint)

    def judge() -> None:
        found = validate(NetOnDevice(run.average.module, device)) if processes.is_first else 0.0
        run.judge(processes.of_first(found))

    if checkpoint.exists():
        run.load(identity)
    else:
        judge()
        if processes.is_first:
            run.save(identity)
    processes.check_alike(run.step, checkpoint)
    saved = began = time.monotonic()
    losses, first = deque[float](maxlen=batches.per_epoch), run.step
    left = range(run.step, steps) if not run.is_done else range(0)
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for batch in made_ahead(batches.batch, left, pool, torch.get_num_threads()):
            if processes.least(len(batch.labels)) >= LEAST_IN_BATCH:
                rate = learning_rate(recipe.learning_rate, round(recipe.warmup * steps), run.step, steps)
                inputs = [x.to(device, memory_format=torch.channels_last) for x in batch.inputs]
                losses.append(run.learn(inputs, batch.labels.to(device), teacher, rate))
            run.step += 1
            epoch_ends = run.step % batches.per_epoch == 0
            if epoch_ends:
                judge()
            if processes.is_first and (epoch_ends or time.monotonic() - saved > SECONDS_BETWEEN_SAVES):
                run.save(identity)
                saved = time.monotonic()
            speed, loss = (run.step - first) / (time.monotonic() - began), sum(losses) / max(1, len(losses))
            report(
                TrainingProgress(
                    run.step, steps, run.told, loss, speed * batches.size, (steps - run.step) / speed
                )
            )
            if epoch_ends and run.is_done:
                break
    return Tuned(run.best, run.best_epoch, tuple(run.top1), run.step)


@dataclass
class Learner:
    """All that changes in a fine-tuning, and is kept in a checkpoint; ``forward`` is ``net`` in all processes."""

    net: nn.Module
    forward: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    recipe: FinetuningRecipe
    checkpoint: Path
    top1: list[float] = field(default_factory=list)
    best: Parameters = field(default_factory=dict)
    best_epoch: int = 0
    step: int = 0

    @classmethod
    def begun(
        cls, net: nn.Module, recipe: FinetuningRecipe, processes: Processes, checkpoint: Path
    ) -> Learner:
        average = AveragedModel(net, multi_avg_fn=averaging(recipe.ema_decay))
        forward = processes.together(net)
        return cls(net, forward, average, make_optimizer(net, recipe), recipe, checkpoint)

    @property
    def told(self) -> str:
        return f"after epoch {len(self.top1) - 1} top-1 {100 * self.top1[-1]:.2f} %, best {100 * max(self.top1):.2f} %"

    @property
    def is_done(self) -> bool:
        """Whether all epochs are over, or so many in a row were no better than the best."""
        epochs = len(self.top1) - 1
        return epochs >= self.recipe.epochs or epochs - self.best_epoch >= self.recipe.patience

    def learn(
        self,
        inputs: Sequence[Tensor],
        labels: Tensor,
        teacher: nn.Module | None,
        rate: float,
    ) -> float:
        """One step; returns its loss. Raises Diverged, and then no weight has changed."""
        self.forward.train()
        self.optimizer.zero_grad(set_to_none=True)
        on = inputs[0].device.type
        with torch.autocast(on, torch.bfloat16, enabled=on == "cuda"):
            logits = self.forward(inputs[0]).float()
            answers = answers_of(teacher, inputs) if teacher is not None else None
        target = targets(
            labels, logits.shape[1], self.recipe.label_smoothing, answers, self.recipe.distil_weight
        )
        loss = F.cross_entropy(logits, target)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip_norm)
        found = float(loss.detach())
        if not math.isfinite(found) or not math.isfinite(float(norm)):
            raise diverged(
                self.step, found, self.recipe.learning_rate, "in a file with --recipe", self.checkpoint
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.average.update_parameters(self.net)
        return found

    def judge(self, top1: float) -> None:
        """Take the average of weights for the best if none before has a ``top1`` as high."""
        if not self.top1 or top1 > max(self.top1):
            self.best_epoch = len(self.top1)
            self.best = {k: v.detach().cpu().clone() for k, v in self.average.module.state_dict().items()}
        self.top1.append(top1)

    def save(self, identity: Mapping[str, str]) -> None:
        state = {
            "step": self.step,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "top1": self.top1,
            "best": self.best,
            "best_epoch": self.best_epoch,
        }
        save_state(self.checkpoint, identity, state)

    def load(self, identity: Mapping[str, str]) -> None:
        """Continue from the checkpoint. Raises InputError for one that is damaged, or of another fine-tuning."""
        state = load_state(self.checkpoint, identity, "fine-tuning")
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.top1, self.best = state["top1"], state["best"]
        self.best_epoch, self.step = state["best_epoch"], state["step"]


@torch.no_grad()
def answers_of(teacher: nn.Module, inputs: Sequence[Tensor]) -> Tensor:
    """Probabilities (n, classes)."""
    return F.softmax(teacher(inputs[-1]).float(), dim=1)


def targets(labels: Tensor, classes: int, smoothing: float, answers: Tensor | None, weight: float) -> Tensor:
    """What is learned, (n, classes): smoothed labels, mixed with a teacher's answers where these are right.

    A teacher that is not used to these images says nothing where it is wrong.
    """
    smoothed = F.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes
    if answers is None:
        return smoothed
    share = weight * (answers.argmax(1) == labels).float()[:, None]
    return (1 - share) * smoothed + share * answers


def torch_device(device_type: str) -> torch.device:
    """The device of a type that is here; of ``auto`` a GPU where there is one. Raises InputError where there is none."""
    if device_type not in DEVICE_TYPES:
        raise unknown("device type", device_type, DEVICE_TYPES)
    here = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device_type == "auto":
        device_type = next(name for name, there in here.items() if there)
    if not here[device_type]:
        raise InputError(
            f"torch finds no device of type {device_type} here; it finds {', '.join(n for n, t in here.items() if t)}: "
            "give --device-type auto, or install the torch of that device"
        )
    return torch.device(device_type)
