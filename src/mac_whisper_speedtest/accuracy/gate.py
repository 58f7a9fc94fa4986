"""The accuracy gate: whether a backend is as accurate as the reference backend on the same speech.

Only then does its speed count. The difference of two error rates is judged by its interval from a
paired bootstrap: both backends transcribed the same recordings, so both are resampled together.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mac_whisper_speedtest.accuracy.score import Score, UtteranceErrors
from mac_whisper_speedtest.stats import quantiles

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
MAX_DRAWS = 5_000_000
MIN_RESAMPLES = 2_000
"""Large sets get fewer resamples, which keeps the gate below a second: 2000 for the 2620 utterances
of LibriSpeech test-clean. The bounds then vary by about 2 % of the interval's width."""

FEW_UTTERANCES = 10
"""Below this, blocks of words are resampled: few whole utterances give no usable spread, and one
gives none."""
BLOCK_WORDS = 5
"""Errors come in runs (a misheard phrase, a word cut in two), so neighboring words are resampled
together. Runs are rarely longer than this."""
MIN_BLOCKS = 8
"""Blocks are shortened until there are this many: of four, every draw would too often contain the
same single error."""
MIN_WORDS = 5
"""With fewer words the verdict is "unclear": even all of them wrong may be one mishearing."""

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
"""Reference backends in order of preference: the original; then the ports that decode as it does,
by how many people check them against it; then those that cut the audio differently or quantize."""


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate's verdict on a backend.

    Attributes:
        delta: the backend's corpus rate minus the reference backend's, as a fraction (0.01 is one
            percentage point); ``None`` if the reference texts have no words.
        low: the interval's lower bound; ``None`` with too few words to resample.
        high: its upper bound.
        verdict: ``worse`` if the whole interval is above the margin; ``as good`` if none of it is;
            ``unclear`` otherwise.
        how: what was resampled, in words.
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
    that are widened for few units; so ``worse`` is wrong with a probability of about
    (1 - ``level``) / 2.

    With fewer than ``FEW_UTTERANCES`` utterances, blocks of neighboring reference words are drawn
    instead, the same for both: the idea of Gillick and Cox (1989), whose matched pairs are pieces
    of text with independent errors. The result then holds for this speech by these speakers only.

    Args:
        reference: the reference backend's score.
        other: the other's, of the same utterances in the same order.
        margin: by how much the rate may be worse and still count as good, as a fraction.
        level: of the interval.
        seed: of the draws; the same input gives the same interval.
        resamples: number of draws; large sets get fewer, see ``MAX_DRAWS``.

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
        # Every draw is equal: the interval has no width, and shows little about other speech.
        return Gate(0.0, 0.0, 0.0, _verdict(0.0, 0.0, margin), f"no difference in {what}")
    low, high = _interval(drawn, level=level, seed=seed, resamples=resamples)
    return Gate(
        delta=delta,
        low=low,
        high=high,
        verdict=_verdict(low, high, margin),
        how=f"paired bootstrap over {what}, {level:.0%} interval, margin {margin:.1%}",
    )


def choose_reference(names: Iterable[str]) -> str | None:
    """Choose the backend that the others of a group are compared with; ``None`` if none is known.

    It is the first of ``REFERENCE_BACKENDS`` among ``names``. Of one backend in several versions or
    precisions (``faster-whisper@1.2.1:int8``) the plain one comes first, then the first given.

    Args:
        names: of the backends that produced text, as cells name them.
    """
    given = list(names)
    for backend in REFERENCE_BACKENDS:
        found = [name for name in given if name.partition(":")[0].partition("@")[0] == backend]
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

    More errors than a piece has words are added words (a loop, or text over an empty reference).
    They form separate pieces without reference words: fifty added words are no more a single event
    than fifty missing ones.
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
    resamples = min(resamples, max(MIN_RESAMPLES, MAX_DRAWS // len(drawn)))
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
    """The share of draws to cut off at either end.

    Plain percentiles of few units are too narrow: they use the normal distribution instead of
    Student's and n instead of n - 1. The expanded percentile interval corrects both (Hesterberg
    2015, The American Statistician 69(4), section 4): Φ(-√(n / (n - 1)) t), 0.9 % instead of 2.5 %
    for ten units.
    """
    quantile = quantiles.student_t(n - 1, (1 + level) / 2)
    return statistics.NormalDist().cdf(-math.sqrt(n / (n - 1)) * quantile)


def _verdict(low: float, high: float, margin: float) -> Verdict:
    if low > margin:
        return "worse"
    return "as good" if high <= margin else "unclear"


def _counted(words: int) -> str:
    return "1 word" if words == 1 else f"{words} words"
