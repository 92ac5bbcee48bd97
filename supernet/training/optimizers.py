"""The optimisers of trainings, their learning rates, and averages of weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class OptimizerKeys(Protocol):
    """Those of a recipe."""

    @property
    def optimizer(self) -> str: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def momentum(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


def make_optimizer(net: nn.Module, recipe: OptimizerKeys) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov's momentum; no decay of norms, biases and kernel transforms, whose rest is the identity."""
    groups = parameter_groups(net, recipe.weight_decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.learning_rate)
    nesterov = recipe.momentum > 0  # torch refuses it without momentum
    return torch.optim.SGD(groups, recipe.learning_rate, momentum=recipe.momentum, nesterov=nesterov)


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


def averaging(decay: float) -> Callable[[Any, Any, Any], None]:
    """An exponential moving average, which forgets faster in the first steps: weights before them are no better."""

    def update(averages: Any, current: Any, count: Tensor) -> None:
        seen = float(count)
        average = get_ema_multi_avg_fn(min(decay, (1 + seen) / (10 + seen)))  # type: ignore[no-untyped-call]
        average(averages, current, count)

    return update
