"""A line of a worker's stdout as a message, and a call as a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from mac_whisper_speedtest.limits import LONGEST_LINE, LimitError, check_depth
from mac_whisper_speedtest.printable import shown
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.worker import protocol as m

T = TypeVar("T")
_SHOWN_CHARACTERS = 80
_SCRUBBED_BYTES = 4096


class ViolationError(Exception):
    """A worker's message breaks the protocol; the text gives the reason."""


@dataclass(frozen=True, slots=True)
class ErrorObject:
    """The error object of an answer."""

    code: int
    message: str
    data: m.ErrorData | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: either ``error`` is set, or ``result`` holds its JSON."""

    id: int | str | None
    result: bytes
    error: ErrorObject | None


class _RpcMessage(msgspec.Struct):
    jsonrpc: str
    id: int | str | msgspec.UnsetType | None = msgspec.UNSET
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw(b"{}")
    result: msgspec.Raw = msgspec.Raw()
    error: ErrorObject | None = None


_DECODER = msgspec.json.Decoder(_RpcMessage)
_NOTIFICATIONS: dict[str, type[m.ProgressParams | m.LogParams]] = {
    "progress": m.ProgressParams,
    "log": m.LogParams,
}


def parse(line: bytes) -> Reply | m.ProgressParams | m.LogParams:
    """The message in a line of stdout.

    Raises:
        ViolationError: it is not a message of the protocol.
    """
    if len(line) > LONGEST_LINE:
        raise ViolationError(f"wrote a line of more than {LONGEST_LINE} bytes: {start_of(line)}")
    try:
        check_depth(line)
        message = _DECODER.decode(line)
    except (LimitError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ViolationError(
            f"wrote something other than the protocol to stdout: {start_of(line)} ({error})"
        ) from error
    if message.jsonrpc != "2.0":
        raise ViolationError(f"jsonrpc is {shown(message.jsonrpc)}, not '2.0'")
    if message.method is not None:
        kind = _NOTIFICATIONS.get(message.method)
        if kind is None:
            raise ViolationError(f"unknown notification {shown(message.method)}")
        return decode(message.params, kind, message.method)
    if message.id is msgspec.UNSET:
        raise ViolationError(f"an answer without an id: {start_of(line)}")
    if (message.error is None) == (not bytes(message.result)):
        raise ViolationError(f"an answer needs exactly one of result and error: {start_of(line)}")
    return Reply(message.id, bytes(message.result), message.error)


def start_of(line: bytes) -> str:
    """The first characters of a line, for a message."""
    text = scrub(line[:_SCRUBBED_BYTES].decode("utf-8", "replace").rstrip())
    return shown(text, _SHOWN_CHARACTERS)


def decode(data: bytes | msgspec.Raw, kind: type[T], what: str) -> T:
    """The parameters or the result in a message of checked depth.

    Raises:
        ViolationError: they do not fit; ``what`` names them.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ViolationError(f"bad {what}: {error}") from error


def encode(identity: int, method: str, params: Mapping[str, Any]) -> bytes:
    """One call as a line of JSON."""
    call = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params}
    return msgspec.json.encode(call) + b"\n"
