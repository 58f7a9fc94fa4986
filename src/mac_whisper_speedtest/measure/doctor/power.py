"""Where the power comes from, and whether the system has been told to save it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mac_whisper_speedtest.measure.doctor.lines import Line, ok, unknown, warn
from mac_whisper_speedtest.measure.doctor.reader import Answer, Reader, Unknown

_PMSET = "/usr/bin/pmset"
_SUPPLIES = "/sys/class/power_supply"
_CPU = "/sys/devices/system/cpu"
_PLUG_IN = "plug the power adapter in, then: speedtest doctor"
_POWER_MODES = {"0": "automatic", "1": "low power", "2": "high power"}
_SCALES_BY_LOAD = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")
"""Drivers whose "powersave" still follows the load, unlike that of all others."""


def look(reader: Reader) -> list[Line]:
    """The lines about power."""
    if reader.macos:
        return [
            macos_source(reader.run([_PMSET, "-g", "batt"])),
            macos_low_power(reader.run([_PMSET, "-g"])),
        ]
    supplies = {
        folder.rpartition("/")[2]: {
            name: text
            for name in ("type", "scope", "online", "status", "capacity")
            if isinstance(text := reader.read(f"{folder}/{name}"), str)
        }
        for folder in reader.matching(f"{_SUPPLIES}/*")
    }
    governors = [
        reader.read(path) for path in reader.matching(f"{_CPU}/cpu[0-9]*/cpufreq/scaling_governor")
    ]
    return [
        linux_source(supplies, known=reader.exists(_SUPPLIES)),
        linux_low_power(reader.read("/sys/firmware/acpi/platform_profile")),
        governor(governors, reader.read(f"{_CPU}/cpu0/cpufreq/scaling_driver")),
    ]


def macos_source(text: Answer) -> Line:
    """Mains or battery, from what ``pmset -g batt`` prints."""
    if isinstance(text, Unknown):
        return unknown("power source", text.reason)
    found = re.search(r"drawing from '([^']+)'", text)
    if not found:
        return unknown("power source", "pmset does not name it")
    charge = re.search(r"(\d+)%", text)
    seen = found[1] + (f", battery at {charge[1]} %" if charge else "")
    return ok("power source", seen) if found[1] == "AC Power" else _on_battery(seen)


def linux_source(supplies: Mapping[str, Mapping[str, str]], *, known: bool) -> Line:
    """Mains or battery, from /sys/class/power_supply.

    Args:
        supplies: the files of each supply, by its name.
        known: whether the system has that folder at all.
    """
    topic = "power source"
    if not known:
        return unknown(topic, f"there is no {_SUPPLIES}")
    # A mouse has a battery too; its scope is "Device".
    own = [each for each in supplies.values() if each.get("scope") != "Device"]
    batteries = [each for each in own if each.get("type") == "Battery"]
    mains = [each for each in own if each.get("type") in {"Mains", "USB"}]
    if not batteries:
        return ok(topic, "no battery in this machine")
    charges = [f"{each['capacity']} %" for each in batteries if "capacity" in each]
    seen = f", battery at {' and '.join(charges)}" if charges else ""
    if any(each.get("status") == "Discharging" for each in batteries):
        return _on_battery(f"battery power{seen}")
    if mains and all(each.get("online") == "0" for each in mains):
        return _on_battery(f"battery power{seen}")
    if any(each.get("online") == "1" for each in mains) or any(
        each.get("status") in {"Charging", "Full", "Not charging"} for each in batteries
    ):
        return ok(topic, f"mains{seen}")
    return unknown(topic, "neither the battery nor the adapter says")


def macos_low_power(text: Answer) -> Line:
    """Whether Low Power Mode is on, from the settings in use that ``pmset -g`` prints.

    Macs that have a High Power Mode print ``powermode`` in place of ``lowpowermode`` or beside it.
    """
    topic = "low-power mode"
    if isinstance(text, Unknown):
        return unknown(topic, text.reason)
    settings = dict(re.findall(r"^\s*(lowpowermode|powermode)\s+(\d)", text, re.MULTILINE))
    if settings.get("lowpowermode") == "1":
        return warn(topic, "on", "sudo pmset -a lowpowermode 0")
    if settings.get("powermode") == "1":
        return warn(topic, "on", "sudo pmset -a powermode 0")
    if not settings:
        return unknown(topic, "pmset names neither lowpowermode nor powermode")
    mode = _POWER_MODES.get(settings.get("powermode", ""))
    return ok(topic, f"off (power mode: {mode})" if mode else "off")


def linux_low_power(profile: Answer) -> Line:
    """Whether the firmware was told to save power."""
    topic = "low-power mode"
    if isinstance(profile, Unknown):
        return unknown(topic, profile.reason)
    if profile in {"low-power", "quiet", "cool"}:
        return warn(topic, f"platform profile {profile}", "powerprofilesctl set performance")
    return ok(topic, f"off (platform profile: {profile})")


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


def _on_battery(seen: str) -> Line:
    return warn("power source", f"{seen}: the system may slow itself down", _PLUG_IN)
