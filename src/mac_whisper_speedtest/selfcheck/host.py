"""The system around a measurement: durable writes, clocks, staying awake, the cost of looking."""

from __future__ import annotations

import fcntl
import os
import statistics
import time
from collections.abc import Callable

from mac_whisper_speedtest import files, paths
from mac_whisper_speedtest.doctor.lines import CheckupLine, fail, ok, unknown
from mac_whisper_speedtest.machine import conditions, cpu, host
from mac_whisper_speedtest.selfcheck.bench import (
    CLOSE,
    SEND,
    Figures,
    Workbench,
    is_busy,
    load_figures,
    measurement,
    not_measured,
)
from mac_whisper_speedtest.selfcheck.kit import Measurement

_WRITES = 20
_LOOKS = 5
LONGEST_SYNC_S = 0.1
"""One is written between two samples; a drive that takes longer makes runs long, not wrong."""
COARSEST_CLOCK_S = 1e-4
"""A tenth of a thousandth of a call of a second."""
LONGEST_LOOK_S = {"conditions": 1.0, "tree": 0.1, "kill": 2.0}
"""The readings around rounds, around every sample, and at the end of every worker."""
_TICKS = 1000


def _median_s(action: Callable[[], object], times: int) -> float:
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def measure_durability(bench: Workbench) -> Measurement:  # noqa: ARG001 - where the runs are
    """Write and wait for the disk where runs are kept, as the journal does."""
    folder = paths.data_dir()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".selfcheck-{os.getpid()}"
    try:
        with path.open("wb", buffering=0) as stream:

            def write(sync: Callable[[int], None]) -> None:
                stream.write(bytes(600))  # a line of the journal
                sync(stream.fileno())

            figures: Figures = {
                "fsync_s": _median_s(lambda: write(os.fsync), _WRITES),
                "sync_s": _median_s(lambda: write(files.sync), _WRITES),
            }
    finally:
        path.unlink(missing_ok=True)
    figures["full"] = float(hasattr(fcntl, "F_FULLFSYNC"))
    return measurement("durability", figures)


def judge_durability(found: Measurement) -> list[CheckupLine]:
    """A line of the journal is on the disk in reasonable time."""
    fsync, sync = found.number("fsync_s"), found.number("sync_s")
    seen = f"{1000 * sync:.1f} ms per line (limit {1000 * LONGEST_SYNC_S:g})"
    if found.number("full"):
        seen += f", fsync alone {1000 * fsync:.1f} ms"
    if sync > LONGEST_SYNC_S:
        return [unknown("durable lines", f"the drive is slow: {seen}", "keep runs elsewhere")]
    return [ok("durable lines", seen)]


def measure_clock(bench: Workbench) -> Measurement:  # noqa: ARG001 - the interpreter's
    """The smallest step of the clock that times samples."""
    steps = []
    for _ in range(_TICKS):
        began = now = time.perf_counter()
        while now == began:
            now = time.perf_counter()
        steps.append(now - began)
    figures: Figures = {
        "step_s": min(steps),
        "resolution_s": time.get_clock_info("perf_counter").resolution,
        "tick_s": 1 / os.sysconf("SC_CLK_TCK"),
    }
    return measurement("clock", figures)


def judge_clock(found: Measurement) -> list[CheckupLine]:
    """It is finer than anything that is timed."""
    step = found.number("step_s")
    seen = f"{1e9 * step:.0f} ns (limit {1e9 * COARSEST_CLOCK_S:g})"
    if step > COARSEST_CLOCK_S:
        return [fail("clock", f"coarse: {seen}", SEND)]
    return [ok("clock", seen)]


def measure_cost(bench: Workbench) -> Measurement:
    """The time to read the machine's and a worker's state, and to kill a worker."""
    with bench.known_worker() as known:
        pid = known.worker.pid
        looked = _median_s(lambda: conditions.read_conditions(bench.reader), _LOOKS)
        tree = _median_s(lambda: cpu.tree_cpu_s(pid), _LOOKS)
        kill = _median_s(known.worker.kill, 1)
    spent: Figures = {"conditions": looked, "tree": tree, "kill": kill}
    return measurement("cost", {**spent, **load_figures()})


def judge_cost(found: Measurement) -> list[CheckupLine]:
    """None of it takes so long that runs suffer."""
    lines = []
    for name, limit in LONGEST_LOOK_S.items():
        topic, spent = f"cost of {name}", found.number(name)
        seen = f"{1000 * spent:.1f} ms (limit {1000 * limit:g})"
        if spent <= limit:
            lines.append(ok(topic, seen))
        elif is_busy(found):
            lines.append(unknown(topic, f"the machine is busy: {seen}", CLOSE))
        else:
            lines.append(fail(topic, seen, SEND))
    return lines


def measure_awake(bench: Workbench) -> Measurement:
    """What the system reports of sleep while a run keeps it awake."""
    if not bench.reader.macos:
        return not_measured("awake", "only macOS has caffeinate")
    with host.caffeinate():
        time.sleep(0.2)  # for the program to start
        listed = bench.reader.run(["/usr/bin/pmset", "-g", "assertions"])
    return measurement("awake", {"assertions": listed})


def judge_awake(found: Measurement) -> list[CheckupLine]:
    """An assertion of caffeinate's forbids idle sleep."""
    own = [line for line in found.text("assertions").splitlines() if "caffeinate" in line]
    if any("PreventUserIdleSystemSleep" in line for line in own):
        return [ok("staying awake", f"caffeinate holds {len(own)} assertions")]
    seen = "pmset -g assertions has none of caffeinate's: the Mac may fall asleep in a run"
    return [fail("staying awake", seen, SEND)]
