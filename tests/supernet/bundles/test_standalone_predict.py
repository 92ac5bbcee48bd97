"""predict.py of a bundle classifies as the bundle does, with numpy, pillow and ONNX Runtime alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from supernet.bundles.bundle import logits_of_bundle, open_bundle, write_bundle
from supernet.bundles.bundle_card import describe_preprocessing
from supernet.bundles.standalone import predict
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.families.catalog import PreprocessingKeys
from supernet.images.images import Images, ready, stacked
from supernet.images.preprocessing import resize_and_crop
from supernet.weights.checkpoints import sha256_of

LITTLE = """
import runpy, sys
from importlib.metadata import requires
kept = {"numpy", "PIL", "onnxruntime", "google", "flatbuffers", "packaging", "coloredlogs", "sympy", "mpmath", *sys.stdlib_module_names}
class Only:
    def find_spec(self, name, *_):
        if name.partition(".")[0].lstrip("_") not in {one.lstrip("_") for one in kept}:
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Only())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program of which only these modules can be imported."""


@pytest.fixture(scope="module")
def written(tmp_path_factory, supernet, random_net, few) -> Path:
    folder, arch = tmp_path_factory.mktemp("bundles") / "bundle", supernet.space.smallest()
    subnet = specialise(random_net, arch, few)
    found = {"report": evaluate(subnet, arch, few, "report")}
    write_bundle(folder, supernet, None, arch, few, {}, found, subnet=subnet)
    return folder


@pytest.fixture
def copy(written, tmp_path) -> Path:
    return Path(shutil.copytree(written, tmp_path / "copy"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory, few) -> Path:
    """The report images as files, in a folder named by the number of their class."""
    folder = tmp_path_factory.mktemp("photos")
    for i, (pixels, label) in enumerate(zip(few.report.pixels, few.report.labels, strict=True)):
        path = folder / str(int(label)) / f"{i:03d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels.numpy()).save(path)
    return folder


def run(
    folder: Path, *arguments: object, python: object = sys.executable
) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-c", LITTLE, "predict.py", *map(str, arguments)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def top1_of(done: subprocess.CompletedProcess[str], classes: tuple[str, ...]) -> float:
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    hits = [one["classes"][0]["class"] == classes[int(Path(one["file"]).parent.name)] for one in found]
    return sum(hits) / len(hits)


def test_it_has_the_top1_of_the_card(written, photos) -> None:
    bundle = open_bundle(written)
    top1 = top1_of(run(written, photos, "--json"), bundle.classes)
    assert top1 == bundle.card.figures.measured["report"]["top1"]


def test_it_prints_the_five_best_and_they_are_the_bundles(written, photos, few) -> None:
    bundle = open_bundle(written)
    file = next(photos.rglob("007.png"))
    done = run(written, file)
    lines = done.stdout.splitlines()
    assert lines[0] == str(file)
    logits, _ = logits_of_bundle(bundle, few.report.picked([7]))
    expected = [bundle.classes[i] for i in logits[0].topk(5).indices]
    assert [line.split("% ")[1].strip() for line in lines[1:]] == expected
    shares = [float(line.split()[0]) for line in lines[1:]]
    np.testing.assert_allclose(shares, 100 * logits[0].softmax(0).topk(5).values.numpy(), atol=0.006)


def test_the_self_test_passes_where_it_was_written(written) -> None:
    done = run(written, "--self-test")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as where the bundle was written" in done.stdout


def test_the_self_test_notices_other_preprocessing(copy) -> None:
    card = json.loads((copy / "card.json").read_text())
    card["preprocessing"]["mean"] = [0.5]
    (copy / "card.json").write_text(json.dumps(card))
    done = run(copy, "--self-test")
    assert done.returncode == 1
    assert "DIFFERENT: selftest.png becomes another input here" in done.stdout


def test_the_self_test_notices_another_model(copy) -> None:
    model = onnx.load(copy / "model.onnx")
    weight = next(one for one in model.graph.initializer if one.name == "classifier.bias")
    weight.raw_data = (np.frombuffer(weight.raw_data, np.float32) + 0.5).astype(np.float32).tobytes()
    onnx.save(model, copy / "model.onnx")
    done = run(copy, "--self-test")
    assert done.returncode == 2
    assert "model.onnx was changed: its sha256 is" in done.stderr
    card = json.loads((copy / "card.json").read_text())
    card["files"]["model.onnx"] = sha256_of((copy / "model.onnx").read_bytes())
    (copy / "card.json").write_text(json.dumps(card))
    done = run(copy, "--self-test")
    assert done.returncode == 1
    assert "DIFFERENT: the model answers otherwise" in done.stdout


def test_what_it_refuses(written, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(predict, "HERE", written)
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "empty").mkdir()
    for given, message in (
        (tmp_path / "text.png", "cannot decode .*text.png: cannot identify image file"),
        (tmp_path / "absent.png", "cannot decode .*absent.png: .*No such file"),
        (tmp_path / "empty", "there is no image in .*empty; files are named"),
    ):
        assert predict.main([str(given)]) == 2
        assert __import__("re").search(message, capsys.readouterr().err), message
    for wrong in ([], ["--self-test", "x.png"], ["x.png", "--top", "0"]):
        with pytest.raises(SystemExit):
            predict.main(wrong)


@pytest.mark.parametrize("size", [(320, 240), (97, 203), (64, 64), (500, 31)])
@pytest.mark.parametrize("rounded", ["up", "down", "nearest"])
def test_cropped_inputs_are_those_of_torchvision(size, rounded) -> None:
    how = PreprocessingKeys(
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), crop=0.875, rounded=rounded
    )
    described = describe_preprocessing(76, 3, how).model_dump(mode="json", exclude_none=True)
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    found = predict.input_of(image, {"preprocessing": described})
    np.testing.assert_allclose(found, resize_and_crop(76, how)(image).numpy(), atol=2e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("resolution", [17, 28, 40])
def test_squares_are_resized_as_torch_does(channels, resolution) -> None:
    how = PreprocessingKeys(mean=(0.3,) * channels, std=(0.4,) * channels, stored=28)
    described = describe_preprocessing(resolution, channels, how).model_dump(mode="json", exclude_none=True)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 61, 3), np.uint8)
    image = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    images = Images(stacked([image]), torch.zeros(1, dtype=torch.int64))
    expected, _ = ready(images, how).batch(slice(0, 1), resolution, how)
    found = predict.input_of(image, {"preprocessing": described})
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-5)


@pytest.mark.slow
def test_in_an_empty_venv_it_has_the_top1_of_the_card(written, photos, tmp_path) -> None:
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "numpy", "pillow", "onnxruntime"]
    subprocess.run(install, check=True, cwd=tmp_path)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}

    def plainly(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(python), "predict.py", *map(str, arguments)]
        return subprocess.run(command, cwd=written, capture_output=True, text=True, env=environment)

    assert plainly("--self-test").returncode == 0
    bundle = open_bundle(written)
    top1 = top1_of(plainly(photos, "--json"), bundle.classes)
    assert top1 == bundle.card.figures.measured["report"]["top1"]
