"""Every format that is installed answers as torch does and says so in the card; what is wrong is refused as a whole."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import pickle
import shutil
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from supernet.bundles.bundle import Bundle, Disagreement, open_bundle, write_bundle
from supernet.bundles.bundle_card import FormatKeys, read_card, render
from supernet.bundles.onnx_export import export_onnx
from supernet.errors import InputError
from supernet.evaluating.evaluation import evaluate, specialise
from supernet.formats import conversion, torch_export
from supernet.formats.checking import allowed_difference
from supernet.formats.conversion import convert_bundle
from supernet.formats.protocol import DYNAMIC, ExportFormat, FormatRequest, Opened, Reading, in_fixed_batches
from supernet.formats.registry import EXPORT_FORMATS, export_format, export_formats
from supernet.formats.tensorrt_onnx import PROFILE
from supernet.formats.verification import verify_formats
from supernet.images.data import Dataset
from supernet.weights.checkpoints import sha256_of
from tests.helpers.paths import ROOT

EXACT = [name for name in EXPORT_FORMATS if export_format(name).bound is None]
"""Those in 8 bits have tests of their own."""
INSTALLED = [name for name in EXACT if not export_format(name).missing()]
"""Those that ``pip install 'oncefit[dev]'`` brings, and any other that is here; make test-formats has a venv for each."""
SKIPPED = {name: export_format(name).how for name in EXACT if name not in INSTALLED}
READ_HERE = [name for name in INSTALLED if export_format(name).opened is not None]
every_format = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=[pytest.mark.skip(f"not installed: {SKIPPED[name]}")] if name in SKIPPED else []
        )
        for name in EXACT
    ],
)
read_here = pytest.mark.parametrize("name", READ_HERE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory, supernet, random_net, few) -> Path:
    """A bundle without formats."""
    folder, arch = tmp_path_factory.mktemp("plain") / "bundle", supernet.space.smallest()
    write_bundle(
        folder, supernet, None, arch, few, {"macs": 1e6}, {}, subnet=specialise(random_net, arch, few)
    )
    return folder


@dataclasses.dataclass(frozen=True)
class Timed:
    median_ms: float


def time_once(call) -> Timed:
    call()
    return Timed(1.5)


@pytest.fixture(scope="module")
def converted(tmp_path_factory, plain, few) -> Bundle:
    """The same with every format that is installed."""
    folder = Path(shutil.copytree(plain, tmp_path_factory.mktemp("converted") / "bundle"))
    return convert_bundle(folder, export_formats(INSTALLED), FormatRequest(), few, time_once)


@pytest.fixture
def copy(plain, tmp_path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "copy"))


@pytest.fixture
def copied(converted, tmp_path) -> Path:
    return Path(shutil.copytree(converted.folder, tmp_path / "copied"))


def about(bundle: Bundle, name: str) -> FormatKeys:
    assert bundle.card.formats is not None
    return bundle.card.formats[name]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_development_installs_is_tested() -> None:
    assert {"onnx", "torch-export", "openvino", "tensorrt"} <= set(INSTALLED)


@every_format
def test_a_format_is_in_the_card_with_all_that_was_found(name, converted, few) -> None:
    found, format = about(converted, name), export_format(name)
    assert found.files
    assert any(Path(file).name == format.main or format.main in file for file in found.files)
    for file in found.files:
        assert converted.card.files[file] == sha256_of((converted.folder / file).read_bytes())
    assert found.bytes == sum((converted.folder / file).stat().st_size for file in found.files)
    assert set(format.packages) <= set(found.versions)
    if format.opened is None:
        assert found.not_run
        assert found.accuracy is found.max_abs_difference is found.latency is None
        return
    assert (found.compared, found.compared_with) == (256, "validation images")
    assert found.max_abs_difference is not None
    assert found.allowed is not None
    assert found.max_abs_difference <= found.allowed == pytest.approx(1e-4, abs=5e-4)
    assert found.accuracy == dataclasses.asdict(evaluate(converted.subnet(), converted.arch, few, "report"))
    assert (found.latency, found.threads) == ((None, None) if format.not_run else ({"median_ms": 1.5}, 1))


@read_here
def test_what_is_read_back_answers_as_torch_on_any_number_of_images(name, converted) -> None:
    """Independent of how it was compared when it was written: seven images, which no batch divides."""
    found = about(converted, name)
    images = np.random.default_rng(3).standard_normal((7, 1, found.image_size, found.image_size), np.float32)
    with torch.no_grad():
        expected = converted.subnet()(torch.from_numpy(images)).numpy()
    opened = export_format(name).opened
    assert opened is not None
    with opened(conversion.reading_of(converted, found, 1)) as runs:
        np.testing.assert_allclose(runs.predict(images), expected, atol=1e-4)
        runs.bound(images[:1])()


def test_all_of_it_is_found_sound_again(converted, few) -> None:
    found = verify_formats(converted, few)
    assert set(found) == set(INSTALLED)
    for name in READ_HERE:
        assert found[name]["max_difference"] <= found[name]["allowed"]
        assert found[name]["accuracy"]["images"] == 300


def test_what_is_not_installed_is_verified_by_its_hash_alone(copied, monkeypatch) -> None:
    bundle = open_bundle(copied)
    absent = dataclasses.replace(export_format("openvino"), packages=("oncefit-no-such",))
    monkeypatch.setattr("supernet.formats.openvino_ir.FORMAT", absent)
    found = verify_formats(bundle, None)["openvino"]
    assert found["not_run"] == "oncefit-no-such is not installed: pip install 'oncefit[openvino]'"
    assert "max_difference" not in found


@every_format
def test_a_changed_byte_of_a_format_is_found(name, copied) -> None:
    for file in about(open_bundle(copied), name).files:
        content = bytearray((copied / file).read_bytes())
        content[len(content) // 2] ^= 1
        before = (copied / file).read_bytes()
        (copied / file).write_bytes(content)
        with pytest.raises(InputError, match=rf"{file}.*expected"):
            open_bundle(copied)
        (copied / file).write_bytes(before)


@read_here
@pytest.mark.parametrize("content", [b"", b"no model at all " * 40])
def test_a_damaged_file_whose_hash_is_right_is_refused_by_its_runtime(name, content, copied) -> None:
    bundle = open_bundle(copied)
    found, format = about(bundle, name), export_format(name)
    reading = conversion.reading_of(bundle, found, 1)
    (reading.folder / format.main).write_bytes(content)
    assert format.opened is not None
    with pytest.raises(InputError, match=rf"{format.main}"), format.opened(reading):
        pass


def test_without_images_random_inputs_are_compared(copy) -> None:
    found = about(convert_bundle(copy, export_formats("onnx"), FormatRequest(), None), "onnx")
    assert (found.compared, found.compared_with, found.accuracy) == (256, "random inputs", None)
    assert found.files == ("model.onnx",)  # the one that every bundle has


def test_formats_are_added_to_those_that_are_there_and_replace_their_like(copy) -> None:
    convert_bundle(copy, export_formats("onnx,openvino"), FormatRequest(batch=2), None)
    assert sorted(p.name for p in (copy / "formats").iterdir()) == ["onnx", "openvino"]
    bundle = convert_bundle(copy, export_formats(["onnx"]), FormatRequest(opset=13, image_size=28), None)
    assert set(bundle.card.formats or {}) == {"onnx", "openvino"}
    found = about(bundle, "onnx")
    assert (found.batch, found.opset, found.image_size) == (DYNAMIC, 13, 28)
    assert about(bundle, "openvino").batch == 2
    model = onnx.load(copy / found.files[0])
    assert model.opset_import[0].version == 13
    assert {"HardSwish"} & {node.op_type for node in model.graph.node} == set()
    assert {"HardSigmoid"} <= {node.op_type for node in model.graph.node}
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_value for side in shape][1:] == [1, 28, 28]
    assert shape[0].dim_param == "n"
    assert not (set(bundle.card.files) - {p for p in contents(copy) if p != "card.json"})


def test_tensorrt_has_a_profile_of_its_batch(copy) -> None:
    def profile(batch) -> dict:
        bundle = convert_bundle(copy, export_formats("tensorrt"), FormatRequest(batch=batch), None)
        assert "TensorRT was not run" in str(about(bundle, "tensorrt").not_run)
        return json.loads((copy / "formats" / "tensorrt" / PROFILE).read_text())

    size = open_bundle(copy).arch.resolution
    found = profile(None)
    assert found["shapes"] == {end: [n, 1, size, size] for end, n in (("min", 1), ("opt", 8), ("max", 32))}
    assert f"--optShapes=images:8x1x{size}x{size}" in found["command"]
    assert profile(4)["shapes"]["min"] == [4, 1, size, size]


@contextmanager
def answers_otherwise(reading: Reading) -> Iterator[Opened]:
    def wrong(images) -> np.ndarray:
        found = np.zeros((len(images), 10), np.float32)
        found[:, 0] = 1
        return found

    yield Opened(wrong, lambda images: lambda: None)


@contextmanager
def answers_nan(reading: Reading) -> Iterator[Opened]:
    yield Opened(lambda images: np.full((len(images), 10), np.nan, np.float32), lambda images: lambda: None)


@contextmanager
def answers_too_few(reading: Reading) -> Iterator[Opened]:
    yield Opened(lambda images: np.zeros((len(images), 9), np.float32), lambda images: lambda: None)


@pytest.mark.parametrize(
    ("opened", "message"),
    [
        (answers_otherwise, "the format openvino and torch disagree: logits differ by up to"),
        (answers_nan, "the format openvino and torch disagree: logits differ by up to nan"),
        (answers_too_few, r"answers with shape \(\d+, 9\)"),
    ],
)
def test_a_wrong_answer_is_refused_and_leaves_nothing(opened, message, copy, few, monkeypatch) -> None:
    before = contents(copy)
    wrong = dataclasses.replace(export_format("openvino"), opened=opened)
    monkeypatch.setattr("supernet.formats.openvino_ir.FORMAT", wrong)
    with pytest.raises(Disagreement, match=message):
        convert_bundle(copy, export_formats("tensorrt,openvino"), FormatRequest(), few)
    assert contents(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_converter_that_fails_is_told_and_leaves_nothing(copy, monkeypatch) -> None:
    def fails(material, folder) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("operator frobnicate\nis not there")

    before = contents(copy)
    failing = dataclasses.replace(export_format("openvino"), write=fails)
    monkeypatch.setattr("supernet.formats.openvino_ir.FORMAT", failing)
    with pytest.raises(
        InputError, match="openvino cannot be written: its converter says RuntimeError: operator frob"
    ):
        convert_bundle(copy, export_formats("openvino"), FormatRequest(), None)
    assert contents(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_folder_that_cannot_be_written(copy, monkeypatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(shutil, "copytree", refuses)
    with pytest.raises(
        InputError, match=r"cannot write .*copy: Read-only file system; convert a copy of the bundle"
    ):
        convert_bundle(copy, export_formats("onnx"), FormatRequest(), None)


@pytest.mark.parametrize(
    "step", ["shutil.copy2", "supernet.atomic.os.replace", "supernet.documents.write_text"]
)
def test_a_full_disk_says_what_to_do_and_leaves_nothing(step, copy, monkeypatch) -> None:
    """While the bundle is copied, while a model is written, and while the card is."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = contents(copy)
    monkeypatch.setattr(step, full)
    told = (
        f"cannot write {copy}: No space left on device; make room there, or convert a copy of the bundle in another "
        "folder; this one is as it was"
    )
    with pytest.raises(InputError) as caught:
        convert_bundle(copy, export_formats("tensorrt"), FormatRequest(), None)
    assert str(caught.value) == told
    assert contents(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


def test_a_converter_that_fails_on_a_full_disk_in_its_own_words(copy, monkeypatch) -> None:
    def fails(material, folder) -> None:
        raise RuntimeError("iostream error")

    failing = dataclasses.replace(export_format("openvino"), write=fails)
    monkeypatch.setattr("supernet.formats.openvino_ir.FORMAT", failing)
    usage = shutil.disk_usage(copy)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=5000))
    with pytest.raises(InputError, match=r"iostream error; only 5 KiB are free on its disk: make room there"):
        convert_bundle(copy, export_formats("openvino"), FormatRequest(), None)


def test_a_converter_that_a_full_disk_would_end_is_not_asked(copy, monkeypatch) -> None:
    def ends(material, folder) -> None:
        raise AssertionError("it is asked")

    deadly = dataclasses.replace(export_format("openvino"), write=ends, needs_room=True)
    monkeypatch.setattr("supernet.formats.openvino_ir.FORMAT", deadly)
    before, usage = contents(copy), shutil.disk_usage(copy)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    with pytest.raises(
        InputError, match=r"openvino is written with 1\d MiB to spare, .* 1\.0 MiB are free on the disk of"
    ):
        convert_bundle(copy, export_formats("openvino"), FormatRequest(), None)
    assert contents(copy) == before


def test_what_else_lies_in_the_folder_is_to_be_moved(copy) -> None:
    (copy / "notes.txt").touch()
    with pytest.raises(
        InputError, match=r"it holds notes\.txt; it was left as it is: move that to another folder"
    ):
        convert_bundle(copy, export_formats("onnx"), FormatRequest(), None)


def test_a_file_that_is_no_longer_of_the_bundle_is_gone(copy) -> None:
    convert_bundle(copy, export_formats("onnx"), FormatRequest(opset=13), None)
    assert (copy / "formats" / "onnx" / "model.onnx").is_file()
    found = convert_bundle(copy, export_formats("onnx"), FormatRequest(), None)
    assert about(found, "onnx").files == ("model.onnx",)
    assert set(contents(copy)) == {*found.card.files, "card.json"}


def test_a_model_card_has_no_figures_of_other_weights_or_images(converted) -> None:
    """Those of a bundle in 8 bits are of its file in 8 bits, those of other images of another size."""
    from supernet.formats.hugging_face import figure_rows, with_figures_of_weights

    card, side = converted.card, converted.arch.resolution
    assert "macs, predicted | 1e+06" in figure_rows(with_figures_of_weights(card, side))
    in_int8 = card.model_copy(update={"precision": "int8"})
    for other in (with_figures_of_weights(card, side + 1), with_figures_of_weights(in_int8, side)):
        assert "predicted" not in figure_rows(other)
        assert "not measured before this was written" in figure_rows(other)


def test_what_is_not_installed_says_what_to_type(copy, monkeypatch) -> None:
    absent = dataclasses.replace(export_format("ncnn"), packages=("oncefit-no-such-a", "oncefit-no-such-b"))
    monkeypatch.setattr("supernet.formats.ncnn_files.FORMAT", absent)
    with pytest.raises(InputError) as caught:
        convert_bundle(copy, export_formats("ncnn,onnx"), FormatRequest(), None)
    for part in ("format ncnn needs oncefit-no-such-a and oncefit-no-such-b", "pip install 'oncefit[ncnn]'"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            "onyx",
            r"unknown format 'onyx'\. Did you mean 'onnx'\? Known: coreml, executorch, hf, litert, litert-int8, ncnn, onnx",
        ),
        ("onnx,,", "unknown format ''"),
        (" , ", r"--format: got ' , '; give one or more of onnx, torch-export"),
    ],
)
def test_unknown_names(names, message) -> None:
    with pytest.raises(InputError, match=message):
        export_formats(names)


def test_a_format_is_asked_for_once() -> None:
    assert [format.name for format in export_formats("onnx, openvino,onnx")] == ["onnx", "openvino"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"opset": 8}, "--opset: got 8; torch's exporter writes 9 to 20"),
        ({"opset": 21}, "--opset: got 21"),
        ({"batch": 0}, "--batch: got 0; give 'dynamic', or a whole number from 1"),
        ({"image_size": 0}, "--image-size: got 0"),
    ],
)
def test_what_no_format_can_do(given, message) -> None:
    with pytest.raises(InputError, match=message):
        FormatRequest(**given)


def test_what_a_format_cannot_do(copy) -> None:
    with pytest.raises(InputError, match="--batch dynamic: litert is written for a fixed number"):
        export_format("litert").batch_of(DYNAMIC)
    with pytest.raises(InputError, match="--opset 13 is for onnx, tensorrt; leave it out for openvino"):
        convert_bundle(copy, export_formats("openvino"), FormatRequest(opset=13), None)


def test_other_images_than_the_bundles_are_refused(copy, few: Dataset) -> None:
    with pytest.raises(InputError, match="verify it with its own images"):
        convert_bundle(
            copy, export_formats("onnx"), FormatRequest(), dataclasses.replace(few, sha256="0" * 64)
        )


def test_what_is_allowed_follows_from_the_network() -> None:
    exact = torch.tensor([[0.0, 10.0]], dtype=torch.float64)
    assert allowed_difference(exact, exact) == 1e-4
    assert allowed_difference(exact + 1e-3, exact) == pytest.approx(1e-2)  # deep networks round more
    assert allowed_difference(exact * 1e-9, exact * 1e-9) == pytest.approx(1e-11)  # any answer is near 0


def test_batches_of_a_fixed_size_are_filled_up() -> None:
    seen = []

    def call(images):
        seen.append(images.copy())
        return images.sum((1, 2, 3))[:, None]

    images = np.arange(5, dtype=np.float32)[:, None, None, None] + 1
    assert in_fixed_batches(call, 2)(images)[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert [batch[:, 0, 0, 0].tolist() for batch in seen] == [[1, 2], [3, 4], [5, 0]]


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "formats/../../x"])
def test_a_card_lists_no_files_outside_its_bundle(name, copy) -> None:
    card = read_card(copy)
    (copy / "card.json").write_text(render(card.model_copy(update={"files": {**card.files, name: "0"}})))
    with pytest.raises(InputError, match="which is no file within a bundle"):
        open_bundle(copy)


def test_a_card_has_the_hash_of_each_format(copied) -> None:
    card = read_card(copied)
    left = {name: value for name, value in card.files.items() if not name.startswith("formats/openvino")}
    (copied / "card.json").write_text(render(card.model_copy(update={"files": left})))
    with pytest.raises(
        InputError, match=r"has no hash of formats/openvino/model.bin, a file of its format openvino"
    ):
        open_bundle(copied)


class RunsCode:
    def __reduce__(self):
        return (print, ("never",))


@pytest.mark.parametrize(
    ("entry", "content", "message"),
    [
        ("model/data/sample_inputs/model.pt", pickle.dumps(RunsCode()), "which is more than tensors"),
        ("model/models/model.json", json.dumps({"a": [{"expr_str": "__import__('os').getpid()"}]}).encode(),
         "which is more than a name"),
        ("model/data/weights/model_weights_config.json", json.dumps({"c": {"w": {"use_pickle": True}}}).encode(),
         "has weights that are pickled"),
        ("model/models/model.json", json.dumps({"nodes": [{"target": "torch.os.system"}]}).encode(),
         "which is no operation of torch's"),
        ("model/models/model.json", json.dumps({"guards_code": ["print(1)"]}).encode(), "has guards, which are Python"),
        ("model/models/model.json", json.dumps({"inputs": [{"name": "a=print(1), b"}]}).encode(), "has the name"),
        ("model/data/constants/opaque_obj_0", pickle.dumps(RunsCode()), "which is neither tensors nor their description"),
        ("model/data/aotinductor/model/x.so", b"\x7fELF", "which is neither tensors nor their description"),
        ("serialized_state_dict.pt", b"", "which is neither tensors nor their description"),
    ],
)  # fmt: skip
def test_an_archive_that_could_run_code_is_not_loaded(entry, content, message, tmp_path) -> None:
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, content)
    with pytest.raises(InputError, match=message):
        torch_export.check_archive(path)


def test_an_archive_of_tensors_is_fine(tmp_path) -> None:
    path, stored = tmp_path / "model.pt2", io.BytesIO()
    torch.save({"x": torch.zeros(2)}, stored)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/sample_inputs/model.pt", stored.getvalue())
        archive.writestr(
            "model/models/model.json", json.dumps({"expr_str": "Symbol('s77', positive=True, integer=True)"})
        )
    torch_export.check_archive(path)


@pytest.mark.parametrize("opset", [9, 11, 14, 20])
def test_every_opset_that_is_offered_answers_as_torch(opset, converted, tmp_path) -> None:
    import onnxruntime

    subnet, side = converted.subnet(), converted.arch.resolution
    export_onnx(subnet, 1, side, tmp_path / "model.onnx", 2, opset)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    images = torch.randn(2, 1, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = subnet(images).numpy()
    np.testing.assert_allclose(session.run(None, {"images": images.numpy()})[0], expected, atol=1e-4)


def test_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for format in map(export_format, EXPORT_FORMATS):
        extra = project["optional-dependencies"][format.extra] if format.extra else project["dependencies"]
        names = [*extra, *project["dependencies"]]
        for package in (*format.packages, *format.runtime):
            assert any(line.startswith(package) for line in names), f"{package} of {format.name}"


def test_a_new_format_is_a_file_and_a_line() -> None:
    for name in EXPORT_FORMATS:
        format = export_format(name)
        assert isinstance(format, ExportFormat)
        assert format.name == name
        assert format.any_batch or format.batch == 1
