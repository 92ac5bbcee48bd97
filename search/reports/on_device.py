"""What timing candidates on their device said, in words and for JSON: measured and predicted beside each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cost_models.registry import BOUNDS
from search.feasible.budget_messages import share_percent
from search.problem.confidence import LATENCY
from search.reports.units import counted
from search.runs.on_device import Timed, Verified


def line_of_timed(one: Timed, limit_ms: float, accuracy: str) -> str:
    """A timed candidate: its accuracy, predicted and measured latency, and how it stands to the budget."""
    candidate = one.candidate
    return (
        f"{candidate.arch.id} ({100 * candidate.value(accuracy):.2f} %): predicted {candidate.costs[LATENCY]:.4g} ms, "
        f"measured {one.latency.median_ms:.4g} ms, {standing(one, limit_ms)}"
    )


def standing(one: Timed, limit_ms: float) -> str:
    """How a candidate stands to the budget, in a few words."""
    within = one.within(limit_ms)
    if within is None:
        return f"machine busy (rounds spread by {100 * one.latency.spread:.0f} %), no verdict"
    return "within" if within else f"{share_percent(one.latency.median_ms / limit_ms - 1)} over"


def verdict(verified: Verified, where: str) -> str:
    """Whether the winner holds its budget when it is measured, and what was passed over to find one that does."""
    winner, limit = verified.winner, f"its budget of {verified.limit_ms:.6g} ms"
    if winner is None:
        timed = ", ".join(
            f"{one.latency.median_ms:.4g} ms ({standing(one, verified.limit_ms)})" for one in verified.timed
        )
        most, only = ("the most accurate candidate does not hold", "it does") if len(verified.timed) == 1 else (
            f"none of the {len(verified.timed)} most accurate candidates holds", "they do"
        )  # fmt: skip
        return (
            f"OVER BUDGET: {most} {limit} when measured on {where}, which {only} by prediction only: {timed}."
        )
    if not verified.holds:
        latency = winner.latency
        return (
            f"MACHINE BUSY, no verdict: the winner holds {limit} by prediction. Measured on {where}, its quietest round "
            f"took {latency.low_ms:.4g} ms, and half of the rounds more than {latency.median_ms:.4g} ms."
        )
    return f"The winner holds {limit} when measured on {where}: {winner.latency.median_ms:.4g} ms. {passed_over(verified)}"


def told_versions(verified: Verified, where: str) -> str:
    """That candidates were timed with other versions than the device was; empty where they were not."""
    moved = [
        f"with {one.package} {one.timed_with}, which was {one.of_device} when {where} was measured"
        for one in verified.other_versions
    ]
    return f"Timed {', and '.join(moved)}: what is predicted is of the earlier one." if moved else ""


def passed_over(verified: Verified) -> str:
    """Which candidates are more accurate than the winner, and why they were not taken."""
    over = [one.within(verified.limit_ms) for one in verified.passed_over]
    why = (
        (over.count(False), "did not hold it when measured"),
        (over.count(None), "a busy machine gives no verdict on"),
        (verified.untimed, "not timed"),
    )
    told = [f"{count} {reason}" for count, reason in why if count]
    if not told:
        return "It is the most accurate candidate."
    return f"It is not the most accurate candidate within it by prediction; of those that are more accurate: {', '.join(told)}."


def advice(verified: Verified) -> str:
    """What to do where no candidate is known to hold the budget."""
    if verified.holds is None:
        return "The same command times it again; let it, when the machine is quiet."
    timed, limit = len(verified.timed), f"{verified.limit_ms:.6g}"
    ways = []
    if len(verified.ranked) > timed:
        all_of_them = counted(len(verified.ranked), "candidate")
        ways.append(f"time more of the {all_of_them} (--verify-on-device {2 * timed})")
    bounds = [name for name in BOUNDS if name in verified.ranked[0].costs]
    if not bounds:
        ways.append(f"search with room for what a prediction is off by (--budget latency_ms=p95:{limit})")
    elif bounds[-1] != BOUNDS[-1]:
        ways.append(
            f"search with more room for what a prediction is off by (--budget latency_ms=p99:{limit})"
        )
    told = ", or ".join([*ways, "raise the budget"])
    return f"{told[0].upper()}{told[1:]}."


def verified_dict(verified: Verified, accuracy: str) -> dict[str, Any]:
    """For JSON: the candidates that were timed, the most accurate first; ``within_budget`` null where a machine was busy."""
    return {
        "limit_ms": verified.limit_ms,
        "within_budget": verified.holds,
        "more_accurate_not_timed": verified.untimed,
        "other_versions": [asdict(one) for one in verified.other_versions],
        "timed": [
            {
                "arch_id": one.candidate.arch.id,
                accuracy: one.candidate.value(accuracy),
                "predicted": {
                    n: one.candidate.costs[n] for n in (LATENCY, *BOUNDS) if n in one.candidate.costs
                },
                "measured": {"latency": asdict(one.latency)},
                "within_budget": one.within(verified.limit_ms),
            }
            for one in verified.timed
        ],
    }
