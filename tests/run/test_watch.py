"""Rounds in which the machine changed: flagged, retaken, and left out where they were retaken."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from fakes.sessions import CRASH, OK, Marks, Scripted, by_name, measure, summary
from mac_whisper_speedtest.machine.conditions import Conditions
from mac_whisper_speedtest.run import monitor
from mac_whisper_speedtest.run.monitor import MachineWatcher
from mac_whisper_speedtest.run.prepare import Prepared


def slow_in(number: int) -> Callable[[int, int], float]:
    return lambda which, _index: 9.0 if which == number else 1.0


def test_a_flagged_round_is_retaken_at_once_and_counts_no_more(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted()
    execute.seconds = {name: slow_in(1) for name in "abc"}
    _, run = measure(prepared(rounds=3), execute, Marks(1))
    assert [number for name, number, _ in execute.visited if name == "a"] == [0, 1, 3, 2]
    assert {each.round: each.replaced_by for each in run.rounds} == {
        0: None,
        1: 3,
        3: None,
        2: None,
    }
    found = summary(by_name(run)["a"])
    assert (found.rounds_ok, found.timed_samples, found.max_s) == (3, 6, 1.0)
    assert [sample.seconds for sample in by_name(run)["a"].samples].count(9.0) > 0  # still there
    said = {each.kind: each.message for each in found.findings}
    assert said["machine"] == "round 2: power: mains -> battery (retaken as round 4)"


def test_no_more_than_two_rounds_are_retaken(prepared: Callable[..., Prepared]) -> None:
    execute = Scripted()
    _, run = measure(prepared(rounds=4), execute, Marks(*range(10)))
    assert max(number for _, number, _ in execute.visited) == 5
    assert sum(each.replaced_by is not None for each in run.rounds) == 2
    said = {each.kind: each.message for each in summary(by_name(run)["a"]).findings}
    assert said["machine"].count("(it counts)") == 1  # three are described, the others counted
    assert said["machine"].endswith("and 3 more of 6 rounds")


def test_without_retake_a_flagged_round_counts_and_is_named(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted()
    _, run = measure(prepared(rounds=3, retake=False), execute, Marks(1))
    assert {number for _, number, _ in execute.visited} == {0, 1, 2}
    said = {each.kind: each.message for each in summary(by_name(run)["a"]).findings}
    assert said["machine"] == "round 2: power: mains -> battery (it counts)"


def test_a_round_stays_where_its_repetition_failed(prepared: Callable[..., Prepared]) -> None:
    execute = Scripted(b=lambda number, _: CRASH if number == 3 else OK)
    _, run = measure(prepared(rounds=3), execute, Marks(1))
    found = summary(by_name(run)["b"])
    assert by_name(run)["b"].status == "crashed"
    assert found.timed_samples == 4  # rounds 0 and 1; it was not visited again after round 3
    assert summary(by_name(run)["a"]).timed_samples == 6


def test_a_round_in_which_nothing_was_measured_is_not_retaken(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted(**{name: lambda *_: CRASH for name in "abc"})
    _, run = measure(prepared(rounds=3), execute, Marks(0, 1, 2))
    assert all(each.replaced_by is None for each in run.rounds)


def watcher(canaries: Iterator[float], *looks: Conditions) -> MachineWatcher:
    seen = iter(looks)
    return MachineWatcher(measure=lambda: next(canaries), read_conditions=lambda: next(seen))


def test_a_canary_as_fast_as_at_the_start_marks_nothing() -> None:
    calm = Conditions(power_source="mains")
    steady = watcher(iter([9.0, *[1.0, 1.01, 0.99, 1.0], 1.02]), calm, calm)
    steady.begin()
    steady.before_round()
    seen = steady.after_round(0, last=False)
    assert seen.flagged == ""
    assert (seen.canary_before_s, seen.canary_after_s, seen.cooled_s) == (1.0, 1.02, None)


def test_a_slow_canary_marks_the_round_and_waits_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calm = Conditions()
    said: list[str] = []
    hot = watcher(iter([1.0] * (monitor.BASELINE + 1) + [1.5, 1.4, 1.01]), calm, calm)
    hot.notify = said.append
    waits: list[float] = []
    monkeypatch.setattr(
        monitor, "cool_down", functools.partial(monitor.cool_down, sleep=waits.append)
    )
    hot.begin()
    hot.before_round()
    hot.began_s -= 100.0  # a long round: waiting is worth it
    seen = hot.after_round(4, last=False)
    assert seen.flagged == "the canary took 50% longer than at the start"
    assert seen.cooled_s is not None
    assert waits == [1.0]
    assert said == [
        "Round 5: the canary took 50% longer than at the start; waiting for the machine to recover."
    ]
    assert hot.latest_s == pytest.approx(1.01)


def test_nothing_waits_for_a_machine_on_which_nothing_else_is_timed() -> None:
    calm = Conditions()
    said: list[str] = []
    hot = watcher(iter([1.0] * (monitor.BASELINE + 1) + [1.5]), calm, calm)
    hot.notify = said.append
    hot.begin()
    hot.before_round()
    seen = hot.after_round(5, last=True)
    assert (seen.flagged, seen.cooled_s) == ("the canary took 50% longer than at the start", None)
    assert said == []


def test_a_round_is_the_last_when_none_follows_and_none_can_stand_in_for_it(
    prepared: Callable[..., Prepared],
) -> None:
    calm, flagged = Marks(), Marks(2)
    measure(prepared(rounds=3, retake=False), Scripted(), calm)
    _, run = measure(prepared(rounds=3), Scripted(), flagged)
    assert calm.last == [2]
    assert flagged.last == []  # after each, another one could have replaced it
    assert [each.replaced_by for each in run.rounds if each.round == 2] == [3]


def test_a_faster_canary_marks_the_round_and_is_the_measure_from_then_on() -> None:
    calm = Conditions()
    fresh = [0.6] * (monitor.BASELINE + 1)
    busy = watcher(iter([*[1.0] * (monitor.BASELINE + 1), 0.6, *fresh, 0.6]), *[calm] * 4)
    busy.begin()
    busy.before_round()
    assert busy.after_round(0, last=False).flagged == "the canary took 40% less than at the start"
    busy.before_round()
    seen = busy.after_round(1, last=False)
    assert (seen.flagged, seen.canary_before_s) == ("", 0.6)


def test_conditions_that_changed_mark_the_round_and_are_written_down() -> None:
    mains = Conditions(power_source="mains", zones_reached=(), unknown={"hottest_c": "no zones"})
    battery = replace(mains, power_source="battery")
    unplugged = watcher(iter([1.0] * 10), mains, battery)
    unplugged.begin()
    unplugged.before_round()
    seen = unplugged.after_round(0, last=False)
    assert seen.changes == ["power: mains -> battery"]
    assert seen.flagged == "power: mains -> battery"
    assert seen.before.values["power_source"] == "mains"
    assert seen.after.unknown == {"hottest_c": "no zones"}
