"""What a run measures on has a name, clips of different names, and one hash."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from mac_whisper_speedtest.audio.recording import AudioSet, Recording, display_name, unique_name


def clip(name: str, *, language: str | None = "en", value: float = 0.0) -> Recording:
    samples = np.full(16_000, value, dtype=np.float32)
    return Recording(name=name, pcm=samples, reference=None, language=language, source="test")


def test_the_hash_of_a_set_depends_on_names_and_samples_not_on_the_order() -> None:
    a, b = clip("a"), clip("b", value=0.5)
    lines = f"a {a.pcm_sha256}\nb {b.pcm_sha256}\n"

    both = AudioSet("set", (b, a), "test", "set")

    assert both.pcm_sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert AudioSet("other", (a, b), "elsewhere", "set").pcm_sha256 == both.pcm_sha256
    assert AudioSet("set", (clip("c"), b), "test", "set").pcm_sha256 != both.pcm_sha256


def test_one_recording_has_its_own_hash() -> None:
    assert AudioSet("a", (clip("a"),), "test", "clip").pcm_sha256 == clip("a").pcm_sha256


def test_the_language_is_known_only_when_all_clips_share_it() -> None:
    assert AudioSet("s", (clip("a"), clip("b")), "test", "set").language == "en"
    assert AudioSet("s", (clip("a"), clip("b", language="de")), "test", "set").language is None
    assert AudioSet("s", (clip("a"), clip("b", language=None)), "test", "set").language is None


def test_seconds_are_those_of_all_clips() -> None:
    assert AudioSet("s", (clip("a"), clip("b")), "test", "set").seconds == 2.0


@pytest.mark.parametrize("names", [(), ("a", "a")])
def test_a_set_without_clips_or_with_two_of_one_name_is_no_set(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="at least one recording, and unique names"):
        AudioSet("s", tuple(clip(name) for name in names), "test", "set")


def test_several_clips_are_not_one_recording() -> None:
    with pytest.raises(ValueError, match="a set"):
        AudioSet("s", (clip("a"), clip("b")), "test", "clip")


def test_a_name_that_is_taken_gets_the_next_number() -> None:
    assert unique_name("a", {"b"}) == "a"
    assert unique_name("a", {"a", "a#2"}) == "a#3"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\nb\t\x1b[31mc", "a b [31mc"), ("", "unnamed"), ("/home/somebody/x.wav", "~/x.wav")],
)
def test_names_are_made_presentable(name: str, shown: str) -> None:
    assert display_name(name) == shown
