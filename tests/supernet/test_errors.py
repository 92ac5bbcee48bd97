"""Messages name what helps, however much there is to name."""

from __future__ import annotations

import pytest

from supernet import documents
from supernet.errors import InputError, some, unknown
from supernet.families.catalog import PreprocessingKeys, open_supernet


def test_a_short_list_is_shown_whole() -> None:
    assert str(unknown("cost", "mac", ["params", "macs"])) == (
        "unknown cost 'mac'. Did you mean 'macs'? Known: macs, params"
    )
    assert str(unknown("cost", "x", [])) == "unknown cost 'x'. Known: none"
    assert some(range(30)) == ", ".join(map(str, range(30)))


def test_of_a_long_list_the_first_their_number_and_the_closest_are_shown() -> None:
    classes = open_supernet("ofa_mbv3_w1.2").classes
    said = str(unknown("class", "hammerhed", classes))
    assert said.startswith("unknown class 'hammerhed'. Did you mean 'hammerhead'")
    assert f"Known: {', '.join(sorted(classes)[:10])}, ... (1,000 in all)" in said
    assert str(unknown("number", "n055", [f"n{i:03d}" for i in range(60, 10, -1)])).count("' or 'n") == 1


def test_of_many_wrong_keys_the_first_are_told() -> None:
    given = {"mean": (0.5,), "std": (0.5,)} | {f"wrong{i}": i for i in range(500)}
    with pytest.raises(InputError) as caught:
        documents.check(given, PreprocessingKeys, "mine.yaml")
    assert str(caught.value).count("unknown key 'wrong") == 10
    assert str(caught.value).endswith("; and 490 more")
