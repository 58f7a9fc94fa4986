# ruff: noqa: D102 - the methods of kinds of values are those of ValueKind
"""How an option is declared at a field: its flags, its group in ``--help``, and its kind of value.

A kind of value is parsed from the command line, checked when it comes from Python, and written back
as the command line reads it. Imports the standard library alone, because ``--help`` imports it.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from mac_whisper_speedtest.errors import UsageError


class Group(StrEnum):
    """The heading under which ``--help`` shows an option; groups are shown in this order."""

    WHAT = "What to measure"
    AUDIO = "On which recordings"
    AMOUNT = "How long"
    MACHINE = "Where: machine and environment"
    JUDGMENT = "How results are judged"
    FAILURE = "When something fails"
    FLEET = "On which machines of a fleet"
    OUTPUT = "Output"


class ValueKind:
    """Any text. The methods raise UsageError and name the option or keyword as ``name``."""

    @property
    def metavar(self) -> str:
        """What ``--help`` shows for a value."""
        return "TEXT"

    def parse(self, text: str, name: str) -> Any:
        """The value of the typed text."""
        return self.check(text, name)

    def check(self, value: Any, name: str) -> Any:
        """A value from Python, as the command line would have given it."""
        if not isinstance(value, str | os.PathLike):
            raise UsageError(f"{name} is {value!r}, not a text", hint=_hint(name))
        return os.fspath(value)

    def text(self, value: Any) -> str:
        """What is typed for ``value``."""
        return str(value)


_TEXT = ValueKind()


def _hint(name: str) -> str:
    return "see speedtest run --help" if name.startswith("-") else "see help(st.run)"


class FilePath(ValueKind):
    """A file, which need not exist."""

    metavar = "PATH"

    def check(self, value: Any, name: str) -> Path:
        return Path(super().check(value, name))


class OneOf(ValueKind):
    """One of these names."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    @property
    def metavar(self) -> str:
        return f"[{'|'.join(self.names)}]"

    def check(self, value: Any, name: str) -> Any:
        if value not in self.names:
            known = ", ".join(self.names)
            raise UsageError(f"{name} is {value!r}, not one of {known}", hint=_hint(name))
        return value


class Switch(ValueKind):
    """On or off; on the command line the flag alone."""

    metavar = ""

    def check(self, value: Any, name: str) -> bool:
        if not isinstance(value, bool):
            raise UsageError(f"{name} is {value!r}, not True or False", hint=_hint(name))
        return value


class WholeNumber(ValueKind):
    """A whole number that is not below ``least``."""

    metavar = "N"

    def __init__(self, least: int | None = None) -> None:
        self.least = least

    def parse(self, text: str, name: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text.strip()):
            raise UsageError(f"{name} is {text!r}, not a whole number", hint=_hint(name))
        return self.check(int(text), name)

    def check(self, value: Any, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise UsageError(f"{name} is {value!r}, not a whole number", hint=_hint(name))
        if self.least is not None and value < self.least:
            raise UsageError(
                f"{name} is {value}, but must be at least {self.least}", hint=_hint(name)
            )
        return value


class _Measure(ValueKind):
    """A number above 0 with a unit."""

    def check(self, value: Any, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"{name} is {value!r}, not a number", hint=_hint(name))
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} is {value:g}, but must be a number above 0", hint=_hint(name))
        return value

    def text(self, value: float) -> str:
        # Without an exponent, which is not read: 61.5, 300, 0.02.
        text = repr(value)
        if "e" in text or "E" in text:
            text = f"{value:.12f}"
        return text.rstrip("0").rstrip(".") if "." in text else text


_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Seconds(_Measure):
    """A time in seconds, typed as ``90``, ``90s``, ``5m`` or ``1.5h``."""

    metavar = "TIME"

    def parse(self, text: str, name: str) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|)", text.strip().lower())
        if not found:
            raise UsageError(
                f"{name} is {text!r}, not a time", hint="write it like 90s, 5m or 1.5h"
            )
        return self.check(float(found[1]) * _SECONDS[found[2]], name)


_BYTES = {"GB": 10**9, "MB": 10**6, "GiB": 2**30, "MiB": 2**20, "KB": 10**3, "KiB": 2**10, "B": 1}


class ByteSize(_Measure):
    """Bytes, typed as ``500MB``, ``4GB``, ``2GiB`` or a plain number."""

    metavar = "SIZE"

    def parse(self, text: str, name: str) -> int:
        units = {unit.upper().removesuffix("B"): size for unit, size in _BYTES.items()}
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?|)B?", text.strip().upper())
        if not found or float(found[1]) <= 0:
            raise UsageError(f"{name} is {text!r}, not a size", hint="write it like 500MB or 4GB")
        return int(float(found[1]) * units[found[2]])

    def check(self, value: Any, name: str) -> int:
        return int(super().check(value, name))

    def text(self, value: float) -> str:
        unit, size = next((unit, size) for unit, size in _BYTES.items() if value % size == 0)
        return f"{value // size:.0f}{unit}"


class Share(_Measure):
    """A fraction of 1, typed as ``2%`` or ``0.02``."""

    metavar = "SHARE"

    def parse(self, text: str, name: str) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%|)", text.strip())
        value = float(found[1]) / (100 if found[2] else 1) if found else math.nan
        if not 0 < value < 1:
            raise UsageError(f"{name} is {text!r}, not a share", hint="write it like 2% or 0.02")
        return value

    def check(self, value: Any, name: str) -> float:
        if super().check(value, name) >= 1:
            raise UsageError(
                f"{name} is {value:g}, but must be a fraction, such as 0.02", hint=_hint(name)
            )
        return float(value)


class Lengths(ValueKind):
    """Seconds, typed as ``2,5,10``: each above zero and named once."""

    metavar = "S,S,..."

    def parse(self, text: str, name: str) -> tuple[float, ...]:
        try:
            found = tuple(float(each) for each in text.split(","))
        except ValueError:
            found = ()
        return self._distinct(found, text, name)

    def check(self, value: Any, name: str) -> tuple[float, ...]:
        return self._distinct(tuple(float(each) for each in value), value, name) if value else ()

    def _distinct(self, found: tuple[float, ...], given: Any, name: str) -> tuple[float, ...]:
        if len(set(found)) < max(len(found), 1):
            raise UsageError(
                f"{name} is {given!r}, not a list of different lengths",
                hint="write it like 2,5,10,20,30,31,60",
            )
        return tuple(_Measure().check(each, name) for each in found)

    def text(self, value: Iterable[float]) -> str:
        return ",".join(_Measure().text(each) for each in value)


class Processors(ValueKind):
    """Numbers of processors, typed as ``0-3,6``."""

    metavar = "N-N,N"

    def parse(self, text: str, name: str) -> tuple[int, ...]:
        found: set[int] = set()
        for part in text.split(","):
            span = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
            if not span or int(span[2] or span[1]) < int(span[1]):
                raise UsageError(
                    f"{name} is {text!r}, not a list of processors", hint="write it like 0-3,6"
                )
            found |= set(range(int(span[1]), int(span[2] or span[1]) + 1))
        return tuple(sorted(found))

    def check(self, value: Any, name: str) -> tuple[int, ...] | None:
        return tuple(sorted({WholeNumber(least=0).check(each, name) for each in value})) or None

    def text(self, value: Iterable[int]) -> str:
        return ",".join(map(str, value))


# Compiled when a tag is given, not for --help.
_TAG = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"
_RUN_ID = r"[0-9A-Fa-f]{8,}"
_RESERVED = ("latest", "previous-comparable")


class TagName(ValueKind):
    """A name for a run that cannot be taken for another way to name a run."""

    def check(self, value: Any, name: str) -> str:
        text: str = super().check(value, name)
        wrong = ""
        if not re.fullmatch(_TAG, text):
            wrong = "has other characters than letters, digits, '.', '_', '+' and '-', or too many"
            if text[:1] in {".", "_", "+", "-"}:
                wrong = "does not begin with a letter or digit"
        elif text.isdigit():
            wrong = "is a run's number"
        elif text.lower() in _RESERVED:
            wrong = "means a run already"
        elif re.fullmatch(_RUN_ID, text):
            wrong = "looks like a run's id (8 or more hexadecimal digits)"
        elif text.lower().endswith((".zip", ".json")):
            wrong = "looks like a file"
        if wrong:
            raise UsageError(
                f"the tag {text!r} {wrong}", hint="write it like before-update or v1.2, 64 at most"
            )
        return text


AUTO = "auto"
"""Instead of a language: every backend decides."""


class SpokenLanguage(ValueKind):
    """A code such as ``fr``, of which a region is left out; or `AUTO`."""

    metavar = "CODE"

    def check(self, value: Any, name: str) -> str:
        code: str = re.split("[-_]", super().check(value, name).strip().lower())[0]
        if code != AUTO and not re.fullmatch("[a-z]{2,3}", code):
            raise UsageError(
                f"{name} is {value!r}, not the code of a language",
                hint="write it like en or fr; auto leaves it to the backends",
            )
        return code


class Several(ValueKind):
    """One value or more, each once and of the kind ``each``; typed by giving the option again."""

    def __init__(self, each: ValueKind = _TEXT) -> None:
        self.each = each

    def check(self, value: Any, name: str) -> tuple[Any, ...]:
        given = [value] if isinstance(value, str | os.PathLike) else value
        return tuple(dict.fromkeys(self.each.check(one, name) for one in given))


class Newest(ValueKind):
    """A name, or the flag alone (``True`` from Python) for the newest: the empty text."""

    metavar = "[RUN]"

    def check(self, value: Any, name: str) -> str | None:
        if isinstance(value, bool):
            return "" if value else None
        text: str = super().check(value, name)
        return text


class Option(NamedTuple):
    """An option of the command line, and a keyword of the Python interface.

    Attributes:
        flag: as it is typed and named in messages.
        group: where ``--help`` shows it.
        kind: how its value is read, checked and written.
        short: one letter for it.
        off: for a switch that is on by default, the flag that turns it off.
        rare: whether it comes last in its group.
        required: whether it must be given.
        otherwise: what happens when it is not given, where the field's default does not say it.
        envvar: the environment variable that gives it too.
    """

    flag: str
    group: Group
    kind: ValueKind = _TEXT
    short: str = ""
    off: str = ""
    rare: bool = False
    required: bool = False
    otherwise: str = ""
    envvar: str | None = None


def argument(flag: str, text: str) -> tuple[str, ...]:
    """An option and its value, also where the value would be taken for an option."""
    return (f"{flag}={text}",) if text.startswith("-") else (flag, text)


def arguments_of(
    asked: object,
    options: Mapping[str, Option],
    default_of: Callable[[str], Any],
    leave_out: Collection[str] = (),
) -> Iterator[str]:
    """What is typed for every option with another value than its default.

    An option that an environment variable can set is always included, because it may differ.

    Args:
        asked: has the values as attributes, or some of them.
        options: by the names of these attributes.
        default_of: the default of such a name.
        leave_out: names.
    """
    for name, option in options.items():
        if name in leave_out or not hasattr(asked, name):
            continue
        value, default, kind = getattr(asked, name), default_of(name), option.kind
        if isinstance(kind, Switch):
            if value != default or option.envvar:
                yield option.flag if value else option.off
        elif isinstance(kind, Several):
            for each in value:
                yield from argument(option.flag, kind.each.text(each))
        elif value is not None and (default is None or kind.text(value) != kind.text(default)):
            yield from argument(option.flag, kind.text(value))
