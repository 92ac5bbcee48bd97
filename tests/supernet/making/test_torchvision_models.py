"""Where a model's weights come from: torchvision's names, checkpoints, and what is said where they cannot be had."""

from __future__ import annotations

import hashlib
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models

from supernet.errors import InputError
from supernet.families.catalog import label_names
from supernet.families.residual_source import MODELS
from supernet.images.preprocessing import resize_and_crop
from supernet.making import torchvision_models
from supernet.making.torchvision_models import (
    TrainedModel,
    model_name,
    named_classes,
    preprocessing_of,
    trained_model,
    untrained_model,
)
from tests.helpers.small_models import CLASSES, small_mobilenet_v2

SOURCE = "torchvision:mobilenet_v2"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """In place of torchvision's MobileNetV2: the same class, so small that it is made at once."""

    def made(name: str, weights: object = None, num_classes: int = 1000) -> nn.Module:
        assert (name, weights) == ("mobilenet_v2", None)
        model = small_mobilenet_v2()
        model.classifier[1] = nn.Linear(model.classifier[1].in_features, num_classes)
        return model

    monkeypatch.setattr(models, "get_model", made)
    torch.manual_seed(0)
    return made("mobilenet_v2", num_classes=len(CLASSES))


def read(weights: str | None, classes: tuple[str, ...] | None = None, key: str | None = None) -> TrainedModel:
    return trained_model(SOURCE, weights, classes, key, said.append)


said: list[str] = []


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("resnet50", "given as torchvision:NAME, got 'resnet50'"),
        ("timm:resnet50", "given as torchvision:NAME"),
        ("torchvision:resnet5", "Did you mean 'resnet50'"),
        (
            "torchvision:efficientnet_b0",
            "Known: mobilenet_v2, .*[.] torchvision has it, .*cannot be made of it yet",
        ),
    ],
)
def test_an_unknown_model_is_told_which_there_are(source: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_name(source)


def test_models_are_torchvisions() -> None:
    assert set(MODELS) < set(models.list_models())


@pytest.mark.parametrize("wrap", ["bare", "state_dict", "module."])
def test_a_checkpoint_in_whatever_wrapper_is_loaded(small: nn.Module, wrap: str, tmp_path: Path) -> None:
    state: dict[str, Any] = dict(small.state_dict())
    if wrap == "module.":
        state = {f"module.{name}": tensor for name, tensor in state.items()}
    file = tmp_path / "trained.pth"
    torch.save({"state_dict": state, "epoch": 3} if wrap == "state_dict" else state, file)
    found = read(str(file), CLASSES)
    assert all(torch.equal(t, small.state_dict()[n]) for n, t in found.model.state_dict().items())
    assert found.classes == CLASSES
    assert hashlib.sha256(file.read_bytes()).hexdigest() in found.weights
    assert "is none of torchvision's files" in said[-1]


def test_a_file_of_torchvisions_is_known_by_its_content(
    small: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "renamed.pth"
    torch.save(small.state_dict(), file)
    known = models.MobileNet_V2_Weights.IMAGENET1K_V1
    start = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    monkeypatch.setattr(
        type(known), "url", property(lambda w: f"https://x/m-{start if w is known else 'none'}.pth")
    )
    said.clear()
    found = read(str(file), CLASSES)
    assert "MobileNet_V2_Weights.IMAGENET1K_V1" in found.weights
    assert found.preprocessing.crop == 224 / 256
    assert said == []


def test_outputs_must_be_named_and_as_many_as_there_are(small: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "trained.pth"
    torch.save(small.state_dict(), file)
    with pytest.raises(InputError, match="tells 4 classes apart, which are not those of ImageNet; name them"):
        read(str(file))
    with pytest.raises(InputError, match="tells 4 classes apart, but --classes names 2"):
        read(str(file), ("a", "b"))


def test_a_checkpoint_of_another_network_is_refused(small: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    wider = small.state_dict()
    wider["features.0.0.weight"] = torch.zeros(24, 3, 3, 3)
    torch.save(wider, file)
    with pytest.raises(
        InputError, match=r"another network: features.0.0.weight has the shape \[24, 3, 3, 3\]"
    ):
        read(str(file), CLASSES)
    torch.save({"fc.weight": torch.zeros(4, 2)}, file)
    with pytest.raises(InputError, match=r"lacks classifier.1.weight of mobilenet_v2"):
        read(str(file), CLASSES)
    torch.save(nn.Linear(2, 2), file)
    with pytest.raises(InputError, match="Nothing of it was run"):
        read(str(file), CLASSES)


def test_weights_that_are_neither_a_name_nor_a_file_list_the_names() -> None:
    with pytest.raises(
        InputError, match=r"got 'IMAGENET1K_V3', which is no file; torchvision has .*IMAGENET1K_V2"
    ):
        read("IMAGENET1K_V3")


def test_without_a_network_the_remedy_names_file_and_address(
    small: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def unreachable(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(
        InputError, match=r"mobilenet_v2-7ebf99e0.pth \(no route to host\); without a network"
    ):
        read(None)


def test_published_weights_are_taken_from_where_torchvision_keeps_them(
    small: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "mobilenet_v2-b0353104.pth"
    file.parent.mkdir(parents=True)
    small.classifier[1] = nn.Linear(small.classifier[1].in_features, 1000)
    torch.save(small.state_dict(), file)
    found = read("MobileNet_V2_Weights.IMAGENET1K_V1")
    assert torch.equal(found.model.classifier[1].weight, small.classifier[1].weight)
    assert found.classes == label_names("imagenet")
    assert (found.resolution, found.weights) == (224, "MobileNet_V2_Weights.IMAGENET1K_V1")
    assert capsys.readouterr().out == ""
    file.write_bytes(b"cut")
    with pytest.raises(InputError, match=f"remove {file}"):
        read("IMAGENET1K_V1")
    with pytest.raises(InputError, match=r"--classes gives 4 others"):
        read("IMAGENET1K_V1", CLASSES)


def test_untrained_weights_follow_from_the_seed(small: nn.Module) -> None:
    one, same, other = (untrained_model(SOURCE, CLASSES, seed).model.state_dict() for seed in (1, 1, 2))
    name = "classifier.1.weight"
    assert torch.equal(one[name], same[name])
    assert not torch.equal(one[name], other[name])


@pytest.mark.parametrize(
    "weights", [models.ResNet50_Weights.IMAGENET1K_V1, models.ResNet50_Weights.IMAGENET1K_V2]
)
def test_preprocessing_is_torchvisions(weights: Any) -> None:
    picture = Image.effect_noise((301, 260), 60).convert("RGB")
    ours = resize_and_crop(224, preprocessing_of(weights))(picture)
    torch.testing.assert_close(ours, weights.transforms()(picture))


def test_classes_may_be_named_in_several_ways(tmp_path: Path) -> None:
    for name in ("bee", "ant"):
        (tmp_path / "train" / name).mkdir(parents=True)
    assert named_classes(str(tmp_path)) == named_classes(str(tmp_path / "train")) == ("ant", "bee")
    assert named_classes("bee, ant") == ("bee", "ant")
    assert named_classes(["bee", "ant"]) == ("bee", "ant")
    assert named_classes("imagenet") == label_names("imagenet")
    assert named_classes(None) is None
    with pytest.raises(InputError, match="holds no image"):
        named_classes(str(tmp_path / "train" / "bee"))
    assert torchvision_models.classes_of(1000, None, "x") == label_names("imagenet")
