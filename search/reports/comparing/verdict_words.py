"""Whether runs differ, in words: sentences, tables and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from search.problem.objectives import Objective
from search.reports.comparing.front_area import Ordered
from search.reports.comparing.paired_tests import POWER, SIGNIFICANCE_LEVEL
from search.reports.comparing.significance import (
    AT_BUDGET,
    CHOSEN,
    HYPERVOLUME,
    NOT_TOLD_APART,
    Significance,
    Verdict,
)
from search.reports.units import amount, counted

MEASURE = "--measure"
"""The option of ``oncefit compare`` that makes what old runs lack."""
INTERVALS_OF = {
    CHOSEN: "Tango's score interval",
    AT_BUDGET: "Tango's score interval",
    HYPERVOLUME: "paired bootstrap",
}


def sentence(verdict: Verdict) -> str:
    """``better``, ``worse``, or ``cannot be told apart with these 5,000 images; about 21,000 would be needed``."""
    found = verdict.difference
    if found is None or verdict.word is None:
        return f"not compared: {verdict.missing}"
    if verdict.word != NOT_TOLD_APART:
        return verdict.word
    several = max(found.runs) > 1
    these = counted(found.images, "image") + (
        f" and {found.runs[0]} and {found.runs[1]} runs" if several else ""
    )
    return f"cannot be told apart with these {these}; {needs(verdict)}"


def needs(verdict: Verdict) -> str:
    """How many images, or runs, would show a difference as large as that measured."""
    found, more = verdict.difference, verdict.needed
    assert found is not None
    if more is None:
        return (
            "on the same images neither is ahead" if found.differing else "they are right on the same images"
        )
    if needs_runs(verdict) and more.runs is not None:
        return f"about {more.runs:,} runs of each would be needed"
    if more.images is None:
        return "more images and more runs would be needed"
    return f"about {two_digits_up(more.images):,} would be needed"


def needs_runs(verdict: Verdict) -> bool:
    """Whether it is other runs that would show the difference, more than other images."""
    found, more = verdict.difference, verdict.needed
    assert found is not None
    assert more is not None
    return more.images is None or (found.of_runs > found.of_images and more.runs is not None)


def two_digits_up(count: int) -> int:
    """Two significant digits, upwards."""
    unit: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit


def difference_told(verdict: Verdict) -> str:
    """``+0.31 [-0.02, +0.64]``, in percentage points, or in shares of the box; a dash where it is not known."""
    found = verdict.difference
    if found is None:
        return "-"
    factor, digits = (1, 4) if verdict.about == HYPERVOLUME else (100, 2)
    value, low, high = (f"{factor * part:+.{digits}f}" for part in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def about_told(verdict: Verdict, accuracy: Objective, cost: Objective) -> str:
    """What was compared: ``hypervolume``, ``top-1 (points), chosen subnet``."""
    if verdict.about == HYPERVOLUME:
        return "hypervolume"
    named = accuracy.name.replace("top", "top-")
    if verdict.budget is None:
        return f"{named} of the chosen subnet"
    return f"{named} within {amount(cost.name, verdict.budget)}"


def told_below(found: Significance) -> list[str]:
    """What the figures of :func:`verdict_tables` are, and what they are not of."""
    made = ["New less base with 95 % intervals; accuracy in points, hypervolume in shares."]
    if len(found.verdicts) > len({one.about for one in found.verdicts}):
        made.append("Verdicts of one kind are at most 5 % false together (Holm), intervals each by")
        made.append("itself: one may leave out 0 where the verdict is that nothing is told apart.")
    if not found.repeated:
        made.append("Of these runs: other seeds may differ; give such runs too.")
    return made


def significance_advice(found: Significance, folders: Sequence[str]) -> list[str]:
    """What to type where it is not kept which images some subnets get right, and why nothing can be told apart."""
    if found.why_not is not None:
        return [f"Runs are not told apart by images: {found.why_not}."]
    if not found.lacking:
        return []
    count = sum(found.lacking.values())
    command = f"oncefit compare {' '.join(folders)} {MEASURE}"
    return [
        f"Which report images {counted(count, 'subnet')} of {', '.join(found.lacking)} "
        f"get{'s' if count == 1 else ''} right is not kept. This measures it, once: {command}"
    ]


def order_told(ordered: Sequence[Ordered], labels: Sequence[str]) -> str:
    """Whether the order of hypervolumes is one under all reference points, and which it is."""
    shares = [f"{100 * one.share:g}" for one in ordered]
    if depends(ordered):
        told = "; ".join(
            f"{share} %: {in_order(one, labels)}" for share, one in zip(shares, ordered, strict=True)
        )
        return f"THE ORDER DEPENDS ON THE REFERENCE POINT, this far beyond the worst: {told}"
    return (
        f"Order of hypervolumes: {in_order(ordered[0], labels)}, with reference points {', '.join(shares[:-1])} and "
        f"{shares[-1]} % beyond the worst"
    )


def depends(ordered: Sequence[Ordered]) -> bool:
    """Whether fronts change places with the reference point."""
    return len({one.order for one in ordered}) > 1


def in_order(one: Ordered, labels: Sequence[str]) -> str:
    return " > ".join(" = ".join(labels[i] for i in equal) for equal in one.order)


def orders_dict(ordered: Sequence[Ordered], labels: Sequence[str]) -> dict[str, Any]:
    """Hypervolumes under several reference points, for programs."""
    return {
        "order_depends": depends(ordered),
        "beyond_the_worst": [
            {
                "share": one.share,
                "hypervolumes": dict(zip(labels, one.hypervolumes, strict=True)),
                "order": [[labels[i] for i in equal] for equal in one.order],
            }
            for one in ordered
        ],
    }


def significance_dict(found: Significance) -> dict[str, Any]:
    """All verdicts, for programs; what is not known is left out."""
    return {
        "base": found.sides[0].label,
        "report_images": found.images,
        "level": SIGNIFICANCE_LEVEL,
        "adjusted_by": "Holm",
        "power_of_needed": POWER,
        **({"why_not": found.why_not} if found.why_not is not None else {}),
        **({"subnets_without_bits": dict(found.lacking)} if found.lacking else {}),
        "verdicts": [verdict_dict(one) for one in found.verdicts],
    }


def verdict_dict(verdict: Verdict) -> dict[str, Any]:
    found = verdict.difference
    made: dict[str, Any] = {"about": verdict.about, "base": verdict.base, "new": verdict.new}
    if verdict.budget is not None:
        made["budget"] = verdict.budget
    if found is None:
        return made | {"verdict": None, "missing": verdict.missing}
    several = max(found.runs) > 1
    more = verdict.needed
    return {
        **made,
        "verdict": verdict.word,
        "sentence": sentence(verdict),
        "difference": found.value,
        "low": found.low,
        "high": found.high,
        "interval": "bootstrap over images, Student's t over seeds"
        if several
        else INTERVALS_OF[verdict.about],
        "p_value": found.p_value,
        "p_value_adjusted": verdict.adjusted,
        "images": found.images,
        "images_that_differ": found.differing,
        **({"runs": list(found.runs)} if several else {}),
        **({"images_needed": more.images} if more is not None and more.images is not None else {}),
        **({"runs_needed": more.runs} if more is not None and more.runs is not None else {}),
    }
