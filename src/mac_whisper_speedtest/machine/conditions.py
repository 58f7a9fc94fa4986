"""The state of the machine at one moment, and what has changed between two."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from mac_whisper_speedtest.declared import Doc
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.machine import memory, nvml, power
from mac_whisper_speedtest.machine.nvml import Nvml
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt, require

# CPU clocks on Linux.


_CPUFREQ = "/sys/devices/system/cpu/cpu{core}/cpufreq"
_CORES = 8
"""At most this many cores are read: a sample is enough, and reading one may wake it."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Clocks of the cores that were read, in MHz.

    Attributes:
        now_mhz: the highest of them at this moment.
        limit_mhz: the highest that the system allows at present; ``None`` where unknown. Firmware
            and users lower it, because of heat or to save power.
    """

    now_mhz: float
    limit_mhz: float | None


def read_clocks(reader: Reader) -> Clocks | Unknown:
    """The clocks of some of the cores that this process may use.

    The highest counts because idle cores run slowly: between two samples it shows the clock that
    the system allows one core, not the clock under load.
    """
    if reader.macos:
        return Unknown("macOS reports clocks to root only (powermetrics)")
    now, limits = [], []
    for core in sorted(_usable_cores())[:_CORES]:
        folder = _CPUFREQ.format(core=core)
        at = _kilohertz(reader.read(f"{folder}/scaling_cur_freq"))
        limit = _kilohertz(reader.read(f"{folder}/scaling_max_freq"))
        if at is not None:
            now.append(at)
        if limit is not None:
            limits.append(limit)
    if now:
        return Clocks(max(now), max(limits, default=None))
    return cpuinfo_clocks(reader.read("/proc/cpuinfo"))


def _usable_cores() -> Iterable[int]:
    """The cores of this process; all cores if the system has no affinity."""
    affinity = getattr(os, "sched_getaffinity", None)  # a Mac that reads what Linux answered
    return affinity(0) if affinity else range(os.cpu_count() or 1)


def cpuinfo_clocks(text: Answer) -> Clocks | Unknown:
    """The highest clock in /proc/cpuinfo; in a virtual machine it is nominal."""
    if isinstance(text, Unknown):
        return text
    found = [float(each) for each in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)]
    return Clocks(max(found), None) if found else Unknown("this kernel reports no clocks")


def _kilohertz(text: Answer) -> float | None:
    return int(text) / 1000 if isinstance(text, str) and text.isdecimal() else None


T = TypeVar("T")

SWAP_GREW_BYTES = 100_000_000
"""If swap grows by more during a round, memory was short. A Mac swaps while it has memory enough;
there the level of memory pressure judges."""

PRESSURE_SHARE = 0.05
"""Of ten seconds in which a task waited for memory; idle housekeeping stays below it."""

CLOCK_LIMIT_SHARE = 0.05
"""Smaller changes of the clock limit are rounding by the driver."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The state of the machine at one moment; ``None`` where ``unknown`` has the reason.

    Attributes:
        unknown: the reason, by the name of the field that is ``None``.
    """

    load_average_1m: Annotated[
        float | None,
        Doc("threads that ran or waited, over a minute; the worker's are in it", "threads"),
    ] = None
    swap_used_bytes: Annotated[int | None, Doc("in swap", "byte")] = None
    memory_pressure: Annotated[str | None, Doc("macOS: `normal`, `warning` or `critical`")] = None
    memory_stall_share: Annotated[
        float | None,
        Doc("Linux: of the last 10 s, in which some task waited for memory", "fraction"),
    ] = None
    thermal_pressure: Annotated[
        str | None, Doc("macOS: `nominal`, `moderate`, `heavy`, `trapping` or `sleeping`")
    ] = None
    hottest_c: Annotated[float | None, Doc("Linux: the hottest thermal zone", "°C")] = None
    zones_reached: Annotated[
        tuple[str, ...] | None, Doc("Linux: thermal zones at a trip point at which the kernel acts")
    ] = None
    gpu_throttle: Annotated[
        tuple[str, ...] | None,
        Doc(
            "NVIDIA: why GPUs are held back; empty: they are not. Once workers have named "
            "theirs, of those"
        ),
    ] = None
    gpu_clocks_mhz: Annotated[
        tuple[int, ...] | None, Doc("NVIDIA: clocks of the multiprocessors of these GPUs", "MHz")
    ] = None
    cpu_mhz: Annotated[
        float | None, Doc("Linux: the highest clock of up to eight cores at that moment", "MHz")
    ] = None
    cpu_limit_mhz: Annotated[
        float | None, Doc("Linux: the highest clock that the system allows", "MHz")
    ] = None
    power_source: Annotated[str | None, Doc("`mains` or `battery`")] = None
    power_mode: Annotated[str | None, Doc("`low`, `automatic` or `high`")] = None
    unknown: dict[str, str] = field(default_factory=dict)


def read_conditions(reader: Reader | None = None, gpus: Nvml | Unknown | None = None) -> Conditions:
    """The present state of this machine. Never raises, and takes tens of milliseconds.

    On Linux it reads some dozens of files and queries the NVIDIA driver if there is one. On macOS
    it starts three programs of about 10 ms each (pmset twice, sysctl once).

    Args:
        reader: where answers come from; by default this machine.
        gpus: NVIDIA GPUs; by default the instance shared by the whole process.
    """
    reader = reader or Reader()
    unknown: dict[str, str] = {}

    def known(name: str, query: Callable[[], T | Unknown]) -> T | None:
        found = attempt(query)
        if isinstance(found, Unknown):
            unknown[name] = found.reason
            return None
        return found

    library = nvml.shared() if gpus is None else gpus
    zones = _zones(reader)
    clock = attempt(lambda: read_clocks(reader))
    swap, pressure, stall = _mac_memory(reader) if reader.macos else _linux_memory(reader)
    no_limit = Unknown("this kernel reports no clock limit")
    return Conditions(
        load_average_1m=known("load_average_1m", lambda: os.getloadavg()[0]),
        swap_used_bytes=known("swap_used_bytes", lambda: swap),
        memory_pressure=known("memory_pressure", lambda: pressure),
        memory_stall_share=known("memory_stall_share", lambda: stall),
        thermal_pressure=known("thermal_pressure", lambda: _thermal_pressure(reader)),
        hottest_c=known("hottest_c", lambda: max(zone.celsius for zone in require(zones))),
        zones_reached=known("zones_reached", lambda: _reached(require(zones))),
        gpu_throttle=known("gpu_throttle", lambda: require(library).throttled()),
        gpu_clocks_mhz=known("gpu_clocks_mhz", lambda: require(library).sm_clocks_mhz()),
        cpu_mhz=known("cpu_mhz", lambda: require(clock).now_mhz),
        cpu_limit_mhz=known("cpu_limit_mhz", lambda: require(clock).limit_mhz or no_limit),
        power_source=known(
            "power_source",
            lambda: "battery" if require(power.supply(reader)).battery else "mains",
        ),
        power_mode=known("power_mode", lambda: require(power.power_mode(reader)).mode),
        unknown=unknown,
    )


_Memory = tuple[int | Unknown, str | Unknown, float | Unknown]
"""Swap in use, pressure, and the share of time in which a task waited for memory."""


def _linux_memory(reader: Reader) -> _Memory:
    pressure = Unknown("Linux has no such level; see memory_stall_share")
    stall = memory.linux_pressure(reader.read("/proc/pressure/memory"))
    return memory.swap_used(reader), pressure, stall


def _mac_memory(reader: Reader) -> _Memory:
    stall = Unknown("macOS does not measure it; see memory_pressure")
    answer = reader.sysctl("kern.memorystatus_vm_pressure_level", "vm.swapusage")
    if isinstance(answer, Unknown):
        return answer, answer, stall
    level, _, swap = answer.partition("\n")
    return memory.macos_swap(swap), memory.macos_pressure(level), stall


def _thermal_pressure(reader: Reader) -> str | Unknown:
    if not reader.macos:
        return Unknown("Linux has no such level; see zones_reached")
    return power.level_name(attempt(power.pressure_level))


def _zones(reader: Reader) -> list[power.Zone] | Unknown:
    if reader.macos:
        return Unknown("macOS reports no thermal zones; see thermal_pressure")
    zones = power.connected(power.zones(reader))
    return zones or Unknown("this kernel reports no thermal zones")


def _reached(zones: list[power.Zone]) -> tuple[str, ...]:
    return tuple(zone.name for zone in zones if zone.reached("passive", "hot", "critical"))


def changed(before: Conditions, after: Conditions) -> list[str]:
    """What became worse or different between two moments, in words.

    A value that is unknown on either side is not a change, and neither is the load average, which
    includes the measured worker.
    """
    return [
        *_became("power", before.power_source, after.power_source),
        *_became("power mode", before.power_mode, after.power_mode),
        *_became("thermal pressure", before.thermal_pressure, after.thermal_pressure),
        *_became("memory pressure", before.memory_pressure, after.memory_pressure),
        *_new("thermal limit reached", before.zones_reached, after.zones_reached),
        *_new("GPU held back", before.gpu_throttle, after.gpu_throttle),
        *_figures(before, after),
    ]


def _figures(before: Conditions, after: Conditions) -> list[str]:
    words = []
    grew = _difference(before.swap_used_bytes, after.swap_used_bytes)
    if grew is not None and grew > SWAP_GREW_BYTES and after.memory_pressure is None:
        words.append(f"swap grew by {megabytes(grew)}")
    stall = after.memory_stall_share
    was = before.memory_stall_share
    if stall is not None and stall > PRESSURE_SHARE and (was is None or was <= PRESSURE_SHARE):
        words.append(f"tasks waited for memory in {100 * stall:.0f} % of 10 s")
    old, new = before.cpu_limit_mhz, after.cpu_limit_mhz
    if old and new and abs(new - old) > CLOCK_LIMIT_SHARE * old:
        words.append(f"clock limit: {old:.0f} -> {new:.0f} MHz")
    return words


def _became(what: str, before: str | None, after: str | None) -> list[str]:
    if before is None or after is None or before == after:
        return []
    return [f"{what}: {before} -> {after}"]


def _new(what: str, before: tuple[str, ...] | None, after: tuple[str, ...] | None) -> list[str]:
    if before is None or after is None:
        return []
    return [f"{what}: {name}" for name in after if name not in before]


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
