"""Power source, power mode and heat, as the system reports them."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

SUPPLIES = "/sys/class/power_supply"
PROFILE = "/sys/firmware/acpi/platform_profile"
_PMSET = "/usr/bin/pmset"
LOW, AUTOMATIC, HIGH = "low", "automatic", "high"
"""The power modes, in macOS's words."""

_PROFILES = {"low-power": LOW, "quiet": LOW, "cool": LOW, "performance": HIGH}
"""Linux's platform profiles; all others leave it to the firmware."""
_MODES = {
    ("powermode", "0"): AUTOMATIC,
    ("powermode", "1"): LOW,
    ("powermode", "2"): HIGH,
    ("lowpowermode", "1"): LOW,
    ("highpowermode", "1"): HIGH,
}
"""Setting of pmset and its value → mode."""


@dataclass(frozen=True, slots=True)
class Supply:
    """Where the power comes from.

    Attributes:
        battery: whether it is a battery.
        seen: in words, with the battery's charge where it is reported.
    """

    battery: bool
    seen: str


@dataclass(frozen=True, slots=True)
class PowerMode:
    """Whether the system saves power, or spends more of it than usual.

    Attributes:
        mode: `LOW`, `AUTOMATIC` or `HIGH`.
        setting: the setting's name on macOS, or ``platform profile``.
        seen: in words.
    """

    mode: str
    setting: str
    seen: str


def supply(reader: Reader) -> Supply | Unknown:
    """The power source; runs a program of about 10 ms on macOS, reads files on Linux."""
    if reader.macos:
        return macos_supply(reader.run([_PMSET, "-g", "batt"]))
    supplies = {
        folder.rpartition("/")[2]: {
            name: text
            for name in ("type", "scope", "online", "status", "capacity")
            if isinstance(text := reader.read(f"{folder}/{name}"), str)
        }
        for folder in reader.matching(f"{SUPPLIES}/*")
    }
    return linux_supply(supplies, known=reader.exists(SUPPLIES))


def power_mode(reader: Reader) -> PowerMode | Unknown:
    """Whether the system saves power; runs a program of about 10 ms on macOS."""
    if reader.macos:
        return macos_power_mode(reader.run([_PMSET, "-g"]))
    return linux_power_mode(reader.read(PROFILE))


def macos_supply(text: Answer) -> Supply | Unknown:
    """Mains or battery, from what ``pmset -g batt`` prints."""
    if isinstance(text, Unknown):
        return text
    found = re.search(r"drawing from '([^']+)'", text)
    if not found:
        return Unknown("pmset does not report it")
    charge = re.search(r"(\d+)%", text)
    seen = found[1] + (f", battery at {charge[1]} %" if charge else "")
    return Supply(battery=found[1] != "AC Power", seen=seen)


def linux_supply(supplies: Mapping[str, Mapping[str, str]], *, known: bool) -> Supply | Unknown:
    """Mains or battery, from /sys/class/power_supply.

    Args:
        supplies: the files of each supply, by its name.
        known: whether the system has that folder.
    """
    if not known:
        return Unknown(f"there is no {SUPPLIES}")
    # A mouse has a battery too; its scope is "Device".
    own = [each for each in supplies.values() if each.get("scope") != "Device"]
    batteries = [each for each in own if each.get("type") == "Battery"]
    mains = [each for each in own if each.get("type") in {"Mains", "USB"}]
    if not batteries:
        return Supply(battery=False, seen="no battery in this machine")
    charges = [f"{each['capacity']} %" for each in batteries if "capacity" in each]
    seen = f", battery at {' and '.join(charges)}" if charges else ""
    if any(each.get("status") == "Discharging" for each in batteries):
        return Supply(battery=True, seen=f"battery power{seen}")
    if mains and all(each.get("online") == "0" for each in mains):
        return Supply(battery=True, seen=f"battery power{seen}")
    if any(each.get("online") == "1" for each in mains) or any(
        each.get("status") in {"Charging", "Full", "Not charging"} for each in batteries
    ):
        return Supply(battery=False, seen=f"mains{seen}")
    return Unknown("neither the battery nor the adapter reports it")


def macos_power_mode(text: Answer) -> PowerMode | Unknown:
    """The power mode, from the settings in use that ``pmset -g`` prints.

    Most Macs print ``lowpowermode`` there; those that have a High Power Mode print ``powermode``,
    or ``highpowermode``, with or without it. A mode that is on counts, whichever setting has it.
    """
    if isinstance(text, Unknown):
        return text
    lines = r"^\s*((?:low|high)?powermode)\s+(\d)"
    settings = re.findall(lines, text, re.MULTILINE)
    if not settings:
        return Unknown("pmset reports neither lowpowermode nor powermode")
    modes = [(_MODES.get(each, AUTOMATIC), each[0]) for each in settings]
    mode, setting = next((each for each in modes if each[0] != AUTOMATIC), modes[0])
    return PowerMode(mode, setting, mode)


def linux_power_mode(profile: Answer) -> PowerMode | Unknown:
    """The power mode, from the firmware's platform profile."""
    if isinstance(profile, Unknown):
        return profile
    mode = _PROFILES.get(profile, AUTOMATIC)
    return PowerMode(mode, "platform profile", f"{mode} (platform profile: {profile})")


# Heat.


LEVELS = ("nominal", "moderate", "heavy", "trapping", "sleeping")
"""The names of macOS's thermal pressure levels 0 to 4."""

_COLDEST_C, _HOTTEST_C = -40.0, 150.0  # readings outside come from broken sensors


def pressure_level() -> int:
    """The thermal pressure level of macOS, 0 to 4. Needs no special rights.

    The state of the Darwin notification ``com.apple.system.thermalpressurelevel`` (notify(3)),
    which is finer than ``NSProcessInfo.thermalState``. On some machines it stays nominal while the
    clocks fall, so it is never the only evidence.

    Raises:
        OSError: there is no such library or notification.
    """
    library = ctypes.CDLL("/usr/lib/libSystem.B.dylib")
    token = ctypes.c_int()
    state = ctypes.c_uint64()
    name = b"com.apple.system.thermalpressurelevel"
    if status := library.notify_register_check(name, ctypes.byref(token)):
        raise OSError(f"notify_register_check returned {status}")
    try:
        if status := library.notify_get_state(token, ctypes.byref(state)):
            raise OSError(f"notify_get_state returned {status}")
    finally:
        library.notify_cancel(token)
    return state.value


def level_name(level: int | Unknown) -> str | Unknown:
    """The name of a thermal pressure level of macOS."""
    if isinstance(level, Unknown):
        return level
    if not 0 <= level < len(LEVELS):
        return Unknown(f"level {level} has no known meaning")
    return LEVELS[level]


@dataclass(frozen=True, slots=True)
class Zone:
    """One of Linux's thermal zones.

    Attributes:
        name: its type, such as ``x86_pkg_temp``.
        trips: its trip points' kinds and temperatures in °C: at ``passive`` the kernel begins to
            slow the processor down, at ``hot`` and ``critical`` it takes emergency measures.
    """

    name: str
    celsius: float
    trips: tuple[tuple[str, float], ...] = ()

    def reached(self, *kinds: str) -> bool:
        """Whether it has reached a trip point of one of these kinds."""
        return any(kind in kinds and self.celsius >= at > 0 for kind, at in self.trips)


def connected(zones: Sequence[Zone]) -> list[Zone]:
    """The zones with a plausible temperature."""
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
    """From thousandths of a degree, as the kernel writes them."""
    if isinstance(text, str) and re.fullmatch(r"-?\d+", text):
        return int(text) / 1000
    return None
