"""Archives that Python's module cannot open or unpack are wrong input for whoever reads one, and no crash."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cost_models.kit.measure import MANIFEST
from cost_models.kit.result import seal_in
from supernet.errors import InputError
from supernet.formats.torch_export import check_archive
from supernet.images.image_archives import unpack_images
from supernet.images.layouts.array_part import read_arrays
from supernet.sizes.registry import read_model_file

CENTRAL = b"PK\x01\x02"
LOCAL = b"PK\x03\x04"


def written(file: Path, entry: str) -> Path:
    if file.suffix == ".npz":
        np.savez_compressed(file, images=np.zeros((2, 4, 4), np.uint8), labels=np.zeros(2, np.int64))
        return file
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(entry, b'{"schema_version": 1}' * 40)
    return file


def of_a_later_version(content: bytearray) -> None:
    struct.pack_into("<H", content, content.index(CENTRAL) + 6, 128)


def of_an_unknown_method(content: bytearray) -> None:
    struct.pack_into("<H", content, content.index(CENTRAL) + 10, 97)


def encrypted(content: bytearray) -> None:
    for header, at in ((CENTRAL, 8), (LOCAL, 6)):
        struct.pack_into("<H", content, content.index(header) + at, 1)


def with_other_bytes(content: bytearray) -> None:
    start = 30 + sum(struct.unpack_from("<HH", content, 26))  # behind the name and the extra field
    content[start : start + 8] = b"\xff" * 8


def without_a_name_in_utf8(content: bytearray) -> None:
    at = content.index(CENTRAL)
    struct.pack_into("<H", content, at + 8, 1 << 11)
    content[at + 46] = 0xFF


def unpacked(file: Path) -> object:
    return unpack_images(file, file.parent / "images")


@pytest.mark.parametrize(
    "damage",
    [of_a_later_version, of_an_unknown_method, encrypted, with_other_bytes, without_a_name_in_utf8],
)
@pytest.mark.parametrize(
    ("read", "name", "entry", "told"),
    [
        (check_archive, "model.pt2", "model/models/model.json", "is no archive of torch.export"),
        (seal_in, "kit.zip", MANIFEST, "is no kit"),
        (read_arrays, "train.npz", "", "as arrays|is refused"),
        (unpacked, "photos.zip", "cat/1.png", "cannot be unpacked"),
    ],
)
def test_no_archive_ends_a_reader_with_another_error(
    read: Callable[[Path], object],
    name: str,
    entry: str,
    told: str,
    damage: Callable[[bytearray], None],
    tmp_path: Path,
) -> None:
    file = written(tmp_path / name, entry)
    content = bytearray(file.read_bytes())
    damage(content)
    file.write_bytes(content)
    with pytest.raises(InputError, match=told) as caught:
        read(file)
    assert name in str(caught.value)


@pytest.mark.parametrize("damage", [of_a_later_version, without_a_name_in_utf8])
def test_nor_the_reader_of_sizes(damage: Callable[[bytearray], None], tmp_path: Path) -> None:
    file = tmp_path / "weights.npz"
    np.savez(file, a=np.zeros(4))
    content = bytearray(file.read_bytes())
    damage(content)
    (tmp_path / "model.pt2").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pt2"):
        read_model_file(tmp_path / "model.pt2")
