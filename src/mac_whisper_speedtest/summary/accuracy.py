"""How accurate each cell is, and which cells are fast but wrong."""

from __future__ import annotations

import collections
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from mac_whisper_speedtest.accuracy import bootstrap, gate
from mac_whisper_speedtest.accuracy import score as accuracy
from mac_whisper_speedtest.accuracy.gate import Gate
from mac_whisper_speedtest.accuracy.normalize import Normalizer
from mac_whisper_speedtest.accuracy.score import Score
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary import samples as cell_samples


@dataclass(frozen=True, slots=True)
class CellAccuracy:
    """A cell's score, and the gate's verdict.

    Attributes:
        score: over the recordings that the cell reached.
        unreached: how many with a reference text it never reached.
        against: id of the cell of the reference backend; ``None`` for that cell itself.
        gate: the comparison with it, or ``None``.
    """

    score: Score
    unreached: int = 0
    against: str | None = None
    gate: Gate | None = None

    @property
    def wrong(self) -> bool:
        """Whether it is worse than the reference backend beyond the margin."""
        return self.gate is not None and self.gate.verdict == "worse"


def texts(cell: s.CellResult) -> dict[str, str | None]:
    """Recording → the text that the cell produced; ``None`` if it failed.

    Recordings that the cell never reached, because it was interrupted or given up, are left out.
    Where its timed samples differ, the most frequent text, of equally frequent ones the first; a
    failure counts as a distinct text.
    """
    found: dict[str, str | None] = {}
    for name, samples in cell_samples.by_recording(cell_samples.timed_samples(cell)).items():
        counts = collections.Counter(None if each.failed else each.text for each in samples)
        found[name] = counts.most_common(1)[0][0]
    return found


@dataclass(frozen=True, slots=True)
class CellText:
    """The text of one cell for one recording.

    Attributes:
        name: of the recording; if there is only one, of the clip.
        seconds: duration of the recording.
        reference: the reference text, if there is one.
        language: two-letter code.
        reached: whether the cell measured it.
        text: the most frequent text of the cell; ``None`` without any.
    """

    name: str
    seconds: float
    reference: str | None
    language: str
    reached: bool
    text: str | None


def texts_in_order(cell: s.CellResult) -> list[CellText]:
    """The cell's text of each recording, in the order of the clip."""
    produced = texts(cell)
    return [
        CellText(
            name=each.name or cell.clip.name,
            seconds=each.seconds,
            reference=each.reference,
            # A contract that leaves the language to the library names none.
            language=each.language or str(cell.contract.requested.get("language") or "en"),
            reached=each.name in produced,
            text=produced.get(each.name),
        )
        for each in cell.clip.recordings
    ]


def score(
    cell: s.CellResult,
    normalizer: Normalizer | None = None,
    *,
    among: Container[str] | None = None,
) -> Score | None:
    """The score of a cell's texts; ``None`` without a reference text or timed sample.

    Args:
        cell: the cell.
        normalizer: other rules than each language's own.
        among: names of the recordings to score, of those that it reached; by default all.
    """
    known = [
        accuracy.Utterance(
            name=each.name,
            reference=each.reference,
            language=each.language,
            hypothesis=each.text,
            speaker=recording.speaker,
        )
        for each, recording in zip(texts_in_order(cell), cell.clip.recordings, strict=True)
        if each.reference is not None
        and each.reached
        and (among is None or recording.name in among)
    ]
    return accuracy.score(known, normalizer=normalizer) if known else None


def judge_accuracy(
    cells: Sequence[s.CellResult],
    *,
    reference_backend: str | None = None,
    normalizer: Normalizer | None = None,
) -> dict[str, CellAccuracy]:
    """Score every cell that can be scored, and compare those of one table with its reference.

    Args:
        cells: of one run.
        reference_backend: the backend to compare with; ``gate.choose_reference`` chooses one if it
            is ``None`` or not in the run.
        normalizer: other rules than each language's own.

    Returns:
        Cell id → its accuracy.
    """
    found: dict[str, CellAccuracy] = {}
    tables: dict[tuple[str, str], dict[str, s.CellResult]] = {}
    for cell in cells:
        scored = score(cell, normalizer)
        if scored is not None:
            with_reference = sum(each.reference is not None for each in cell.clip.recordings)
            unreached = with_reference - len(scored.per_utterance)
            found[cell.id] = CellAccuracy(scored, unreached)
            tables.setdefault((cell.model.name, cell.clip.name), {})[cell.id] = cell
    for table in tables.values():
        found |= _judged(table, found, reference_backend, normalizer)
    return found


def _judged(
    table: Mapping[str, s.CellResult],
    found: Mapping[str, CellAccuracy],
    backend: str | None,
    normalizer: Normalizer | None,
) -> dict[str, CellAccuracy]:
    names: dict[str, str] = {}
    for name, each in table.items():
        names.setdefault(each.backend.name, name)
    sound = [each.backend.name for each in table.values() if each.status == "ok"]
    chosen = backend if backend in sound else gate.choose_reference(sound)
    if chosen is None:
        return {}
    against = names[chosen]
    reference = table[against]
    return {
        name: replace(found[name], against=against, gate=_gate(reference, cell, found, normalizer))
        for name, cell in table.items()
        if name != against
    }


def _gate(
    reference: s.CellResult,
    cell: s.CellResult,
    found: Mapping[str, CellAccuracy],
    normalizer: Normalizer | None,
) -> Gate | None:
    """The verdict over the recordings that both cells measured; ``None`` without any."""
    first, second = texts(reference).keys(), texts(cell).keys()
    if first == second:
        return gate.judge_gate(found[reference.id].score, found[cell.id].score)
    both = first & second
    theirs, ours = (score(each, normalizer, among=both) for each in (reference, cell))
    if theirs is None or ours is None:
        return None
    judged = gate.judge_gate(theirs, ours)
    return replace(judged, how=f"{judged.how}, over the {len(both)} recordings that both measured")


def result(judged: CellAccuracy) -> s.AccuracyResult:
    """The accuracy as results record it."""
    scored, verdict = judged.score, judged.gate
    interval = bootstrap.rate_interval(scored)
    same = [name for name in s.AccuracyResult.__struct_fields__ if hasattr(scored, name)]
    return s.AccuracyResult(
        **{name: getattr(scored, name) for name in same},
        utterances=msgspec.convert(
            scored.per_utterance, list[s.UtteranceScore], from_attributes=True
        ),
        languages=msgspec.convert(scored.by_language, list[s.LanguageScore], from_attributes=True),
        rate_low=interval.low if interval else None,
        rate_high=interval.high if interval else None,
        rate_how=interval.how if interval else "",
        unreached=judged.unreached,
        against=judged.against,
        delta=verdict.delta if verdict else None,
        delta_low=verdict.low if verdict else None,
        delta_high=verdict.high if verdict else None,
        verdict=verdict.verdict if verdict else "",
        how=verdict.how if verdict else "",
    )
