"""``torch.export``'s archive, which torch runs without the network's code, and compiles ahead of time.

What is in an archive may be a pickle, and expressions of sizes are evaluated as Python when it is loaded: what is
read here is looked at first, since a bundle may be somebody else's.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from supernet.archive_errors import ARCHIVE_ERRORS
from supernet.errors import InputError
from supernet.formats.protocol import ExportFormat, Opened, Reading, ToWrite
from supernet.formats.torch_module import opened_module

MODEL_PT2 = "model.pt2"
EXPRESSIONS = ("expr_str", "val", "min_val", "max_val")
PLAIN_SIZE = re.compile(r"-?\w+|Symbol\('[su]\d+'(, \w+=(True|False))*\)")
NAME_KEYS = ("name", "as_name")
PLAIN_NAME = re.compile(r"\w*(\.\w+)*")
"""Of a value or an argument: Python is written with it."""
OPERATION = re.compile(
    r"torch\.ops\.aten\.\w+\.\w+|_operator\.(getitem|add|sub|mul|floordiv|mod|eq|ne|ge|le|gt|lt)"
)
"""What a node may call; torch would take any function of Python that can be reached from its own modules."""
KNOWN_ENTRY = re.compile(
    r"[^/]+/("
    r"archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|"
    r"data/weights/(weight_\d+|model\.pt|model_weights_config\.json)|"
    r"data/constants/(tensor_\d+|model\.pt|model_constants_config\.json)|"
    r"data/sample_inputs/model\.pt|models/model\.json)"
)
"""What torch writes of a network of ours; others, as compiled libraries and pickled objects, would run when it is loaded."""
LARGEST_JSON = 256 * 2**20


def write_pt2(material: ToWrite, folder: Path) -> None:
    sizes = None if material.batch else ({0: torch.export.Dim("n", min=1)},)
    with torch.no_grad():
        program = torch.export.export(material.subnet, (material.example,), dynamic_shapes=sizes)
    stored = io.BytesIO()  # where a disk is full torch's own writer ends the process
    torch.export.save(program, stored)
    (folder / MODEL_PT2).write_bytes(stored.getvalue())


@contextmanager
def opened_pt2(reading: Reading) -> Iterator[Opened]:
    path = reading.folder / MODEL_PT2
    check_archive(path)
    try:
        net: Any = torch.export.load(path).module()
    except Exception as error:  # its errors have no common base
        raise InputError(f"torch.export cannot load {path}: {error}") from error

    with opened_module(net, reading) as found:
        yield found


def check_archive(path: Path) -> None:
    """Raises InputError for an archive that could run code when it is loaded, and for what is no archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                check_entry(path, entry, archive)
    except (*ARCHIVE_ERRORS, ValueError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no archive of torch.export: {error}") from error


def check_entry(path: Path, entry: zipfile.ZipInfo, archive: zipfile.ZipFile) -> None:
    """A known file of an archive: tensors without pickled code, and JSON without expressions that are more than a size."""
    if not KNOWN_ENTRY.fullmatch(entry.filename):
        raise InputError(
            f"{path} holds {entry.filename}, which is neither tensors nor their description; it is not loaded"
        )
    if entry.filename.endswith((".pt", ".pkl")):
        try:
            torch.load(io.BytesIO(archive.read(entry)), weights_only=True)
        except Exception as error:  # of any kind, for a file that is not tensors alone
            raise InputError(
                f"{path} holds {entry.filename}, which is more than tensors; it is not loaded"
            ) from error
    if entry.filename.endswith(".json"):
        if entry.file_size > LARGEST_JSON:
            raise InputError(f"{path} holds {entry.filename} of {entry.file_size:,} bytes; it is not loaded")
        check_values(json.loads(archive.read(entry)), f"{path}: {entry.filename}")


def check_values(value: Any, where: str) -> None:
    """Raises InputError for a pickled weight, and for whatever torch would run or write Python with: sizes, calls, names."""
    if isinstance(value, list):
        for inner in value:
            check_values(inner, where)
    if not isinstance(value, dict):
        return
    for key, inner in value.items():
        if key == "use_pickle" and inner:
            raise InputError(f"{where} has weights that are pickled; it is not loaded")
        if key in EXPRESSIONS and isinstance(inner, str) and not PLAIN_SIZE.fullmatch(inner):
            raise InputError(
                f"{where} has the size {inner[:80]!r}, which is more than a name; it is not loaded"
            )
        if key == "guards_code" and inner:
            raise InputError(f"{where} has guards, which are Python; it is not loaded")
        if key == "target" and isinstance(inner, str) and not OPERATION.fullmatch(inner):
            raise InputError(
                f"{where} calls {inner[:80]!r}, which is no operation of torch's; it is not loaded"
            )
        if key in NAME_KEYS and isinstance(inner, str) and not PLAIN_NAME.fullmatch(inner):
            raise InputError(f"{where} has the name {inner[:80]!r}, which is none; it is not loaded")
        check_values(inner, where)


FORMAT = ExportFormat(
    "torch-export",
    "torch.export's archive, for torch and AOTInductor",
    MODEL_PT2,
    ("torch",),
    write_pt2,
    opened_pt2,
)
