"""Validates the content of a bundle, or refuses it with a reason.

The order: the zip file, digests, schema, control characters, plausibility, and the figures.
Everything is streamed from the zip file; nothing is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.bundle.container import BundleError, Container, open_container
from mac_whisper_speedtest.bundle.members import (
    FORMAT,
    INFO,
    JOURNAL,
    MANIFEST,
    SEALED,
    VERSION,
    BundleInfo,
    JournalLine,
)
from mac_whisper_speedtest.bundle.redact import PSEUDONYM
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.limits import LONGEST_LINE, LONGEST_NAME, LONGEST_S, LimitError
from mac_whisper_speedtest.printable import control_character, may_have_control, shown
from mac_whisper_speedtest.results import digests, directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import assemble
from mac_whisper_speedtest.results.plausible import EventChecker, ImplausibleError
from mac_whisper_speedtest.summary.evidence import JournalClock
from mac_whisper_speedtest.summary.summarize import summarize

# Whether a run can have written a manifest and a journal. Pure.
#
# Data that would break a figure, give an impossible one, or attack the viewer is refused. Data that
# a broken backend may produce (a wrong clock, times out of order) passes, and findings report it.


MOST_CELLS, MOST_RECORDINGS, MOST_ROUNDS = 500, 200_000, 100_000
_KINDS = {"clip", "set", "durations"}
_RATE = 16000
_HASH = re.compile(r"[0-9a-f]{64}")
_RUN_ID = re.compile(r"[0-9a-f]{32}")


def check_manifest(manifest: s.Manifest) -> None:
    """Refuse a manifest that no run can have written.

    Raises:
        BundleError: a check failed.
    """
    _demand(
        manifest.schema_version == s.SCHEMA_VERSION,
        f"it has schema version {manifest.schema_version}; this tool reads {s.SCHEMA_VERSION}",
    )
    _demand(
        _RUN_ID.fullmatch(manifest.run_id),
        f"the run's id is {shown(manifest.run_id)}, not 32 hexadecimal digits",
    )
    _demand(manifest.cells, "the run has no cells")
    _at_most("cells", len(manifest.cells), MOST_CELLS)
    _at_most("clips", len(manifest.clips), MOST_CELLS)
    _at_most("rounds", len(manifest.schedule), MOST_ROUNDS)
    _check_limits(manifest, "the manifest")
    for clip in manifest.clips:
        _check_clip(clip)
    clips = [clip.name for clip in manifest.clips]
    ids = [plan.id for plan in manifest.cells]
    _unique("clips", clips)
    _unique("cells", ids)
    for plan in manifest.cells:
        _demand(
            plan.clip in clips, f"{shown(plan.id)} has the clip {shown(plan.clip)}, not in the run"
        )
        for name in (plan.id, plan.backend, plan.model):
            _check_name(name)
    known = set(ids)
    for name in (name for visit in manifest.schedule for name in visit):
        _demand(name in known, f"the schedule has {shown(name)}, which is not a cell of the run")


def _check_clip(clip: s.ClipInfo) -> None:
    _check_name(clip.name)
    _demand(clip.kind in _KINDS, f"a clip is of the kind {shown(clip.kind)}")
    _at_most("recordings", len(clip.utterances), MOST_RECORDINGS)
    _demand(_HASH.fullmatch(clip.pcm_sha256), f"{shown(clip.pcm_sha256)} is not a SHA-256")
    for each in clip.recordings:
        name = each.name or clip.name
        _demand(_HASH.fullmatch(each.pcm_sha256), f"{shown(each.pcm_sha256)} is not a SHA-256")
        _demand(each.samples > 0, f"{shown(name)} has {each.samples} samples")
        _demand(
            abs(each.seconds - each.samples / _RATE) <= 1 / _RATE,
            f"{shown(name)} should last {each.seconds:g} s, but has {each.samples} samples, "
            f"which are {each.samples / _RATE:g} s",
        )
    if not clip.utterances:
        return
    names = [each.name for each in clip.utterances]
    _unique("recordings", names)
    for name in names:
        _check_name(name)
    seconds = math.fsum(each.seconds for each in clip.utterances)
    _demand(
        math.isclose(clip.seconds, seconds, rel_tol=1e-6)
        and clip.samples == sum(each.samples for each in clip.utterances),
        f"{shown(clip.name)} should last {clip.seconds:g} s, but its recordings last {seconds:g} s",
    )
    if not any(PSEUDONYM.fullmatch(name) for name in names):
        lines = sorted(f"{each.name} {each.pcm_sha256}\n" for each in clip.utterances)
        _demand(
            hashlib.sha256("".join(lines).encode()).hexdigest() == clip.pcm_sha256,
            f"the hash of {shown(clip.name)} does not match its recordings",
        )


def _check_limits(struct: s.Struct, where: str) -> None:
    """Refuse impossible numbers, and texts too long to have been spoken."""
    try:
        limits.check(struct)
    except LimitError as error:
        raise BundleError(f"{where}: {error}") from error


def _check_name(name: str) -> None:
    _demand(
        0 < len(name) <= LONGEST_NAME and name.isprintable(),
        f"the name {shown(name)} is empty, too long, or not printable",
    )


def _at_most(what: str, there: int, most: int) -> None:
    _demand(there <= most, f"it has {there} {what}; at most {most} are read")


def _unique(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        _demand(name not in seen, f"two {what} are named {shown(name)}")
        seen.add(name)


def _demand(holds: object, otherwise: str) -> None:
    if not holds:
        raise BundleError(otherwise)


MOST_LINES = 3_000_000
_DECODED_FREE = 48 << 20
_DECODED_PER_BYTE = 150
_BYTES_OF_A_VALUE = 128
"""Bytes of memory for an entry of an object or a list: between 40 and 170."""
_Decoded = TypeVar("_Decoded")


@dataclass(frozen=True, slots=True)
class ValidatedBundle:
    """A bundle that passed all checks.

    Attributes:
        info: the content of ``bundle.json``.
        run: with every figure computed here.
        sha256: of the zip file.
        journal_doubts: cell id → how its samples contradict the times of the journal's lines.
    """

    info: BundleInfo
    run: s.Run
    sha256: str
    journal_doubts: Mapping[str, str]


class _Head(msgspec.Struct):
    format: str
    version: int


class _Versioned(msgspec.Struct):
    schema_version: int
    run_id: str = ""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[tuple[ValidatedBundle, Container]]:
    """A bundle and its members, as long as the block lasts.

    Raises:
        BundleError: from here and from the block; the message names the file and the reason.
        UsageError: there is no such file.
        StorageError: it cannot be read.
    """
    try:
        with open_container(path) as container:
            yield validated(container), container
    except BundleError as error:
        raise BundleError(
            f"{path} is refused: {error.message}",
            hint=error.hint or "ask its author for an unchanged bundle",
        ) from error


def validated(container: Container) -> ValidatedBundle:
    """A bundle with its figures, after all checks. Raises BundleError."""
    info = _info(container)
    # First, so that a changed member is reported as changed, not by a consequence of the change.
    for _ in counted(container, JOURNAL, info):
        pass
    data = b"".join(counted(container, MANIFEST, info))
    head = _decoded(data, _Versioned, MANIFEST)
    version = head.schema_version
    if directory.is_outdated(version, head.run_id):
        raise BundleError(f"it {directory.OUTDATED}", hint="ask for a bundle of a newer run")
    if version > s.SCHEMA_VERSION:
        raise BundleError(
            f"it has schema version {shown(version)}; this tool reads up to {s.SCHEMA_VERSION}",
            hint="install a newer mac-whisper-speedtest",
        )
    manifest = _decoded(data, s.Manifest, MANIFEST)
    _check_letters(data, MANIFEST)
    check_manifest(manifest)
    requested = digests.of_request(data)
    if manifest.request_sha256 != requested:
        raise BundleError(
            f"its request has the SHA-256 {requested[:12]}…, but its manifest has "
            f"{shown(manifest.request_sha256[:12])}"
        )
    if manifest.run_id != info.run_id:
        raise BundleError(
            f"bundle.json is of run {shown(info.run_id)}, but the manifest is of "
            f"{shown(manifest.run_id)}"
        )
    budget = _DecodedBudget(container.size())
    budget.spend(data)
    clock = JournalClock()
    run = _computed(assemble(manifest, list(_events(container, manifest, budget, clock))))
    if SEALED in container:
        _check_figures(container, run)
    return ValidatedBundle(info, run, container.sha256(), clock.doubts())


def _info(container: Container) -> BundleInfo:
    data = container.read(INFO)
    head = _decoded(data, _Head, INFO)
    if head.format != FORMAT:
        raise BundleError(f"its format is {shown(head.format)}, not {FORMAT!r}")
    if head.version != VERSION:
        raise BundleError(
            f"it has bundle version {shown(head.version)}; this tool reads {VERSION}",
            hint="install a newer mac-whisper-speedtest",
        )
    info = _decoded(data, BundleInfo, INFO)
    _check_letters(data, INFO)
    if info.members.keys() != {MANIFEST, JOURNAL}:
        raise BundleError(f"bundle.json lists the members {shown(sorted(info.members))}")
    return info


class _DecodedBudget:
    """Bounds the memory for decoded JSON by the size of the bundle's file.

    A genuine run takes up to 100 times its bundle: its journal is compressed 5 to 20 times, and an
    object takes about 5 times its JSON. A forged file with the shortest possible values could take
    6 times as much again.

    Args:
        size: of the file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self._most = self._left = _DECODED_FREE + _DECODED_PER_BYTE * size

    def spend(self, line: bytes) -> None:
        """Count a line of JSON before it is decoded.

        Raises:
            BundleError: the bundle would take more memory than its size allows.
        """
        self._left -= len(line) + _BYTES_OF_A_VALUE * line.count(b",")
        if self._left < 0:
            raise BundleError(
                f"decoding it takes more than {megabytes(self._most)}, too much for its size"
            )


def _events(
    container: Container, manifest: s.Manifest, budget: _DecodedBudget, clock: JournalClock
) -> Iterator[s.Event]:
    """The journal's events, each checked for plausibility."""
    decoder, envelope = msgspec.json.Decoder(s.Event), msgspec.json.Decoder(JournalLine)
    checker = EventChecker(manifest)
    for number, line in enumerate(_lines(container), start=1):
        where = f"journal line {number}"
        if number > MOST_LINES:
            raise BundleError(f"its journal has more than {MOST_LINES} lines")
        try:
            line.decode()  # msgspec skips unknown fields, so it does not check their UTF-8
            limits.check_depth(line)
            budget.spend(line)
            event: s.Event = decoder.decode(line)
            at_s = envelope.decode(line).at_s
        except (LimitError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BundleError(f"{where} is not an event: {shown(str(error), 200)}") from error
        if at_s is not None and not 0 <= at_s <= LONGEST_S:
            raise BundleError(f"{where} has the impossible time {shown(at_s)} s")
        if may_have_control(line):
            _check_letters(line, where)
        try:
            checker.check(event)
        except ImplausibleError as error:
            raise BundleError(f"{where} {error}") from error
        clock.add(at_s, event)
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
    """A member in pieces, checked against bundle.json.

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
            f"bundle.json has {shown(said.bytes)} with {shown(said.sha256[:12])}"
        )


def _decoded(data: bytes, kind: type[_Decoded], name: str) -> _Decoded:
    try:
        data.decode()
        limits.check_depth(data)
        return msgspec.json.decode(data, type=kind)
    except (LimitError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(f"its {name} is malformed: {shown(str(error), 200)}") from (error)


def _check_letters(data: bytes, where: str) -> None:
    """Refuse control characters, which could attack a terminal; this tool writes none."""
    if not may_have_control(data):
        return
    for text in _every_text(msgspec.json.decode(data)):
        letter = control_character(text)
        if letter is not None:
            raise BundleError(f"{where} has the control character {letter}, which no bundle has")


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
        return summarize(run)
    except (ArithmeticError, LookupError, ValueError, TypeError, RecursionError) as error:
        raise BundleError(
            f"its figures cannot be computed ({type(error).__name__}: {shown(str(error), 200)})"
        ) from error


def _check_figures(container: Container, run: s.Run) -> None:
    """Refuse a sealed run with figures that do not follow from its samples."""
    sealed = _decoded(container.read(SEALED), s.Run, SEALED)
    claimed = {cell.id: cell.summary for cell in sealed.cells}
    for cell in run.cells:
        for name in s.Summary.__struct_fields__:
            stated = getattr(claimed.get(cell.id), name, None)
            found = getattr(cell.summary, name)
            if not isinstance(found, list | s.Struct) and not _equal(stated, found):
                raise BundleError(
                    f"its run.json has {name} {shown(stated)} for {shown(cell.id)}; its samples "
                    f"give {shown(found)}"
                )


def _equal(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-9)
    return one == other
