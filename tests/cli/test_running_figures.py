"""What a person sees of a run while it goes on."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.cli.output import RewrittenLine
from mac_whisper_speedtest.cli.progress import observer
from mac_whisper_speedtest.cli.running_figures import RunningFigures, duration_by_history
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def followed(
    *cells: FakeCell, rounds: int, limit_s: float = 600.0, upto: int = 0, **options: Any
) -> RunningFigures:
    """A run's journal up to the end of so many rounds; a worker takes 10 s."""
    made = run_of(*cells, rounds=rounds, **options)
    clock = Clock()
    figures = RunningFigures(made.run.manifest, limit_s, clock=clock)
    for event in made.events:
        if getattr(event, "round", 0) >= (upto or rounds):
            continue
        if isinstance(event, s.WorkerStarted):
            figures.visit(event.cell)
            clock.now_s += 10.0
        figures.add(event)
    return figures


def test_before_a_run_it_says_what_is_measured_and_for_how_long_at_most() -> None:
    manifest = run_of(FakeCell("a"), FakeCell("b"), rounds=6).run.manifest
    assert RunningFigures(manifest, 240.0).outlook() == (
        "measuring 2 cells in 6 rounds on 10.0 s of speech; at most 4 min"
    )
    assert RunningFigures(manifest, math.inf).outlook().endswith("narrow enough")


def test_earlier_runs_on_such_a_machine_say_how_long_it_will_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    planned = run_of(FakeCell("a"), FakeCell("b"), rounds=6).run.manifest
    assert duration_by_history(planned) is None
    earlier = run_of(FakeCell("a", rtf=0.1), FakeCell("b", rtf=0.4), rounds=3)
    earlier.write(directory.runs_dir() / "000001")
    seconds = duration_by_history(planned)
    assert seconds is not None
    calls = (planned.request.passes + 1) * len(planned.schedule)
    begun_s = [
        sum(load.import_s or 0.0 for load in cell.loads[:1])
        + sum(load.load_s for load in cell.loads[:1])
        for cell in earlier.run.cells
    ]
    assert seconds == pytest.approx(calls * 10.0 * (0.1 + 0.4) + 6 * sum(begun_s), rel=0.01)
    unknown = run_of(FakeCell("a"), FakeCell("c"), rounds=6).run.manifest
    assert duration_by_history(unknown) is None
    outlook = RunningFigures(planned, 240.0).outlook(seconds)
    assert outlook.endswith("about 2 min by earlier runs, at most 4 min")
    assert "earlier" not in RunningFigures(planned, 240.0).outlook(900.0)


def test_each_cell_has_a_line_with_its_median_and_its_interval_once_there_is_one() -> None:
    few = list(
        followed(FakeCell("quick", rtf=0.1), FakeCell("b", rtf=0.2), rounds=6, upto=2).lines()
    )
    assert [line.split()[1:3] for line in few] == [["2", "rounds"]] * 2
    assert few[0].startswith("quick/tiny.en/speech")
    assert few[0].endswith("× real time")
    assert "(" not in few[0]
    all_of_them = list(followed(FakeCell("quick", rtf=0.1), rounds=6).lines())
    assert "6 rounds" in all_of_them[0]
    assert "–" in all_of_them[0]


def test_the_time_left_follows_from_the_rounds_so_far_and_ends_with_the_limit() -> None:
    cells = (FakeCell("a"), FakeCell("b"))
    assert followed(*cells, rounds=6, upto=2).left() == "about 80 s left"
    assert followed(*cells, rounds=6, upto=2, limit_s=70.0).left() == "about 30 s left"
    assert followed(*cells, rounds=2).left() == ""


def test_by_default_it_says_how_much_longer_open_pairs_may_take() -> None:
    cells = (FakeCell("a"), FakeCell("b"))
    made = run_of(*cells, rounds=8, request={"rounds": None})
    assert RunningFigures(made.run.manifest, 240.0).outlook() == (
        "measuring 2 cells in 6 to 15 rounds on 10.0 s of speech; at most 4 min"
    )
    figures = followed(*cells, rounds=8, upto=2, request={"rounds": None})
    assert figures.left() == "about 80 s left, at most 2 min"
    assert followed(FakeCell("a"), rounds=8, upto=2, request={"rounds": None}).left() == (
        "about 40 s left"
    )
    figures = followed(*cells, rounds=8, upto=6, request={"rounds": None})
    assert figures.left() == "at most 60 s left"
    names = [each.id for each in made.run.manifest.cells]
    figures.add(s.Decided(after=6, until=15, look=0, level=0.975, cells=names, reason=""))
    assert figures.left() == "about 60 s left"
    figures.add(s.Decided(after=6, until=6, look=0, level=0.975, cells=[], reason=""))
    assert figures.left() == ""


def test_a_cell_that_failed_costs_no_time_and_says_how_it_ended() -> None:
    figures = followed(FakeCell("a"), FakeCell("b", ending="timeout"), rounds=6, upto=1)
    assert figures.left() == "about 50 s left"
    assert any(line.startswith("b/") and "timeout" in line for line in figures.lines())


def test_a_resumed_run_knows_what_was_measured_before() -> None:
    made = run_of(FakeCell("a"), rounds=6)
    figures = RunningFigures(made.run.manifest, 600.0, made.events)
    assert "6 rounds" in next(iter(figures.lines()))


@pytest.fixture
def terminal() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """The two ends of a terminal."""
    controller, device = os.openpty()
    with os.fdopen(device, "w") as stream:
        yield controller, stream
    os.close(controller)


def test_lines_on_a_terminal_replace_the_lines_before(
    terminal: tuple[int, io.TextIOWrapper], monkeypatch: pytest.MonkeyPatch
) -> None:
    controller, stream = terminal
    monkeypatch.setenv("COLUMNS", "10")
    line = RewrittenLine(stream)
    line.write("first\x1b", "a  second one")
    line.write("third")
    line.write("")
    expected = "\r\x1b[Jfirst�\r\na  second\x1b[1A\r\x1b[Jthird\r\x1b[J".encode()
    written = b""
    while len(written) < len(expected):  # a terminal passes on what there is so far
        written += os.read(controller, 1000)
    assert written == expected


def test_a_pipe_gets_a_line_per_finished_round_with_the_speed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = run_of(FakeCell("a"), rounds=2)
    seen = observer(quiet=False, json_logs=False)
    seen.began(made.run.manifest, 240.0, [])
    for event in made.events:
        if isinstance(event, s.WorkerStarted):
            seen.visit(event.round, 2, event.cell)
        seen.event(event)
    seen.close()
    first, *rounds = capsys.readouterr().err.splitlines()
    assert first.startswith("measuring 1 cell in 2 rounds")
    assert len(rounds) == 2
    assert rounds[0].startswith("round 1/2  a/tiny.en/speech  ")
    assert "× real time after 1 round" in rounds[0]
