"""Every command, with every kind of broken stream and signals: documented codes, no traceback.

A seed is one command with one kind of stream, without a signal or with one at some moment. Seeds in
a row meet all pairs once.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from conftest import Tool, describe_fake, wait_until, write_tone
from fakes.broken_streams import BROKEN, Breakage, outcome, started
from fakes.runs import FakeCell, run_of_set
from mac_whisper_speedtest import cli
from mac_whisper_speedtest.bundle import write
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.results.directory import RunDirectory

SEED = 20261130
KIT = Path(__file__).parents[1] / "fixtures" / "kits" / "linux-2026-11-30.zip"
COMMANDS = {
    "run": "-m tiny.en -b good.toml --audio tone.wav --rounds 1 --passes 1",
    "check-models": "--verify-method cache-check -m tiny.en",
    "show": "1",
    "score": "1 --per-utterance",
    "diff": "1 a b",
    "report": "1 -o page.html",
    "results bundle": "1 -o shared.zip",
    "results gc": "--dry-run",
    "results import": "given.zip",
    "results list": "",
    "results reindex": "",
    "results rm": "2 --yes",
    "results show": "1 --json",
    "results verify": "",
    "export": "1 2 --format md",
    "compare": "1 2 --fail-on slower,changed",
    "history": "a",
    "leaderboard build": "given.zip -o site",
    "trace": "1 -o run.trace.json",
    "noise": "--quick -b good.toml",
    "backends contract": "",
    "backends info": "faster-whisper",
    "backends install": "faster-whisper",
    "backends list": "",
    "backends lock": "faster-whisper --output my.lock",
    "backends remove": "faster-whisper",
    "backends upgrade": "faster-whisper",
    "models convert": "nowhere somewhere --to ggml",
    "models list": "",
    "models path": "tiny.en",
    "models prune": "--yes",
    "models pull": "tiny.en",
    "models remove": "tiny.en --yes",
    "models verify": "",
    "completion": "bash",
    "clips clear": "",
    "clips fetch": "",
    "clips list": "",
    "doctor": "--quick",
    "selfcheck show": "kit.zip",
    "fleet init": "127.0.0.1:1 --node mini",
    "fleet serve": "",
    "fleet join": "",
    "fleet run": "-m tiny.en --to .",
    "fleet status": "",
    "fleet drain": "mini",
    "fleet collect": "",
    "fleet emit": "-m tiny.en --ssh --to .",
    "conformance": "--no-weights --timeout 1s -- true",
}
"""Command → what it is given; nothing here reaches a network."""

STREAMS = {"nothing broken": Breakage(), **BROKEN}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAIRS = [(command, how) for command in COMMANDS for how in STREAMS]


def leaves(command: click.Command, name: str = "") -> Iterator[str]:
    """The names of all commands below a group."""
    if not isinstance(command, click.Group):
        yield name
        return
    context = click.Context(command)
    for each in command.list_commands(context):
        below = command.get_command(context, each)
        assert below is not None
        yield from leaves(below, f"{name} {each}".strip())


def test_no_command_is_left_out() -> None:
    assert set(leaves(cli.speedtest)) == set(COMMANDS)


@functools.cache
def _two_runs() -> tuple[bytes, ...]:
    """The files that make two runs and a bundle."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in (1, 2):
            cells = (FakeCell("a"), FakeCell("b", text="žluťoučký kůň → 🐎"))
            there = RunDirectory(run_of_set(*cells, number=number).write(Path(folder, f"{number}")))
            found += [there.manifest_path.read_bytes(), there.journal_path.read_bytes()]
        write.write_bundle(there, Path(folder, "given.zip"))
        found.append(Path(folder, "given.zip").read_bytes())
    return tuple(found)


def prepare(folder: Path) -> dict[str, str]:
    """Fill a working folder for any command; returns its environment."""
    *files, bundle = _two_runs()
    for number in (1, 2):
        run = folder / "data" / "runs" / f"{number:06}"
        run.mkdir(parents=True)
        (run / "manifest.json").write_bytes(files[2 * number - 2])
        (run / "journal.jsonl").write_bytes(files[2 * number - 1])
    (folder / "given.zip").write_bytes(bundle)
    shutil.copy(
        Path(__file__).parents[1] / "fixtures" / "kits" / "linux-2026-11-30.zip", folder / "kit.zip"
    )
    write_tone(folder / "tone.wav", 0.5)
    describe_fake(folder, "good")
    offline = dict.fromkeys(("SPEEDTEST_OFFLINE", "UV_OFFLINE", "HF_HUB_OFFLINE"), "1")
    return {
        **offline,
        "SPEEDTEST_DATA_DIR": str(folder / "data"),
        "SPEEDTEST_CACHE_DIR": str(folder / "cache"),
        "HF_HOME": str(folder / "hub"),
        "UV_CACHE_DIR": str(folder / "uv"),
        "PIP_NO_INDEX": "1",
    }


@functools.cache
def usual(command: str) -> tuple[int, float]:
    """The exit code of a command whose streams are whole, and the seconds that it takes."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {**os.environ, **prepare(folder)}
        words = [*command.split(), *COMMANDS[command].split()]
        with started(Breakage(), *words, cwd=folder, environment=environment) as process:
            code, written = outcome(process)
    assert "Traceback" not in written, written
    assert code in set(ExitCode), written
    return code, time.monotonic() - began_s


def begun(pid: int) -> bool:
    """Whether the process handles signals by itself, and is no longer the interpreter's alone."""
    if sys.platform != "linux":
        time.sleep(0.3)
        return True
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except OSError:
        return True
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt"))[7:], 16)
    shell = status.startswith("Name:\tbash\n")
    ended = "Z" in status.partition("State:")[2][:4]
    return ended or (not shell and bool(caught >> (signal.SIGTERM - 1) & 1))


def pair_of(seed: int) -> tuple[str, str]:
    """The command and the streams of a seed: in any order of seeds, each pair equally often."""
    step = next(
        n for n in range(int(len(PAIRS) * 0.618), len(PAIRS)) if math.gcd(n, len(PAIRS)) == 1
    )
    return PAIRS[(SEED + seed * step) % len(PAIRS)]


def expected(code: int, broken: Breakage) -> set[int]:
    """The exit codes of a command that ends with ``code`` when its streams are whole."""
    if broken.loses_output and code == ExitCode.OK:
        return {ExitCode.OK, ExitCode.STORAGE}  # without output, nothing of it gets lost
    return {code}


def check(seed: int, folder: Path, tool: Tool, number: signal.Signals | None) -> None:
    """Run the pair of a seed; the tool's own check of leftovers follows."""
    command, how = pair_of(seed)
    code, takes_s = usual(command)
    codes = expected(code, STREAMS[how])
    environment = tool.environment | prepare(folder)
    words = [*command.split(), *COMMANDS[command].split()]
    with started(STREAMS[how], *words, cwd=folder, environment=environment) as process:
        if number is not None:
            codes.add(ExitCode.INTERRUPTED)
            wait_until(lambda: begun(process.pid))
            time.sleep(random.Random(f"{SEED} {seed}").uniform(0, takes_s))
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        ended, written = outcome(process)
    where = f"{command} with {how} and {number}: {written}"
    assert "Traceback" not in written, where
    assert "Exception ignored" not in written, where
    assert ended in codes, where
    # uv is killed; an interpreter that it was asking for its version ends by itself.
    wait_until(lambda: not tool.processes(), timeout_s=10)


def test_broken_streams_change_no_exit_code_but_that_of_lost_output(
    seed: int, tool: Tool, tmp_path: Path
) -> None:
    check(seed, tmp_path, tool, None)


def test_a_signal_at_any_moment_ends_any_command_with_a_documented_code(
    seed: int, tool: Tool, tmp_path: Path
) -> None:
    number = SIGNALS[seed % len(SIGNALS)]
    check(seed, tmp_path, tool, number)
