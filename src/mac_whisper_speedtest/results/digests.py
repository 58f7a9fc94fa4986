"""Digests of a run's files: SHA-256 over canonical JSON.

Canonical means: keys sorted, no white space, UTF-8 as it is, numbers as the shortest text that
reads back as the same number, and nothing but the strict primitives of JSON. The same facts have
the same digest, however a file was indented and in whatever order its fields came.

A seal also has one digest over bytes: figures of unchanged files need not be computed
again (``unchanged``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

import msgspec

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.limits import LONGEST_MESSAGE, LimitError
from mac_whisper_speedtest.printable import printable_line
from mac_whisper_speedtest.results.schema import SCHEMA_VERSION, DigestsInfo, Run
from mac_whisper_speedtest.version import __version__

_Read = TypeVar("_Read")


def canonical(value: object) -> bytes:
    """``value``, a JSON value or a struct of the schema, as canonical JSON.

    Raises:
        StorageError: it contains NaN, an infinity, or a value that JSON cannot express.
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
    """The digest of ``manifest.json``, independent of its indentation.

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


# The seal: run.json with the digests at its end, and whether its figures are current.


_SEAL = b'\n  "digests": '
"""Begins the digests in ``run.json``: texts in JSON contain no line breaks."""
_ROOMS = ("accuracy", "backends/contract.py", "machine", "results", "stats", "summary")
"""The code on which figures depend."""


@cache
def computed_by() -> str:
    """The version of this program, of the schema, and of the code that computes figures.

    The code has its own digest, because it changes between releases without a new version.
    """
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for room in _ROOMS:
        place = package / room
        inside = place.rglob("*") if place.is_dir() else [place]
        for path in sorted(each for each in inside if each.suffix != ".pyc" and each.is_file()):
            digest.update(path.relative_to(package).as_posix().encode() + b"\n" + path.read_bytes())
    return f"{__version__}/{SCHEMA_VERSION}/{digest.hexdigest()[:16]}"


def sealed(run: Run, *, manifest: bytes, journal: bytes) -> bytes:
    """The bytes of ``run.json``: ``run`` with the digests that it is sealed with.

    Args:
        run: with its summaries.
        manifest: the bytes of its ``manifest.json``.
        journal: those of its ``journal.jsonl``.

    Raises:
        StorageError: the manifest is not JSON.
    """
    data = msgspec.json.encode(msgspec.structs.replace(run, digests=None))
    body = msgspec.json.format(data, indent=2).rpartition(_SEAL)[0]
    seal = DigestsInfo(
        manifest=of_manifest(manifest),
        journal=of_journal(journal),
        run=_digest_of_run(msgspec.json.decode(data, type=dict[str, msgspec.Raw])),
        files=_of_files(manifest, journal, body),
        computed_by=computed_by(),
    )
    last = msgspec.json.format(msgspec.json.encode({"digests": seal}), indent=2)
    return body + last.removeprefix(b"{") + b"\n"


class _Sealed(msgspec.Struct):
    digests: DigestsInfo


def unchanged(sealed: bytes, *, manifest: bytes, journal: bytes) -> bool:
    """Whether this program would compute the same ``run.json`` from the files it was made of.

    True only where this very version sealed the run, and no byte of the three files has changed.

    Args:
        sealed: the bytes of ``run.json``.
        manifest: those of ``manifest.json``.
        journal: those of ``journal.jsonl``.
    """
    end = sealed.rfind(_SEAL)
    try:
        seal = msgspec.json.decode(
            b'{"digests":' + sealed[end + len(_SEAL) :] if end >= 0 else b"", type=_Sealed
        ).digests
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    # A view: copying took longer than hashing.
    files = (manifest, journal, memoryview(sealed)[:end])
    return seal.computed_by == computed_by() and seal.files == _of_files(*files)


def _of_files(*contents: bytes | memoryview) -> str:
    digest = hashlib.sha256()
    for data in contents:
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


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
    """Whole lines, as in ``read_journal``: an unfinished last line is left out."""
    for line in data.split(b"\n")[:-1]:
        with contextlib.suppress(LimitError, msgspec.DecodeError, UnicodeDecodeError):
            limits.check_depth(line)
            yield msgspec.json.decode(line)
