"""Which cores a backend's threads should get: whole, fast ones, and no more than are allowed."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from mac_whisper_speedtest.machine import limits
from mac_whisper_speedtest.machine.reader import Reader, Unknown

_TOPOLOGY = "/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"
_FAST_CORES = "/sys/devices/cpu_core/cpus"
"""Where Linux lists the performance cores of an Intel processor that has two kinds."""


def linux(reader: Reader, affinity: Collection[int]) -> int:
    """How many threads fit: physical performance cores within the affinity and the group's quota.

    Args:
        reader: the machine.
        affinity: logical cores that this process may use; one at least.
    """
    fast = reader.read(_FAST_CORES)
    siblings = {}
    for core in affinity:
        text = reader.read(_TOPOLOGY.format(core=core))
        siblings[core] = listed(text) if isinstance(text, str) else frozenset()
    return fitting(
        affinity,
        siblings,
        fast=listed(fast) if isinstance(fast, str) else frozenset(),
        quota=limits.cpus(reader),
    )


def fitting(
    affinity: Collection[int],
    siblings: Mapping[int, Collection[int]],
    *,
    fast: Collection[int] = (),
    quota: float | None = None,
) -> int:
    """How many physical cores there are to compute on, one at least.

    Two threads on one core share its arithmetic units, which matrix products fill alone. Slow cores
    hold up all threads where work is split evenly. A quota stops every thread once it is used up,
    so a fraction of a core is rounded down.

    Args:
        affinity: logical cores that may be used.
        siblings: by logical core, all that share its physical one; empty where it is not known.
        fast: the performance cores; empty where there is one kind.
        quota: cores' worth of time; ``None`` for no limit.
    """
    usable = set(affinity) & set(fast) or set(affinity)
    # A core is counted by the lowest of its siblings.
    physical = {min(siblings.get(core) or (core,)) for core in usable}
    count = len(physical)
    if quota is not None:
        count = min(count, math.floor(quota))
    return max(1, count)


def listed(text: str) -> frozenset[int]:
    """The numbers of a list as the kernel writes it: ``0-3,8,10-11``; empty if it is none."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            return frozenset()
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def macos(hw: str | Unknown) -> int | None:
    """The performance cores, from ``sysctl -n hw.perflevel0.physicalcpu``.

    ``None`` on Macs with one kind of core, which do not know that name.
    """
    return int(hw) if isinstance(hw, str) and hw.isdecimal() and int(hw) > 0 else None
