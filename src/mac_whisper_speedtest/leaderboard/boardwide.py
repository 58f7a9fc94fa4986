"""Which entries of a board are too wrong for their speed to count."""

from __future__ import annotations

from collections.abc import Sequence

from mac_whisper_speedtest.accuracy import gate
from mac_whisper_speedtest.accuracy.score import Score
from mac_whisper_speedtest.leaderboard.submissions import Entry


def wrong(entries: Sequence[Entry]) -> set[int]:
    """The indices of those that are worse than a reference backend beyond the gate's margin.

    A run compares its cells with its own reference backend. A run of one backend alone has nothing
    to compare it with; it is compared with the reference of the whole board: of the entries that
    were not judged either, those of the first of ``gate.REFERENCE_BACKENDS``, and of these the one
    with the median error rate, so that neither a text made up to be perfect nor a bad one decides.

    Args:
        entries: of one board, in a fixed order.
    """
    found = {number for number, each in enumerate(entries) if each.wrong}
    alone = {number: each.score for number, each in enumerate(entries) if each.score is not None}
    reference = _reference(entries, alone)
    if reference is None:
        return found
    against = alone[reference]
    for number, score in alone.items():
        if number != reference and _worse(against, score):
            found.add(number)
    return found


def _reference(entries: Sequence[Entry], alone: dict[int, Score]) -> int | None:
    backends = {number: entries[number].runner.backend for number in sorted(alone)}
    chosen = gate.reference_of(backends.values())
    rated = [
        (score.rate, entries[number].bundle, number)
        for number, score in alone.items()
        if backends[number] == chosen and score.rate is not None
    ]
    return sorted(rated)[(len(rated) - 1) // 2][2] if rated else None


def _worse(reference: Score, other: Score) -> bool:
    try:
        return gate.judge(reference, other).verdict == "worse"
    except ValueError:  # other utterances, metric or rules: nothing to compare
        return False
