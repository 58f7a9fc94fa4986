"""The canary: what counts as slower, and how long is waited for it."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator

import pytest

from mac_whisper_speedtest.run import monitor

STEADY = [0.100, 0.101, 0.099, 0.100, 0.100]
NOISY = [0.100, 0.118, 0.092, 0.107, 0.095]


def test_a_steady_machine_that_becomes_a_fifth_slower_has_drifted() -> None:
    assert monitor.drifted(STEADY, 0.120) == pytest.approx(0.20)
    assert monitor.drifted(STEADY, 0.109) is None


def test_a_machine_that_becomes_faster_has_drifted_too() -> None:
    found = monitor.drifted(STEADY, 0.080)
    assert found == pytest.approx(-0.20)
    assert monitor.drifted(STEADY, 0.093) is None


def test_a_noisy_baseline_widens_the_limit() -> None:
    assert monitor.drifted(NOISY, 0.120) is None
    assert monitor.drifted(NOISY, 0.180) is not None
    assert monitor.tolerance(NOISY) > 0.3


def test_a_baseline_without_a_spread_leaves_the_limit_as_it_is() -> None:
    assert monitor.tolerance([0.1]) == monitor.LIMIT
    assert monitor.tolerance([0.1, 0.2]) == monitor.LIMIT
    assert monitor.tolerance([0.1] * 20) == monitor.LIMIT
    assert monitor.tolerance(STEADY, 0.02) == pytest.approx(0.03, abs=0.005)


@pytest.mark.parametrize("count", [4, 8])
def test_a_machine_that_only_varies_is_rarely_said_to_drift(count: int) -> None:
    generator = random.Random(7)
    said = 0
    for _ in range(2000):
        values = [0.1 * generator.lognormvariate(0, 0.06) for _ in range(count + 1)]
        said += monitor.drifted(values[:-1], values[-1]) is not None
    assert said <= 0.03 * 2000  # 1 % on either side


def test_the_canary_takes_about_as_long_each_time() -> None:
    monitor.run()
    took = [monitor.run() for _ in range(3)]
    assert all(0.002 < each < 2.0 for each in took)
    assert max(took) < 3 * min(took)


class Machine:
    """Canaries that get faster with the time that is slept."""

    def __init__(self, recovers_after_s: float) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self._recovers = recovers_after_s

    def measure(self) -> float:
        self.now += 0.1
        return 0.150 if self.now < self._recovers else 0.100

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def wait(self, bound_s: float) -> monitor.CoolDown:
        return monitor.cool_down(
            self.measure, STEADY, bound_s=bound_s, sleep=self.sleep, clock=lambda: self.now
        )


def test_a_machine_that_recovers_is_waited_for_and_no_longer() -> None:
    machine = Machine(recovers_after_s=5.0)
    found = machine.wait(60.0)
    assert found.recovered
    assert found.change == pytest.approx(0.0)
    assert 5.0 <= found.waited_s < 9.0
    assert machine.slept == [1.0, 2.0, 4.0]


def test_waiting_has_a_bound() -> None:
    machine = Machine(recovers_after_s=1e9)
    found = machine.wait(60.0)
    assert not found.recovered
    assert found.change == pytest.approx(0.5)
    assert 60.0 <= found.waited_s < 61.0
    assert max(machine.slept) == 15.0


def test_a_bound_of_nothing_looks_once() -> None:
    machine = Machine(recovers_after_s=1e9)
    found = machine.wait(0.0)
    assert (found.recovered, found.canaries, machine.slept) == (False, 1, [])


def test_a_machine_that_is_well_is_not_waited_for() -> None:
    machine = Machine(recovers_after_s=0.0)
    assert machine.wait(60.0).canaries == 1
    assert machine.slept == []


def test_a_faster_canary_is_not_waited_for() -> None:
    values: Iterator[float] = iter([0.05])
    found = monitor.cool_down(lambda: next(values), STEADY, bound_s=60.0)
    assert found.recovered
    assert found.change == pytest.approx(0.05 / statistics.median(STEADY) - 1)
