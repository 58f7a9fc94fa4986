"""Every way to come by a wrong number that a fake can show: the tool names it, and no other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import FAKES, Finished, Tool, write_tone

# fake -> the findings it must get, and no others: kind, and a pattern of what the message says
PITFALLS = {
    "FinishesLate": [("clock", "its speed is not reliable")],
    "GoesOn": [("clock", "its times leave out work")],
    "Compiles": [("first call", "compilation, caches or late loading")],
    "LoadsLate": [("first call", "it loaded the model")],
    "Drifts": [("drift", "slower between the first and last sample of a process")],
    "ChangesItsText": [
        ("text", r"\d+ different texts for the same audio, although it reported temperature 0")
    ],
    "Loops": [("loop", r"“thank you for watching” 20 times in a row, in (\d+) of \1 transcripts")],
    "FallsBack": [
        ("device", "ran on metal, although cpu was requested"),
        ("precision", "computed in int4, although float32 was requested"),
    ],
    "OtherWork": [("contract", "beam_size: 5 instead of 1")],
    "Lies": [
        ("contract", "reported language en, but its transcripts are in fr"),
        ("contract", "a segment ends at 30.0 s in audio of 2.0 s"),
    ],
    "HasNoTimes": [("contract", "reported timestamps, but its segments have no times")],
    "Leaks": [("memory", r"peak memory grew in each of \d+ calls, by 50\.0 MB per call")],
}
OF_THE_MACHINE = {"disturbed", "machine", "outlier"}  # whatever else it does meanwhile
SOUND = ("Sound", "Lazy", "Asynchronous", "Settles")
WEIGHTS_BYTES = 80_000_000  # of the one whose memory must show them
ROUNDS, RUNS = 1, 6
# What tests/fakes/pitfalls.py says of itself.
WORK_S, FIRST_S = 0.03, 0.6


def describe(folder: Path, name: str) -> Path:
    weights = "large.bin" if name == "LoadsLate" else "small.bin"
    path = folder / f"{name}.toml"
    path.write_text(
        f'[backend]\nname = "{name}"\nadapter = "pitfalls:{name}"\n'
        f'search_path = [{json.dumps(str(FAKES))}]\nmodels = {{ "tiny.en" = "{weights}" }}\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Every fake as a cell of one real run; progress as JSON lines."""
    folder = tmp_path_factory.mktemp("fakes")
    (folder / "small.bin").write_bytes(b"x")
    (folder / "large.bin").write_bytes(b"x" * WEIGHTS_BYTES)
    tool = Tool(tmp_path_factory.mktemp("tmp"))
    backends: list[object] = []
    for name in [*PITFALLS, *SOUND]:
        backends += ["-b", describe(folder, name)]
    done = tool(
        *["run", "-m", "tiny.en", "--audio", write_tone(folder / "tone.wav"), *backends],
        # One process each: to start it takes longer than all of its calls.
        *["--rounds", ROUNDS, "--passes", RUNS, "--device", "cpu", "--precision", "float32"],
        *["--json-logs"],
        timeout=280,  # a machine that is busy with other things
    )
    assert done.returncode == 0, done.stderr
    assert tool.leftovers() == []
    return done


def show(form: str) -> Finished:
    command = [sys.executable, "-m", "mac_whisper_speedtest", "show", "latest", form]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Finished(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def shown(one_run: Finished) -> Finished:
    """The same run as JSON, made again from the journal."""
    return show("--json")


@pytest.fixture(scope="module")
def every_note(one_run: Finished) -> list[str]:
    """The lines of the run with each cell's note in words."""
    return show("--wide").stdout.splitlines()


def timed(cell: dict[str, Any]) -> list[float]:
    return [each["seconds"] for each in cell["samples"] if each["kind"] == "timed"]


@pytest.mark.parametrize("fake", PITFALLS)
def test_the_results_name_the_pitfall_and_no_other(shown: Finished, fake: str) -> None:
    cell = shown.cell(fake)
    found = [
        (each["kind"], each["message"])
        for each in cell["summary"]["findings"]
        if each["kind"] not in OF_THE_MACHINE
    ]
    assert cell["status"] == "ok"
    assert {kind for kind, _ in found} == {kind for kind, _ in PITFALLS[fake]}
    for kind, words in PITFALLS[fake]:
        assert any(kind == each and re.search(words, message) for each, message in found), found


@pytest.mark.parametrize("fake", PITFALLS)
def test_the_notes_under_the_table_say_it(every_note: list[str], fake: str) -> None:
    # A cell's name has the version and the precision after the backend's.
    notes = [line for line in every_note if line.startswith(f"  {fake} 1.0 ")]
    for kind, words in PITFALLS[fake]:
        begins = re.compile(rf"  {fake} 1\.0 \w+: {kind}: ")
        assert any(begins.match(line) and re.search(words, line) for line in notes), notes


def test_of_many_notes_of_a_kind_one_is_in_words_and_the_others_are_named(
    one_run: Finished, every_note: list[str]
) -> None:
    kind = re.compile(r"  (.+): (also )?contract(?:: |; see )(.+)")
    brief = [found for line in one_run.stdout.splitlines() if (found := kind.match(line))]
    whole = [found for line in every_note if (found := kind.match(line))]
    assert [found[2] for found in brief] == [None, "also "]
    assert len(whole) == 3  # findings of one kind of a cell are one
    assert {name for found in brief for name in found[1].split("; ")} == {
        name for found in whole for name in found[1].split("; ")
    }
    assert re.fullmatch(r"speedtest show \d+ --wide", brief[1][3])


@pytest.mark.parametrize("fake", SOUND)
def test_a_sound_backend_gets_no_finding(shown: Finished, fake: str) -> None:
    assert shown.cell(fake)["status"] == "ok"
    kinds = {each["kind"] for each in shown.cell(fake)["summary"]["findings"]}
    assert kinds <= OF_THE_MACHINE


@pytest.mark.parametrize("fake", ["Sound", "Lazy", "Asynchronous", "Compiles", "LoadsLate"])
def test_all_of_the_work_and_nothing_else_is_in_the_time(shown: Finished, fake: str) -> None:
    seconds = timed(shown.cell(fake))
    assert len(seconds) == ROUNDS * RUNS
    assert all(WORK_S <= each < FIRST_S for each in seconds)


def test_a_fallback_is_logged_and_in_the_journal_when_it_happens(one_run: Finished) -> None:
    events = [json.loads(line) for line in one_run.stderr.splitlines()]
    loaded = [each for each in events if each["event"] == "loaded"]
    warned = {each["cell"].partition("/")[0]: each["warnings"] for each in loaded}
    fallbacks = [message for _, message in PITFALLS["FallsBack"]]
    assert warned.pop("FallsBack") == fallbacks
    assert warned == {fake: [] for fake in [*PITFALLS, *SOUND] if fake != "FallsBack"}
    logged = [each for each in events if each["event"] == "log"]
    assert [(each["level"], each["message"]) for each in logged] == [
        ("warning", f"FallsBack/tiny.en/tone.wav: {each}") for each in fallbacks
    ]
