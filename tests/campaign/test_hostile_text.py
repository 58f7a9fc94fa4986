"""Whatever a run holds, no command lets its texts act: on a terminal, in a table or in a page."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fakes.recordings import collection
from fakes.runs import FakeCell, FakeRun, run_of
from mac_whisper_speedtest import cli
from mac_whisper_speedtest.audio.recording import LeftOut
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.export import files
from mac_whisper_speedtest.printable import CONTROL, UNSEEN
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s

PIECES = (
    *("\x1b[38;5;201m", "\x1b[2J", "\x1b]0;owned\x07", "\x1b]8;;https://evil.example\x1b\\x"),
    *("\x9b31m", "\x9d0;owned\x9c", "\x90q\x9c", "\x08\x08", "\r", "\n", "\x00", "\x7f", "\x0c"),
    *("\u202e", "\u2066", "\u2069", "\u200f", "\u061c", "\u2028", "\ufeff", "\U000e0041", "\ufffe"),
    *("1[/x]", "[link=https://evil.example]x[/link]", "[bold red]", "[/]", "[", "\\[", "[@a=x]"),
    *(":warning:", "{task}", "%s", "{0}", "<script>alert(1)</script>", "]]>", "-->", "&", "|", "`"),
    *("=cmd()", "@everyone", "$(id)", "a", " ", "1.2.3", "int8", "x" * 30, "語", "\u0301" * 9),
)  # fmt: skip
FIXED = frozenset({"event", "cell", "kind", "status", "stage", "utterance", "at", "state", "rung"})
"""Fields with words of ours: what is anything else here is refused where it is read."""
STYLE = re.compile(r"\x1b\[[\d;]*m")
"""What Rich writes for a color."""

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def speedtest(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Call:
    """A call of the command line in a data folder of its own: code, stdout, stderr."""
    monkeypatch.setenv("SPEEDTEST_DATA_DIR", str(tmp_path / "data"))

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["speedtest", *map(str, arguments)])
        code = int(cli.main() or 0)
        return code, *capfd.readouterr()

    return call


def hostile(chance: random.Random) -> str:
    return "".join(chance.choices(PIECES, k=chance.randint(1, 6)))


def with_hostile_texts(value: Any, chance: random.Random, field: str = "") -> Any:
    """The same value with foreign text in every second text that may be anything."""
    if isinstance(value, str):
        keep = field in FIXED or (field == "failed" and not value)  # a text or an error, not both
        return value if keep or chance.random() < 0.5 else hostile(chance)
    if isinstance(value, list):
        return [with_hostile_texts(each, chance, field) for each in value]
    if isinstance(value, dict):
        free = field in {"versions", "details", "stages_s", "values", "unknown"}
        return {
            hostile(chance) if free and chance.random() < 0.3 else name: with_hostile_texts(
                each, chance, name
            )
            for name, each in value.items()
        }
    return value


def hostile_run(chance: random.Random, number: int) -> FakeRun:
    """A run of hostile names in which every line of the journal has hostile texts."""
    name, clip = hostile(chance), hostile(chance)
    speech = collection(
        {f"u1{clip}": hostile(chance), "u2": "by the sea shore"},
        name=f"speech {clip}",
        source=hostile(chance),
        left_out=[LeftOut(name=hostile(chance), reason=hostile(chance))],
    )
    made = run_of(
        FakeCell(Backend(name=f"a{name}")),
        FakeCell("b", rtf=0.2, version=hostile(chance), joules=3.0),
        FakeCell("c", rtf=0.3, text=hostile(chance)),
        FakeCell("gone", ending="crashed", message=hostile(chance), log=hostile(chance)),
        FakeCell("absent", ending="unavailable", message=hostile(chance)),
        number=number,
        speech=speech,
        rounds=2,
        flagged=[1],
        tags=[hostile(chance)],
    )
    events = [
        msgspec.convert(with_hostile_texts(msgspec.to_builtins(each), chance), s.Event)
        for each in made.events
    ]
    return FakeRun(made.manifest, events)


def check(found: str, *, color: bool = False, acting: re.Pattern[str] = UNSEEN) -> None:
    """Nothing acts in what was printed but the colors of Rich."""
    assert "\x1b[38;5;201m" not in found
    found = STYLE.sub("", found) if color else found
    acts = acting.search(found.replace("\r\n", "\n"))
    assert acts is None, found[max(0, acts.start() - 80) : acts.end() + 80]


@pytest.mark.parametrize("color", [False, True], ids=["pipe", "terminal"])
def test_no_text_of_a_run_acts_on_a_terminal(
    speedtest: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, color: bool
) -> None:
    if color:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(random.Random(seed).choice([40, 80, 200])))
    chance = random.Random(seed)
    first, second = (
        hostile_run(chance, number).write(directory.create().path) for number in (1, 2)
    )
    calls = [
        ("show", first),
        ("show", first, "--json"),
        ("results", "list"),
        ("results", "list", "--json"),
        ("results", "verify", "1"),
        ("history", "b"),
        ("history", "b", "--json"),
        ("trace", first, "-o", tmp_path / "trace.json"),
        ("score", first, "--per-utterance"),
        ("diff", first, "b", "c"),
        ("compare", first, second, "--anyway", "--fail-on", "slower,wrong"),
        *(
            ("compare", first, second, "--anyway", "--format", form)
            for form in ("markdown", "json", "junit", "hyperfine", "github-action-benchmark")
        ),
        *(
            ("export", first, "--format", form, "--table", table)
            for form in files.FORMATS
            if form != "parquet"
            for table in ("cells", "samples", "utterances")
            if (form, table) not in {("json", "samples"), ("json", "utterances")}
        ),
    ]
    bundle, site = tmp_path / "run.zip", tmp_path / "site"
    # Names that are no names, and what may be a secret, keep a run from being shared.
    may_refuse = [
        ("results", "bundle", first, "-o", bundle),
        ("show", bundle),
        ("leaderboard", "build", first, "-o", site),
    ]
    for arguments in (*calls, *may_refuse):
        code, out, err = speedtest(*arguments)
        assert code in {0, 11} or (arguments in may_refuse and code in {2, 4, 5}), (arguments, err)
        assert "Traceback" not in err, (arguments, err)
        # Marks of direction belong to a transcript: exported data keep them.
        exact = {"csv", "tsv"} & set(map(str, arguments))
        check(out, color=color, acting=CONTROL if exact else UNSEEN)
        check(err, color=color)
    page = tmp_path / "report.html"
    assert speedtest("report", first, "-o", page)[0] == 0
    for path in (page, *site.rglob("*.*")):
        check(
            path.read_text(encoding="utf-8"), acting=UNSEEN if path.suffix == ".html" else CONTROL
        )


ADAPTER = """
import sys
from mac_whisper_speedtest.backends.adapter import LoadedModel, Segment, Transcription
from mac_whisper_speedtest.backends.contract import EffectiveSettings

TEXTS = {texts!r}


class Hostile:
    def import_library(self):
        print(TEXTS[0], file=sys.stderr)
        return {{"version": TEXTS[1], TEXTS[2]: TEXTS[3]}}

    def load(self, params):
        return LoadedModel(device=TEXTS[4], precision=TEXTS[5], details={{TEXTS[6]: TEXTS[7]}})

    def transcribe(self, audio, contract):
        if {fails!r}:
            raise RuntimeError(TEXTS[8])
        return Transcription(segments=[Segment(0.0, 1.0, TEXTS[9])], language=TEXTS[10])

    def synchronize(self):
        pass

    def effective(self, contract):
        values = {{**contract.settings(), "window": TEXTS[11]}}
        return EffectiveSettings(values, (), (TEXTS[12],))

    def unload(self):
        pass
"""


@pytest.mark.parametrize("fails", [False, True])
def test_no_text_of_a_worker_acts_while_it_is_measured(
    speedtest: Call, fake: Callable[..., Path], tone: Path, tmp_path: Path, seed: int, fails: bool
) -> None:
    chance = random.Random(seed)
    texts = [hostile(chance) for _ in range(13)]
    (tmp_path / "hostile_adapter.py").write_text(ADAPTER.format(texts=texts, fails=fails))
    engine = fake("engine", adapter="hostile_adapter:Hostile")
    described = engine.read_text().replace("search_path = [", f"search_path = [{str(tmp_path)!r}, ")
    engine.write_text(described)
    counts = ("--rounds", 1, "--passes", 1, "--threads", 1)
    code, out, err = speedtest("run", "-m", "tiny.en", "-b", engine, "--audio", tone, *counts)
    assert code in {0, 4}, err
    for found in (out, err, *speedtest("show")[1:]):
        check(found)
    journal = next((tmp_path / "data").rglob("journal.jsonl")).read_bytes()
    stored = list(map(json.loads, journal.splitlines()))  # of bytes: at line feeds only
    assert CONTROL.search(json.dumps(stored, ensure_ascii=False)) is None
