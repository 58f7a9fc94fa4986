"""How accurate each cell is, and which cells are fast but wrong."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from mac_whisper_speedtest.accuracy import gate
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
        against: id of the cell of the reference backend; ``None`` for that cell itself.
        gate: the comparison with it; ``None`` likewise.
    """

    score: Score
    against: str | None = None
    gate: Gate | None = None

    @property
    def wrong(self) -> bool:
        """Whether it is worse than the reference backend beyond the margin."""
        return self.gate is not None and self.gate.verdict == "worse"


def texts(cell: s.CellResult) -> dict[str, str | None]:
    """Recording → the text that the cell produced; ``None`` if it produced none.

    Where its timed samples differ, the most frequent text, of equally frequent ones the first; a
    failure counts as a text of its own.
    """
    found: dict[str, str | None] = {each.name: None for each in cell.clip.recordings}
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
        text: the most frequent text of the cell; ``None`` without any.
    """

    name: str
    seconds: float
    reference: str | None
    language: str
    text: str | None


def texts_in_order(cell: s.CellResult) -> list[CellText]:
    """The cell's text of each recording, in the order of the clip."""
    produced = texts(cell)
    return [
        CellText(
            name=each.name or cell.clip.name,
            seconds=each.seconds,
            reference=each.reference,
            # A contract that leaves the language to the library has none.
            language=each.language or str(cell.contract.requested.get("language") or "en"),
            text=produced[each.name],
        )
        for each in cell.clip.recordings
    ]


def score(cell: s.CellResult, normalizer: Normalizer | None = None) -> Score | None:
    """The score of a cell's texts; ``None`` without a reference text or timed sample."""
    if not any(sample.kind == "timed" for sample in cell.samples):
        return None
    known = [
        accuracy.Utterance(
            name=each.name,
            reference=each.reference,
            language=each.language,
            hypothesis=each.text,
        )
        for each in texts_in_order(cell)
        if each.reference is not None
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
        Cell id → what was found.
    """
    found: dict[str, CellAccuracy] = {}
    tables: dict[tuple[str, str], dict[str, s.CellResult]] = {}
    for cell in cells:
        scored = score(cell, normalizer)
        if scored is not None:
            found[cell.id] = CellAccuracy(scored)
            tables.setdefault((cell.model.name, cell.clip.name), {})[cell.id] = cell
    for table in tables.values():
        found |= _judged(table, found, reference_backend)
    return found


def _judged(
    table: Mapping[str, s.CellResult], found: Mapping[str, CellAccuracy], backend: str | None
) -> dict[str, CellAccuracy]:
    names: dict[str, str] = {}
    for name, each in table.items():
        names.setdefault(each.backend.name, name)
    sound = [each.backend.name for each in table.values() if each.status == "ok"]
    chosen = backend if backend in sound else gate.choose_reference(sound)
    if chosen is None:
        return {}
    against = names[chosen]
    return {
        name: CellAccuracy(
            found[name].score, against, gate.judge_gate(found[against].score, found[name].score)
        )
        for name in table
        if name != against
    }


def result(judged: CellAccuracy) -> s.AccuracyResult:
    """The accuracy as results record it."""
    scored, verdict = judged.score, judged.gate
    same = [name for name in s.AccuracyResult.__struct_fields__ if hasattr(scored, name)]
    return s.AccuracyResult(
        **{name: getattr(scored, name) for name in same},
        utterances=msgspec.convert(
            scored.per_utterance, list[s.UtteranceScore], from_attributes=True
        ),
        against=judged.against,
        delta=verdict.delta if verdict else None,
        delta_low=verdict.low if verdict else None,
        delta_high=verdict.high if verdict else None,
        verdict=verdict.verdict if verdict else "",
        how=verdict.how if verdict else "",
    )
