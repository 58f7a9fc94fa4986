"""Streams that break lose what would have been shown, never a run."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from conftest import Tool
from fakes.broken_streams import BROKEN, outcome, started
from fakes.runs import FakeCell, stored
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.streams import LossyOutput


def test_output_to_a_pipe_that_another_process_made_non_blocking_is_whole() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    got = bytearray()

    def read() -> None:
        time.sleep(0.2)  # the pipe is full by now
        while block := os.read(reading, 65536):
            got.extend(block)

    reader = threading.Thread(target=read)
    output = LossyOutput(writing, closed_from_the_start=False)
    with io.TextIOWrapper(io.BufferedWriter(output)) as stream:
        reader.start()
        stream.write("x" * 1_000_000)
    os.close(writing)
    reader.join()
    os.close(reading)
    assert got == b"x" * 1_000_000
    assert output.lost() == ""


def test_after_the_first_error_everything_is_dropped_and_the_error_is_known() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    output = LossyOutput(full, closed_from_the_start=False)
    assert [output.write(b"abc"), output.write(b"de")] == [3, 2]
    assert output.lost() == "No space left on device"
    os.close(full)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """An environment with a data folder of its own."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    return os.environ


RUNS = ("stderr closed", "stderr on a full disk", "stderr without a reader", "all closed")
SHOWN = ("stdout on a full disk", "the reader of stdout leaves", "stdout in latin-1", "all closed")
"""All kinds, with every command: tests/campaign/test_broken_streams.py."""


@pytest.mark.parametrize("how", RUNS)
def test_a_run_is_measured_to_its_end_whatever_breaks(
    how: str,
    environment: Mapping[str, str],
    tool: Tool,
    fake: Callable[..., Path],
    tone: Path,
    tmp_path: Path,
) -> None:
    words = ["run", "-m", "tiny.en", "-b", fake("good"), "--audio", tone, "--rounds", 1]
    with started(BROKEN[how], *words, cwd=tmp_path, environment=tool.environment) as process:
        code, written = outcome(process)
    assert "Traceback" not in written
    assert code == (5 if BROKEN[how].loses_output else 0), written
    (run,) = directory.every()
    sealed = run.replay()
    assert sealed.manifest.outcome is not None
    assert sealed.manifest.outcome.state == "complete"
    assert [each.kind for each in sealed.cells[0].samples].count("timed") == 2


@pytest.mark.parametrize("how", SHOWN)
def test_text_of_other_alphabets_is_shown_with_any_streams(
    how: str, environment: Mapping[str, str], tmp_path: Path
) -> None:
    stored(FakeCell("a", text="žluťoučký kůň 🐎"), FakeCell("b", text="→ – ×"))
    with started(BROKEN[how], "diff", 1, "a", "b", cwd=tmp_path) as process:
        code, written = outcome(process)
    assert "Traceback" not in written
    assert code == (5 if BROKEN[how].loses_output else 0), written
    if how == "stdout in latin-1":
        assert "\\u2026" in written  # …, which latin-1 does not have


def test_json_is_utf_8_in_any_terminal(environment: Mapping[str, str], tmp_path: Path) -> None:
    stored(FakeCell("a", text="žluťoučký kůň 🐎"))
    with started(BROKEN["stdout in latin-1"], "show", "--json", cwd=tmp_path) as process:
        code, written = outcome(process)
    assert code == 0
    assert "žluťoučký kůň 🐎" in written
