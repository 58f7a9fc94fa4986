"""What is on disk after the tool was interrupted, killed, or had no disk left."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Tool, wait_until, write_tone
from mac_whisper_speedtest.worker import ownership

RunOptions = list[object]


@pytest.fixture
def started(
    tool: Tool, tone: Path, fake: Callable[..., Path], tmp_path: Path
) -> tuple[subprocess.Popen[str], Path]:
    """A run that has begun to measure, and the directory it writes to."""
    data = tmp_path / "data"
    os.environ["SPEEDTEST_DATA_DIR"] = str(data)
    process = tool.start(
        *["run", "-m", "tiny.en", "-b", fake("one"), "-b", fake("two"), "--audio", tone],
        *["--rounds", 50, "--passes", 5],
    )

    def measured() -> bool:
        """Whether both cells have a timed sample; on a busy machine the first ones are retaken."""
        found = journal_samples(data / "runs" / "000001")
        return len(found) >= 8 and len({each["cell"] for each in found if each["index"] >= 0}) == 2

    wait_until(measured, timeout_s=100)
    return process, data / "runs" / "000001"


@pytest.fixture(autouse=True)
def _restored_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", os.environ["SPEEDTEST_DATA_DIR"])


def journal_samples(run: Path) -> list[dict[str, Any]]:
    """The whole sample lines of a journal that may be written to right now."""
    path = run / "journal.jsonl"
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [event for line in lines if (event := json.loads(line))["event"] == "sample"]


def sealed_samples(run: dict[str, Any]) -> int:
    return sum(len(cell["samples"]) for cell in run["cells"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_seals_what_there_is_and_leaves_nothing_running(
    started: tuple[subprocess.Popen[str], Path], tool: Tool, number: signal.Signals
) -> None:
    process, run = started
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    sealed = json.loads((run / "run.json").read_bytes())
    assert sealed["manifest"]["outcome"]["state"] == "interrupted"
    assert sealed_samples(sealed) == len(journal_samples(run)) >= 8
    assert {cell["status"] for cell in sealed["cells"]} == {"skipped"}
    assert "interrupted" in stdout
    assert tool.leftovers() == []


def test_a_second_interrupt_while_sealing_changes_nothing(
    started: tuple[subprocess.Popen[str], Path],
) -> None:
    process, run = started
    for _ in range(5):
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads((run / "run.json").read_bytes())["manifest"]["outcome"]


def test_kill_minus_9_loses_no_finished_sample_and_ends_the_workers(
    started: tuple[subprocess.Popen[str], Path], tool: Tool
) -> None:
    process, run = started
    process.kill()
    process.communicate()
    wait_until(lambda: tool.processes() == [])
    finished = len(journal_samples(run))
    shown = tool("show", run, "--json")
    assert shown.returncode == 0, shown.stderr
    assert shown.run["manifest"]["outcome"]["state"] == "recovered"
    assert sealed_samples(shown.run) == finished >= 8
    assert all(cell["summary"]["median_s"] > 0 for cell in shown.run["cells"])
    assert (run / "run.json").exists()
    # The killed tool could not remove its work folder; the next run does.
    assert list(tool.temporary.glob("speedtest-work-*"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tool.temporary))
        ownership.remove_leftover_folders()
    assert not list(tool.temporary.glob("speedtest-work-*"))


def test_a_journal_line_cut_off_in_the_middle_is_left_out(
    started: tuple[subprocess.Popen[str], Path], tool: Tool
) -> None:
    process, run = started
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    journal = run / "journal.jsonl"
    whole = len(journal_samples(run))
    data = journal.read_bytes()
    last_sample = data.rindex(b'{"event":"sample"')
    journal.write_bytes(data[: last_sample + 40])
    shown = tool("show", run, "--json")
    assert sealed_samples(shown.run) == whole - 1


def test_a_full_disk_ends_the_run_with_its_own_exit_code_and_keeps_the_journal_valid(
    tool: Tool, fake: Callable[..., Path], tmp_path: Path
) -> None:
    short = write_tone(tmp_path / "short.wav", 0.2)  # decoded, it must itself fit below the limit
    limited = f"ulimit -f 24; exec {_many_samples(short, fake('one'))}"
    data = tmp_path / "small"
    environment = {**tool.environment, "SPEEDTEST_DATA_DIR": str(data)}
    done = subprocess.run(
        ["bash", "-c", limited],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 5, done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    run = data / "runs" / "000001"
    samples = len(journal_samples(run))
    assert samples > 0
    shown = tool("show", run, "--json")
    assert sealed_samples(shown.run) == samples


def _many_samples(audio: Path, backend: Path) -> str:
    """A run whose journal outgrows a small file-size limit; SIGXFSZ is ignored by Python."""
    words = [sys.executable, "-m", "mac_whisper_speedtest", "run", "-m", "tiny.en"]
    words += ["-b", str(backend), "--audio", str(audio), "--rounds", "1", "--passes", "500"]
    return shlex.join(words)


@pytest.mark.parametrize("what", ["scratch", "journal", "run"])
def test_files_taken_away_end_the_run_at_once_and_what_was_measured_is_sealed(
    started: tuple[subprocess.Popen[str], Path], tool: Tool, what: str
) -> None:
    process, run = started
    before = len(journal_samples(run))
    if what == "scratch":
        (folder,) = tool.temporary.glob("speedtest-work-*")
        shutil.rmtree(folder)
    elif what == "journal":
        (run / "journal.jsonl").unlink()
    else:
        shutil.rmtree(run)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 5
    assert "was removed" in stderr
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    sealed = json.loads((run / "run.json").read_bytes())
    assert sealed["manifest"]["outcome"]["state"] == "stopped"
    assert "was removed" in sealed["manifest"]["outcome"]["message"]
    assert sealed_samples(sealed) == len(journal_samples(run)) >= before
    assert "failed" not in {cell["status"] for cell in sealed["cells"]}
    assert tool("results", "verify").returncode == 0
