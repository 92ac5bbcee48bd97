"""Areas under fronts against another library, and reference points: which there may be, and what they change."""

from __future__ import annotations

import moocore
import numpy as np
import pytest

from search.problem.objectives import Objective
from search.reports.comparing.front_area import area_weights, orders, parse_reference, reference_point
from search.reports.comparing.verdict_words import depends, order_told
from search.runs.front import Points, beyond_worst, coverage
from supernet.errors import InputError

AXES = (Objective("top1"), Objective("macs"))


def drawn(rng: np.random.Generator, count: int = 30) -> Points:
    """A front, signed, in any order."""
    some = np.column_stack([-rng.uniform(0.8, 0.95, count), rng.uniform(1e6, 6e6, count)])
    found: Points = some[moocore.is_nondominated(some)]
    return found


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_an_area_is_the_hypervolume_where_both_splits_agree(share: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        fronts = [drawn(rng), drawn(rng)]
        for one, covered in zip(fronts, coverage(fronts, beyond_worst(fronts, share)), strict=True):
            weights, less = area_weights(one, covered)
            assert weights @ -one[:, 0] - less == pytest.approx(covered.hypervolume)
            box = (covered.reference[0] - covered.ideal[0]) * (covered.reference[1] - covered.ideal[1])
            assert covered.hypervolume == pytest.approx(moocore.hypervolume(one, ref=covered.reference) / box)


def test_what_the_reference_is_better_than_adds_nothing() -> None:
    front = np.array([[-0.8, 1.0], [-0.9, 2.0], [-0.95, 5.0]])
    [covered] = coverage([front], (-0.85, 4.0))
    weights, less = area_weights(front, covered)
    assert (weights > 0).tolist() == [False, True, False]
    assert weights @ -front[:, 0] - less == pytest.approx(covered.hypervolume)


def test_a_reference_is_a_percentage_or_values() -> None:
    fronts = [np.array([[-0.8, 1e6], [-0.9, 3e6]])]
    assert reference_point(None, fronts, AXES) == pytest.approx((-0.799, 3.02e6))
    assert reference_point(parse_reference("10%"), fronts, AXES) == pytest.approx((-0.79, 3.2e6))
    assert reference_point(parse_reference("macs=4e6"), fronts, AXES) == pytest.approx((-0.799, 4e6))
    assert reference_point(parse_reference("macs=4e6, top1=0.5"), fronts, AXES) == pytest.approx((-0.5, 4e6))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "is no reference point"), ("macs", "is no reference point"), ("macs=much", "is no reference point"),
        ("-1%", "must be positive"), ("nan%", "must be positive"), ("macs=1,macs=2", "each axis once"),
        ("macs=inf", "each axis once"), ("params=3", "compared in top1 and macs"), ("top1=80", "top1 and top5 are fractions"),
        ("macs=1e5", "no subnet of any front is better"),
    ],
)  # fmt: skip
def test_a_wrong_reference_is_refused(text: str, message: str) -> None:
    fronts = [np.array([[-0.8, 1e6], [-0.9, 3e6]])]
    with pytest.raises(InputError, match=message):
        reference_point(parse_reference(text), fronts, AXES)


def test_it_is_said_plainly_where_the_order_depends_on_the_reference_point() -> None:
    """The first has a cheap end, which counts for more the farther the point lies."""
    fronts = [np.array([[-0.83, 1.6], [-0.87, 3.8]]), np.array([[-0.84, 2.9]])]
    found = orders(fronts)
    for one in found:
        expected = [c.hypervolume for c in coverage(fronts, beyond_worst(fronts, one.share))]
        assert list(one.hypervolumes) == expected
    assert [one.order for one in found] == [((1,), (0,)), ((1,), (0,)), ((1,), (0,)), ((0,), (1,))]
    assert depends(found)
    told = order_told(found, ["a", "b"])
    assert told.startswith("THE ORDER DEPENDS ON THE REFERENCE POINT")
    assert told.endswith("1 %: b > a; 2 %: b > a; 5 %: b > a; 10 %: a > b")


def test_an_order_that_stays_is_said_to() -> None:
    front = np.array([[-0.9, 2.0], [-0.92, 3.0]])
    found = orders([front, front])
    assert not depends(found)
    assert order_told(found, ["a", "b"]).startswith(
        "Order of hypervolumes: a = b, with reference points 1, 2, 5 and 10 %"
    )
