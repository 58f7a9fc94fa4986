"""Load, power, heat and memory: what on this machine makes numbers noisy or wrong."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import psutil

from mac_whisper_speedtest.doctor.lines import CheckupLine, fail, ok, unknown, warn
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.machine import cgroup, energy, host, power
from mac_whisper_speedtest.machine.energy import Counts
from mac_whisper_speedtest.machine.memory import (
    linux_pressure,
    linux_swap,
    macos_pressure,
    macos_swap,
    meminfo_bytes,
)
from mac_whisper_speedtest.machine.power import (
    LEVELS,
    LOW,
    PowerMode,
    Supply,
    Zone,
    connected,
    level_name,
    pressure_level,
    zones,
)
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt

WINDOW_S = 0.5
"""Fifty of the ticks in which Linux counts processor time."""

BUSY_SHARE = 0.10
"""Of all cores. A backend with a thread on every core loses at least this share."""

LOAD_PER_CORE = 0.5
"""Load average over one minute. Idle desktop programs stay below half a runnable thread per core;
the average also shows work that has just ended, such as indexing or a backup."""

STALLED_SHARE = 0.05
"""Of ten seconds in which a thread waited for a core."""

_NAMED = 3  # programs
_WORTH_NAMING_CORES = 0.05  # shown as 0.1
_OWN_PROGRAMS = {"ps"}


@dataclass(frozen=True, slots=True)
class Load:
    """Work of other programs.

    Attributes:
        busy: the share of all cores in use during the window, 0 to 1.
        average: the load average over one minute.
        cores: logical cores.
        busiest: program names and the cores each used, in descending order.
    """

    busy: float | Unknown
    average: float | Unknown
    cores: int
    busiest: tuple[tuple[str, float], ...]


def inspect_load(reader: Reader) -> list[CheckupLine]:
    """The lines about other work. Takes `WINDOW_S`; start nothing else meanwhile."""
    pressure = None if reader.macos else reader.read("/proc/pressure/cpu")
    lines = [judge_load(_observe(reader))]
    return lines if pressure is None else [*lines, judge_stalls(pressure)]


def judge_load(load: Load) -> CheckupLine:
    """Whether other programs use so much that it affects the numbers."""
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
    which = f"close {load.busiest[0][0]}" if load.busiest else "wait until the machine is quiet"
    return warn(topic, text, f"{which}, then: speedtest doctor")


def judge_stalls(pressure: Answer) -> CheckupLine:
    """Whether threads wait for a core, from /proc/pressure/cpu."""
    topic = "waiting for a core"
    share = linux_pressure(pressure)
    if isinstance(share, Unknown):
        return unknown(topic, share.reason)
    seen = f"{100 * share:g} % of the last 10 s"
    if share > STALLED_SHARE:
        return warn(topic, seen, "wait until the machine is quiet, then: speedtest doctor")
    return ok(topic, seen)


def busiest(used: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """The names of the busiest programs, with the cores that all processes of each use together."""
    totals: dict[str, float] = {}
    for title, cores in used:
        # Some programs append their current task and its user to their name, after a colon.
        name = title.rpartition("/")[2].partition(":")[0].strip()
        if name and name not in _OWN_PROGRAMS:
            totals[name] = totals.get(name, 0.0) + cores
    ranked = sorted(totals.items(), key=lambda item: -item[1])
    return tuple(item for item in ranked[:_NAMED] if item[1] >= _WORTH_NAMING_CORES)


def parse_ps(text: Answer) -> list[tuple[str, float]]:
    """Names and cores used, from the lines of ``ps -A -c -o pcpu=,comm=``."""
    if isinstance(text, Unknown):
        return []
    found = re.findall(r"^\s*(\d+(?:[.,]\d+)?)\s+(\S.*?)\s*$", text, re.MULTILINE)
    return [(name, float(percent.replace(",", ".")) / 100) for percent, name in found]


def _observe(reader: Reader) -> Load:
    began = time.monotonic()
    before = {} if reader.macos else _times()
    busy = attempt(lambda: float(psutil.cpu_percent(interval=WINDOW_S)) / 100)
    if reader.macos:
        # psutil sees only the user's processes there; ps sees all, including Spotlight.
        used = parse_ps(reader.run(["/bin/ps", "-A", "-c", "-o", "pcpu=,comm="]))
    else:
        used = _used(before, _times(), time.monotonic() - began)
    return Load(
        busy=busy,
        average=attempt(lambda: os.getloadavg()[0]),
        cores=psutil.cpu_count() or 1,
        busiest=busiest(used),
    )


_Times = Mapping[tuple[int, float], tuple[str, float]]
"""Program name and processor seconds used, by process id and start time."""


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


# Power source, power mode, CPU governor and priority.


_INSTALL = ": python -m pip install"
_CPU = "/sys/devices/system/cpu"
_PLUG_IN = "plug the power adapter in, then: speedtest doctor"
_SCALES_BY_LOAD = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")
"""Drivers whose "powersave" governor still follows the load, unlike that of all others."""


def inspect_power(reader: Reader) -> list[CheckupLine]:
    """The lines about power."""
    lines = [
        judge_supply(power.supply(reader)),
        judge_power_mode(power.power_mode(reader)),
        judge_priority(host.slowdown_warnings(macos=reader.macos)),
    ]
    if reader.macos:
        return lines
    governors = [
        reader.read(path) for path in reader.matching(f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor")
    ]
    return [*lines, judge_governor(governors, reader.read(f"{_CPU}/cpu0/cpufreq/scaling_driver"))]


def judge_governor(governors: Sequence[Answer], driver: Answer) -> CheckupLine:
    """Which governor sets the CPU frequency, and whether it saves power."""
    topic = "cpu governor"
    names = sorted({each for each in governors if isinstance(each, str) and each})
    if not names:
        return unknown(topic, "this kernel reports no frequency governor")
    by = f" ({driver})" if isinstance(driver, str) and driver else ""
    seen = f"{', '.join(names)}{by}"
    if "powersave" in names:
        if isinstance(driver, str) and driver in _SCALES_BY_LOAD:
            seen += ": clocks follow the load with a delay"
        else:
            seen += ": the lowest frequency"
        return warn(topic, seen, "sudo cpupower frequency-set -g performance")
    return ok(topic, seen)


def judge_supply(found: Supply | Unknown) -> CheckupLine:
    """Whether the machine runs on battery."""
    topic = "power source"
    if isinstance(found, Unknown):
        return unknown(topic, found.reason)
    if found.battery:
        return warn(topic, f"{found.seen}: the system may slow itself down", _PLUG_IN)
    return ok(topic, found.seen)


def judge_power_mode(found: PowerMode | Unknown) -> CheckupLine:
    """Whether the system saves power, and the command that ends it."""
    topic = "power mode"
    if isinstance(found, Unknown):
        return unknown(topic, found.reason)
    if found.mode != LOW:
        return ok(topic, found.seen)
    if found.setting == "platform profile":
        return warn(topic, found.seen, "powerprofilesctl set performance")
    return warn(topic, found.seen, f"sudo pmset -a {found.setting} 0")


def judge_priority(slowdowns: Sequence[str]) -> CheckupLine:
    """Whether other programs go before this tool and its workers, which inherit its priority."""
    if not slowdowns:
        return ok("priority", "the same as other programs")
    return warn("priority", "; ".join(slowdowns), "start the tool from a terminal")


def inspect_energy(reader: Reader) -> list[CheckupLine]:
    """The line about energy; on a Mac it starts a process that tries the counters."""
    counters = energy.available_counters(reader)
    return [judge_energy({each.name: attempt(each.read) for each in counters})]


def judge_energy(counters: Mapping[str, Counts | Unknown]) -> CheckupLine:
    """Whether a run will have figures of energy, and what to install if that is all it takes."""
    known = [name for each in counters.values() if not isinstance(each, Unknown) for name in each]
    if known:
        return ok("energy", f"can be measured: {', '.join(known)}")
    reasons = [each.reason for each in counters.values() if isinstance(each, Unknown)]
    install = next((each for each in reasons if _INSTALL in each), "")
    if install:
        seen, _, then = install.partition(": ")
        return warn("energy", f"cannot be measured: {seen}", then)
    return ok("energy", f"cannot be measured: {'; '.join(reasons)}")


# Heat: whether the machine slows itself down.


_HEAVY = LEVELS.index("heavy")
"""From this level on macOS throttles the whole processor, not only background work."""

_COOL_DOWN = "let it cool down for some minutes, then: speedtest doctor"


def inspect_thermal(reader: Reader) -> list[CheckupLine]:
    """The line about heat."""
    if reader.macos:
        return [
            judge_macos_heat(attempt(pressure_level), reader.run(["/usr/bin/pmset", "-g", "therm"]))
        ]
    return [judge_linux_heat(zones(reader))]


def judge_macos_heat(level: int | Unknown, therm: Answer) -> CheckupLine:
    """Judge the thermal pressure level and, mostly for Intel Macs, ``pmset -g therm``.

    On Apple silicon pmset often reports nothing while the chip is throttled, so an empty report
    proves nothing.

    Args:
        level: 0 nominal, 1 moderate, 2 heavy, 3 trapping, 4 sleeping.
        therm: the text of ``pmset -g therm``.
    """
    topic = "thermal state"
    limit = None
    if isinstance(therm, str):
        limit = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", therm)
    limited = limit is not None and int(limit[1]) < 100
    speed = f"the processor is limited to {limit[1]} % of its speed" if limit and limited else ""
    if isinstance(level, Unknown):
        return warn(topic, speed, _COOL_DOWN) if speed else unknown(topic, level.reason)
    name = level_name(level)
    if isinstance(name, Unknown):
        return unknown(topic, name.reason)
    seen = "; ".join(filter(None, (name, speed)))
    if level >= _HEAVY:
        return fail(topic, f"{seen}: the machine is slowing itself down", _COOL_DOWN)
    if level > 0 or speed:
        return warn(topic, seen, _COOL_DOWN)
    return ok(topic, seen)


def judge_linux_heat(found: Sequence[Zone]) -> CheckupLine:
    """The hottest zone, and which trip points have been reached."""
    topic = "thermal state"
    valid = connected(found)
    if not valid:
        return unknown(topic, "this kernel reports no thermal zones")
    for zone in valid:
        if zone.reached("hot", "critical"):
            return fail(topic, f"{_shown(zone)}: emergency measures", _COOL_DOWN)
    for zone in valid:
        if zone.reached("passive"):
            return warn(topic, f"{_shown(zone)}: the kernel slows it down", _COOL_DOWN)
    return ok(topic, f"hottest: {_shown(max(valid, key=lambda zone: zone.celsius))}")


def _shown(zone: Zone) -> str:
    return f"{zone.name} at {zone.celsius:.0f} °C"


# Memory and swap.


LOW_MEMORY_BYTES = 2_000_000_000
"""With less available, a worker with the model small (1 GB in float32, plus its library) displaces
other programs."""

SWAP_IN_USE_BYTES = 1_000_000_000
"""More than this in swap means that memory was short. A healthy system also swaps out some memory
that it never needs again."""

_CLOSE_PROGRAMS = "close programs that hold memory, then: speedtest doctor"


def inspect_memory(reader: Reader) -> list[CheckupLine]:
    """The lines about memory."""
    if reader.macos:
        total = reader.sysctl("hw.memsize")
        pressure = macos_pressure(reader.sysctl("kern.memorystatus_vm_pressure_level"))
        return [
            judge_memory(
                total=int(total) if isinstance(total, str) and total.isdecimal() else total,
                available=attempt(lambda: int(psutil.virtual_memory().available)),
                pressure=pressure,
            ),
            judge_swap(macos_swap(reader.sysctl("vm.swapusage")), pressure),
        ]
    meminfo = reader.read("/proc/meminfo")
    return [
        judge_memory(
            total=meminfo_bytes(meminfo, "MemTotal"),
            available=meminfo_bytes(meminfo, "MemAvailable"),
            limit=cgroup.memory_limit(reader),
        ),
        judge_swap(linux_swap(meminfo)),
    ]


def judge_memory(
    *,
    total: int | str | Unknown,
    available: int | Unknown,
    limit: float | None = None,
    pressure: str | Unknown = "",
) -> CheckupLine:
    """How much memory there is, and how much of it is available now.

    Args:
        total: bytes of the machine; a text that is not a number is treated as no answer.
        available: bytes that can be allocated without swapping.
        limit: bytes that the control group allows; ``None`` for no limit.
        pressure: macOS's own level: normal, warning or critical.
    """
    if isinstance(total, Unknown):
        return unknown("memory", total.reason)
    if isinstance(total, str):
        return unknown("memory", "the system does not report its size")
    seen = megabytes(total)
    room = available if isinstance(available, int) else None
    if isinstance(available, int):
        seen += f", {megabytes(available)} available"
    if limit is not None and limit < total:
        seen += f"; the control group allows {megabytes(int(limit))}"
        room = min(int(limit), total if room is None else room)
    if pressure in ("warning", "critical"):
        return warn("memory", f"{seen}; memory pressure: {pressure}", _CLOSE_PROGRAMS)
    if room is not None and room < LOW_MEMORY_BYTES:
        return warn("memory", f"{seen}: too little for larger models", _CLOSE_PROGRAMS)
    return ok("memory", seen)


def judge_swap(used: int | Unknown, pressure: str | Unknown = "") -> CheckupLine:
    """Whether memory was short: by the bytes in swap, on macOS by its level of memory pressure.

    A Mac with memory enough keeps gigabytes in swap that are never needed again.
    """
    if isinstance(used, Unknown):
        return unknown("swap", used.reason)
    seen = f"{megabytes(used)} in use"
    if isinstance(pressure, Unknown):
        return unknown("swap", f"{seen}; memory pressure: {pressure.reason}")
    if pressure:
        seen += f"; memory pressure: {pressure}"
    if pressure in ("warning", "critical") or (not pressure and used > SWAP_IN_USE_BYTES):
        return warn("swap", seen, _CLOSE_PROGRAMS)
    return ok("swap", seen)
