"""Where two backends wrote different words for the same speech, and which one is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mac_whisper_speedtest.accuracy import normalize, score
from mac_whisper_speedtest.accuracy.normalize import Normalizer

CONTEXT_WORDS = 3
CONTEXT_CHARACTERS = 8
"""Shown on either side of a difference, to find it in the recording."""

_Slots = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class DifferingSpan:
    """One span in which two texts differ, in normalized words.

    Attributes:
        before: the words before it, of the reference text if there is one.
        reference: the spoken text; ``None`` without a reference text.
        first: what the first backend wrote; may be empty.
        second: what the second wrote; may be empty.
        after: the words after it.
        right: the one that equals the reference; ``None`` without a reference text.
    """

    before: str
    reference: str | None
    first: str
    second: str
    after: str
    right: Literal["first", "second", "neither"] | None


@dataclass(frozen=True, slots=True)
class TextComparison:
    """The differences of two texts of one recording.

    Attributes:
        spans: in order.
        shared_errors: number of spans in which both have the same error.
        only_formatting: whether the raw texts differ only in what the normalizer removes: case,
            punctuation, spelling.
    """

    spans: tuple[DifferingSpan, ...]
    shared_errors: int
    only_formatting: bool


def compare_texts(
    reference: str | None,
    first: str,
    second: str,
    *,
    language: str | None,
    normalizer: Normalizer | None = None,
) -> TextComparison:
    """Compare two raw texts of one recording with each other and with the reference.

    Each is aligned with the reference, so that words for the same reference word have the same
    position; without a reference, the second is aligned with the first.

    Args:
        reference: the spoken text; ``None`` or without words if unknown.
        first: one backend's text.
        second: the other's.
        language: its code, or ``None``; it selects words or characters, and the normalizer.
        normalizer: replaces the language's own.
    """
    rules = normalizer or normalize.for_texts(language, [reference or first])
    by_character = normalize.is_spaceless(language, reference or first)
    joint = "" if by_character else " "

    def units(text: str) -> list[str]:
        normalized = rules(text)
        return list(normalized.replace(" ", "")) if by_character else normalized.split()

    known = reference is not None and bool(units(reference))
    base = units(reference) if reference is not None and known else units(first)
    ours, theirs = _slots(base, units(first)), _slots(base, units(second))
    context = CONTEXT_CHARACTERS if by_character else CONTEXT_WORDS
    spans = []
    for start, end in _runs([a != b for a, b in zip(ours, theirs, strict=True)]):
        a, b = _flat(ours[start:end]), _flat(theirs[start:end])
        if a == b:
            continue  # the same words, only aligned with other words of the reference
        spoken = base[start:end]
        spans.append(
            DifferingSpan(
                before=joint.join(base[max(0, start - context) : start]),
                reference=joint.join(spoken) if known else None,
                first=joint.join(a),
                second=joint.join(b),
                after=joint.join(base[end : end + context]),
                right=_right(spoken, a, b) if known else None,
            )
        )
    expected: _Slots = [*((word,) for word in base), ()]
    alike = [known and a == b != word for a, b, word in zip(ours, theirs, expected, strict=True)]
    return TextComparison(
        spans=tuple(spans),
        shared_errors=len(_runs(alike)),
        only_formatting=not spans and first.split() != second.split(),
    )


def _slots(base: Sequence[str], text: Sequence[str]) -> _Slots:
    """The words of ``text`` at each unit of ``base``, including words added before it.

    The last slot, one more than ``base`` has units, has the words added at the end.
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
    spoken: Sequence[str], first: Sequence[str], second: Sequence[str]
) -> Literal["first", "second", "neither"]:
    if list(first) == list(spoken):
        return "first"
    return "second" if list(second) == list(spoken) else "neither"
