"""Whether the machine runs on mains, and at the speed it could."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mac_whisper_speedtest.doctor.lines import Line, ok, unknown, warn
from mac_whisper_speedtest.machine import power
from mac_whisper_speedtest.machine.power import LowPower, Supply
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

_CPU = "/sys/devices/system/cpu"
_PLUG_IN = "plug the power adapter in, then: speedtest doctor"
_SCALES_BY_LOAD = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")
"""Drivers whose "powersave" still follows the load, unlike that of all others."""


def look(reader: Reader) -> list[Line]:
    """The lines about power."""
    lines = [_source(power.supply(reader)), _low_power(power.low_power(reader))]
    if reader.macos:
        return lines
    governors = [
        reader.read(path) for path in reader.matching(f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor")
    ]
    return [*lines, governor(governors, reader.read(f"{_CPU}/cpu0/cpufreq/scaling_driver"))]


def macos_source(text: Answer) -> Line:
    """Mains or battery, from what ``pmset -g batt`` prints."""
    return _source(power.macos_supply(text))


def linux_source(supplies: Mapping[str, Mapping[str, str]], *, known: bool) -> Line:
    """Mains or battery, from /sys/class/power_supply.

    Args:
        supplies: the files of each supply, by its name.
        known: whether the system has that folder at all.
    """
    return _source(power.linux_supply(supplies, known=known))


def macos_low_power(text: Answer) -> Line:
    """Whether Low Power Mode is on, from what ``pmset -g`` prints."""
    return _low_power(power.macos_low_power(text))


def linux_low_power(profile: Answer) -> Line:
    """Whether the firmware was told to save power."""
    return _low_power(power.linux_low_power(profile))


def governor(governors: Sequence[Answer], driver: Answer) -> Line:
    """Who chooses the processor's frequency, and whether it was told to choose a low one."""
    topic = "cpu governor"
    names = sorted({each for each in governors if isinstance(each, str) and each})
    if not names:
        return unknown(topic, "this kernel shows no frequency governor")
    by = f" ({driver})" if isinstance(driver, str) and driver else ""
    seen = f"{', '.join(names)}{by}"
    if "powersave" in names:
        if isinstance(driver, str) and driver in _SCALES_BY_LOAD:
            seen += ": clocks rise with the load, and late"
        else:
            seen += ": the lowest frequency"
        return warn(topic, seen, "sudo cpupower frequency-set -g performance")
    return ok(topic, seen)


def _source(found: Supply | Unknown) -> Line:
    topic = "power source"
    if isinstance(found, Unknown):
        return unknown(topic, found.reason)
    if found.battery:
        return warn(topic, f"{found.seen}: the system may slow itself down", _PLUG_IN)
    return ok(topic, found.seen)


def _low_power(found: LowPower | Unknown) -> Line:
    topic = "low-power mode"
    if isinstance(found, Unknown):
        return unknown(topic, found.reason)
    if not found.on:
        return ok(topic, found.seen)
    if found.setting == "platform profile":
        return warn(topic, found.seen, "powerprofilesctl set performance")
    return warn(topic, found.seen, f"sudo pmset -a {found.setting} 0")
