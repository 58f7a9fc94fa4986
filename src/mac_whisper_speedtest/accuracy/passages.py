"""Where two backends wrote something else of the same speech, and which of them is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mac_whisper_speedtest.accuracy import alignment, normalize, scripts
from mac_whisper_speedtest.accuracy.normalize import Normaliser

CONTEXT_WORDS = 3
CONTEXT_CHARACTERS = 8
"""Shown on either side of a difference: enough to find the place in the recording."""

_Slots = list[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Passage:
    """One place in which two texts differ, in normalised words.

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
            that the normaliser evens out.
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
    normaliser: Normaliser | None = None,
) -> Differences:
    """Compare two raw texts of one recording with each other and with what was said.

    Each is aligned with the reference, so that words stand at the same place when they stand for
    the same word of it; without a reference, the second is aligned with the first.

    Args:
        reference: what was said, if it is known and has words.
        first: one backend's text.
        second: the other's.
        language: its code, or ``None``; it chooses words or characters, and the normaliser.
        normaliser: another one.
    """
    rules = normaliser or normalize.for_texts(language, [reference or first])
    by_character = scripts.is_spaceless(language, reference or first)
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
    for chunk in alignment.align(base, text):
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
