"""What else this machine is doing: every core that others use is one that a backend waits for."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import psutil

from mac_whisper_speedtest.doctor.lines import Line, ok, unknown, warn
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt

WINDOW_S = 0.5
"""Long enough for fifty of the ticks that Linux counts processor time in."""

BUSY_SHARE = 0.10
"""Of all cores. A backend with a thread on every core loses at least this much to others."""

LOAD_PER_CORE = 0.5
"""Of the load average over a minute. Half a waiting thread per core is more than a desktop's idle
programs make; it also shows work that came and went, such as an index or a backup."""

STALLED_PERCENT = 5.0
"""Of ten seconds in which some thread waited for a processor (Linux, Documentation/accounting/psi).
"""

_NAMED = 3  # processes
_WORTH_NAMING_CORES = 0.05  # that is shown as 0.1
_PROGRAMS_OF_ITS_OWN = {"ps"}


@dataclass(frozen=True, slots=True)
class Load:
    """What was seen of other programs' work.

    Attributes:
        busy: the share of all cores in use during the window, 0 to 1.
        average: the load average over one minute.
        cores: logical cores.
        busiest: programs' names and how many cores each used, the busiest first.
    """

    busy: float | Unknown
    average: float | Unknown
    cores: int
    busiest: tuple[tuple[str, float], ...]


def look(reader: Reader) -> list[Line]:
    """The lines about other work. Takes `WINDOW_S`, in which nothing else should be started."""
    pressure = None if reader.macos else reader.read("/proc/pressure/cpu")
    lines = [background(_observe(reader))]
    return lines if pressure is None else [*lines, stalls(pressure)]


def background(load: Load) -> Line:
    """Whether other programs take so much that it shows in the numbers."""
    topic = "background load"
    if isinstance(load.busy, Unknown) and isinstance(load.average, Unknown):
        return unknown(topic, load.busy.reason)
    seen = []
    noisy = False
    if isinstance(load.busy, float):
        seen.append(f"{load.busy:.0%} of {load.cores} cores busy".replace("%", " %"))
        noisy = load.busy > BUSY_SHARE
    if isinstance(load.average, float):
        seen.append(f"load average {load.average:.1f}")
        noisy = noisy or load.average > LOAD_PER_CORE * load.cores
    if load.busiest:
        named = ", ".join(f"{name} ({cores:.1f} cores)" for name, cores in load.busiest)
        seen.append(f"busiest: {named}")
    text = "; ".join(seen)
    if not noisy:
        return ok(topic, text)
    which = f"end {load.busiest[0][0]}" if load.busiest else "wait until it is quiet"
    return warn(topic, text, f"{which}, then: speedtest doctor")


def stalls(pressure: Answer) -> Line:
    """Whether threads wait for a processor, from /proc/pressure/cpu."""
    topic = "waiting for a core"
    if isinstance(pressure, Unknown):
        return unknown(topic, pressure.reason)
    found = re.search(r"^some avg10=([\d.]+)", pressure, re.MULTILINE)
    if not found:
        return unknown(topic, "/proc/pressure/cpu does not say")
    percent = float(found[1])
    seen = f"{percent:g} % of the last 10 s"
    if percent > STALLED_PERCENT:
        return warn(topic, seen, "wait until it is quiet, then: speedtest doctor")
    return ok(topic, seen)


def busiest(used: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """The names of the busiest programs, and how many cores all their processes use together."""
    totals: dict[str, float] = {}
    for title, cores in used:
        # Some programs write what they are at, and for whom, behind their name.
        name = title.rpartition("/")[2].partition(":")[0].strip()
        if name and name not in _PROGRAMS_OF_ITS_OWN:
            totals[name] = totals.get(name, 0.0) + cores
    ranked = sorted(totals.items(), key=lambda item: -item[1])
    return tuple(item for item in ranked[:_NAMED] if item[1] >= _WORTH_NAMING_CORES)


def of_ps(text: Answer) -> list[tuple[str, float]]:
    """Names and cores, from lines of percent and name (``ps -A -c -o pcpu=,comm=``)."""
    if isinstance(text, Unknown):
        return []
    found = re.findall(r"^\s*(\d+(?:[.,]\d+)?)\s+(\S.*?)\s*$", text, re.MULTILINE)
    return [(name, float(percent.replace(",", ".")) / 100) for percent, name in found]


def _observe(reader: Reader) -> Load:
    began = time.monotonic()
    before = {} if reader.macos else _times()
    busy = attempt(lambda: float(psutil.cpu_percent(interval=WINDOW_S)) / 100)
    if reader.macos:
        # psutil sees only the user's own processes there; ps may see all, Spotlight among them.
        used = of_ps(reader.run(["/bin/ps", "-A", "-c", "-o", "pcpu=,comm="]))
    else:
        used = _used(before, _times(), time.monotonic() - began)
    return Load(
        busy=busy,
        average=attempt(lambda: os.getloadavg()[0]),
        cores=psutil.cpu_count() or 1,
        busiest=busiest(used),
    )


_Times = Mapping[tuple[int, float], tuple[str, float]]
"""A program's name and the seconds it has computed, by process id and time of start."""


def _times() -> _Times:
    found: dict[tuple[int, float], tuple[str, float]] = {}
    for process in psutil.process_iter(["name", "create_time", "cpu_times"]):
        facts = process.info
        if process.pid != os.getpid() and facts["cpu_times"] and facts["name"]:
            spent = facts["cpu_times"].user + facts["cpu_times"].system
            found[process.pid, facts["create_time"]] = (facts["name"], spent)
    return found


def _used(before: _Times, after: _Times, seconds: float) -> list[tuple[str, float]]:
    return [
        (name, (spent - before[process][1]) / seconds)
        for process, (name, spent) in after.items()
        if process in before
    ]
