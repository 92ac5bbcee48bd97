"""Every kind of document with every kind of fault: exit code 2 and one paragraph that names the file, never a traceback.

A kind is a sound text and a command that reads it; what the command says of the sound text shows that it was read.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from search.cli.app import main
from supernet.bundles.bundle_card import ZEROS, hash_entry
from supernet.documents import CONFIGS
from supernet.errors import InputError
from supernet.families.catalog import open_supernet
from supernet.parsing import parse_json, parse_yaml
from supernet.weights.checkpoints import sha256_of

SEARCH = """\
supernet: fmnist_mbv3
space: {resolution: [18, 28]}
objectives: [top1]
budgets: {macs: 1.5}
sampler: random
trials: 2
measure: 1
seed: 0
race: false
"""
TABLE = """\
Conv-input:224x224x3-output:112x112x40:
  count: 9
  mean: 4.08
  var: 0.25
Logits-input:7x7x1280-output:1000:
  count: 9
  mean: 0.3
  std: 0.05
"""
CONV = {
    "in_channels": 8,
    "out_channels": 8,
    "kernel_size": 3,
    "stride": 1,
    "use_bn": True,
    "act_func": "relu",
}
STEM = {"name": "ConvLayer", **CONV, "in_channels": 3}
BLOCK = {
    "name": "ResidualBlock",
    "conv": {"name": "MBConvLayer", "in_channels": 8, "out_channels": 8, "kernel_size": 5, "stride": 1,
             "expand_ratio": 2.5, "mid_channels": None, "act_func": "relu", "use_se": False},
    "shortcut": {"name": "IdentityLayer", "in_channels": 8, "out_channels": 8},
}  # fmt: skip
NET = {
    "name": "MobileNetV3", "bn": {"momentum": 0.1, "eps": 1e-5}, "first_conv": STEM, "blocks": [BLOCK],
    "final_expand_layer": {"name": "ConvLayer", **CONV}, "feature_mix_layer": {"name": "ConvLayer", **CONV},
    "classifier": {"name": "LinearLayer", "in_features": 8, "out_features": 10, "bias": True, "dropout_rate": 0.2},
}  # fmt: skip
CARD = {
    "format": "oncefit bundle 3", "created": "2027-01-01T00:00:00+00:00",
    "supernet": {"name": "fmnist_mbv3", "fingerprint": "0", "weights_sha256": "0"},
    "arch_id": "0", "arch": "r28",
    "device": {"name": "host", "threads": 1, "latency_error_percent": 2.5},
    "figures": {"predicted": {"macs": 1.5}, "measured": {}},
    "data": {"name": "fashion_mnist", "sha256": "0", "splits": {"report": 9}},
    "preprocessing": {"resolution": 28, "channels": 1, "stored": 28, "mean": [0.2], "std": [0.3]},
    "classes": ["bag", "shoe"], "input": {"name": "x", "shape": ["n", 1, 28, 28]},
    "output": {"name": "y", "shape": ["n", 2]}, "versions": {"python": "3"},
    "files": {"weights.safetensors": "0", "model.onnx": "0", "arch.json": "0"}, "card_sha256": ZEROS,
}  # fmt: skip
PREDICTOR = {
    "name": "mine", "kind": "none_such", "supernet": "fmnist_mbv3", "fingerprint": "0", "split": "some images",
    "domain": {"resolution": [28]}, "source": "made up",
    "held_out": {"rows": 9, "folds": 3, "rmse_points": 0.5, "largest_error_points": 1.5, "kendall_tau": 0.9,
                 "spearman": 0.9},
}  # fmt: skip
RECORD = {"source": "a file", "date": "2027-01-01", "checkpoint": {"size": 1, "sha256": "a" * 64},
          "weights": {"size": 1, "sha256": "b" * 64}}  # fmt: skip

Put = Callable[[Path, str], tuple[object, ...]]
"""Writes a text into a folder, with what belongs to it, and gives the command that reads it."""


@dataclass(frozen=True)
class Kind:
    """``said`` is what a command says of the sound text, empty where it succeeds; ``free`` are leaves of any type."""

    form: str
    sound: str
    put: Put
    said: str = ""
    free: tuple[str, ...] = ()


def shipped(kind: str, name: str, **changes: object) -> str:
    return yaml.safe_dump({**yaml.safe_load((CONFIGS / kind / f"{name}.yaml").read_text()), **changes})


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def put_search(folder: Path, text: str) -> tuple[object, ...]:
    return "search", written(folder / "doc.yaml", text), "--out", folder / "run"


def put_beside(key: str) -> Put:
    """A document that a search names under a key."""

    def put(folder: Path, text: str) -> tuple[object, ...]:
        keys = yaml.safe_load(SEARCH) | {key: str(written(folder / "doc.yaml", text))}
        return "search", written(folder / "search.yaml", yaml.safe_dump(keys)), "--out", folder / "run"

    return put


def put_labels(folder: Path, text: str) -> tuple[object, ...]:
    network = yaml.safe_load(shipped("supernets", "fmnist_mbv3"))["network"]
    network["classes"] = str(written(folder / "doc.yaml", text))
    return put_beside("supernet")(folder / "supernet", shipped("supernets", "fmnist_mbv3", network=network))


def put_recipe(folder: Path, text: str) -> tuple[object, ...]:
    return "train", written(folder / "doc.yaml", text), "--out", folder / "trained"


def put_run(folder: Path, text: str) -> tuple[object, ...]:
    return "export", written(folder / "config.yaml", text).parent


def put_place(folder: Path, text: str) -> tuple[object, ...]:
    written(folder / "config.yaml", SEARCH)
    return "export", written(folder / "study.yaml", text).parent


def put_table(folder: Path, text: str) -> tuple[object, ...]:
    return "devices", "import", "pixel1", written(folder / "doc.yaml", text)


def put_record(folder: Path, text: str) -> tuple[object, ...]:
    written(folder / "weights" / "ofa_resnet50.yaml", text)
    return "weights", "list", "--cache-dir", folder


def put_net(folder: Path, text: str) -> tuple[object, ...]:
    return "cost", written(folder / "net.config", text), "--image-size", 32


def put_run_config(folder: Path, text: str) -> tuple[object, ...]:
    written(folder / "run.config", text)
    return "cost", written(folder / "net.config", json.dumps(NET))


def put_arch(folder: Path, text: str) -> tuple[object, ...]:
    return "cost", written(folder / "arch.json", text)


def put_card(folder: Path, text: str) -> tuple[object, ...]:
    """With its own hash, as someone would who means it."""
    entry = hash_entry(ZEROS)
    written(folder / "card.json", text.replace(entry, hash_entry(sha256_of(text.encode()))))
    return "verify", folder


def put_predictor(folder: Path, text: str) -> tuple[object, ...]:
    folder.mkdir(exist_ok=True)
    save_file({"x": np.zeros(1, np.float32)}, folder / "mine.safetensors", {"card": text})
    return "predictor", "info", folder / "mine.safetensors"


NO_SUBNET = "budget macs <= 1.5: no subnet"
KINDS = {
    "search": Kind("yaml", SEARCH, put_search, NO_SUBNET),
    "supernet": Kind("yaml", shipped("supernets", "fmnist_mbv3"), put_beside("supernet"), NO_SUBNET),
    "labels": Kind("yaml", "names: [a, b, c]\n", put_labels, NO_SUBNET),
    "device": Kind("yaml", shipped("devices", "host"), put_beside("device"), NO_SUBNET),
    "recipe": Kind("yaml", shipped("training", "fmnist_mbv3", supernet="nobodys"), put_recipe, "unknown supernet"),
    "config of a run": Kind("yaml", SEARCH, put_run, "has no study yet"),
    "place of a study": Kind("yaml", "name: mine\n", put_place, "has no study.db"),
    "latency table": Kind("yaml", TABLE, put_table, "do not cover ofa_mbv3_w1.2"),
    "record of weights": Kind("yaml", yaml.safe_dump(RECORD), put_record),
    "net.config": Kind("json", json.dumps(NET), put_net),
    "run.config": Kind("json", '{"image_size": 32}', put_run_config),
    "arch": Kind("json", open_supernet("fmnist_mbv3").space.middle().to_json(), put_arch),
    "card": Kind("json", json.dumps(CARD, indent=1), put_card, "cannot read", ("input.shape", "output.shape")),
    "predictor's card": Kind("json", json.dumps(PREDICTOR), put_predictor, "unknown kind of predictor", ("domain",)),
}  # fmt: skip

LAUGHS = "l0: &l0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
BLOCKS = "extra:\n" + "".join(f"{' ' * i}k:\n" for i in range(1, 3_000))
YAML_FAULTS = {
    "aliases that multiply": (LAUGHS, r"aliases stand for more than 10,000 values"),
    "a thousand aliases of a thousand": (
        f"big: &big [{'x, ' * 1000}]\nall: [{'*big, ' * 1000}]\n", r"aliases stand for more than 10,000 values"
    ),
    "an alias within itself": ("extra: &a [1, *a]\n", r"\*a would hold itself"),
    "deep lists": ("extra: " + "[" * 5_000 + "\n", r"on more than 64 levels"),
    "deep mappings": ("extra: " + "{a: " * 5_000 + "\n", r"on more than 64 levels"),
    "deep blocks": (BLOCKS, r"on more than 64 levels"),
    "deep dashes": ("extra:\n " + "- " * 5_000 + "1\n", r"on more than 64 levels"),
    "an integer of 5,000 digits": (f"extra: {'7' * 5_000}\n", r"\(5,000 characters\) is too large for a whole number"),
    "an integer of 65 bits": (f"extra: {2**64}\n", r"18446744073709551616' is too large for a whole number"),
    "text that is said to be an integer": ("extra: !!int many\n", r"'many' cannot be read as int"),
    "a date that does not exist": ("extra: 2024-02-30\n", r"extra"),
    "a date by its tag": ("extra: !!timestamp 2024-02-30\n", r"could not determine a constructor"),
    "an object of Python": ("extra: !!python/object/apply:os.getcwd []\n", r"could not determine a constructor"),
    "a list as a key": ("? [1, 2]\n: 3\n", r"unhashable key"),
    "NUL in text": ('extra: "a\\0b"\n', r"holds a character that no text may hold"),
    "NUL in text, written long": ('extra: "a\\U00000000b"\n', r"holds a character that no text may hold"),
    "an escape for a terminal": ('extra: "\\e[2J"\n', r"'\\x1b\[2J' holds a character that no text may hold"),
    "an escape of eight bits in a key": ('"\\x9b": 1\n', r"holds a character that no text may hold"),
    "an end in the middle": ("extra: [1, 2\n", r"is not valid YAML: .*line"),
    "an alias of nothing": ("extra: *nothing\n", r"is not valid YAML: .*undefined alias"),
    "a key that YAML takes for a number": ("7: 8\n", r"7"),
}  # fmt: skip
JSON_FAULTS = {
    "deep lists": ("[" * 50_000, r"on more than 64 levels"),
    "deep objects": ('{"a": ' * 50_000, r"on more than 64 levels"),
    "deep lists that are closed": ("[" * 900 + "]" * 900, r"on more than 64 levels"),
    "an integer of 5,000 digits": ("7" * 5_000, r"\(5,000 characters\) is too large for a whole number"),
    "an integer of 65 bits": (str(2**64), r"18446744073709551616' is too large for a whole number"),
    "NaN": ("NaN", r"NaN is no number in JSON"),
    "Infinity": ("-Infinity", r"-Infinity is no number in JSON"),
    "NUL in text": (r'"a\u0000b"', r"holds a character that no text may hold"),
    "an escape for a terminal": (r'"\u001b[2J"', r"'\\x1b\[2J' holds a character that no text may hold"),
    "a raw control character of eight bits": ('"\x9b2J"', r"holds a character that no text may hold"),
    "half a surrogate pair": (r'"\ud800"', r"holds a character that no text may hold"),
    "a key twice within": ('{"a": 1,\n"a": 2}', r"the key 'a' is given twice, in lines \d+ and \d+"),
    "a key twice, once escaped": (r'{"a": 1, "\u0061": 2}', r"the key 'a' is given twice"),
}
WHOLE = {
    "yaml": {b"": "must hold keys", b"\xff\xfe": "is not valid YAML", b"- a\n": "must hold keys", b"text": "must hold keys",
             b"\0": "is not valid YAML", b"a:\n\t- b": "is not valid YAML", b"--- {}\n--- {}\n": "is not valid YAML"},
    "json": {b"": "is not JSON", b"\xff\xfe": "is not valid JSON", b"[1]": "must hold an object", b"{": "is not JSON",
             b"name: mine": "is not JSON", b"{} {}": "is not JSON", b"\0": "is not JSON"},
}  # fmt: skip
FAULTS = [
    pytest.param(kind, fault, id=f"{kind}: {fault}")
    for kind, found in KINDS.items()
    for fault in (YAML_FAULTS if found.form == "yaml" else JSON_FAULTS)
]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ONCEFIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The exit code of a command and what it says on standard error, which is one paragraph where the code is 2."""

    def run(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(list(map(str, arguments)))
        message = capsys.readouterr().err
        assert end.value.code in (0, 2), message
        if end.value.code == 2:
            assert message.startswith("oncefit: ")
            assert message.count("\n") == 1
            assert len(message) < 2_000
        return int(end.value.code), message

    return run


def is_sound(kind: Kind, found: tuple[int, str]) -> bool:
    return found[0] == 0 if not kind.said else kind.said in found[1]


@pytest.mark.parametrize("name", KINDS)
def test_a_sound_document_is_read(name: str, tmp_path: Path, said) -> None:
    kind = KINDS[name]
    assert is_sound(kind, said(*kind.put(tmp_path, kind.sound)))


@pytest.mark.parametrize(("name", "fault"), FAULTS)
def test_a_fault_within(name: str, fault: str, tmp_path: Path, said) -> None:
    kind = KINDS[name]
    if kind.form == "yaml":
        inserted, message = YAML_FAULTS[fault]
        text = kind.sound + inserted
    else:
        inserted, message = JSON_FAULTS[fault]
        text = f'{{"extra": {inserted}, {kind.sound[1:]}'
    code, told = said(*kind.put(tmp_path, text))
    assert code == 2
    assert re.search(message, told)
    assert str(tmp_path) in told, "the file is named"


@pytest.mark.parametrize("name", KINDS)
def test_a_key_given_twice_is_told_with_its_lines(name: str, tmp_path: Path, said) -> None:
    kind = KINDS[name]
    key = next(iter(yaml.safe_load(kind.sound)))
    if kind.form == "yaml":
        text, lines = f"{kind.sound}{key}: other\n", f"in lines 1 and {kind.sound.count(chr(10)) + 1}"
    else:
        text = f'{{"{key}":\n"other",\n{kind.sound[1:]}'
        lines = f"in lines 1 and {3 + kind.sound[: kind.sound.index(key)].count(chr(10))}"
    code, told = said(*kind.put(tmp_path, text))
    assert code == 2
    assert f"the key {key!r} is given twice, {lines}" in told


@pytest.mark.parametrize("name", [name for name in KINDS if name not in ("card", "predictor's card")])
def test_what_is_no_document_at_all(name: str, tmp_path: Path, said) -> None:
    kind = KINDS[name]
    arguments = kind.put(tmp_path, kind.sound)
    [file] = [path for path in tmp_path.rglob("*") if path.is_file() and path.read_text() == kind.sound]
    for content, message in WHOLE[kind.form].items():
        file.write_bytes(content)
        code, told = said(*arguments)
        assert code == 2, content
        assert message in told, content
        assert str(file) in told


@pytest.mark.parametrize(
    ("kind", "place"),
    [("card", "classes.1"), ("card", "supernet.name"), ("card", "device.name"), ("predictor's card", "name")],
)
@pytest.mark.parametrize("name", ["two\nlines", "a\ttab", "two\u2028lines"])
def test_a_name_is_one_line(kind: str, place: str, name: str, tmp_path: Path, said) -> None:
    document = json.loads(KINDS[kind].sound)
    *path, last = (int(key) if key.isdigit() else key for key in place.split("."))
    of = document
    for key in path:
        of = of[key]
    of[last] = name
    text = json.dumps(document, indent=1 if kind == "card" else None)
    code, told = said(*KINDS[kind].put(tmp_path, text))
    assert code == 2
    assert "a name is one line, without control characters" in told


# -- values --------------------------------------------------------------------

INFINITE, HUGE = float("inf"), 10**30
WRONG: dict[type, list[object]] = {
    bool: [1, 0, 1.0, "true", "yes", [], {}],
    int: [True, "3", INFINITE, float("nan"), HUGE, -1.5, [], {}],
    float: [True, "3", INFINITE, float("nan"), HUGE, [], {}],
    str: [True, 7, 1.5, [], {}],
}


def leaves(
    value: object, place: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """The values in a document that are no lists or mappings, with where they are; of a list, the first."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*place, key))
    elif isinstance(value, list):
        yield from leaves(value[0], (*place, 0)) if value else ()
    else:
        yield place, value


def replaced(document: Any, place: tuple[str | int, ...], value: object) -> Any:
    made = copy.deepcopy(document)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return made


def as_text(document: object, form: str) -> str:
    if form == "yaml":
        return yaml.safe_dump(document, sort_keys=False)
    # in JSON infinity is written as a number that is too large, and NaN not at all
    return json.dumps(document, indent=1).replace("Infinity", "1e999")


@pytest.mark.parametrize("name", KINDS)
def test_no_value_is_taken_for_one_of_another_type(name: str, tmp_path: Path, said) -> None:
    kind = KINDS[name]
    document = (yaml.safe_load if kind.form == "yaml" else json.loads)(kind.sound)
    for place, value in leaves(document):
        if value is None or (kind.free and ".".join(map(str, place)).startswith(kind.free)):
            continue
        for wrong in WRONG[type(value)]:
            text = as_text(replaced(document, place, wrong), kind.form)
            code, told = said(*kind.put(tmp_path, text))
            assert code == 2, (place, wrong)
            assert not is_sound(kind, (code, told)), (place, wrong, told)


def test_numbers_that_yaml_has_in_several_forms_are_numbers(tmp_path: Path) -> None:
    for text, value in {
        "1e3": 1e3,
        "1E3": 1e3,
        "1.5e+3": 1.5e3,
        "-2e-1": -0.2,
        ".5": 0.5,
        "1_000": 1000,
        "7": 7,
    }.items():
        found = parse_yaml(f"a: {text}", "text")
        assert found == {"a": value}
        assert type(found["a"]) is type(value)
    for text in ("2024-01-01", "12e45x", "'1e3'", "e3", "1e", "0x"):
        assert parse_yaml(f"a: {text}", "text") == {"a": text.strip("'")}


def test_a_merge_may_give_a_key_again_and_aliases_may_be_used(tmp_path: Path) -> None:
    text = "base: &base {x: 1, y: 2}\nmore: {<<: *base, x: 3}\nlist: [*base, *base]\n"
    base = {"x": 1, "y": 2}
    assert parse_yaml(text, "text") == {"base": base, "more": {"x": 3, "y": 2}, "list": [base, base]}


LIMITED = """
import resource, sys
from supernet.errors import InputError
from supernet.parsing import parse_json, parse_yaml
resource.setrlimit(resource.RLIMIT_DATA, (512 * 2**20,) * 2)
resource.setrlimit(resource.RLIMIT_STACK, (2 * 2**20,) * 2)
parse = {"yaml": parse_yaml, "json": parse_json}[sys.argv[1]]
try:
    parse(sys.stdin.read(), "text")
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("yaml", LAUGHS),
        ("yaml", "[" * 2_000_000),
        ("yaml", "- " * 1_000_000),
        ("yaml", "{a: " * 1_000_000),
        ("yaml", "7" * 2_000_000),
        ("json", "[" * 5_000_000),
        ("json", '{"a":' * 1_000_000),
        ("json", "7" * 5_000_000),
    ],
    ids=lambda value: value[:12] if len(value) > 4 else value,
)
def test_refusing_needs_neither_memory_nor_a_deep_stack(form: str, text: str) -> None:
    """In a process of half a gibibyte and two mebibytes of stack, which a parser that recurses would overflow."""
    found = subprocess.run(
        [sys.executable, "-c", LIMITED, form], input=text, capture_output=True, text=True, check=True
    )
    assert re.search("aliases stand for|more than 64 levels|too large", found.stdout)


@pytest.mark.parametrize("seed", range(200))
def test_a_document_that_is_cut_and_mixed_up_is_read_or_refused(seed: int) -> None:
    """Bytes of a sound text, removed, doubled and exchanged: a value or an InputError, nothing else."""
    rng = np.random.default_rng(seed)
    for kind in KINDS.values():
        content = bytearray(kind.sound.encode())
        for _ in range(rng.integers(1, 8)):
            start, length = int(rng.integers(len(content))), int(rng.integers(1, 20))
            piece = content[start : start + length]
            match rng.integers(3):
                case 0:
                    del content[start : start + length]
                case 1:
                    content[start:start] = piece * int(rng.integers(1, 4))
                case _:
                    content[start : start + 1] = bytes([rng.choice(list(b"{}[]:,&*!|>'\"%@`#-?\n\t 0eE.\\"))])
            content = content or bytearray(b" ")
        parse = parse_yaml if kind.form == "yaml" else parse_json
        with contextlib.suppress(InputError):
            parse(content.decode(errors="replace"), "text")
