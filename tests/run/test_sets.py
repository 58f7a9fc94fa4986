"""A run on a set of recordings: what is measured, what fails alone, and what is scored."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import pytest

from conftest import Finished, Tool, describe_fake, write_tone

REFERENCE = "And so, my fellow Americans, ask not what your country can do for you."


def describe(folder: Path, name: str) -> Path:
    return describe_fake(folder, name, adapter=f"pitfalls:{name}")


def line(audio: Path, text: str | None = REFERENCE, **more: str) -> str:
    entry: dict[str, Any] = {"audio_filepath": audio.name, "duration": 2.0, "lang": "en", **more}
    if text is not None:
        entry["text"] = text
    return json.dumps(entry)


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A manifest with good, bad and missing recordings, and a backend that refuses one of them."""
    folder = tmp_path_factory.mktemp("set")
    good = [write_tone(folder / f"good{number}.wav", 2.0 + number) for number in range(2)]
    short = write_tone(folder / "short.wav", 0.5)
    empty = folder / "empty.wav"
    with wave.open(str(empty), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16000)
    lines = [line(good[0], speaker="Ann"), line(short, speaker="Bob"), line(empty)]
    lines += [line(folder / "gone.wav"), line(good[1], speaker="Ann")]
    lines += ["", '{"audio_filepath": 7}', "{not json"]
    manifest = folder / "talks.jsonl"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    tool = Tool(tmp_path_factory.mktemp("tmp"))
    done = tool(
        *["run", "-m", "tiny.en", "--manifest", manifest, "--rounds", 3],
        *["-b", describe(folder, "Sound"), "-b", describe(folder, "RefusesSome")],
        *["--reference", "Sound", "--json"],
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert tool.leftovers() == []
    return done


def test_every_recording_is_a_sample_of_every_pass(one_run: Finished) -> None:
    cell = one_run.cell("Sound")
    timed = [each for each in cell["samples"] if each["kind"] == "timed"]
    names = [each["name"] for each in cell["clip"]["utterances"]]
    assert [each["utterance"] for each in timed] == names * 3  # one pass in each of three rounds
    assert cell["clip"]["kind"] == "set"
    assert cell["clip"]["seconds"] == pytest.approx(2.0 + 3.0 + 0.5)
    assert cell["summary"]["timed_samples"] == cell["summary"]["timed_samples_asked"] == 9


def test_what_cannot_be_measured_on_is_named_and_the_rest_is_measured(one_run: Finished) -> None:
    (clip,) = one_run.run["manifest"]["clips"]
    left_out = {each["name"]: each["reason"] for each in clip["left_out"]}
    assert len(left_out) == 4
    assert left_out["line 7"] == "has a number as audio_filepath, which must be text"
    assert left_out["line 8"].startswith("is not JSON")
    assert any("gone" in name for name in left_out)
    assert any("empty" in name for name in left_out)
    assert len(clip["utterances"]) == 3


def test_a_recording_that_a_backend_refuses_counts_as_all_deletions(one_run: Finished) -> None:
    refuses, sound = one_run.cell("RefusesSome"), one_run.cell("Sound")
    assert refuses["status"] == sound["status"] == "ok"
    failed = [each for each in refuses["samples"] if each["failed"]]
    assert len(failed) == 3  # once a round, and the worker lives on
    assert "ValueError: the audio is too short for this backend" in failed[0]["failed"]
    accuracy = refuses["summary"]["accuracy"]
    words = sound["summary"]["accuracy"]["reference_words"]
    assert accuracy["failed"] == 1
    assert accuracy["deletions"] == words // 3
    assert accuracy["rate"] == pytest.approx(1 / 3)
    assert sound["summary"]["accuracy"]["rate"] == 0.0
    kinds = {each["kind"]: each["message"] for each in refuses["summary"]["findings"]}
    assert kinds["failed"].startswith("no text for 1 of 3 recordings")


def test_a_backend_that_refuses_every_recording_has_failed(tmp_path: Path, tool: Tool) -> None:
    for number in range(2):
        write_tone(tmp_path / f"short{number}.wav", 0.5)
    done = tool(
        *["run", "-m", "tiny.en", "--audio", tmp_path, "--rounds", 1, "--json"],
        *["-b", describe(tmp_path, "RefusesSome")],
    )
    assert done.returncode == 4, done.stderr
    cell = done.cell("RefusesSome")
    assert cell["status"] == "failed"
    assert [each["status"] for each in cell["endings"]] == ["ok"]


def test_an_error_rate_has_an_interval(one_run: Finished) -> None:
    accuracy = one_run.cell("RefusesSome")["summary"]["accuracy"]
    assert accuracy["rate_low"] < accuracy["rate"] < accuracy["rate_high"]
    assert "blocks of 5 reference words (few utterances: 3)" in accuracy["rate_how"]


def test_speakers_are_numbered_and_not_named(one_run: Finished) -> None:
    (clip,) = one_run.run["manifest"]["clips"]
    assert [each["speaker"] for each in clip["utterances"]] == [1, 2, 1]
    assert "Bob" not in one_run.stdout


def test_speed_is_seconds_of_audio_by_seconds_of_work_over_the_set(one_run: Finished) -> None:
    summary = one_run.cell("Sound")["summary"]
    assert summary["rtfx"] == pytest.approx(5.5 / summary["median_s"])
    assert 0.09 < summary["median_s"] < 0.5  # three calls of 0.03 s


def test_no_path_of_the_user_is_in_the_results(one_run: Finished) -> None:
    assert "/set" not in one_run.stdout
    assert ".jsonl" in one_run.stdout  # its name is


def test_a_manifest_without_a_good_line_is_refused_by_its_first(tmp_path: Path, tool: Tool) -> None:
    manifest = tmp_path / "talks.jsonl"
    manifest.write_text("\n" * 16 + "{not json\n[]\n", encoding="utf-8")
    done = tool("run", "-m", "tiny.en", "--manifest", manifest, "-b", describe(tmp_path, "Sound"))
    assert done.returncode == 2
    assert "line 17: is not JSON" in done.stderr
    assert "(2 in all)" in done.stderr
