"""From an ImageNet folder to a verified bundle: every figure against an evaluation with plain torch and ofa."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3
from PIL import Image
from safetensors.torch import save_file
from torchvision import transforms
from torchvision.datasets import ImageFolder

from search.runs.measuring import MeasuredAccuracy
from supernet.accuracy import Accuracy
from supernet.archs.arch import Arch
from supernet.bundles.bundle import Bundle, evaluate_bundle, open_bundle, verify_bundle, write_bundle
from supernet.documents import CONFIGS
from supernet.families.catalog import Supernet, open_supernet
from supernet.images.data import load_folder
from tests.helpers.ofa_settings import settings
from tests.helpers.own_data import WNIDS, write_train_and_val

CLASSES = ("tench", "goldfish", "white shark", "tabby", "African elephant", "coffee mug", "banana")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """126 training images, so that batch norms see two batches, and 70 validation images."""
    return write_train_and_val(tmp_path_factory.mktemp("imagenet"), train=18, val=10)


@pytest.fixture(scope="module")
def ofas_net() -> OFAMobileNetV3:
    """ofa's own supernet for seven classes, with seeded random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        net = OFAMobileNetV3(
            n_classes=len(CLASSES), dropout_rate=0, width_mult=1.0, ks_list=[3, 5, 7],
            expand_ratio_list=[3, 4, 6], depth_list=[2, 3, 4],
        ).eval()  # fmt: skip
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.normal_(module.bias, std=0.2)
        torch.nn.init.normal_(net.classifier.linear.weight, std=0.5)
    return net


@pytest.fixture(scope="module")
def supernet(ofas_net: OFAMobileNetV3, tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    """The shipped description of ofa_mbv3_w1.0 with other classes, and those weights in a file."""
    folder = tmp_path_factory.mktemp("supernet")
    state = {f"net.{name}": tensor.contiguous() for name, tensor in ofas_net.state_dict().items()}
    save_file(state, folder / "random.safetensors")
    keys = yaml.safe_load((CONFIGS / "supernets" / "ofa_mbv3_w1.0.yaml").read_text())
    sha256 = hashlib.sha256((folder / "random.safetensors").read_bytes()).hexdigest()
    keys |= {"name": "random_mbv3", "also": [], "weights": {"file": "random.safetensors", "sha256": sha256}}
    keys["network"]["classes"] = list(CLASSES)
    (folder / "random.yaml").write_text(yaml.safe_dump(keys))
    return open_supernet(str(folder / "random.yaml"))


@pytest.fixture(scope="module")
def arch(supernet: Supernet) -> Arch:
    """The smallest subnet with some larger choices, at 132 pixels."""
    more = {
        "resolution": 132,
        "depth.2": 3,
        "kernel.2.3": 3,
        "expand.2.3": 3,
        "kernel.1.1": 5,
        "expand.2.1": 4,
        "kernel.3.2": 7,
    }
    return supernet.space.arch(dict(supernet.space.smallest().choices) | more)


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def measuring(supernet: Supernet, images: Path, said: list[str]) -> MeasuredAccuracy:
    return MeasuredAccuracy(supernet, str(images), said.append)


@pytest.fixture(scope="module")
def subnet(measuring: MeasuredAccuracy, arch: Arch) -> torch.nn.Module:
    return measuring.subnet(arch)


@pytest.fixture(scope="module")
def found(measuring: MeasuredAccuracy, arch: Arch, subnet: torch.nn.Module) -> dict[str, Accuracy]:
    return {split: measuring.evaluate(subnet, arch, split) for split in ("validation", "report")}


@pytest.fixture(scope="module")
def bundle(
    measuring: MeasuredAccuracy, arch: Arch, subnet, found, tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    folder = tmp_path_factory.mktemp("bundles") / "bundle"
    return write_bundle(folder, measuring.supernet, None, arch, measuring.data, {}, found, subnet=subnet)


# -- the independent evaluation --------------------------------------------------


def inputs_and_labels(samples: list[tuple[str, int]], resolution: int) -> tuple[torch.Tensor, torch.Tensor]:
    """As OFA evaluates; what Pillow cannot open is left out."""
    transform = transforms.Compose([
        transforms.Resize(math.ceil(resolution / 0.875)), transforms.CenterCrop(resolution),
        transforms.ToTensor(), transforms.Normalize(mean=MEAN, std=STD),
    ])  # fmt: skip
    inputs, labels = [], []
    for path, label in samples:
        try:
            with Image.open(path) as image:
                rgb = image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB")
        except OSError:
            continue
        inputs.append(transform(rgb))
        labels.append(label)
    return torch.stack(inputs), torch.tensor(labels)


def samples_of(images: Path, split: str) -> list[tuple[str, int]]:
    """``train`` in two batches that take turns; validation is every fifth image of a class, report the rest."""
    if split == "train":
        every = ImageFolder(images / "train").samples
        return [*every[0::2], *every[1::2]]
    found = ImageFolder(images / "val").samples
    return [sample for i, sample in enumerate(found) if (i % 10 % 5 == 0) == (split == "validation")]


@pytest.fixture(scope="module")
def expected(ofas_net, supernet: Supernet, arch: Arch, images: Path) -> torch.nn.Module:
    return ofas_subnet(ofas_net, supernet, arch, images)


def ofas_subnet(ofas_net, supernet: Supernet, arch: Arch, images: Path) -> torch.nn.Module:
    """ofa's own subnet, the statistics of its batch norms taken by hooks."""
    ofas_net.set_active_subnet(**settings(supernet.space, arch))
    net = ofas_net.get_active_subnet(preserve_weight=True).eval()
    samples = samples_of(images, "train")
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    seen: dict[torch.nn.Module, list[tuple[torch.Tensor, torch.Tensor]]] = {norm: [] for norm in norms}

    def look(norm: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        seen[norm].append((inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=True)))

    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    for norm in norms:
        norm.train()
    with torch.no_grad():
        for batch in (samples[:63], samples[63:]):
            net(inputs_and_labels(batch, arch.resolution)[0])
        net.eval()
        for hook, norm in zip(hooks, norms, strict=True):
            hook.remove()
            means, variances = zip(*seen[norm], strict=True)
            norm.running_mean.copy_(torch.stack(means).mean(0))
            norm.running_var.copy_(torch.stack(variances).mean(0))
    return net


def test_batch_norms_have_the_statistics_of_the_training_images(subnet, expected) -> None:
    ours, ofas = (
        [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)] for net in (subnet, expected)
    )
    assert len(ours) == len(ofas) > 20
    for found, right in zip(ours, ofas, strict=True):
        torch.testing.assert_close(found.running_mean, right.running_mean, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found.running_var, right.running_var, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("split", "count"), [("validation", 14), ("report", 55)])
def test_accuracy_is_that_of_ofas_own_subnet(found, arch, expected, images, split, count) -> None:
    inputs, labels = inputs_and_labels(samples_of(images, split), arch.resolution)
    with torch.no_grad():
        order = expected(inputs).argsort(1, descending=True)
    assert found[split].images == len(labels) == count  # one report image cannot be decoded
    assert found[split].top1 == float((order[:, 0] == labels).double().mean())
    assert found[split].top5 == float((order[:, :5] == labels[:, None]).any(1).double().mean())
    assert 0 < found[split].top1 < found[split].top5 < 1


def test_accuracy_at_a_resolution_that_it_was_not_trained_at(
    ofas_net, supernet: Supernet, arch: Arch, images: Path, tmp_path: Path
) -> None:
    """In a search, and in a bundle, which is sound."""
    small = supernet.space.arch({**arch.values, "resolution": 48})
    expected = ofas_subnet(ofas_net, supernet, small, images)
    inputs, labels = inputs_and_labels(samples_of(images, "report"), 48)
    with torch.no_grad():
        order = expected(inputs).argsort(1, descending=True)
    measuring = MeasuredAccuracy(supernet, str(images), lambda _: None)
    found = measuring(small, "report")
    assert found.images == len(labels)
    assert found.top1 == float((order[:, 0] == labels).double().mean())
    assert found.top5 == float((order[:, :5] == labels[:, None]).any(1).double().mean())
    write_bundle(tmp_path / "b", supernet, measuring.net, small, measuring.data, {}, {})
    verified = verify_bundle(tmp_path / "b", measuring.data, supernet)
    assert verified.top1_onnxruntime == found.top1
    assert open_bundle(tmp_path / "b", supernet).card.input.shape == ("n", 3, 48, 48)


def test_images_that_cannot_be_decoded_are_named_once(
    measuring, arch, found, images, said: list[str]
) -> None:
    assert measuring(arch, "validation") == found["validation"]  # reads the training images again
    broken = [images / "train" / WNIDS[1] / "004.JPEG", images / "val" / WNIDS[2] / "006.JPEG"]
    assert [sum(str(path) in message for message in said) for path in broken] == [1, 1]
    left_out = [message for message in said if not message.startswith("SUSPICIOUS: ")]
    assert all(message.startswith("left out 1 image that cannot be decoded: ") for message in left_out)
    assert (
        len(said) <= len(left_out) + 2
    )  # random weights may be no better than guessing, said once of each split
    assert list(measuring.data.undecodable) == [str(path) for path in broken]


def test_the_bundle_has_these_figures_and_says_how_inputs_are_made(bundle, found) -> None:
    card = json.loads((bundle.folder / "card.json").read_text())
    assert card["figures"]["measured"] == {split: dataclasses.asdict(found[split]) for split in found}
    assert card["data"]["splits"] == {"calibration": 126, "validation": 14, "report": 56}
    assert card["classes"] == list(CLASSES)
    how = card["preprocessing"]
    assert (how["mean"], how["std"], how["crop"]) == (list(MEAN), list(STD), 0.875)
    assert (how["resolution"], how["rounded"], how["shorter_side"], how["channels"]) == (132, "up", 151, 3)
    assert (how["resize"], how["pixels"]) == ("bilinear, antialiased", "8 bits, Pillow")


def test_the_bundle_is_verified_and_evaluated(bundle, measuring, found, images) -> None:
    verified = verify_bundle(bundle.folder, measuring.data, measuring.supernet)
    assert verified.top1_torch == verified.top1_onnxruntime == found["report"].top1
    assert (verified.images, verified.compared_images, verified.other_classes) == (55, 55, 0)
    assert verified.max_difference <= verified.allowed
    opened = open_bundle(bundle.folder)
    every = evaluate_bundle(opened, load_folder(images / "val", opened), "val")
    right = sum(accuracy.images * accuracy.top1 for accuracy in found.values())
    assert (every.images, every.top1) == (69, pytest.approx(right / 69))


def test_the_card_is_enough_to_run_the_model(bundle, expected, images) -> None:
    """As on a device: Pillow, NumPy and ONNX Runtime, without torch, torchvision or any code of ours."""
    card = json.loads((bundle.folder / "card.json").read_text())
    how, side = card["preprocessing"], card["preprocessing"]["resolution"]
    files = sorted((images / "val").glob("*/001.png"))[:4]
    made = []
    for path in files:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
        scale = how["shorter_side"] / min(rgb.size)
        size = [how["shorter_side"] if s == min(rgb.size) else int(s * scale) for s in rgb.size]
        resized = np.asarray(rgb.resize(size, Image.Resampling.BILINEAR))
        top, left = (round((length - side) / 2) for length in resized.shape[:2])
        pixels = resized[top : top + side, left : left + side]
        made.append(((pixels * how["scale"] - how["mean"]) / how["std"]).transpose(2, 0, 1))
    x = np.stack(made).astype(how["dtype"])
    assert x.shape[1:] == tuple(card["input"]["shape"][1:])
    session = onnxruntime.InferenceSession(bundle.folder / "model.onnx", providers=["CPUExecutionProvider"])
    [logits] = session.run([card["output"]["name"]], {card["input"]["name"]: x})
    with torch.no_grad():
        right = expected(inputs_and_labels([(str(path), 0) for path in files], side)[0])
    np.testing.assert_allclose(logits, right.numpy(), rtol=1e-2, atol=1e-2 * float(right.std()))
