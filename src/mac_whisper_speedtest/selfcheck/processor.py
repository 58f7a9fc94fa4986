"""Processor time: is known work of a worker, and of another program, counted correctly?

On a busy machine other programs are counted, rightly. So a verdict says that the accounting is
wrong only where the load around the known work does not explain the difference.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from mac_whisper_speedtest.doctor.lines import CheckupLine, fail, ok, unknown
from mac_whisper_speedtest.machine import contention, describe
from mac_whisper_speedtest.machine.cpu import Cpu
from mac_whisper_speedtest.machine.probe import Target
from mac_whisper_speedtest.machine.reader import UnknownFactError
from mac_whisper_speedtest.selfcheck.bench import (
    CLOSE,
    SEND,
    Figures,
    Workbench,
    is_busy,
    load_figures,
    measurement,
    metered,
)
from mac_whisper_speedtest.selfcheck.kit import Measurement

WORK_S = 2.0
"""Seconds of one core."""
REPEATS = 3
"""Another program may disturb one repetition by chance; an accounting error is in all."""
_LONGEST_S = 15.0
IDLE_WINDOWS = 10
TOLERANCE = 0.05
"""Of known work of a worker, which is counted in nanoseconds or hundredths of a second."""
STRANGER_CORES = 0.1
QUIET_CORES = 0.25
"""If other programs use fewer cores than this while idle, the machine is quiet enough to judge."""

_STRANGER = f"""
import time
while time.process_time() < {WORK_S}:
    sum(range(2000))
print(time.process_time())
"""


def _watched(target: Target, seconds: float) -> Figures:
    probe = Cpu()
    probe.begin(target)
    time.sleep(seconds)
    return metered(probe, target)


def _outside(target: Target, windows: int, prefix: str, figure: str = "outside_cpu_s") -> Figures:
    """Cores that other programs used in idle windows of one second."""
    shares: list[float] = []
    for _ in range(windows):
        found = _watched(target, 1.0)
        used_s, wall_s = found[figure], found["wall_s"]
        if not isinstance(used_s, float) or not isinstance(wall_s, float):
            return {prefix: used_s}
        shares.append(used_s / wall_s)
    return {prefix: shares}


def _times() -> Iterator[int]:
    """`REPEATS` times, or fewer if time runs out on a busy machine."""
    began = time.monotonic()
    for number in range(REPEATS):
        if number and time.monotonic() - began > _LONGEST_S:
            return
        yield number


def _repeated(spans: Sequence[Figures], *names: str) -> Figures:
    """The figures of several spans as series; the reason of the first that is not known."""
    found: Figures = {}
    for name in names:
        values = [span[name] for span in spans]
        numbers = [each for each in values if isinstance(each, float | int)]
        found[name] = (
            numbers
            if len(numbers) == len(values)
            else next(each for each in values if not isinstance(each, float | int))
        )
    return found


_SPAN = ("cpu_s", "wall_s", "outside_cpu_s", "outside_share", "cpu_resolution_s")


def measure_worker(bench: Workbench) -> Measurement:
    """A worker computes for two seconds of processor time, several times."""
    spans = []
    with bench.known_worker() as known:
        known.do("burn", cpu_s=0.01)  # imports what the work needs
        before = _outside(known.target, 2, "quiet_before")
        for _ in _times():
            probe = Cpu()
            probe.begin(known.target)
            facts = known.do("burn", cpu_s=WORK_S)
            spans.append({**metered(probe, known.target), **facts})
        after = _outside(known.target, 2, "quiet_after")
    figures = _repeated(spans, *_SPAN, "burned_s")
    return measurement("processor worker", {**before, **figures, **after})


def judge_worker(found: Measurement) -> list[CheckupLine]:
    """Its time is counted as its own, not as other programs'."""
    burned, counted = found.series("burned_s"), found.series("cpu_s")
    worst = max((b / a - 1 for a, b in zip(burned, counted, strict=True)), key=abs)
    seen = (
        f"{_mean(counted):.2f} s counted of {_mean(burned):.2f} s, at most {abs(worst):.1%} off "
        f"(limit {TOLERANCE:.0%})"
    )
    topic = "a worker's work"
    right = abs(worst) <= TOLERANCE
    line = ok(topic, seen) if right else fail(topic, seen, SEND)
    return [line, _judge_leak(found)]


def _judge_leak(found: Measurement) -> CheckupLine:
    topic = "not that of others"
    shares = found.series("outside_share")
    quiet = [*found.series("quiet_before"), *found.series("quiet_after")]
    rise = min(shares) - min(quiet)
    seen = f"other programs used {min(shares):.2f} cores during it, {min(quiet):.2f} when idle"
    if rise <= QUIET_CORES:
        return ok(topic, f"{seen} (limit +{QUIET_CORES:g})")
    if max(quiet) > QUIET_CORES:
        return unknown(topic, f"the machine is busy: {seen}", CLOSE)
    return fail(topic, f"{seen} (limit +{QUIET_CORES:g})", SEND)


def measure_stranger(bench: Workbench) -> Measurement:
    """Another program computes for two seconds of processor time, several times."""
    spans = []
    with bench.known_worker() as known:
        before = _outside(known.target, 2, "quiet_before")
        for _ in _times():
            probe = Cpu()
            probe.begin(known.target)
            done = subprocess.run(
                [sys.executable, "-c", _STRANGER],
                capture_output=True, text=True, check=True, timeout=60,
            )  # fmt: skip
            spans.append({**metered(probe, known.target), "stranger_s": float(done.stdout)})
        after = _outside(known.target, 2, "quiet_after")
    figures = _repeated(spans, *_SPAN, "stranger_s")
    return measurement("processor stranger", {**before, **figures, **after})


def judge_stranger(found: Measurement) -> list[CheckupLine]:
    """Its time is seen as another program's: no less, and no more than the load explains."""
    topic = "another program"
    outside, walls = found.series("outside_cpu_s"), found.series("wall_s")
    own, errors = found.series("stranger_s"), found.series("cpu_resolution_s")
    excess = [
        (seen - worked) / wall for seen, worked, wall in zip(outside, own, walls, strict=True)
    ]
    used = _mean([seen / worked for seen, worked in zip(outside, own, strict=True)])
    seen = f"{used:.2f} times its {_mean(own):.2f} s seen"
    limit = f"(limit ±{STRANGER_CORES:g} cores)"
    missed = [
        each < -STRANGER_CORES - error / wall
        for each, error, wall in zip(excess, errors, walls, strict=True)
    ]
    if all(missed):  # others can only add to it
        return [fail(topic, f"only {seen} {limit}", SEND)]
    if min(excess) <= STRANGER_CORES:
        return [ok(topic, f"{seen} {limit}")]
    quiet = [*found.series("quiet_before"), *found.series("quiet_after")]
    if max(quiet) > STRANGER_CORES:
        reason = f"the machine is busy: other programs use {max(quiet):.2f} cores; {seen}"
        return [unknown(topic, reason, CLOSE)]
    return [fail(topic, f"{seen}, while other programs use {max(quiet):.2f} cores {limit}", SEND)]


def measure_idle(bench: Workbench) -> Measurement:
    """Nothing is done for some seconds."""
    threads = describe.default_threads()
    with bench.known_worker() as known:
        shares = _outside(known.target, IDLE_WINDOWS, "outside_share", "disturbing_s")
    limit = contention.limit(cores=threads, threads=threads)
    figures = {"limit_cores": limit, "threads": float(threads)} | load_figures()
    return measurement("processor idle", {**shares, **figures})


def judge_idle(found: Measurement) -> list[CheckupLine]:
    """The daemons of an idle machine disturb no sample."""
    topic = "an idle machine"
    shares, limit = sorted(found.series("outside_share")), found.number("limit_cores")
    high = shares[max(0, len(shares) - 2)]  # one window may have a daemon's burst
    seen = (
        f"others use {_mean(shares):.2f} cores, at most {high:.2f} (a sample's limit {limit:.2f})"
    )
    if high <= limit:
        return [ok(topic, seen)]
    if is_busy(found) or shares[len(shares) // 2] > 2 * limit:
        reason = f"the machine is not idle: {seen}, load average {found.number('load_average'):.1f}"
        return [unknown(topic, reason, CLOSE)]
    return [fail(topic, f"{seen}: every sample would count as disturbed", SEND)]


def _mean(values: Sequence[float]) -> float:
    if not values:
        raise UnknownFactError("no figures")
    return sum(values) / len(values)
