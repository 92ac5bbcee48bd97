"""A machine that becomes slower is found out by the reference net; the truth is a fake clock's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cost_models import drift, latency_fit
from cost_models.measurements import Measurements, Reference, Setup, Timing, measured_arch, subnets_of
from cost_models.measuring import Taken, take_rounds
from supernet.families.catalog import Supernet
from tests.helpers.tiny import all_archs, open_tiny

TRUE_MS = (1.0, 2.0, 5.0, 3.0)
REFERENCE_MS = 1.5


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    return open_tiny(tmp_path_factory.mktemp("tiny"))


class Machine:
    """Its clock moves only when a net runs, for the net's true time at the machine's speed of that moment."""

    def __init__(self, slowness: Callable[[float], float]) -> None:
        self.now, self.slowness = 0.0, slowness
        self.ran: list[float] = []

    def net(self, ms: float) -> Callable[[], None]:
        def run() -> None:
            self.ran.append(ms)
            self.now += ms / 1e3 * self.slowness(self.now)

        return run

    def take(self, rounds: int = 12) -> tuple[Taken, list[tuple[int, int, str]]]:
        told: list[tuple[int, int, str]] = []
        runs = [self.net(ms) for ms in TRUE_MS]
        taken = take_rounds(
            runs, self.net(REFERENCE_MS), rounds, lambda *step: told.append(step), every=2, clock=lambda: self.now
        )  # fmt: skip
        return taken, told


def document(net: Supernet, taken: Taken) -> Measurements:
    archs = all_archs(net)[: len(TRUE_MS)]
    return Measurements(
        supernet=net.name, fingerprint=net.fingerprint, setup=Setup(),
        timing=Timing(slice_s=0.015, warm_up_runs=10), versions={}, cpu="made up", date="2025-01-31",
        order=tuple(map(tuple, taken.order)), subnets=subnets_of(archs, taken.nets_ms),
        reference=Reference(
            arch=measured_arch(archs[0]), every=2, rounds_ms=tuple(map(tuple, taken.reference_ms))
        ),
    )  # fmt: skip


def test_a_quiet_machine_needs_the_rounds_asked_for_each_in_another_order(net: Supernet) -> None:
    machine = Machine(lambda now: 1.0)
    taken, told = machine.take()
    measured = document(net, taken)
    assert [m.median_ms for m in drift.quiet_latencies(measured)] == pytest.approx(TRUE_MS)
    assert [m.rounds for m in drift.quiet_latencies(measured)] == [12] * 4
    assert drift.drift_percent(measured) == pytest.approx(0, abs=1e-6)
    assert len({tuple(order) for order in taken.order}) > 6
    turns = [ms for i, ms in enumerate(machine.ran) if i == 0 or machine.ran[i - 1] != ms]
    first = [TRUE_MS[place] for place in taken.order[0]]
    assert turns[:7] == [REFERENCE_MS, *first[:2], REFERENCE_MS, *first[2:], REFERENCE_MS]
    assert told[0][:2] == (1, 12)
    assert told[-1] == (12, 12, "0 disturbed, about 0 s left")


def test_a_machine_that_warms_up_slowly_is_corrected_for(net: Supernet) -> None:
    taken, _ = Machine(lambda now: 1 + 0.03 * now).take()
    measured = document(net, taken)
    assert drift.drift_percent(measured) > 5
    found = drift.quiet_latencies(measured)
    ratios = [m.median_ms / true for m, true in zip(found, TRUE_MS, strict=True)]
    assert max(ratios) / min(ratios) < 1.01
    assert max(m.spread for m in found) < 0.01
    raw = [max(s.rounds_ms) / min(s.rounds_ms) for s in measured.subnets]
    assert min(raw) > 1.05, "the raw times are kept as they were"


def test_rounds_beside_another_program_are_discarded_and_made_up_for(net: Supernet) -> None:
    taken, told = Machine(lambda now: 1.6 if 0.7 < now < 1.6 else 1.0).take()
    measured = document(net, taken)
    assert 12 < measured.rounds < 24
    kept = drift.kept_rounds(measured.reference.rounds_ms)
    assert 12 <= len(kept) < measured.rounds
    found = drift.quiet_latencies(measured)
    assert [m.median_ms for m in found] == pytest.approx(TRUE_MS, rel=0.05)
    assert not any(m.busy for m in found)
    assert told[-1][2].startswith(f"{measured.rounds - len(kept)} disturbed")


def test_a_busy_machine_ends_and_is_called_busy(net: Supernet) -> None:
    """Every round is about a quarter slower than the one before it: no level is the quiet one."""
    taken, _ = Machine(lambda now: 1.25 ** (now / 0.2)).take(rounds=4)
    measured = document(net, taken)
    assert measured.rounds == 8
    assert len(drift.kept_rounds(measured.reference.rounds_ms)) == drift.LEAST_ROUNDS
    found = drift.quiet_latencies(measured)
    assert any(m.busy for m in found)
    for m, subnet in zip(found, measured.subnets, strict=True):
        assert m.low_ms >= 0.9 * min(subnet.rounds_ms), "no time is corrected to less than was ever seen"


def test_a_reference_that_is_slow_by_chance_does_not_make_subnets_faster(net: Supernet) -> None:
    """A round's level is known to half a percent only, and the round whose reference was the slowest is not the truth."""
    rng = np.random.default_rng(0)
    times = np.array(TRUE_MS)[:, None] * (1 + 0.005 * rng.standard_normal((len(TRUE_MS), 12)))
    readings = np.repeat(REFERENCE_MS * (1 + 0.004 * rng.standard_normal((12, 1))), 3, axis=1)
    taken = Taken(times.tolist(), [[0, 1, 2, 3]] * 12, readings.tolist())
    found = drift.quiet_latencies(document(net, taken))
    assert latency_fit.times_of(found) / TRUE_MS == pytest.approx(1, abs=0.008)
    assert max(m.low_ms / true for m, true in zip(found, TRUE_MS, strict=True)) < 0.992
