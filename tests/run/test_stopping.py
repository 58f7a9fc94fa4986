"""Stopping rules: which rounds are visited, and what is written down of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace

import msgspec
import pytest

from fakes.runs import FakeCell, run_of
from fakes.sessions import Marks, Rule, Scripted, by_name, measure, noisy, summary
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.request import OPEN_PAIRS_ROUNDS, Request
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import measured_amount
from mac_whisper_speedtest.run import rounds
from mac_whisper_speedtest.run.plan import Budget
from mac_whisper_speedtest.run.prepare import Prepared
from mac_whisper_speedtest.run.stopping import Adaptive
from mac_whisper_speedtest.summary.summarize import summarize


def rounds_of(execute: Scripted, name: str) -> list[int]:
    return [number for backend, number, _ in execute.visited if backend == name]


def test_a_run_that_is_precise_enough_at_the_first_look_ends_there(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted()
    _, run = measure(prepared(rounds=6, ci_width=0.02), execute)
    assert {name: len(rounds_of(execute, name)) for name in "abc"} == dict.fromkeys("abc", 6)
    assert [cell.status for cell in run.cells] == ["ok"] * 3
    (decided,) = run.decisions
    assert (decided.after, decided.cells, decided.level) == (6, [], 0.95)
    assert "every interval is at most 2.0% wide" in decided.reason


def test_a_cell_that_is_not_precise_enough_is_visited_until_the_maximum(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted()
    execute.seconds = {"b": noisy(1, 0.5, 0.3)}
    _, run = measure(prepared(rounds=6, ci_width=0.02, max_rounds=10), execute)
    assert max(rounds_of(execute, "b")) == 9
    assert run.decisions[-1].after == 10
    assert "10 rounds are the maximum" in run.decisions[-1].reason
    assert all(cell.status == "ok" for cell in run.cells)  # rounds that were not due are no gap
    assert [each.after for each in run.decisions] == [6, 8, 10]


def test_the_rule_never_sees_anything_but_widths(prepared: Callable[..., Prepared]) -> None:
    """Ten times slower in every round: the same rounds are measured."""
    visited = []
    for seconds in (0.5, 5.0):
        execute = Scripted()
        execute.seconds = {"b": noisy(1, seconds, 0.02), "c": noisy(2, 3 * seconds, 0.02)}
        measure(prepared(rounds=6, ci_width=0.02, max_rounds=20), execute)
        visited.append([number for _, number, _ in execute.visited])
    assert visited[0] == visited[1]


def test_a_budget_goes_on_with_the_pairs_that_have_no_verdict(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted()
    # c is ten times slower: settled at the first look. a and b are within 4 % of each other.
    execute.seconds = {"a": noisy(1, 1.0, 0.03), "b": noisy(2, 1.04, 0.03), "c": noisy(3, 10, 0.03)}
    _, run = measure(prepared(rounds=8, budget_s=1000.0, max_rounds=27), execute)
    assert len(rounds_of(execute, "c")) == 8
    assert len(rounds_of(execute, "a")) == len(rounds_of(execute, "b")) > 8
    assert run.decisions[0].cells == ["a/tiny.en/short", "b/tiny.en/short"]
    assert run.decisions[0].level > 0.95  # every look has its share of the error
    found = {name: summary(cell) for name, cell in by_name(run).items()}
    assert found["c"].rank == found["c"].rank_last == 3
    bounds = found["c"].times_best_bounds
    assert bounds is not None
    assert bounds.level > run.decisions[-1].level  # one pair of several, all right at once
    assert found["c"].rtfx_bounds is not None
    assert found["c"].rtfx_bounds.level == 0.95  # nothing is decided by it


@pytest.fixture
def a_second_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round of a cell takes one second."""
    ticks = itertools.count()
    monkeypatch.setattr(rounds, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))


def close(*names: str) -> dict[str, Rule[float]]:
    """Cells within a few per cent of each other, and one that is ten times slower."""
    speeds = {"a": 1.0, "b": 1.04, "c": 10.0}
    return {name: noisy(at, speeds[name], 0.015) for at, name in enumerate(names, start=1)}


@pytest.mark.usefixtures("a_second_each")
def test_by_default_half_of_the_time_again_goes_to_the_pairs_that_have_no_verdict(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted()
    execute.seconds = close("a", "b", "c")
    _, run = measure(prepared(rounds=None), execute)
    # 6 rounds of three cells, and of the 9 s that may follow 8 in pairs of a and b.
    assert {name: len(rounds_of(execute, name)) for name in "abc"} == {"a": 10, "b": 10, "c": 6}
    assert [each.after for each in run.decisions] == [6, 10]
    assert {each.level for each in run.decisions} == {0.975}
    assert run.decisions[0].cells == ["a/tiny.en/short", "b/tiny.en/short"]
    assert run.decisions[1].reason == "the time for undecided pairs is used up"
    found = {name: summary(cell) for name, cell in by_name(run).items()}
    assert {name: (each.rounds_ok, each.rounds_asked) for name, each in found.items()} == {
        "a": (10, 10),
        "b": (10, 10),
        "c": (6, 6),
    }
    assert all(cell.status == "ok" for cell in run.cells)
    assert measured_amount(run, whole_set=False) == "6 to 10 rounds × 2 samples"
    assert [each.kind for each in found["a"].findings if each.kind == "samples"] == []


@pytest.mark.usefixtures("a_second_each")
@pytest.mark.parametrize(
    ("speeds", "reason"),
    [
        ({"a": 1.0, "b": 2.0, "c": 3.0}, "all pairs of cells have a verdict"),
        (
            {"a": 1.0, "b": 1.0, "c": 1.0},
            "the time left is unlikely to decide another pair of cells",
        ),
    ],
)
def test_by_default_a_run_ends_where_no_pair_is_open_or_none_can_be_settled(
    prepared: Callable[..., Prepared], speeds: dict[str, float], reason: str
) -> None:
    execute = Scripted()
    execute.seconds = {
        name: noisy(at, speed, 0.1 if len(set(speeds.values())) == 1 else 0.01)
        for at, (name, speed) in enumerate(speeds.items())
    }
    _, run = measure(prepared(rounds=None), execute)
    assert len(execute.visited) == 18
    assert [(each.after, each.cells, each.reason) for each in run.decisions] == [(6, [], reason)]


def test_rounds_that_are_asked_for_are_those_of_every_cell(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted()
    execute.seconds = close("a", "b", "c")
    _, run = measure(prepared(rounds=6), execute)
    assert len(execute.visited) == 18
    assert run.decisions == []


@pytest.mark.usefixtures("a_second_each")
@pytest.mark.parametrize("disturbed", [1, 7])
def test_by_default_a_disturbed_round_is_retaken_by_the_cells_that_were_in_it(
    prepared: Callable[..., Prepared], disturbed: int
) -> None:
    execute = Scripted()
    execute.seconds = close("a", "b", "c")
    _, run = measure(prepared(rounds=None), execute, watcher=Marks(disturbed))
    replaced = {each.round: each.replaced_by for each in run.rounds}[disturbed]
    assert replaced == OPEN_PAIRS_ROUNDS
    assert rounds_of(execute, "a").count(replaced) == 1
    assert rounds_of(execute, "c").count(replaced) == (1 if disturbed < 6 else 0)
    assert len(execute.visited) <= 1.5 * 18
    assert all(cell.status == "ok" for cell in run.cells)


def test_a_cell_alone_ends_after_its_rounds(prepared: Callable[..., Prepared]) -> None:
    execute = Scripted()
    _, run = measure(prepared(Backend(name="a"), rounds=None), execute)
    assert rounds_of(execute, "a") == list(range(6))
    assert [(each.after, each.reason) for each in run.decisions] == [(6, "")]
    assert [cell.status for cell in run.cells] == ["ok"]


def test_a_budget_that_is_spent_ends_the_run_and_says_so() -> None:
    told: list[s.Event] = []
    now = [0.0]
    took = {"a": 15.0, "b": 20.0}
    manifest = blank_manifest(["a", "b"])
    rule = Adaptive(
        manifest,
        Request(models=(), rounds=6, budget_s=100.0),
        told,
        told.append,
        clock=lambda: now[0],
    )
    assert rule.cells(0, (), {}) == {"a", "b"}
    now[0] = 60.0
    budgets = {name: Budget(math.inf, 60, spent_s, visits=1) for name, spent_s in took.items()}
    assert rule.cells(1, (), budgets) == {"a", "b"}  # 35 s more fit into 100 s
    now[0] = 95.0
    assert rule.cells(2, (), budgets) == frozenset()
    (decided,) = told
    assert isinstance(decided, s.Decided)
    assert decided.reason == "the 100 s of --budget is used up"


def test_a_failed_cell_is_not_waited_for(prepared: Callable[..., Prepared]) -> None:
    from fakes.sessions import CRASH, OK

    execute = Scripted(b=lambda number, _: CRASH if number == 2 else OK)
    _, run = measure(prepared(rounds=6, ci_width=0.02, max_rounds=12), execute)
    assert by_name(run)["b"].status == "crashed"
    assert rounds_of(execute, "b") == [0, 1, 2]
    assert len(rounds_of(execute, "a")) == 6


def test_an_adaptive_run_is_the_same_when_it_is_replayed(prepared: Callable[..., Prepared]) -> None:
    execute = Scripted()
    execute.seconds = {"b": noisy(1, 0.9, 0.05), "c": noisy(2, 1.0, 0.05)}
    where, run = measure(prepared(rounds=6, budget_s=1000.0, max_rounds=14), execute)
    assert summarize(directory.find(str(where.number)).replay()) == run


def blank_manifest(ids: list[str]) -> s.Manifest:
    manifest = run_of(FakeCell()).manifest
    cells = [
        msgspec.structs.replace(manifest.cells[0], id=each, backend=each, model="m", weights=None)
        for each in ids
    ]
    return msgspec.structs.replace(manifest, cells=cells)
