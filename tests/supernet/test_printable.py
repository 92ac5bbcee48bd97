"""Texts of somebody else's as they are shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supernet.errors import InputError
from supernet.printable import check_names, printable

KEPT = "\t\n"


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text(st.characters(categories=None), max_size=30))
def test_whatever_is_shown_has_nothing_that_unicode_calls_a_control(text: str) -> None:
    shown = printable(text)
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Cs") and c not in KEPT]
    assert not [
        c
        for c in shown
        if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    ]
    assert printable(shown) == shown
    if not any(
        unicodedata.category(c) in ("Cc", "Cs") or unicodedata.bidirectional(c)[-1:] in "EOIF" for c in text
    ):
        assert shown == text


def test_an_escape_is_told_as_it_is_typed() -> None:
    assert printable("\x1b[31m a\tb\nc é 名 \r \x9b \u202e \udcff") == (
        "\\x1b[31m a\tb\nc é 名 \\r \\x9b \\u202e \\udcff"
    )


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "\u2028", "\x1b", "\x85", "\u202e"])
def test_a_name_is_a_line(name: str) -> None:
    with pytest.raises(InputError, match=r"classes with characters that no text may hold: '.*\\"):
        check_names(["cat", name], "classes")
