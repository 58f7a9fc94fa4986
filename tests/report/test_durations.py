"""What a reader sees of a run on several lengths of audio."""

from __future__ import annotations

import io
from collections.abc import Callable

import msgspec
import pytest
from rich.console import Console

from mac_whisper_speedtest.report import table
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary.summarize import summarize
from report.test_table import cell, run_of

LENGTHS = (2, 5, 10, 20, 30, 31, 60, 120)
CUTS = s.ClipInfo(
    name="cities",
    seconds=float(sum(LENGTHS)),
    samples=16000 * sum(LENGTHS),
    pcm_sha256="0" * 64,
    source="made here",
    kind="durations",
    utterances=[
        s.UtteranceInfo(
            name=f"{each}s", seconds=float(each), samples=16000 * each, pcm_sha256="0" * 64
        )
        for each in LENGTHS
    ],
)


def measured(name: str, seconds_of: Callable[[float], float]) -> s.CellResult:
    """A cell with six rounds, in which every length takes what ``seconds_of`` says, ± 1 %."""
    blank = cell(name, seconds=[1.0])
    (one,) = blank.samples
    samples = [
        msgspec.structs.replace(
            one,
            round=number,
            index=index,
            utterance=f"{length}s",
            seconds=seconds_of(float(length)) * (1 + 0.01 * ((number + index) % 3 - 1)),
        )
        for number in range(6)
        for index, length in enumerate(LENGTHS)
    ]
    (ending,) = blank.endings
    endings = [msgspec.structs.replace(ending, round=number) for number in range(6)]
    return msgspec.structs.replace(blank, clip=CUTS, samples=samples, endings=endings)


@pytest.fixture(scope="module")
def run() -> s.Run:
    """A backend that starts quickly, one that is quick in the long run, and one that pads."""
    found = run_of(
        measured("starts-quickly", lambda audio: 0.1 + 0.05 * audio),
        measured("runs-quickly", lambda audio: 1.1 + 0.01 * audio),
        measured("pads", lambda audio: 0.2 + 0.8 * -(-audio // 30)),
    )
    manifest = msgspec.structs.replace(found.manifest, clips=[CUTS])
    return summarize(msgspec.structs.replace(found, manifest=manifest))


def fits(run: s.Run) -> dict[str, s.DurationFit]:
    return {
        cell.id: cell.summary.duration
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
    meet = fits(run)["starts-quickly"].break_even_s["runs-quickly"]
    assert meet.wins_below is True
    assert meet.seconds == pytest.approx(25.0, abs=1.0)  # 0.1 + 0.05 t = 1.1 + 0.01 t
    assert meet.low <= 25.0 <= (meet.high or 1e9)


def test_the_table_shows_all_lengths_and_who_wins_where(run: s.Run) -> None:
    console = Console(file=io.StringIO(), width=200)
    table.show_run(run, console=console)
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    assert "tiny.en: seconds by length of the audio" in shown
    for length in LENGTHS:
        assert f"{length}s" in shown
    assert "starts-quickly 1.0 float32 is quicker below 25 s of audio" in shown
    assert "runs-quickly 1.0 float32 above." in shown
    assert "on cities (8 lengths, 278.0 s)" in shown
