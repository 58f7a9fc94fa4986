"""The accuracy gate: whether a backend is as accurate as the reference backend on the same speech.

Only then does its speed count. The difference of two error rates is judged by its interval from a
paired bootstrap: both backends transcribed the same recordings, so both are resampled together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mac_whisper_speedtest.accuracy import bootstrap
from mac_whisper_speedtest.accuracy.bootstrap import UtteranceValue
from mac_whisper_speedtest.accuracy.score import Score

Verdict = Literal["as good", "worse", "unclear"]

MARGIN = 0.01
"""One percentage point of WER or CER, as MLPerf allows by 99 % of the reference's accuracy
(mlcommons/inference, Whisper: 2.07 % WER, at least 99 % of 97.93 %)."""

REFERENCE_BACKENDS = (
    "openai-whisper",
    "faster-whisper",
    "whisper.cpp",
    "mlx-whisper",
    "crispasr",
    "mlx-audio",
    "sherpa-onnx",
    "insanely-fast-whisper",
    "whisperx",
    "faster-whisper-batched",
    "whisper-mps",
    "lightning-whisper-mlx",
)
"""Reference backends in order of preference: the original; then the ports that decode as it does,
most checked first; then ports that cut the audio differently or quantize."""


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
    seed: int = 0,
) -> Gate:
    """Judge ``other`` against the reference backend.

    The statistic is Δ = (errors of other − errors of reference) / reference words, summed over the
    set. Speakers, utterances or blocks of words (`bootstrap.units_of`) are drawn with replacement,
    the same for both backends, and Δ is computed from the sums of each draw (Bisani and Ney 2004).
    The interval is two-sided, from percentiles of Δ that are widened for few units; so ``worse`` is
    wrong with a probability of about 2.5 %.

    Args:
        reference: the reference backend's score.
        other: the other's, of the same utterances in the same order.
        margin: the largest excess of the rate that still counts as good, as a fraction.
        seed: of the draws; the same input gives the same interval.

    Raises:
        ValueError: the scores are not of the same utterances, metric and normalizer.
    """
    _comparable(reference, other)
    words = reference.reference_words
    if words == 0:
        return Gate(None, None, None, "unclear", "the reference texts have no words")
    delta = (other.errors - reference.errors) / words
    units = bootstrap.units_of(
        [
            UtteranceValue(
                total=ours.errors - theirs.errors,
                at=[b - a for a, b in zip(theirs.errors_at, ours.errors_at, strict=True)],
                words=theirs.reference_words,
                speaker=theirs.speaker,
            )
            for theirs, ours in zip(reference.per_utterance, other.per_utterance, strict=True)
        ],
        reference.metric,
    )
    if units is None:
        return Gate(delta, None, None, "unclear", f"too few reference words to judge: {words}")
    if not any(difference for difference, _ in units.drawn):
        # Every draw is equal: the interval has no width, and shows little about other speech.
        return Gate(0.0, 0.0, 0.0, _verdict(0.0, 0.0, margin), f"no difference in {units.what}")
    low, high = units.interval(seed=seed)
    width = f"{bootstrap.LEVEL:.0%} interval"
    return Gate(
        delta=delta,
        low=low,
        high=high,
        verdict=_verdict(low, high, margin),
        how=f"paired bootstrap over {units.what}, {width}, margin {margin:.1%}",
    )


def choose_reference(names: Iterable[str]) -> str | None:
    """Choose the reference backend of a group; ``None`` if none is suitable.

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


def _verdict(low: float, high: float, margin: float) -> Verdict:
    if low > margin:
        return "worse"
    return "as good" if high <= margin else "unclear"
