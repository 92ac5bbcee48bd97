"""Model files that are damaged, or made to harm: refused in a sentence, never run, never believed."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from supernet.errors import InputError
from supernet.sizes import zip_entries
from supernet.sizes.registry import FILE_READERS, model_files
from tests.helpers import model_files as made

DOUBLED = b"]\x94" + b"".join(b"]\x94(h%ch%ce" % (i, i) for i in range(60))
"""Sixty lists, each twice in the next."""
STORAGE = b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpuK\x04tQ"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
MOST_MEMORY = 50_000_000
"""Bytes that reading a file of a few KB may take, whatever it claims."""


@pytest.mark.parametrize("form", made.FORMATS)
def test_no_damage_ends_otherwise_than_in_a_sentence(form: str, tmp_path: Path) -> None:
    """Cut off, changed and filled with ones, at places that a seed chooses."""
    path = made.write_model(form, tmp_path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for i in range(60):
        content = bytearray(whole[: int(rng.integers(len(whole)))] if i % 3 == 0 else whole)
        for at in rng.integers(0, max(len(content), 1), 2) if content and i % 3 else ():
            content[at : at + 8] = b"\xff" * 8 if i % 3 == 1 else bytes([int(rng.integers(256))])
        path.write_bytes(content)
        said = refusal(path)
        refused += said is not None
        assert said is None or str(tmp_path) in said
    assert refused >= 20


def refusal(path: Path) -> str | None:
    """What is said of a file; None where it is taken, and then its parts add up."""
    try:
        [found] = model_files(path)
    except InputError as error:
        return str(error)
    assert sum(found.parts.values()) == found.bytes
    return None


@pytest.mark.parametrize("suffix", sorted(FILE_READERS))
@pytest.mark.parametrize(
    "content", [b"", b"\0", b"nothing of the kind, but long enough for every header that there is"]
)
def test_what_is_no_model_is_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    if suffix in (".xml", ".bin"):
        (tmp_path / ("file.bin" if suffix == ".xml" else "file.xml")).write_bytes(content)
    with pytest.raises(InputError, match=r"is empty|is damaged"):
        model_files(path)


# -- pickles ---------------------------------------------------------------------------


class Harmful:
    """Makes a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def as_archive(content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("net/data.pkl", content)
    return stream.getvalue()


def as_stream(content: bytes) -> bytes:
    from supernet.sizes.format_torch import MAGIC

    first = [pickle.dumps(value, 2) for value in (MAGIC, 1001, {"little_endian": True})]
    return b"".join([*first, content, pickle.dumps([], 2)])


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("wrapped", [as_archive, as_stream, lambda content: content])
def test_a_pickle_that_would_do_harm_does_nothing(
    wrapped: Callable[[bytes], bytes], protocol: int, tmp_path: Path
) -> None:
    mark, path = tmp_path / "harmed", tmp_path / "net.pth"
    harmful = pickle.dumps({"weights": Harmful(mark)}, protocol)
    path.write_bytes(wrapped(harmful))
    try:
        [found] = model_files(path)
        assert found.tensors == ()
    except InputError:
        assert wrapped not in (as_archive, as_stream)
    assert not mark.exists()
    pickle.loads(harmful)
    assert mark.exists(), "it would have"


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02r\xff\xff\xff\x7f.",  # a place in the memo that a list would have to reach up to
        b"\x80\x02\x8b\xff\xff\xff\x7f.",  # a number of two thousand million digits
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",  # as many bytes
        b"\x80\x02" + b"(" * 10_000 + b"t" * 10_000 + b".",  # tuples in tuples
        b"\x80\x02]" + b"2\x86" * 60 + b".",  # two to the sixty values, if they were copied
        b"\x80\x04" + DOUBLED + b"\x8c\x01x\x93.",  # a name, as text of that length
        b"\x80\x04" + DOUBLED + b"00" + REBUILD + b"(" + STORAGE + b"h\x3cNNtR.",  # or a size
        b"\x80\x02" + b"ctorch._utils\n_rebuild_parameter\n" * 2_000 + REBUILD + b")R" + b"\x85R" * 2_000 + b".",
        b"\x80\x02}}s.", b"\x80\x02t.", b"\x80\x02h\x01.", b"\x80\x02.", b"\x80\x02R.", b"\x80\x02K\x01b.",
    ],
)  # fmt: skip
def test_an_odd_pickle_takes_neither_memory_nor_time(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(as_archive(content))
    check_memory(path)


@pytest.mark.parametrize("how", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_an_entry_that_does_not_unpack_is_told(how: int, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    with zipfile.ZipFile(path, "w", how) as archive:
        archive.writestr("net/data.pkl", os.urandom(500))
    content = bytearray(path.read_bytes())
    content[60:400] = b"\xfe" * 340
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"data\.pkl' cannot be unpacked"):
        model_files(path)


def check_memory(path: Path) -> None:
    tracemalloc.start()
    said = refusal(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < MOST_MEMORY
    assert said is None or str(path) in said


# -- sizes that are claimed ----------------------------------------------------------------


def claims(
    dtype: str = "F32", shape: tuple[object, ...] = (2,), offsets: tuple[object, ...] = (0, 8)
) -> bytes:
    header = json.dumps({"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()
    return struct.pack("<Q", len(header)) + header + bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 2**63) + b"{}", struct.pack("<Q", 10**8) + b"{}", claims(shape=(10**15,)),
        claims(offsets=(0, 2**60)), claims(shape=(10**15,), offsets=(0, 4 * 10**15)), claims(offsets=(-8, 0)),
        claims(offsets=(8, 0)), claims(shape=(True, 2)), claims(shape=(-1, -2)), claims("F31"), claims(offsets=("0", "8")),
        claims(shape=(1,) * 5000 + (2,)),
    ],
)  # fmt: skip
def test_safetensors_that_claims_too_much(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"is damaged|sides"):
        model_files(path)
    check_memory(path)


def test_an_entry_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pth"
    monkeypatch.setattr(zip_entries, "LARGEST_ENTRY", 10**6 - 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/data.pkl", bytes(10**6))
    assert path.stat().st_size < 10**4
    with pytest.raises(InputError, match="claims 1,000,000 bytes"):
        model_files(path)


def test_an_entry_without_a_name(tmp_path: Path) -> None:
    path = made.write_model("pth", tmp_path)
    path.write_bytes(path.read_bytes().replace(b"net/version", b"\0et/version"))
    assert sum(model_files(path)[0].parts.values()) == path.stat().st_size


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../other.data", "a/../../other.data", "", "other\0.data"]
)
def test_external_data_stays_beside_the_model(location: str, tmp_path: Path) -> None:
    (tmp_path / "other.data").write_bytes(bytes(8))
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [2], [0, 0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    folder = tmp_path / "inner"
    folder.mkdir()
    onnx.save(helper.make_model(helper.make_graph([], "net", [], [], [tensor])), folder / "net.onnx")
    with pytest.raises(InputError, match="a file beside it is possible"):
        model_files(folder / "net.onnx")


def test_external_data_that_is_missing_or_too_short_is_named(tmp_path: Path) -> None:
    path = made.write_model("external", tmp_path)
    (tmp_path / "big.data").write_bytes(b"x")
    with pytest.raises(InputError, match=r"big\.data is damaged"):
        model_files(path)
    (tmp_path / "big.data").unlink()
    with pytest.raises(InputError, match=r"cannot read .*big\.data: No such file"):
        model_files(path)


def test_xml_that_would_grow_is_refused(tmp_path: Path) -> None:
    path = made.write_model("openvino", tmp_path)
    path.write_text('<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;">]><net>&b;</net>')
    with pytest.raises(InputError, match="document type"):
        model_files(path)
    path.with_suffix(".bin").unlink()
    with pytest.raises(InputError, match=r"half of a model of OpenVINO; put ir\.bin beside it"):
        model_files(path)


# -- what is no file -----------------------------------------------------------------------


def test_what_is_given_is_told_back(tmp_path: Path) -> None:
    (tmp_path / "net.onx").write_bytes(b"x")
    with pytest.raises(
        InputError, match=r"unknown ending of the model file .*net\.onx': '\.onx'\. Did you mean '\.onnx'\?"
    ):
        model_files(tmp_path / "net.onx")
    with pytest.raises(InputError, match=r"is a folder and no bundle, which has a card\.json"):
        model_files(tmp_path)
    with pytest.raises(InputError, match="there is no file or bundle"):
        model_files(tmp_path / "none.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(InputError, match="is no file"):
        model_files(tmp_path / "pipe.pth")
