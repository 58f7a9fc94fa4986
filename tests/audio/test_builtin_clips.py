"""The built-in clips are what the data file says, cut in pauses."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from mac_whisper_speedtest.audio import builtin
from mac_whisper_speedtest.audio.decode import SAMPLE_RATE, decode
from mac_whisper_speedtest.audio.recording import Recording
from mac_whisper_speedtest.errors import SpeedtestError, UsageError


def test_the_default_clip_comes_first() -> None:
    assert builtin.builtin_clips().names == ("short", "cities", "long")
    assert builtin.builtin_clips().names[0] == builtin.DEFAULT_CLIP


def test_the_short_clip_has_its_length_words_and_source(short_clip: Recording) -> None:
    assert short_clip.seconds == pytest.approx(12.3)
    assert short_clip.language == "en"
    assert short_clip.reference is not None
    assert short_clip.reference.startswith("It was the best of times")
    assert short_clip.reference.endswith("the epoch of incredulity,")
    assert short_clip.source == "moonshine-voice 0.1.5, moonshine_voice/assets/two_cities.wav"


def test_the_cities_clip_is_the_whole_recording_and_begins_with_the_short_text(
    short_clip: Recording,
) -> None:
    cities = builtin.load("cities", notify=print)

    assert cities.seconds == pytest.approx(44.374, abs=0.001)
    assert (
        cities.samples.size
        == decode(builtin.ensure_recording(builtin.builtin_clips().recording, notify=print)).size
    )
    assert short_clip.reference is not None
    assert cities.reference is not None
    assert cities.reference.startswith(short_clip.reference)
    assert "\n" not in cities.reference


def test_the_long_clip_repeats_the_reading_and_its_words_for_ten_minutes() -> None:
    cities, long = (builtin.load(name, notify=print) for name in ("cities", "long"))

    assert long.seconds >= 600
    assert builtin.builtin_clips().repeated["long"].times == 14
    assert long.reference == " ".join([str(cities.reference)] * 14)
    assert "said 14 times" in long.source
    pause = 8_000
    second = long.samples[cities.samples.size + pause :][: cities.samples.size]
    np.testing.assert_array_equal(second, cities.samples)
    np.testing.assert_array_equal(long.samples[-cities.samples.size :], cities.samples)


def test_the_short_clip_is_cut_in_silence_and_speaks_in_between(short_clip: Recording) -> None:
    edge = SAMPLE_RATE // 5
    quiet = 10 ** (-45 / 20)
    for piece in (short_clip.samples[:edge], short_clip.samples[-edge:]):
        assert np.sqrt(np.mean(np.square(piece))) < quiet
    assert np.abs(short_clip.samples).max() > 0.1


def test_a_cached_clip_needs_no_network(
    short_clip: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPEEDTEST_OFFLINE", "1")

    assert builtin.load(short_clip.name, notify=print).pcm_sha256 == short_clip.pcm_sha256


def test_an_empty_cache_holds_no_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEEDTEST_CACHE_DIR", str(tmp_path))

    assert not builtin.is_whole(builtin.builtin_clips().recording)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("wrong", "meant"), [("shrot", "short"), ("city", "cities")])
def test_an_unknown_clip_names_the_nearest(wrong: str, meant: str) -> None:
    with pytest.raises(UsageError, match=repr(wrong)) as caught:
        builtin.load(wrong, notify=print)

    assert caught.value.hint == f"did you mean {meant}? All: speedtest clips list"


def test_a_name_like_no_other_lists_them_all() -> None:
    with pytest.raises(UsageError) as caught:
        builtin.load("xyz", notify=print)

    assert caught.value.hint == "known: short, cities, long (speedtest clips list)"


def test_a_cut_beyond_the_recording_is_an_error_not_a_shorter_clip(short_clip: Recording) -> None:
    known = builtin.builtin_clips()
    beyond = msgspec.structs.replace(known.clips["short"], end=10_000_000)
    clips = msgspec.structs.replace(known, clips={"short": beyond})

    with pytest.raises(SpeedtestError, match="decoded to 709986 samples"):
        builtin.load("short", notify=print, clips=clips)
