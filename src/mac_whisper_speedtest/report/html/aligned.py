"""One text set against another word by word: what is replaced, missing or added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.accuracy import normalize, scripts
from mac_whisper_speedtest.accuracy.alignment import Chunk
from mac_whisper_speedtest.accuracy.normalize import Normaliser
from mac_whisper_speedtest.report.html.markup import Html, join, tag

_CONTEXT = 8
"""Units that are kept on either side of what differs, where a long stretch is alike."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How texts of one language are made comparable.

    Attributes:
        normaliser: what evens out case, punctuation and spelling.
        by_character: whether characters are compared, as where words are not parted by spaces.
    """

    normaliser: Normaliser
    by_character: bool

    def units(self, text: str) -> list[str]:
        """The words, or characters, of a text."""
        even = self.normaliser(text)
        return list(even.replace(" ", "")) if self.by_character else even.split()


def rules_for(language: str, references: Sequence[str]) -> Rules:
    """The rules that error rates are counted by: those of ``scoring.accuracy``."""
    return Rules(
        normalize.for_texts(language, references),
        scripts.is_spaceless(language, " ".join(references)),
    )


def shown(
    chunks: Sequence[Chunk], *, by_character: bool, whole: bool, most: int
) -> tuple[Html, int]:
    """The aligned text, and how many units of it were left out at its end.

    What is missing is struck through, what is there instead or besides is underlined; both also
    have their own element, so that no colour is needed.

    Args:
        chunks: of ``alignment.align``.
        by_character: whether units are written without spaces between them.
        whole: whether long stretches that are alike are written in full.
        most: units written at most.
    """
    glue = "" if by_character else " "
    parts: list[Html] = []
    written, left = 0, 0
    for place, chunk in enumerate(chunks):
        size = max(len(chunk.reference), len(chunk.hypothesis))
        if written >= most:
            left += size
            continue
        room = most - written
        left += max(0, size - room)
        if chunk.kind == "equal":
            words = chunk.reference[:room]
            first, last = place == 0, place == len(chunks) - 1
            kept = words if whole else _shortened(words, first=first, last=last, glue=glue)
            parts.append(kept if isinstance(kept, Html) else join([glue.join(kept)]))
            written += len(words) if whole else min(len(words), 2 * _CONTEXT)
            continue
        if chunk.reference:
            parts.append(tag("del", glue.join(chunk.reference[:room])))
        if chunk.hypothesis:
            instead = "other-words" if chunk.kind == "substitute" else None
            parts.append(tag("ins", glue.join(chunk.hypothesis[:room]), class_=instead))
        written += min(size, room)
    return join(parts, " "), left


def _shortened(words: Sequence[str], *, first: bool, last: bool, glue: str) -> Html | Sequence[str]:
    """A stretch that is alike: its ends, where something differs there, and how long it is."""
    before = 0 if first else _CONTEXT
    after = 0 if last else _CONTEXT
    if len(words) <= before + after + _CONTEXT:
        return words
    gap = tag("span", f"… {len(words) - before - after} alike …", class_="gap")
    pieces = [
        *([join([glue.join(words[:before])])] if before else []),
        gap,
        *([join([glue.join(words[len(words) - after :])])] if after else []),
    ]
    return join(pieces, " ")
