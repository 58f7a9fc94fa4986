"""Cuts have exactly the length asked for, begin alike, and end where it is quiet."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mac_whisper_speedtest.audio.durations import DEFAULT_SECONDS, cut_durations, repeat_to_length
from mac_whisper_speedtest.audio.recording import Recording
from mac_whisper_speedtest.errors import AudioError, UsageError


def reading(seconds: float = 10.0) -> npt.NDArray[np.float32]:
    """A tone that is loud for 240 ms and silent for 60 ms, again and again."""
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    tone = 0.5 * np.sin(2 * np.pi * 440 * time_s)
    tone[(time_s % 0.3) >= 0.24] = 0
    return tone.astype(np.float32)


def clip(samples: npt.NDArray[np.float32]) -> Recording:
    return Recording(name="talk", pcm=samples, reference="words", language="en", source="here")


def test_every_length_is_exact_and_named_in_the_order_asked_for() -> None:
    speech = cut_durations(clip(reading()), (*DEFAULT_SECONDS, 2.0, 0.2, 7.25))

    assert [clip.name for clip in speech.recordings] == [
        *("2s", "5s", "10s", "20s", "30s", "31s", "60s", "120s", "0.2s", "7.25s")
    ]
    for cut in speech.recordings:
        assert cut.samples.size == round(float(cut.name[:-1]) * 16_000)
        assert (cut.reference, cut.language) == (None, "en")
    assert speech.kind == "durations"


def test_the_same_reading_is_cut_the_same_way_every_time() -> None:
    first, second = (cut_durations(clip(reading()), (7.0, 33.3)) for _ in range(2))

    assert first.pcm_sha256 == second.pcm_sha256


def test_a_longer_cut_is_a_shorter_one_and_more() -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, 8 * 16_000).astype(np.float32)
    short, long = (repeat_to_length(samples, seconds * 16_000) for seconds in (5, 60))

    common = round(4.5 * 16_000)  # behind it the shorter one looks for a place to end
    np.testing.assert_array_equal(short[:common], long[:common])


@pytest.mark.parametrize("seconds", [3.1, 5.05, 9.0, 14.2, 61.0])
def test_a_cut_ends_in_a_gap_rather_than_in_a_sound(seconds: float) -> None:
    cut = repeat_to_length(reading(), round(seconds * 16_000))

    loud = np.flatnonzero(cut)
    end = loud[-1]
    assert cut.size - end < 0.45 * 16_000
    before = cut[end - 3_840 : end + 1]  # the sound is whole, not cut off and faded
    assert np.abs(before[-100:]).max() > 0.4


def test_where_a_reading_is_joined_to_itself_there_is_no_click() -> None:
    steady = np.full(3 * 16_000, 0.5, dtype=np.float32)

    joined = repeat_to_length(steady, 20 * 16_000)

    assert np.abs(np.diff(joined)).max() < 0.02


def test_nothing_but_silence_can_be_cut_too() -> None:
    assert not repeat_to_length(np.zeros(16_000, dtype=np.float32), 40_000).any()


@pytest.mark.parametrize("seconds", [0.0, 0.05, -1.0, 3600.5, float("nan"), float("inf")])
def test_impossible_lengths_are_refused_by_name(seconds: float) -> None:
    with pytest.raises(UsageError, match=f"--durations contains {seconds:g}"):
        cut_durations(clip(reading()), (2.0, seconds))


def test_a_reading_below_a_second_is_too_short_to_cut() -> None:
    with pytest.raises(AudioError, match="too short to cut and join"):
        cut_durations(clip(reading(0.9)), (2.0,))
