"""The accuracy gate: is a backend as right as the reference backend, on the same speech?

A speed counts only where it does. The difference of two error rates is judged by its interval from
a paired bootstrap: both backends heard the same recordings, so both are resampled together.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mac_whisper_speedtest.accuracy import normalize, score
from mac_whisper_speedtest.accuracy.normalize import Normalizer
from mac_whisper_speedtest.accuracy.score import Score, UtteranceErrors
from mac_whisper_speedtest.stats import intervals

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Verdict = Literal["as good", "worse", "unclear"]

MARGIN = 0.01
"""One percentage point of WER or CER: what MLPerf's 99 % of the reference's accuracy allows
(mlcommons/inference, Whisper: 2.07 % WER, at least 99 % of 97.93 %)."""
LEVEL = 0.95
RESAMPLES = 10_000
"""The bounds of a 95 % interval then vary by about 1 % of its width from seed to seed."""
MOST_DRAWS = 5_000_000
LEAST_RESAMPLES = 2_000
"""Of a large set fewer resamples are drawn, so that a look takes no seconds: 2000 of the 2620
utterances of LibriSpeech test-clean. The bounds then vary by about 2 % of the interval's width."""

FEW_UTTERANCES = 10
"""Below this, resampling whole utterances says next to nothing: one of them has no spread at all.
Pieces of them are resampled instead."""
BLOCK_WORDS = 5
"""Errors come in runs (a phrase misheard, a word cut in two), so neighboring words go together. A
run rarely is longer than that."""
MIN_BLOCKS = 8
"""Shorter blocks rather than fewer of them: of four blocks, a single error would be in all of them
too often."""
MIN_WORDS = 5
"""With fewer words nothing is judged: even all of them wrong may be one mishearing."""

_AT_ONCE = 1_000_000
"""Draws held in memory at once (8 MB)."""

REFERENCE_BACKENDS = (
    "openai-whisper",
    "faster-whisper",
    "whisper.cpp",
    "mlx-whisper",
    "insanely-fast-whisper",
    "whisperx",
    "faster-whisper-batched",
    "whisper-mps",
    "lightning-whisper-mlx",
)
"""Who is compared with, first come first: the original; then the ports that decode as it does, by
how many people check them against it; then those that cut the audio differently or quantize."""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate says.

    Attributes:
        delta: the other's corpus rate minus the reference backend's, as a fraction (0.01 is one
            percentage point); ``None`` where there is nothing to compare.
        low: the interval's lower bound; ``None`` where too little was said to resample.
        high: its upper bound.
        verdict: ``worse`` when the whole interval lies above the margin; ``as good`` when none of
            it does; ``unclear`` otherwise.
        how: in words, what was resampled.
    """

    delta: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    how: str


def judge_gate(
    reference: Score,
    other: Score,
    *,
    margin: float = MARGIN,
    level: float = LEVEL,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Gate:
    """Judge ``other`` against the reference backend.

    The statistic is Δ = (errors of other − errors of reference) / reference words, summed over the
    set. Utterances are drawn with replacement, the same for both backends, and Δ is computed from
    the sums of each draw (Bisani and Ney 2004). The interval is two-sided, from percentiles of Δ
    that are set wider for few units; so ``worse`` is wrong with a probability of about
    (1 - ``level``) / 2.

    Of fewer than ``FEW_UTTERANCES`` utterances, blocks of neighboring reference words are drawn
    instead, the same for both: the idea of Gillick and Cox (1989), whose test takes pieces of text
    in which errors are independent of each other as its matched pairs. It says how sure the
    difference is on this speech by these speakers, no more.

    Args:
        reference: the reference backend's score.
        other: the other's, of the same utterances in the same order.
        margin: how much worse is still as good, as a fraction.
        level: of the interval.
        seed: of the draws: the same input gives the same interval.
        resamples: how many draws; fewer are made of a large set, see ``MOST_DRAWS``.

    Raises:
        ValueError: the scores are not of the same utterances, metric and normalizer.
    """
    _comparable(reference, other)
    pairs = list(zip(reference.per_utterance, other.per_utterance, strict=True))
    words = reference.reference_words
    if words == 0:
        return Gate(None, None, None, "unclear", "the reference texts have no words")
    delta = (other.errors - reference.errors) / words
    spoken = sum(1 for first, _ in pairs if first.reference_words)
    if spoken >= FEW_UTTERANCES:
        drawn = [(ours.errors - theirs.errors, theirs.reference_words) for theirs, ours in pairs]
        what = f"{spoken} utterances"
    elif words < MIN_WORDS:
        return Gate(delta, None, None, "unclear", f"too little to judge by: {_counted(words)}")
    else:
        length = max(1, min(BLOCK_WORDS, words // MIN_BLOCKS))
        drawn = [block for pair in pairs for block in _blocks(*pair, length)]
        unit = "reference word" if reference.metric == "wer" else "reference character"
        each = f"{length} {unit}{'' if length == 1 else 's'}"
        what = f"{len(drawn)} blocks of {each} (few utterances: {spoken})"
    if not any(difference for difference, _ in drawn):
        # Every draw says the same: an interval without width, which says little of other speech.
        return Gate(0.0, 0.0, 0.0, _verdict(0.0, 0.0, margin), f"no difference in {what}")
    low, high = _interval(drawn, level=level, seed=seed, resamples=resamples)
    return Gate(
        delta=delta,
        low=low,
        high=high,
        verdict=_verdict(low, high, margin),
        how=f"paired bootstrap over {what}, {level:.0%} interval, margin {margin:.1%}",
    )


def reference_of(names: Iterable[str]) -> str | None:
    """Which backend the others of a group are compared with, where nobody says; ``None`` for none.

    The first of ``REFERENCE_BACKENDS`` that is there. Of one backend in several versions or
    precisions (``faster-whisper@1.2.1:int8``) the plain one comes first, then the first given.

    Args:
        names: of the backends that gave text, as cells name them.
    """
    given = list(names)
    for wanted in REFERENCE_BACKENDS:
        found = [name for name in given if name.partition(":")[0].partition("@")[0] == wanted]
        if found:
            return min(found, key=lambda name: (":" in name, "@" in name))
    return None


def _comparable(reference: Score, other: Score) -> None:
    def shape(score: Score) -> tuple[object, ...]:
        lengths = [(each.name, each.reference_words) for each in score.per_utterance]
        return score.metric, score.normalizer, lengths

    if shape(reference) != shape(other):
        raise ValueError("the two scores are not of the same utterances, metric and normalizer")


def _blocks(
    theirs: UtteranceErrors, ours: UtteranceErrors, length: int
) -> Iterable[tuple[int, int]]:
    """Difference in errors and number of reference words, of pieces of one utterance.

    More errors than a piece has words are words added (a loop, or text over an empty reference).
    They make pieces of their own, without reference words: fifty words too many are no more a
    single event than fifty words missing.
    """
    differences = [b - a for a, b in zip(theirs.errors_at, ours.errors_at, strict=True)]
    pieces = max(1, round(len(differences) / length))
    ends = [len(differences) * (index + 1) // pieces for index in range(pieces)]
    excess = 0 if differences else ours.errors - theirs.errors
    for start, end in itertools.pairwise([0, *ends]):
        size = end - start
        difference = sum(differences[start:end])
        kept = max(-size, min(size, difference))
        excess += difference - kept
        if size:
            yield kept, size
    sign = 1 if excess > 0 else -1
    for done in range(0, abs(excess), length):
        yield sign * min(length, abs(excess) - done), 0


def _interval(
    drawn: Sequence[tuple[int, int]], *, level: float, seed: int, resamples: int
) -> tuple[float, float]:
    """The percentile interval of sum(differences) / sum(words) over draws with replacement."""
    import numpy as np

    differences, lengths = np.array(drawn, dtype=np.float64).T.copy()
    resamples = min(resamples, max(LEAST_RESAMPLES, MOST_DRAWS // len(drawn)))
    random = np.random.default_rng(seed)
    per_turn = max(1, _AT_ONCE // len(drawn))
    deltas: list[NDArray[np.float64]] = []
    for start in range(0, resamples, per_turn):
        turn = min(per_turn, resamples - start)
        picked = random.integers(0, len(drawn), size=(turn, len(drawn)))
        errors = np.take(differences, picked).sum(axis=1)
        words = np.take(lengths, picked).sum(axis=1)
        deltas.append(errors[words > 0] / words[words > 0])
    tail = _tail(len(drawn), level)
    low, high = np.quantile(np.concatenate(deltas), [tail, 1 - tail])
    return float(low), float(high)


def _tail(n: int, level: float) -> float:
    """The share of draws to leave out at either end.

    Plain percentiles of few units are too narrow: they take the normal distribution for Student's
    and n for n - 1. The expanded percentile interval puts both right (Hesterberg 2015, The American
    Statistician 69(4), section 4): Φ(-√(n / (n - 1)) t), 0.9 % instead of 2.5 % for ten units.
    """
    quantile = intervals.student_t(n - 1, (1 + level) / 2)
    return statistics.NormalDist().cdf(-math.sqrt(n / (n - 1)) * quantile)


def _verdict(low: float, high: float, margin: float) -> Verdict:
    if low > margin:
        return "worse"
    return "as good" if high <= margin else "unclear"


def _counted(words: int) -> str:
    return "1 word" if words == 1 else f"{words} words"


# Where two backends wrote something else of the same speech, and which of them is right.


CONTEXT_WORDS = 3
CONTEXT_CHARACTERS = 8
"""Shown on either side of a difference: enough to find the place in the recording."""

_Slots = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Passage:
    """One place in which two texts differ, in normalized words.

    Attributes:
        before: the words in front of it, of the reference where there is one.
        reference: what was said; ``None`` without a reference text.
        first: what the first backend wrote; may be empty.
        second: what the second wrote; may be empty.
        after: the words behind it.
        right: which of the two wrote what was said; ``None`` without a reference text.
    """

    before: str
    reference: str | None
    first: str
    second: str
    after: str
    right: Literal["first", "second", "neither"] | None


@dataclass(frozen=True, slots=True)
class Differences:
    """All places in which two texts of one recording differ.

    Attributes:
        passages: in order.
        shared_errors: places in which both wrote the same, and not what was said.
        only_form: whether the raw texts differ though no word does: in case, punctuation, spelling
            that the normalizer evens out.
    """

    passages: tuple[Passage, ...]
    shared_errors: int
    only_form: bool


def compare(
    reference: str | None,
    first: str,
    second: str,
    *,
    language: str | None,
    normalizer: Normalizer | None = None,
) -> Differences:
    """Compare two raw texts of one recording with each other and with what was said.

    Each is aligned with the reference, so that words stand at the same place when they stand for
    the same word of it; without a reference, the second is aligned with the first.

    Args:
        reference: what was said, if it is known and has words.
        first: one backend's text.
        second: the other's.
        language: its code, or ``None``; it chooses words or characters, and the normalizer.
        normalizer: another one.
    """
    rules = normalizer or normalize.for_texts(language, [reference or first])
    by_character = normalize.is_spaceless(language, reference or first)
    joint = "" if by_character else " "

    def units(text: str) -> list[str]:
        even = rules(text)
        return list(even.replace(" ", "")) if by_character else even.split()

    known = reference is not None and bool(units(reference))
    base = units(reference) if reference is not None and known else units(first)
    ours, theirs = _slots(base, units(first)), _slots(base, units(second))
    context = CONTEXT_CHARACTERS if by_character else CONTEXT_WORDS
    passages = []
    for start, end in _runs([a != b for a, b in zip(ours, theirs, strict=True)]):
        a, b = _flat(ours[start:end]), _flat(theirs[start:end])
        if a == b:
            continue  # the same words, only set against other words of the reference
        said = base[start:end]
        passages.append(
            Passage(
                before=joint.join(base[max(0, start - context) : start]),
                reference=joint.join(said) if known else None,
                first=joint.join(a),
                second=joint.join(b),
                after=joint.join(base[end : end + context]),
                right=_right(said, a, b) if known else None,
            )
        )
    expected: _Slots = [*((word,) for word in base), ()]
    alike = [known and a == b != word for a, b, word in zip(ours, theirs, expected, strict=True)]
    return Differences(
        passages=tuple(passages),
        shared_errors=len(_runs(alike)),
        only_form=not passages and first.split() != second.split(),
    )


def _slots(base: Sequence[str], text: Sequence[str]) -> _Slots:
    """What ``text`` has at each unit of ``base``, words added in front of it included.

    One slot more than ``base`` has units: for what is added at the end.
    """
    slots: _Slots = []
    added: tuple[str, ...] = ()
    for chunk in score.align(base, text):
        if chunk.kind == "insert":
            added = chunk.hypothesis
            continue
        for index in range(len(chunk.reference)):
            here = () if chunk.kind == "delete" else (chunk.hypothesis[index],)
            slots.append((*added, *here))
            added = ()
    return [*slots, added]


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Start and end of every run of true values."""
    runs: list[tuple[int, int]] = []
    for index, flag in enumerate(flags):
        if flag and runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        elif flag:
            runs.append((index, index + 1))
    return runs


def _flat(slots: _Slots) -> list[str]:
    return [word for slot in slots for word in slot]


def _right(
    said: Sequence[str], first: Sequence[str], second: Sequence[str]
) -> Literal["first", "second", "neither"]:
    if list(first) == list(said):
        return "first"
    return "second" if list(second) == list(said) else "neither"
