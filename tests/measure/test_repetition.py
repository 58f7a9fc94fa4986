"""Which transcripts are hallucination loops, and which only repeat what was said."""

from __future__ import annotations

import pytest

from mac_whisper_speedtest.measure import findings
from mac_whisper_speedtest.speech import builtin


@pytest.mark.parametrize("name", builtin.builtin_names())
def test_the_words_of_a_built_in_clip_are_no_loop(name: str) -> None:
    assert findings.repetition(builtin.shipped().clips[name].reference) == ""


@pytest.mark.parametrize(
    "transcript",
    [
        "",
        "No, no, no! Never, never, never, never give in.",
        "Row, row, row your boat, gently down the stream.",
        "call 555 555 555 555 now",
        "The quick brown fox jumps over the lazy dog. " * 2,
    ],
)
def test_people_who_repeat_themselves_a_little_are_not_looping(transcript: str) -> None:
    assert findings.repetition(transcript) == ""


@pytest.mark.parametrize(
    ("transcript", "words"),
    [
        ("So. " + "Thank you. " * 6, "“thank you” 6 times in a row"),
        ("you " * 12, "“you” 12 times in a row"),
        ("and " + "I said to him that it is not so, and " * 4, "4 times in a row"),
        ("谢谢观看" * 40, "compresses"),
        ("a long way to go " * 3 + "and back, and " + "a long way to go " * 40, "times in a row"),
    ],
)
def test_a_phrase_said_over_and_over_is_a_loop(transcript: str, words: str) -> None:
    assert words in findings.repetition(transcript)
