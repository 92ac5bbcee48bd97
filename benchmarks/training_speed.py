"""How long the embedded supernet's recipe takes on this machine, and what other choices would change.

python benchmarks/training_speed.py [--json]

Seconds are of the processor, on one thread, so that other programs disturb them little;
images are random, which does not change the time.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from cost_models.protocol import Target
from cost_models.registry import build
from supernet import documents
from supernet.families import mobilenet_v3
from supernet.families.catalog import Family, open_supernet
from supernet.images.fashion_mnist import split_of_training_images
from supernet.images.preprocessing import prepare
from supernet.training.elastic_batches import ElasticBatch
from supernet.training.elastic_training import ElasticLearner, step_archs
from supernet.training.processes import Processes
from supernet.training.recipes import read_recipe

STEPS = 8
"""Timed steps of each phase; their archs are random."""
ROUNDS = 7


def main() -> None:
    torch.set_num_threads(1)
    figures = {**hours_of_the_recipe(), **images_a_second()}
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:50} {value:8.3g}")


def hours_of_the_recipe() -> dict[str, float]:
    """Seconds for a step of each phase of the recipe, and hours for all of it."""
    named = read_recipe(documents.find("training", "fmnist_mbv3"))
    supernet, recipe = open_supernet(named.supernet), named.recipe
    learner = ElasticLearner.begun(
        supernet.family.elastic(), recipe, Processes(torch.device("cpu")), Path("none"), None
    )
    pixels, labels = random_batch(recipe.batch_size, len(supernet.classes))
    steps_an_epoch = len(split_of_training_images("training")) // recipe.batch_size
    seconds: dict[str, float] = {}
    hours = 0.0
    epoch = 0
    for phase in recipe.phases:
        taken = []
        for step in range(STEPS + 1):
            began = time.process_time()
            archs = step_archs(recipe, supernet.space, epoch, np.random.default_rng(step))
            sides = {arch.resolution for arch in archs}
            inputs = {side: prepare(pixels, side, supernet.preprocessing) for side in sides}
            learner.learn(ElasticBatch(archs, inputs, labels), recipe.learning_rate)
            taken.append(time.process_time() - began)
        epoch += phase.epochs
        seconds[f"seconds for a step, {phase.name}"] = statistics.mean(taken[1:])  # the first one warms up
        hours += seconds[f"seconds for a step, {phase.name}"] * phase.epochs * steps_an_epoch / 3600
    return {**seconds, "hours for the recipe": hours}


def images_a_second() -> dict[str, float]:
    """Images a second of the largest subnet, forward and backward, in turns; and relative multiply-adds."""
    supernet = open_supernet("fmnist_mbv3")
    network = documents.load(documents.find("supernets", supernet.name))["network"]
    first, *rest = network["stages"]
    wider = {**network, "stages": [{**first, "kernels": [3, 5, 7]}, *rest]}
    large_kernels = mobilenet_v3.parse(supernet.name, wider, "benchmark")
    variants = {
        "as trained (float32, channels last)": largest_step(supernet.family),
        "float32, channels first": largest_step(supernet.family, layout=torch.contiguous_format),
        "bfloat16, channels last": largest_step(supernet.family, autocast=True),
        "with kernels of 7 in the first stage": largest_step(large_kernels),
    }
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, step in variants.items():
            began = time.process_time()
            images = step()
            taken[name].append(images / (time.process_time() - began))
    macs = build("macs", Target(supernet))
    target = Target(dataclasses.replace(supernet, family=large_kernels))
    more = build("macs", target).reach().maximum / macs.reach().maximum
    speeds = {f"images a second, {name}": statistics.median(values) for name, values in taken.items()}
    return {**speeds, "multiply-adds with kernels of 7 / as trained": more}


def largest_step(
    family: Family, layout: torch.memory_format = torch.channels_last, autocast: bool = False
) -> Callable[[], int]:
    """One forward and backward pass of the largest subnet; returns the number of images."""
    net, values = family.elastic().train().to(memory_format=layout), family.space.largest().values
    batch, labels = random_batch(128, len(family.classes))
    images = (batch[:, None].float() / 255).contiguous(memory_format=layout)

    def step() -> int:
        net.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(net(images, values), labels)
        loss.backward()
        return len(images)

    step()
    return step


def random_batch(size: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (n, 28, 28) uint8 and labels (n,)."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (size, 28, 28), dtype=torch.uint8, generator=generator)
    return pixels, torch.randint(0, classes, (size,), generator=generator)


if __name__ == "__main__":
    main()
