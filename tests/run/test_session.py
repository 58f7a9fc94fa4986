"""The round loop with an executor that runs nothing: order, retries, stopping, budget, summary."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from fakes.sessions import CRASH, OK, Scripted, Unwatched, by_name, measure, summary
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.journal import LostJournalError
from mac_whisper_speedtest.run.prepare import Prepared
from mac_whisper_speedtest.summary.summarize import summarize


def test_rounds_are_interleaved_as_scheduled(prepared: Callable[..., Prepared]) -> None:
    execute = Scripted()
    _, run = measure(prepared(rounds=4), execute)
    visited = [f"{name}/tiny.en/short" for name, _, _ in execute.visited]
    assert visited == [name for visit in run.manifest.schedule for name in visit]
    assert [number for _, number, _ in execute.visited] == [n for n in range(4) for _ in range(3)]


def test_cells_are_ranked_by_the_median_of_round_medians(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted()
    # b is quicker in all rounds but a very slow one, which spoils its mean.
    execute.seconds = {"b": lambda number, _: 9.0 if number == 0 else 0.5, "c": lambda *_: 2.0}
    _, run = measure(prepared(rounds=20), execute)
    found = {name: summary(cell) for name, cell in by_name(run).items()}
    assert {name: each.rank for name, each in found.items()} == {"b": 1, "a": 2, "c": 3}
    assert {name: each.rank_last for name, each in found.items()} == {"b": 1, "a": 2, "c": 3}
    assert {name: each.verdict for name, each in found.items()} == {
        "b": "",
        "a": "SLOWER",
        "c": "SLOWER",
    }
    assert found["b"].median_s == 0.5
    assert found["b"].max_s == 9.0
    assert found["a"].times_best == 2.0
    assert found["a"].rtfx == 2.0
    assert found["a"].wer == 0.0


def test_cells_that_the_rounds_do_not_tell_apart_are_tied(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted()
    # One very slow round of three: nobody knows who is quicker.
    execute.seconds = {"b": lambda number, _: 9.0 if number == 0 else 0.5}
    _, run = measure(prepared(), execute)
    found = {name: summary(cell) for name, cell in by_name(run).items()}
    assert {(each.rank, each.rank_last) for each in found.values()} == {(1, 3)}
    assert found["a"].verdict == "AMBIGUOUS"
    assert all(
        each.rtfx_bounds is None for each in found.values()
    )  # from three rounds there is none


def test_a_median_has_an_interval_from_six_rounds_on(prepared: Callable[..., Prepared]) -> None:
    execute = Scripted()
    execute.seconds = {"b": lambda number, _: 1.0 + number / 10}
    _, run = measure(prepared(rounds=6), execute)
    bounds = summary(by_name(run)["b"]).rtfx_bounds
    assert bounds is not None
    assert (bounds.low, bounds.high) == pytest.approx((2 / 1.5, 2 / 1.0))
    assert (bounds.level, bounds.rounds) == (0.95, 6)


def test_a_failed_cell_keeps_its_samples_has_no_rank_and_is_not_visited_again(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted(b=lambda number, _: CRASH if number == 1 else OK)
    _, run = measure(prepared(), execute)
    cell = by_name(run)["b"]
    assert cell.status == "crashed"
    assert summary(cell).rank is None
    assert summary(cell).timed_samples == 2
    assert [name for name, number, _ in execute.visited if number == 2].count("b") == 0
    assert {by_name(run)[name].status for name in "ac"} == {"ok"}


def test_a_retry_that_succeeds_makes_the_cell_ok_and_hides_nothing(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted(b=lambda number, attempt: CRASH if (number, attempt) == (0, 0) else OK)
    _, run = measure(prepared(retries=2), execute)
    cell = by_name(run)["b"]
    assert cell.status == "ok"
    assert summary(cell).retries == 1
    assert [ending.status for ending in cell.endings].count("crashed") == 1
    assert summary(cell).timed_samples == 6


def test_fail_fast_skips_everything_after_the_first_failure(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted(**{name: lambda *_: CRASH for name in "abc"})
    _, run = measure(prepared(fail_fast=True), execute)
    assert len(execute.visited) == 1
    assert sorted(cell.status for cell in run.cells) == ["crashed", "skipped", "skipped"]
    assert run.manifest.outcome is not None
    assert run.manifest.outcome.state == "stopped"


def test_max_failures_allows_that_many(prepared: Callable[..., Prepared]) -> None:
    execute = Scripted(**{name: lambda *_: CRASH for name in "abc"})
    _, run = measure(prepared(max_failures=1), execute)
    assert len(execute.visited) == 2
    assert sorted(cell.status for cell in run.cells) == ["crashed", "crashed", "skipped"]


def test_a_cell_that_is_unavailable_is_never_started(prepared: Callable[..., Prepared]) -> None:
    ready = replace(prepared(), unavailable={"a/tiny.en/short": "not installed"})
    execute = Scripted()
    _, run = measure(ready, execute)
    assert by_name(run)["a"].status == "unavailable"
    assert {name for name, _, _ in execute.visited} == {"b", "c"}


def test_a_deviation_from_the_contract_is_recorded_and_named(
    prepared: Callable[..., Prepared],
) -> None:
    execute = Scripted()
    execute.deviates = {"c"}
    _, run = measure(prepared(), execute)
    cell = by_name(run)["c"]
    (deviation,) = cell.contract.deviations
    assert (deviation.setting, deviation.requested, deviation.effective) == ("beam_size", 1, 5)
    assert [finding.kind for finding in summary(cell).findings] == ["contract"]
    assert by_name(run)["a"].contract.deviations == []


def test_a_report_that_the_description_contradicts_is_named(
    prepared: Callable[..., Prepared],
) -> None:
    described = Backend(name="a", fixed={"window": "chunked-30s"})
    ready = prepared(described, Backend(name="b"))
    _, run = measure(ready, Scripted())
    assert by_name(run)["a"].contract.declared["window"] == "chunked-30s"
    assert [each.message for each in summary(by_name(run)["a"]).findings] == [
        "window: reported sequential-30s, but declared chunked-30s"
    ]
    assert by_name(run)["b"].contract.declared == {}
    assert summary(by_name(run)["b"]).findings == []


def test_replaying_the_journal_gives_the_sealed_run(prepared: Callable[..., Prepared]) -> None:
    execute = Scripted(b=lambda number, _: CRASH if number == 1 else OK)
    where, run = measure(prepared(), execute)
    again = summarize(directory.find(str(where.number)).replay())
    assert again == run
    sealed = msgspec.json.decode(where.sealed_path.read_bytes(), type=s.Run)
    assert sealed.digests is not None
    assert msgspec.structs.replace(sealed, digests=None) == again


def test_runs_are_numbered_in_order(prepared: Callable[..., Prepared]) -> None:
    first, _ = measure(prepared(rounds=1), Scripted())
    second, _ = measure(prepared(rounds=1), Scripted())
    assert second.number == first.number + 1
    assert directory.find("latest").path == second.path


def test_a_run_whose_folder_is_gone_when_it_ends_is_sealed_all_the_same(
    prepared: Callable[..., Prepared],
) -> None:
    class Thief(Unwatched):
        def after_round(self, number: int, *, last: bool) -> s.RoundWatched | None:
            if number == 2:
                shutil.rmtree(directory.find("latest").path)
            return None

    with pytest.raises(LostJournalError, match="was removed"):
        measure(prepared(rounds=3), Scripted(), Thief())
    run = directory.find("latest")
    assert run.sealed_path.exists()
    assert [cell.status for cell in run.replay().cells] == ["ok"] * 3
