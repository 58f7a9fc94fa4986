"""The last check before a bundle is written: does it still contain anything private?

It runs after the allow-list and is independent of it, except for the fields that may contain spoken
or public words: there, a user name such as ``may`` or ``whisper`` is not a leak.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from mac_whisper_speedtest.bundle.fields import POLICIES
from mac_whisper_speedtest.declared import FieldPolicy
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.privacy import MAC_ADDRESS, Secret, secrets
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.secret_forms import TOKEN, without_secrets

PUBLIC_WORDS = frozenset(
    {"apple", "audio", "base", "batch", "batched", "beam", "beam5", "best", "bin", "cities"}
    | {"condition", "config", "coreml", "cpp", "cpu", "crispasr", "ctranslate2", "cuda", "distil"}
    | {"fast", "faster", "fixed", "float16", "float32", "fluidaudio", "ggml", "gpu", "greedy"}
    | {"huggingface", "insanely", "int8", "json", "language", "large", "lightning", "long"}
    | {"mac", "medium", "metal", "mlx", "model", "moonshine", "mps", "npz", "numpy", "onnx"}
    | {"openai", "parakeet", "previous", "progressive", "python", "sequential", "shipped"}
    | {"sherpa", "short", "size", "small", "speech", "speedtest", "task", "tdt"}
    | {"temperatures", "text"}
    | {"timestamps", "tiny", "tokenizer", "torch", "transcribe", "turbo", "vad", "vocabulary"}
    | {"voice", "whisper", "whisperkit", "whisperx", "window"}
)
"""Words in the names of backends, models, clips and settings, which identify no user with the same
name; a test compares them with all existing names."""

_SHAPES = bytes(
    ord("x") if chr(code) in "0123456789abcdefABCDEF" else ord(":") if chr(code) in ":-" else 0
    for code in range(256)
)
_SIX_PAIRS = b"xx:xx:xx:xx:xx:xx"
"""A hardware address in which every hexadecimal digit is an x."""

_SPOKEN = frozenset(
    {
        FieldPolicy.KEPT,
        FieldPolicy.SAID,
        FieldPolicy.REFERENCE,
        FieldPolicy.SOURCE,
        FieldPolicy.RECOMPUTED,
    }
)
_NAMES = frozenset(
    {FieldPolicy.NAME, FieldPolicy.CLIP, FieldPolicy.UTTERANCE, FieldPolicy.CELL, FieldPolicy.FILES}
)
_PEOPLE = frozenset({"user name", "host name"})


_RENAME = (
    "rename what has this name and measure again; if the name is not yours, report this as a bug"
)
_HINTS = {
    "token": "check that field: it looks like a secret, or is the value of an environment "
    "variable; if it is neither secret nor yours, unset that variable"
}


class LeakScanner:
    """Searches lines before they are written.

    Args:
        known: the secrets; this machine's unless given.
    """

    def __init__(self, known: Sequence[Secret] | None = None) -> None:
        self._known = secrets() if known is None else list(known)
        # As in JSON, with escaped quotes and backslashes.
        self._written = [
            json.dumps(each.text, ensure_ascii=False)[1:-1].lower() for each in self._known
        ]

    def refuse(self, line: bytes, where: str, kind: Any) -> None:
        """Refuse a line of JSON that gives something away.

        Args:
            line: in its final form.
            where: what to call it in the message.
            kind: its struct.

        Raises:
            UsageError: it does; the message names the field, and not the secret.
        """
        if not self._may_hold_a_secret(line):
            return
        for field, how, value in _texts(msgspec.json.decode(line, type=kind), ""):
            found = self.found(value, how)
            if found:
                raise UsageError(
                    f"nothing was written: {where} would give away a {found}, in {field}",
                    hint=_HINTS.get(found, _RENAME),
                )

    def _may_hold_a_secret(self, line: bytes) -> bool:
        """A quick first check: a run can have a million lines."""
        text = line.decode()
        low = text.lower()
        return (
            any(written in low for written in self._written)
            or without_secrets(text) != text
            or _SIX_PAIRS in line.translate(_SHAPES)
        )

    def found(self, text: str, how: FieldPolicy) -> str:
        """The kind of secret in the text of a field; empty if there is none."""
        if TOKEN.search(text) if how in _SPOKEN else without_secrets(text) != text:
            return "token"
        if MAC_ADDRESS.search(text):
            return "MAC address"
        for secret in self._known:
            if how in _SPOKEN and secret.may_be_a_word:
                continue
            if how in _NAMES and secret.kind in _PEOPLE and secret.text.lower() in PUBLIC_WORDS:
                continue
            if secret.pattern.search(text):
                return secret.kind
        return ""


def _texts(value: Any, where: str) -> Iterator[tuple[str, FieldPolicy, str]]:
    """Every text in a struct of the schema, with its field and the field's policy."""
    if isinstance(value, s.Struct):
        for name, how in POLICIES[type(value)].items():
            inner = getattr(value, name)
            field = f"{where}.{name}" if where else f"{type(value).__name__}.{name}"
            yield from (
                _texts(inner, field) if how is FieldPolicy.INSIDE else _plain(inner, how, field)
            )
    elif isinstance(value, dict):
        for key, each in value.items():
            yield f"a name in {where}", FieldPolicy.NAME, key
            yield from _texts(each, where)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, where)


def _plain(value: Any, how: FieldPolicy, field: str) -> Iterator[tuple[str, FieldPolicy, str]]:
    if isinstance(value, str):
        yield field, how, value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield f"a name in {field}", FieldPolicy.NAME, key
            yield from _plain(each, how, f"{field}.{key}")
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _plain(each, how, field)
