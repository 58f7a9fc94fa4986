"""Every Whisper that is installed here, with a multilingual network: its language given or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from backends.conftest import Samples, Session, speech
from conftest import built_in_backends
from mac_whisper_speedtest.accuracy import score
from mac_whisper_speedtest.audio.decode import decode
from mac_whisper_speedtest.backends.contract import DecodeContract
from mac_whisper_speedtest.weights import mirror
from mac_whisper_speedtest.weights.locations import fetched_folder
from mac_whisper_speedtest.worker import protocol as m

PROMPTS = Path(__file__).parents[3] / "shared/speech/prompts"
NAMES = [each.name for each in built_in_backends() if not each.networks]

# MLX's CPU build takes long.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", params=NAMES)
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    folder = fetched_folder(mirror.mirrored("base"))
    if folder is None or not folder.exists():
        pytest.skip("base is not here: speedtest models pull --mirror base")
    with Session(request.param, "base") as opened:
        yield opened


def heard_in(session: Session, language: str | None) -> m.TranscribeResult:
    """What it hears in three seconds of English."""
    asked = replace(DecodeContract(), language=language)
    return session.decode(asked, speech("short", 0.0, 3.0))


def test_speech_is_decoded_in_the_language_that_is_given(session: Session) -> None:
    heard = heard_in(session, "en")
    assert heard.effective["language"] == "en"
    assert heard.language in {"en", None}
    assert "best of times" in heard.text.lower()


def test_a_wrong_language_is_obeyed_and_reported(session: Session) -> None:
    heard = heard_in(session, "fr")
    assert heard.effective["language"] == "fr"
    assert heard.language in {"fr", None}
    assert "the best of times" not in heard.text.lower()


def test_what_a_library_does_by_itself_is_what_its_description_says(session: Session) -> None:
    """It finds out that this is French, or takes it for English: never something else unnoticed."""
    audio, said = prompt("fr-agent-user")
    nothing = replace(DecodeContract(), language=None)
    left = session.decode(nothing, audio)
    described = session.backend.decodes_with(nothing)["language"]
    expected = described or "fr"
    assert (left.effective["language"], left.language) == (expected, expected)
    assert (errors(said, "fr", left.text) <= 0.4) == (expected == "fr")


def test_another_alphabet_is_read_in_the_language_that_is_given(session: Session) -> None:
    audio, said = prompt("ru-agent-user")
    heard = session.decode(replace(DecodeContract(), language="ru"), audio)
    assert heard.effective["language"] == "ru"
    assert errors(said, "ru", heard.text) <= 0.4


def prompt(name: str) -> tuple[Samples, str]:
    """A telephone prompt, and what is said in it; they are not part of the project."""
    if not PROMPTS.exists():
        pytest.skip("shared/speech is not here")
    lines = map(json.loads, (PROMPTS / "manifest.jsonl").read_text("utf-8").splitlines())
    path = f"audio/{name}.flac"
    said = next(each["text"] for each in lines if each["audio_filepath"] == path)
    return decode(PROMPTS / path), said


def errors(said: str, language: str, heard: str) -> float:
    """The word error rate."""
    rate = score.score([score.Utterance("prompt", said, language, heard)]).rate
    assert rate is not None
    return rate
