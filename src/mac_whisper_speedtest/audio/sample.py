"""Stratified samples of datasets. Pure.

The first n of a sorted set have few speakers, and often short sentences. So the set is divided into
strata by speaker and by length (three classes of equal size), and each stratum contributes its
share: proportional allocation, rounded by largest remainders (Cochran, Sampling Techniques, 3rd
ed., section 5.5). Within a stratum, a hash of the seed and the item's key decides: the result is
the same on every machine, in every release of Python and in any order of the set.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_CLASSES = 3


@dataclass(frozen=True, slots=True)
class Item:
    """What is known about an utterance before it is opened.

    Attributes:
        key: its unique name in the set.
        length: its duration or any number that grows with it.
    """

    key: str
    speaker: str | None = None
    length: float | None = None


def draw(items: Sequence[Item], n: int, seed: int) -> set[str]:
    """The keys of ``n`` items, at least one; of all items if there are no more.

    Each stratum contributes ``n * stratum / all`` of its items, rounded down or up.
    """
    if n >= len(items):
        return {item.key for item in items}
    strata: dict[tuple[str, int], list[str]] = defaultdict(list)
    classes = _length_classes(items)
    for item in items:
        strata[item.speaker or "", classes[item.key]].append(item.key)
    shares = {stratum: n * len(keys) / len(items) for stratum, keys in strata.items()}
    quota = {stratum: int(share) for stratum, share in shares.items()}
    by_remainder = sorted(
        strata, key=lambda stratum: (quota[stratum] - shares[stratum], _chance(seed, f"{stratum}"))
    )
    for stratum in by_remainder[: n - sum(quota.values())]:
        quota[stratum] += 1
    return {key for stratum, keys in strata.items() for key in _first(keys, quota[stratum], seed)}


def _length_classes(items: Iterable[Item]) -> dict[str, int]:
    """Class 0 to 2 by length for each key; -1 if its length is unknown."""
    known = sorted((item.length, item.key) for item in items if item.length is not None)
    found = {key: _CLASSES * place // len(known) for place, (_, key) in enumerate(known)}
    return {item.key: found.get(item.key, -1) for item in items}


def _first(keys: Iterable[str], n: int, seed: int) -> list[str]:
    return sorted(keys, key=lambda key: _chance(seed, key))[:n]


def _chance(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed} {key}".encode()).digest()
