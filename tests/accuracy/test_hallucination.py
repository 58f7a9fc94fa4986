"""Loops, and text over silence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mac_whisper_speedtest.accuracy import hallucination
from mac_whisper_speedtest.backends.adapter import Segment

LIBRISPEECH = Path(__file__).parents[3] / "shared/speech/librispeech-60/manifest.jsonl"
RATE = hallucination.SAMPLE_RATE


@pytest.mark.parametrize(
    "transcript",
    [
        "",
        "No, no, no! Never, never, never, never give in.",
        "Row, row, row your boat, gently down the stream.",
        "call 555 555 555 555 now",
        "The quick brown fox jumps over the lazy dog. " * 2,
        "नमस्ते नमस्ते नमस्ते नमस्ते",
        "哈哈哈哈哈哈,好笑",
        "谢谢,谢谢,谢谢大家",
    ],
)
def test_people_who_repeat_themselves_a_little_are_not_looping(transcript: str) -> None:
    assert hallucination.repetition(transcript) == ""


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        ("So. " + "Thank you. " * 6, "“thank you” 6 times in a row"),
        ("you " * 12, "“you” 12 times in a row"),
        ("and " + "I said to him that it is not so, and " * 4, "4 times in a row"),
        ("I don't know. " * 5, "“i don't know” 5 times in a row"),
        ("谢谢观看。" * 6, "“谢谢观看” 6 times in a row"),
        ("ご視聴ありがとうございました" * 4, "4 times in a row"),
        ("धन्यवाद " * 12, "“धन्यवाद” 12 times in a row"),
        ("a long way to go " * 3 + "and back, and " + "a long way to go " * 40, "times in a row"),
        ("abcdefghij" * 60, "compresses"),
    ],
)
def test_a_phrase_repeated_over_and_over_is_a_loop(transcript: str, words: str) -> None:
    assert words in hallucination.repetition(transcript)


MENU = (
    "Press 1 to mute or unmute your microphone, 2 to lock or unlock the conference, 3 to remove "
    "the last person who joined the conference, 4 and 6 to turn down and turn up the volume of the "
    "conference, 7 and 9 to turn down and turn up the volume of your own microphone, 8 to leave "
    "this menu and return to the conference. "
)


def test_a_menu_that_repeats_itself_is_a_loop_only_if_it_was_not_said() -> None:
    twice = MENU * 2
    assert "speech at most 2.4" in hallucination.repetition(twice)
    assert hallucination.repetition(twice, twice.replace("1", "one").replace("2", "two")) == ""
    assert "its reference at most 2.5" in hallucination.repetition(twice, MENU)
    assert "compresses" in hallucination.repetition(MENU * 3, twice)


@pytest.mark.skipif(not LIBRISPEECH.exists(), reason="shared/speech is not here")
def test_no_real_reference_is_a_loop() -> None:
    lines = [json.loads(line) for line in LIBRISPEECH.read_text().splitlines()]

    assert [line["text"] for line in lines if hallucination.repetition(line["text"])] == []


def sound(*parts: tuple[float, float]) -> NDArray[np.float32]:
    """Noise: seconds and level in dBFS for each part."""
    random = np.random.default_rng(0)
    pieces = [random.standard_normal(int(s * RATE)) * 10 ** (dbfs / 20) for s, dbfs in parts]
    return np.concatenate([*pieces, []]).astype(np.float32)


def test_silence_between_speech_is_found_to_a_tenth_of_a_second() -> None:
    spans = hallucination.silent_spans(sound((3.0, -20), (4.0, -70), (3.0, -20)))

    assert spans == [(3.0, 7.0)]


def test_silence_at_both_ends_is_found() -> None:
    spans = hallucination.silent_spans(sound((2.5, -90), (1.0, -20), (2.05, -90)))

    assert spans == [(0.0, 2.5), (3.5, 5.55)]


@pytest.mark.parametrize(
    "samples",
    [
        sound((1.9, -70), (1.0, -20)),  # too short
        sound((10.0, -45)),  # a noisy room
        sound((1.5, -70), (0.2, -25), (1.5, -70)),  # a word in it
        np.full(RATE * 4, np.nan, np.float32),
        np.zeros(0, np.float32),
    ],
)
def test_what_is_no_long_silence_is_not_taken_for_one(samples: NDArray[np.float32]) -> None:
    assert hallucination.silent_spans(samples) == []


def test_digital_silence_is_silent_to_its_end() -> None:
    (span,) = hallucination.silent_spans(np.zeros(RATE * 3 + 7, np.float32))

    assert span == pytest.approx((0.0, (RATE * 3 + 7) / RATE))


def test_segments_wholly_in_silence_are_named_and_others_are_not() -> None:
    silent = [(3.0, 7.0), (12.0, 15.0)]
    segments = [
        Segment(0.0, 3.2, "Hello there."),
        Segment(3.2, 6.8, "Thanks for watching."),
        Segment(6.5, 9.0, "And so on."),
        Segment(12.5, 30.0, "Bye."),
        Segment(4.0, 5.0, "[BLANK_AUDIO]"),
        Segment(4.0, 5.0, " (music) "),
        Segment(5.0, 5.0, "no times"),
    ]

    found = hallucination.over_silence(segments, silent, audio_s=15.0)

    assert [each.text for each in found] == ["Thanks for watching.", "Bye."]


def test_a_segment_that_outlives_a_silence_inside_the_audio_is_not_named() -> None:
    found = hallucination.over_silence([Segment(3.5, 7.5, "And")], [(3.0, 7.0)], audio_s=15.0)

    assert found == []


def test_the_finding_quotes_the_text_and_its_time() -> None:
    found = [Segment(3.2, 6.8, " Thanks for\nwatching."), Segment(7.0, 8.0, "Bye.")]

    assert hallucination.describe_over_silence([]) == ""
    assert hallucination.describe_over_silence(found) == (
        "has “Thanks for watching.” at 3.2–6.8 s, which is silent, and 1 more"
    )


def test_a_long_silence_is_one_span_however_the_audio_is_looked_through() -> None:
    import numpy as np

    samples = np.full(200 * hallucination.SAMPLE_RATE, 0.1, np.float32)
    samples[50 * hallucination.SAMPLE_RATE : 130 * hallucination.SAMPLE_RATE] = 0.0
    assert hallucination.silent_spans(samples) == [(50.0, 130.0)]
