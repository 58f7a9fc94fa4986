"""How large and how long a single value can be, whatever it belongs to. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from mac_whisper_speedtest.bundle.container import BundleError
from mac_whisper_speedtest.bundle.unsafe_text import shown
from mac_whisper_speedtest.results import schema as s

LONGEST_S = 1e8
"""Seconds: three years."""
LARGEST_BYTES = 1 << 60
LARGEST_NUMBER = 1e15
LARGEST_SEED = 1 << 64
LONGEST_TEXT = 1 << 20
"""Letters: an hour of speech has some 50 000."""
_SIGNED = frozenset({"exit_code", "index", "start_s", "end_s", "nice", "seed", "value", "values"})
"""Fields that may be below 0: what is read may have shrunk, and temperatures are in degrees."""


def check_numbers(struct: s.Struct, where: str) -> None:
    """Refuse a number that measures nothing: negative seconds, more bytes than there are.

    Raises:
        BundleError: names the field.
    """
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        kind = type(value)
        if kind is float or kind is int:
            _check_number(value, name, where)
        elif value and kind is not str and kind is not bool:
            _check_inner_numbers(value, name, where)


def _check_inner_numbers(value: Any, name: str, where: str) -> None:
    if isinstance(value, s.Struct):
        check_numbers(value, where)
    elif isinstance(value, dict):
        for each in value.values():
            _check_inner_numbers(each, name, where)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_inner_numbers(each, name, where)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _check_number(value, name, where)


def _check_number(value: float, name: str, where: str) -> None:
    least, most = _range(name)
    if not least <= value <= most:
        raise BundleError(f"{name} of {where} is {shown(value)}")


@functools.cache
def _range(name: str) -> tuple[float, float]:
    """The least and the most that a number in a field of that name can be."""
    most: float = LARGEST_NUMBER
    if name.endswith("_bytes") or name in {"value", "values"}:
        most = LARGEST_BYTES
    elif name == "seconds" or name.endswith("_s"):
        most = LONGEST_S
    elif name == "seed":
        most = LARGEST_SEED
    return (-most if name in _SIGNED else 0), most


def check_texts(struct: s.Struct, where: str) -> None:
    """Refuse a text that nobody can have said. Raises BundleError."""
    for text in _texts(struct):
        if len(text) > LONGEST_TEXT:
            raise BundleError(
                f"{where} has a text of {len(text)} letters; at most {LONGEST_TEXT} are read"
            )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, s.Struct):
        for name in value.__struct_fields__:
            yield from _texts(getattr(value, name))
    elif isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
