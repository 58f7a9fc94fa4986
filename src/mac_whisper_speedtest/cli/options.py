"""Checks of option values that click's own types do not make, with this tool's error style."""

from __future__ import annotations

import math
import re
import sys
from typing import Any

import click

from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.privacy import scrub

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}


def at_least(minimum: int, value: int, option: str) -> int:
    """``value``, if it is not below ``minimum``. Raises UsageError."""
    if value < minimum:
        raise UsageError(
            f"{option} is {value}, but must be at least {minimum}", hint="see speedtest run --help"
        )
    return value


def above_zero(value: float, option: str) -> float:
    """``value``, if it is a positive finite number of seconds. Raises UsageError."""
    if not (math.isfinite(value) and value > 0):
        raise UsageError(
            f"{option} is {value:g}, but must be a number of seconds above 0",
            hint="see speedtest run --help",
        )
    return value


def byte_size(text: str, option: str) -> int:
    """Bytes from ``500MB``, ``4GB``, ``2GiB`` or a plain number. Raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?|)B?", text.strip().upper())
    if not found or float(found[1]) <= 0:
        raise UsageError(f"{option} is {text!r}, not a size", hint="write it like 500MB or 4GB")
    return int(float(found[1]) * _UNITS[found[2]])


_DURATIONS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def duration(text: str, option: str) -> float:
    """Seconds from ``90``, ``90s``, ``5m`` or ``1.5h``. Raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|)", text.strip().lower())
    if not found or float(found[1]) <= 0:
        raise UsageError(f"{option} is {text!r}, not a time", hint="write it like 90s, 5m or 1.5h")
    return float(found[1]) * _DURATIONS[found[2]]


def share(text: str, option: str) -> float:
    """A fraction from ``2%`` or ``0.02``. Raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%|)", text.strip())
    value = float(found[1]) / (100 if found[2] else 1) if found else math.nan
    if not 0 < value < 1:
        raise UsageError(f"{option} is {text!r}, not a share", hint="write it like 2% or 0.02")
    return value


def lengths(text: str, option: str) -> tuple[float, ...]:
    """Seconds from ``2,5,10``, each above zero and named once. Raises UsageError."""
    try:
        found = tuple(above_zero(float(each), option) for each in text.split(","))
    except ValueError:
        found = ()
    if len(set(found)) < max(len(found), 1):
        raise UsageError(
            f"{option} is {text!r}, not a list of different lengths",
            hint="write it like 2,5,10,20,30,31,60",
        )
    return found


def processors(text: str, option: str) -> tuple[int, ...]:
    """Processor numbers from ``0-3,6``. Raises UsageError."""
    from mac_whisper_speedtest.machine.describe import parse_cpu_list

    found = parse_cpu_list(text)
    if not found:
        raise UsageError(
            f"{option} is {text!r}, not a list of processors", hint="write it like 0-3,6"
        )
    return tuple(sorted(found))


# Asking before anything is removed.


def given(*, yes: bool) -> bool:
    """Whether the user agrees to what was just shown.

    Args:
        yes: they said so beforehand.

    Raises:
        UsageError: they did not, and nobody is there to be asked.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked", hint="add --yes to remove all of it")
    return click.confirm("Go on?", err=True)


# Output that names nobody: home folders and user names are taken out before it is printed.


def echo(text: str) -> None:
    """Print a line."""
    click.echo(scrub(text))


def echo_json(value: Any) -> None:
    """Print a value as JSON."""
    import json

    click.echo(scrub(json.dumps(value, indent=2, ensure_ascii=False)))
