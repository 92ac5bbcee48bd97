"""The weights that ship, on the official test images: what the model card promises of them."""

from supernet.evaluating.evaluation import evaluate, specialise
from supernet.families.catalog import Supernet
from supernet.images.data import Dataset


def test_the_ends_of_the_space_are_accurate_and_apart(supernet: Supernet, data: Dataset) -> None:
    net, space = supernet.load(), supernet.space
    top1 = {
        name: evaluate(specialise(net, arch, data), arch, data, "report").top1
        for name, arch in (("smallest", space.smallest()), ("largest", space.largest()))
    }
    assert top1["largest"] >= 0.93
    assert top1["smallest"] >= 0.90
    assert top1["largest"] - top1["smallest"] >= 0.015
