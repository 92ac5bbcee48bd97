"""What every byte of a model file is for, held against what each format's own library says."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors import safe_open

from supernet.sizes.byte_map import OF_TENSORS, SCALE_BYTES, UNUSED, ByteMap, MappedFile
from supernet.sizes.file_sizes import FileSizes
from supernet.sizes.registry import FILE_READERS, model_files
from tests.helpers import model_files as made


def read(path: Path) -> FileSizes:
    [found] = model_files(path)
    return found


def of_kind(found: FileSizes, kind: str) -> int:
    return sum(size for key, size in found.parts.items() if key.kind == kind)


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def told(found: FileSizes) -> dict[str, tuple[tuple[int, ...], str]]:
    return {one.name: (one.shape, one.content) for one in found.tensors}


@pytest.mark.parametrize("form", made.FORMATS)
def test_the_parts_add_up_to_the_files(form: str, tmp_path: Path) -> None:
    path = made.write_model(form, tmp_path)
    found = read(path)
    on_disk = {str(file): file.stat().st_size for file in tmp_path.iterdir() if str(file) in found.files}
    assert found.files == on_disk
    assert str(path) in on_disk
    assert sum(found.parts.values()) == found.bytes == sum(on_disk.values())
    assert sum(one.stored_bytes for one in found.tensors) == sum(of_kind(found, kind) for kind in OF_TENSORS)
    assert of_kind(found, "other") == 0


def test_every_format_is_written_here() -> None:
    assert {Path(name).suffix for name in (
        "net.pth", "script.pt", "last.ckpt", "net.pt2", "net.safetensors", "net.onnx", "net.tflite", "net.pte", "ir.xml",
        "ir.bin",
    )} == set(FILE_READERS)  # fmt: skip


# -- PyTorch -------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["pth", "stream", "pt2", "script", "safetensors"])
def test_tensors_are_those_of_torch(form: str, tmp_path: Path) -> None:
    found = read(made.write_model(form, tmp_path))
    state = made.tiny_net().state_dict()
    assert told(found) == {name: (tuple(t.shape), sha256(t.numpy())) for name, t in state.items()}
    assert {one.name: one.dtype for one in found.tensors} == {n: str(t.dtype)[6:] for n, t in state.items()}
    assert of_kind(found, "weights") == sum(t.nbytes for t in state.values())


def test_an_archive_is_as_zipfile_lists_it(tmp_path: Path) -> None:
    path = made.write_model("script", tmp_path)
    with zipfile.ZipFile(path) as archive:
        sizes = {info.filename.partition("/")[2]: info.compress_size for info in archive.infolist()}
    found = read(path)
    assert of_kind(found, "weights") == sum(size for name, size in sizes.items() if name.startswith("data/"))
    assert of_kind(found, "code") == sizes["code/__torch__.py"]
    assert of_kind(found, "headers and padding") == path.stat().st_size - sum(sizes.values())
    assert found.format == "TorchScript"


def test_a_checkpoint_has_its_optimizer_told_apart(tmp_path: Path) -> None:
    path = made.write_model("checkpoint", tmp_path)
    state = torch.load(path, weights_only=True)["optimizer"]["state"]
    expected = sum(value.nbytes for of_one in state.values() for value in of_one.values())
    found = read(path)
    assert of_kind(found, "optimizer state") == expected
    moments = {one.name: one.content for one in found.tensors if one.name.endswith("exp_avg")}
    assert moments == {f"optimizer.state.{i}.exp_avg": sha256(s["exp_avg"].numpy()) for i, s in state.items()}


def test_views_shared_tensors_and_copies(tmp_path: Path) -> None:
    whole = torch.arange(60.0).reshape(10, 6)
    tied = torch.ones(4, 4).normal_()
    state = {
        "rows": whole[2:4], "turned": whole[2:4].t(), "tied": tied, "head": tied, "copy": tied.clone(),
        "expanded": torch.ones(1).expand(1000), "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.arange(3.0)), "half": torch.ones(3, dtype=torch.bfloat16),
    }  # fmt: skip
    torch.save({"nested": [state]}, tmp_path / "views.pt")
    found = read(tmp_path / "views.pt")
    by_name = {one.name.removeprefix("nested.0."): one for one in found.tensors}
    assert list(by_name) == list(state)
    for name in ("rows", "turned", "tied", "parameter"):
        assert by_name[name].content == sha256(state[name].detach().numpy()), name
    assert by_name["half"].array() == pytest.approx(np.ones(3))
    assert (by_name["head"].same_as, by_name["head"].is_shared) == ("nested.0.tied", True)
    assert (by_name["copy"].same_as, by_name["copy"].is_shared) == ("nested.0.tied", False)
    assert of_kind(found, "repeated weights") == tied.nbytes
    assert of_kind(found, "bytes that no tensor uses") == whole.nbytes - whole[2:4].nbytes
    assert (by_name["expanded"].bytes, by_name["expanded"].stored_bytes) == (4000, 4)
    assert by_name["turned"].stored_bytes == 0


@pytest.mark.parametrize("is_new", [True, False])
def test_bytes_in_a_pickle_take_half_as_much_again(is_new: bool, tmp_path: Path) -> None:
    """torch pickles with protocol 2, whose bytes are text: those from 128 on take two."""
    blob = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8).tobytes()
    torch.save(
        {"blob": blob, "w": torch.ones(3)}, tmp_path / "net.pth", _use_new_zipfile_serialization=is_new
    )
    found = read(tmp_path / "net.pth")
    expected = len(blob.decode("latin1").encode())
    assert expected == pytest.approx(1.5 * len(blob), rel=0.01)
    assert of_kind(found, "text and bytes in a pickle") == expected + len(b"X1234")
    assert [one.name for one in found.tensors] == ["w"]


def test_a_tensor_with_attributes_of_its_own_and_one_of_packed_numbers_are_tensors(tmp_path: Path) -> None:
    path, tagged = tmp_path / "net.pth", torch.nn.Parameter(torch.arange(6.0))
    tagged.tag = "a tensor that code has marked"  # type: ignore[attr-defined]
    plain = torch.arange(4.0)
    plain.tag = "x"  # type: ignore[attr-defined]
    packed = torch.arange(8, dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    torch.save({"tagged": tagged, "plain": plain, "packed": packed}, path)
    found = read(path)
    assert {one.name: (one.dtype, one.bytes) for one in found.tensors} == {
        "tagged": ("float32", 24), "plain": ("float32", 16), "packed": ("float4_e2m1fn_x2", 8),
    }  # fmt: skip
    assert of_kind(found, UNUSED) == 0


def test_a_whole_module_has_the_names_of_its_state_dict(tmp_path: Path) -> None:
    net = made.tiny_net()
    torch.save(net, tmp_path / "whole.pt")
    names = {one.name for one in read(tmp_path / "whole.pt").tensors}
    assert names == set(net.state_dict())


def test_a_compressed_archive_is_read_too(tmp_path: Path) -> None:
    plain = made.write_model("pth", tmp_path)
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    found = read(packed)
    assert told(found) == told(read(plain))
    assert sum(found.parts.values()) == packed.stat().st_size
    with zipfile.ZipFile(packed) as archive:
        data = sum(i.compress_size for i in archive.infolist() if "/data/" in i.filename)
    assert of_kind(found, "weights") == data


# -- safetensors, ONNX, OpenVINO -------------------------------------------------------


def test_safetensors_has_the_header_that_its_library_sees(tmp_path: Path) -> None:
    path = made.write_model("safetensors", tmp_path)
    found = read(path)
    length = int.from_bytes(path.read_bytes()[:8], "little")
    assert of_kind(found, "metadata") + of_kind(found, "headers and padding") == 8 + length
    with safe_open(path, "np") as file:
        assert {name: sha256(file.get_tensor(name)) for name in file.keys()} == {  # noqa: SIM118
            one.name: one.content for one in found.tensors
        }


@pytest.mark.parametrize("form", ["onnx", "external"])
def test_tensors_are_those_of_onnx(form: str, tmp_path: Path) -> None:
    path = made.write_model(form, tmp_path)
    found = read(path)
    expected = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert {"w", "again", "h", "f", "i"} == set(expected)
    for name, array in expected.items():
        [one] = [one for one in found.tensors if one.name == name]
        assert (one.shape, one.dtype, one.content) == (array.shape, str(array.dtype), sha256(array)), name
    assert {one.name: one.array().tolist() for one in found.tensors if one.name in "kc"} == {
        "k": [7, -8, 9],
        "c": [5, 6],
    }
    assert of_kind(found, "repeated weights") == 24 * 4 + 2 * 4
    assert len(found.files) == (2 if form == "external" else 1)


def test_what_the_graph_does_not_need_is_metadata(tmp_path: Path) -> None:
    path = made.write_model("onnx", tmp_path)
    model = onnx.load(path)
    before = model.ByteSize()
    model.graph.node[1].ClearField("doc_string")
    model.ClearField("producer_name")
    taken = before - model.ByteSize()
    # lengths of the messages around may take a byte less each
    assert taken - 4 <= of_kind(read(path), "metadata") <= taken


def test_weights_that_onnxruntime_packed_are_told(tmp_path: Path) -> None:
    import onnxruntime
    from onnx import TensorProto, helper

    rng = np.random.default_rng(0)
    weight = rng.standard_normal((64, 32)).astype(np.float32)
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], "net", [value("x", TensorProto.FLOAT, ["n", 32])],
        [value("y", TensorProto.FLOAT, ["n", 64])], [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "packed.onnx")
    for key, text in {
        "optimized_model_external_initializers_file_name": "packed.data",
        "optimized_model_external_initializers_min_size_in_bytes": "1",
        "save_external_prepacked_constant_initializers": "1",
    }.items():
        options.add_session_config_entry(f"session.{key}", text)
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = read(tmp_path / "packed.onnx")
    assert of_kind(found, "weights") == weight.nbytes
    assert of_kind(found, "packed for a processor") >= weight.nbytes
    assert sum(found.parts.values()) == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_openvino_writes_what_is_read(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    weight = np.random.default_rng(0).standard_normal((16, 8)).astype(np.float32)
    given = openvino.opset13.parameter([-1, 8], np.float32)
    product = openvino.opset13.matmul(given, openvino.opset13.constant(weight), False, True)
    openvino.save_model(openvino.Model([product], [given]), tmp_path / "net.xml", compress_to_fp16=True)
    for given_file in ("net.xml", "net.bin"):
        found = read(tmp_path / given_file)
        [one] = [one for one in found.tensors if one.shape == (16, 8)]
        assert (one.dtype, one.content) == ("float16", sha256(weight.astype(np.float16)))
        assert found.bytes == sum(path.stat().st_size for path in tmp_path.iterdir())


# -- TensorFlow Lite, ExecuTorch -------------------------------------------------------


def test_tflite_has_what_was_put_in(tmp_path: Path) -> None:
    path = made.write_model("tflite", tmp_path)
    found = read(path)
    assert told(found) == {
        "w": ((4, 6), sha256(made.TFLITE_WEIGHT)),
        "b": ((4,), sha256(made.TFLITE_BIAS)),
        "b2": ((2, 2), sha256(made.TFLITE_BIAS)),
    }
    assert [one.is_shared for one in found.tensors] == [False, False, True]
    assert of_kind(found, SCALE_BYTES) == made.TFLITE_SCALES.nbytes + 4 * 8
    assert of_kind(found, "metadata") == len(b"1.14.0 and more") + len("by tests")


def test_executorch_has_what_was_put_in(tmp_path: Path) -> None:
    found = read(made.write_model("pte", tmp_path))
    constant, named = found.tensors
    assert (constant.shape, constant.dtype, constant.content) == ((4, 5), "float32", sha256(made.PTE_WEIGHT))
    assert (named.name, named.dtype) == ("key", "unknown")
    assert named.content == hashlib.sha256(made.PTE_NAMED).hexdigest()
    assert of_kind(found, "compiled for a delegate") == len(made.PTE_BLOB)


# -- the map of bytes, bundles ---------------------------------------------------------


def test_a_byte_belongs_to_the_first_that_claims_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(1000))
    rng = np.random.default_rng(0)
    for _ in range(20):
        found, owners = ByteMap(MappedFile(tmp_path / "file")), np.zeros(1000, int)
        for owner in range(1, 30):
            start, end = sorted(rng.integers(0, 1001, 2))
            free = int((owners[start:end] == 0).sum())
            assert found.claim(int(start), int(end), str(owner)) == free
            owners[start:end] = np.where(owners[start:end] == 0, owner, owners[start:end])
        expected = {str(owner): int((owners == owner).sum()) for owner in set(owners.tolist())}
        assert {key.kind: size for key, size in found.parts("0").items()} == expected


def test_a_bundle_is_its_models_and_the_rest(tmp_path: Path) -> None:
    made.write_model("safetensors", tmp_path)
    made.write_model("onnx", tmp_path)
    (tmp_path / "card.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "arch.json").write_text("{}")
    found = model_files(tmp_path)
    assert [one.format for one in found] == ["safetensors", "ONNX", "documents of the bundle"]
    assert sum(one.bytes for one in found) == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_every_file_of_a_bundle_is_counted_once(tmp_path: Path) -> None:
    """OpenVINO and an ONNX with external data are of two files, and what ncnn and Core ML call .bin is nobody's here."""
    made.write_model("safetensors", tmp_path)
    (tmp_path / "card.json").write_text(json.dumps({"a": 1}))
    formats = tmp_path / "formats"
    for name in ("openvino", "external"):
        (formats / name).mkdir(parents=True)
        made.write_model(name, formats / name)
    ncnn, inner = formats / "ncnn", formats / "coreml" / "model.mlpackage" / "Data" / "weights"
    for folder, file in ((ncnn, "model.bin"), (ncnn, "model.param"), (inner, "weight.bin")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(bytes(range(100)))
    found = model_files(tmp_path)
    assert [one.format for one in found] == [
        "safetensors", "ONNX", "OpenVINO", "not read", "not read", "documents of the bundle",
    ]  # fmt: skip
    assert [(Path(one.name).name, one.bytes) for one in found if one.format == "not read"] == [
        ("coreml", 100), ("ncnn", 200),
    ]  # fmt: skip
    files = [Path(name) for one in found for name in one.files]
    assert sorted(files) == sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert all(one.bytes == sum(one.parts.values()) for one in found)
