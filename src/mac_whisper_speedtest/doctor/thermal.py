"""Whether the machine is so hot that it slows itself down."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mac_whisper_speedtest.doctor.lines import Line, fail, ok, unknown, warn
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt
from mac_whisper_speedtest.machine.thermal_state import (
    LEVELS,
    Zone,
    connected,
    level_name,
    pressure_level,
    zones,
)

_HEAVY = LEVELS.index("heavy")
"""From here on macOS holds the whole processor back, not only background work."""

_COOL_DOWN = "let it cool down for some minutes, then: speedtest doctor"


def look(reader: Reader) -> list[Line]:
    """The line about heat."""
    if reader.macos:
        return [macos(attempt(pressure_level), reader.run(["/usr/bin/pmset", "-g", "therm"]))]
    return [linux(zones(reader))]


def macos(level: int | Unknown, therm: Answer) -> Line:
    """What the pressure level means; ``pmset -g therm`` is heard too, mostly for Intel Macs.

    On Apple silicon that often says nothing even when the chip is held back, so its silence proves
    nothing.

    Args:
        level: 0 nominal, 1 moderate, 2 heavy, 3 trapping, 4 sleeping.
        therm: the text of ``pmset -g therm``.
    """
    topic = "thermal state"
    limit = None
    if isinstance(therm, str):
        limit = re.search(r"CPU_Speed_Limit\s*=\s*(\d+)", therm)
    limited = limit is not None and int(limit[1]) < 100
    speed = f"the processor is held to {limit[1]} % of its speed" if limit and limited else ""
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


def linux(found: Sequence[Zone]) -> Line:
    """The hottest zone, and what the kernel does about it."""
    topic = "thermal state"
    sane = connected(found)
    if not sane:
        return unknown(topic, "this kernel shows no thermal zones")
    for zone in sane:
        if zone.reached("hot", "critical"):
            return fail(topic, f"{_shown(zone)}: emergency measures", _COOL_DOWN)
    for zone in sane:
        if zone.reached("passive"):
            return warn(topic, f"{_shown(zone)}: the kernel slows it down", _COOL_DOWN)
    return ok(topic, f"hottest: {_shown(max(sane, key=lambda zone: zone.celsius))}")


def _shown(zone: Zone) -> str:
    return f"{zone.name} at {zone.celsius:.0f} °C"
