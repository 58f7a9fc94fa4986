"""A language of tones: every word is a pitch, so a program of ten lines can really hear it.

Standard library only: the stand-in bridges import it.
"""

from __future__ import annotations

import array
import itertools
import math
import wave
from collections.abc import Sequence
from pathlib import Path

RATE = 16_000
WORD_S = 0.5
_TONE_S = 0.4  # then silence
_LOWEST_HZ, _STEP_HZ = 400, 100
WORDS = (
    "and",
    "so",
    "my",
    "fellow",
    "americans",
    "ask",
    "not",
    "what",
    "country",
    "can",
    "do",
    "you",
)


def write_words(path: Path, text: str) -> Path:
    """A 16 kHz wav file with the words of ``text``, all of which are in `WORDS`."""
    samples = array.array("h")
    for word in text.split():
        hertz = _LOWEST_HZ + _STEP_HZ * WORDS.index(word)
        for at in range(int(WORD_S * RATE)):
            loud = 12_000 if at < _TONE_S * RATE else 0
            samples.append(int(loud * math.sin(2 * math.pi * hertz * at / RATE)))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(samples.tobytes())
    return path


def hear(samples: Sequence[float]) -> list[tuple[float, float, str]]:
    """The words in 16 kHz samples, each with its start and end in seconds."""
    found = []
    length, span = int(WORD_S * RATE), int(_TONE_S * RATE / 2)
    for start in range(0, len(samples) - length + 1, length):
        middle = samples[start + span // 2 : start + span // 2 + span]
        crossings = sum(a < 0 <= b for a, b in itertools.pairwise(middle))
        index = round((crossings / (span / RATE) - _LOWEST_HZ) / _STEP_HZ)
        if 0 <= index < len(WORDS):
            found.append((start / RATE, start / RATE + _TONE_S, WORDS[index]))
    return found
