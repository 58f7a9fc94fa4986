"""The whole tool killed, or without a disk, in the middle of a run; then the same again, --resume.

SPEEDTEST_CRASH_POINTS=N kills it at N seeded points instead of a few.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conftest import Tool, describe_fake, wait_until, write_tone

POINTS = int(os.environ.get("SPEEDTEST_CRASH_POINTS", "2"))
ROUNDS, RUNS = 2, 3
BYTES = 9000
"""A little less than the journal of such a run has in the end."""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder without other tests' runs."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data" / "runs"


def whole_lines(run: Path) -> list[bytes]:
    path = run / "journal.jsonl"
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def samples(lines: list[bytes]) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in lines]
    return [each for each in events if each["event"] == "sample" and each["kind"] == "timed"]


def key(sample: dict[str, Any]) -> tuple[Any, ...]:
    return (sample["cell"], sample["round"], sample["utterance"], sample["index"])


@pytest.mark.parametrize("point", range(POINTS))
def test_a_run_killed_at_any_moment_is_finished_by_the_same_command_with_resume(
    tool: Tool, tone: Path, fake: Callable[..., Path], runs: Path, point: int
) -> None:
    draw = random.Random(f"kill {point}")
    reached = draw.randrange(1, BYTES)
    command: list[object] = ["run", "-m", "tiny.en", "-b", fake("one"), "-b", fake("two")]
    command += ["--audio", tone, "--rounds", ROUNDS, "--passes", RUNS, "--json"]
    process = tool.start(*command)
    book = runs / "000001" / "journal.jsonl"
    wait_until(
        lambda: (book.exists() and book.stat().st_size >= reached) or process.poll() is not None,
        timeout_s=100,
    )
    time.sleep(draw.random() * 0.1)
    process.kill()
    process.communicate()
    wait_until(lambda: tool.processes() == [])
    before = whole_lines(runs / "000001")

    done = tool(*command, "--resume")
    assert done.returncode == 0, done.stderr
    assert done.run["manifest"]["run"] == 1
    after = whole_lines(runs / "000001")
    assert after[: len(before)] == before
    names = [cell["id"] for cell in done.run["cells"]]
    wanted = Counter(
        (name, number, "", index)
        for name in names
        for number in range(ROUNDS)
        for index in range(RUNS)
    )
    assert Counter(map(key, samples(after))) == wanted
    assert done.run["manifest"]["outcome"]["state"] == "complete"
    assert all(cell["summary"]["rounds_ok"] == ROUNDS for cell in done.run["cells"])
    shown = tool("show", 1, "--json")
    assert shown.returncode == 0, shown.stderr
    assert shown.run["cells"] == done.run["cells"]
    assert [path.name for path in runs.iterdir() if path.is_dir()] == ["000001"]
    assert not list(tool.temporary.glob("speedtest-work-*"))


def test_after_a_full_disk_the_run_goes_on_when_there_is_room_again(
    tool: Tool, fake: Callable[..., Path], runs: Path, tmp_path: Path
) -> None:
    short = write_tone(tmp_path / "short.wav", 0.2)  # decoded, it must itself fit below the limit
    command = ["run", "-m", "tiny.en", "-b", str(fake("one")), "--audio", str(short)]
    command += ["--rounds", "1", "--passes", "60"]
    words = shlex.join([sys.executable, "-m", "mac_whisper_speedtest", *command])
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 20; exec {words}"],
        env=tool.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 5, done.stderr
    assert "--resume" in done.stderr
    kept = samples(whole_lines(runs / "000001"))
    assert 0 < len(kept) < 60
    again = tool(*command, "--resume", "--json")
    assert again.returncode == 0, again.stderr
    after = samples(whole_lines(runs / "000001"))
    assert after[: len(kept)] == kept
    assert [each["index"] for each in after] == list(range(60))


def test_a_set_goes_on_where_a_worker_died_of_one_recording(
    tool: Tool, tmp_path: Path, runs: Path
) -> None:
    recordings = [write_tone(tmp_path / f"talk{number}.wav", 2.0) for number in range(3)]
    recordings.insert(1, write_tone(tmp_path / "short.wav", 0.5))
    text = "And so, my fellow Americans, ask not what your country can do for you."
    manifest = tmp_path / "talks.jsonl"
    manifest.write_text(
        "".join(
            json.dumps({"audio_filepath": each.name, "text": text}) + "\n" for each in recordings
        ),
        encoding="utf-8",
    )
    some = describe_fake(tmp_path, "some", adapter="dying:DiesOnShort")
    all_ = describe_fake(tmp_path, "all", adapter="dying:DiesAlways")
    done = tool(
        *["run", "-m", "tiny.en", "--manifest", manifest, "-b", some, "-b", all_],
        *["--rounds", 2, "--json"],
    )
    assert done.returncode == 3, done.stderr
    cell = done.cell("some")
    assert cell["status"] == "ok"
    assert [each["status"] for each in cell["endings"]] == ["crashed", "ok"] * 2
    timed = [each for each in cell["samples"] if each["kind"] == "timed"]
    assert Counter(each["utterance"] for each in timed) == dict.fromkeys(
        ("talk0.wav", "short.wav", "talk1.wav", "talk2.wav"), 2
    )
    assert {each["utterance"] for each in timed if each["failed"]} == {"short.wav"}
    assert cell["summary"]["accuracy"]["failed"] == 1
    assert cell["summary"]["accuracy"]["rate"] == pytest.approx(1 / 4)
    kinds = {each["kind"]: each["message"] for each in cell["summary"]["findings"]}
    assert "crashed with SIGABRT during transcribe (2 ×)" in kinds["crash"]
    assert done.cell("all")["status"] == "crashed"
    assert [each["status"] for each in done.cell("all")["endings"]] == [
        "crashed",
        "crashed",
        "skipped",
    ]
