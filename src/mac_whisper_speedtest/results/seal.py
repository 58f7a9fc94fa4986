"""What a run's files held when it was sealed, as digests. Pure functions of the files' bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import msgspec

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results import digest
from mac_whisper_speedtest.results.schema import DigestsInfo, RequestInfo, Run


def of_manifest(data: bytes) -> str:
    """The digest of ``manifest.json``, however it is indented.

    Raises:
        StorageError: it is not JSON.
    """
    return digest.sha256(_parsed(data, "manifest.json"))


def of_journal(data: bytes) -> str:
    """The digest of the whole lines of ``journal.jsonl``; damaged ones are left out."""
    return digest.sha256_lines(_lines(data))


def of_run(data: bytes) -> str:
    """The digest of ``run.json`` without its ``digests``.

    Raises:
        StorageError: it is not a JSON object.
    """
    content = _parsed(data, "run.json")
    if not isinstance(content, dict):
        raise StorageError("run.json is damaged: it holds no object")
    return digest.sha256({name: each for name, each in content.items() if name != "digests"})


def of_request(manifest: bytes) -> set[str]:
    """What ``request_sha256`` may be for the request in ``manifest.json``.

    The fields are those of the version that wrote it, in the order of the schema; in a file that
    was written anew they may come in another.

    Raises:
        StorageError: it is no manifest.
    """
    content = _parsed(manifest, "manifest.json")
    request = content.get("request") if isinstance(content, dict) else None
    if not isinstance(request, dict):
        raise StorageError("manifest.json is damaged: it has no request")
    order = [each.name for each in msgspec.structs.fields(RequestInfo)]
    known = {name: request[name] for name in order if name in request} | request
    text = b",".join(
        msgspec.json.encode(name) + b":" + msgspec.json.encode(value, order="deterministic")
        for name, value in known.items()
    )
    return {hashlib.sha256(b"{" + text + b"}").hexdigest(), digest.sha256(request)}


def goes_on(journal: bytes, sealed_as: str) -> bool:
    """Whether a journal is one that was sealed, and then taken up again (``--resume``).

    Args:
        journal: the bytes of ``journal.jsonl``.
        sealed_as: the digest that it was sealed with.
    """
    lines = list(_lines(journal))
    return any(
        isinstance(line, dict)
        and line.get("event") == "resumed"
        and digest.sha256_lines(lines[:number]) == sealed_as
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
            run=of_run(msgspec.json.encode(run)),
        ),
    )


def _parsed(data: bytes, name: str) -> object:
    try:
        found: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StorageError(f"{name} is damaged: {error}") from error
    return found


def _lines(data: bytes) -> Iterator[object]:
    """As ``journal.read`` goes through them: a last line without its end is none."""
    for line in data.split(b"\n")[:-1]:
        try:
            yield msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
