"""Power source, low-power mode and heat, as the system reports them."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

SUPPLIES = "/sys/class/power_supply"
PROFILE = "/sys/firmware/acpi/platform_profile"
_PMSET = "/usr/bin/pmset"
_FRUGAL_PROFILES = {"low-power", "quiet", "cool"}
_POWER_MODES = {"0": "automatic", "1": "low power", "2": "high power"}


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
class LowPower:
    """Whether the system saves power.

    Attributes:
        seen: in words.
        setting: the name of the setting: that of macOS, or ``platform profile``.
    """

    on: bool
    seen: str
    setting: str


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


def low_power(reader: Reader) -> LowPower | Unknown:
    """Whether the system saves power; runs a program of about 10 ms on macOS."""
    if reader.macos:
        return macos_low_power(reader.run([_PMSET, "-g"]))
    return linux_low_power(reader.read(PROFILE))


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
        known: whether the system has that folder at all.
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


def macos_low_power(text: Answer) -> LowPower | Unknown:
    """Whether Low Power Mode is on, from the settings in use that ``pmset -g`` prints.

    Macs with a High Power Mode print ``powermode``, with or without ``lowpowermode``.
    """
    if isinstance(text, Unknown):
        return text
    settings = dict(re.findall(r"^\s*(lowpowermode|powermode)\s+(\d)", text, re.MULTILINE))
    for name in ("lowpowermode", "powermode"):
        if settings.get(name) == "1":
            return LowPower(on=True, seen="on", setting=name)
    if not settings:
        return Unknown("pmset reports neither lowpowermode nor powermode")
    mode = _POWER_MODES.get(settings.get("powermode", ""))
    seen = f"off (power mode: {mode})" if mode else "off"
    return LowPower(on=False, seen=seen, setting=next(iter(settings)))


def linux_low_power(profile: Answer) -> LowPower | Unknown:
    """Whether the firmware saves power, from its platform profile."""
    if isinstance(profile, Unknown):
        return profile
    name = "platform profile"
    if profile in _FRUGAL_PROFILES:
        return LowPower(on=True, seen=f"{name} {profile}", setting=name)
    return LowPower(on=False, seen=f"off ({name}: {profile})", setting=name)


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
    """The zones whose sensor gives a plausible temperature."""
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
