"""Weights that come back into a bundle: what is checked, measured and said of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import oncefit
from search.cli.app import main
from supernet.bundles.bundle import open_bundle, verify_bundle, write_bundle
from supernet.errors import InputError
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.formats.conversion import add_formats, convert_bundle
from supernet.formats.protocol import FormatRequest
from supernet.formats.registry import export_formats
from supernet.images.data import Dataset
from supernet.networks.inverted_residual_networks import ElasticNet
from supernet.networks.ofa_names import in_ofa_names

State = dict[str, torch.Tensor]
BIAS = torch.arange(10.0) / 100


@pytest.fixture(scope="module")
def written(supernet, random_net: ElasticNet, few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a predicted accuracy, which is of the weights that it has."""
    folder, arch = tmp_path_factory.mktemp("bundles") / "small", supernet.space.smallest()
    subnet = specialise(random_net, arch, few)
    predicted = {"macs": 1.5e6, "top1": 0.9, "top1_std": 0.01}
    measured = {"report": evaluate(subnet, arch, few, "report")}
    corrected = {"top1": 0.5, "top1_low": 0.4, "top1_high": 0.6}
    write_bundle(folder, supernet, None, arch, few, predicted, measured, subnet=subnet, corrected=corrected)
    return folder


@pytest.fixture
def bundle(written: Path, few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> oncefit.Bundle:
    monkeypatch.setattr("search.reports.export.data_set", lambda *_: few)
    return oncefit.open_bundle(shutil.copytree(written, tmp_path / "small"))


def changed(bundle: oncefit.Bundle) -> State:
    """Its weights with a turned classifier, whose biases were zero."""
    state = load_file(bundle.folder / "weights.safetensors")
    state["classifier.weight"] = state["classifier.weight"].roll(1, 0)
    state["classifier.bias"] = BIAS.clone()
    return state


def test_changed_weights_become_a_new_bundle(bundle: oncefit.Bundle, few: Dataset, tmp_path: Path) -> None:
    save_file(changed(bundle), tmp_path / "new.safetensors")
    said: list[str] = []
    made = bundle.update(tmp_path / "new.safetensors", say=said.append)
    assert made.folder == tmp_path / "small-updated"
    card, before = made.card, bundle.card
    assert card.updated is not None
    assert card.updated.parent_card_sha256 == before.card_sha256
    assert card.updated.changed == ("classifier.weight", "classifier.bias")
    assert card.updated.weights_file == "new.safetensors"
    assert card.updated.tensors == len(changed(bundle))
    assert (card.arch_id, card.classes, card.supernet) == (before.arch_id, before.classes, before.supernet)
    assert card.figures.predicted == {"macs": 1.5e6}  # a predicted accuracy was of other weights
    assert card.figures.validation_corrected_for_choice is None
    logits = bundle.subnet()(torch.zeros(1, *bundle.card.input.shape[1:]))
    assert torch.allclose(
        made.subnet()(torch.zeros(1, *card.input.shape[1:])), logits.roll(1, 1) + BIAS, atol=1e-6
    )
    expected = evaluate(made.subnet(), made.arch, few, "report")
    assert card.figures.measured["report"]["top1"] == expected.top1
    assert verify_bundle(made.folder, few).top1_torch == expected.top1
    assert set(load_file(made.folder / "weights.safetensors")) == set(changed(bundle))
    assert bundle.card == open_bundle(bundle.folder).card  # the one before is as it was


@pytest.mark.parametrize("save", [torch.save, save_file])
def test_weights_under_ofas_names_and_in_wrappers_are_taken(
    save: Callable[[State, Path], None], bundle: oncefit.Bundle, tmp_path: Path
) -> None:
    net = bundle.subnet()
    net.load_state_dict(changed(bundle))
    state = {f"module.{name}": tensor.clone() for name, tensor in in_ofa_names(net).items()}
    assert {name.removeprefix("module.") for name in state} == set(bundle.ofa_state())
    save(state, tmp_path / "theirs")
    made = bundle.update(tmp_path / "theirs", out=tmp_path / "out")
    assert made.card.updated is not None
    assert made.card.updated.changed == ("classifier.weight", "classifier.bias")
    assert all(
        torch.equal(tensor, changed(bundle)[name]) for name, tensor in made.subnet().state_dict().items()
    )


def without(name: str) -> Callable[[State], None]:
    return lambda state: state.__delitem__(name)


def with_tensor(name: str, make: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[State], None]:
    return lambda state: state.__setitem__(name, make(state.get(name, torch.zeros(1))))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("blocks.0.project.bn.running_mean"), "lacks blocks.0.project.bn.running_mean"),
        (with_tensor("more.weight", lambda x: x), "holds what the bundle's network has not: more.weight"),
        (with_tensor("classifier.weight", lambda x: x[:7].clone()), r"has other shapes: classifier.weight 7x\d+, where the network has 10x"),
        (with_tensor("classifier.weight", lambda x: x.half()), "has other types: classifier.weight float16, where the network has float32"),
        (with_tensor("classifier.weight", lambda x: x * torch.nan), "holds values that are not finite"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(
    change: Callable[[State], None], message: str, bundle: oncefit.Bundle, tmp_path: Path
) -> None:
    state = changed(bundle)
    change(state)
    save_file(state, tmp_path / "new.safetensors")
    with pytest.raises(InputError, match=message):
        bundle.update(tmp_path / "new.safetensors")
    assert not (tmp_path / "small-updated").exists()


def test_the_same_weights_and_code_are_refused(bundle: oncefit.Bundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds the weights that .* has already"):
        bundle.update(bundle.folder / "weights.safetensors")

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "exploded",)

    torch.save({"classifier.weight": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(InputError, match="Nothing of it was run"):
        bundle.update(tmp_path / "bomb.pt")
    assert not (tmp_path / "exploded").exists()


def test_the_command_says_what_changed(
    bundle: oncefit.Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(changed(bundle), tmp_path / "new.safetensors")
    given = [
        "bundle",
        "update",
        str(bundle.folder),
        str(tmp_path / "new.safetensors"),
        "--out",
        str(tmp_path / "out"),
    ]
    with pytest.raises(SystemExit) as end:
        main(given)
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert (
        f"Updated from new.safetensors: 2 of {len(changed(bundle))} tensors differ from those of the bundle"
        in out
    )
    assert "By whom they were changed is not known" in out
    with pytest.raises(SystemExit):
        main([*given, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["updated"]["parent_card_sha256"] == bundle.card.card_sha256


def test_a_bundle_without_images_asks_for_some(supernet, random_net: ElasticNet, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bare", supernet, random_net, supernet.space.smallest(), None, {}, {})
    bundle = oncefit.open_bundle(tmp_path / "bare")
    save_file(changed(bundle), tmp_path / "new.safetensors")
    with pytest.raises(InputError, match="give --data FOLDER"):
        bundle.update(tmp_path / "new.safetensors")


@pytest.fixture
def converted(bundle: oncefit.Bundle) -> oncefit.Bundle:
    """With formats as nobody writes them by default, and one as by default."""
    convert_bundle(bundle.folder, export_formats("onnx"), FormatRequest(2, 20, 13), None)
    convert_bundle(bundle.folder, export_formats("tensorrt"), FormatRequest(), None)
    return oncefit.open_bundle(bundle.folder)


def test_formats_of_the_old_weights_are_gone_and_the_card_says_what_makes_them_again(
    converted: oncefit.Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_file(changed(converted), tmp_path / "new.safetensors")
    said: list[str] = []
    made = converted.update(tmp_path / "new.safetensors", say=said.append)
    assert not (made.folder / "formats").exists()
    assert made.card.formats is None
    again = {
        "onnx": "oncefit convert BUNDLE --format onnx --batch 2 --image-size 20 --opset 13",
        "tensorrt": "oncefit convert BUNDLE --format tensorrt",
    }
    assert made.card.formats_gone == made.summary["formats_gone"] == again
    [told] = [line for line in said if "which the bundle before it had" in line]
    for command in again.values():
        typed = command.replace("BUNDLE", str(made.folder))
        assert typed in told
        with pytest.raises(SystemExit) as ended:
            main([*typed.split()[1:], "--json"])
        assert ended.value.code == 0, capsys.readouterr().err
    card, before = open_bundle(made.folder).card, converted.card.formats
    assert card.formats_gone is None
    assert card.formats is not None
    assert before is not None
    for name, about in card.formats.items():
        assert (about.batch, about.image_size, about.opset) == (
            before[name].batch, before[name].image_size, before[name].opset,
        )  # fmt: skip


def test_a_bundle_that_is_written_in_place_of_one_with_formats_says_so(
    converted: oncefit.Bundle, supernet, random_net: ElasticNet
) -> None:
    said: list[str] = []
    made = write_bundle(
        converted.folder, supernet, random_net, supernet.space.largest(), None, {}, {}, say=said.append
    )
    assert made.card.formats_gone is not None
    assert set(made.card.formats_gone) == {"onnx", "tensorrt"}
    assert "has no onnx, tensorrt, which the bundle before it had" in said[-1]
    assert not (converted.folder / "formats").exists()


def test_a_format_that_is_made_again_at_once_is_not_gone(
    converted: oncefit.Bundle, supernet, random_net: ElasticNet
) -> None:
    made = write_bundle(
        converted.folder, supernet, random_net, supernet.space.smallest(), None, {}, {},
        extend=lambda new: add_formats(new, export_formats("onnx"), FormatRequest(), None, None, lambda _: None),
    )  # fmt: skip
    assert made.card.formats_gone == {"tensorrt": "oncefit convert BUNDLE --format tensorrt"}
