"""The files of a run that a worker on another machine needs, kept in the study: config, device, predictor.

A value of a study is text, of which some databases keep 64 KB: files are compressed and cut into pieces.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from supernet import atomic
from supernet.errors import InputError

if TYPE_CHECKING:
    import optuna

KEPT_FILES = "files"
"""The attribute of a study that lists its files: sha256 and number of pieces, by name."""
PIECE = 32_000
"""Characters of one piece."""
MOST_BYTES = 256_000_000
"""Of a file, when it is whole_file."""


def publish(study: optuna.Study, files: Mapping[str, Path]) -> None:
    """Keep those of the files that are there; what the study has already is not written again."""
    known = kept_files(study)
    now = dict(known)
    for name, path in files.items():
        if not path.is_file():
            continue
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        if known.get(name, ("", 0))[0] == sha256:
            continue
        text = base64.b64encode(zlib.compress(content, 9)).decode()
        pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
        for place, piece in enumerate(pieces):
            study.set_user_attr(piece_key(name, sha256, place), piece)
        now[name] = (sha256, len(pieces))
    if now != known:  # last, since it says that the pieces are there
        study.set_user_attr(KEPT_FILES, json.dumps(now))


def kept_files(study: optuna.Study) -> dict[str, tuple[str, int]]:
    found = json.loads(study.user_attrs.get(KEPT_FILES, "{}"))
    return {name: (sha256, count) for name, (sha256, count) in found.items()}


def piece_key(name: str, sha256: str, place: int) -> str:
    return f"file:{name}:{sha256[:8]}:{place}"


def unpack_files(study: optuna.Study, folder: Path, names: Iterable[str]) -> None:
    """Write those of the named files that a study has into a folder. Raises InputError where one is damaged."""
    attributes, known = study.user_attrs, kept_files(study)
    for name in known.keys() & set(names):
        sha256, count = known[name]
        text = "".join(str(attributes.get(piece_key(name, sha256, place), "")) for place in range(count))
        with atomic.whole(folder / name) as file:
            file.write_bytes(whole_file(text, sha256, f"the {name} in the study {study.study_name!r}"))


def whole_file(text: str, sha256: str, what: str) -> bytes:
    """Raises InputError for what is not what was kept."""
    try:
        content = zlib.decompressobj().decompress(base64.b64decode(text), MOST_BYTES)
    except (ValueError, zlib.error):
        content = b""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{what} is damaged; join in the run's folder, which has it too: oncefit work RUN")
    return content
