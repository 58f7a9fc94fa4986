"""Text that nobody said, as far as it shows without knowing what was said.

Two signs: a transcript that repeats itself, and text over silence. Neither is proof, and neither
finds invented text that sounds like speech; that shows in the error rate.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.accuracy import normalize, scripts

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOP_COMPRESSION = 2.4
"""``compression_ratio_threshold`` of openai/whisper's ``transcribe``: text that zlib makes smaller
than that repeats itself."""
LOOP_WINDOW = 1000
"""Characters looked at at once: about what Whisper decodes in one window (224 tokens), for which
its threshold was made. Long prose compresses better without any loop."""
LOOP_REPEATS = 4
LOOP_WORDS = 12
LOOP_CHARACTERS = 20
LOOP_LONGEST_PHRASE = 30
"""A phrase of up to 30 words, said four times in a row and filling twelve words: shorter loops
escape the compression, and people say a word three times. Where words are not parted by spaces,
characters are looked at, and twenty must be filled: a Chinese word has one or two."""

SAMPLE_RATE = 16_000
"""Hz: what every backend is fed."""
SILENCE_DBFS = -50.0
"""Root mean square below this, with 0 dBFS an amplitude of 1. Speech in a recording made for being
understood is at -30 to -15 dBFS; the pauses of a quiet room are at -60 and below. In a noisy room
nothing is below it, and nothing is found."""
SILENCE_S = 2.0
"""Shorter pauses belong to speech, and times of segments are not sharper."""
_FRAME = SAMPLE_RATE // 10
_PIECE = 600 * _FRAME
"""Samples whose level is taken at once: 0.1 s, so that a single click does not end a silence of
seconds by its peak, and a word of 0.2 s does."""
_MARKER = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>|\*[^*]*\*")
"""What whisper.cpp and others write for other sounds: ``[BLANK_AUDIO]``, ``(music)``."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a transcript; seconds from the start of the audio."""

    start_s: float
    end_s: float
    text: str


def repetition(transcript: str) -> str:
    """How a transcript repeats itself, in words; empty when it does not."""
    spaceless = scripts.is_spaceless(None, transcript)
    units = normalize.words_of(transcript, keep="'")
    if spaceless:
        units = list("".join(units))
    enough, gap = (LOOP_CHARACTERS, "") if spaceless else (LOOP_WORDS, " ")
    for length in range(1, min(LOOP_LONGEST_PHRASE, len(units) // LOOP_REPEATS) + 1):
        start, repeats = _longest_run(units, length)
        if repeats >= LOOP_REPEATS and repeats * length >= enough:
            phrase = gap.join(units[start : start + length])
            return f"says “{phrase}” {repeats} times in a row"
    for start in range(0, max(len(transcript) - LOOP_WINDOW // 2, 1), LOOP_WINDOW // 2):
        piece = transcript[start : start + LOOP_WINDOW].encode()
        ratio = len(piece) / len(zlib.compress(piece))
        if ratio > LOOP_COMPRESSION:
            return f"repeats itself (compresses {ratio:.1f} ×, speech at most {LOOP_COMPRESSION})"
    return ""


def silent_spans(samples: NDArray[Any]) -> list[tuple[float, float]]:
    """Where nothing is to be heard: (start, end) in seconds, in order.

    Args:
        samples: mono, 16 kHz, amplitudes from -1 to 1. Samples that are no numbers are not silent.

    Returns:
        Spans of at least ``SILENCE_S`` whose every tenth of a second is below ``SILENCE_DBFS``, to
        a tenth of a second. A span that reaches the end of the audio ends there.
    """
    import numpy as np

    total = len(samples)
    if total == 0:
        return []
    # Piece by piece: the squares of an hour would take 460 MB.
    pieces = (samples[first : first + _PIECE] for first in range(0, total, _PIECE))
    mean = np.concatenate([_mean_squares(piece) for piece in pieces])
    quiet = mean < 10 ** (SILENCE_DBFS / 10)
    edges = np.flatnonzero(np.diff(quiet, prepend=False, append=False))
    spans = [
        (int(first) * _FRAME / SAMPLE_RATE, min(int(last) * _FRAME, total) / SAMPLE_RATE)
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    ]
    return [(start, end) for start, end in spans if end - start >= SILENCE_S]


def _mean_squares(samples: NDArray[Any]) -> NDArray[Any]:
    """The mean square of every frame; the last one may be shorter."""
    import numpy as np

    starts = np.arange(0, len(samples), _FRAME)
    lengths = np.diff(starts, append=len(samples))
    means: NDArray[Any] = np.add.reduceat(np.square(samples, dtype=np.float64), starts) / lengths
    return means


def over_silence(
    segments: Sequence[Segment], silent: Sequence[tuple[float, float]], *, audio_s: float
) -> list[Segment]:
    """The segments with words that lie wholly in silence.

    Args:
        segments: of one transcript. Those without a length say no times, and are passed over; so
            are notes on sounds such as ``[BLANK_AUDIO]``.
        silent: from :func:`silent_spans`.
        audio_s: the audio's length. Whisper pads the last window, so that a segment may end after
            it: a silence that reaches the end goes on.
    """
    found = []
    for segment in segments:
        if segment.end_s <= segment.start_s or not _has_words(segment.text):
            continue
        for start, end in silent:
            open_ended = end >= audio_s - 1 / SAMPLE_RATE
            if start <= segment.start_s and (open_ended or segment.end_s <= end):
                found.append(segment)
                break
    return found


def describe_over_silence(found: Sequence[Segment]) -> str:
    """In words, for a finding; empty when there is none."""
    if not found:
        return ""
    first = found[0]
    text = " ".join(first.text.split())
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return f"says “{text}” at {first.start_s:.1f}–{first.end_s:.1f} s, where it is silent{more}"


def _longest_run(units: Sequence[str], length: int) -> tuple[int, int]:
    """Where a phrase of ``length`` units comes most often in a row, and how often."""
    run = best = end = 0
    for i in range(len(units) - length):
        run = run + 1 if units[i] == units[i + length] else 0
        if run > best:
            best, end = run, i
    return end - best + 1, best // length + 1


def _has_words(text: str) -> bool:
    return bool(normalize.words_of(_MARKER.sub(" ", text)))
