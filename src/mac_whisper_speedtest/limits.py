"""Limits for data from outside: workers' answers, journals, manifests, engine files and bundles.

:func:`check_depth` belongs before a decoder, :func:`check` after it. Standard library only.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from mac_whisper_speedtest.printable import shown

LONGEST_LINE = 8 << 20
"""Bytes of a message or of a journal's line: an hour of speech with its segments has 300 000."""
MOST_MESSAGES, MOST_MESSAGE_BYTES = 10_000, 4 * LONGEST_LINE
"""What a worker may write to stdout in one call."""
LONGEST_TEXT = 1 << 20
"""Characters: an hour of speech has some 50 000."""
LONGEST_MESSAGE = 2000
"""Characters of an error's message, a remark or a line of a log."""
LONGEST_NAME = 300
"""Characters of a name, a version, a device or a language. A cell's id has three names."""
MOST_FACTS = 100
"""Entries of a mapping or a list that describes: versions, details, settings, remarks, stages."""
MOST_ITEMS = 1_000_000
"""Entries of any list or mapping: a million samples."""
LONGEST_S = 1e8
"""Seconds: three years."""
LARGEST_BYTES = 1 << 60
LARGEST_NUMBER = 1e15
LARGEST_SEED = 1 << 64
FASTEST_RTFX = 1e6
"""Times real time: an hour of audio in 3.6 ms. The fastest that is known are near 10 000."""
MOST_PER_AUDIO_S = 1000
"""Characters, tokens or segments per second of audio: fast speech has 25 characters, and a decoder
that loops in a phrase some 100."""
FIRST_SEGMENT_S, LAST_WINDOW_S = -1.0, 60.0
"""How far a segment may be outside the audio: Whisper's last window is padded to 30 s."""
CLOCK_TOLERANCE_S, CLOCK_TOLERANCE = 0.01, 0.001
"""A worker's clock may differ from this tool's by 10 ms and 0.1 % of what passed."""
DEEPEST = 64
"""Levels of objects, lists and tables within each other. The schema of a run has eight.

Decoders give up near 1000 with a RecursionError, where on the stack is chance.
"""

_SIGNED = frozenset(
    {"exit_code", "index", "start_s", "end_s", "nice", "seed", "value", "values", "effective"}
)
"""Fields that may be below 0: readings may shrink, and temperatures are in degrees."""


_LONGEST_KEY = 40
"""Most characters of a mapping's key that is quoted in a message."""


def most_said(audio_s: float) -> int:
    """The characters, tokens or segments that a transcript of so many seconds can have."""
    return int(MOST_PER_AUDIO_S * (audio_s + LAST_WINDOW_S))


class LimitError(ValueError):
    """A value from outside is out of its limits.

    Attributes:
        path: the field, such as ``segments[3].end_s``; empty for the whole.
        problem: the error, with the value.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} {problem}" if path else problem)
        self.path = path
        self.problem = problem

    def below(self, parent: str) -> LimitError:
        """The same error, with the path of the field above it in front."""
        dot = "." if parent and self.path and not self.path.startswith("[") else ""
        return LimitError(f"{parent}{dot}{self.path}", self.problem)


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """How long texts and collections may be. Limits of numbers follow from their fields' names."""

    longest_text: int = LONGEST_TEXT
    most_items: int = MOST_ITEMS
    deepest: int = DEEPEST


ANY = SizeLimits()


def check(value: object, path: str = "", limits: SizeLimits = ANY) -> None:
    """Check every number, text, list and mapping of decoded data.

    Numbers must be finite. A field's name sets its range: seconds (``seconds``, ``*_s``) at
    most `LONGEST_S`, bytes (``*_bytes``) at most `LARGEST_BYTES`, others at most `LARGEST_NUMBER`,
    and only a few may be below 0. Entries of a list or mapping are checked as the field that holds
    them; in a mapping outside of a field, the keys are the fields' names.

    Args:
        value: msgspec structs, dataclasses, mappings, lists, tuples and scalars, in any nesting.
        path: its place, for the message.
        limits: for texts and collections.

    Raises:
        LimitError: names the first field that is out of its limits.
    """
    try:
        _check(value, None, limits, 0)
    except LimitError as error:
        raise error.below(path) from None


def _check(value: Any, field: str | None, limits: SizeLimits, depth: int) -> None:
    kind: Any = type(value)
    if kind is float or kind is int:
        check_number(value, field or "")
    elif kind is str:
        if len(value) > limits.longest_text:
            raise LimitError("", f"has {len(value)} characters; at most {limits.longest_text}")
    elif value is None or kind is bool:
        return
    elif depth > limits.deepest:
        raise LimitError("", f"is nested deeper than {limits.deepest} levels")
    elif fields := field_names(kind):
        _check_fields(value, fields, limits, depth)
    elif isinstance(value, list | tuple | set | frozenset):
        _check_size(value, limits)
        for number, each in enumerate(value):
            _check_entry(each, number, field, limits, depth)
    elif isinstance(value, Mapping):
        _check_size(value, limits)
        for key, each in value.items():
            if isinstance(key, str) and len(key) > limits.longest_text:
                raise LimitError("", f"has a key of {len(key)} characters")
            _check_entry(each, key, str(key) if field is None else field, limits, depth)


def _check_fields(value: Any, names: tuple[str, ...], limits: SizeLimits, depth: int) -> None:
    longest = limits.longest_text
    for name in names:
        each = getattr(value, name)
        inner = type(each)
        if inner is str:  # most fields are passed here, at a third of the time
            if len(each) <= longest:
                continue
        elif inner is float or inner is int:
            least, most = number_range(name)
            if least <= each <= most:
                continue
        elif not each:
            continue
        _check_entry(each, name, name, limits, depth)


def _check_entry(
    value: Any, key: object, field: str | None, limits: SizeLimits, depth: int
) -> None:
    try:
        _check(value, field, limits, depth + 1)
    except LimitError as error:
        raise error.below(_name_of(key)) from None


def _check_size(value: Any, limits: SizeLimits) -> None:
    if len(value) > limits.most_items:
        raise LimitError("", f"has {len(value)} entries; at most {limits.most_items}")


def _name_of(key: object) -> str:
    short = isinstance(key, str) and len(key) <= _LONGEST_KEY and key.isidentifier()
    return str(key) if short else f"[{shown(key)}]"


@functools.cache
def field_names(kind: type) -> tuple[str, ...]:
    """The fields of a msgspec struct or a dataclass; empty for other classes."""
    if dataclasses.is_dataclass(kind):
        return tuple(each.name for each in dataclasses.fields(kind))
    return tuple(getattr(kind, "__struct_fields__", ()))


def check_number(value: float, field: str) -> None:
    """Check one number as :func:`check` does, by the name of its field. Raises LimitError."""
    least, most = number_range(field)
    if not least <= value <= most:  # NaN is never within
        raise LimitError("", f"is {shown(value)}, not within {least:g} to {most:g}")


@functools.cache
def number_range(field: str) -> tuple[float, float]:
    """The least and the most that a number in a field of that name can be."""
    most: float = LARGEST_NUMBER
    if field.endswith("_bytes") or field in {"value", "values"}:
        most = LARGEST_BYTES
    elif field == "seconds" or field.endswith("_s"):
        most = LONGEST_S
    elif field == "seed":
        most = LARGEST_SEED
    return (-most if field in _SIGNED else 0), most


_JSON_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_TOML_TEXT = re.compile(
    rb'"""(?:[^"\\]|\\.|"(?!""))*+"{0,5}'
    rb"|'''(?:[^']|'(?!''))*+'{0,5}"
    rb"|" + _JSON_TEXT.pattern + rb"|'[^'\n]*+'?|\#[^\n]*+",
    re.DOTALL,
)
_OPENING, _CLOSING = b"[{", b"]}"
_NO_BRACKET = bytes(set(range(256)) - set(_OPENING + _CLOSING))
_STEP = dict.fromkeys(_OPENING, 1) | dict.fromkeys(_CLOSING, -1)


def check_depth(data: bytes | str, deepest: int = DEEPEST, *, toml: bool = False) -> None:
    """Check how deep JSON or TOML is nested, before it is decoded.

    Brackets in texts (and in TOML's comments) do not count. Costs a few milliseconds per megabyte,
    and next to nothing where there are few brackets. The data need not be well-formed.

    Raises:
        LimitError: it is nested deeper than ``deepest`` levels.
    """
    if isinstance(data, str):
        data = data.encode("utf-8", "replace")
    if sum(map(data.count, (b"[", b"{"))) <= deepest:
        return
    brackets = (_TOML_TEXT if toml else _JSON_TEXT).sub(b"", data).translate(None, _NO_BRACKET)
    if max(accumulate(map(_STEP.__getitem__, brackets)), default=0) > deepest:
        raise LimitError("", f"is nested deeper than {deepest} levels")
