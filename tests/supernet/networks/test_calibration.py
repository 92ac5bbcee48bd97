"""Batch-norm statistics against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from supernet.evaluating.evaluation import recalibrate_on_images
from supernet.images.preprocessing import prepare
from supernet.networks.calibration import recalibrate


def conv_and_norm() -> nn.Sequential:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), nn.BatchNorm2d(3, momentum=0.3))
    net[1].running_mean.fill_(99.0)  # what another subnet left
    net[1].running_var.fill_(99.0)
    return net


def test_statistics_are_the_mean_over_batches_of_numpys():
    net, rng = conv_and_norm(), np.random.default_rng(0)
    images = rng.normal(size=(25, 1, 4, 4)).astype(np.float32)
    weights = net[0].weight.detach().numpy()[:, :, 0, 0]
    recalibrate(net, torch.from_numpy(images), batch_size=10)
    # 25 images in batches of at most 10: 9 + 8 + 8
    maps = [np.einsum("oc,nchw->nohw", weights, batch) for batch in np.split(images, [9, 17])]
    means = np.mean([m.mean((0, 2, 3)) for m in maps], axis=0)
    variances = np.mean([m.var((0, 2, 3), ddof=1) for m in maps], axis=0)
    np.testing.assert_allclose(net[1].running_mean.numpy(), means, atol=1e-6)
    np.testing.assert_allclose(net[1].running_var.numpy(), variances, rtol=1e-5)


def test_the_rest_of_the_net_stays_as_it_was():
    net = nn.Sequential(*conv_and_norm(), nn.Dropout(0.9))
    before = [parameter.clone() for parameter in net.parameters()]
    recalibrate(net, torch.randn(6, 1, 4, 4))
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert net[1].momentum == 0.3
    assert not any(module.training for module in net.modules())


def test_it_is_repeatable(supernet, random_net, few):
    arch = supernet.space.smallest()
    inputs = torch.randn(40, 1, arch.resolution, arch.resolution)
    first, second = random_net.extract(arch), random_net.extract(arch)
    recalibrate(first, inputs)
    recalibrate(second, inputs)
    recalibrate(second, inputs)  # starts anew, so twice is once
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), second.buffers(), strict=True))


def test_images_in_batches_give_what_all_of_them_give(supernet, random_net, few):
    """However they come: 300 images are three batches."""
    arch = supernet.space.smallest()
    first, second = random_net.extract(arch), random_net.extract(arch)
    recalibrate_on_images(first, arch.resolution, few)
    recalibrate(second, prepare(few.calibration.pixels, arch.resolution, few.preprocessing), batch_size=100)
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), second.buffers(), strict=True))


def test_a_failure_leaves_eval_mode_and_momentum():
    net = conv_and_norm()
    with pytest.raises(RuntimeError):
        recalibrate(net, torch.randn(6, 2, 4, 4))
    assert net[1].momentum == 0.3
    assert not net[1].training
