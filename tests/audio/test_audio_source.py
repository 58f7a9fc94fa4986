"""--audio and --clip, loaded as one recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.audio.recording import Recording
from mac_whisper_speedtest.audio.select import load_audio
from mac_whisper_speedtest.errors import AudioError, UsageError
from mac_whisper_speedtest.request import Request


def silent(message: str) -> None:
    raise AssertionError(f"nothing should be downloaded: {message}")


def loaded(**source: Any) -> Recording:
    (recording,) = load_audio(Request(models=(), **source), notify=silent).recordings
    return recording


@pytest.fixture
def talk(tmp_path: Path, own_cache: Path, encode: Callable[..., Path]) -> Path:
    return encode(tmp_path / "talk.wav", np.zeros((1, 16_000)), rate=16_000)


def test_an_audio_file_becomes_a_recording_of_that_name(talk: Path) -> None:
    clip = loaded(audio=str(talk), language="de")

    assert (clip.name, clip.source, clip.language) == (
        "talk.wav",
        "a file of the user's",
        "de",
    )
    assert clip.seconds == 1.0
    assert clip.reference is None


def test_the_text_beside_the_audio_is_its_reference(talk: Path) -> None:
    talk.with_suffix(".txt").write_bytes("\ufeff  Grüße.\n".encode())

    assert loaded(audio=str(talk)).reference == "Grüße."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b" \n", "is blank"),
        (b"\xff\xfe\x80", "it is UTF-16, not UTF-8"),
        (b"ab\x80", "byte 2 is not UTF-8"),
        ("said".encode("utf-16-le"), "it is not UTF-8 text: byte 1 is 0"),
        (b"a" * 2_000_000, "2000000 characters"),
    ],
)
def test_a_useless_text_beside_the_audio_is_an_error(talk: Path, text: bytes, reason: str) -> None:
    talk.with_suffix(".txt").write_bytes(text)

    with pytest.raises(AudioError, match=reason):
        loaded(audio=str(talk))


def test_a_text_file_larger_than_any_transcript_is_not_read_into_memory(talk: Path) -> None:
    with talk.with_suffix(".txt").open("wb") as file:
        file.truncate(1 << 40)  # a file with a hole; a terabyte if it were read

    with pytest.raises(AudioError, match="it has more than 4 MiB"):
        loaded(audio=str(talk))


def test_the_words_of_a_recording_can_be_given_as_text_or_as_a_file(
    talk: Path, tmp_path: Path
) -> None:
    talk.with_suffix(".txt").write_text("of the file beside it")
    (tmp_path / "other.txt").write_text("of the other file\n")

    for given, words in {
        " good morning to you ": "good morning to you",
        str(tmp_path / "other.txt"): "of the other file",
        "he wrote notes.txt today": "he wrote notes.txt today",
        "a " * 5_000: ("a " * 5_000).strip(),
        "x" * 1_000: "x" * 1_000,  # too long for a file's name
    }.items():
        assert loaded(audio=str(talk), reference_text=given).reference == words


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("", "the text of --reference-text is blank"),
        (" \n", "the text of --reference-text is blank"),
        ("mistyped.txt", "there is no file mistyped.txt"),
        ("/dev/zero", "/dev/zero is not a text file"),
        ("/", "/ is not a text file"),
        ("a" * 2_000_000, "the text of --reference-text has 2000000 characters"),
    ],
)
def test_words_that_cannot_be_a_reference_are_refused(talk: Path, given: str, reason: str) -> None:
    with pytest.raises(AudioError, match=reason):
        loaded(audio=str(talk), reference_text=given)


def test_the_words_of_one_recording_are_refused_for_other_speech(talk: Path) -> None:
    with pytest.raises(UsageError, match=r"--audio .* is a set"):
        loaded(audio=str(talk.parent), reference_text="words")
    with pytest.raises(UsageError, match="a built-in clip has its own text"):
        loaded(reference_text="words")
    with pytest.raises(UsageError, match="--durations cuts words off"):
        loaded(audio=str(talk), durations=(1.0,), reference_text="words")


def test_audio_and_clip_exclude_each_other(talk: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        loaded(audio=str(talk), clip="short")


def test_the_default_is_the_short_clip(short_clip: Recording) -> None:
    clip = loaded()

    assert clip.name == builtin.DEFAULT_CLIP == "short"
    assert clip.pcm_sha256 == short_clip.pcm_sha256


def test_a_built_in_clip_keeps_its_language(short_clip: Recording) -> None:
    assert loaded(clip="short", language="en").language == "en"
    with pytest.raises(UsageError, match="is spoken in 'en', not 'fr'"):
        loaded(clip="short", language="fr")
