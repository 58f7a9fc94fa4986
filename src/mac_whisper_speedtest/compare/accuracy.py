"""What the same cell wrote in two runs: whether it is still as accurate, and still the same."""

from __future__ import annotations

from dataclasses import replace

from mac_whisper_speedtest.accuracy import bootstrap, gate
from mac_whisper_speedtest.accuracy import score as scores
from mac_whisper_speedtest.accuracy.score import Score
from mac_whisper_speedtest.bundle.redact import TEXTS_LEFT_OUT
from mac_whisper_speedtest.compare.document import AccuracyChange, TextChange
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.summary import accuracy


def accuracy_change(base: s.CellResult, new: s.CellResult) -> AccuracyChange:
    """The accuracy gate between a cell's texts before and after: both heard the same recordings."""
    if _left_out(base) or _left_out(new):
        return _unjudged(None, None, "a bundle's texts were left out")
    first, second = accuracy.texts(base), accuracy.texts(new)
    reached = [
        (old.name, now.name)
        for old, now in _pairs(base.clip, new.clip)
        if old.name in first and now.name in second
    ]
    before = accuracy.score(base, among={old for old, _ in reached})
    after = accuracy.score(new, among={now for _, now in reached})
    if before is None or after is None:
        return _unjudged(before, after, "there is no reference text")
    try:
        found = gate.judge_gate(before, _named_alike(base, new, after))
    except ValueError:
        return _unjudged(before, after, "the two runs were given different reference texts")
    return AccuracyChange(
        metric=after.metric,
        **_rates(before, after),
        delta=found.delta,
        low=found.low,
        high=found.high,
        verdict=found.verdict,
        how=found.how,
    )


def _unjudged(before: Score | None, after: Score | None, why: str) -> AccuracyChange:
    either = after or before
    return AccuracyChange(
        metric=either.metric if either else None,
        **_rates(before, after),
        delta=None,
        low=None,
        high=None,
        verdict="",
        how=f"not judged: {why}",
    )


def _rates(before: Score | None, after: Score | None) -> dict[str, float | None]:
    """Both error rates with their intervals, by their fields."""
    found: dict[str, float | None] = {}
    for side, score in (("base", before), ("new", after)):
        interval = bootstrap.rate_interval(score) if score else None
        found |= {
            f"{side}_rate": score.rate if score else None,
            f"{side}_low": interval.low if interval else None,
            f"{side}_high": interval.high if interval else None,
        }
    return found


def text_change(base: s.CellResult, new: s.CellResult) -> TextChange | None:
    """Whether the words are the same, recording by recording; right or wrong does not matter.

    Where a cell's samples differ, its most frequent text counts (``accuracy.texts``). A recording
    without a text on either side is compared as such, and has no words to count.

    Returns:
        ``None`` where a bundle's texts were left out.
    """
    if _left_out(base) or _left_out(new):
        return None
    before, after = accuracy.texts(base), accuracy.texts(new)
    usual = str(new.contract.requested.get("language") or "en")
    texts = [
        (old.language or usual, before[old.name], after[now.name])
        for old, now in _pairs(base.clip, new.clip)
        if old.name in before and now.name in after
    ]
    both = [
        scores.Utterance(name=str(number), reference=old, language=language, hypothesis=now)
        for number, (language, old, now) in enumerate(texts)
        if old is not None and now is not None
    ]
    scored = scores.score(both) if both else None
    return TextChange(
        recordings=len(texts),
        same=sum(1 for _, old, now in texts if old == now),
        metric=scored.metric if scored else None,
        changed=scored.rate if scored else None,
    )


def _left_out(cell: s.CellResult) -> bool:
    return any(each.reason == TEXTS_LEFT_OUT for each in cell.clip.unscored)


def _pairs(base: s.ClipInfo, new: s.ClipInfo) -> list[tuple[s.UtteranceInfo, s.UtteranceInfo]]:
    """The recordings of both clips by their samples: in a bundle they have other names."""
    waiting: dict[str, list[s.UtteranceInfo]] = {}
    for each in new.recordings:
        waiting.setdefault(each.pcm_sha256, []).append(each)
    return [
        (each, waiting[each.pcm_sha256].pop(0))
        for each in base.recordings
        if waiting.get(each.pcm_sha256)
    ]


def _named_alike(base: s.CellResult, new: s.CellResult, after: Score) -> Score:
    """The new cell's score with the names and the order that the base has."""
    scored = {each.name: each for each in after.per_utterance}
    pairs = [
        (old.name or base.clip.name, now.name or new.clip.name)
        for old, now in _pairs(base.clip, new.clip)
    ]
    named = tuple(replace(scored[now], name=old) for old, now in pairs if now in scored)
    return replace(after, per_utterance=named)
