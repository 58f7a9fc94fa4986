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
        (b"\xff\xfe\x80", "not UTF-8"),
        (b"a" * 2_000_000, "2000000 characters"),
    ],
)
def test_a_useless_text_beside_the_audio_is_an_error(talk: Path, text: bytes, reason: str) -> None:
    talk.with_suffix(".txt").write_bytes(text)

    with pytest.raises(AudioError, match=reason):
        loaded(audio=str(talk))


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
