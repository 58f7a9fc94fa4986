"""How hot the machine is, as the system says it."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

LEVELS = ("nominal", "moderate", "heavy", "trapping", "sleeping")
"""What macOS's thermal pressure levels 0 to 4 are called."""

_COLDEST_C, _HOTTEST_C = -40.0, 150.0  # a sensor that says more or less is broken or not connected


def pressure_level() -> int:
    """The thermal pressure that macOS sees, 0 to 4. Needs no special rights.

    The state of the Darwin notification ``com.apple.system.thermalpressurelevel`` (notify(3)),
    which is finer than ``NSProcessInfo.thermalState``. It is known to stay nominal on some machines
    while clocks fall, so it is never the only sign that is looked at.

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


def level_name(level: int | Unknown) -> str | Unknown:
    """The name of a thermal pressure level of macOS."""
    if isinstance(level, Unknown):
        return level
    if not 0 <= level < len(LEVELS):
        return Unknown(f"level {level} has no meaning that is known")
    return LEVELS[level]


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


def connected(zones: Sequence[Zone]) -> list[Zone]:
    """The zones whose sensor says something that can be true."""
    return [zone for zone in zones if _COLDEST_C < zone.celsius < _HOTTEST_C]


def zones(reader: Reader) -> list[Zone]:
    """All zones below /sys/class/thermal."""
    found = []
    for folder in reader.matching("/sys/class/thermal/thermal_zone*"):
        at_now = _celsius(reader.read(f"{folder}/temp"))
        name = reader.read(f"{folder}/type")
        if at_now is None or isinstance(name, Unknown):
            continue
        trips = []
        for path in reader.matching(f"{folder}/trip_point_*_type"):
            kind = reader.read(path)
            at = _celsius(reader.read(f"{path.removesuffix('_type')}_temp"))
            if isinstance(kind, str) and at is not None:
                trips.append((kind, at))
        found.append(Zone(name, at_now, tuple(trips)))
    return found


def _celsius(text: Answer) -> float | None:
    """Thousandths of a degree, as the kernel writes them."""
    if isinstance(text, str) and re.fullmatch(r"-?\d+", text):
        return int(text) / 1000
    return None
