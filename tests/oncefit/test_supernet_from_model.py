"""A model that is trained already, through everything that a supernet is good for, by its YAML file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

import oncefit
from search.cli.app import main
from search.cli.supernet_from_model import numbers_in
from tests.helpers import tiny
from tests.helpers.digits import write_digits
from tests.helpers.small_models import CLASSES, small_model

HOW = {"mean": [0.5] * 3, "std": [0.25] * 3, "stored": 28}


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("images"), 20, 25, CLASSES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, images: Path) -> oncefit.Supernet:
    model = small_model("mobilenet_v3")
    out = tmp_path_factory.mktemp("made") / "mine"
    return oncefit.supernet_from_model(
        model, out, classes=str(images), resolutions=(20, 28), preprocessing=HOW, say=quiet
    )


def test_it_is_searched_measured_and_exported_by_its_file(
    made: oncefit.Supernet, images: Path, tmp_path: Path
) -> None:
    assert made.source is not None
    supernet = oncefit.open_supernet(made.source, data=images)
    run = oncefit.search(
        supernet, objectives=["top1", "macs"], sampler="nsga2", trials=3, out=tmp_path / "run", say=quiet
    )
    assert len(run.candidates) == 3
    bundle = run.export()
    assert bundle.verify(supernet=made.source)["other_classes"] == 0
    assert bundle.classes == CLASSES
    arch = supernet.largest()
    whole = supernet.export(arch, tmp_path / "whole", calibrated=False, say=quiet)
    batch = torch.randn(2, 3, 28, 28)
    with torch.no_grad():
        expected = small_model("mobilenet_v3")(batch)
        torch.testing.assert_close(whole.subnet()(batch), expected, rtol=1e-5, atol=1e-4)


def test_its_latency_is_predicted_by_a_device(made: oncefit.Supernet, tmp_path: Path) -> None:
    device = tiny.write_device(made.described, tmp_path / "known.yaml")
    large, small = (made.costs(arch, str(device))["latency_ms"] for arch in (made.largest(), made.smallest()))
    assert large > small > 0


def test_the_file_says_all_that_is_known(made: oncefit.Supernet) -> None:
    assert made.source is not None
    document = yaml.safe_load(Path(made.source).read_text())
    assert (document["name"], document["family"]) == ("mine", "residual")
    assert document["network"]["classes"] == list(CLASSES)
    assert document["network"]["resolutions"] == [20, 28]
    assert document["preprocessing"]["stored"] == 28
    assert [len(stage["blocks"]) for stage in document["network"]["stages"]] == [1, 3, 2]


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    found = capsys.readouterr()
    return int(str(ended.value.code)), found.out, found.err


def test_the_command_makes_one_and_other_commands_take_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "v3"
    given = (
        "supernet", "from-model", "torchvision:mobilenet_v3_small", "--out", out, "--untrained", "--classes", "a,b",
        "--resolutions", "32,24",
    )  # fmt: skip
    code, shown, said = told(capsys, *given)
    assert code == 0
    assert f"supernet {out}/supernet.yaml" in shown
    assert "24, 32, or any other" in shown
    assert "logits of the largest subnet are within" in said
    code, shown, _ = told(capsys, *given, "--replace", "--json")
    found = json.loads(shown)
    assert (code, found["name"], found["classes"]) == (0, "v3", 2)
    arch = oncefit.open_supernet(found["file"]).largest()
    file = tmp_path / "arch.json"
    file.write_text(arch.to_json())
    code, shown, _ = told(capsys, "cost", file, "--supernet", found["file"], "--json")
    assert (code, json.loads(shown)["costs"]["macs"]) == (0, found["largest"]["macs"])
    assert told(capsys, *given)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("torchvision:resnet", "--untrained"), "Did you mean"),
        (("resnet50", "--untrained"), "given as torchvision:NAME"),
        (("torchvision:resnet18", "--weights", "V9"), "which is no file; torchvision has"),
        (("torchvision:resnet18", "--untrained", "--resolutions", "a"), "--resolutions: got 'a'"),
        (("torchvision:resnet18", "--untrained", "--classes", "a,a"), "twice"),
    ],
)
def test_what_is_wrong_is_told_in_one_paragraph(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, said = told(capsys, "supernet", "from-model", *arguments, "--out", tmp_path / "x")
    assert (code, out) == (2, "")
    assert message in said
    assert not (tmp_path / "x").exists()


def test_numbers_of_a_list() -> None:
    assert numbers_in("0.5,1", float, "--expands") == [0.5, 1.0]
    assert numbers_in("128, 160", int, "--resolutions") == [128, 160]


def test_what_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(oncefit.InputError, match="torchvision:NAME or a torch module, got int"):
        oncefit.supernet_from_model(3, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(oncefit.InputError, match=r"preprocessing: .*crop_size"):
        oncefit.supernet_from_model(
            small_model("basic"), tmp_path / "x", classes=CLASSES, preprocessing={"crop_size": 3}, say=quiet
        )
