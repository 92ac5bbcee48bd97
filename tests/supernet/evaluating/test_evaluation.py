"""Accuracy and its interval against closed forms, scikit-learn and Pillow."""

from __future__ import annotations

import dataclasses
import math
import threading

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import binomtest
from sklearn.metrics import top_k_accuracy_score

from supernet.accuracy import mcnemar, wilson
from supernet.errors import InputError
from supernet.evaluating.evaluation import (
    accuracy_of_hits,
    accuracy_of_logits,
    evaluate,
    hits_by_part,
    hits_of,
    logits_of,
    specialise,
)
from supernet.families.catalog import PreprocessingKeys
from supernet.images.data import Images
from supernet.images.preprocessing import prepare
from supernet.networks.folding import folded
from tests.helpers.plain_evaluation import plain_logits, shares

Z95 = 1.959963984540054  # the 97.5 % quantile of the standard normal distribution


@pytest.mark.parametrize(("correct", "total"), [(0, 10), (1, 10), (9321, 10_000), (10, 10), (50, 100)])
def test_wilson_is_the_closed_form(correct, total):
    p = correct / total
    centre = p + Z95**2 / (2 * total)
    spread = Z95 * math.sqrt(p * (1 - p) / total + Z95**2 / (4 * total**2))
    low, high = ((centre + sign * spread) / (1 + Z95**2 / total) for sign in (-1, 1))
    assert wilson(correct, total) == pytest.approx((low, high), abs=1e-12)


def test_top1_and_top5_are_scikit_learns():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 400)
    logits = rng.normal(size=(400, 10)) + 2 * np.eye(10)[labels]
    found = accuracy_of_logits(torch.from_numpy(logits), torch.from_numpy(labels), "report")
    classes = np.arange(10)
    assert found.top1 == pytest.approx(top_k_accuracy_score(labels, logits, k=1, labels=classes))
    assert found.top5 == pytest.approx(top_k_accuracy_score(labels, logits, k=5, labels=classes))
    assert 0 < found.top1_low < found.top1 < found.top1_high < found.top5 < found.top5_high < 1
    assert (found.split, found.images) == ("report", 400)


def test_top5_of_three_classes_is_one():
    found = accuracy_of_logits(torch.eye(3), torch.tensor([0, 1, 0]), "own")
    assert (found.top1, found.top5) == (pytest.approx(2 / 3), 1.0)


def test_labels_without_an_output_are_refused():
    with pytest.raises(InputError, match="labels up to 7, but the network has 3 outputs"):
        accuracy_of_logits(torch.eye(3), torch.tensor([0, 1, 7]), "report")


def test_logits_that_are_no_numbers_are_refused():
    with pytest.raises(InputError, match="not finite"):
        accuracy_of_logits(torch.full((2, 10), math.nan), torch.tensor([0, 1]), "report")


@pytest.mark.parametrize("resolution", [18, 23, 28])
def test_prepare_resizes_as_pillow_does(data, resolution):
    how = PreprocessingKeys(stored=28, mean=(0.286,), std=(0.353,))
    images = data.report.pixels[:20]
    found = prepare(images, resolution, how)
    assert found.shape == (20, 1, resolution, resolution)
    size = (resolution, resolution)
    for image, x in zip(images, found, strict=True):
        resized = Image.fromarray(image.numpy()).resize(size, Image.Resampling.BILINEAR)
        grey = (x[0] * 0.353 + 0.286) * 255
        assert np.abs(grey.numpy() - np.asarray(resized)).max() < 1.01  # Pillow rounds after each axis


def test_logits_do_not_depend_on_the_batches(supernet, random_net, few):
    arch = supernet.space.smallest()
    subnet = specialise(random_net, arch, few)
    in_one, _ = logits_of(subnet, few.report, arch.resolution, few.preprocessing, batch_size=300)
    in_some, _ = logits_of(subnet, few.report, arch.resolution, few.preprocessing, batch_size=77)
    torch.testing.assert_close(in_some, in_one, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 3])
def test_torch_keeps_its_threads(supernet, random_net, few, threads):
    """Also those that start later take theirs from torch's default."""
    arch = supernet.space.smallest()
    seen = []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        evaluate(specialise(random_net, arch, few), arch, few, "report")
        seen.append(torch.get_num_threads())
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
    finally:
        torch.set_num_threads(before)
    assert seen == [threads, threads]


def test_torch_keeps_its_threads_after_an_error(few):
    before = torch.get_num_threads()

    def fail(_: torch.Tensor) -> torch.Tensor:
        assert torch.get_num_threads() == 1
        raise RuntimeError("no")

    try:
        torch.set_num_threads(3)
        with pytest.raises(RuntimeError, match="no"):
            logits_of(fail, few.report, 18, few.preprocessing)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("which", ["smallest", "middle"])
def test_evaluate_is_the_share_of_right_answers_in_plain_torch(supernet, random_net, few, which):
    """Its resolution is not the one that images are stored in, and its statistics are those of calibration alone."""
    arch = getattr(supernet.space, which)()
    assert arch.resolution != few.preprocessing.stored
    extracted = random_net.extract(arch)
    subnet = specialise(random_net, arch, few)
    expected = plain_logits(extracted, arch.resolution, few.calibration, few.report)
    found, labels = logits_of(subnet, few.report, arch.resolution, few.preprocessing)
    assert torch.equal(labels, few.report.labels)
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=1e-3)
    measured = evaluate(subnet, arch, few, "report")
    assert (measured.top1, measured.top5) == pytest.approx(shares(expected, labels))


def test_evaluate_refuses_training_mode(supernet, random_net, few):
    arch = supernet.space.smallest()
    with pytest.raises(ValueError, match="eval mode"):
        evaluate(random_net.extract(arch).train(), arch, few, "report")


def test_evaluate_refuses_data_with_other_classes(supernet, random_net, few):
    arch = supernet.space.smallest()
    three = dataclasses.replace(
        few, classes=("a", "b", "c"), report=Images(few.report.pixels[:1], torch.tensor([0]))
    )
    with pytest.raises(InputError, match="has 3 classes, but the network has 10 outputs"):
        evaluate(random_net.extract(arch), arch, three, "report")


def test_folded_norms_give_the_same_logits(supernet, random_net, few) -> None:
    for arch in (supernet.space.smallest(), supernet.space.largest()):
        subnet = specialise(random_net, arch, few)
        x = torch.randn(8, 1, arch.resolution, arch.resolution)
        with torch.no_grad():
            expected, found = subnet(x), folded(subnet)(x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded(subnet).modules())
        assert any(isinstance(m, torch.nn.BatchNorm2d) for m in subnet.modules())


@pytest.mark.parametrize(
    "parts", [[range(300)], [range(i, 300, 7) for i in range(7)], [range(0, 250), range(250, 300)]]
)
def test_parts_that_make_up_a_split_have_its_hits(supernet, random_net, few, parts) -> None:
    arch = supernet.space.smallest()
    subnet = specialise(random_net, arch, few)
    whole = hits_of(subnet, arch, few, "report")
    found = list(hits_by_part(subnet, arch, few, "report", parts))
    assert sorted(place for places, _ in found for place in places) == list(range(300))
    for places, hits in found:
        assert torch.equal(hits, whole[places])
    united = accuracy_of_hits(torch.cat([hits for _, hits in found]), "report")
    assert united == evaluate(subnet, arch, few, "report")


def test_a_part_is_evaluated_when_it_is_asked_for(supernet, random_net, few) -> None:
    arch = supernet.space.smallest()
    asked = []

    def parts():
        for part in (range(0, 300, 2), range(1, 300, 2)):
            asked.append(part)
            yield part

    found = hits_by_part(specialise(random_net, arch, few), arch, few, "report", parts())
    places, _ = next(found)
    assert places == list(range(0, 300, 2))
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("only_before", "only_after"), [(0, 0), (0, 1), (3, 9), (9, 3), (6, 6), (0, 40), (210, 260)]
)
def test_mcnemars_test_is_its_closed_form(only_before: int, only_after: int) -> None:
    """Twice the lower tail of a fair coin, at most 1; and what SciPy says."""
    n, fewer = only_before + only_after, min(only_before, only_after)
    expected = min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n)
    found = mcnemar(only_before, only_after)
    assert (found.only_before, found.only_after) == (only_before, only_after)
    assert found.p_value == pytest.approx(expected, rel=1e-9)
    if n:
        assert found.p_value == pytest.approx(float(binomtest(fewer, n).pvalue), rel=1e-9)
