"""What the backends wrote, set against what was said; of a set the worst recordings first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.accuracy import normalize
from mac_whisper_speedtest.accuracy import score as alignment
from mac_whisper_speedtest.accuracy.normalize import Normalizer
from mac_whisper_speedtest.accuracy.score import Chunk
from mac_whisper_speedtest.compare import speed
from mac_whisper_speedtest.compare.speed import Said
from mac_whisper_speedtest.report.html.cells import Limits
from mac_whisper_speedtest.report.html.page import Html, clipped, join, tag
from mac_whisper_speedtest.results.cells import labels_of, summary_of
from mac_whisper_speedtest.results.schema import CellResult, Run

# One text set against another word by word: what is replaced, missing or added.


_CONTEXT = 8
"""Units that are kept on either side of what differs, where a long stretch is alike."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How texts of one language are made comparable.

    Attributes:
        normalizer: what evens out case, punctuation and spelling.
        by_character: whether characters are compared, as where words are not parted by spaces.
    """

    normalizer: Normalizer
    by_character: bool

    def units(self, text: str) -> list[str]:
        """The words, or characters, of a text."""
        even = self.normalizer(text)
        return list(even.replace(" ", "")) if self.by_character else even.split()


def rules_for(language: str, references: Sequence[str]) -> Rules:
    """The rules that error rates are counted by: those of ``accuracy.score``."""
    return Rules(
        normalize.for_texts(language, references),
        normalize.is_spaceless(language, " ".join(references)),
    )


def shown(
    chunks: Sequence[Chunk], *, by_character: bool, whole: bool, most: int
) -> tuple[Html, int]:
    """The aligned text, and how many units of it were left out at its end.

    What is missing is struck through, what is there instead or besides is underlined; both also
    have their own element, so that no color is needed.

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


_WHOLE = 250
"""Texts of so many units or fewer are written in full; of longer ones, where they differ."""


@dataclass(frozen=True, slots=True)
class _Version:
    """One text of a recording, and all cells that wrote it (in the same normalized units)."""

    cells: list[str]
    text: str | None
    chunks: tuple[Chunk, ...]
    errors: int


@dataclass(frozen=True, slots=True)
class _Recording:
    """A recording and the texts of it, worst first."""

    said: Said
    base_name: str
    rules: Rules
    versions: list[_Version]


@dataclass(frozen=True, slots=True)
class AlignedTexts:
    """The texts of one piece of speech, set against what was said.

    Attributes:
        clip: its name.
        total: how many recordings it has.
        recordings: those that were looked at, with the most errors first.
        ranked: whether errors are known; else recordings are in the order of the speech.
    """

    clip: str
    total: int
    recordings: list[_Recording]
    ranked: bool


def compare(run: Run, most: int) -> list[AlignedTexts]:
    """Set the texts of every speech against what was said: of ``most`` recordings, the worst.

    This takes long for long texts, so it is done once for a page.
    """
    found = []
    for clip in dict.fromkeys(cell.clip.name for cell in run.cells):
        heard = [
            cell
            for cell in run.cells
            if cell.clip.name == clip and any(each.kind == "timed" for each in cell.samples)
        ]
        if heard:
            found.append(_compared(run, clip, heard, most))
    return found


def transcripts_section(compared: Sequence[AlignedTexts], limits: Limits) -> Html:
    """Per speech, its recordings with each text that was written of them."""
    if not compared:
        return tag("p", "No text was written.")
    parts: list[Html] = [
        tag(
            "p",
            "Compared after normalizing, as error rates are. ",
            tag("del", "Struck through"),
            " was said and is missing, ",
            tag("ins", "underlined in this way", class_="other-words"),
            " stands in its place, and ",
            tag("ins", "underlined so"),
            " was added. The text as it was written can be unfolded.",
            class_="aligned quiet",
        )
    ]
    for each in compared:
        parts.append(tag("h3", each.clip))
        shown = each.recordings[: limits.recordings]
        if each.total > 1:
            order = "those with the most errors first" if each.ranked else "in order"
            every = len(shown) == each.total
            which = f"All {each.total}" if every else f"{len(shown)} of {each.total}"
            parts.append(tag("p", f"{which} recordings, {order}.", class_="quiet"))
        parts += [_recording(one, limits, alone=each.total == 1) for one in shown]
    return join(parts)


def _compared(run: Run, clip: str, cells: Sequence[CellResult], most: int) -> AlignedTexts:
    labels = labels_of(run.cells)
    texts = {labels[cell.id]: list(speed.said(cell)) for cell in cells}
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
        said = spoken[place]
        written = {label: every[place].text for label, every in texts.items()}
        base, base_name = said.reference, ""
        if base is None:
            # Nobody knows what was said: the texts can only be set against one of them.
            base_name = next((label for label, text in written.items() if text is not None), "")
            base = written.get(base_name) or ""
        own = rules.get(normalize.primary(said.language))
        if own is None or base_name:
            own = rules_for(said.language, [base])
        versions = _versions(written, base, own)
        recordings.append(_Recording(said, base_name, own, versions))
    return AlignedTexts(clip, len(spoken), recordings, ranked=bool(references))


def _versions(written: dict[str, str | None], base: str, rules: Rules) -> list[_Version]:
    cells: dict[str | None, list[str]] = {}
    for label, text in written.items():
        cells.setdefault(text, []).append(label)
    wanted = rules.units(base)
    alike: dict[tuple[str, ...] | None, _Version] = {}
    for text, labels in cells.items():
        units = None if text is None else tuple(rules.units(text))
        if units in alike:
            alike[units].cells.extend(labels)
            continue
        chunks = alignment.align(wanted, units or ())
        counts = alignment.count(chunks)
        errors = counts.substitutions + counts.deletions + counts.insertions
        alike[units] = _Version(labels, text, chunks, errors)
    return sorted(alike.values(), key=lambda each: -each.errors)


def _recording(found: _Recording, limits: Limits, *, alone: bool) -> Html:
    name = clipped(found.said.name, 120)
    heading = Html("") if alone else tag("h4", f"{name} ({found.said.seconds:.1f} s)")
    against = (
        tag(
            "p",
            f"What was said is not known; the texts are compared with that of {found.base_name}.",
            class_="quiet",
        )
        if found.base_name
        else Html("")
    )
    said = (
        tag(
            "details",
            tag("summary", "What was said"),
            tag("p", clipped(found.said.reference, limits.units * 8), dir="auto"),
        )
        if found.said.reference is not None
        else Html("")
    )
    return join(
        [heading, against, *(_version(found, each, limits) for each in found.versions), said]
    )


def _version(found: _Recording, version: _Version, limits: Limits) -> Html:
    names = tag("strong", ", ".join(version.cells))
    unit = "characters" if found.rules.by_character else "words"
    if version.text is None:
        return tag("p", names, ": ", tag("span", "no text", class_="badge bad"))
    chunks = version.chunks
    counts = alignment.count(chunks)
    total = counts.hits + counts.substitutions + counts.deletions
    said = [
        f"{number} {what}"
        for number, what in (
            (counts.substitutions, "replaced"),
            (counts.deletions, "missing"),
            (counts.insertions, "added"),
        )
        if number
    ]
    words = f"{', '.join(said)} of {total} {unit}" if said else f"all {total} {unit} alike"
    size = sum(max(len(each.reference), len(each.hypothesis)) for each in chunks)
    text, left = shown(
        chunks,
        by_character=found.rules.by_character,
        whole=size <= _WHOLE,
        most=limits.units,
    )
    rest = (
        tag("p", f"{left} {unit} at the end are left out here.", class_="quiet")
        if left
        else Html("")
    )
    return tag(
        "div",
        tag("p", names, ": ", words),
        tag("p", text, class_="aligned", dir="auto") if said else "",
        rest,
        tag(
            "details",
            tag("summary", "As it was written"),
            tag("p", clipped(version.text, limits.units * 8), dir="auto"),
        ),
        class_="version",
    )
