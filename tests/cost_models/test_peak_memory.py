"""``peak_memory_bytes`` against the life of every tensor in a traced subnet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, fx, nn

from cost_models.protocol import Target
from cost_models.registry import build
from supernet.archs.arch import Arch
from supernet.families.catalog import Supernet
from supernet.networks.inverted_residual_networks import ElasticNet
from tests.helpers import tiny

IN_PLACE = (nn.BatchNorm2d, nn.ReLU, nn.ReLU6, nn.Hardswish, nn.Identity)
IN_PLACE_FUNCTIONS = (nn.functional.relu, nn.functional.hardsigmoid)


class Shapes(fx.Interpreter):
    """Runs a traced network and notes how many elements each node gives."""

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__(traced)
        self.elements: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> object:
        found = super().run_node(n)
        self.elements[n] = found.numel() if isinstance(found, Tensor) else 0
        return found


def peak_bytes(subnet: nn.Module, image: Tensor) -> int:
    """Largest sum of float32 maps alive at once: from where each is made to where it is last read."""
    traced = fx.symbolic_trace(subnet)
    shapes = Shapes(traced)
    with torch.no_grad():
        shapes.run(image)
    modules = dict(traced.named_modules())
    steps = {node: i for i, node in enumerate(traced.graph.nodes) if node.op != "output"}
    made_by: dict[fx.Node, fx.Node] = {}  # whose memory a node's output is in
    last_read: dict[fx.Node, int] = {}
    for node, step in steps.items():
        module = modules.get(str(node.target)) if node.op == "call_module" else None
        in_place = isinstance(module, IN_PLACE) or node.target in IN_PLACE_FUNCTIONS
        made_by[node] = made_by[node.all_input_nodes[0]] if in_place else node
        for read in (node, *node.all_input_nodes):
            last_read[made_by[read]] = step
    alive = [
        sum(shapes.elements[node] for node, end in last_read.items() if steps[node] <= step <= end)
        for step in steps.values()
    ]
    return 4 * max(alive)


def archs_of(supernet: Supernet) -> Iterable[Arch]:
    space = supernet.space
    return [space.smallest(), space.largest(), *space.decode(space.sample(40, np.random.default_rng(7)))]


def test_the_reference_by_hand() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.norm, self.narrow = nn.Conv2d(2, 8, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            y = self.norm(self.wide(x))
            return x + self.narrow(y * y.mean((2, 3), keepdim=True))

    # at the product: the shortcut, the map, its eight means, and the gated map
    assert peak_bytes(Gated().eval(), torch.zeros(1, 2, 5, 5)) == 4 * (2 * 25 + 8 * 25 + 8 + 8 * 25)


def test_the_largest_sum_of_live_maps_of_extracted_subnets(
    supernet: Supernet, random_net: ElasticNet
) -> None:
    cost = build("peak_memory_bytes", Target(supernet))
    for arch in archs_of(supernet):
        image = torch.zeros(1, 1, arch.resolution, arch.resolution)
        assert cost(arch) == peak_bytes(random_net.extract(arch), image), arch


def test_squeeze_and_excitation_on_the_largest_maps(tmp_path: Path) -> None:
    supernet = tiny.open_tiny(tmp_path)
    cost = build("peak_memory_bytes", Target(supernet))
    for arch in archs_of(supernet):
        image = torch.zeros(1, 1, arch.resolution, arch.resolution)
        assert cost(arch) == peak_bytes(supernet.family.static(arch).eval(), image), arch
