"""Bundles of one hardware class, of which one may be off."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Mapping

import pytest

from mac_whisper_speedtest.leaderboard import peers
from mac_whisper_speedtest.leaderboard.peers import MachineOutlier, Speed


def machine(*rtfx: float, error: float | None = 0.005) -> dict[Hashable, Speed]:
    """A bundle with one cell for each figure."""
    return {f"cell {number}": Speed(each, error) for number, each in enumerate(rtfx)}


def off(speeds: Mapping[str, Mapping[Hashable, Speed]]) -> list[str]:
    found, _ = peers.machine_outliers(speeds)
    return [name for name, each in found.items() if each.off]


def test_a_machine_that_is_half_as_slow_again_as_its_three_peers_is_flagged() -> None:
    found, spread = peers.machine_outliers(
        {
            "a": machine(10.0, 20.0),
            "b": machine(10.2, 19.8),
            "c": machine(9.9, 20.3),
            "slow": machine(10 / 1.5, 20 / 1.5),
        }
    )

    assert [name for name, each in found.items() if each.off] == ["slow"]
    assert found["slow"].ratio == pytest.approx(1 / 1.5, rel=0.02)
    assert found["slow"].score is not None
    assert found["slow"].score < -3.5
    assert spread is not None
    assert spread.low == found["slow"].ratio
    assert 1.0 <= spread.high < 1.03


def test_one_that_is_faster_than_it_can_be_is_flagged_too() -> None:
    same = {name: machine(10.0 + number / 100) for number, name in enumerate("abcd")}
    assert off({**same, "quick": machine(15.0)}) == ["quick"]


def test_of_three_the_one_that_two_speak_against_is_flagged() -> None:
    assert off({"a": machine(10.0), "b": machine(10.1), "slow": machine(6.7)}) == ["slow"]


def test_two_that_differ_do_not_say_which_of_them_is_off() -> None:
    found, spread = peers.machine_outliers({"a": machine(10.0), "b": machine(5.0)})
    assert found == {"a": MachineOutlier(0), "b": MachineOutlier(0)}
    assert spread is None


def test_of_three_that_all_differ_none_is_off() -> None:
    assert off({"a": machine(10.0), "b": machine(12.0), "c": machine(15.0)}) == []


def test_less_than_a_tenth_is_never_off_however_alike_the_others_are() -> None:
    same = {name: machine(10.0) for name in "abcdef"}
    assert off({**same, "a little slow": machine(9.2)}) == []
    assert off({**same, "slow": machine(8.9)}) == ["slow"]


def test_a_machine_whose_own_rounds_differ_that_much_is_not_off() -> None:
    same = {name: machine(10.0) for name in "abcdef"}
    assert off({**same, "noisy": machine(7.5, error=0.15)}) == []
    assert off({**same, "steady": machine(7.5, error=0.01)}) == ["steady"]


def test_without_an_interval_of_its_own_the_usual_error_of_the_others_counts() -> None:
    noisy = {name: machine(10.0, error=0.15) for name in "abcdef"}
    assert off({**noisy, "one round": machine(7.5, error=None)}) == []
    assert off({name: machine(10.0, error=None) for name in "abc"} | {"x": machine(7.5)}) == ["x"]


def test_only_cells_that_three_bundles_share_are_looked_at() -> None:
    speeds = {name: machine(10.0) for name in "abc"}
    speeds["d"] = {"cell 0": Speed(10.0), "only here": Speed(1.0), "another": Speed(1.0)}
    speeds["e"] = {"only there": Speed(1.0)}

    found, spread = peers.machine_outliers(speeds)

    assert found["d"] == MachineOutlier(1, 1.0, 0.0, off=False)
    assert found["e"] == MachineOutlier(0)
    assert spread is not None
    assert spread.bundles == 4


def test_one_odd_backend_does_not_make_a_machine_odd() -> None:
    speeds = {name: machine(10.0, 20.0, 30.0) for name in "abcd"}
    assert off({**speeds, "e": machine(10.0, 20.0, 10.0)}) == []


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_an_rtfx_that_cannot_be_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        peers.machine_outliers({name: machine(bad) for name in "abc"})


@pytest.mark.parametrize("n", [3, 5, 10])
def test_machines_of_the_usual_differences_are_seldom_called_off(n: int) -> None:
    """Machines that differ by a standard deviation of 3 %: fewer than 3 in 100 are flagged."""
    rnd = random.Random(n)
    flagged = 0
    for _ in range(300):
        speeds = {str(name): machine(10 * math.exp(rnd.gauss(0, 0.03))) for name in range(n)}
        flagged += len(off(speeds))
    assert flagged / (300 * n) < 0.03
