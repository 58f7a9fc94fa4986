"""Text that nobody said, as far as it shows without knowing what was said.

Two signs: a transcript that repeats itself, and text over silence. Neither is proof, and neither
finds invented text that sounds like speech; that shows in the error rate.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mac_whisper_speedtest.accuracy import normalize

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


class TimedText(Protocol):
    """A piece of a transcript, of whatever class."""

    @property
    def start_s(self) -> float:
        """Seconds from the start of the audio."""

    @property
    def end_s(self) -> float:
        """Seconds from the start of the audio."""

    @property
    def text(self) -> str:
        """The words, as the backend wrote them."""


_Segment = TypeVar("_Segment", bound=TimedText)


def repetition(transcript: str) -> str:
    """How a transcript repeats itself, in words; empty when it does not."""
    spaceless = normalize.is_spaceless(None, transcript)
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
    segments: Sequence[_Segment], silent: Sequence[tuple[float, float]], *, audio_s: float
) -> list[_Segment]:
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


def describe_over_silence(found: Sequence[TimedText]) -> str:
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


# Is it the same text every time? In every sample of a cell, and on every device and precision.
#
# Greedy decoding has one answer. Where a cell gives several, something else than the audio decides:
# sampling, a race, another batch. Where one backend gives another text on another device or in
# another precision, rounding decides; then a text, and its error rate, belong to that placement
# only.


@dataclass(frozen=True, slots=True)
class Heard:
    """One sample's text, and what it came from.

    Attributes:
        cell: the cell's id.
        backend: the backend's name without version and precision.
        model: the canonical model name.
        device: as the worker reported it; ``None`` when it did not.
        precision: likewise.
        utterance: which recording.
        text: raw.
        round: the round's number; a round is a process.
    """

    cell: str
    backend: str
    model: str
    device: str | None
    precision: str | None
    utterance: str
    text: str
    round: int


@dataclass(frozen=True, slots=True)
class Repeats:
    """Whether a cell's samples of an utterance agree.

    Attributes:
        cell: the cell's id.
        utterances: heard at least twice.
        differing: of these, with more than one text.
        differing_words: of these, with more than one text when case and punctuation are left out.
        within_rounds: of those ``differing``, where one process alone gave two texts. The rest
            differs from process to process only.
        most: the most texts that one utterance has.
    """

    cell: str
    utterances: int
    differing: int
    differing_words: int
    within_rounds: int
    most: int


@dataclass(frozen=True, slots=True)
class Placements:
    """Two placements of one backend and model, compared text by text.

    Attributes:
        backend: the backend's name.
        model: the model's.
        first: device and precision, such as ``cpu float32``.
        second: the other's.
        utterances: heard on both.
        differing: of these, with no text in common.
        differing_words: of these, with none in common when case and punctuation are left out.
    """

    backend: str
    model: str
    first: str
    second: str
    utterances: int
    differing: int
    differing_words: int


def repeats(heard: Iterable[Heard]) -> list[Repeats]:
    """How far each cell agrees with itself, in the order in which cells come."""
    cells: defaultdict[str, defaultdict[str, list[Heard]]] = defaultdict(lambda: defaultdict(list))
    for each in heard:
        cells[each.cell][each.utterance].append(each)
    found = []
    for cell, utterances in cells.items():
        again = [samples for samples in utterances.values() if len(samples) > 1]
        texts = [{_even(sample.text) for sample in samples} for samples in again]
        found.append(
            Repeats(
                cell=cell,
                utterances=len(again),
                differing=sum(len(each) > 1 for each in texts),
                differing_words=sum(len(_words(each)) > 1 for each in texts),
                within_rounds=sum(_differs_in_a_round(samples) for samples in again),
                most=max(map(len, texts), default=0),
            )
        )
    return found


def placements(heard: Iterable[Heard]) -> list[Placements]:
    """Every pair of placements of the same backend and model that heard the same recordings."""
    groups: defaultdict[tuple[str, str], defaultdict[str, defaultdict[str, set[str]]]]
    groups = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for each in heard:
        place = f"{each.device or 'device unknown'} {each.precision or 'precision unknown'}"
        groups[each.backend, each.model][place][each.utterance].add(_even(each.text))
    found = []
    for (backend, model), places in groups.items():
        for (first, ours), (second, theirs) in itertools.combinations(places.items(), 2):
            both = [(ours[name], theirs[name]) for name in ours if name in theirs]
            if not both:
                continue
            found.append(
                Placements(
                    backend=backend,
                    model=model,
                    first=first,
                    second=second,
                    utterances=len(both),
                    differing=sum(a.isdisjoint(b) for a, b in both),
                    differing_words=sum(_words(a).isdisjoint(_words(b)) for a, b in both),
                )
            )
    return found


def _differs_in_a_round(samples: Sequence[Heard]) -> bool:
    rounds: defaultdict[int, set[str]] = defaultdict(set)
    for sample in samples:
        rounds[sample.round].add(_even(sample.text))
    return any(len(texts) > 1 for texts in rounds.values())


def _even(text: str) -> str:
    return " ".join(text.split())


def _words(texts: Iterable[str]) -> set[str]:
    return {" ".join(normalize.words_of(text)) for text in texts}
