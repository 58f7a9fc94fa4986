"""Forgers are found by their peers or by their own run; what is not certain is disputed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.forgery import (
    BACKENDS,
    SELF_CONTRADICTING,
    board_of,
    divided,
    honest,
    journal_kept,
)
from fakes.parks import ANOTHER, TWO, machine, submitted
from fakes.runs import FakeCell, FakeRun, run_of_set, times_of
from mac_whisper_speedtest.bundle import write
from mac_whisper_speedtest.leaderboard import build, intake, peers, sections, site
from mac_whisper_speedtest.leaderboard.intake import Intake
from mac_whisper_speedtest.leaderboard.peers import Speed
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import summary_of
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.summary import evidence


def test_one_backend_whose_times_were_divided_in_one_of_five_bundles_is_left_out(
    tmp_path: Path,
) -> None:
    runs = [machine(number) for number in range(1, 6)]
    runs[2] = divided(runs[2], "whisper.cpp", 3)

    board, named = board_of(runs, tmp_path)

    forger = runs[2].manifest.run_id
    assert named.left_out == {(forger, "whisper.cpp")}
    (row,) = (r for g in board.boards[0].groups for r in g.rows if r.left_out)
    assert row.rtfx is not None
    assert len(row.rtfx.values) == 4
    assert max(row.rtfx.values) < 11
    assert "3 times as fast as with its 4 peers" in row.left_out[0].why
    assert (row.rank, row.runs_ok) == (1, 5)


def test_four_of_six_bundles_with_times_divided_by_40_only_make_the_row_disputed(
    tmp_path: Path,
) -> None:
    runs = [machine(number) for number in range(1, 7)]
    for number in range(4):
        runs[number] = divided(runs[number], "openai-whisper", 40)

    board, named = board_of(runs, tmp_path)

    assert named.left_out == set()
    assert named.slower == set()
    assert named.disputed == {"openai-whisper": tuple(f"{each:032x}" for each in range(1, 5))}
    rows = [row for group in board.boards[0].groups for row in group.rows]
    assert [(row.configuration.backend, row.rank) for row in rows] == [
        ("whisper.cpp", 1),
        ("openai-whisper", None),
    ]
    page = site.index_page(board, Intake((), (), 0))
    assert "openai-whisper 1.2.3 float32 has no rank. The bundles contradict each other" in page
    assert "disputed" in page


def test_a_slow_machine_is_odd_in_no_single_row(tmp_path: Path) -> None:
    runs = [machine(number) for number in range(1, 6)]
    _, named = board_of([*runs, machine(6, times=2.0)], tmp_path)
    assert (named.left_out, named.slower, named.disputed) == (set(), set(), {})


def test_all_backends_of_most_bundles_divided_leave_open_which_machines_are_off() -> None:
    speeds = {str(n): {"x": Speed(10.0), "y": Speed(20.0)} for n in range(2)}
    speeds |= {str(n): {"x": Speed(400.0), "y": Speed(800.0)} for n in range(2, 6)}
    found, spread = peers.machine_outliers(speeds)
    assert not any(each.off for each in found.values())
    assert spread is not None
    assert spread.dispute is not None
    assert spread.dispute.slow == ("0", "1")


@pytest.mark.parametrize("forge", SELF_CONTRADICTING)
def test_a_run_that_contradicts_itself_is_left_out_even_alone(
    tmp_path: Path, forge: object
) -> None:
    (run,) = honest(random.Random(1), 1, 2)
    assert callable(forge)
    _, named = board_of([forge(run, BACKENDS[0], 5.0)], tmp_path)
    assert named.left_out == {(run.manifest.run_id, BACKENDS[0])}


def test_a_journal_that_was_not_written_while_measuring_says_nothing(tmp_path: Path) -> None:
    (run,) = honest(random.Random(1), 1, 3)
    copied = FakeRun(run.manifest, run.events, at_s=[0.001 * n for n in range(len(run.events))])
    _, named = board_of([copied], tmp_path)
    assert named.left_out == set()


def test_times_that_were_multiplied_to_harm_another_backend_are_left_out(tmp_path: Path) -> None:
    (run,) = honest(random.Random(1), 1, 3)
    slowed = divided(run, BACKENDS[0], 1 / 3)
    forged = FakeRun(slowed.manifest, slowed.events, at_s=times_of(run.events))
    _, named = board_of([forged], tmp_path)
    assert named.left_out == {(run.manifest.run_id, BACKENDS[0])}


def test_a_row_whose_only_bundle_is_left_out_is_shown_without_figures(tmp_path: Path) -> None:
    (run,) = honest(random.Random(1), 1, 2)
    board, _ = board_of([SELF_CONTRADICTING[0](run, BACKENDS[0], 5.0)], tmp_path)
    (group,) = (g for b in board.boards for g in b.groups if any(r.left_out for r in g.rows))
    (row,) = (row for row in group.rows if row.left_out)
    assert (row.rtfx, row.rank, row.error_rate) == (None, None, None)
    assert sections.row_state(group, row) == sections.LEFT_OUT


def test_no_network_is_faster_than_its_encoder_allows() -> None:
    def doubts(rtf: float, **changes: Any) -> list[str]:
        no_tokens = {"tokens": None}
        cell = FakeCell("a", rtf=rtf, model="large-v3", sample=no_tokens, **changes)
        run = run_of_set(cell, rounds=6).run
        return evidence.doubts_of_cell(run.cells[0], run.manifest.machine)

    assert doubts(1 / 30) == []
    assert "at most 41 is possible on this machine" in doubts(1 / 100)[0]
    assert doubts(1 / 100, settings={"vad": True}) == []


def test_energy_that_differs_from_that_of_the_peers_is_named_and_too_much_power_left_out(
    tmp_path: Path,
) -> None:
    def runs(joules: float) -> list[FakeRun]:
        return [
            machine(n, backends=[FakeCell("a", joules=joules if n == 2 else 30.0), FakeCell("b")])
            for n in range(1, 5)
        ]

    board, named = board_of(runs(10.0), tmp_path / "less")
    (member,) = (each for kind in board.classes for each in kind.members if each.odd)
    assert member.name == f"{2:032x}"
    assert member.odd == ("a: 0.33 times the energy of its peers",)
    assert named.left_out == set()

    _, named = board_of(runs(6000.0), tmp_path / "more")
    assert named.left_out == {(f"{2:032x}", "a")}


def test_whispers_encoder_takes_as_many_operations_as_its_size_says() -> None:
    """Base, by hand: 12 × 512² × 1500 × 6 + 2 × 1500² × 512 × 6 = 42.1 G multiply-adds a window."""
    run = run_of_set(FakeCell("a", model="base.en", sample={"tokens": None}), rounds=1).run
    per_core = 6e9 * 64 * 8
    fastest = evidence.fastest_rtfx(run.cells[0], run.manifest.machine)
    assert fastest is not None
    assert per_core / fastest * 30 / 2 == pytest.approx(42.1e9, rel=0.01)


@pytest.mark.parametrize(
    ("model", "per_token"),
    [
        ("base.en", 6 * 14 * 512**2 + 512 * 51_864),
        ("large-v3-turbo", 4 * 14 * 1280**2 + 1280 * 51_864),
        ("distil-large-v3", 2 * 14 * 1280**2 + 1280 * 51_864),
    ],
)
def test_every_token_takes_its_operations_too(model: str, per_token: int) -> None:
    def seconds_at_peak(tokens: int) -> float:
        """Of an audio second."""
        cell = FakeCell("a", model=model, sample={"tokens": tokens})
        run = run_of_set(cell, rounds=1).run
        fastest = evidence.fastest_rtfx(run.cells[0], run.manifest.machine)
        assert fastest is not None
        return 1 / fastest

    run = run_of_set(FakeCell("a"), rounds=1).run
    recordings = run.cells[0].clip.recordings
    per_audio_s = len(recordings) / sum(each.seconds for each in recordings)
    more = (seconds_at_peak(1000) - seconds_at_peak(0)) / (1000 * per_audio_s)
    assert more * 6e9 * 64 * 8 / 2 == pytest.approx(per_token, rel=1e-6)


def test_a_group_that_did_not_keep_the_contract_is_not_called_equal_work() -> None:
    other = FakeCell("other", rtf=0.01, settings={"timestamps": False})
    board = build.build_leaderboard(submitted(machine(1, backends=[*TWO, other])))
    page = site.index_page(board, Intake((), (), 0))
    assert "group A: the contract" in page
    assert "group B: other settings" in page
    assert "equal work</text>" not in page


def test_rows_that_are_tied_although_their_intervals_do_not_overlap_say_why() -> None:
    first = machine(1, backends=[FakeCell("a")])
    second = machine(2, backends=[FakeCell("b", rtf=0.2)])
    board = build.build_leaderboard(submitted(first, second))
    page = site.index_page(board, Intake((), (), 0))
    assert "b 1.2.3 float32 are tied although their intervals do not overlap" in page
    assert "no bundle has both" in page


def test_a_verdict_of_an_unfinished_cell_counts_for_nothing() -> None:
    run = machine(1, backends=[*TWO, FakeCell("c", text={"u1": "no", "u2": "no"})])
    events = [
        each
        for each in run.events
        if not (isinstance(each, s.WorkerEnded) and each.cell.startswith("c/"))
    ]
    (submission,) = submitted(FakeRun(run.manifest, events[:-1]))
    cells = {each.configuration.backend: each for each in submission.cells}
    assert cells["c"].status == "skipped"
    assert build.below_reference(list(cells.values())) == set()


def test_honest_machines_of_another_kind_are_not_peers(tmp_path: Path) -> None:
    runs = [machine(1), machine(2), machine(3), machine(4, times=0.1, machine=ANOTHER)]
    _, named = board_of(runs, tmp_path)
    assert (named.left_out, named.disputed) == (set(), {})


def test_an_honest_cell_has_no_doubts() -> None:
    run = run_of_set(FakeCell("a"), rounds=6).run
    assert [evidence.doubts_of_cell(each, run.manifest.machine) for each in run.cells] == [[]]
    assert summary_of(run.cells[0]).rtfx == pytest.approx(10, rel=0.05)
    assert msgspec.json.encode(run)


def test_the_same_is_found_in_bundles(tmp_path: Path) -> None:
    paths = []
    for number in range(1, 5):
        run = machine(number, rounds=2, passes=2)
        if number == 3:
            run = journal_kept(run, "whisper.cpp", 3.0)
        folder = run.write(tmp_path / f"{number}")
        write.write_bundle(RunDirectory(folder), tmp_path / f"{number}.zip")
        paths.append(tmp_path / f"{number}.zip")
    found = intake.read_bundles(paths)
    (forged,) = (each for each in found.accepted if any(cell.doubts for cell in each.cells))
    assert forged.name == f"{3:032x}"
    board = build.build_leaderboard(found.accepted)
    (out,) = (out for g in board.boards[0].groups for row in g.rows for out in row.left_out)
    assert out.bundle == forged.name
    assert "were recorded" in out.why
