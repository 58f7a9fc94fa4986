"""Signals at any moment of a run: the right ending, every sample kept, nothing left behind."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from campaign.test_broken_streams import begun
from conftest import Tool, wait_until, write_tone
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.store import maintenance, verify

SEED = 20261130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_S = 6.0
"""A run takes about 4 s on a quiet machine of two cores."""


def send(process: subprocess.Popen[str], dice: random.Random) -> None:
    """One to three signals, the later ones at any moment of what the first one begins."""
    for gap_s in (LONGEST_S, 0.3, 0.05)[: dice.choice((1, 1, 2, 3))]:
        time.sleep(dice.uniform(0, gap_s))
        process.send_signal(dice.choice(SIGNALS))


def test_a_signal_at_any_moment_of_a_run_loses_nothing_and_leaves_nothing(
    seed: int,
    tool: Tool,
    fake: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    tone = write_tone(tmp_path / "tone.wav", 0.5)
    words = ["run", "-m", "tiny.en", "--audio", tone, "--rounds", 2, "--json-logs", "--json"]
    process = tool.start(*words, "-b", fake("one"), "-b", fake("two"))
    wait_until(lambda: begun(process.pid))
    send(process, random.Random(f"{SEED} {seed}"))
    _, log = process.communicate(timeout=60)

    assert "Traceback" not in log
    assert "Exception ignored" not in log
    assert process.returncode in {ExitCode.OK, ExitCode.INTERRUPTED}, log
    logged = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    shown = {
        (each["cell"], each["round"], each["attempt"], each["index"])
        for each in logged
        if each["event"] == "sample"
    }
    runs = directory.every()
    assert len(runs) <= 1
    kept = set()
    for run in runs:
        assert verify.verify(run) == []
        outcome = run.replay().manifest.outcome
        assert outcome is not None
        # A signal that comes while the table is printed interrupts that, not the run.
        assert outcome.state in {"complete", "interrupted"}
        assert process.returncode == ExitCode.INTERRUPTED or outcome.state == "complete"
        kept = {
            (cell.id, each.round, each.attempt, each.index)
            for cell in run.replay().cells
            for each in cell.samples
        }
    assert shown <= kept
    assert maintenance.leftovers(time.time() + 2 * maintenance.MINIMUM_AGE_S) == []
