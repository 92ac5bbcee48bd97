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
import PIL
import pytest
import torch
from PIL import Image

from supernet.bundles.bundle import logits_of_bundle, open_bundle, write_bundle
from supernet.bundles.bundle_card import describe_preprocessing
from supernet.bundles.bundled_programs import SELF_TEST_TOLERANCE, write_self_test
from supernet.bundles.onnx_export import export_onnx
from supernet.bundles.standalone import predict
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.families.catalog import PreprocessingKeys
from supernet.images.images import Images, ready, stacked
from supernet.images.preprocessing import resize_and_crop
from supernet.printable import NO_NAME
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


def test_names_do_not_steer_the_terminal(written, copy, photos) -> None:
    steering = [chr(code) for code in range(sys.maxunicode + 1) if NO_NAME.fullmatch(chr(code))]
    assert not any(NO_NAME.search(predict.printed_name(one)) for one in steering)
    assert predict.printed_name("Bag é 名 👩‍💻 \\x1b") == "Bag é 名 👩‍💻 \\x1b"
    card = json.loads((copy / "card.json").read_text())
    card["classes"] = [f"{name}\x1b[31m\n\u202e" for name in card["classes"]]
    (copy / "card.json").write_text(json.dumps(card))
    odd = Path(shutil.copy(next(photos.rglob("007.png")), copy / "a\x1b[31m\udcff.png"))
    for done in (run(copy, odd.name), run(copy, "--self-test"), run(copy, "no\x1b[31m.png")):
        told = done.stdout + done.stderr
        assert "\\x1b[31m" in told
        assert not NO_NAME.search(told.replace("\n", ""))
        assert "Traceback" not in told
    assert len(run(copy, odd.name).stdout.splitlines()) == 6


def test_a_reader_that_has_seen_enough_is_no_error(written, photos) -> None:
    shell = f"{sys.executable} predict.py {photos} {photos} {photos} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=written, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


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


def nearest(image: Image.Image, card: dict) -> np.ndarray:
    how = card["preprocessing"]
    side = how["resolution"]
    pixels = np.asarray(image.resize((side, side), Image.Resampling.NEAREST), np.float32)[None]
    return ((pixels * how["scale"] - how["mean"][0]) / how["std"][0]).astype(np.float32)


BROKEN = {
    "nearest pixels": nearest,
    "not normalised": lambda image, card: predict.input_of(
        image, {"preprocessing": {**card["preprocessing"], "mean": [0.0], "std": [1.0]}}
    ),
    "0 to 255": lambda image, card: predict.input_of(
        image, {"preprocessing": {**card["preprocessing"], "scale": 1.0}}
    ),
    "256 for 255": lambda image, card: predict.input_of(
        image, {"preprocessing": {**card["preprocessing"], "scale": 1 / 256}}
    ),
    "the middle cut out": lambda image, card: predict.input_of(image.crop((21, 0, 139, 118)), card),
    "rows for columns": lambda image, card: predict.input_of(image, card).transpose(0, 2, 1).copy(),
    "upside down": lambda image, card: predict.input_of(image, card)[:, ::-1].copy(),
    "mirrored": lambda image, card: predict.input_of(image, card)[:, :, ::-1].copy(),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_the_self_test_names_a_broken_preprocessing(fault, written, monkeypatch, capsys) -> None:
    right = predict.input_of
    broken = BROKEN[fault]

    def wrong(image: Image.Image, card: dict) -> np.ndarray:
        with monkeypatch.context() as inner:
            inner.setattr(predict, "input_of", right)
            return broken(image, card)

    monkeypatch.setattr(predict, "HERE", written)
    assert predict.main(["--self-test"]) == 0
    monkeypatch.setattr(predict, "input_of", wrong)
    assert predict.main(["--self-test"]) == 1
    told = capsys.readouterr().out
    assert "DIFFERENT: selftest.png becomes another input here" in told
    assert f"pillow {PIL.__version__}, which wrote it; copy the bundle anew, or install that" in told


def test_red_for_blue_is_noticed(tmp_path, monkeypatch, capsys) -> None:
    """Of a network for colours, whose logits are the means of the three channels."""

    class Means(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((2, 3))

    how = PreprocessingKeys(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2), stored=40)
    write_self_test(tmp_path, Means(), SELF_TEST_TOLERANCE, 3, 32, how)
    export_onnx(Means(), 3, 32, tmp_path / "model.onnx")
    card = {
        "preprocessing": describe_preprocessing(32, 3, how).model_dump(mode="json", exclude_none=True),
        "classes": ["red", "green", "blue"], "input": {"name": "images"}, "output": {"name": "logits"}, "versions": {},
        "files": {path.name: sha256_of(path.read_bytes()) for path in tmp_path.iterdir()},
    }  # fmt: skip
    (tmp_path / "card.json").write_text(json.dumps(card))
    monkeypatch.setattr(predict, "HERE", tmp_path)
    assert predict.main(["--self-test"]) == 0
    right = predict.input_of
    monkeypatch.setattr(predict, "input_of", lambda image, card: right(image, card)[::-1].copy())
    assert predict.main(["--self-test"]) == 1
    assert "becomes another input here" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("card.json", b"{", "card.json is damaged: "),
        ("card.json", b"[]", "card.json is damaged: it holds no object; copy the bundle anew"),
        ("selftest.json", b"{}", "selftest.json was changed: its sha256 is "),
        ("selftest.png", b"", "selftest.png was changed: its sha256 is "),
        ("model.onnx", b"", "model.onnx was changed: its sha256 is "),
    ],
)
def test_what_is_damaged_is_told_in_one_sentence(name, content, message, copy, monkeypatch, capsys) -> None:
    (copy / name).write_bytes(content)
    monkeypatch.setattr(predict, "HERE", copy)
    assert predict.main(["--self-test"]) == 2
    assert capsys.readouterr().err.startswith(f"predict.py: {message}")


def test_a_model_that_cannot_be_loaded_is_told(copy, monkeypatch, capsys) -> None:
    (copy / "model.onnx").write_bytes(b"no model")
    card = json.loads((copy / "card.json").read_text())
    card["files"]["model.onnx"] = sha256_of(b"no model")
    (copy / "card.json").write_text(json.dumps(card))
    monkeypatch.setattr(predict, "HERE", copy)
    assert predict.main(["--self-test"]) == 2
    assert "cannot load model.onnx: " in capsys.readouterr().err


def test_a_missing_package_is_named_with_what_to_type(written) -> None:
    code = "import sys; sys.modules['onnxruntime'] = None; sys.argv = ['predict.py', '--self-test']; "
    code += "import runpy; runpy.run_path('predict.py', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=written, capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install numpy pillow onnxruntime" in done.stderr
    assert "Traceback" not in done.stderr


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
