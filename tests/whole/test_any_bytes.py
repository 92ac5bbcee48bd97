"""Whatever a file holds, what reads it gives a value or raises InputError; ``make fuzz`` tries many more."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from supernet.errors import InputError
from tests.helpers.parsers import PARSERS, mixtures

SEEDS = range(12)
KEPT: tuple[tuple[str, bytes], ...] = (
    ("list of files", b"file,label\n" + b"x" * 140_000 + b",cat\n"),
    ("CSV of a grid", b"hour,grams_per_kwh\n" + b"1" * 140_000 + b",5\n"),
)
"""What was found, by the parser that it ended."""


@pytest.mark.parametrize("name", PARSERS)
def test_a_sound_text_is_read(name: str, tmp_path: Path) -> None:
    """But for the result of a kit, which would be long: what is missing of it is told."""
    parser = PARSERS[name]
    path = tmp_path / f"given{parser.suffix}"
    path.write_text(parser.sound)
    if name == "result of a kit":
        with pytest.raises(InputError, match="the key 'finished' is missing"):
            parser.read(path)
    else:
        parser.read(path)


@pytest.mark.parametrize("name", PARSERS)
def test_bytes_that_are_mixed_up(name: str, tmp_path: Path) -> None:
    parser = PARSERS[name]
    path = tmp_path / f"given{parser.suffix}"
    for content in mixtures(parser.sound, SEEDS):
        path.write_bytes(content)
        with suppress(InputError):
            parser.read(path)


@pytest.mark.parametrize(("name", "content"), KEPT, ids=[name for name, _ in KEPT])
def test_what_was_found(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"given{PARSERS[name].suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        PARSERS[name].read(path)
    assert str(path) in str(caught.value)
