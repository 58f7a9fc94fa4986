"""What a reader sees of a run on several lengths of audio."""

from __future__ import annotations

import io

import pytest

from fakes.recordings import cuts
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.report import table
from mac_whisper_speedtest.report.console import TextConsole
from mac_whisper_speedtest.results import schema as s

LENGTHS = (2, 5, 10, 20, 30, 31, 60, 120)


@pytest.fixture(scope="module")
def run() -> s.Run:
    """A backend that starts quickly, one that is quick in the long run, and one that pads."""
    return run_of(
        FakeCell("starts-quickly", rtf=0.05, fixed_s=0.1),
        FakeCell("runs-quickly", rtf=0.01, fixed_s=1.1),
        FakeCell("pads", seconds_of=lambda audio: 0.2 + 0.8 * -(-audio // 30)),
        speech=cuts(*LENGTHS),
    ).run


def fits(run: s.Run) -> dict[str, s.DurationFit]:
    return {
        cell.backend.name: cell.summary.duration
        for cell in run.cells
        if cell.summary is not None and cell.summary.duration is not None
    }


def test_fixed_cost_and_seconds_per_audio_second_are_found(run: s.Run) -> None:
    found = fits(run)["starts-quickly"]
    assert found.fixed_s == pytest.approx(0.1, abs=0.02)
    assert found.per_audio_s == pytest.approx(0.05, rel=0.02)
    assert found.fixed is not None
    assert found.fixed.low <= 0.1 <= found.fixed.high
    assert found.staircase is False


def test_the_staircase_of_windows_is_seen(run: s.Run) -> None:
    found = fits(run)["pads"]
    assert found.staircase is True
    assert found.window_s == pytest.approx(0.8, rel=0.05)


def test_the_length_at_which_two_backends_take_equally_long_is_said(run: s.Run) -> None:
    meet = fits(run)["starts-quickly"].break_even_s["runs-quickly/tiny.en/cities cut"]
    assert meet.wins_below is True
    assert meet.seconds == pytest.approx(25.0, abs=1.0)  # 0.1 + 0.05 t = 1.1 + 0.01 t
    assert meet.low <= 25.0 <= (meet.high or 1e9)


def test_the_table_shows_all_lengths_and_who_wins_where(run: s.Run) -> None:
    console = TextConsole(file=io.StringIO(), width=200)
    table.show_run(run, console=console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "tiny.en: seconds by length of the audio" in shown
    for length in LENGTHS:
        assert f"{length}s" in shown
    assert "starts-quickly 1.2.3 float32 is faster below 25 s of audio" in shown
    assert "runs-quickly 1.2.3 float32 above." in shown
    assert "on cities cut (8 lengths, 278.0 s)" in shown
