"""A run whose tool and workers are killed at seeded moments is resumed to its whole end."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import FAKES, Tool, describe_fake, wait_until

ROUNDS, PASSES, KILLS = 2, 3, 4
ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LATEST_S = 4.0
"""About as long as such a run takes on two cores."""


class Killer:
    """Measures a request, killing the tool or its workers, until the run is complete.

    Attributes:
        story: what was done, for people.
        kept: the whole lines of the journal when the tool last ended.
    """

    def __init__(self, seed: int, tool: Tool, data: Path, command: list[object]) -> None:
        self._draw = random.Random(seed)
        self._tool, self._data, self._command = tool, data, command
        self.story: list[str] = []
        self.kept: list[bytes] = []

    def measure(self) -> subprocess.CompletedProcess[str]:
        """Measure to the end; at most `KILLS` sessions are killed on the way."""
        for _ in range(KILLS):
            done = self._session(victim=self._draw.choice(["tool", "tool", "worker", "signal"]))
            if done.returncode == 0:
                return done
        return self._session(victim="")

    def journal(self) -> list[bytes]:
        path = self._data / "runs" / "000001" / "journal.jsonl"
        return path.read_bytes().split(b"\n")[:-1] if path.exists() else []

    def _session(self, victim: str) -> subprocess.CompletedProcess[str]:
        process = self._tool.start(*self._command, "--resume")
        killed = self._kill(process, victim) if victim else 0
        stdout, stderr = process.communicate(timeout=120)
        code = process.returncode
        self.story.append(f"{victim} ({killed} killed): ended with {code}\n{stderr[-2000:]}")
        assert "Traceback" not in stderr
        # Workers see the end of their input when the tool is gone.
        wait_until(lambda: self._tool.processes() == [], timeout_s=30)
        lines = self.journal()
        assert lines[: len(self.kept)] == self.kept, "the journal lost what was in it"
        self.kept = lines
        expected = {"tool": {-signal.SIGKILL}, "signal": {130}}.get(victim, set())
        assert code in {0, *expected}, f"{victim}: exit code {code}"
        return subprocess.CompletedProcess(process.args, code, stdout, stderr)

    def _kill(self, process: subprocess.Popen[str], victim: str) -> int:
        """Kill at a seeded moment; return how many processes."""
        time.sleep(self._draw.uniform(0, LATEST_S))
        if victim == "tool":
            process.kill()
            return 1
        if victim == "signal":
            process.send_signal(self._draw.choice(ENDING_SIGNALS))
            return 1
        workers = [each for each in self._tool.processes() if each.pid != process.pid]
        for worker in workers:
            try:
                worker.kill()
            except psutil.Error:
                self.story.append("a worker had just ended")
        return len(workers)


def timed(lines: list[bytes]) -> Counter[tuple[Any, ...]]:
    """The finished timed samples of a journal."""
    events = [json.loads(line) for line in lines]
    return Counter(
        (each["cell"].partition("/")[0], each["round"], each["index"])
        for each in events
        if each["event"] == "sample" and each["kind"] == "timed" and not each["retaken"]
    )


def test_a_run_that_is_killed_again_and_again_loses_nothing_and_leaves_nothing(
    tool: Tool,
    tone: Path,
    fake: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    data = tmp_path / "data"
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(data))
    program = [sys.executable, str(FAKES / "broken_engine.py")]
    backends = ["-b", fake("one"), "-b", describe_fake(tmp_path, "two", command=program)]
    command = ["run", "-m", "tiny.en", *backends, "--audio", tone, "--json", "--retries", 9]
    command += ["--rounds", ROUNDS, "--passes", PASSES, "--seed", seed, "--timeout", 30]
    killer = Killer(seed, tool, data, command)
    try:
        done = killer.measure()
        assert done.returncode == 0
        run = json.loads(done.stdout)
        assert run["manifest"]["outcome"]["state"] == "complete"
        assert [cell["status"] for cell in run["cells"]] == ["ok", "ok"]
        endings = [end for cell in run["cells"] for end in cell["endings"]]
        for end in endings:  # no worker is taken for one that failed
            assert end["status"] == "ok" or end["error_class"] in {"SIGKILL", "Interrupted"}, end
        assert timed(killer.journal()) == {
            (name, number, index): 1
            for name in ("one", "two")
            for number in range(ROUNDS)
            for index in range(PASSES)
        }
        assert tool("results", "verify").returncode == 0
        assert [path.name for path in (data / "runs").glob("[0-9]*")] == ["000001"]
    except BaseException:
        print(*killer.story, sep="\n--- ")
        raise
