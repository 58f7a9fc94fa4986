"""Intervals of error rates, and of their differences, by resampling speakers, utterances or words.

Errors of one speaker resemble each other, and so do errors of one utterance. Therefore the largest
unit with enough instances is drawn (Bisani and Ney 2004, ICASSP; Liu and Peng 2020, "Statistical
testing on ASR performance via blockwise bootstrap", Interspeech).
"""

from __future__ import annotations

import functools
import itertools
import math
import random
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mac_whisper_speedtest.accuracy.normalize import Metric
from mac_whisper_speedtest.accuracy.score import Score
from mac_whisper_speedtest.stats import quantiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


LEVEL = 0.95
RESAMPLES = 10_000
"""The bounds of a 95 % interval then vary by about 1 % of its width from seed to seed."""
MAX_DRAWS = 5_000_000
MIN_RESAMPLES = 2_000
"""Large sets get fewer resamples, which keeps an interval below a second: 2000 for the 2620
utterances of LibriSpeech test-clean. The bounds then vary by about 2 % of the interval's width."""

FEW = 10
"""Fewer speakers or utterances give no usable spread."""
BLOCK_WORDS = 5
"""Errors come in runs (a misheard phrase, a word cut in two), so neighboring words are resampled
together. Runs are rarely longer than this."""
MIN_BLOCKS = 8
"""Blocks are shortened until there are this many: of four, every draw would too often contain the
same single error."""
MIN_WORDS = 5
"""Fewer words give no interval: even if all are wrong, this may be one mishearing."""

_AT_ONCE = 1_000_000
"""Draws held in memory at once (8 MB)."""

_WITHOUT_NUMPY = 40
"""Up to this many units get ``MIN_RESAMPLES`` in plain Python, in 40 ms: ``show`` of a run on one
clip need not import numpy, which takes 200 ms."""


@dataclass(frozen=True, slots=True)
class UtteranceValue:
    """One utterance's contribution to a sum over a set: its errors, or a difference of errors.

    Attributes:
        total: the sum.
        at: its parts at each of the reference's units.
        words: the reference's length in units.
        speaker: number of the speaker; ``None`` if unknown.
    """

    total: int
    at: Sequence[int]
    words: int
    speaker: int | None


@dataclass(frozen=True, slots=True)
class Units:
    """The units to draw with replacement.

    Attributes:
        drawn: value and number of reference words of each unit.
        what: the units in words, with their number.
    """

    drawn: tuple[tuple[int, int], ...]
    what: str

    def interval(self, *, seed: int = 0, resamples: int = RESAMPLES) -> tuple[float, float]:
        """The interval of the sum of values / the sum of words; the same for the same arguments."""
        return _interval(self.drawn, seed, resamples)


@dataclass(frozen=True, slots=True)
class RateInterval:
    """The interval of an error rate.

    Attributes:
        low: lower bound, as a fraction.
        high: upper bound; may be above 1.
        how: what was resampled, in words.
    """

    low: float
    high: float
    how: str


def rate_interval(score: Score, *, resamples: int = RESAMPLES) -> RateInterval | None:
    """The interval in which the rate of other speech of this kind is expected.

    Percentiles of the rates of draws with replacement, widened for few units. Without any error
    every draw is equal. The upper bound is then the largest share of wrong blocks of words for
    which this many right blocks in a row have a probability of at least 2.5 % (Clopper and Pearson
    1934).

    Returns:
        ``None`` with fewer than ``MIN_WORDS`` words.
    """
    units = units_of(
        [
            UtteranceValue(each.errors, each.errors_at, each.reference_words, each.speaker)
            for each in score.per_utterance
        ],
        score.metric,
    )
    if units is None:
        return None
    if score.errors == 0:
        blocks = score.reference_words / _block_words(score.reference_words)
        high = 1 - ((1 - LEVEL) / 2) ** (1 / blocks)
        spoken = _length(score.reference_words, score.metric)
        return RateInterval(0.0, high, f"no error in {spoken}, {LEVEL:.0%} interval")
    low, high = units.interval(resamples=resamples)
    return RateInterval(low, high, f"bootstrap over {units.what}, {LEVEL:.0%} interval")


def units_of(utterances: Sequence[UtteranceValue], metric: Metric) -> Units | None:
    """The units to draw: speakers, else utterances, else blocks of neighboring reference words.

    Blocks are for fewer than ``FEW`` utterances: the idea of Gillick and Cox (1989), whose matched
    pairs are pieces of text with independent errors. The result then holds for this speech by these
    speakers only.

    Returns:
        ``None`` with fewer than ``MIN_WORDS`` words.
    """
    words = sum(each.words for each in utterances)
    if words < MIN_WORDS:
        return None
    spoken = sum(each.words > 0 for each in utterances)
    speakers: defaultdict[int | None, list[UtteranceValue]] = defaultdict(list)
    for each in utterances:
        speakers[each.speaker].append(each)
    if len(speakers) >= FEW and None not in speakers:
        by_speaker = (
            (sum(each.total for each in theirs), sum(each.words for each in theirs))
            for theirs in speakers.values()
        )
        return Units(tuple(by_speaker), f"{len(speakers)} speakers")
    if spoken >= FEW:
        return Units(tuple((each.total, each.words) for each in utterances), f"{spoken} utterances")
    length = _block_words(words)
    blocks = tuple(block for each in utterances for block in _blocks(each, length))
    what = f"{len(blocks)} blocks of {_length(length, metric)} (few utterances: {spoken})"
    return Units(blocks, what)


def _block_words(words: int) -> int:
    return max(1, min(BLOCK_WORDS, words // MIN_BLOCKS))


def _length(count: int, metric: Metric) -> str:
    unit = "reference word" if metric == "wer" else "reference character"
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _blocks(utterance: UtteranceValue, length: int) -> Iterable[tuple[int, int]]:
    """Value and number of reference words, of pieces of one utterance.

    More errors than a piece has words are added words (a loop, or text over an empty reference).
    They form separate pieces without reference words: fifty added words are no more a single event
    than fifty missing ones.
    """
    values = utterance.at
    pieces = max(1, round(len(values) / length))
    ends = [len(values) * (index + 1) // pieces for index in range(pieces)]
    excess = 0 if values else utterance.total
    for start, end in itertools.pairwise([0, *ends]):
        size = end - start
        value = sum(values[start:end])
        kept = max(-size, min(size, value))
        excess += value - kept
        if size:
            yield kept, size
    sign = 1 if excess > 0 else -1
    for done in range(0, abs(excess), length):
        yield sign * min(length, abs(excess) - done), 0


@functools.lru_cache(maxsize=512)
def _interval(drawn: tuple[tuple[int, int], ...], seed: int, resamples: int) -> tuple[float, float]:
    """The percentile interval of sum(values) / sum(words) over draws with replacement.

    Cached, because reports compute it from the same texts repeatedly.
    """
    tail = _tail(len(drawn))
    if len(drawn) <= _WITHOUT_NUMPY:
        rates = sorted(_rates(drawn, seed))
        return rates[round(tail * (len(rates) - 1))], rates[round((1 - tail) * (len(rates) - 1))]
    import numpy as np

    values, lengths = np.array(drawn, dtype=np.float64).T.copy()
    resamples = min(resamples, max(MIN_RESAMPLES, MAX_DRAWS // len(drawn)))
    chance = np.random.default_rng(seed)
    per_turn = max(1, _AT_ONCE // len(drawn))
    found: list[NDArray[np.float64]] = []
    for start in range(0, resamples, per_turn):
        turn = min(per_turn, resamples - start)
        picked = chance.integers(0, len(drawn), size=(turn, len(drawn)))
        sums = np.take(values, picked).sum(axis=1)
        words = np.take(lengths, picked).sum(axis=1)
        found.append(sums[words > 0] / words[words > 0])
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    return float(low), float(high)


def _rates(drawn: Sequence[tuple[int, int]], seed: int) -> Iterator[float]:
    """The rate of each of ``MIN_RESAMPLES`` draws."""
    chance = random.Random(seed)  # noqa: S311 - draws, not secrets
    for _ in range(MIN_RESAMPLES):
        picked = chance.choices(drawn, k=len(drawn))
        if words := sum(each[1] for each in picked):
            yield sum(each[0] for each in picked) / words


def _tail(n: int) -> float:
    """The share of draws to cut off at either end.

    Plain percentiles of few units are too narrow: they use the normal distribution instead of
    Student's and n instead of n - 1. The expanded percentile interval corrects both (Hesterberg
    2015, The American Statistician 69(4), section 4): Φ(-√(n / (n - 1)) t), 0.9 % instead of 2.5 %
    for ten units.
    """
    quantile = quantiles.student_t(n - 1, (1 + LEVEL) / 2)
    return statistics.NormalDist().cdf(-math.sqrt(n / (n - 1)) * quantile)
