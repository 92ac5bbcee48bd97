"""Is a supernet what the rest of oncefit takes it for? For the tests of whoever brings a network of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oncefit.supernets import Supernet, as_supernet
from search.runs.own import OwnSupernet
from supernet.bounds import check_between
from supernet.errors import AT_LENGTH, InputError, unknown
from supernet.own_code import told_error

if TYPE_CHECKING:
    from supernet.conformance.subject import Mismatch, Subject

CHECKS: Mapping[str, tuple[str, str]] = {
    "archs": ("canonical, the same through JSON and integers", "supernet.conformance.of_archs:check_archs"),
    "fingerprint": ("the same when described again", "supernet.conformance.of_archs:check_fingerprint"),
    "outputs": ("finite logits, one for each class", "supernet.conformance.of_layers:check_outputs"),
    "counts": (
        "multiply-adds and parameters that torch counts",
        "supernet.conformance.of_layers:check_macs_and_params",
    ),
    "layers": ("those that run, in order", "supernet.conformance.of_layers:check_layers"),
    "blocks": (
        "made of their layers alone, the network's logits",
        "supernet.conformance.of_layers:check_blocks",
    ),
    "tables": ("costs of a batch as of one arch at a time", "cost_models.table_check:check_tables"),
    "batches": ("eight images as one at a time", "supernet.conformance.of_weights:check_batches"),
    "extraction": ("the logits of forward(x, values)", "supernet.conformance.of_weights:check_extraction"),
    "independence": ("subnets are values", "supernet.conformance.of_weights:check_independence"),
    "rebuilt": ("network(arch) takes a subnet's weights", "supernet.conformance.of_weights:check_rebuilt"),
    "saved": ("the same subnets from a file of weights", "supernet.conformance.of_weights:check_saved"),
    "sorted": ("sort_channels() leaves the largest as it is", "supernet.conformance.of_weights:check_sorted"),
    "onnx": ("ONNX Runtime gives torch's logits", "supernet.conformance.of_export:check_onnx"),
}
"""What is checked, in words, and the generator of what is otherwise."""
PASSED, FAILED, LEFT_OUT = "passed", "FAILED", "left out"
MOST_ARCHS = 1_000


@dataclass(frozen=True)
class CheckOutcome:
    """What one check found; ``left_out`` says why it could not be made."""

    name: str
    mismatches: tuple[Mismatch, ...] = ()
    left_out: str | None = None

    @property
    def about(self) -> str:
        return CHECKS[self.name][0]

    @property
    def verdict(self) -> str:
        return FAILED if self.mismatches else LEFT_OUT if self.left_out is not None else PASSED


@dataclass(frozen=True, repr=False)
class SupernetCheck:
    """What :func:`check_supernet` found, check by check, on so many archs."""

    supernet: str
    archs: int
    outcomes: tuple[CheckOutcome, ...]

    @property
    def failed(self) -> tuple[CheckOutcome, ...]:
        """The checks that something was found by."""
        return tuple(outcome for outcome in self.outcomes if outcome.mismatches)

    @property
    def summary(self) -> str:
        done = [outcome for outcome in self.outcomes if outcome.left_out is None]
        how = (
            f"{len(self.failed)} of {len(done)} checks failed"
            if self.failed
            else f"{len(done)} checks passed"
        )
        return f"{self.supernet}: {how}, on {self.archs} archs"

    @property
    def details(self) -> str:
        """What was expected and found, at each check that failed."""
        return "\n".join(f"{one.name}: {line}" for one in self.failed for line in shown(one.mismatches))

    def __str__(self) -> str:
        width = max(len(name) for name in CHECKS)
        lines = [
            f"  {one.name:{width}}  {one.verdict:8}  {one.left_out if one.verdict == LEFT_OUT else one.about}"
            for one in self.outcomes
        ]
        return "\n".join([self.summary, *lines, *(["", self.details] if self.failed else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def to_dict(self) -> dict[str, Any]:
        """All of it, as ``oncefit supernet check --json`` prints it."""
        return {
            "supernet": self.supernet,
            "archs": self.archs,
            "passed": not self.failed,
            "checks": [of_outcome(outcome) for outcome in self.outcomes],
        }


def of_outcome(outcome: CheckOutcome) -> dict[str, Any]:
    found: dict[str, Any] = {"check": outcome.name, "verdict": outcome.verdict.lower()}
    if outcome.verdict == LEFT_OUT:
        return found | {"why": outcome.left_out}
    mismatches = [
        {"what": one.what, "expected": one.expected, "found": one.found}
        | ({"arch": one.arch.to_dict(), "arch_id": one.arch.id} if one.arch is not None else {})
        for one in outcome.mismatches
    ]
    return found | ({"mismatches": mismatches} if mismatches else {})


def shown(mismatches: Iterable[Mismatch]) -> Iterator[str]:
    """The first of them, and how many more there are."""
    lines = [str(one) for one in mismatches]
    yield from lines[:AT_LENGTH]
    if len(lines) > AT_LENGTH:
        yield f"and {len(lines) - AT_LENGTH} more"


def check_supernet(
    supernet: str | Path | Supernet | OwnSupernet,
    *,
    archs: int = 8,
    seed: int = 0,
    checks: Iterable[str] | None = None,
) -> SupernetCheck:
    """Check that a supernet is what oncefit takes it for, on so many archs; all :data:`CHECKS` or some.

    No weights and no images are needed: they are random. Raises one AssertionError that tells everything that was found,
    with the arch, what was expected and what there is; and InputError for a supernet that cannot be described.
    """
    found = look_at_supernet(supernet, archs=archs, seed=seed, checks=checks)
    if found.failed:
        raise AssertionError(str(found))
    return found


def look_at_supernet(
    supernet: str | Path | Supernet | OwnSupernet,
    *,
    archs: int = 8,
    seed: int = 0,
    checks: Iterable[str] | None = None,
) -> SupernetCheck:
    """The same, whatever was found: nothing is raised for that."""
    from supernet.conformance.subject import subject_of

    check_between(archs, 1, MOST_ARCHS, "archs")
    opened = as_supernet(supernet)
    subject = subject_of(opened.described, archs, seed)
    names = list(CHECKS) if checks is None else list(checks)
    for name in names:
        if name not in CHECKS:
            raise unknown("check", name, CHECKS)
    return SupernetCheck(opened.name, len(subject.archs), tuple(outcome_of(name, subject) for name in names))


def outcome_of(name: str, subject: Subject) -> CheckOutcome:
    """What a check finds; what a user's own code raises is a finding too."""
    from supernet.conformance.subject import Mismatch, NotApplicable

    module, _, function = CHECKS[name][1].partition(":")
    check: Callable[[Subject], Iterator[Mismatch]] = getattr(import_module(module), function)
    found: list[Mismatch] = []
    try:
        found.extend(check(subject))
    except NotApplicable as why:
        return CheckOutcome(name, tuple(found), str(why))
    except InputError as error:
        found.append(Mismatch("it", "no error", str(error)))
    except Exception as error:
        found.append(Mismatch("it", "no error", told_error(error, __file__)))
    return CheckOutcome(name, tuple(found))
