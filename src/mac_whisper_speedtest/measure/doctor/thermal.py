"""Whether the machine is so hot that it slows itself down."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.measure.doctor.lines import Line, fail, ok, unknown, warn
from mac_whisper_speedtest.measure.doctor.reader import Answer, Reader, Unknown, attempt

_LEVELS = ("nominal", "moderate", "heavy", "trapping", "sleeping")
_HEAVY = _LEVELS.index("heavy")
"""From here on macOS holds the whole processor back, not only background work."""

_COOL_DOWN = "let it cool down for some minutes, then: speedtest doctor"
_COLDEST_C, _HOTTEST_C = -40.0, 150.0  # a sensor that says more or less is broken or not connected


def look(reader: Reader) -> list[Line]:
    """The line about heat."""
    if reader.macos:
        return [macos(attempt(pressure_level), reader.run(["/usr/bin/pmset", "-g", "therm"]))]
    return [linux(_zones(reader))]


def pressure_level() -> int:
    """The thermal pressure that macOS sees, 0 to 4. Needs no special rights.

    The state of the Darwin notification ``com.apple.system.thermalpressurelevel`` (notify(3)),
    which is finer than ``NSProcessInfo.thermalState``.

    Raises:
        OSError: there is no such library or notification.
    """
    library = ctypes.CDLL("/usr/lib/libSystem.B.dylib")
    token = ctypes.c_int()
    state = ctypes.c_uint64()
    name = b"com.apple.system.thermalpressurelevel"
    if status := library.notify_register_check(name, ctypes.byref(token)):
        raise OSError(f"notify_register_check says {status}")
    try:
        if status := library.notify_get_state(token, ctypes.byref(state)):
            raise OSError(f"notify_get_state says {status}")
    finally:
        library.notify_cancel(token)
    return state.value


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
    if not 0 <= level < len(_LEVELS):
        return unknown(topic, f"level {level} has no meaning that is known")
    seen = "; ".join(filter(None, (_LEVELS[level], speed)))
    if level >= _HEAVY:
        return fail(topic, f"{seen}: the machine is slowing itself down", _COOL_DOWN)
    if level > 0 or speed:
        return warn(topic, seen, _COOL_DOWN)
    return ok(topic, seen)


@dataclass(frozen=True, slots=True)
class Zone:
    """One of Linux's thermal zones.

    Attributes:
        name: its type, such as ``x86_pkg_temp``.
        celsius: its temperature.
        trips: its trip points' kinds and temperatures in °C: at ``passive`` the kernel begins to
            slow the processor down, at ``hot`` and ``critical`` it takes emergency measures.
    """

    name: str
    celsius: float
    trips: tuple[tuple[str, float], ...] = ()

    def reached(self, *kinds: str) -> bool:
        """Whether it is as hot as a trip point of one of these kinds."""
        return any(kind in kinds and self.celsius >= at > 0 for kind, at in self.trips)


def linux(zones: Sequence[Zone]) -> Line:
    """The hottest zone, and what the kernel does about it."""
    topic = "thermal state"
    sane = [zone for zone in zones if _COLDEST_C < zone.celsius < _HOTTEST_C]
    if not sane:
        return unknown(topic, "this kernel shows no thermal zones")
    for zone in sane:
        if zone.reached("hot", "critical"):
            return fail(topic, f"{_shown(zone)}: emergency measures", _COOL_DOWN)
    for zone in sane:
        if zone.reached("passive"):
            return warn(topic, f"{_shown(zone)}: the kernel slows it down", _COOL_DOWN)
    return ok(topic, f"hottest: {_shown(max(sane, key=lambda zone: zone.celsius))}")


def _zones(reader: Reader) -> list[Zone]:
    found = []
    for folder in reader.matching("/sys/class/thermal/thermal_zone*"):
        celsius = _celsius(reader.read(f"{folder}/temp"))
        name = reader.read(f"{folder}/type")
        if celsius is None or isinstance(name, Unknown):
            continue
        trips = []
        for path in reader.matching(f"{folder}/trip_point_*_type"):
            kind = reader.read(path)
            at = _celsius(reader.read(f"{path.removesuffix('_type')}_temp"))
            if isinstance(kind, str) and at is not None:
                trips.append((kind, at))
        found.append(Zone(name, celsius, tuple(trips)))
    return found


def _celsius(text: Answer) -> float | None:
    """Thousandths of a degree, as the kernel writes them."""
    if isinstance(text, str) and re.fullmatch(r"-?\d+", text):
        return int(text) / 1000
    return None


def _shown(zone: Zone) -> str:
    return f"{zone.name} at {zone.celsius:.0f} °C"
