from __future__ import annotations

import math
import random

import pytest

from mac_whisper_speedtest.stats import ranking, stopping
from mac_whisper_speedtest.stats.ranking import Verdict


def cell(noise: float, seed: int, rounds: int = 12, speed: float = 1.0) -> dict[int, float]:
    rnd = random.Random(seed)
    return {each: speed * math.exp(rnd.gauss(0, noise)) for each in range(rounds)}


def test_the_floor_is_the_smallest_margin_with_the_verdict_same() -> None:
    found = stopping.noise_floor(cell(0.03, 1), cell(0.03, 2))
    assert found is not None
    assert found.floor > 0
    assert ranking.verdict_of(found.ratio, found.floor * 1.0001) is Verdict.SAME
    assert ranking.verdict_of(found.ratio, found.floor * 0.9999) is Verdict.AMBIGUOUS
    assert found.verdict not in ranking.OPPOSITE
    assert found.rounds == 12


def test_more_rounds_lower_the_floor() -> None:
    few = stopping.noise_floor(cell(0.03, 1, 8), cell(0.03, 2, 8))
    many = stopping.noise_floor(cell(0.03, 1, 60), cell(0.03, 2, 60))
    assert few is not None
    assert many is not None
    assert many.floor < few.floor
    assert many.spread == pytest.approx(0.03 * math.sqrt(2), rel=0.3)


def test_noise_that_both_share_is_no_floor() -> None:
    shared = cell(0.3, 1)
    found = stopping.noise_floor(shared, {each: value * 1.001 for each, value in shared.items()})
    assert found is not None
    assert found.floor == pytest.approx(0.001, rel=1e-6)


def test_a_machine_that_separates_identical_cells_is_detected() -> None:
    found = stopping.noise_floor(cell(0.005, 1), cell(0.005, 2, speed=1.1))
    assert found is not None
    assert found.verdict in ranking.OPPOSITE
    assert found.floor > 0.1


def test_a_machine_without_noise_has_no_floor() -> None:
    found = stopping.noise_floor(dict.fromkeys(range(6), 2.0), dict.fromkeys(range(6), 2.0))
    assert found is not None
    assert (found.floor, found.smallest_detectable) == (0, 0)
    assert found.rounds_for == {0.01: 3, 0.02: 3, 0.05: 3}


def test_two_rounds_are_no_noise_run() -> None:
    assert stopping.noise_floor({0: 1.0, 1: 1.0}, {0: 1.0, 1: 1.0}) is None


def test_the_rounds_needed_are_those_that_detect() -> None:
    for difference in (0.01, 0.02, 0.05):
        found = stopping.rounds_needed(0.03, difference)
        assert found is not None
        assert stopping.smallest_detectable(0.03, found) <= difference
        assert stopping.smallest_detectable(0.03, found - 1) > difference


def test_the_rounds_needed_are_near_the_textbooks() -> None:
    """d = 0.5, paired, two-sided 5 %, power 90 %: 44 pairs (Cohen 1988, by his table 43 to 44)."""
    found = stopping.rounds_needed(0.02, math.expm1(0.01))
    assert found in {43, 44, 45}


def test_what_lies_within_the_margin_is_never_found() -> None:
    assert stopping.rounds_needed(0.01, 0.02, margin=0.02) is None
    assert stopping.rounds_needed(0.01, 0.01, margin=0.02) is None
    assert stopping.rounds_needed(50.0, 0.01) is None
    wide = stopping.rounds_needed(0.03, 0.05, margin=0.02)
    narrow = stopping.rounds_needed(0.03, 0.05)
    assert wide is not None
    assert narrow is not None
    assert wide > narrow


@pytest.mark.parametrize(
    ("spread", "rounds", "level"),
    [(-1.0, 5, 0.95), (math.nan, 5, 0.95), (0.1, 1, 0.95), (0.1, 5, 2)],
)
def test_nonsense_is_refused(spread: float, rounds: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"spread|rounds|level"):
        stopping.smallest_detectable(spread, rounds, level)


def test_what_it_promises_to_find_is_found() -> None:
    """In 400 simulated runs of a difference that 12 rounds should find with a power of 0.9."""
    rnd = random.Random(6)
    spread, rounds = 0.03, 12
    shift = math.log1p(stopping.smallest_detectable(spread, rounds))
    found = 0
    for _ in range(400):
        a = {each: math.exp(rnd.gauss(shift, spread)) for each in range(rounds)}
        run = stopping.noise_floor(a, dict.fromkeys(range(rounds), 1.0))
        assert run is not None
        found += run.ratio.low > 1
    assert 0.85 <= found / 400 <= 0.95
