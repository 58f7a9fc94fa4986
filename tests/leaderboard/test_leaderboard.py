"""Runs of several machines that are not there, as a leaderboard: the known truth comes out."""

from __future__ import annotations

import random
import statistics

import msgspec
import pytest

from fakes.parks import (
    ANOTHER,
    ANOTHER_KIND,
    ONE_KIND,
    TWO,
    machine,
    submitted,
    without_texts,
)
from fakes.recordings import collection
from fakes.runs import FakeCell, FakeRun
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.leaderboard import build, sections
from mac_whisper_speedtest.leaderboard.build import Board, BoardRow, Leaderboard
from mac_whisper_speedtest.request import settings_of
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import summary_of

NAMES = ("openai-whisper", "whisper.cpp")
WRONG = {"u1": "he sold all of his socks", "u2": "in a very dry desert"}


def built(*runs: FakeRun) -> Leaderboard:
    return build.build_leaderboard(submitted(*runs))


def only(found: Leaderboard) -> Board:
    (board,) = found.boards
    return board


def rows(board: Board) -> dict[str, BoardRow]:
    return {row.configuration.backend: row for group in board.groups for row in group.rows}


def ranks(board: Board) -> dict[str, tuple[str, int | None, int | None]]:
    return {
        row.configuration.backend: (group.name, row.rank, row.rank_last)
        for group in board.groups
        for row in group.rows
    }


def test_of_one_bundle_the_figures_are_those_of_its_run() -> None:
    run = machine(1)
    cells = {cell.backend.name: cell.summary for cell in run.run.cells}

    found = rows(only(built(run)))

    for name in NAMES:
        summary, row = cells[name], found[name]
        assert summary is not None
        assert summary.rtfx_bounds is not None
        assert row.rtfx is not None
        assert row.rtfx.value == pytest.approx(summary.rtfx)
        assert (row.rtfx.low, row.rtfx.high) == (summary.rtfx_bounds.low, summary.rtfx_bounds.high)
        assert (row.rtfx.basis, row.rtfx.level, row.rounds) == ("rounds", 0.95, 6)
        assert row.error_rate is not None
        assert (row.error_rate.value, row.peak_memory_bytes) == (0.0, 300_000_000)
        assert (row.runs_ok, row.runs, row.load_s) == (1, 1, 1.9)
    assert ranks(only(built(run))) == {"whisper.cpp": ("A", 1, 1), "openai-whisper": ("A", 2, 2)}


def test_of_several_bundles_it_is_the_median_of_theirs_and_their_range() -> None:
    runs = [machine(number, times=times) for number, times in enumerate((1.0, 1.06, 1.03), 1)]

    row = rows(only(built(*runs)))["whisper.cpp"]

    own = [10.0 / 1.06, 10.0 / 1.03, 10.0]
    assert row.rtfx is not None
    assert row.rtfx.values == pytest.approx(own, rel=0.01)
    assert row.rtfx.value == statistics.median(row.rtfx.values)
    assert (row.rtfx.basis, row.rtfx.level) == ("range", None)
    assert (row.rtfx.low, row.rtfx.high) == (row.rtfx.values[0], row.rtfx.values[-1])
    assert (row.rounds, row.runs_ok, len(row.bundles)) == (18, 3, 3)


def test_six_bundles_allow_an_interval_between_them() -> None:
    rnd = random.Random(1)
    runs = [machine(number, times=1 + rnd.uniform(0, 0.04)) for number in range(1, 9)]

    row = rows(only(built(*runs)))["whisper.cpp"]

    assert row.rtfx is not None
    assert (row.rtfx.basis, row.rtfx.level) == ("bundles", 0.95)
    assert row.rtfx.low == row.rtfx.values[0]  # the sign test's interval of eight
    assert row.rtfx.high == row.rtfx.values[-1]


def test_other_work_is_on_another_board() -> None:
    usual = machine(1)
    beam = machine(2, request={"contract": settings_of(DecodeContract(name="x"))})
    weights = {"network_sha256": "c" * 64}
    cells = [
        msgspec.structs.replace(
            plan, weights=msgspec.structs.replace(plan.weights, **weights) if plan.weights else None
        )
        for plan in usual.manifest.cells
    ]
    network = FakeRun(
        msgspec.structs.replace(usual.manifest, cells=cells, run_id=f"{3:032x}"),
        machine(3).events,
    )

    found = built(usual, beam, network, machine(4, machine=ANOTHER))

    assert sorted(
        (b.workload.hardware, b.contract["name"], b.workload.network[:1]) for b in found.boards
    ) == [
        (ONE_KIND, "greedy", "b"),
        (ONE_KIND, "greedy", "c"),
        (ONE_KIND, "x", "b"),
        (ANOTHER_KIND, "greedy", "b"),
    ]
    assert [each.bundles for each in found.boards] == [1, 1, 1, 1]


def test_other_threads_are_another_row() -> None:
    found = only(built(machine(1), machine(2, times=2.0, request={"threads": 1, "nice": 5})))

    assert {
        (row.configuration.backend, row.configuration.threads)
        for g in found.groups
        for row in g.rows
    } == {(name, threads) for name in NAMES for threads in ("4", "1, nice 5")}


def test_a_failed_run_stays_in_the_denominator() -> None:
    crashed = machine(
        4, backends=[*TWO, FakeCell("whisper.cpp", ending="failed", message="no such file")]
    )

    found = only(built(machine(1), machine(2), machine(3), crashed))

    row = rows(found)["whisper.cpp"]
    assert (row.runs_ok, row.runs) == (3, 4)
    assert row.endings == {"failed": 1, "ok": 3}
    assert rows(found)["openai-whisper"].runs_ok == 4


def test_what_never_worked_is_there_without_a_rank() -> None:
    found = only(
        built(machine(1, backends=[*TWO, FakeCell("broken", ending="failed", message="no")]))
    )

    assert [group.name for group in found.groups] == ["A", ""]
    (row,) = found.groups[-1].rows
    assert (row.configuration.backend, row.configuration.version, row.rank, row.rtfx) == (
        "broken",
        None,
        None,
        None,
    )
    assert (row.runs_ok, row.runs) == (0, 1)


def test_what_cannot_run_on_a_machine_is_no_failure() -> None:
    run = machine(1)
    plan = msgspec.structs.replace(run.manifest.cells[0], id="mlx/tiny.en/speech", backend="mlx")
    skipped = s.RoundSkipped(
        cell=plan.id, round=0, status="unavailable", error_class="NotInstalled", message="no"
    )
    manifest = msgspec.structs.replace(run.manifest, cells=[*run.manifest.cells, plan])

    found = only(built(FakeRun(manifest, [skipped, *run.events])))

    assert found.unavailable == {"mlx": 1}
    assert "mlx" not in rows(found)


def test_what_is_fast_but_wrong_is_apart() -> None:
    backends = [*TWO, FakeCell("bad", rtf=0.01, text=WRONG)]
    found = only(built(machine(1, backends=backends), machine(2, backends=backends)))

    assert [
        (g.name, g.fast_but_wrong, [r.configuration.backend for r in g.rows]) for g in found.groups
    ] == [
        ("A", False, ["whisper.cpp", "openai-whisper"]),
        ("B", True, ["bad"]),
    ]


def test_a_wrong_backend_alone_in_its_bundle_is_compared_with_those_of_the_others() -> None:
    alone = machine(3, backends=[FakeCell("bad", rtf=0.01, text=WRONG)])

    found = only(built(machine(1), alone))

    assert [
        (g.fast_but_wrong, [r.configuration.backend for r in g.rows]) for g in found.groups
    ] == [
        (False, ["whisper.cpp", "openai-whisper"]),
        (True, ["bad"]),
    ]


def test_who_does_other_work_is_in_a_group_of_its_own_however_fast() -> None:
    other = FakeCell("other", rtf=0.01, settings={"timestamps": False})

    found = only(built(machine(1, backends=[*TWO, other])))

    assert [(g.name, g.deviations, len(g.rows)) for g in found.groups] == [
        ("A", (), 2),
        ("B", ("timestamps false instead of true",), 1),
    ]


def test_bundles_that_contradict_each_other_leave_a_tie() -> None:
    one = machine(1, backends=[FakeCell("a"), FakeCell("b", rtf=0.15)])
    other = machine(2, backends=[FakeCell("a", rtf=0.15), FakeCell("b")])
    third = machine(3, backends=[FakeCell("a", rtf=0.13), FakeCell("b")])

    assert set(ranks(only(built(one, other))).values()) == {("A", 1, 2)}
    assert set(ranks(only(built(one, other, third))).values()) == {("A", 1, 2)}


def test_two_bundles_that_agree_give_ranks() -> None:
    assert ranks(only(built(machine(1), machine(2)))) == {
        "whisper.cpp": ("A", 1, 1),
        "openai-whisper": ("A", 2, 2),
    }


def test_rows_that_no_bundle_has_together_are_a_tie() -> None:
    first = machine(1, backends=[FakeCell("a")])
    second = machine(2, backends=[FakeCell("b", rtf=0.2)])
    assert set(ranks(only(built(first, second))).values()) == {("A", 1, 2)}


def test_a_difference_below_the_margin_is_a_tie() -> None:
    close = [FakeCell("a"), FakeCell("b", rtf=0.101)]
    runs = [machine(number, backends=close) for number in range(1, 5)]
    assert set(ranks(only(built(*runs))).values()) == {("A", 1, 2)}


def test_the_machine_that_is_slower_than_its_three_peers_is_flagged() -> None:
    runs = [machine(number, times=1 + number / 100) for number in (1, 2, 3)]
    slow = machine(4, times=1.5)
    other = machine(5, times=3.0, machine=ANOTHER)

    found = built(*runs, slow, other)

    kinds = {each.hardware: each for each in found.classes}
    members = {each.name: each.outlier for each in kinds[ONE_KIND].members}
    assert [name for name, each in members.items() if each.off] == [slow.manifest.run_id]
    assert members[slow.manifest.run_id].ratio == pytest.approx(1.025 / 1.5, rel=0.02)
    assert members[slow.manifest.run_id].cells == 2
    spread = kinds[ONE_KIND].spread
    assert spread is not None
    assert (spread.bundles, spread.low < 0.72, spread.high < 1.05) == (4, True, True)
    assert kinds[ANOTHER_KIND].spread is None
    row = rows(next(b for b in found.boards if b.workload.hardware == ONE_KIND))["whisper.cpp"]
    assert row.rtfx is not None
    assert row.rtfx.value == pytest.approx(10 / 1.025, rel=0.02)  # a median does not mind


def test_the_order_in_which_bundles_come_does_not_matter() -> None:
    runs = submitted(*(machine(number, times=1 + number / 50) for number in range(1, 6)))
    first = build.build_leaderboard(runs)
    random.Random(3).shuffle(runs)
    assert build.build_leaderboard(runs) == first


def test_a_bundle_without_texts_is_on_the_same_board() -> None:
    found = only(built(machine(1), without_texts(machine(2, times=1.1))))

    row = rows(found)["whisper.cpp"]
    assert found.bundles == 2
    assert row.rtfx is not None
    assert len(row.rtfx.values) == 2
    assert row.error_rate is not None
    assert len(row.error_rate.values) == 1


def test_other_words_for_the_same_sound_are_another_board() -> None:
    run = machine(2)
    clips = [
        msgspec.structs.replace(
            clip,
            utterances=[
                msgspec.structs.replace(e, reference=f"well {e.reference}") for e in clip.utterances
            ],
        )
        for clip in run.manifest.clips
    ]
    other = FakeRun(msgspec.structs.replace(run.manifest, clips=clips), run.events)

    assert [each.bundles for each in built(machine(1), other).boards] == [1, 1]


def test_timings_that_two_bundles_share_to_the_last_digit_are_remarked_upon() -> None:
    run = machine(1)
    copy = FakeRun(msgspec.structs.replace(run.manifest, run_id="9" * 32), run.events)

    (kind,) = built(run, copy, machine(2)).classes

    assert {each.name: each.alike for each in kind.members} == {
        run.manifest.run_id: ("9" * 32,),
        "9" * 32: (run.manifest.run_id,),
        f"{2:032x}": (),
    }


def test_nothing_makes_an_empty_leaderboard() -> None:
    assert build.build_leaderboard([]) == Leaderboard((), ())


def test_no_two_rows_of_a_board_have_the_same_name() -> None:
    def ran_as(run: FakeRun, **found: str) -> FakeRun:
        events = [
            msgspec.structs.replace(each, **found) if isinstance(each, s.Loaded) else each
            for each in run.events
        ]
        return FakeRun(run.manifest, events)

    one = [FakeCell("whisper.cpp")]
    beam = [FakeCell("whisper.cpp", settings={"beam_size": 5})]
    board = only(
        built(
            machine(
                1,
                backends=[FakeCell("whisper.cpp"), FakeCell("whisper.cpp:q5_1", rtf=0.09)],
            ),
            ran_as(machine(2, backends=one), precision="float16"),
            ran_as(machine(3, backends=one), version="1.11"),
            ran_as(machine(4, backends=one), device="gpu"),
            machine(5, backends=one, request={"threads": 8}),
            machine(6, backends=beam, request={"threads": 8}),
        )
    )
    assert set(sections.row_names(board).values()) == {
        "whisper.cpp:q5_1 1.2.3 float32",
        "whisper.cpp 1.2.3 float16",
        "whisper.cpp 1.11 float32",
        "whisper.cpp 1.2.3 float32 on gpu",
        "whisper.cpp 1.2.3 float32 on cpu, 4 threads",
        "whisper.cpp 1.2.3 float32 on cpu, 8 threads, group A",
        "whisper.cpp 1.2.3 float32 on cpu, 8 threads, group B",
    }


def test_an_error_rate_has_the_interval_of_its_recordings() -> None:
    said = {f"u{number}": " ".join(f"word{number}x{n}" for n in range(12)) for number in range(40)}
    wrong = {name: text + " more" * (int(name[1:]) % 4 == 0) for name, text in said.items()}
    speech = collection(said)
    runs = [machine(n, backends=[FakeCell("a", text=wrong)], speech=speech) for n in (1, 2)]

    row = rows(only(built(*runs)))["a"]

    accuracy = summary_of(runs[0].run.cells[0]).accuracy
    assert accuracy is not None
    assert row.error_rate is not None
    assert (row.error_rate.basis, row.error_rate.level) == ("texts", 0.95)
    assert (row.error_rate.low, row.error_rate.high) == (accuracy.rate_low, accuracy.rate_high)
    assert row.error_rate.low is not None
    assert row.error_rate.low < row.error_rate.value
