"""What the files of a run hold, as digests: SHA-256 over canonical JSON.

Canonical means: keys sorted, no white space, UTF-8 as it is, numbers as the shortest text that
reads back as the same number, and nothing but the strict primitives of JSON. The same facts have
the same digest, however a file was indented and in whatever order its fields came.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.limits import LONGEST_MESSAGE, LimitError
from mac_whisper_speedtest.printable import printable_line
from mac_whisper_speedtest.results.schema import DigestsInfo, Run

_Read = TypeVar("_Read")


def canonical(value: object) -> bytes:
    """``value``, which JSON can hold or which is a struct of the schema, as canonical JSON.

    Raises:
        StorageError: it holds NaN, an infinity, or something that JSON has no form for.
    """
    try:
        plain = msgspec.to_builtins(value, str_keys=True)
        return json.dumps(
            plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except (TypeError, ValueError) as error:
        raise StorageError(f"this cannot be written as JSON: {error}") from error


def sha256(value: object) -> str:
    """The SHA-256 of ``value``'s canonical JSON, 64 hexadecimal digits. Raises StorageError."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sha256_lines(values: Iterable[object]) -> str:
    """The SHA-256 over each value's canonical JSON and a newline, in order. Raises StorageError."""
    digest = hashlib.sha256()
    for value in values:
        digest.update(canonical(value) + b"\n")
    return digest.hexdigest()


def of_manifest(data: bytes) -> str:
    """The digest of ``manifest.json``, however it is indented.

    Raises:
        StorageError: it is not JSON.
    """
    return sha256(decoded(data, object, "manifest.json"))


def of_journal(data: bytes) -> str:
    """The digest of the whole lines of ``journal.jsonl``; damaged ones are left out."""
    return sha256_lines(_decoded_lines(data))


def of_run(data: bytes) -> str:
    """The digest of ``run.json`` without its ``digests``.

    Raises:
        StorageError: it is not a JSON object.
    """
    return _digest_of_run(decoded(data, dict[str, msgspec.Raw], "run.json"))


def _digest_of_run(parts: Mapping[str, msgspec.Raw]) -> str:
    digest = hashlib.sha256()
    for number, name in enumerate(sorted(parts.keys() - {"digests"})):
        digest.update(b"%s%s:" % (b"," if number else b"{", canonical(name)))
        for piece in _pieces(parts[name]):
            digest.update(piece)
    digest.update(b"}")
    return digest.hexdigest()


def _pieces(part: msgspec.Raw) -> Iterator[bytes]:
    """The canonical JSON of a value; of a list entry by entry, because a run's cells are large."""
    if not bytes(part).lstrip().startswith(b"["):
        yield canonical(msgspec.json.decode(part))
        return
    yield b"["
    for number, entry in enumerate(msgspec.json.decode(part, type=list[msgspec.Raw])):
        yield b"," if number else b""
        yield canonical(msgspec.json.decode(entry))
    yield b"]"


class _Requested(msgspec.Struct):
    request: dict[str, object]


def of_request(manifest: bytes) -> str:
    """The digest of the request in ``manifest.json``: its ``request_sha256``.

    Raises:
        StorageError: it is no manifest.
    """
    return sha256(decoded(manifest, _Requested, "manifest.json").request)


def goes_on(journal: bytes, sealed_as: str) -> bool:
    """Whether a journal is one that was sealed, and then taken up again (``--resume``).

    Args:
        journal: the bytes of ``journal.jsonl``.
        sealed_as: the digest that it was sealed with.
    """
    lines = list(_decoded_lines(journal))
    return any(
        isinstance(line, dict)
        and line.get("event") == "resumed"
        and sha256_lines(lines[:number]) == sealed_as
        for number, line in enumerate(lines)
    )


def sealed(run: Run, *, manifest: bytes, journal: bytes) -> Run:
    """``run`` with the digests that it is sealed with.

    Args:
        run: with its summaries.
        manifest: the bytes of its ``manifest.json``.
        journal: those of its ``journal.jsonl``.

    Raises:
        StorageError: the manifest is not JSON.
    """
    return msgspec.structs.replace(
        run,
        digests=DigestsInfo(
            manifest=of_manifest(manifest),
            journal=of_journal(journal),
            run=_digest_of_run(
                msgspec.json.decode(msgspec.json.encode(run), type=dict[str, msgspec.Raw])
            ),
        ),
    )


def decoded(data: bytes, kind: type[_Read], name: object) -> _Read:
    """A JSON document of a run.

    Raises:
        StorageError: ``name`` is damaged.
    """
    try:
        limits.check_depth(data)
        return msgspec.json.decode(data, type=kind)
    except (LimitError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StorageError(
            f"{name} is damaged: {printable_line(str(error))[:LONGEST_MESSAGE]}"
        ) from error


def _decoded_lines(data: bytes) -> Iterator[object]:
    """As ``read_journal`` goes through them: a last line without its end is none."""
    for line in data.split(b"\n")[:-1]:
        with contextlib.suppress(LimitError, msgspec.DecodeError, UnicodeDecodeError):
            limits.check_depth(line)
            yield msgspec.json.decode(line)
