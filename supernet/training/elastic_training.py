"""Training a supernet, or one of its subnets alone to compare with.

**Progressive shrinking**, after Cai et al. (ICLR 2020): first the largest subnet at all resolutions, then
elastic kernel, depth and expand ratio, one after the other. **The sandwich rule** alone (Yu et al., BigNAS, ECCV 2020)
is the same with one phase in which all is elastic. In a phase in which more than the resolution is elastic, each step
trains the largest subnet on the labels, and the smallest and some random ones of the phase on the largest one's soft
predictions.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from supernet.archs.arch import Arch
from supernet.archs.space import SearchSpace
from supernet.families.trainable import trainable
from supernet.threads import made_ahead, torch_threads
from supernet.training.elastic_batches import ElasticBatch, ElasticBatches
from supernet.training.learning_curve import CurvePoint, plain_points
from supernet.training.optimizers import averaging, learning_rate, make_optimizer
from supernet.training.processes import Processes
from supernet.training.recipes import Phase, Recipe
from supernet.training.training_state import (
    LEAST_IN_BATCH,
    SECONDS_BETWEEN_SAVES,
    TrainingProgress,
    diverged,
    load_state,
    save_state,
)

Validate = Callable[[nn.Module], dict[str, float]]
"""Top-1 on the validation images by size of subnet, of a network whose statistics are not to be relied on."""


def train(
    recipe: Recipe,
    net: nn.Module,
    batches: ElasticBatches,
    processes: Processes,
    checkpoint: Path,
    identity: Mapping[str, str],
    validate: Validate,
    report: Callable[[TrainingProgress], None],
    keep_curve: Callable[[list[CurvePoint]], None],
    alone: Arch | None = None,
) -> nn.Module:
    """Train ``net`` on the device of ``processes``; returns it, or the average of its weights where the recipe has one.

    ``net`` is a supernet as :class:`supernet.families.trainable.Trainable` has it, or with ``alone`` the static subnet of that
    arch. Everything is kept in ``checkpoint`` after every epoch, and every half a minute: the same call, with the same
    ``identity``, continues from it and ends with the same weights as an uninterrupted one, since every random choice
    follows from the seed and the step alone. ``keep_curve`` is called with all points after each new one. Raises
    InputError for another's checkpoint, and Diverged.

    Several processes train on their share of every batch each; gradients are averaged once a step, and statistics of
    batch norms are of all shares. The first process validates and writes.
    """
    run = ElasticLearner.begun(net, recipe, processes, checkpoint, alone)
    if checkpoint.exists():
        run.load(identity)
    processes.check_alike(run.step, checkpoint)
    steps = batches.per_epoch * recipe.epochs
    began = saved = time.monotonic()
    first, clock = run.step, time.process_time()

    def spend() -> None:
        nonlocal clock
        run.seconds += time.process_time() - clock
        clock = time.process_time()

    with torch_threads(recipe.threads) as threads, ThreadPoolExecutor(threads) as pool:
        for batch in made_ahead(batches.batch, range(run.step, steps), pool, threads):
            epoch, position = divmod(run.step, batches.per_epoch)
            if position == 0:
                run.begin_epoch(epoch)
            if processes.least(len(batch.labels)) >= LEAST_IN_BATCH:
                peak = recipe.learning_rate
                rate = learning_rate(peak, recipe.warmup_of(steps), run.step, steps)
                run.learn(batch, rate)
            run.step += 1
            ends = position + 1 == batches.per_epoch
            if ends and ((epoch + 1) % recipe.validate_every == 0 or run.step == steps):
                spend()
                run.add_point(epoch + 1, run.step * batches.size, validate)
                clock = time.process_time()
                if processes.is_first:
                    keep_curve(run.curve)
            if processes.is_first and (ends or time.monotonic() - saved > SECONDS_BETWEEN_SAVES):
                spend()
                run.save(identity)
                saved = time.monotonic()
            speed = (run.step - first) / (time.monotonic() - began)
            report(
                TrainingProgress(
                    run.step,
                    steps,
                    run.told(epoch),
                    run.loss,
                    speed * batches.size,
                    (steps - run.step) / speed,
                )
            )
    if processes.is_first and run.curve:
        keep_curve(run.curve)
    return run.kept


@dataclass
class ElasticLearner:
    """All that changes in a training, and is kept in a checkpoint."""

    net: nn.Module
    average: AveragedModel | None
    optimizer: torch.optim.Optimizer
    recipe: Recipe
    processes: Processes
    checkpoint: Path
    alone: Arch | None
    curve: list[CurvePoint] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    step: int = 0

    @classmethod
    def begun(
        cls, net: nn.Module, recipe: Recipe, processes: Processes, checkpoint: Path, alone: Arch | None
    ) -> ElasticLearner:
        if alone is None:
            trainable(net)
        net.to(processes.device).train().to(memory_format=torch.channels_last)
        return cls(
            net, averaged(net, recipe), make_optimizer(net, recipe), recipe, processes, checkpoint, alone
        )

    @property
    def kept(self) -> nn.Module:
        """The network whose weights are validated and kept."""
        return self.average.module if self.average is not None else self.net

    @property
    def loss(self) -> float:
        """The mean of the steps of this epoch, or of the last one."""
        return sum(self.losses) / max(1, len(self.losses))

    def told(self, epoch: int) -> str:
        """Where it stands, in a few words."""
        name = self.recipe.phase_of(epoch).name if self.alone is None else "alone"
        if not self.curve:
            return name
        last = self.curve[-1]
        found = ", ".join(f"{size} {100 * top1:.1f}" for size, top1 in last.top1.items())
        return f"{name}, top-1 (%) after epoch {last.epoch}: {found}"

    def begin_epoch(self, epoch: int) -> None:
        """Order the channels where a phase begins that narrows them."""
        self.losses = []
        phase, before = self.recipe.phase_of(epoch), self.recipe.phase_of(max(epoch - 1, 0))
        if self.alone is not None or phase == before:
            return
        if phase.narrows:
            trainable(self.net).sort_channels()
        self.optimizer.state.clear()  # momentum of channels that moved, or of losses that changed
        self.average = averaged(self.net, self.recipe)

    def learn(self, batch: ElasticBatch, rate: float) -> None:
        """One step. Raises Diverged, and then no weight has changed."""
        self.net.train()
        self.optimizer.zero_grad(set_to_none=True)
        with self.processes.sharing_norms():
            found = float(self.accumulate(batch).detach())
        self.processes.average_gradients(self.net)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), self.recipe.clip_norm)
        if not math.isfinite(found) or not math.isfinite(float(norm)):
            raise diverged(self.step, found, self.recipe.learning_rate, "in the recipe", self.checkpoint)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.net)
        self.losses.append(found)

    def accumulate(self, batch: ElasticBatch) -> Tensor:
        """Add the gradients of one step; returns the loss of its first subnet, which learns from labels."""
        first, *students = batch.archs
        logits = self.logits(batch, first)
        labels = batch.labels.to(self.processes.device)
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing)
        torch.autograd.backward(loss)
        if students:
            target = F.softmax(logits.detach(), dim=1)
            for arch in students:
                torch.autograd.backward(F.cross_entropy(self.logits(batch, arch), target))
        return loss

    def logits(self, batch: ElasticBatch, arch: Arch) -> Tensor:
        """Of one subnet, (n, classes) float32."""
        device = self.processes.device
        x = batch.inputs[arch.resolution].to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(self.recipe, device)):
            found: Tensor = self.net(x) if self.alone is not None else self.net(x, arch.values)
        return found.float()

    def add_point(self, epoch: int, images: int, validate: Validate) -> None:
        top1 = validate(self.kept) if self.processes.is_first else {}
        seconds = self.processes.total(self.seconds)
        self.processes.wait()
        self.curve.append(CurvePoint(epoch, images, seconds, self.loss, top1))

    def save(self, identity: Mapping[str, str]) -> None:
        average = self.average.state_dict() if self.average is not None else None
        state = {
            "step": self.step,
            "net": self.net.state_dict(),
            "average": average,
            "optimizer": self.optimizer.state_dict(),
            "curve": plain_points(self.curve),
            "losses": self.losses,
            "seconds": self.seconds,
        }
        save_state(self.checkpoint, identity, state)

    def load(self, identity: Mapping[str, str]) -> None:
        """Continue from the checkpoint. Raises InputError for one that is damaged, or of another training."""
        state = load_state(self.checkpoint, identity, "training")
        self.net.load_state_dict(state["net"])
        for name, parameter in self.net.named_parameters():
            # in the layout that it was saved in, which sorting changes: others round otherwise
            parameter.data = state["net"][name].to(parameter.device)
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.curve = [CurvePoint(**point) for point in state["curve"]]
        self.losses, self.seconds, self.step = state["losses"], state["seconds"], state["step"]


def averaged(net: nn.Module, recipe: Recipe) -> AveragedModel | None:
    """An average of weights that begins with these, if the recipe has one."""
    if not recipe.ema_decay:
        return None
    return AveragedModel(net, multi_avg_fn=averaging(recipe.ema_decay))


def uses_bf16(recipe: Recipe, device: torch.device) -> bool:
    """Whether convolutions are computed in bfloat16; of ``auto`` on a GPU."""
    return device.type == "cuda" if recipe.bf16 == "auto" else bool(recipe.bf16)


def step_archs(recipe: Recipe, space: SearchSpace, epoch: int, rng: np.random.Generator) -> tuple[Arch, ...]:
    """The subnets that learn in a step of ``epoch``: first the one that learns from labels."""
    phase = recipe.phase_of(epoch)
    if phase.elastic == ("resolution",):
        return tuple(space.decode(space.sample(1, rng, phase.elastic)))
    return space.largest(), *phase_archs(recipe, phase, space, rng)


def phase_archs(recipe: Recipe, phase: Phase, space: SearchSpace, rng: np.random.Generator) -> Iterator[Arch]:
    """The smallest subnet of the phase, then random ones."""
    fixed = set() if phase.elastic is None else {d.kind for d in space.dimensions} - set(phase.elastic)
    yield space.arch({d.name: d.choices[-1 if d.kind in fixed else 0] for d in space.dimensions})
    yield from space.decode(space.sample(recipe.random_subnets, rng, phase.elastic))
