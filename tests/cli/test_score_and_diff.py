"""``speedtest score`` and ``speedtest diff`` on a run written by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from conftest import Call
from fakes import made_runs
from fakes.made_runs import Fake
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.bundle import write
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.journal import Journal

SAID = {
    "u1": "The quick brown fox jumps over the lazy dog.",
    "u2": "She sells sea shells by the sea shore.",
}
GOOD = dict(SAID)
SLIP = {"u1": "the quick brown fox jumped over the lazy dog", "u2": SAID["u2"]}
WRONG = {"u1": "I never said anything of that kind to you at all.", "u2": None}

Texts = Mapping[str, str | None]


def sample(cell: str, utterance: str, text: str | None) -> s.Sample:
    return s.Sample(
        cell=cell,
        round=0,
        attempt=0,
        index=0,
        kind="timed",
        seconds=0.5,
        wall_s=0.5,
        text=text or "",
        segments=[],
        language="en",
        tokens=None,
        cpu_s=None,
        peak_rss_bytes=None,
        utterance=utterance,
        failed="" if text is not None else "RuntimeError: no",
    )


def ended(cell: str) -> s.WorkerEnded:
    return s.WorkerEnded(
        cell=cell,
        round=0,
        attempt=0,
        status="ok",
        stage="",
        error_class="",
        message="",
        log_tail="",
        exit_code=0,
    )


def clip(references: Mapping[str, str | None]) -> s.ClipInfo:
    one = {"seconds": 3.0, "samples": 48000, "pcm_sha256": "0" * 64}
    if set(references) == {""}:
        return msgspec.convert(
            {"name": "speech", "source": "file", "language": "en", **one}, s.ClipInfo
        )
    utterances = [
        {"name": name, "language": "en", "reference": text, **one}
        for name, text in references.items()
    ]
    return msgspec.convert(
        {"name": "speech", "source": "manifest", "kind": "set", "utterances": utterances, **one},
        s.ClipInfo,
    )


def manifest(backends: list[str], speech: s.ClipInfo) -> s.Manifest:
    cells = [f"{name}/tiny.en/speech" for name in backends]
    request = {
        "models": ["tiny.en"],
        "backends": backends,
        "clips": ["speech"],
        "contract": {"name": "greedy", **DecodeContract().settings()},
        "rounds": 1,
        "passes": 1,
        "seed": 1,
        "threads": 1,
        "device": "auto",
        "precision": "auto",
        "max_time_s": 60.0,
        "timeout_s": None,
        "retries": 0,
        "fail_fast": False,
        "max_failures": None,
        "max_memory_bytes": None,
        "backends_named": True,
    }
    unknown = dict.fromkeys(
        ["cpu", "physical_cores", "logical_cores", "memory_bytes", "gpus", "load_average_1m"]
    )
    document = {
        "schema_version": s.SCHEMA_VERSION,
        "run": 1,
        "started_at": "2026-11-20T10:00:00Z",
        "tool": {"name": "mac-whisper-speedtest", "version": "0", "git_sha": None},
        "machine": {"os": "o", "os_version": "1", "architecture": "a", "python": "3", **unknown},
        "request": request,
        "request_sha256": "0" * 64,
        "libraries": {},
        "clips": [msgspec.to_builtins(speech)],
        "cells": [
            {"id": cell, "backend": name, "model": "tiny.en", "clip": "speech"}
            for cell, name in zip(cells, backends, strict=True)
        ],
        "schedule": [cells],
    }
    return msgspec.convert(document, s.Manifest)


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a run: what each backend said of each recording (``""`` is a single one)."""

    def write(said: Mapping[str, Texts], references: Mapping[str, str | None] = SAID) -> Path:
        run = RunDirectory(tmp_path / "run")
        run.path.mkdir()
        run.write_manifest(manifest(list(said), clip(references)))
        with Journal(run.journal_path) as journal:
            for backend, texts in said.items():
                cell = f"{backend}/tiny.en/speech"
                for utterance, text in texts.items():
                    journal.append(sample(cell, utterance, text))
                journal.append(ended(cell))
            journal.append(s.RunEnded(state="complete"))
        return run.path

    return write


Write = Callable[..., Path]


def test_a_run_is_scored_again_with_its_errors_and_the_gate(
    written: Write, speedtest: Call
) -> None:
    run = written({"openai-whisper": GOOD, "whisper.cpp": SLIP, "bad": WRONG})

    answer = speedtest("score", run)

    assert answer.code == 0
    rows = {line.split()[0]: line.split() for line in answer.out.splitlines() if line.strip()}
    assert rows["openai-whisper"][1:9] == ["0.00%", "0.00%", "0.00%", "0", "0", "0", "17", "0"]
    assert rows["openai-whisper"][-1] == "reference"
    assert rows["whisper.cpp"][1] == "5.88%"
    assert rows["whisper.cpp"][4:7] == ["1", "0", "0"]
    assert rows["whisper.cpp"][-1] == "unclear"
    assert rows["bad"][8] == "1"
    assert rows["bad"][-1] == "worse"
    assert "Compared with openai-whisper" in answer.out
    assert "EnglishTextNormalizer" in answer.out


@pytest.mark.parametrize("command", ["show", "score", "diff"])
def test_a_bundle_can_be_looked_at_without_importing_it(
    speedtest: Call, tmp_path: Path, command: str
) -> None:
    slip = {**made_runs.SAID, "u1": "she sells sea snails"}  # one word of eight
    run = made_runs.made({"one": Fake(1.0), "two": Fake(1.0, said=slip)}).write(tmp_path / "run")
    packed = tmp_path / "shared.zip"
    write.write_bundle(RunDirectory(run), packed)
    shutil.rmtree(run)

    answer = speedtest(command, packed, *(("one", "two") if command == "diff" else ()))

    assert (answer.code, answer.err) == (0, "")
    assert "12.5" in answer.out
    assert list(tmp_path.iterdir()) == [packed]


def test_another_normalizer_gives_another_number_and_leaves_the_run_as_it_is(
    written: Write, speedtest: Call
) -> None:
    run = written({"openai-whisper": GOOD, "whisper.cpp": SLIP})
    before = {path.name: path.read_bytes() for path in run.iterdir()}

    answer = speedtest("score", run, "--normalizer", "none", "--json")

    cells = {each["backend"]: each["accuracy"] for each in json.loads(answer.out)["cells"]}
    assert cells["openai-whisper"]["rate"] == 0.0
    assert cells["whisper.cpp"]["substitutions"] == 3  # The, jumped, dog without its full stop
    assert cells["whisper.cpp"]["normalizer"].startswith("none")
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_every_utterance_is_shown_on_demand_the_worst_first(
    written: Write, speedtest: Call
) -> None:
    run = written({"openai-whisper": GOOD, "bad": WRONG})

    answer = speedtest("score", run, "--per-utterance")

    table = answer.out.partition("by utterance")[2]
    assert table.index("u1") < table.index("u2")
    assert "failed" in table


def test_the_reference_backend_can_be_chosen(written: Write, speedtest: Call) -> None:
    run = written({"openai-whisper": GOOD, "whisper.cpp": SLIP})

    answer = speedtest("score", run, "--reference-backend", "whisper-cpp")

    assert "Compared with whisper.cpp" in answer.out


def test_what_was_said_can_be_given_afterwards_for_a_single_recording(
    written: Write, speedtest: Call, tmp_path: Path
) -> None:
    run = written({"openai-whisper": {"": "Good morning to you."}}, {"": None})
    said = tmp_path / "said.txt"
    said.write_text("good morning to you\n", encoding="utf-8")

    without = speedtest("score", run)
    given = speedtest("score", run, "--reference-file", said)

    assert without.code == 2
    assert "--reference-file" in without.err
    assert given.code == 0
    assert "0.00%" in given.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--normalizer", "whisper"], "say one of english, basic, nfc, none"),
        (["--reference-backend", "foo"], "it has openai-whisper, bad"),
        (["--reference-file", "/nowhere/said.txt"], "cannot read"),
        (["--reference-file", __file__], "single recording"),
    ],
)
def test_a_wrong_request_is_answered_with_what_to_say(
    written: Write, speedtest: Call, options: list[str], message: str
) -> None:
    run = written({"openai-whisper": GOOD, "bad": WRONG})

    answer = speedtest("score", run, *options)

    assert answer.code == 2
    assert message in answer.err


def test_diff_shows_each_place_with_what_was_said_and_who_is_right(
    written: Write, speedtest: Call
) -> None:
    run = written({"openai-whisper": GOOD, "whisper.cpp": SLIP})

    answer = speedtest("diff", run, "openai-whisper", "whisper.cpp")

    assert answer.code == 0
    assert answer.out == (
        "openai-whisper tiny.en (WER 0.00%) and whisper.cpp tiny.en (WER 5.88%) on speech\n"
        "\n"
        "u1\n"
        "\n"
        "  said            … quick brown fox [jumps] over the lazy …\n"
        "  openai-whisper  … quick brown fox [jumps] over the lazy …  right\n"
        "  whisper.cpp     … quick brown fox [jumped] over the lazy …  wrong\n"
        "  1 of 2 recordings have the same words\n"
    )


def test_diff_of_one_utterance_says_that_a_backend_gave_no_text(
    written: Write, speedtest: Call
) -> None:
    run = written({"openai-whisper": GOOD, "bad": WRONG})

    answer = speedtest("diff", run, "openai-whisper", "bad", "--utterance", "u2")

    assert answer.code == 0
    assert "no text from bad" in answer.out
    assert "u1" not in answer.out


def test_diff_without_a_reference_text_says_who_wrote_what(written: Write, speedtest: Call) -> None:
    run = written({"a": {"": "it was late"}, "b": {"": "it was later"}}, {"": None})

    answer = speedtest("diff", run, "a", "b")

    assert answer.code == 0
    assert "[late]" in answer.out
    assert "[later]" in answer.out
    assert "right" not in answer.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["openai-whisper", "foo"], "it has openai-whisper, bad"),
        (["openai-whisper", "bad", "--utterance", "u9"], "it has u1, u2"),
        (["openai-whisper", "bad", "--model", "large"], "it has tiny.en"),
        (["openai-whisper", "bad", "--normalizer", "x"], "say one of"),
    ],
)
def test_diff_of_what_is_not_there_names_what_is(
    written: Write, speedtest: Call, arguments: list[str], message: str
) -> None:
    run = written({"openai-whisper": GOOD, "bad": WRONG})

    answer = speedtest("diff", run, *arguments)

    assert answer.code == 2
    assert message in answer.err
