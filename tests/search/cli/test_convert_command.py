"""``oncefit convert``, ``export --format`` and ``verify`` with formats, as people type them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import oncefit
from search.cli.app import main
from search.reports import formats as of_formats
from supernet.bundles.bundle_card import CARD, read_card, render
from supernet.errors import InputError
from supernet.formats.registry import export_format


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch, data, few) -> None:
    """On 300 images, and timed once."""
    monkeypatch.setattr(of_formats.timing, "ROUNDS", 1)
    monkeypatch.setattr(of_formats.timing, "SLICE_S", 1e-4)
    monkeypatch.setattr("supernet.images.data.load_dataset", lambda name, network: few)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    found = capsys.readouterr()
    assert ended.value.code == 0, found.err
    return found.out, found.err


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, few, supernet, random_net) -> Path:
    from supernet.bundles.bundle import write_bundle
    from supernet.evaluating.evaluation import specialise

    folder, arch = tmp_path_factory.mktemp("exported") / "bundle", supernet.space.smallest()
    write_bundle(folder, supernet, None, arch, few, {}, {}, subnet=specialise(random_net, arch, few))
    return folder


def test_formats_are_converted_shown_and_verified(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, err = run(capsys, "convert", exported, "--format", "onnx,openvino,tensorrt", "--threads", 1)
    for part in (
        "openvino",
        "differs by",
        "top-1 (%)",
        "tensorrt: TensorRT was not run",
        "256 validation images",
    ):
        assert part in out
    assert "comparing onnx, openvino, tensorrt with torch on 300 report images" in err
    assert max(map(len, out.splitlines()[1:])) <= 100
    out, _ = run(capsys, "verify", exported)
    assert "is sound" in out
    assert "openvino" in out
    found = json.loads(run(capsys, "verify", exported, "--json")[0])
    assert set(found["formats"]) == {"onnx", "openvino", "tensorrt"}
    assert found["formats"]["openvino"]["accuracy"]["images"] == 300


def test_the_json_is_of_the_card(exported: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(capsys, "convert", exported, "--format", "tensorrt", "--batch", "2", "--json")[0])
    about = found["formats"]["tensorrt"]
    assert about["batch"] == 2
    assert set(about["sha256"]) == set(about["files"])
    assert oncefit.open_bundle(exported).card.formats["tensorrt"].batch == 2


def test_an_export_brings_formats_with_it(
    tmp_path: Path, supernet, capsys: pytest.CaptureFixture[str]
) -> None:
    arch = tmp_path / "arch.json"
    arch.write_text(json.dumps({"arch": supernet.space.smallest().to_dict()}))
    out, _ = run(
        capsys, "export", "fmnist_mbv3", "--pick", arch, "--uncalibrated", "--out", tmp_path / "b", "--format", "openvino",
    )  # fmt: skip
    assert "256 random inputs" in out
    assert (tmp_path / "b" / "formats" / "openvino" / "model.xml").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "onyx"], "unknown format 'onyx'. Did you mean 'onnx'?"),
        (["--format", "onnx", "--batch", "many"], "--batch: got 'many'; give 'dynamic' or a whole number"),
        (["--format", "onnx", "--batch", "0"], "--batch: got 0"),
        (["--format", "onnx", "--opset", "3"], "--opset: got 3; torch's exporter writes 9 to 20"),
        (["--format", "onnx", "--threads", "9999"], "--threads: got 9999, and this process may use"),
        (
            ["--format", "openvino", "--opset", "13"],
            "--opset 13 is for onnx, tensorrt; leave it out for openvino",
        ),
        (["--format", "onnx", "--data", "nowhere"], "nowhere"),
    ],
)
def test_wrong_options(
    options: list[str], message: str, exported: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.undo()
    assert message in refused(capsys, "convert", exported, *options)


def test_what_is_no_bundle_is_said_to_be_what_it_is(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, why in (
        (tmp_path / "none", "it is not there"), (exported / "model.onnx", "it is a file"), (tmp_path, "it has no card.json"),
    ):  # fmt: skip
        assert f"{given} is no bundle: {why}" in refused(capsys, "convert", given, "--format", "onnx")
    told = refused(capsys, "export", f"{exported}/")
    assert f"{exported} is a bundle, by its card.json, and not a run" in told


def test_another_supernet_is_told_from_the_same_with_other_classes(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = refused(capsys, "convert", exported, "--format", "onnx", "--supernet", "ofa_mbv3_w1.0")
    assert "was cut out of the supernet fmnist_mbv3, and ofa_mbv3_w1.0 is another network" in told


def test_8_bits_without_images_are_refused_before_anything_is_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = refused(capsys, "export", "fmnist_mbv3", "--pick", "x", "--uncalibrated", "--format", "onnx-int8")
    assert "format onnx-int8 is quantised on calibration images: leave it out, or --uncalibrated" in told


def test_options_of_formats_need_formats(capsys: pytest.CaptureFixture[str]) -> None:
    told = refused(capsys, "export", "fmnist_mbv3", "--pick", "x", "--opset", "13")
    assert "--batch, --image-size and --opset are for --format" in told


def test_images_that_are_not_here_are_said_and_random_ones_taken(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(bundle, given):
        raise InputError("there is no such folder here")

    said: list[str] = []
    monkeypatch.setattr(of_formats, "data_set", absent)
    bundle = oncefit.open_bundle(exported).opened
    assert of_formats.images_for(bundle, None, [export_format("openvino")], said.append) is None
    assert said == [
        "there is no such folder here. Formats are compared on random inputs, without top-1; --data takes the images"
    ]
    with pytest.raises(InputError):
        of_formats.images_for(bundle, "given", [], said.append)


@pytest.mark.parametrize("has_data", [True, False])
def test_a_quantised_format_without_images_is_refused_first(
    exported: Path, monkeypatch: pytest.MonkeyPatch, has_data: bool
) -> None:
    def absent(bundle, given):
        raise InputError("there is no such folder here")

    said: list[str] = []
    monkeypatch.setattr(of_formats, "data_set", absent)
    bundle = oncefit.open_bundle(exported).opened
    if not has_data:
        bundle = replace(bundle, card=bundle.card.model_copy(update={"data": None}))
    why = "; there is no such folder here" if has_data else ""
    formats = [export_format("openvino"), export_format("openvino-int8")]
    with pytest.raises(InputError, match=f"openvino-int8 is quantised .* give .* with --data DIR{why}$"):
        of_formats.images_for(bundle, None, formats, said.append)
    assert said == []


def test_a_bundle_of_a_supernet_of_ones_own_asks_for_its_file(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copied = shutil.copytree(exported, tmp_path / "bundle")
    card = read_card(copied)
    of = card.supernet.model_copy(update={"name": "mine"})
    (copied / CARD).write_text(render(card.model_copy(update={"supernet": of})))
    told = refused(capsys, "convert", copied, "--format", "onnx")
    assert "the supernet mine, which does not ship" in told
    assert "--supernet" in told


def test_it_is_told_what_each_format_was_compared_on() -> None:
    noise = {"compared": 256, "compared_with": "random inputs"}
    images = {"compared": 50, "compared_with": "validation images"}
    same = of_formats.format_notes({"onnx": noise, "openvino": noise, "ncnn": {"not_run": "no"}})
    assert "from torch's on 256 random inputs." in same
    told = of_formats.format_notes({"onnx": noise, "hf": images, "openvino": noise})
    assert "from torch's on 256 random inputs for onnx, openvino; on 50 validation images for hf." in told
