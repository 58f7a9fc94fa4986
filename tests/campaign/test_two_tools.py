"""Two tools at once on one machine, with one store and one cache, each killed at seeded moments.

Each of two people measures, is killed, tidies up or looks at results, and resumes. Neither may take
a sample, a worker or a file from the other.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Tool, wait_until

ROUNDS, PASSES, KILLS = 2, 3, 2
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
BETWEEN: tuple[tuple[str, ...], ...] = (
    ("results", "gc"),
    ("results", "list", "--json"),
    ("results", "reindex"),
    ("results", "verify"),
    ("show", "latest"),
    ("clips", "clear"),
    ("models", "prune", "--yes"),
    ("check-models", "-m", "tiny.en", "--verify-method", "cache-check"),
)
"""What people do while another one measures."""

JOURNAL_BYTES = 6000
"""A little less than the journal of such a run has in the end."""

Seen = list[tuple[tuple[object, ...], int, str]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder and a cache of their own, for both tools."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "data" / "runs"


class Person(threading.Thread):
    """Measures until the run is complete, killed on the way."""

    def __init__(self, name: str, seed: int, tool: Tool, runs: Path, command: list[object]) -> None:
        super().__init__(name=name)
        self._draw = random.Random(f"{name} {seed}")
        self._tool, self._runs = tool, runs
        self._command = [*command, "--tag", name, "--json"]
        self.seen: Seen = []
        self.kept: list[bytes] = []
        self.problem: BaseException | None = None

    def run(self) -> None:
        try:
            for _ in range(KILLS):
                self._measure(die=True)
                self._call(*self._draw.choice(BETWEEN), die=self._draw.random() < 0.3)
            self._measure(die=False)
        except BaseException as error:
            self.problem = error

    def _measure(self, *, die: bool) -> None:
        command = (*self._command, *(["--resume"] if self.own_run() else []))
        code = self._call(*command, die=die, at_byte=self._draw.randrange(JOURNAL_BYTES))
        lines = self.journal()
        assert lines[: len(self.kept)] == self.kept, "the journal lost what was in it"
        self.kept = lines
        assert die or code == 0, f"{self.name} could not finish"

    def _call(self, *words: object, die: bool, at_byte: int = 0) -> int:
        """The exit code of a call of the tool, which may be sent a signal on its way."""
        process = self._tool.start(*words)
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(process.communicate(timeout=300)))
        reader.start()
        if die:
            self._wait_for(process, at_byte)
            process.send_signal(self._draw.choice(SIGNALS))
        reader.join()
        code, stderr = process.returncode, said[1]
        if "KeyboardInterrupt" in stderr and "mac_whisper_speedtest" not in stderr:
            code, stderr = -signal.SIGINT, ""  # Python itself had not come to the tool yet
        self.seen.append((words, code, stderr))
        return code

    def _wait_for(self, process: subprocess.Popen[str], at_byte: int) -> None:
        """Until a seeded moment: some bytes of the journal later, then some time."""
        if self._draw.random() < 0.7:
            wait_until(
                lambda: sum(map(len, self.journal())) >= at_byte or process.poll() is not None,
                timeout_s=200,
            )
        time.sleep(self._draw.random())

    def own_run(self) -> Path | None:
        """The folder of this person's run."""
        for path in sorted(self._runs.glob("[0-9]*/manifest.json")):
            if self.name in json.loads(path.read_bytes())["tags"]:
                return path.parent
        return None

    def story(self) -> str:
        """What it did, and how its workers ended, for a test that fails."""
        calls = [
            f"--- {self.name}: {' '.join(map(str, words))} ended with {code}\n{said[-2000:]}"
            for words, code, said in self.seen
        ]
        ends = [line.decode() for line in self.journal() if b'"event":"worker_ended"' in line]
        return "\n".join([*calls, *ends])

    def journal(self) -> list[bytes]:
        """The whole lines of its journal."""
        run = self.own_run()
        path = run / "journal.jsonl" if run else None
        return path.read_bytes().split(b"\n")[:-1] if path and path.exists() else []


def timed(lines: list[bytes]) -> Counter[tuple[Any, ...]]:
    events = [json.loads(line) for line in lines]
    return Counter(
        (each["cell"].partition("/")[0], each["round"], each["index"])
        for each in events
        if each["event"] == "sample" and each["kind"] == "timed"
    )


def test_two_tools_that_are_killed_at_any_moment_take_nothing_from_each_other(
    tool: Tool, tone: Path, fake: Callable[..., Path], store: Path, seed: int
) -> None:
    command = ["run", "-m", "tiny.en", "-b", fake("one"), "-b", fake("two"), "--audio", tone]
    command += ["--rounds", ROUNDS, "--passes", PASSES]
    people = [Person(name, seed, tool, store, command) for name in ("ann", "bob")]
    for person in people:
        person.start()
    for person in people:
        person.join()

    story = "\n".join(map(Person.story, people))
    assert [person.problem for person in people] == [None, None], story
    assert "Traceback" not in story, story
    assert not [code for person in people for _, code, _ in person.seen if code == 1], story
    wanted = {
        (name, number, index): 1
        for name in ("one", "two")
        for number in range(ROUNDS)
        for index in range(PASSES)
    }
    for person in people:
        assert timed(person.journal()) == wanted, story
        shown = tool("show", person.own_run(), "--json").run
        assert shown["manifest"]["outcome"]["state"] == "complete", story
        assert [cell["status"] for cell in shown["cells"]] == ["ok", "ok"], story
    assert tool("results", "verify").returncode == 0, story
    listed = json.loads(tool("results", "list", "--json").stdout)
    assert len(listed) == len(list(store.glob("[0-9]*"))), story
    assert tool("results", "gc").returncode == 0
