"""The section of transcripts: texts compared with the reference, the worst recordings first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mac_whisper_speedtest.accuracy import normalize
from mac_whisper_speedtest.accuracy import score as alignment
from mac_whisper_speedtest.accuracy.normalize import Normalizer
from mac_whisper_speedtest.accuracy.score import Chunk
from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.report.html.page import Limits, render
from mac_whisper_speedtest.results.cells import labels_of, summary_of
from mac_whisper_speedtest.results.schema import CellResult, Run
from mac_whisper_speedtest.summary.accuracy import CellText, texts_in_order

# Differences between two texts.

_CONTEXT = 8
"""Units shown on either side of a difference, if a long stretch of equal units is cut."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How texts of one language are compared.

    Attributes:
        normalizer: removes differences of case, punctuation and spelling.
        by_character: whether characters are compared, for languages without spaces between words.
    """

    normalizer: Normalizer
    by_character: bool

    def units(self, text: str) -> list[str]:
        """The words, or characters, of a text."""
        even = self.normalizer(text)
        return list(even.replace(" ", "")) if self.by_character else even.split()


def rules_for(language: str, references: Sequence[str]) -> Rules:
    """The rules of ``accuracy.score``, by which error rates are computed."""
    return Rules(
        normalize.for_texts(language, references),
        normalize.is_spaceless(language, " ".join(references)),
    )


def aligned_pieces(
    chunks: Sequence[Chunk], *, by_character: bool, whole: bool, most: int
) -> tuple[list[tuple[str, str]], int]:
    """The aligned text in pieces, and how many units were omitted at its end.

    A piece is a kind and a text: ``alike``, ``gap`` (the number of equal units cut there),
    ``missing``, ``instead`` (replaces the missing piece before it), or ``added``.

    Args:
        chunks: of ``alignment.align``.
        by_character: whether units are characters, which are joined without spaces.
        whole: whether long equal stretches are written in full.
        most: units written at most.
    """
    glue = "" if by_character else " "
    pieces: list[tuple[str, str]] = []
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
            pieces += (
                [("alike", glue.join(words))]
                if whole
                else _shortened(words, first=first, last=last, glue=glue)
            )
            written += len(words) if whole else min(len(words), 2 * _CONTEXT)
            continue
        if chunk.reference:
            pieces.append(("missing", glue.join(chunk.reference[:room])))
        if chunk.hypothesis:
            kind = "instead" if chunk.kind == "substitute" else "added"
            pieces.append((kind, glue.join(chunk.hypothesis[:room])))
        written += min(size, room)
    return pieces, left


def _shortened(
    words: Sequence[str], *, first: bool, last: bool, glue: str
) -> list[tuple[str, str]]:
    """A long equal stretch: its ends next to differences, and the number of units between."""
    before = 0 if first else _CONTEXT
    after = 0 if last else _CONTEXT
    if len(words) <= before + after + _CONTEXT:
        return [("alike", glue.join(words))]
    return [
        ("alike", glue.join(words[:before])),
        ("gap", f"… {len(words) - before - after} alike …"),
        ("alike", glue.join(words[len(words) - after :])),
    ]


_WHOLE = 250
"""Up to this many units, texts are written in full; longer ones only where they differ."""


@dataclass(frozen=True, slots=True)
class _Version:
    """One text of a recording, and all cells with it (equal after normalizing)."""

    cells: list[str]
    text: str | None
    chunks: tuple[Chunk, ...]
    errors: int


@dataclass(frozen=True, slots=True)
class _Recording:
    """A recording and its texts, the worst first."""

    source: CellText
    base_name: str
    rules: Rules
    versions: list[_Version]


@dataclass(frozen=True, slots=True)
class AlignedTexts:
    """The texts of one clip, compared with its references.

    Attributes:
        clip: its name.
        total: how many recordings it has.
        recordings: those that were compared, the most errors first.
        ranked: whether errors are known; else recordings are in the clip's order.
    """

    clip: str
    total: int
    recordings: list[_Recording]
    ranked: bool


def compare(run: Run, most: int) -> list[AlignedTexts]:
    """Compare the texts of every clip with its references, for the ``most`` worst recordings.

    This is slow for long texts, so it is done once per page.
    """
    found = []
    for clip in dict.fromkeys(cell.clip.name for cell in run.cells):
        transcribed = [
            cell
            for cell in run.cells
            if cell.clip.name == clip and any(each.kind == "timed" for each in cell.samples)
        ]
        if transcribed:
            found.append(_compared(run, clip, transcribed, most))
    return found


def transcripts_section(compared: Sequence[AlignedTexts], limits: Limits) -> Markup:
    """Per clip, its recordings with each different text."""
    speeches = [
        {
            "clip": each.clip,
            "total": each.total,
            "ranked": each.ranked,
            "recordings": [
                _recording(found, limits) for found in each.recordings[: limits.recordings]
            ],
        }
        for each in compared
    ]
    return render("transcripts.html", speeches=speeches)


def _compared(run: Run, clip: str, cells: Sequence[CellResult], most: int) -> AlignedTexts:
    labels = labels_of(run.cells)
    texts = {labels[cell.id]: texts_in_order(cell) for cell in cells}
    spoken = next(iter(texts.values()))
    references: dict[str, list[str]] = {}
    for each in spoken:
        if each.reference is not None:
            references.setdefault(normalize.primary(each.language), []).append(each.reference)
    rules = {code: rules_for(code, known) for code, known in references.items()}
    errors: Counter[str] = Counter()
    for cell in cells:
        found = summary_of(cell).accuracy
        for score in found.utterances if found else ():
            errors[score.name] += score.substitutions + score.deletions + score.insertions
    order = sorted(range(len(spoken)), key=lambda place: -errors[spoken[place].name])
    recordings = []
    for place in order[:most]:
        source = spoken[place]
        written = {
            label: every[place].text for label, every in texts.items() if every[place].reached
        }
        base, base_name = source.reference, ""
        if base is None:
            # Without a reference, one text serves as the reference.
            base_name = next((label for label, text in written.items() if text is not None), "")
            base = written.get(base_name) or ""
        own = rules.get(normalize.primary(source.language))
        if own is None or base_name:
            own = rules_for(source.language, [base])
        versions = _versions(written, base, own)
        recordings.append(_Recording(source, base_name, own, versions))
    return AlignedTexts(clip, len(spoken), recordings, ranked=bool(references))


def _versions(written: dict[str, str | None], base: str, rules: Rules) -> list[_Version]:
    cells: dict[str | None, list[str]] = {}
    for label, text in written.items():
        cells.setdefault(text, []).append(label)
    reference = rules.units(base)
    alike: dict[tuple[str, ...] | None, _Version] = {}
    for text, labels in cells.items():
        units = None if text is None else tuple(rules.units(text))
        if units in alike:
            alike[units].cells.extend(labels)
            continue
        chunks = alignment.align(reference, units or ())
        counts = alignment.count(chunks)
        errors = counts.substitutions + counts.deletions + counts.insertions
        alike[units] = _Version(labels, text, chunks, errors)
    return sorted(alike.values(), key=lambda each: -each.errors)


def _recording(found: _Recording, limits: Limits) -> dict[str, object]:
    """What the template shows of a recording."""
    reference = found.source.reference
    return {
        "name": clipped(found.source.name, 120),
        "seconds": found.source.seconds,
        "base_name": found.base_name,
        "unit": _unit(found.rules),
        "versions": [_version(found.rules, each, limits) for each in found.versions],
        "reference": None if reference is None else clipped(reference, limits.units * 8),
    }


def _version(rules: Rules, version: _Version, limits: Limits) -> dict[str, object]:
    """What the template shows of a text; without errors no pieces."""
    chunks = version.chunks
    pieces, left = aligned_pieces(
        chunks,
        by_character=rules.by_character,
        whole=sum(max(len(each.reference), len(each.hypothesis)) for each in chunks) <= _WHOLE,
        most=limits.units,
    )
    return {
        "cells": ", ".join(version.cells),
        "text": None if version.text is None else clipped(version.text, limits.units * 8),
        "errors": _errors(chunks, _unit(rules)),
        "pieces": pieces if version.errors else [],
        "left": left,
    }


def _errors(chunks: Sequence[Chunk], unit: str) -> str:
    """How many units differ, and how."""
    counts = alignment.count(chunks)
    total = counts.hits + counts.substitutions + counts.deletions
    errors = [
        f"{number} {what}"
        for number, what in (
            (counts.substitutions, "replaced"),
            (counts.deletions, "missing"),
            (counts.insertions, "added"),
        )
        if number
    ]
    return f"{', '.join(errors)} of {total} {unit}" if errors else f"all {total} {unit} equal"


def _unit(rules: Rules) -> str:
    return "characters" if rules.by_character else "words"
