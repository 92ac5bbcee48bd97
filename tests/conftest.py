"""Shared by all tests: the embedded supernet, the same with random weights, and its images."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator

import pytest
import torch

from search.feasible import certificate
from supernet.families.catalog import Supernet, open_supernet
from supernet.images.data import Dataset, Images, load_dataset
from supernet.networks.inverted_residual_networks import ElasticNet

torch.set_num_threads(1)  # threads that wait for each other are slower than one on a busy machine


LONG_FILES = (
    "test_docs", "test_wheel", "test_python_docs", "test_search", "test_predicted_search", "test_joining", "test_workers",
    "test_significance", "test_in_browser", "test_page", "test_net_config", "test_pictures",
)  # fmt: skip
"""With few tests that take long: begun last, one process would end long after the others."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long first, then those with many tests."""
    counts = Counter(item.path for item in items)
    items.sort(key=lambda item: (item.path.stem not in LONG_FILES, -counts[item.path]))


@pytest.fixture(scope="session", autouse=True)
def time_for_proofs() -> Iterator[None]:
    """What an integer program proves must not depend on how busy the machine is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(certificate, "NEAREST_SECONDS", 600.0)
        yield


@pytest.fixture(scope="session")
def supernet() -> Supernet:
    return open_supernet("fmnist_mbv3")


@pytest.fixture(scope="session")
def random_net(supernet: Supernet) -> ElasticNet:
    """The elastic network with seeded random weights, and statistics that differ by channel."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = supernet.family.elastic().eval()
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.2)
                module.running_var.uniform_(0.5, 2)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.2)
        torch.nn.init.normal_(net.classifier.weight, std=0.3)
    return net


@pytest.fixture(scope="session")
def data() -> Dataset:
    return load_dataset("fashion_mnist", open_supernet("fmnist_mbv3"))


@pytest.fixture(scope="session")
def few(data: Dataset) -> Dataset:
    """The embedded data set, cut to 300 images a split."""

    def cut(images: Images) -> Images:
        return Images(images.pixels[:300], images.labels[:300])

    return dataclasses.replace(
        data,
        calibration=cut(data.calibration),
        validation=cut(data.validation),
        report=cut(data.report),
    )
