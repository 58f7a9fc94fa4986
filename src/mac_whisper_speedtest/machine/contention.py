"""Whether other programs' work has touched a sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mac_whisper_speedtest.machine.probe import Reading

BASE_SHARE = 0.05
"""Of all logical cores. What daemons of an idle system take stays below it, and a backend with a
thread on every core loses about as much to whoever takes it."""

BASE_CORES = 0.5
"""No machine is so large that more than this is its idle daemons' doing: one program that computes
takes a whole core."""

FREE_SHARE = 0.5
"""Of the cores that the backend has no thread on. Work that fits there still takes memory bandwidth
and clocks, and is not always put there."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Work outside the worker during a span, or several.

    Attributes:
        cpu_s: processor seconds of everything but the worker's tree and this tool.
        wall_s: the span.
        resolution_s: by how much ``cpu_s`` may be wrong.
    """

    cpu_s: float
    wall_s: float
    resolution_s: float

    @property
    def cores(self) -> float:
        """How many cores it kept busy, on average."""
        return self.cpu_s / self.wall_s


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a sample was touched.

    Attributes:
        touched: ``None`` where the counters cannot tell.
        limit_cores: how many cores' worth of other work would have been tolerated.
        words: what was seen, for people.
    """

    touched: bool | None
    limit_cores: float
    words: str


def of_readings(readings: dict[str, Reading]) -> Outside | str:
    """The outside work from the figures of :class:`~..probes.cpu.Cpu`, or why it is not known."""
    names = ("outside_cpu_s", "wall_s", "cpu_resolution_s")
    values = []
    for name in names:
        found = readings.get(name, Reading(None, "s", f"{name} was not metered"))
        if found.value is None:
            return found.reason
        values.append(found.value)
    return Outside(*values)


def together(spans: Iterable[Outside]) -> Outside | None:
    """Several spans as one, for samples too short to be judged alone; ``None`` if there are none.

    The spans' errors are added, which is what they are at the worst.
    """
    spans = list(spans)
    if not spans:
        return None
    return Outside(
        sum(each.cpu_s for each in spans),
        sum(each.wall_s for each in spans),
        sum(each.resolution_s for each in spans),
    )


def limit(*, cores: int, threads: int) -> float:
    """How many cores others may use before a sample counts as touched.

    ``min(BASE_SHARE * cores, BASE_CORES) + FREE_SHARE * max(0, cores - threads)``

    Args:
        cores: those that the worker's threads would run on: the performance cores where there are
            two kinds, else all logical ones.
        threads: how many the worker computes with.
    """
    return min(BASE_SHARE * cores, BASE_CORES) + FREE_SHARE * max(0, cores - threads)


def judge(outside: Outside, *, cores: int, threads: int) -> Judgement:
    """Whether so much other work is too much.

    Where the counters' error is more than half of the limit, the answer has to hold at both ends of
    it; a span too short for that is neither touched nor untouched.
    """
    allowed = limit(cores=cores, threads=threads)
    if outside.wall_s <= 0:
        return Judgement(None, allowed, "no time passed")
    error = outside.resolution_s / outside.wall_s
    words = f"others used {outside.cores:.2f} cores (at most {allowed:.2f} go unmarked)"
    if error > allowed / 2:
        if outside.cores - error > allowed:
            return Judgement(touched=True, limit_cores=allowed, words=words)
        if outside.cores + error <= allowed:
            return Judgement(touched=False, limit_cores=allowed, words=words)
        short = f"{outside.wall_s:.2f} s are too short to tell: {words}, ±{error:.2f}"
        return Judgement(None, allowed, short)
    return Judgement(outside.cores > allowed, allowed, words)
