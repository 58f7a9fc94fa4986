"""Digests of what is written down: SHA-256 over canonical JSON.

Canonical means: keys sorted, no white space, UTF-8 as it is, numbers as the shortest text that
reads back as the same number, and nothing but the strict primitives of JSON. The same facts have
the same digest, however a file was indented and in whatever order its fields came.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable

import msgspec

from mac_whisper_speedtest.errors import StorageError


def canonical(value: object) -> bytes:
    """``value`` as canonical JSON.

    Args:
        value: what JSON can hold, or a struct of the schema.

    Raises:
        StorageError: it holds NaN, an infinity, a key that is no text, or something that JSON has
            no form for.
    """
    plain = msgspec.to_builtins(value, str_keys=False)
    _check(plain, "$")
    return json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256(value: object) -> str:
    """The SHA-256 of ``value``'s canonical JSON, 64 hexadecimal digits. Raises StorageError."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sha256_lines(values: Iterable[object]) -> str:
    """The SHA-256 over each value's canonical JSON and a newline, in order. Raises StorageError."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(canonical(value) + b"\n")
    return digest.hexdigest()


def _check(value: object, where: str) -> None:
    """Refuse what JSON has no strict form for, and say where it is."""
    if isinstance(value, dict):
        for key, each in value.items():
            if not isinstance(key, str):
                raise StorageError(f"{where} has the key {key!r}; keys are texts")
            _check(each, f"{where}.{key}")
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            _check(each, f"{where}[{index}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise StorageError(f"{where} is {value}; JSON has no such number")
    elif value is not None and not isinstance(value, str | int | bool):
        raise StorageError(f"{where} is a {type(value).__name__}; JSON has no form for that")
