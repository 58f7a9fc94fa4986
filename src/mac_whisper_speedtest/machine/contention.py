"""Whether other programs disturbed a sample: how much of their work is tolerated, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mac_whisper_speedtest.machine.probe import Reading

BASE_SHARE = 0.05
"""Of the cores. Daemons of an idle system stay below it, and a backend with a thread on every core
loses about as much."""

BASE_CORES = 0.5
"""On no machine do idle daemons use more than this; one program that computes uses a whole core."""

FREE_SHARE = 0.5
"""Share of the cores without a thread of the backend. Work there still uses memory bandwidth
and lowers clocks, and is not always scheduled there."""

DEVICE_THREADS = 2
"""Threads that keep a GPU or Neural Engine busy: one that prepares its work, and one of a driver or
of the interpreter. The others that were asked for wait; what runs on their cores takes nothing."""

_DEVICES = {"metal", "mps", "gpu", "cuda", "rocm", "vulkan", "ane"}
"""Devices that compute alone. Core ML may also compute on the CPU."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Work outside the worker during a span.

    Attributes:
        cpu_s: processor seconds of everything but the worker's tree and this tool, on Macs without
            the time tolerated on efficiency cores.
        resolution_s: the error bound of ``cpu_s``.
    """

    cpu_s: float
    wall_s: float
    resolution_s: float

    @property
    def cores(self) -> float:
        """The mean number of cores in use."""
        return self.cpu_s / self.wall_s


@dataclass(frozen=True, slots=True)
class Judgment:
    """Whether a sample was disturbed.

    Attributes:
        disturbed: ``None`` where the counters are too coarse.
        limit_cores: the tolerated amount of other work, in cores.
        words: the measurement, for people.
    """

    disturbed: bool | None
    limit_cores: float
    words: str


def outside_work(readings: Mapping[str, Reading]) -> Outside | str:
    """The outside work from the figures of the processor's probe, or why it is not known."""
    names = ("disturbing_s", "wall_s", "cpu_resolution_s")
    values = []
    for name in names:
        found = readings.get(name, Reading(None, "s", f"{name} was not metered"))
        if found.value is None:
            return found.reason
        values.append(found.value)
    return Outside(*values)


def busy_threads(threads: int, device: str) -> int:
    """How many of a worker's threads compute while its model runs on that device."""
    on_device = device.partition(" ")[0].partition(":")[0].lower() in _DEVICES
    return min(threads, DEVICE_THREADS) if on_device else threads


def limit(*, cores: int, threads: int) -> float:
    """The cores that other programs may use before a sample counts as disturbed.

    ``min(BASE_SHARE * cores, BASE_CORES) + FREE_SHARE * max(0, cores - threads)``

    Args:
        cores: those that save no energy where there are two kinds, else all logical cores.
        threads: of the worker that compute; see `busy_threads`.
    """
    return min(BASE_SHARE * cores, BASE_CORES) + FREE_SHARE * max(0, cores - threads)


def judge_contention(outside: Outside, *, cores: int, threads: int) -> Judgment:
    """Whether other work exceeded the `limit`.

    Where the counters' error is more than half of the limit, the answer must be the same at both
    ends of the error interval; otherwise the span is too short to judge.
    """
    allowed = limit(cores=cores, threads=threads)
    if outside.wall_s <= 0:
        return Judgment(None, allowed, "no time passed")
    error = outside.resolution_s / outside.wall_s
    words = f"other programs used {outside.cores:.2f} cores, limit {allowed:.2f}"
    if error > allowed / 2:
        if outside.cores - error > allowed:
            return Judgment(disturbed=True, limit_cores=allowed, words=words)
        if outside.cores + error <= allowed:
            return Judgment(disturbed=False, limit_cores=allowed, words=words)
        short = f"{outside.wall_s:.2f} s are too short to judge ({words}, ±{error:.2f})"
        return Judgment(None, allowed, short)
    return Judgment(outside.cores > allowed, allowed, words)
