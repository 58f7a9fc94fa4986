"""Who is certainly faster than whom where several bundles have a say."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from mac_whisper_speedtest.stats import intervals, ranking, verdict
from mac_whisper_speedtest.stats.ranking import Pair, Place
from mac_whisper_speedtest.stats.verdict import Verdict

Rounds = Mapping[int, float]
"""Round → RTF."""


def places(
    rows: Mapping[str, Mapping[str, Rounds]],
    *,
    margin: float,
    level: Mapping[str, float],
) -> dict[str, Place]:
    """The places that each row of a group may have.

    Bundles, not their rounds, are what repeats a comparison: rounds of one machine share what is
    odd about it. So where two rows have three bundles or more in common, they are compared as
    cells of a run are (``ranking.rank``), with a bundle in place of a round. Where they have one or
    two, one is the faster only if the rounds of each of these bundles say so by themselves.

    Args:
        rows: row → bundle → that bundle's rounds, none of them empty.
        margin: the relative difference below which rows count as the same.
        level: bundle → the confidence that its own rounds are to be judged with.

    Raises:
        ValueError: for a value that is not finite and above zero.
    """
    bundles = sorted({name for own in rows.values() for name in own})
    medians = {
        row: {bundles.index(name): statistics.median(each.values()) for name, each in own.items()}
        for row, own in rows.items()
    }
    between = ranking.rank(medians, margin=margin)
    inside = {
        name: _verdicts({row: own[name] for row, own in rows.items() if name in own}, margin, each)
        for name, each in level.items()
        if name in bundles
    }
    first = dict.fromkeys(rows, 1)
    last = dict.fromkeys(rows, len(rows))
    for pair in between.pairs:
        found = pair.verdict
        common = sorted(rows[pair.a].keys() & rows[pair.b].keys())
        if len(common) < intervals.MIN_ROUNDS:
            found = _unanimous([inside[name][pair.a, pair.b] for name in common])
        if found in verdict.OPPOSITE:
            faster = found is Verdict.FASTER
            winner, loser = (pair.a, pair.b) if faster else (pair.b, pair.a)
            first[loser] += 1
            last[winner] -= 1
    return {row: Place(first[row], last[row]) for row in rows}


def _verdicts(
    rows: Mapping[str, Rounds], margin: float, level: float
) -> dict[tuple[str, str], Verdict]:
    """What one bundle's rounds say of every pair of rows, in both directions."""
    pairs: list[Pair] = ranking.rank(rows, margin=margin, level=level).pairs
    return {(each.a, each.b): each.verdict for pair in pairs for each in (pair, pair.turned())}


def _unanimous(verdicts: list[Verdict]) -> Verdict:
    return verdicts[0] if verdicts and len(set(verdicts)) == 1 else Verdict.AMBIGUOUS
