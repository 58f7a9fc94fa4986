"""How fast the processor's cores run at this moment, as Linux says it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

_CPUFREQ = "/sys/devices/system/cpu/cpu{core}/cpufreq"
_CORES = 8
"""No more than these are asked: reading one may wake it, and they are a sample of the machine."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Clocks of the cores that were asked, in MHz.

    Attributes:
        now_mhz: the highest of them at this moment.
        limit_mhz: the highest that the system allows at present; ``None`` where it does not say.
            Firmware and users lower it, for heat or to save power.
    """

    now_mhz: float
    limit_mhz: float | None


def look(reader: Reader) -> Clocks | Unknown:
    """Ask some of the cores this process may use.

    The highest is given because idle cores run slowly: between two samples it tells what the system
    lets one core do, not what it does under load.
    """
    if reader.macos:
        return Unknown("macOS tells clocks to root alone (powermetrics)")
    now, limits = [], []
    for core in sorted(os.sched_getaffinity(0))[:_CORES]:
        folder = _CPUFREQ.format(core=core)
        at = _kilohertz(reader.read(f"{folder}/scaling_cur_freq"))
        limit = _kilohertz(reader.read(f"{folder}/scaling_max_freq"))
        if at is not None:
            now.append(at)
        if limit is not None:
            limits.append(limit)
    if now:
        return Clocks(max(now), max(limits, default=None))
    return of_cpuinfo(reader.read("/proc/cpuinfo"))


def of_cpuinfo(text: Answer) -> Clocks | Unknown:
    """The highest clock in /proc/cpuinfo; a virtual machine shows a nominal one there."""
    if isinstance(text, Unknown):
        return text
    found = [float(each) for each in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)]
    return Clocks(max(found), None) if found else Unknown("this kernel shows no clocks")


def _kilohertz(text: Answer) -> float | None:
    return int(text) / 1000 if isinstance(text, str) and text.isdecimal() else None
