"""``speedtest score`` and ``speedtest diff`` on a run written by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from conftest import Call
from fakes.recordings import collection, recording
from fakes.runs import FakeCell, run_of, run_of_set
from mac_whisper_speedtest.bundle import write
from mac_whisper_speedtest.results.directory import RunDirectory

SAID = {
    "u1": "The quick brown fox jumps over the lazy dog.",
    "u2": "She sells sea shells by the sea shore.",
}
GOOD = dict(SAID)
SLIP = {"u1": "the quick brown fox jumped over the lazy dog", "u2": SAID["u2"]}
WRONG = {"u1": "I never said anything of that kind to you at all.", "u2": None}

Texts = Mapping[str, str | None]


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Write a run: what each backend said of each recording, or of the only one."""

    def write(
        said: Mapping[str, Texts | str], references: Mapping[str, str | None] | None = SAID
    ) -> Path:
        speech = recording(reference=None) if references is None else collection(references)
        cells = [FakeCell(backend, text=texts) for backend, texts in said.items()]
        return run_of(*cells, speech=speech, rounds=1).write(tmp_path / "run")

    return write


Write = Callable[..., Path]


def test_a_run_is_scored_again_with_its_errors_and_the_gate(
    written: Write, speedtest: Call
) -> None:
    run = written({"openai-whisper": GOOD, "whisper.cpp": SLIP, "bad": WRONG})

    answer = speedtest("score", run)

    assert answer.code == 0
    rows: dict[str, list[str]] = {}
    for line in filter(str.strip, answer.out.splitlines()):
        rows.setdefault(line.split()[0], line.split())
    assert " ".join(rows["openai-whisper"][3:12]) == ("0.00% (0.00%–35.21%) 0.00% 0.00% 0 0 0 17 0")
    assert rows["openai-whisper"][-1] == "reference"
    assert rows["whisper.cpp"][3] == "5.88%"
    assert rows["whisper.cpp"][7:10] == ["1", "0", "0"]
    assert rows["whisper.cpp"][-1] == "unclear"
    assert rows["bad"][11] == "1"
    assert rows["bad"][-1] == "worse"
    assert "Compared with openai-whisper" in answer.out
    assert "EnglishTextNormalizer" in answer.out


@pytest.mark.parametrize("command", ["show", "score", "diff"])
def test_a_bundle_can_be_looked_at_without_importing_it(
    speedtest: Call, tmp_path: Path, command: str
) -> None:
    slip = {"u1": "she sells sea snails"}  # one word of eight
    run = run_of_set(FakeCell("one"), FakeCell("two", text=slip)).write(tmp_path / "run")
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
    given = speedtest("score", run, "--reference-text", said)

    assert without.code == 2
    assert "--reference-text" in without.err
    assert given.code == 0
    assert "0.00%" in given.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--normalizer", "whisper"], "use one of english, basic, nfc, none"),
        (["--reference-backend", "foo"], "it has openai-whisper, bad"),
        (["--reference-text", "/nowhere/said.txt"], "there is no file /nowhere/said.txt"),
        (["--reference-text", "good morning"], "single recording"),
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
        "openai-whisper tiny.en (WER 0.00%, 0.00%–35.21%) and whisper.cpp tiny.en "
        "(WER 5.88%, 0.00%–25.00%) on speech\n"
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
    run = written({"a": "it was late", "b": "it was later"}, None)

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
        (["openai-whisper", "bad", "--normalizer", "x"], "use one of"),
    ],
)
def test_diff_of_what_is_not_there_names_what_is(
    written: Write, speedtest: Call, arguments: list[str], message: str
) -> None:
    run = written({"openai-whisper": GOOD, "bad": WRONG})

    answer = speedtest("diff", run, *arguments)

    assert answer.code == 2
    assert message in answer.err
