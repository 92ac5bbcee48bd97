"""Progressive shrinking in one loop, as the shipped weights were trained: what a training is held against."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from supernet.families.catalog import Supernet
from supernet.images.preprocessing import prepare
from supernet.training.augmentation import augment
from supernet.training.recipes import Recipe


def plainly_trained(recipe: Recipe, supernet: Supernet, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Weights after a recipe that names ``warmup_steps``, on images (n, h, w) uint8."""
    torch.manual_seed(recipe.seed)
    net: Any = supernet.family.elastic()
    net.train().to(memory_format=torch.channels_last)
    decayed = [p for n, p in net.named_parameters() if p.ndim > 1 and not n.endswith("_matrix")]
    plain = [p for n, p in net.named_parameters() if p.ndim <= 1 or n.endswith("_matrix")]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.SGD(groups, recipe.learning_rate, momentum=recipe.momentum, nesterov=True)
    epochs = [phase for phase in recipe.phases for _ in range(phase.epochs)]
    per_epoch = len(images) // recipe.batch_size
    steps, space, how = per_epoch * len(epochs), supernet.space, supernet.preprocessing
    for step in range(steps):
        epoch, position = divmod(step, per_epoch)
        kinds = epochs[epoch].elastic
        if position == 0 and epoch > 0 and epochs[epoch] != epochs[epoch - 1]:
            if "expand" in kinds:
                net.sort_channels()
            optimizer.state.clear()
        rate = recipe.learning_rate
        if step < recipe.warmup_steps:
            rate *= (step + 1) / recipe.warmup_steps
        else:
            done = (step - recipe.warmup_steps) / (steps - recipe.warmup_steps)
            rate *= (1 + math.cos(math.pi * done)) / 2
        for group in optimizer.param_groups:
            group["lr"] = rate
        order = np.random.default_rng((recipe.seed, epoch)).permutation(len(images))
        picked = order[position * recipe.batch_size :][: recipe.batch_size]
        rng = np.random.default_rng((recipe.seed, epoch, position))
        batch = augment(images[picked], recipe.shift_pixels, rng)
        optimizer.zero_grad(set_to_none=True)
        if kinds == ("resolution",):
            [arch] = space.decode(space.sample(1, rng, kinds))
            F.cross_entropy(net(prepare(batch, arch.resolution, how), arch.values), labels[picked]).backward()
        else:
            largest = space.largest()
            logits = net(prepare(batch, largest.resolution, how), largest.values)
            F.cross_entropy(logits, labels[picked]).backward()
            answers = F.softmax(logits.detach(), dim=1)
            smallest = {d.name: d.choices[0 if d.kind in kinds else -1] for d in space.dimensions}
            drawn = space.decode(space.sample(recipe.random_subnets, rng, kinds))
            for arch in [space.arch(smallest), *drawn]:
                F.cross_entropy(net(prepare(batch, arch.resolution, how), arch.values), answers).backward()
        nn.utils.clip_grad_norm_(net.parameters(), recipe.clip_norm)
        optimizer.step()
    found: dict[str, Tensor] = net.state_dict()
    return found
