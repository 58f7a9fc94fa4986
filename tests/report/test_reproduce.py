"""The command that a report tells its readers: ``speedtest run`` must read it as it was asked."""

from __future__ import annotations

import math
import shlex
from typing import Any

import click
import pytest

from fakes.recordings import collection, cuts, recording
from fakes.runs import FakeCell, run_of
from mac_whisper_speedtest.audio.recording import AudioSet
from mac_whisper_speedtest.cli.run import command
from mac_whisper_speedtest.declared import declarations
from mac_whisper_speedtest.option import Option
from mac_whisper_speedtest.report import reproduce
from mac_whisper_speedtest.request import RecordedRequest, default_of
from mac_whisper_speedtest.results import schema as s


def read(manifest: s.Manifest) -> dict[str, Any]:
    """What the command line's own parser makes of the reconstructed command."""
    program, subcommand, *arguments = shlex.split(reproduce.reproduction_of(manifest).line)
    assert (program, subcommand) == ("speedtest", "run")
    context: click.Context = command.make_context("run", arguments)
    return {name: value for name, value in context.params.items() if value is not None}


def manifest(of: AudioSet | None = None, **request: Any) -> s.Manifest:
    return run_of(FakeCell("a"), FakeCell("b"), speech=of, rounds=1, request=request).manifest


def test_every_setting_of_a_rich_request_comes_back() -> None:
    asked = manifest(
        rounds=9,
        passes=3,
        seed=42,
        threads=5,
        device="gpu",
        precision="int8",
        budget_s=300.5,
        ci_width=0.02,
        max_rounds=30,
        margin=0.035,
        reference_backend="b",
        affinity=(0, 1, 2, 6),
        nice=5,
        max_time_s=61.5,
        timeout_s=90.0,
        max_memory_bytes=4_000_000_000,
        retries=2,
        max_failures=0,
        strict=True,
        cold_load=True,
        repair=True,
        fail_fast=True,
        retake=False,
    )
    found, request = read(asked), asked.request
    options = declarations(RecordedRequest, Option)
    assert {name: found.get(name, default_of(name)) for name in options} == {
        name: getattr(request, name) for name in options
    }
    assert {name for name in options if getattr(request, name) == default_of(name)} == {
        "contract",
        "durations",
    }


def test_what_was_not_asked_for_is_not_in_it() -> None:
    line = reproduce.reproduction_of(manifest(max_time_s=math.inf)).line
    for name in ("budget", "ci-width", "margin", "affinity", "max-memory", "strict", "nice"):
        assert f"--{name}" not in line
    assert "--max-time" not in line


@pytest.mark.parametrize(
    ("name", "source", "option", "value"),
    [
        ("short", "moonshine-voice 0.1.5, moonshine_voice/assets/two_cities.wav", "clip", "short"),
        ("talk.mp3", "a file of the user's", "audio", "talk.mp3"),
        ("talks", "a folder of the user's", "audio", "talks"),
        ("talk.mp3", "talk.mp3, from example.org", "audio", "talk.mp3"),
        ("microphone", "the microphone", "audio", "recording.wav"),
        (
            "librispeech:test-clean:n=50",
            "LibriSpeech test-clean (openslr.org/12, CC BY 4.0)",
            "dataset",
            "librispeech:test-clean:n=50",
        ),
        (
            "hf:org/name:validation:n=5",
            f"org/name at {'c0' * 20} on the Hugging Face hub",
            "dataset",
            f"hf:org/name@{'c0' * 20}:validation:n=5",
        ),
    ],
)
def test_the_speech_is_named_by_its_own_option(
    name: str, source: str, option: str, value: str
) -> None:
    found = read(manifest(recording(name=name, source=source)))
    given = {
        each: found[each] for each in ("audio", "clip", "dataset", "manifest") if each in found
    }
    assert given == {option: value}
    assert found["language"] == "en"


def test_a_manifest_of_the_users_is_named() -> None:
    clip = collection({"a": "x"}, name="talks.jsonl")
    assert str(read(manifest(clip))["manifest"]) == "talks.jsonl"


def test_a_reading_cut_to_lengths_is_cut_again() -> None:
    found = read(manifest(cuts(2, 5, 31.5), durations=(2.0, 5.0, 31.5)))
    assert found["clip"] == "cities"
    assert found["durations"] == (2.0, 5.0, 31.5)


def test_names_that_look_like_options_or_shell_are_only_names() -> None:
    clip = recording(name="-o; rm -rf $HOME.wav")
    run = run_of(FakeCell("a b'c"), speech=clip, rounds=1)
    found = read(run.manifest)
    assert found["audio"] == "-o; rm -rf $HOME.wav"
    assert found["backends"] == ("a b'c",)


def test_unnamed_backends_are_left_unnamed_and_told_of() -> None:
    asked = manifest(backends_named=False)
    assert read(asked).get("backends", ()) == ()
    assert any("a, b" in note for note in reproduce.reproduction_of(asked).notes)


def test_tiny_numbers_are_written_without_exponents() -> None:
    found = read(manifest(margin=0.00005))
    assert found["margin"] == 0.00005
