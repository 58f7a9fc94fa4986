"""A sample of a dataset that is like the whole of it. Pure.

The first n of a sorted set are few speakers, and often short sentences. So the set is divided by
speaker and by length (three classes of equal number), and every part gives its share of the sample:
proportional allocation, rounded by largest remainders (Cochran, Sampling Techniques, 3rd ed.,
section 5.5). Who is drawn within a part is decided by a hash of the seed and the item's key: that
is the same on every machine and in every release of Python, and in whatever order the set is read.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_CLASSES = 3


@dataclass(frozen=True, slots=True)
class Item:
    """What is known of an utterance before it is opened.

    Attributes:
        key: its name in the set; unique there.
        speaker: who speaks; None where that is not known.
        length: its duration or anything that grows with it; None where not known.
    """

    key: str
    speaker: str | None = None
    length: float | None = None


def draw(items: Sequence[Item], n: int, seed: int) -> set[str]:
    """The keys of ``n`` items; all of them when there are no more.

    From each part come ``n * part / all`` of its items, rounded down or up.

    Args:
        items: the set.
        n: how many to draw; at least one.
        seed: another one draws others.
    """
    if n >= len(items):
        return {item.key for item in items}
    parts: dict[tuple[str, int], list[str]] = defaultdict(list)
    classes = _length_classes(items)
    for item in items:
        parts[item.speaker or "", classes[item.key]].append(item.key)
    shares = {part: n * len(keys) / len(items) for part, keys in parts.items()}
    quota = {part: int(share) for part, share in shares.items()}
    by_remainder = sorted(
        parts, key=lambda part: (quota[part] - shares[part], _chance(seed, f"{part}"))
    )
    for part in by_remainder[: n - sum(quota.values())]:
        quota[part] += 1
    return {key for part, keys in parts.items() for key in _first(keys, quota[part], seed)}


def _length_classes(items: Iterable[Item]) -> dict[str, int]:
    """Key → 0 to 2 by length; -1 where no length is known."""
    known = sorted((item.length, item.key) for item in items if item.length is not None)
    found = {key: _CLASSES * place // len(known) for place, (_, key) in enumerate(known)}
    return {item.key: found.get(item.key, -1) for item in items}


def _first(keys: Iterable[str], n: int, seed: int) -> list[str]:
    return sorted(keys, key=lambda key: _chance(seed, key))[:n]


def _chance(seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{seed} {key}".encode()).digest()
