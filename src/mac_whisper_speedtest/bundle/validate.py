"""A bundle's content, looked at until it is known to be sound; or why it is not.

The order: the zip file, digests, schema, letters, what can have happened, and the figures. All is
read as a stream from the zip file, and written nowhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from mac_whisper_speedtest.bundle import write
from mac_whisper_speedtest.bundle.bounds import LONGEST_S, LONGEST_TEXT, check_texts
from mac_whisper_speedtest.bundle.container import (
    INFO,
    JOURNAL,
    MANIFEST,
    SEALED,
    BundleError,
    Container,
)
from mac_whisper_speedtest.bundle.plausible import Witness, check_manifest
from mac_whisper_speedtest.bundle.unsafe_text import acting, may_act, shown
from mac_whisper_speedtest.bundle.write import BundleInfo
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import assemble
from mac_whisper_speedtest.summary.summarize import summarise

LONGEST_LINE = 8 << 20
"""Bytes of a journal's line: an hour of speech with its segments has some 300 000."""
MOST_LINES = 3_000_000
_Decoded = TypeVar("_Decoded")


@dataclass(frozen=True, slots=True)
class Sound:
    """A bundle that nothing was found against.

    Attributes:
        info: what ``bundle.json`` says.
        run: with every figure computed here.
        sha256: of the zip file.
    """

    info: BundleInfo
    run: s.Run
    sha256: str


class _Head(msgspec.Struct):
    format: str
    version: int


class _Versioned(msgspec.Struct):
    schema_version: int


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[Sound, Container]]:
    """A bundle and its members, as long as the block lasts.

    Raises:
        BundleError: from here and from the block; the message names the file, and says why.
        UsageError: there is no such file.
        StorageError: it cannot be read.
    """
    try:
        with Container(path) as container:
            yield _sound(container), container
    except BundleError as error:
        raise BundleError(
            f"{path} is refused: {error.message}",
            hint=error.hint or "ask whoever made it for a bundle that was not changed",
        ) from error


def _sound(container: Container) -> Sound:
    info = _info(container)
    # First of all, so that what was changed is called so, and not by what the change has broken.
    for _ in counted(container, JOURNAL, info):
        pass
    data = b"".join(counted(container, MANIFEST, info))
    version = _decoded(data, _Versioned, MANIFEST).schema_version
    if version > s.SCHEMA_VERSION:
        raise BundleError(
            f"it has schema version {shown(version)}; this tool reads up to {s.SCHEMA_VERSION}",
            hint="install a newer mac-whisper-speedtest",
        )
    manifest = _decoded(data, s.Manifest, MANIFEST)
    _check_letters(data, MANIFEST)
    check_manifest(manifest)
    if manifest.run_id != info.run_id:
        raise BundleError(
            f"bundle.json is of run {shown(info.run_id)}, the manifest of {shown(manifest.run_id)}"
        )
    run = _computed(assemble(manifest, list(_events(container, manifest))))
    if SEALED in container:
        _check_figures(container, run)
    return Sound(info, run, container.sha256())


def _info(container: Container) -> BundleInfo:
    data = container.read(INFO)
    head = _decoded(data, _Head, INFO)
    if head.format != write.FORMAT:
        raise BundleError(f"its format is {shown(head.format)}, not {write.FORMAT!r}")
    if head.version != write.VERSION:
        raise BundleError(
            f"it has bundle version {shown(head.version)}; this tool reads {write.VERSION}",
            hint="install a newer mac-whisper-speedtest",
        )
    info = _decoded(data, BundleInfo, INFO)
    _check_letters(data, INFO)
    if info.members.keys() != {MANIFEST, JOURNAL}:
        raise BundleError(f"bundle.json lists the members {shown(sorted(info.members))}")
    return info


def _events(container: Container, manifest: s.Manifest) -> Iterator[s.Event]:
    """The journal's events, each of them possible."""
    decoder, envelope = msgspec.json.Decoder(s.Event), msgspec.json.Decoder(write.Line)
    witness = Witness(manifest)
    for number, line in enumerate(_lines(container), start=1):
        where = f"journal line {number}"
        if number > MOST_LINES:
            raise BundleError(f"its journal has more than {MOST_LINES} lines")
        try:
            event: s.Event = decoder.decode(line)
            at_s = envelope.decode(line).at_s
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise BundleError(f"{where} is no event: {shown(str(error), 200)}") from error
        if at_s is not None and not 0 <= at_s <= LONGEST_S:
            raise BundleError(f"{where} was written at {shown(at_s)} s")
        if may_act(line):
            _check_letters(line, where)
        if len(line) > LONGEST_TEXT:  # else no text in it is longer
            check_texts(event, where)
        witness.look(event, where)
        yield event


def _lines(container: Container) -> Iterator[bytes]:
    rest = b""
    for block in container.blocks(JOURNAL):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > LONGEST_LINE:
            raise BundleError(f"its journal has a line of more than {LONGEST_LINE} bytes")
    if rest:
        raise BundleError("its journal ends within a line")


def counted(container: Container, name: str, info: BundleInfo) -> Iterator[bytes]:
    """A member in pieces, which must be what bundle.json says of it.

    Raises:
        BundleError: after the last piece, when they were not.
    """
    digest, size = hashlib.sha256(), 0
    for block in container.blocks(name):
        digest.update(block)
        size += len(block)
        yield block
    said = info.members[name]
    if (said.bytes, said.sha256) != (size, digest.hexdigest()):
        raise BundleError(
            f"its {name} was changed: {size} bytes with SHA-256 {digest.hexdigest()[:12]}…, and "
            f"bundle.json says {shown(said.bytes)} with {shown(said.sha256[:12])}"
        )


def _decoded(data: bytes, kind: type[_Decoded], name: str) -> _Decoded:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"its {name} is not what it should be: {shown(str(error), 200)}") from (
            error
        )


def _check_letters(data: bytes, where: str) -> None:
    """Refuse letters that do something to whoever shows them; the tool writes none."""
    if not may_act(data):
        return
    for text in _every_text(msgspec.json.decode(data)):
        letter = acting(text)
        if letter is not None:
            raise BundleError(f"{where} has the letter {letter}, which no bundle has")


def _every_text(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for each in value.values():
            yield from _every_text(each)
    elif isinstance(value, list):
        for each in value:
            yield from _every_text(each)


def _computed(run: s.Run) -> s.Run:
    try:
        return summarise(run)
    except (ArithmeticError, LookupError, ValueError, TypeError, RecursionError) as error:
        raise BundleError(
            f"no figures come out of it ({type(error).__name__}: {shown(str(error), 200)})"
        ) from error


def _check_figures(container: Container, run: s.Run) -> None:
    """Refuse a sealed run whose figures are not those of the samples beside it."""
    sealed = _decoded(container.read(SEALED), s.Run, SEALED)
    claimed = {cell.id: cell.summary for cell in sealed.cells}
    for cell in run.cells:
        for name in s.Summary.__struct_fields__:
            said = getattr(claimed.get(cell.id), name, None)
            found = getattr(cell.summary, name)
            if not isinstance(found, list | s.Struct) and not _equal(said, found):
                raise BundleError(
                    f"its run.json says {name} {shown(said)} of {shown(cell.id)}; its samples "
                    f"give {shown(found)}"
                )


def _equal(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other
