"""Ranges: arithmetic of intervals against every corner, and how a document holds them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cost_models.device import Power
from cost_models.ranges import Range, exactly
from supernet import documents
from supernet.errors import InputError

GOOD = {"static_w": 1.9, "pj_per_mac": {"low": 1, "value": 4.6, "high": 9}, "pj_per_byte": 160, "source": "x"}


@pytest.mark.parametrize("sign", [(1, 1), (1, -1), (-1, 1), (-1, -1)])
def test_results_enclose_every_sample_and_touch_the_extremes(sign: tuple[int, int]) -> None:
    ends = [sorted(s * end for end in (0.5, 3.0)) for s in sign]
    a, b = (Range(low=low, value=(low + high) / 2, high=high) for low, high in ends)
    samples = np.array(list(itertools.product(np.linspace(a.low, a.high, 7), np.linspace(b.low, b.high, 7))))
    for found, every in (
        (a + b, samples.sum(1)),
        (a - b, samples[:, 0] - samples[:, 1]),
        (a * b, samples.prod(1)),
    ):
        assert (found.low, found.high) == pytest.approx((every.min(), every.max()))
    assert (a * b).value == pytest.approx(a.value * b.value)


def test_a_number_is_a_range_without_width_and_is_written_as_it_was() -> None:
    power = documents.check(GOOD, Power, "here")
    assert power.static_w == exactly(1.9)
    assert power.model_dump(exclude_none=True) == {
        **GOOD,
        "pj_per_mac": {"low": 1.0, "value": 4.6, "high": 9.0},
    }
    assert documents.check(power.model_dump(), Power, "again") == power


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (-1, "power.yaml: static_w: got .-1.; a figure is finite and not negative"),
        ("much", r"static_w: got .much.; a figure is a number, or \{low: 1.0"),
        (True, "static_w: got .True.; a figure is a number"),
        ({"low": 2, "value": 1, "high": 3}, "a range has low <= value <= high, not 2, 1, 3"),
        ({"low": -2, "value": 1, "high": 3}, "a figure is not negative, and so is its low"),
        ({"low": 1, "value": 1, "hihg": 3}, "static_w: unknown key 'hihg'. Did you mean 'high'"),
    ],
)
def test_a_wrong_figure_is_told_once(wrong: object, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        documents.check({**GOOD, "static_w": wrong}, Power, "power.yaml")
    assert str(error.value).count("power.yaml") <= 2
