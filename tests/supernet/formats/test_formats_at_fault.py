"""Formats that are damaged, that a network cannot be written in, or that a disk has no room for: told, and nothing stays."""

from __future__ import annotations

import dataclasses
import random
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn
from torch.nn import functional

from search.reports.formats import verified_lines, verified_title
from supernet.bundles.bundle import Bundle, Disagreement, open_bundle
from supernet.bundles.bundle_card import read_card, render
from supernet.bundles.onnx_export import export_onnx
from supernet.errors import InputError
from supernet.families.catalog import Supernet
from supernet.formats import conversion
from supernet.formats.conversion import convert_bundle, write_format
from supernet.formats.protocol import FormatRequest, Opened, Reading, ToWrite
from supernet.formats.registry import EXPORT_FORMATS, export_format, export_formats
from supernet.formats.verification import verify_formats
from supernet.weights.checkpoints import sha256_of
from tests.helpers.kept_bundle import kept_bundle
from tests.helpers.tiny import open_tiny

INSTALLED = [
    name for name in EXPORT_FORMATS if not export_format(name).missing() and export_format(name).bound is None
]
"""Formats in 8 bits need images to be quantised on."""
READ_HERE = [
    name
    for name in INSTALLED
    if export_format(name).opened is not None and not export_format(name).missing_to_run()
]
MODEL_FILES = (".onnx", ".pt2", ".xml", ".bin", ".tflite", ".pte", ".param", ".safetensors")


@pytest.fixture(scope="module")
def supernet(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    return open_tiny(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def converted(supernet: Supernet, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A small bundle in every format that is here, each in files of its own."""
    folder = kept_bundle(3, tmp_path_factory.mktemp("converted") / "bundle")
    return convert_bundle(folder, export_formats(INSTALLED), FormatRequest(batch=1), None, supernet=supernet)


@pytest.fixture
def bundle(converted: Bundle, tmp_path: Path, supernet: Supernet) -> Bundle:
    import shutil

    return open_bundle(Path(shutil.copytree(converted.folder, tmp_path / "bundle")), supernet)


def put(bundle: Bundle, file: str, content: bytes) -> Bundle:
    """The bundle with another content of a file, whose hash on the card is right."""
    (bundle.folder / file).write_bytes(content)
    card = read_card(bundle.folder)
    files = {**card.files, file: sha256_of(content)}
    (bundle.folder / "card.json").write_text(render(card.model_copy(update={"files": files})))
    return open_bundle(bundle.folder, bundle.supernet)


def only(bundle: Bundle, *names: str) -> Bundle:
    """The same with no other formats on its card."""
    card = read_card(bundle.folder)
    formats = {name: (card.formats or {})[name] for name in names}
    (bundle.folder / "card.json").write_text(render(card.model_copy(update={"formats": formats})))
    return open_bundle(bundle.folder, bundle.supernet)


def model_file(bundle: Bundle, name: str, rng: random.Random) -> str:
    files = (bundle.card.formats or {})[name].files
    return rng.choice(sorted(file for file in files if file.endswith(MODEL_FILES)))


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def flipped(content: bytes, rng: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(200):
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


def blanked(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) // 2)
    return content[:start] + bytes(len(content) - start)


@pytest.mark.parametrize("damage", [cut, flipped, blanked])
@pytest.mark.parametrize("name", READ_HERE)
def test_a_damaged_model_whose_hash_is_right_is_refused_and_named(
    name: str, damage: Callable[[bytes, random.Random], bytes], bundle: Bundle
) -> None:
    rng = random.Random(f"{name} {damage.__name__}")
    file = model_file(bundle, name, rng)
    changed = put(only(bundle, name), file, damage((bundle.folder / file).read_bytes(), rng))
    with pytest.raises(InputError, match=f"{name}|{Path(file).stem}"):
        verify_formats(changed, None)


def test_every_format_is_looked_at_before_any_is_complained_of(bundle: Bundle) -> None:
    some = [name for name in ("onnx", "openvino", "tensorrt") if name in READ_HERE]
    changed = bundle
    for name in some[:2]:
        changed = put(changed, (bundle.card.formats or {})[name].files[-1], b"nothing")
    with pytest.raises(Disagreement) as caught:
        verify_formats(changed, None)
    for name in some[:2]:
        assert f"formats/{name}/" in str(caught.value)
    assert "tensorrt" not in str(caught.value)


def test_a_model_of_an_opset_that_its_runtime_does_not_know_is_refused(bundle: Bundle) -> None:
    model = onnx.load(bundle.folder / "formats" / "onnx" / "model.onnx")
    model.opset_import[0].version = 999
    changed = put(only(bundle, "onnx"), "formats/onnx/model.onnx", model.SerializeToString())
    with pytest.raises(InputError, match=r"ONNX Runtime cannot load .*model\.onnx: .*opset"):
        verify_formats(changed, None)


def test_a_model_that_loads_and_takes_other_inputs_is_refused(bundle: Bundle) -> None:
    model = onnx.load(bundle.folder / "formats" / "onnx" / "model.onnx")
    for node in model.graph.node:
        node.input[:] = ["pictures" if name == "images" else name for name in node.input]
    model.graph.input[0].name = "pictures"
    changed = put(only(bundle, "onnx"), "formats/onnx/model.onnx", model.SerializeToString())
    with pytest.raises(
        Disagreement, match="the format onnx is loaded and fails when it is run: ValueError: "
    ):
        verify_formats(changed, None)


@contextmanager
def cannot_be_imported(reading: Reading) -> Iterator[Opened]:
    raise ImportError("libfrob.so: cannot open shared object file")
    yield


def test_a_runtime_that_cannot_be_imported_is_said_not_to_have_run(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = dataclasses.replace(export_format("onnx"), opened=cannot_be_imported)
    monkeypatch.setattr("supernet.formats.onnx_file.FORMAT", broken)
    found = verify_formats(bundle, None)
    assert "cannot be imported (libfrob.so: cannot open shared object file): pip install oncefit" in str(
        found["onnx"]["not_run"]
    )
    assert "max_difference" not in found["onnx"]
    assert found["torch-export"]["max_difference"] <= found["torch-export"]["allowed"]


def test_what_is_run_and_what_is_not_is_told_with_versions_and_what_to_type(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = dataclasses.replace(export_format("onnx"), runtime=("oncefit-no-such",), extra="none-such")
    monkeypatch.setattr("supernet.formats.onnx_file.FORMAT", absent)
    found = verify_formats(only(bundle, "onnx", "torch-export"), None)
    told = dict(verified_lines(found))
    assert told["onnx"].endswith("oncefit-no-such is not installed: pip install 'oncefit[none-such]'")
    assert f"run by torch {torch.__version__.partition('+')[0]}" in told["torch-export"]
    assert verified_title(found) == "; of its 2 formats 1 was not run here"
    assert verified_title({}) == ""


# -- writing -----------------------------------------------------------------------------


@contextmanager
def no_room() -> Iterator[None]:
    """No file of this process may grow beyond 4 KiB, as where a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.filterwarnings(
    "ignore:Implicitly cleaning up:ResourceWarning"
)  # coremltools leaves its scratch folder
@pytest.mark.parametrize("name", [name for name in INSTALLED if not export_format(name).needs_room])
def test_where_a_disk_is_full_nothing_of_a_format_stays(
    name: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in bundle.folder.rglob("*") if path.is_file()}
    add = conversion.add_formats

    def without_room(*given: object) -> None:
        with no_room():
            add(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(conversion, "add_formats", without_room)

    def convert() -> object:
        return convert_bundle(
            bundle.folder, export_formats(name), FormatRequest(batch=1), None, supernet=bundle.supernet
        )

    with pytest.raises(InputError, match=r"cannot (be )?writ"):
        convert()
    assert {path: path.read_bytes() for path in bundle.folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in bundle.folder.parent.iterdir()] == ["bundle"]


class Odd(nn.Module):
    """A network with an operation that not every format has."""

    def __init__(self, operation: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.operation, self.classifier = operation, nn.Linear(81, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.operation(images).flatten(1))


def sampled(images: torch.Tensor) -> torch.Tensor:
    return functional.grid_sample(images, torch.zeros(2, 9, 9, 2), align_corners=False)


def test_an_operation_that_an_opset_has_not_is_named_and_so_is_the_opset_that_has_it(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"'aten::grid_sampler' to ONNX opset version 9 .* added in version 16"
    ):
        export_onnx(Odd(sampled).eval(), 1, 9, tmp_path / "model.onnx", 2, 9)
    export_onnx(Odd(sampled).eval(), 1, 9, tmp_path / "model.onnx", 2, 16)
    with pytest.raises(InputError, match=r"'aten::erfinv' .*Write its forward pass with other operations"):
        export_onnx(Odd(torch.erfinv).eval(), 1, 9, tmp_path / "other.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("name", [name for name in ("onnx", "tensorrt") if name in INSTALLED])
def test_a_format_that_has_not_an_operation_is_refused(name: str, bundle: Bundle) -> None:
    material = ToWrite(Odd(torch.erfinv).eval(), bundle, 9, 2, 13)
    with pytest.raises(InputError, match=r"the network cannot be written as ONNX: .*'aten::erfinv'"):
        write_format(export_format(name), material, FormatRequest(batch=2, opset=13), lambda _: None)
