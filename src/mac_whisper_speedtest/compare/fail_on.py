"""What fails a build (``--fail-on``), and what a comparison leaves undecided. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from mac_whisper_speedtest.compare import document as d
from mac_whisper_speedtest.compare import quantities
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.stats.ranking import Verdict

SLOWER, WRONG, CHANGED, UNCLEAR = "slower", "wrong", "changed", "unclear"
MEMORY, ENERGY = quantities.MEMORY, quantities.ENERGY
KINDS: Mapping[str, str] = {
    SLOWER: "is `SLOWER`",
    WRONG: "is less accurate, by the accuracy gate between the two runs",
    CHANGED: "has another text of any recording, right or wrong",
    UNCLEAR: "has other texts, and the gate is `unclear` or has no reference text",
    MEMORY: "has `MORE` in one of its figures of memory",
    ENERGY: "takes `MORE` energy",
}
"""The values of ``--fail-on``, and which cells each finds."""

_BROKEN = "failed"
_OF_TEXTS = {WRONG, CHANGED, UNCLEAR}
_NEED_AN_END = {SLOWER, *_OF_TEXTS}
"""These need a cell that ends ok."""
_MORE_SPEECH = "measure more speech (speedtest run --dataset librispeech:test-clean:n=100)"


def kinds(texts: Sequence[str]) -> list[str]:
    """The kinds in ``--fail-on``, which may be repeated and contain commas.

    Raises:
        UsageError: a kind is unknown.
    """
    requested = [each.strip().lower() for text in texts for each in text.split(",")]
    for each in requested:
        if each not in KINDS:
            raise UsageError(
                f"--fail-on has no {each!r}", hint=f"use one or more of {', '.join(KINDS)}"
            )
    return [each for each in KINDS if each in requested]


def judged(compared: d.Compared, requested: Sequence[str]) -> d.Compared:
    """The comparison with its regressions of the requested kinds, and those left undecided."""
    return msgspec.structs.replace(
        compared,
        fail_on=list(requested),
        regressions=[
            d.Regression(cell=cell.name, kind=kind, message=message)
            for cell in compared.cells
            for kind, message in _regressions(cell, requested)
        ],
        undecided=[
            d.Regression(cell=cell.name, kind=kind, message=message)
            for cell in compared.cells
            if cell.state == d.COMPARED
            for kind, message in _undecided(cell, requested)
        ],
    )


def _regressions(cell: d.CellChange, requested: Collection[str]) -> Iterator[tuple[str, str]]:
    """Kind and message of each."""
    if cell.state in {d.FAILED, d.MISSING} and cell.base and cell.base.status == "ok":
        if _NEED_AN_END & set(requested):
            gone = "is missing from the new run" if cell.state == d.MISSING else cell.message
            yield _BROKEN, f"measured in the base, now {gone}"
        return
    if cell.state != d.COMPARED:
        return
    if SLOWER in requested and cell.speed is not None and cell.speed.verdict == Verdict.SLOWER:
        assert cell.speed.ratio is not None  # without one it is AMBIGUOUS
        yield SLOWER, f"it takes {cell.speed.ratio.estimate:.3f} times as long ({cell.speed.ratio})"
    accuracy, texts = cell.accuracy, cell.texts
    if WRONG in requested and accuracy is not None and accuracy.verdict == "worse":
        yield WRONG, _rates(accuracy)
    if CHANGED in requested and texts is not None and texts.same < texts.recordings:
        yield CHANGED, _changed(texts)
    if UNCLEAR in requested and (doubt := _doubt(cell)):
        yield UNCLEAR, doubt
    for each in cell.quantities:
        if each.kind in requested and each.verdict == quantities.MORE:
            assert each.ratio is not None  # without one there is no verdict
            grown = f"{each.ratio.estimate:.2f} times ({each.ratio:.2f}"
            yield each.kind, f"its {each.name} grew {grown}; the margin is {each.margin:.0%})"


def _undecided(cell: d.CellChange, requested: Collection[str]) -> Iterator[tuple[str, str]]:
    """The requested kinds that cannot be decided, and what to do about it."""
    if SLOWER in requested and cell.speed is not None and cell.speed.verdict == Verdict.AMBIGUOUS:
        why = f" ({cell.speed.why})" if cell.speed.why else ""
        more = "measure again on a quiet machine with more --rounds, or with --ci-width 2%"
        yield SLOWER, f"its speed is AMBIGUOUS{why}: {more}"
    if WRONG in requested and UNCLEAR not in requested and (doubt := _doubt(cell)):
        others = "unclear" if cell.texts is None else "changed or --fail-on unclear"
        yield WRONG, f"{doubt}: use --fail-on {others}, or {_MORE_SPEECH}"
    if CHANGED in requested and cell.texts is None:
        yield CHANGED, "the runs have no texts of the same speech"
    for each in cell.quantities:
        if each.kind in requested and each.verdict == Verdict.AMBIGUOUS:
            yield each.kind, f"its {each.name} is AMBIGUOUS: measure again with more --rounds"
        elif each.kind in requested and not each.verdict:
            yield each.kind, f"{each.name} {each.reason}"


def _doubt(cell: d.CellChange) -> str:
    """Why it is undecided whether the texts became wrong; empty if it is decided."""
    accuracy, texts = cell.accuracy, cell.texts
    if texts is not None and texts.same == texts.recordings:
        return ""  # the same texts are as accurate as before
    if accuracy is None:
        return "the speech differs"
    if accuracy.verdict == "unclear":
        return f"too little speech to decide: {_rates(accuracy)}; {accuracy.how}"
    return "" if accuracy.verdict else accuracy.how


def _rates(accuracy: d.AccuracyChange) -> str:
    metric = (accuracy.metric or "").upper()
    if accuracy.delta is None or accuracy.base_rate is None or accuracy.new_rate is None:
        return f"its {metric} is not known"
    verb = "rose" if accuracy.delta >= 0 else "fell"
    return (
        f"its {metric} {verb} by {abs(accuracy.delta) * 100:.1f} points from "
        f"{accuracy.base_rate:.1%} to {accuracy.new_rate:.1%}"
    )


def _changed(texts: d.TextChange) -> str:
    unit = "characters" if texts.metric == "cer" else "words"
    amount = f"; {texts.changed:.1%} of the {unit} changed" if texts.changed else ""
    return (
        f"its text differs in {texts.recordings - texts.same} of "
        f"{texts.recordings} recordings{amount}"
    )
