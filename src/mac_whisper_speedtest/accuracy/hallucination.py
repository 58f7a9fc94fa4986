"""Signs of hallucinated text that need no reference: repetition, and text over silence.

Neither is proof, and neither finds invented text that resembles speech; the error rate shows that.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mac_whisper_speedtest.accuracy import normalize

if TYPE_CHECKING:
    from numpy.typing import NDArray


LOOP_COMPRESSION = 2.4
"""``compression_ratio_threshold`` of openai/whisper's ``transcribe``: text that zlib compresses by
more repeats itself."""
LOOP_WINDOW = 1000
"""Characters compressed at once: about one window of Whisper (224 tokens), for which its threshold
was made. Long prose compresses better without any loop."""
LOOP_EXCESS = 1.25
"""Factor by which a transcript must exceed the reference's repetition. A prompt that reads out a
menu compresses by 2.4 itself; right transcripts differ from that by up to 5 %, because digits can
be written in several ways."""
LOOP_REPEATS = 4
LOOP_WORDS = 12
LOOP_CHARACTERS = 20
LOOP_LONGEST_PHRASE = 30
"""A loop is a phrase of up to 30 words, four times in a row, of twelve words in total: compression
misses short loops, and people do say a word three times. In scripts without spaces it is counted in
characters, twenty in total: a Chinese word has one or two."""

SAMPLE_RATE = 16_000
"""Hz, of the audio of every backend."""
SILENCE_DBFS = -50.0
"""Silence has a root mean square below this; 0 dBFS is an amplitude of 1. Intelligible speech is at
-30 to -15 dBFS, the pauses of a quiet room are at -60 and below. A noisy room is never below it, so
no silence is found there."""
SILENCE_S = 2.0
"""Shorter pauses belong to speech, and segment times are not more precise."""
_FRAME = SAMPLE_RATE // 10
_PIECE = 600 * _FRAME
"""Samples per level: in frames of 0.1 s a single click does not end a long silence, and a word of
0.2 s does."""
_MARKER = re.compile(r"\[[^\]]*\]|\([^)]*\)|<[^>]*>|\*[^*]*\*")
"""Notes of whisper.cpp and others on other sounds: ``[BLANK_AUDIO]``, ``(music)``."""


class TimedText(Protocol):
    """A piece of a transcript."""

    @property
    def start_s(self) -> float:
        """Seconds from the start of the audio."""

    @property
    def end_s(self) -> float:
        """Seconds from the start of the audio."""

    @property
    def text(self) -> str:
        """Raw text."""


_Segment = TypeVar("_Segment", bound=TimedText)


def repetition(transcript: str, reference: str | None = None) -> str:
    """Describes how a transcript repeats itself; empty if it does not.

    Args:
        transcript: of one recording.
        reference: the spoken text, if known. Where it repeats itself too, the
            transcript must do so more by the factor ``LOOP_EXCESS``.
    """
    units, enough, separator = _units(transcript)
    own, _, _ = _units(reference or "")
    for length in range(1, min(LOOP_LONGEST_PHRASE, len(units) // LOOP_REPEATS) + 1):
        start, repeats = _longest_run(units, length)
        if repeats < LOOP_REPEATS or repeats * length < enough:
            continue
        if own and repeats <= LOOP_EXCESS * _longest_run(own, length)[1]:
            continue
        phrase = separator.join(units[start : start + length])
        return f"repeats “{phrase}” {repeats} times in a row"
    ratio = _compression(transcript)
    if ratio > LOOP_COMPRESSION:
        most = max(LOOP_COMPRESSION, LOOP_EXCESS * _compression(reference or ""))
        if ratio > most:
            limit = f"its reference at most {most:.1f}" if reference else f"speech at most {most}"
            return f"repeats itself (compresses {ratio:.1f} ×, {limit})"
    return ""


def _units(text: str) -> tuple[list[str], int, str]:
    """The words or characters of a text, the number of units in a loop, and their separator."""
    units = normalize.words_of(text, keep="'")
    if normalize.is_spaceless(None, text):
        return list("".join(units)), LOOP_CHARACTERS, ""
    return units, LOOP_WORDS, " "


def _compression(text: str) -> float:
    """The compression ratio by zlib of the most compressible window of the text."""
    starts = range(0, max(len(text) - LOOP_WINDOW // 2, 1), LOOP_WINDOW // 2)
    windows = (text[start : start + LOOP_WINDOW].encode() for start in starts)
    return max(len(window) / len(zlib.compress(window)) for window in windows)


def silent_spans(samples: NDArray[Any]) -> list[tuple[float, float]]:
    """The silent spans of the audio: (start, end) in seconds, in order.

    Args:
        samples: mono, 16 kHz, amplitudes from -1 to 1. NaN is not silent.

    Returns:
        Spans of at least ``SILENCE_S`` whose every tenth of a second is below ``SILENCE_DBFS``, to
        a tenth of a second. A span that reaches the end of the audio ends there.
    """
    import numpy as np

    total = len(samples)
    if total == 0:
        return []
    # In pieces, because the squares of an hour would need 460 MB.
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
    """The mean square of every frame; the last frame may be shorter."""
    import numpy as np

    starts = np.arange(0, len(samples), _FRAME)
    lengths = np.diff(starts, append=len(samples))
    means: NDArray[Any] = np.add.reduceat(np.square(samples, dtype=np.float64), starts) / lengths
    return means


def over_silence(
    segments: Sequence[_Segment], silent: Sequence[tuple[float, float]], *, audio_s: float
) -> list[_Segment]:
    """The segments with words that are entirely in silence.

    Args:
        segments: of one transcript. Those without a duration are skipped; so are notes on sounds
            such as ``[BLANK_AUDIO]``.
        silent: from :func:`silent_spans`.
        audio_s: the audio's length. Whisper pads the last window, so a segment may end after it: a
            silence that reaches the end of the audio has no end.
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


def describe_over_silence(found: Sequence[TimedText]) -> str:
    """Message of a finding on these segments; empty without any."""
    if not found:
        return ""
    first = found[0]
    text = " ".join(first.text.split())
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return f"has “{text}” at {first.start_s:.1f}–{first.end_s:.1f} s, which is silent{more}"


def _longest_run(units: Sequence[str], length: int) -> tuple[int, int]:
    """Start and count of the longest run of one phrase of ``length`` units."""
    run = best = end = 0
    for i in range(len(units) - length):
        run = run + 1 if units[i] == units[i + length] else 0
        if run > best:
            best, end = run, i
    return end - best + 1, best // length + 1


def _has_words(text: str) -> bool:
    return bool(normalize.words_of(_MARKER.sub(" ", text)))
