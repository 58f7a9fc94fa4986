"""Error rates of texts against reference texts: WER, CER, and the errors behind them."""

from __future__ import annotations

import functools
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum, auto
from typing import Literal, cast

from mac_whisper_speedtest.accuracy import normalize
from mac_whisper_speedtest.accuracy.normalize import Metric, Normalizer

Kind = Literal["equal", "substitute", "delete", "insert"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighboring units of one kind. A unit is a word, or a character for CER.

    Attributes:
        kind: ``equal`` and ``substitute`` have as many units on both sides; ``delete`` has none in
            the hypothesis, ``insert`` none in the reference.
        reference: the reference's units.
        hypothesis: the hypothesis's units.
    """

    kind: Kind
    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The parts of an error rate, in words, or in characters for CER.

    Attributes:
        hits: right units.
        substitutions: replaced units.
        deletions: missing units.
        insertions: added units.
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        """S + D + I."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def reference_words(self) -> int:
        """The reference's length in units: H + S + D."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self) -> float | None:
        """Errors / the reference's length; ``None`` if the normalized reference is empty."""
        return self.errors / self.reference_words if self.reference_words else None


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[Chunk, ...]:
    """The fewest edits that turn ``reference`` into ``hypothesis`` (Levenshtein 1966), by jiwer.

    jiwer chooses among alignments with equally few errors. Empty sequences are allowed.

    Args:
        reference: words or single characters.
        hypothesis: the same of the other text.
    """
    import jiwer

    # jiwer splits words at spaces, and a unit may be a space: numbers replace the units.
    numbers: dict[str, str] = {}
    texts = [
        " ".join(numbers.setdefault(unit, str(len(numbers))) for unit in units)
        for units in (reference, hypothesis)
    ]
    (found,) = jiwer.process_words([texts[0]], [texts[1]]).alignments
    return tuple(
        Chunk(
            kind=cast("Kind", each.type),
            reference=tuple(reference[each.ref_start_idx : each.ref_end_idx]),
            hypothesis=tuple(hypothesis[each.hyp_start_idx : each.hyp_end_idx]),
        )
        for each in found
    )


def count(chunks: Sequence[Chunk]) -> Counts:
    """The number of units of each kind."""
    sizes: Counter[Kind] = Counter()
    for chunk in chunks:
        sizes[chunk.kind] += max(len(chunk.reference), len(chunk.hypothesis))
    return Counts(
        hits=sizes["equal"],
        substitutions=sizes["substitute"],
        deletions=sizes["delete"],
        insertions=sizes["insert"],
    )


def errors_at(chunks: Sequence[Chunk]) -> tuple[int, ...]:
    """The errors at each of the reference's units.

    A replaced or missing unit counts 1. Units added before one count there; those added at the end
    count at the last.
    """
    errors: list[int] = []
    added = 0
    for chunk in chunks:
        if chunk.kind == "insert":
            added += len(chunk.hypothesis)
            continue
        wrong = int(chunk.kind != "equal")
        errors += [added + wrong, *(wrong for _ in chunk.reference[1:])]
        added = 0
    if errors:
        errors[-1] += added
    return tuple(errors)


class _Unit(Enum):
    """The unit of an error count; LETTERS are characters without spaces."""

    WORDS = auto()
    CHARACTERS = auto()
    LETTERS = auto()

    def split(self, text: str) -> list[str]:
        """The units of a normalized text."""
        if self is _Unit.WORDS:
            return text.split()
        return list(text if self is _Unit.CHARACTERS else text.replace(" ", ""))


@dataclass(frozen=True, slots=True)
class Utterance:
    """One recording's texts.

    Attributes:
        name: unique in a set.
        reference: the text that was spoken.
        language: its code, or ``None`` if unknown.
        hypothesis: a backend's text; ``None`` if it produced none, which counts as if every
            word were missing.
        speaker: number of the speaker; ``None`` if unknown.
    """

    name: str
    reference: str
    language: str | None
    hypothesis: str | None
    speaker: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UtteranceErrors(Counts):
    """One utterance's errors.

    Attributes:
        name: of the utterance.
        failed: whether the backend produced no text.
        speaker: number of the speaker; ``None`` if unknown.
        errors_at: errors at each of the reference's units, for resampling pieces of it; see
            :func:`errors_at`.
    """

    name: str
    failed: bool
    speaker: int | None = None
    errors_at: tuple[int, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageErrors(Counts):
    """The errors of a set's utterances in one language.

    Attributes:
        language: its code; empty where it is unknown.
        utterances: how many are in it.
    """

    language: str
    utterances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score(Counts):
    """The errors of one backend's texts over a set.

    The counts cover all utterances: deletions include failed ones, insertions include text over an
    empty reference. So ``rate`` is the corpus rate (micro average).

    Attributes:
        metric: ``wer``, or ``cer``; one for the whole set.
        normalizer: names and versions of the normalizers, by language if there are several.
        mean_rate: the mean of the utterances' own rates (macro average), in which a short utterance
            weighs as much as a long one; for comparison with tools that report this one.
        failed: number of utterances for which the backend produced no text.
        cer: the corpus character error rate; equal to ``rate`` if ``metric`` is ``cer``.
        per_utterance: each utterance's errors, in the given order.
        by_language: the errors in each language, by its code; empty where there is only one.
    """

    metric: Metric
    normalizer: str
    mean_rate: float | None
    failed: int
    cer: float | None
    per_utterance: tuple[UtteranceErrors, ...]
    by_language: tuple[LanguageErrors, ...] = ()


def score(utterances: Sequence[Utterance], *, normalizer: Normalizer | None = None) -> Score:
    """Score a set of utterances.

    Every language is normalized by its own rules. A set has one metric, so that one sum has one
    unit: WER if every language in it has spaces between words, else CER for all of it.

    Args:
        utterances: the set; it may mix languages and may be empty.
        normalizer: used for all of them; by default each language's own, from
            :func:`normalize.for_texts`.

    Raises:
        UsageError: ``normalizer`` would destroy the words of a reference.
    """
    languages: dict[str, list[str]] = {}
    for each in utterances:
        languages.setdefault(normalize.primary(each.language), []).append(each.reference)
    rules = {
        language: normalizer or normalize.for_texts(language, references)
        for language, references in languages.items()
    }
    if normalizer is not None:
        for each in utterances:
            normalizer.check(each.reference)
    spaceless = {
        language: normalize.is_spaceless(language, " ".join(references))
        for language, references in languages.items()
    }
    metric: Metric = "cer" if any(spaceless.values()) else "wer"
    words: list[UtteranceErrors] = []
    characters: list[UtteranceErrors] = []
    for each in utterances:
        language = normalize.primary(each.language)
        reference = rules[language](each.reference)
        hypothesis = None if each.hypothesis is None else rules[language](each.hypothesis)
        unit = _Unit.LETTERS if spaceless[language] else _Unit.CHARACTERS
        characters.append(_score_one(each, reference, hypothesis, unit))
        if metric == "wer":
            words.append(_score_one(each, reference, hypothesis, _Unit.WORDS))
    scored = words if metric == "wer" else characters
    total = _sum(scored)
    rates = [each.rate for each in scored if each.rate is not None]
    return Score(
        **asdict(total),
        metric=metric,
        normalizer=_described(rules),
        mean_rate=statistics.fmean(rates) if rates else None,
        failed=sum(each.failed for each in scored),
        cer=_sum(characters).rate,
        per_utterance=tuple(scored),
        by_language=_by_language(utterances, scored) if len(languages) > 1 else (),
    )


def _by_language(
    utterances: Sequence[Utterance], scored: Sequence[UtteranceErrors]
) -> tuple[LanguageErrors, ...]:
    found: dict[str, list[UtteranceErrors]] = {}
    for each, errors in zip(utterances, scored, strict=True):
        found.setdefault(normalize.primary(each.language), []).append(errors)
    return tuple(
        LanguageErrors(**asdict(_sum(own)), language=language, utterances=len(own))
        for language, own in sorted(found.items())
    )


def wer(reference: str, hypothesis: str) -> float | None:
    """The word error rate of one English text, with the English normalizer.

    ``None`` if the normalized reference has no words: the rate is then undefined.
    """
    rules = normalize.NORMALIZERS["english"]
    counts, _ = _errors(rules(reference), rules(hypothesis), _Unit.WORDS)
    return counts.rate


def _score_one(
    utterance: Utterance, reference: str, hypothesis: str | None, unit: _Unit
) -> UtteranceErrors:
    """The errors of one utterance, from its normalized texts."""
    counts, errors_at = _errors(reference, hypothesis or "", unit)
    return UtteranceErrors(
        **asdict(counts),
        name=utterance.name,
        failed=hypothesis is None,
        speaker=utterance.speaker,
        errors_at=errors_at,
    )


@functools.lru_cache(maxsize=4096)
def _errors(reference: str, hypothesis: str, unit: _Unit) -> tuple[Counts, tuple[int, ...]]:
    """Cached: a run's texts are scored often, and rounds give the same texts."""
    chunks = align(unit.split(reference), unit.split(hypothesis))
    return count(chunks), errors_at(chunks)


def _sum(scored: Sequence[Counts]) -> Counts:
    return Counts(
        hits=sum(each.hits for each in scored),
        substitutions=sum(each.substitutions for each in scored),
        deletions=sum(each.deletions for each in scored),
        insertions=sum(each.insertions for each in scored),
    )


def _described(rules: Mapping[str, Normalizer]) -> str:
    """One name if all languages share it, else each with its languages."""
    languages: dict[str, list[str]] = {}
    for language, rule in rules.items():
        languages.setdefault(rule.describe(), []).append(language or "unknown languages")
    if len(languages) == 1:
        return next(iter(languages))
    return "; ".join(f"{name} for {', '.join(codes)}" for name, codes in languages.items())
