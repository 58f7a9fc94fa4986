"""Whole runs of hostile engines beside an honest one: each attack costs its own cell at most."""

from __future__ import annotations

import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import FAKES, Finished, Tool, describe_fake, wait_until, write_tone

ROUNDS, PASSES, STAGE_S = 2, 2, 2.0
MOST_MEMORY = 120_000_000
"""Bytes that a run with hostile engines may need more than one with the honest engine alone."""

NUMBERS: tuple[Any, ...] = (
    *(0, -0.0, -1, 1, 0.001, 5e-324, 1e-9, 1e15, 1.7e308, 10**30, 10**400, 1.5, True, None, "1"),
    *("@raw:NaN", "@raw:1e999", "@raw:-1e999", "@raw:-0", "@nest:64", "@nest:980", "@nest:1000"),
    *([], {}, [[1]], {"a": -1}, {"a": 1e300}, {"@long:400": 1.0}, ["@times", 300_000, 0]),
)
TEXTS: tuple[Any, ...] = (
    *("", " ", "\x1b[2J\x1b]8;;http://x\x07", "1[/x]", "[link=http://x]y", "\u202egnp.exe", "\x9b"),
    *("\0", "\ud800", "a\r\nb", "@long:400", "@long:50000", "@long:2000000", "@long:9000000", None),
    *(0, "@nest:1000", {}, ["@times", 200_000, "x"], {"\x1b[2J": "\x1b[2J"}, {"a": "@long:9000"}),
    *("token=hf_AAAAAAAAAAAAAAAAAAAAAAAAAA password=hunter2hunter2", "<script>alert(1)</script>"),
)
FIELDS = {
    "hello": (("protocol", "import_s"), ("name", "version", "versions", "unknown")),
    "load": (
        ("load_s", "peak_rss_before_bytes", "peak_rss_bytes"),
        ("device", "precision", "details", "gpu", "unknown"),
    ),
    "transcribe": (
        (
            *("seconds", "tokens", "cpu_s", "peak_rss_bytes", "fallbacks", "first_segment_s"),
            *("stages_s", "allocator_bytes"),
        ),
        ("text", "segments", "language", "effective", "observed", "remarks", "unknown"),
    ),
}
METHODS = ("hello", "load", "transcribe", "unload", "shutdown")
FAILED = {"failed", "timeout", "crashed", "protocol_violation", "unavailable", "out_of_memory"}


@dataclass(frozen=True)
class Attack:
    """What an engine does, and how its cell may end."""

    spec: dict[str, Any]
    endings: set[str]


def value(chance: random.Random) -> Attack:
    method = chance.choice(list(FIELDS))
    numbers, texts = FIELDS[method]
    name = chance.choice(numbers + texts)
    changed = chance.choice(NUMBERS if name in numbers else TEXTS)
    if name == "segments" and chance.random() < 0.5:
        piece: dict[str, Any] = {"start_s": 0.0, "end_s": 1.0, "text": "And"}
        field = chance.choice(list(piece))
        piece[field] = chance.choice(TEXTS if field == "text" else NUMBERS)
        changed = [piece]
    return Attack({method: {name: changed}}, {"ok", "protocol_violation"})


def flood(chance: random.Random) -> Attack:
    kinds = ("log", "progress", "unknown", "blank", "letters", "brackets", "answers", "stderr")
    kind = chance.choice(kinds)
    spec = acting(chance, "flood", kind=kind, length=chance.choice([1, 100, 70_000, 1 << 20]))
    late = {"timeout"} if kind in {"stderr", "letters", "brackets"} else set()
    return Attack(spec, {"protocol_violation"} | late)


def nested(chance: random.Random) -> Attack:
    deep = f"@nest:{chance.choice([65, 200, 980, 1000, 5000, 1_000_000])}"
    if chance.random() < 0.5:
        spec = acting(chance, "notify", method=chance.choice(["log", "progress"]), params=deep)
    else:
        spec = acting(chance, "reply", extra=deep)
    return Attack(spec, {"protocol_violation"})


def envelope(chance: random.Random) -> Attack:
    field = chance.choice(["id", "jsonrpc", "method", "result", "error", "other"])
    changed = {field: chance.choice(NUMBERS + TEXTS)}
    return Attack(acting(chance, "reply", **changed), FAILED | {"ok"})


def bytes_of_any_kind(chance: random.Random) -> Attack:
    data = chance.choice(
        [
            chance.randbytes(chance.choice([1, 100, 100_000])),
            b"\n",
            b"[]\n",
            b'{"jsonrpc":"2.0","id":1,"result":{}}\n',
            b'{"jsonrpc":"2.0","id":3,"result":{"seconds":0.01,"text":"\xff"}}\n',
            b'{"jsonrpc":"2.0","method":"log","params":{"level":"x","message":"\xff"}}\n',
            b'{"jsonrpc":"2.0",',
        ]
    )
    spec = acting(chance, "raw", hexadecimal=data.hex(), hang=chance.random() < 0.7)
    return Attack(spec, {"protocol_violation", "timeout", "ok", "failed"})


def error(chance: random.Random) -> Attack:
    data = {"error_class": chance.choice(TEXTS), "traceback": chance.choice(TEXTS)}
    spec = acting(
        chance,
        "error",
        code=chance.choice([-32001, -32003, -32004, -32005, 0, 1 << 40, 10**30]),
        message=chance.choice(TEXTS),
        data=chance.choice([data, None]),
    )
    # In a set, -32003 and -32005 cost a recording and not the cell.
    return Attack(spec, FAILED | ({"ok"} if spec["at"] == "transcribe" else set()))


def closed(chance: random.Random) -> Attack:
    which = chance.choice(["stdout", "stderr", "all"])
    return Attack(
        acting(chance, "close", which=which),
        {"timeout" if which == "stderr" else "protocol_violation"},
    )


def gone(chance: random.Random) -> Attack:
    if chance.random() < 0.5:
        status = chance.choice([0, 1, 137])
        ending = "crashed" if status else "protocol_violation"
        return Attack(acting(chance, "leave", status=status), {ending})
    number = chance.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGSTOP])
    ending = "timeout" if number is signal.SIGSTOP else "crashed"
    return Attack(acting(chance, "kill", signal=int(number)), {ending})


def escapee(chance: random.Random) -> Attack:
    then = chance.choice(["hang", "leave", "answer"])
    spec = acting(chance, "escape", then=then, empty=chance.random() < 0.8, name="@mark")
    endings = {"hang": "timeout", "leave": "protocol_violation", "answer": "ok"}
    return Attack(spec, {endings[then]})


def slow(chance: random.Random) -> Attack:
    does, hang = chance.choice(["drip", "hang", "deaf", "twice"]), chance.random() < 0.5
    options: dict[str, Any] = {"drip": {"pause_s": 0.0005, "hang": hang}}.get(does, {})
    return Attack(acting(chance, does, **options), {"timeout", "ok", "protocol_violation"})


def acting(chance: random.Random, does: str, **options: Any) -> dict[str, Any]:
    weights = (1, 1, 4, 1, 1)
    return {"do": does, "at": chance.choices(METHODS, weights)[0], "with": options}


KINDS: tuple[Callable[[random.Random], Attack], ...] = (
    *(value, value, value, flood, nested, envelope, bytes_of_any_kind),
    *(error, closed, gone, escapee, slow),
)


def processes_named(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


@dataclass
class Watched:
    """A run that has ended, and the most memory that the tool itself had."""

    done: Finished
    took_s: float
    peak_bytes: int


def watched_run(tool: Tool, *words: object, limit_s: float) -> Watched:
    began = time.monotonic()
    peak = 0
    process = tool.start("run", "-m", "tiny.en", *words)
    over = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            try:
                peak = max(peak, psutil.Process(process.pid).memory_info().rss)
            except psutil.Error:
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        out, err = process.communicate(timeout=limit_s)
    finally:
        over.set()
        watcher.join()
        process.kill()
    took_s = time.monotonic() - began
    return Watched(Finished(process.returncode, out, err), took_s, peak)


def engine(folder: Path, name: str, spec: dict[str, Any]) -> Path:
    attack = folder / f"{name}.json"
    attack.write_text(json.dumps(spec), encoding="utf-8")
    command = [sys.executable, "-I", "-S", str(FAKES / "hostile_engine.py"), str(attack)]
    return describe_fake(folder, name, command=command)


@pytest.fixture(autouse=True)
def own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture(scope="module")
def honest_peak(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The memory of the tool in a run of the honest engine alone."""
    folder = tmp_path_factory.mktemp("honest")
    tool = Tool(tmp_path_factory.mktemp("tmp"))
    words = ["-b", engine(folder, "honest", {}), "--audio", write_tone(folder / "tone.wav")]
    found = watched_run(tool, *words, "--rounds", ROUNDS, "--passes", PASSES, limit_s=60)
    assert found.done.returncode == 0, found.done.stderr
    return found.peak_bytes


def test_hostile_engines_cost_nobody_else_anything(
    tool: Tool, tmp_path: Path, seed: int, honest_peak: int
) -> None:
    chance = random.Random(seed)
    attacks = {f"hostile{number}": chance.choice(KINDS)(chance) for number in range(4)}
    audio = tmp_path / "speech"
    audio.mkdir()
    recordings = chance.choice([1, 1, 2])
    for number in range(recordings):
        write_tone(audio / f"tone{number}.wav", 1.0 + number)
    mark = f"escapee-{tmp_path.name}-{seed}"
    backends: list[object] = ["-b", engine(tmp_path, "honest", {})]
    for name, attack in attacks.items():
        spec = json.loads(json.dumps(attack.spec).replace("@mark", mark))
        backends += ["-b", engine(tmp_path, name, spec)]
    words = ["--audio", audio, *backends, "--rounds", ROUNDS, "--passes", PASSES]
    options = ["--timeout", STAGE_S, "--seed", seed, "--json"]
    found = watched_run(tool, *words, *options, limit_s=240)

    done = found.done
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    assert done.returncode in {0, 3}, done.stderr[-3000:]
    honest = done.cell("honest")
    assert honest["status"] == "ok"
    assert honest["summary"]["timed_samples"] == ROUNDS * PASSES * recordings
    for name, attack in attacks.items():
        cell = done.cell(name)
        assert cell["status"] in attack.endings, (attack, cell["endings"])
        for ending in cell["endings"]:
            assert len(ending["message"]) <= 2500
            assert ending["message"].isprintable()
            assert "Traceback" not in ending["message"]
    assert found.peak_bytes < honest_peak + MOST_MEMORY
    if sys.platform == "linux":
        assert processes_named(mark) == []

    bundle = tmp_path / "bundle.zip"
    for command in (
        ["show", "latest"],
        ["results", "verify"],
        ["export", "latest", "--format", "csv", "--table", "samples"],
        ["report", "latest", "-o", tmp_path / "report.html"],
        ["results", "bundle", "latest", "-o", bundle],
        ["show", bundle],
    ):
        after = tool(*command)
        if "would give away" in after.stderr:
            break  # a transcript with a token in it is not shared
        assert after.returncode == 0, (command, after.stderr[-3000:])
        assert not any(letter in after.stdout + after.stderr for letter in "\x1b\x07\x9b\u202e")


@pytest.mark.parametrize("then", ["hang", "answer"])
def test_ctrl_c_ends_a_run_whose_engine_has_left_a_process_behind(
    tool: Tool, tmp_path: Path, then: str
) -> None:
    mark = f"escapee-{tmp_path.name}"
    spec = {"do": "escape", "at": "transcribe", "with": {"then": then, "name": mark}}
    words = ["-b", engine(tmp_path, "escapes", spec), "--audio", write_tone(tmp_path / "tone.wav")]
    process = tool.start("run", "-m", "tiny.en", *words, "--passes", 1000, "--timeout", 60)
    try:
        wait_until(lambda: processes_named(mark))
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        for each in processes_named(mark) if sys.platform != "linux" else []:
            each.kill()
    assert time.monotonic() - began < 15
    assert process.returncode == 130
    assert "Traceback" not in err
    if sys.platform == "linux":
        assert processes_named(mark) == []


def test_a_run_of_the_most_that_is_accepted_can_be_shared(tool: Tool, tmp_path: Path) -> None:
    piece = {"start_s": -1.0, "end_s": 61.0, "text": "@long:30"}
    most = {
        "text": "@long:60000",
        "segments": ["@times", 2000, piece],
        "tokens": 61_000,
        "fallbacks": 61_000,
        "peak_rss_bytes": 1 << 60,
        "allocator_bytes": {f"{number}@long:290": 1 << 60 for number in range(100)},
        "stages_s": {f"{number}@long:290": 0.0 for number in range(100)},
        "remarks": ["@long:1999"] * 20,
        "observed": ["@long:300"] * 100,
        "effective": {"beam_size": -(10**15), "window": "@long:300"},
    }
    spec = {
        "hello": {"version": "@long:300", "versions": {"\x1b": "@long:50000"}},
        "load": {"device": "@long:300", "details": {"[link=x]": "@long:50000"}},
        "transcribe": most,
    }
    words = ["-b", engine(tmp_path, "most", spec), "--passes", 5, "--rounds", 1, "--json"]
    audio = ["--audio", write_tone(tmp_path / "tone.wav", 1.0)]
    found = watched_run(tool, *audio, *words, limit_s=100)
    assert found.done.returncode == 0, found.done.stderr[-3000:]
    bundle = tmp_path / "bundle.zip"
    for command in (["results", "bundle", "latest", "-o", bundle], ["show", bundle]):
        done = tool(*command)
        assert done.returncode == 0, (command, done.stderr[-3000:])
