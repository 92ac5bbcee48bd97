"""Progressive shrinking: train the supernet once, or one subnet alone to compare with.

After Cai et al. (ICLR 2020): first the largest subnet at all resolutions, then
elastic kernel, depth and expand ratio, one after the other. From the second
phase on, each step trains the largest subnet on the labels, and the smallest
and some random ones of the phase on the largest one's soft predictions (the
sandwich rule and in-place distillation of Yu et al., BigNAS, ECCV 2020).
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.arch import Arch
from supernet.atomic import whole
from supernet.catalog import PreprocessingKeys
from supernet.errors import InputError
from supernet.networks import ElasticNet
from supernet.preprocessing import prepare
from supernet.recipes import Phase, Recipe
from supernet.space import SearchSpace


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands; losses are means since the last report."""

    step: int
    steps: int
    phase: str
    loss: float
    images_per_second: float


def train(
    recipe: Recipe,
    space: SearchSpace,
    net: nn.Module,
    images: Tensor,
    labels: Tensor,
    how: PreprocessingKeys,
    checkpoint: Path,
    report: Callable[[TrainingProgress], None],
    alone: Arch | None = None,
    report_every: int = 20,
) -> None:
    """Train ``net`` in place on images (n, h, w) uint8 and labels (n,) int64.

    ``net`` is the supernet, or with ``alone`` the static subnet of that arch.
    The state is saved to ``checkpoint`` with every report and after the last step; the same call
    continues from it and ends with the same weights as an uninterrupted one,
    since every random choice follows from the seed and the step alone.
    """
    torch.set_num_threads(recipe.threads)
    net.train().to(memory_format=torch.channels_last)
    optimizer = make_optimizer(net, recipe)
    per_epoch = len(images) // recipe.batch_size
    steps = per_epoch * recipe.epochs
    start = resumed_step(checkpoint, net, optimizer, recipe, alone)
    losses, began = [], time.monotonic()
    for step in range(start, steps):
        epoch, position = divmod(step, per_epoch)
        phase = recipe.phase_of(epoch)
        if alone is None and position == 0 and phase != recipe.phase_of(max(epoch - 1, 0)):
            if "expand" in phase.elastic:
                elastic(net).sort_channels()
            optimizer.state.clear()  # momentum of channels that moved, or of losses that changed
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe.learning_rate, recipe.warmup_steps, step, steps)
        order = np.random.default_rng((recipe.seed, epoch)).permutation(len(images))
        picked = torch.from_numpy(order[position * recipe.batch_size :][: recipe.batch_size])
        rng = np.random.default_rng((recipe.seed, epoch, position))
        batch = augment(images[picked], recipe.shift_pixels, rng)
        optimizer.zero_grad(set_to_none=True)
        if alone is not None:
            x = prepare(batch, alone.resolution, how)
            loss = F.cross_entropy(net(x), labels[picked])
            torch.autograd.backward(loss)
        else:
            loss = supernet_step(recipe, phase, space, elastic(net), batch, labels[picked], how, rng)
        nn.utils.clip_grad_norm_(net.parameters(), recipe.clip_norm)
        optimizer.step()
        losses.append(float(loss.detach()))
        if not math.isfinite(losses[-1]):
            raise FloatingPointError(f"the loss at step {step} is {losses[-1]}; lower the learning rate")
        if len(losses) == report_every or step + 1 == steps:
            speed = len(losses) * recipe.batch_size / (time.monotonic() - began)
            report(TrainingProgress(step + 1, steps, phase.name, sum(losses) / len(losses), speed))
            save_checkpoint(checkpoint, net, optimizer, recipe, alone, step + 1)
            losses, began = [], time.monotonic()


def elastic(net: object) -> ElasticNet:
    """``net``, which must be a supernet whose ``forward`` runs any of its subnets, as those of ``ofa`` do not."""
    if not isinstance(net, ElasticNet):
        raise TypeError(f"a supernet is trained as an ElasticNet, got {type(net).__name__}")
    return net


def supernet_step(
    recipe: Recipe,
    phase: Phase,
    space: SearchSpace,
    net: ElasticNet,
    batch: Tensor,
    labels: Tensor,
    how: PreprocessingKeys,
    rng: np.random.Generator,
) -> Tensor:
    """Accumulate the gradients of one step; returns the loss of the largest subnet."""
    largest = space.largest()
    if phase.elastic == ("resolution",):
        [arch] = space.decode(space.sample(1, rng, phase.elastic))
        logits = net(prepare(batch, arch.resolution, how), arch.values)
        loss = F.cross_entropy(logits, labels)
        torch.autograd.backward(loss)
        return loss
    logits = net(prepare(batch, largest.resolution, how), largest.values)
    loss = F.cross_entropy(logits, labels)
    torch.autograd.backward(loss)
    target = F.softmax(logits.detach(), dim=1)
    for arch in phase_archs(recipe, phase, space, rng):
        student = net(prepare(batch, arch.resolution, how), arch.values)
        torch.autograd.backward(F.cross_entropy(student, target))
    return loss


def phase_archs(recipe: Recipe, phase: Phase, space: SearchSpace, rng: np.random.Generator) -> Iterator[Arch]:
    """The smallest subnet of the phase, then random ones."""
    yield space.arch({d.name: d.choices[0 if d.kind in phase.elastic else -1] for d in space.dimensions})
    yield from space.decode(space.sample(recipe.random_subnets, rng, phase.elastic))


def make_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """Nesterov SGD; no decay of norms, biases and kernel transforms (whose rest is the identity)."""
    groups = parameter_groups(net, recipe.weight_decay)
    return torch.optim.SGD(groups, recipe.learning_rate, momentum=recipe.momentum, nesterov=True)


def parameter_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """What decays by ``weight_decay``, and the rest, which does not."""
    decayed, plain = list[nn.Parameter](), list[nn.Parameter]()
    for name, parameter in net.named_parameters():
        is_weight = parameter.ndim > 1 and not name.endswith("_matrix")
        (decayed if is_weight else plain).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]


def learning_rate(peak: float, warmup: int, step: int, steps: int) -> float:
    """Linear in the first ``warmup`` steps up to ``peak``, then one cosine down to zero over the whole training."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (1 + math.cos(math.pi * done)) / 2


def augment(batch: Tensor, shift: int, rng: np.random.Generator, mirror: bool = True) -> Tensor:
    """Mirror half of the images and shift each by up to ``shift`` pixels: uint8, grey (n, h, w) or (n, c, h, w)."""
    n, (h, w) = len(batch), batch.shape[-2:]
    padded = F.pad(batch, (shift, shift, shift, shift))
    rows = torch.from_numpy(rng.integers(0, 2 * shift + 1, n))[:, None] + torch.arange(h)
    columns = torch.from_numpy(rng.integers(0, 2 * shift + 1, n))[:, None] + torch.arange(w)
    mirrored = torch.from_numpy(rng.random(n) < (0.5 if mirror else 0))
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    rows, columns, image = rows[:, :, None], columns[:, None, :], torch.arange(n)[:, None, None]
    if batch.ndim == 3:
        return padded[image, rows, columns]
    return padded.movedim(1, -1)[image, rows, columns].movedim(-1, 1)


def save_checkpoint(
    path: Path,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    alone: Arch | None,
    step: int,
) -> None:
    state = {
        "step": step,
        "made_by": made_by(recipe, alone),
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    with whole(path) as partial:
        torch.save(state, partial)


def resumed_step(
    path: Path, net: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, alone: Arch | None
) -> int:
    """The step to continue from: 0 where there is no checkpoint. Raises InputError for another recipe's."""
    if not path.exists():
        return 0
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(f"{path} is no checkpoint or damaged; remove the file to start again") from error
    if state["made_by"] != made_by(recipe, alone):
        raise InputError(
            f"{path} belongs to another recipe or arch; give another folder with --out, "
            "or remove the file to start again"
        )
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def made_by(recipe: Recipe, alone: Arch | None) -> str:
    """What a checkpoint must agree on to be continued; threads change nothing but the speed."""
    return repr((sorted((k, v) for k, v in asdict(recipe).items() if k != "threads"), alone))
