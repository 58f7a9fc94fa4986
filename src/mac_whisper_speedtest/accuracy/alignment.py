"""Two texts side by side: which words are the same, replaced, missing or added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["equal", "substitute", "delete", "insert"]
_FROM_JIWER: dict[str, Kind] = {
    "equal": "equal",
    "substitute": "substitute",
    "delete": "delete",
    "insert": "insert",
}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring units of one kind. A unit is a word, or a character where CER is counted.

    Attributes:
        kind: ``equal`` and ``substitute`` have as many units on both sides; ``delete`` has none in
            the hypothesis, ``insert`` none in the reference.
        reference: the reference's units.
        hypothesis: the hypothesis's units.
    """

    kind: Kind
    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """The parts of an error rate; hits, substitutions and deletions are the reference's length."""

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[Chunk, ...]:
    """The least changes that make ``hypothesis`` of ``reference`` (Levenshtein 1966), by jiwer.

    Of several alignments with as few errors, jiwer's choice is taken. Empty sequences are allowed.

    Args:
        reference: words or single characters.
        hypothesis: the same of the other text.
    """
    import jiwer

    # jiwer parts words at spaces, and a unit may be one: each gets a number to stand for it.
    numbers: dict[str, str] = {}
    texts = [
        " ".join(numbers.setdefault(unit, str(len(numbers))) for unit in units)
        for units in (reference, hypothesis)
    ]
    (found,) = jiwer.process_words([texts[0]], [texts[1]]).alignments
    return tuple(
        Chunk(
            kind=_FROM_JIWER[each.type],
            reference=tuple(reference[each.ref_start_idx : each.ref_end_idx]),
            hypothesis=tuple(hypothesis[each.hyp_start_idx : each.hyp_end_idx]),
        )
        for each in found
    )


def count(chunks: Sequence[Chunk]) -> Counts:
    """How many units each kind has."""
    sizes = dict.fromkeys(_FROM_JIWER.values(), 0)
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

    1 where it is replaced or missing. Units added in front of one count there; those added at the
    end count at the last.
    """
    errors: list[int] = []
    waiting = 0
    for chunk in chunks:
        if chunk.kind == "insert":
            waiting += len(chunk.hypothesis)
            continue
        wrong = int(chunk.kind != "equal")
        errors += [waiting + wrong, *(wrong for _ in chunk.reference[1:])]
        waiting = 0
    if errors:
        errors[-1] += waiting
    return tuple(errors)
