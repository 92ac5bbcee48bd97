"""Files that were made to harm, or by an accident: each is refused in a paragraph, and nothing of it is run, kept or obeyed.

What single readers refuse is tested beside them; here are files as a command meets them.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.numpy import save_file

from supernet.weights.checkpoints import sha256_of
from tests.helpers.guarded import ended, held_below
from tests.search.cli.test_bad_documents import CARD, NET, SEARCH, shipped

ESC = "\x1b[31mred\x1b]0;t\x07"
UTF16 = SEARCH.encode("utf-16-le")
MANY_DIGITS = "7" * 3_000
COLUMNS = "Sub-network,Top-1 Acc (%)"
RAN = "ran"
"""The file that code makes which must not run."""


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (RAN,)


def pickled(wrap: Callable[[object], bytes] = pickle.dumps) -> bytes:
    return wrap({"state_dict": Harmful()})


def torch_saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, object]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def png(width: int, height: int) -> bytes:
    """An image of a pixel that says it has so many."""
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[16:24] = struct.pack(">II", width, height)
    content[29:33] = struct.pack(">I", __import__("zlib").crc32(content[12:29]))
    return bytes(content)


def zipped(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def understated(content: bytes) -> bytes:
    """A ZIP whose entries say that they unpack to three bytes."""
    made = bytearray(content)
    for header, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = made.find(header)
        while place >= 0:
            struct.pack_into("<I", made, place + at, 3)
            place = made.find(header, place + 4)
    return bytes(made)


def tarred(name: str, kind: bytes, leads_to: str = "") -> bytes:
    buffer, info = io.BytesIO(), tarfile.TarInfo(name)
    info.type, info.linkname = kind, leads_to
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(info)
    return buffer.getvalue()


def document(form: str, **changes: object) -> str:
    keys = yaml.safe_load(form) | changes
    return yaml.safe_dump(keys)


def supernet_of(**changes: object) -> str:
    return document(shipped("supernets", "fmnist_mbv3"), **changes)


def with_classes(*classes: str) -> str:
    network = yaml.safe_load(shipped("supernets", "fmnist_mbv3"))["network"]
    return supernet_of(network=network | {"classes": list(classes)})


SEARCHED = ("search", "FILE.yaml", "--out", "out")
SHOWN = ("supernet", "show", "FILE.yaml")
TRAINED_PREDICTOR = (
    "predictor",
    "train",
    "mine",
    "FILE.csv",
    "--supernet",
    "ofa_mbv3_w1.0",
    "--out",
    "out.safetensors",
)
COSTED = ("cost", "FILE.json", "--image-size", "32")
WEIGHTS = ("weights", "import", "bare.yaml", "FILE.pth")
SIZED = ("sizes", "FILE.pt")
SPLIT = ("data", "split", "FILE.zip", "--out", "out")
LATENCIES = ("profile", "mine", "--from-csv", "FILE.csv", "--supernet", "ofa_mbv3_w1.0")

Case = tuple[tuple[str, ...], bytes | str]
CASES: Mapping[str, Case] = {
    # YAML
    "a search in UTF-16 without a mark": (SEARCHED, UTF16),
    "a search in UTF-16 with a mark": (SEARCHED, b"\xff\xfe" + UTF16),
    "a search in Latin-1": (SEARCHED, (SEARCH + "region: \xe9t\xe9\n").encode("latin-1")),
    "a search that is a binary file": (SEARCHED, bytes(range(256)) * 20),
    "a number of 3,000 digits": (SEARCHED, f"{SEARCH}measure: {MANY_DIGITS}\n"),
    "a number of many digits behind the point": (SEARCHED, f"{SEARCH}budgets: {{macs: 0.{MANY_DIGITS}e-9}}\n"),
    "a budget that is no number": (SEARCHED, document(SEARCH, budgets={"macs": float("nan")})),
    "a budget without an end": (SEARCHED, document(SEARCH, budgets={"macs": float("inf")})),
    "an escape in a name of a sampler": (SEARCHED, document(SEARCH, sampler=ESC)),
    "an escape in a key": (SEARCHED, document(SEARCH, **{ESC: 1})),
    "an escape in a path of data": (SEARCHED, document(SEARCH, data=ESC)),
    "an escape of eight bits": (SEARCHED, document(SEARCH, sampler="\x9b31m")),
    "text that turns its direction": (SEARCHED, document(SEARCH, sampler="\u202egnilpmas")),
    "a sampler of 5,000 letters": (SEARCHED, document(SEARCH, sampler="x" * 5_000)),
    "markup in a sampler's name": (SEARCHED, document(SEARCH, sampler="[red]x[/]")),
    "a cost that runs a command": (SEARCHED, document(SEARCH, costs={"mine": "os:system('mkdir ran')"})),
    "a cost of another module's function": (SEARCHED, document(SEARCH, costs={"mine": "os:mkdir"}, budgets={"mine": 1})),
    "a supernet of a path that leads out": (SEARCHED, document(SEARCH, supernet="../../../etc/passwd")),
    "a study in a file that is none": (SEARCHED, document(SEARCH, storage="file:///etc/passwd")),
    "an object of Python in a supernet": (SHOWN, supernet_of() + "code: !!python/object/apply:os.mkdir [ran]\n"),
    "a supernet called ..": (SHOWN, supernet_of(name="..")),
    "a supernet called as a path": (SHOWN, supernet_of(name="../../evil")),
    "a supernet called as a whole path": (SHOWN, supernet_of(name="/tmp/evil")),
    "a supernet with a hidden name": (SHOWN, supernet_of(name=".bashrc")),
    "a supernet of two lines": (SHOWN, supernet_of(name="a\nb")),
    "a supernet without a name": (SHOWN, supernet_of(name="")),
    "a supernet of 300 letters": (SHOWN, supernet_of(name="n" * 300)),
    "a supernet of an escape": (SHOWN, supernet_of(name=ESC)),
    "a class with an escape": (SHOWN, with_classes("cat", ESC)),
    "a class of two lines": (SHOWN, with_classes("cat", "d\nog")),
    "a class that goes back": (SHOWN, with_classes("cat", "d\rog")),
    "a class that turns its direction": (SHOWN, with_classes("cat", "d\u202eog")),
    "a family that is a module's function": (SHOWN, supernet_of(family="os:system")),
    "a device with an escape": (("device", "FILE.yaml"), document(shipped("devices", "host"), name=ESC)),
    "a device in a list": (("device", "FILE.yaml"), "- 1\n"),
    "a deployment with an escape": (("carbon", "--deployment", "FILE.yaml"), document("{requests_per_day: 1, life_days: 1, inference: {mj: 1}}", region=ESC)),
    "a recipe with an escape": (("train", "FILE.yaml", "--out", "out"), shipped("training", "fmnist_mbv3", supernet=ESC)),
    "a portfolio with an escape": (("fleet", "FILE.yaml", "--out", "out"), document("{supernet: fmnist_mbv3}", devices=[ESC])),
    # JSON
    "a net.config with an escape": (COSTED, json.dumps(NET | {"name": ESC})),
    "a net.config of a million channels and more": (COSTED, json.dumps(NET).replace('"out_channels": 8', '"out_channels": 1e30')),
    "a net.config of NaN": (COSTED, json.dumps(NET).replace("2.5", "NaN")),
    "a Python dict with an escape": (COSTED, repr({"ks": 3, "e": 3, "d": 2, ESC: 1})),
    "a Python dict with a number of many digits": (COSTED, f"{{'ks': {MANY_DIGITS}, 'e': 3, 'd': 2, 'r': 32}}"),
    "a Python dict of sets and bytes": (COSTED, "{'ks': {3}, 'e': b'3', 'd': 2j, 'r': ...}"),
    "a Python dict that calls a function": (COSTED, f"{{'ks': __import__('os').mkdir('{RAN}'), 'e': 3, 'd': 2}}"),
    "a Python dict without measure": (COSTED, "{'ks': [" + "3," * 600_000 + "]}"),
    "a Python dict of many levels": (COSTED, "{'ks': " + "[" * 500 + "]" * 500 + "}"),
    "an arch with an escape": (COSTED, json.dumps({"space": ESC, "choices": {}})),
    "a BOM and nothing": (COSTED, b"\xef\xbb\xbf"),
    "an archive's manifest that is a list": (("profile", "import", "FILE.json"), "[]"),
    # bundles
    "a card that lists a file outside": (("verify", "bundle"), json.dumps(CARD | {"files": CARD["files"] | {"../../etc/passwd": "0"}})),
    "a card with an escape in a class": (("verify", "bundle"), json.dumps(CARD | {"classes": ["bag", ESC]})),
    "a card of a later version": (("verify", "bundle"), json.dumps(CARD | {"format": "oncefit bundle 999"})),
    "a card in which classes end the hash": (("verify", "bundle"), json.dumps(CARD | {"classes": ['"card_sha256": "' + "0" * 64]})),
    "a card that is a bomb": (("verify", "bundle"), gzip.compress(bytes(10**7))),
    # CSV
    "rows without an end of line": (TRAINED_PREDICTOR, "x" * 300_000),
    "a cell of 200,000 letters": (TRAINED_PREDICTOR, f'{COLUMNS}\n"{"x" * 200_000}",75\n'),
    "a NUL in a CSV": (TRAINED_PREDICTOR, b"Sub-network,Top-1 Acc (%)\n\0,75\n"),
    "a CSV in UTF-16": (TRAINED_PREDICTOR, f"{COLUMNS}\n".encode("utf-16")),
    "an escape in a cell": (TRAINED_PREDICTOR, f"{COLUMNS}\n{ESC},75\n"),
    "an escape in a heading": (TRAINED_PREDICTOR, f"{ESC},x\n1,2\n"),
    "a formula for a subnet": (TRAINED_PREDICTOR, f"{COLUMNS}\n=cmd|' /C calc'!A0,75\n"),
    "an accuracy that is no number": (TRAINED_PREDICTOR, f"{COLUMNS}\n\"{{'ks':3,'e':3,'d':2,'r':160}}\",nan\n"),
    "an open quote": (TRAINED_PREDICTOR, f'{COLUMNS}\n"a,75\n'),
    "latencies of text": (LATENCIES, "arch,phone\n{},fast\n"),
    "latencies without rows": (LATENCIES, "arch,phone\n"),
    "hours of a grid with an escape": (("carbon", "--intensity", "FILE.csv", "--hours", "1"), f"hour,grams_per_kwh\n{ESC},5\n"),
    "hours of a grid with a cell without an end": (("carbon", "--intensity", "FILE.csv", "--hours", "1"), f"hour,grams_per_kwh\n{'1' * 200_000},5\n"),
    "hours of a grid that are infinite": (("carbon", "--intensity", "FILE.csv", "--hours", "1"), "hour,grams_per_kwh\n0,inf\n"),
    # checkpoints
    "a pickle that runs code": (WEIGHTS, pickled()),
    "a checkpoint of torch that runs code": (WEIGHTS, pickled(torch_saved)),
    "a checkpoint with an escape in a name": (WEIGHTS, torch_saved({ESC: torch.zeros(1)})),
    "a checkpoint of NaN": (WEIGHTS, torch_saved({"x": torch.full((2,), float("nan"))})),
    "a ZIP that is no checkpoint": (WEIGHTS, zipped(a=b"1")),
    "a header of many bytes": (WEIGHTS, struct.pack("<Q", 2**62) + b"{"),
    "a header behind the end": (WEIGHTS, safetensors(tensor([2**40], [0, 2**42]))),
    "a tensor of other bytes than its shape": (WEIGHTS, safetensors(tensor([2], [0, 4]), bytes(4))),
    "a tensor of a negative shape": (WEIGHTS, safetensors(tensor([-1], [0, 4]), bytes(4))),
    "a tensor of an unknown type": (WEIGHTS, safetensors(tensor([1], [0, 4], ESC), bytes(4))),
    "two tensors over one another": (WEIGHTS, safetensors(tensor([1], [0, 4]) | {"y": tensor([1], [0, 4])["x"]}, bytes(4))),
    "a header that is no JSON": (WEIGHTS, safetensors(b"{" * 200)),
    "a safetensors file of no bytes more": (WEIGHTS, b""),
    "a predictor that is a checkpoint": (("predictor", "info", "FILE.safetensors"), pickled(torch_saved)),
    # archives of images
    "an archive with a name that leads out": (SPLIT, zipped(**{"../../cat/1.png": b"x"})),
    "an archive with a whole path": (SPLIT, zipped(**{"/cat/1.png": b"x"})),
    "an archive with an escape in a name": (SPLIT, zipped(**{f"{ESC}/1.png": png(1, 1), "b/1.png": png(1, 1)})),
    "an archive with a backslash": (SPLIT, zipped(**{"..\\..\\1.png": b"x"})),
    "an archive with a link": (SPLIT, tarred("cat/1.png", tarfile.SYMTYPE, "/etc/passwd")),
    "an archive with a hard link": (SPLIT, tarred("cat/1.png", tarfile.LNKTYPE, "/etc/passwd")),
    "an archive with a device": (SPLIT, tarred("cat/1.png", tarfile.CHRTYPE)),
    "an archive that says it is small": (SPLIT, understated(zipped(**{"cat/1.png": bytes(10**6)}))),
    "an archive that is empty": (SPLIT, zipped()),
    "an archive in an archive": (SPLIT, zipped(**{"a.zip": zipped(**{"cat/1.png": b"x"})})),
    "an archive that was cut": (SPLIT, zipped(**{"cat/1.png": png(9, 9)})[:60]),
    "a class folder that turns its direction": (SPLIT, zipped(**{"\u202ea/1.png": png(1, 1), "b/1.png": png(1, 1)})),
    # what has no end, or is no file
    "arrays that are pickles": (("data", "check", "."), b"\x93NUMPY\x01\x00" + pickle.dumps(Harmful())),
}  # fmt: skip


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands run in; what they keep is below ``cache``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def placed(command: tuple[str, ...], content: bytes | str) -> list[str]:
    """The command on a file with the content, which is where the command has ``FILE``, or in a bundle."""
    data = content.encode() if isinstance(content, str) else content
    if command[0] == "verify":
        from supernet.bundles.bundle_card import ZEROS, hash_entry

        zeros = hash_entry(ZEROS).encode()
        data = data.replace(zeros, hash_entry(sha256_of(data)).encode())
    named = next((part for part in command if part.startswith("FILE")), None)
    file = Path(
        named.replace("FILE", "given")
        if named
        else "bundle/card.json"
        if command[0] == "verify"
        else "train.npz"
    )
    if "bare.yaml" in command:
        bare = yaml.safe_load(shipped("supernets", "fmnist_mbv3"))
        Path("bare.yaml").write_text(
            yaml.safe_dump(
                {k: v for k, v in bare.items() if k not in ("weights", "data", "also")} | {"name": "bare"}
            )
        )
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    return [part.replace("FILE", "given") for part in command]


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_refused(name: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = placed(*CASES[name])
    before = held_below(empty)
    code, said = ended(capsys, arguments)
    assert code == 2, said
    assert {one for one in held_below(empty) - before if not one[0].endswith(".lock")} == set()
    assert not Path(RAN).exists(), "nothing of it was run"


LEGAL: Mapping[str, Case] = {
    "a pickle that would run code, whose sizes alone are told": (SIZED, pickled(torch_saved)),
    "a search with a mark of UTF-8": (("cost", "FILE.json", "--image-size", "32"), b"\xef\xbb\xbf" + json.dumps(NET).encode()),
    "a supernet with markup in its name": (SHOWN, supernet_of(name="<b>[red]x[b] $frac{$ 'q' \"q\" &amp; :smile:")),
    "classes with markup": (SHOWN, with_classes("<script>alert(1)</script>", "[/red]", "=1+1", "名 👩‍💻", "'; DROP TABLE trials; --", *"defgh")),
}  # fmt: skip


@pytest.mark.parametrize("name", LEGAL)
def test_a_file_is_read(name: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = ended(capsys, placed(*LEGAL[name]))
    assert code == 0, said
    assert not Path(RAN).exists(), "nothing of it was run"


@pytest.mark.parametrize(
    "command",
    ["cost /dev/zero", "verify zero", "predictor train mine zero.csv --supernet ofa_mbv3_w1.0", "weights import ofa_resnet50 /dev/zero",
     "profile mine --from-csv zero.csv --supernet ofa_mbv3_w1.0", "carbon --intensity zero.csv --hours 1"],
)  # fmt: skip
def test_a_device_without_an_end(command: str, empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("zero").mkdir()
    for link in ("zero.csv", "zero/card.json"):
        Path(link).symlink_to("/dev/zero")
    code, said = ended(capsys, command.split())
    assert code == 2, said


@pytest.mark.parametrize("out", ["file", "link", "file/below"])
def test_an_output_that_is_something_else_already(
    out: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file").write_text("mine")
    Path("link").symlink_to("file")
    for command in ("search macs", "supernet new mine --image-size 32 --classes a,b", "profile kit mine"):
        code, _ = ended(capsys, [*command.split(), "--out", out])
        assert code == 2
        assert Path("file").read_text() == "mine"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ONCEFIT_CACHE", "/dev/null/x"),
        ("ONCEFIT_CACHE", "x" * 300),
        ("ONCEFIT_CACHE", ESC),
        ("ONCEFIT_STORAGE", ESC),
        ("ONCEFIT_STORAGE", "file:///etc/passwd"),
        ("ONCEFIT_STORAGE", "sqlite:////no/such/folder/'; DROP TABLE studies; --.db"),
    ],
)
def test_a_variable_of_the_environment(
    variable: str,
    value: str,
    empty: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    Path("rows.csv").write_text("x\n")
    command = {
        "ONCEFIT_CACHE": "weights import ofa_resnet50 rows.csv", "ONCEFIT_STORAGE": "search macs --sampler random",
    }[variable]  # fmt: skip
    assert ended(capsys, command.split())[0] == 2


def test_an_image_that_says_it_is_huge_is_left_out(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And all others that no decoder takes; the sound ones are counted."""
    for part in ("train", "val"):
        for label in "ab":
            Path(part, label).mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (8, 8), (i, 9 * i, len(part))).save(Path(part, label, f"{i}.png"))
    contents = [
        png(65_000, 65_000),
        png(0, 5),
        png(2**31 - 1, 1),
        b"",
        b"\xff\xd8\xff",
        b"<svg onload='alert(1)'/>",
    ]
    for i, content in enumerate(contents):
        Path("train", "a", f"bad{i}.png").write_bytes(content)
    Path("train", "a", "zero.png").symlink_to("/dev/zero")
    code, said = ended(capsys, ["data", "check", "."])
    assert code == 0, "a warning, as of any damaged file"
    assert f"{len(contents) + 1} files of {6 + len(contents) + 1} in train cannot be decoded" in said


def test_a_predictor_says_no_more_than_its_name(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"x": np.zeros(1, np.float32)}, "mine.safetensors", {"card": json.dumps({"name": ESC})})
    assert ended(capsys, ["predictor", "info", "mine.safetensors"])[0] == 2
