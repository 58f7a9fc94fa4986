"""Checks of option values that click's own types do not make, with this tool's error style."""

from __future__ import annotations

import math
import re

from mac_whisper_speedtest.errors import UsageError

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
