"""--audio and --clip, turned into one clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.audio.recording import Recording
from mac_whisper_speedtest.audio.select import load_recording
from mac_whisper_speedtest.errors import AudioError, UsageError


def silent(message: str) -> None:
    raise AssertionError(f"nothing should be downloaded: {message}")


@pytest.fixture
def talk(tmp_path: Path, own_cache: Path, encode: Callable[..., Path]) -> Path:
    return encode(tmp_path / "talk.wav", np.zeros((1, 16_000)), rate=16_000)


def test_an_audio_file_becomes_a_clip_of_that_name(talk: Path) -> None:
    clip = load_recording(audio=talk, clip=None, language="de", notify=silent)

    assert (clip.name, clip.source, clip.language) == (
        "talk.wav",
        "a file of the user's",
        "de",
    )
    assert clip.seconds == 1.0
    assert clip.reference is None


def test_the_text_beside_the_audio_is_its_reference(talk: Path) -> None:
    talk.with_suffix(".txt").write_bytes("\ufeff  Grüße.\n".encode())

    assert load_recording(audio=talk, clip=None, notify=silent).reference == "Grüße."


def test_a_reference_given_wins_over_the_one_beside(talk: Path) -> None:
    talk.with_suffix(".txt").write_text("beside")

    assert (
        load_recording(audio=talk, clip=None, reference=" given ", notify=silent).reference
        == "given"
    )


@pytest.mark.parametrize(("text", "wanted"), [(b" \n", "is blank"), (b"\xff\xfe\x80", "not UTF-8")])
def test_a_useless_text_beside_the_audio_is_an_error(talk: Path, text: bytes, wanted: str) -> None:
    talk.with_suffix(".txt").write_bytes(text)

    with pytest.raises(AudioError, match=wanted):
        load_recording(audio=talk, clip=None, notify=silent)


def test_audio_and_clip_exclude_each_other(talk: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        load_recording(audio=talk, clip="short", notify=silent)


def test_a_blank_reference_is_refused(talk: Path) -> None:
    with pytest.raises(UsageError, match="blank"):
        load_recording(audio=talk, clip=None, reference="  ", notify=silent)


def test_a_built_in_clip_takes_no_other_reference() -> None:
    with pytest.raises(UsageError, match="have their own"):
        load_recording(audio=None, clip="short", reference="other words", notify=silent)


def test_the_default_is_the_short_clip(short_clip: Recording) -> None:
    clip = load_recording(audio=None, clip=None, notify=silent)

    assert clip.name == builtin.DEFAULT_CLIP == "short"
    assert clip.pcm_sha256 == short_clip.pcm_sha256


def test_a_built_in_clip_keeps_its_language(short_clip: Recording) -> None:
    assert load_recording(audio=None, clip="short", language="en", notify=silent).language == "en"
    with pytest.raises(UsageError, match="is spoken in 'en', not 'fr'"):
        load_recording(audio=None, clip="short", language="fr", notify=silent)
