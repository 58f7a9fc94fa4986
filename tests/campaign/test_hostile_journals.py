"""Whatever stands in a journal or a manifest: every command works, and other cells keep theirs."""

from __future__ import annotations

import json
import random
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.recordings import collection
from fakes.resumed import Dutiful, finished, latest, measure, wanted
from fakes.runs import FakeCell, stored
from mac_whisper_speedtest import cli
from mac_whisper_speedtest.audio.recording import AudioSet, Recording
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.errors import ExitCode
from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.run.plan import cells
from mac_whisper_speedtest.run.prepare import Prepared
from mac_whisper_speedtest.summary.summarize import summarize
from mac_whisper_speedtest.weights.locate import Weights

ODD = (
    *("0", "-0.0", "1", "-1", "0.5", "1e308", "-1e308", "5e-324", "1e-9", "1e15", "1e999", "NaN"),
    *("Infinity", "9" * 30, "9" * 400, "true", "null", '""', '"x"', '"ok"', '"\\u001b[2J"', "[]"),
    *("{}", "[[1, 2]]", '{"a": 1}', '[{"start_s": 1}]', "[" * 1000 + "]" * 1000, '"\\ud800"'),
    *('{"a":' * 1000 + "1" + "}" * 1000, json.dumps("long " * 300_000), json.dumps([0] * 300_000)),
)
"""JSON, or nearly, in place of a value."""
COMMANDS = (
    ("show",),
    ("score",),
    ("verify",),
    *(("export", "--format", form, "--table", "cells") for form in ("csv", "json", "md")),
    ("export", "--format", "csv", "--table", "samples"),
    ("trace",),
    ("report",),
)
CODES = {ExitCode.OK, ExitCode.STORAGE}
MOST_MEMORY_KB = 400_000
"""More than the process had before: pages of a report are drawn in memory."""

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def speedtest(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Call:
    """A call of the command line in a data folder of its own: code, stdout, stderr."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["speedtest", *map(str, arguments)])
        code = int(cli.main() or 0)
        return code, *capfd.readouterr()

    return call


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where in decoded JSON there is a value."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return [path, *(place for name, each in inner for place in places(each, (*path, name)))]


def mutated(text: bytes, chance: random.Random) -> bytes:
    """The text of a JSON object, changed in one place."""
    kind = chance.choice(["value"] * 8 + ["missing", "cut", "bytes"])
    if kind == "cut":
        return text[: chance.randrange(len(text))]
    if kind == "bytes":
        at = chance.randrange(len(text))
        return text[:at] + chance.randbytes(3).replace(b"\n", b"") + text[at + 3 :]
    value = json.loads(text)
    *path, last = chance.choice([place for place in places(value) if place])
    holder = value
    for step in path:
        holder = holder[step]
    if kind == "missing":
        del holder[last]
        return json.dumps(value).encode()
    holder[last] = "@odd@"
    return json.dumps(value).replace('"@odd@"', chance.choice(ODD)).encode()


def run_of_three(chance: random.Random) -> RunDirectory:
    speech = collection({"u1": "she sells", "u2": "by the sea shore"})
    options: dict[str, Any] = {"speech": speech} if chance.random() < 0.5 else {}
    return stored(
        FakeCell("a", joules=3.0),
        FakeCell("b", rtf=0.2, text={"u1": "she sails"}),
        FakeCell("c", rtf=0.3, ending=chance.choice(["ok", "crashed"])),
        seal=chance.random() < 0.5,
        rounds=chance.choice([2, 3, 7]),
        flagged=[1],
        **options,
    )


def numbers(run: s.Run) -> dict[str, Any]:
    """What of the first two cells depends on no other cell."""
    names = ("median_s", "min_s", "max_s", "rtfx", "rtfx_bounds", "load_s", "first_s", "wer")
    return {
        cell.id: (cell.status, *(getattr(cell.summary, name) for name in names))
        for cell in run.cells[:2]
    }


def every_command_works(speedtest: Call, run: RunDirectory) -> None:
    base = stored(FakeCell("a"), FakeCell("b", rtf=0.21), FakeCell("c", rtf=0.31))
    code, out, err = speedtest("compare", base.path, run.path, "--anyway")
    assert code in {*CODES, ExitCode.REGRESSION}, (code, out[-2000:], err[-2000:])
    code, out, err = speedtest("results", "bundle", run.path, "-o", "run.zip")
    assert code in {*CODES, ExitCode.USAGE}, (code, out[-2000:], err[-2000:])
    if code == ExitCode.OK:
        assert speedtest("show", "run.zip")[0] == ExitCode.OK
    for number, (name, *options) in enumerate(COMMANDS):
        words = ["results", "verify"] if name == "verify" else [name]
        endings = {"report": "html", "trace": "json"}
        output = ["-o", f"{number}.{endings[name]}"] if name in endings else []
        code, out, err = speedtest(*words, run.path, *options, *output)
        if name == "score" and "has no text to score" in err:
            continue
        assert code in CODES, (words, options, code, out[-2000:], err[-2000:])
        assert "Traceback" not in out + err, (words, options, err[-4000:])
        assert len(err) < 20_000


def test_a_hostile_line_costs_its_own_cell_at_most(speedtest: Call, seed: int) -> None:
    chance = random.Random(seed)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = run_of_three(chance)
    before = numbers(summarize(run.replay()))
    lines = run.journal_path.read_bytes().splitlines()
    own = [at for at, line in enumerate(lines) if b'"cell":"c/' in line]
    for at in chance.sample(own, chance.choice([1, 1, 2, len(own)])):
        lines[at] = mutated(lines[at], chance)
    run.journal_path.write_bytes(b"\n".join(lines) + b"\n")
    if chance.random() < 0.5:
        run.sealed_path.unlink(missing_ok=True)
    after = summarize(run.replay())
    assert numbers(after) == before
    for name, unusable in run.journal().unusable.items():
        if name:
            bad = next(cell for cell in after.cells if cell.id == name)
            assert bad.status != "ok"
            assert any(str(unusable) in ending.message for ending in bad.endings)
            assert bad.summary is not None
            assert bad.summary.rank is None
    every_command_works(speedtest, run)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before_kb + MOST_MEMORY_KB


def test_lines_of_the_whole_run_can_hold_anything(speedtest: Call, seed: int) -> None:
    chance = random.Random(seed)
    run = run_of_three(chance)
    lines = run.journal_path.read_bytes().splitlines()
    for _ in range(chance.choice([1, 3, 30])):
        at = chance.randrange(len(lines))
        kind = chance.choice(["change", "repeat", "remove", "move"])
        if kind == "change" and lines[at].startswith(b"{"):
            try:
                lines[at] = mutated(lines[at], chance)
            except (ValueError, RecursionError):
                lines[at] = lines[at][:-2]
        elif kind == "repeat":
            lines.insert(chance.randrange(len(lines)), lines[at])
        elif len(lines) > 1:
            line = lines.pop(at)
            if kind == "move":
                lines.insert(chance.randrange(len(lines)), line)
    run.journal_path.write_bytes(b"\n".join(lines) + b"\n")
    summarize(run.replay())
    every_command_works(speedtest, run)


def test_a_hostile_manifest_is_shown_or_refused(speedtest: Call, seed: int) -> None:
    chance = random.Random(seed)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = run_of_three(chance)
    run.manifest_path.write_bytes(mutated(run.manifest_path.read_bytes(), chance))
    every_command_works(speedtest, run)
    code, _, err = speedtest("results", "list")
    assert (code, "Traceback" in err) == (ExitCode.OK, False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before_kb + MOST_MEMORY_KB


def test_a_run_is_resumed_whatever_its_journal_holds(speedtest: Call, seed: int) -> None:
    chance = random.Random(seed)
    clip = Recording("speech", np.full(32000, 0.1, np.float32), "the best", "en", "made here")
    backends = tuple(Backend(name=name) for name in "abc")
    request = Request(models=("tiny.en",), backends=tuple("abc"), rounds=3, passes=2, threads=1)
    planned = cells(request.models, backends, clip.name)
    weights = Weights("tiny.en", "own", "float16", Path("w"), {}, 0, "made here")
    ready = Prepared(
        request,
        AudioSet("speech", (clip,), "made here", "clip"),
        planned,
        dict.fromkeys((cell.id for cell in planned), weights),
        {},
    )
    assert measure(ready, Dutiful(), dies_after=chance.randrange(20, 50)) is None
    run = latest()
    lines = run.journal_path.read_bytes().splitlines()
    for at in chance.sample(range(len(lines)), chance.choice([1, 2, 10])):
        lines[at] = mutated(lines[at], chance)
    run.journal_path.write_bytes(b"\n".join(lines) + b"\n")
    done = measure(ready, Dutiful(), resume=run)
    assert done is not None
    unusable = run.journal().unusable
    if "" not in unusable:  # what is damaged does not say whose it was
        sound = {cell.id for cell in done[1].cells if cell.id not in unusable}
        asked = {taken for taken in wanted(ready, 3, 2) if taken[0] in sound}
        assert asked <= finished(done[1]).keys()
    every_command_works(speedtest, run)
