"""Writing a run as one file to give away: ``bundle.json``, ``journal.jsonl``, ``manifest.json``.

The same run gives the same bytes. docs/bundles.md has the format, and what is left out of it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from mac_whisper_speedtest import files
from mac_whisper_speedtest.bundle import redact
from mac_whisper_speedtest.bundle.container import (
    INFO,
    JOURNAL,
    LARGEST_MEMBER,
    MANIFEST,
    MemberInfo,
)
from mac_whisper_speedtest.bundle.fields import POLICIES
from mac_whisper_speedtest.bundle.redact import Redactor
from mac_whisper_speedtest.declared import FieldPolicy
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.privacy import MAC_ADDRESS, Secret, secrets
from mac_whisper_speedtest.results import directory, journal
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.results.schema.base import Struct
from mac_whisper_speedtest.secret_forms import TOKEN, without_secrets
from mac_whisper_speedtest.version import __version__

# The last check before a bundle is written: does it still contain anything private?
#
# It runs after the allow-list and is independent of it, except for the fields that may contain
# spoken or public words: there, a user name such as ``may`` or ``whisper`` is not a leak.


PUBLIC_WORDS = frozenset(
    {"base", "batch", "batched", "beam", "beam5", "best", "bin", "cities", "condition", "config"}
    | {"cpp", "cpu", "ctranslate2", "cuda", "distil", "fast", "faster", "fixed", "float16"}
    | {"float32", "fluidaudio", "ggml", "gpu", "greedy", "huggingface", "insanely", "int8", "json"}
    | {"language", "large", "lightning", "long", "mac", "medium", "metal", "mlx", "model"}
    | {"moonshine", "mps", "npz", "numpy", "onnx", "openai", "parakeet", "previous", "python"}
    | {"sequential", "shipped", "short", "size", "small", "speedtest", "task", "tdt"}
    | {"temperatures", "text", "timestamps", "tiny", "tokenizer", "torch", "transcribe", "turbo"}
    | {"vad", "vocabulary", "voice", "whisper", "whisperkit", "whisperx", "window"}
)
"""Words in the names of backends, models, clips and settings, which identify no user with the same
name; a test holds them against the names that there are."""

_SHAPES = bytes(
    ord("x") if chr(code) in "0123456789abcdefABCDEF" else ord(":") if chr(code) in ":-" else 0
    for code in range(256)
)
_SIX_PAIRS = b"xx:xx:xx:xx:xx:xx"
"""How a hardware address looks when every hexadecimal digit is an x."""

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


class LeakScanner:
    """Searches what is about to be written.

    Args:
        known: what is secret; this machine's unless given.
    """

    def __init__(self, known: Sequence[Secret] | None = None) -> None:
        self._known = secrets() if known is None else list(known)
        # As they stand in JSON: quotes and backslashes are escaped there.
        self._written = [
            json.dumps(each.text, ensure_ascii=False)[1:-1].lower() for each in self._known
        ]

    def refuse(self, line: bytes, where: str, kind: Any) -> None:
        """Refuse a line of JSON that gives something away.

        Args:
            line: as it is to be written.
            where: what to call it in the message.
            kind: the struct that it holds.

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
                    hint="rename what is called so, and measure again; if the name is none of "
                    "yours, report this as a bug",
                )

    def _may_hold_a_secret(self, line: bytes) -> bool:
        """Whether a line may hold a secret, quickly: a run has a million lines."""
        text = line.decode()
        low = text.lower()
        return (
            any(written in low for written in self._written)
            or without_secrets(text) != text
            or _SIX_PAIRS in line.translate(_SHAPES)
        )

    def found(self, text: str, how: FieldPolicy) -> str:
        """The kind of secret in the text of a field; empty where there is none."""
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
    """Every text in a struct of the schema with its field and how that is handled."""
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


FORMAT = "mac-whisper-speedtest bundle"
VERSION = 1
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip file can have (APPNOTE 4.4.6)."""
_FILE_MODE = 0o100644 << 16
_UNIX = 3
_BLOCK = 1 << 16


class WriterInfo(Struct, frozen=True, kw_only=True):
    """The program that wrote a bundle."""

    name: str
    version: str


class BundleInfo(Struct, frozen=True, kw_only=True):
    """The whole of ``bundle.json``."""

    format: str
    version: int
    tool: WriterInfo
    run_id: str
    texts_left_out: bool
    members: dict[str, MemberInfo]


class JournalLine(msgspec.Struct):
    """When a line of the journal was written; the rest of it is an event."""

    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class BundleContents:
    """What a bundle of a run holds.

    Attributes:
        info: the text of ``bundle.json``, decoded.
        manifest: the bytes of ``manifest.json``.
        journal: a stream over ``journal.jsonl``, at its beginning.
    """

    info: BundleInfo
    manifest: bytes
    journal: IO[bytes]


def write_bundle(run: RunDirectory, path: Path, *, texts: bool = True) -> BundleInfo:
    """Write ``run`` as a bundle. On any error ``path`` is as it was.

    Args:
        run: one that is not being written.
        path: the file, which is replaced if it is there.
        texts: whether to include the texts of the user's own recordings. Without them the error
            rates cannot be computed.

    Returns:
        What ``bundle.json`` says.

    Raises:
        UsageError: the run still goes on, is too large, or something in it would name its owner.
        StorageError: the run is damaged, or the bundle cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder", hint=f"say -o {path / 'run.zip'}")
    with (
        bundle_contents(run, texts=texts, scratch=path.parent) as found,
        files.replacing(path) as stream,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        _add(archive, INFO, _pretty(found.info))
        with archive.open(_entry(JOURNAL, found.info.members[JOURNAL].bytes), "w") as member:
            while block := found.journal.read(_BLOCK):
                member.write(block)
        _add(archive, MANIFEST, found.manifest)
    return found.info


@contextmanager
def bundle_contents(run: RunDirectory, *, texts: bool, scratch: Path) -> Iterator[BundleContents]:
    """What a bundle of ``run`` would hold, searched for what must not be in it.

    Args:
        run: one that is not being written.
        texts: as for :func:`write_bundle`.
        scratch: a folder for a file without a name, as long as the journal.

    Raises:
        UsageError, StorageError: as :func:`write_bundle`.
    """
    if journal.is_being_written(run.journal_path):
        raise UsageError(
            f"run {directory.name_of(run)} is still being measured",
            hint="wait until it has ended",
        )
    manifest = run.manifest()
    redactor = Redactor(manifest, texts=texts)
    scanner = LeakScanner()
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=scratch) as lines:
            digest = hashlib.sha256()
            for number, line in enumerate(_shared_lines(run, redactor), start=1):
                scanner.refuse(line, f"line {number} of the journal", s.Event)
                digest.update(line)
                lines.write(line)
            size = lines.tell()
            lines.seek(0)
            given = redactor.manifest()
            text = directory.pretty(given)
            scanner.refuse(text, "the manifest", s.Manifest)
            for name, there in ((JOURNAL, size), (MANIFEST, len(text))):
                if there > LARGEST_MEMBER[name]:
                    raise UsageError(
                        f"the run is too large for a bundle: its {name} has {there} bytes, and "
                        f"{LARGEST_MEMBER[name]} are the most that would be read again"
                    )
            yield BundleContents(
                info=BundleInfo(
                    format=FORMAT,
                    version=VERSION,
                    tool=WriterInfo(name="mac-whisper-speedtest", version=__version__),
                    run_id=given.run_id,
                    texts_left_out=redact.texts_left_out(given),
                    members={
                        JOURNAL: MemberInfo(sha256=digest.hexdigest(), bytes=size),
                        MANIFEST: MemberInfo(
                            sha256=hashlib.sha256(text).hexdigest(), bytes=len(text)
                        ),
                    },
                ),
                manifest=text,
                journal=lines,
            )
    except OSError as error:
        raise StorageError(
            f"cannot write in {scratch}: {error.strerror or error}",
            hint="check the free disk space and the permissions of that folder",
        ) from error


def _shared_lines(run: RunDirectory, redactor: Redactor) -> Iterator[bytes]:
    """The journal's whole lines as they are given away, one at a time.

    As ``journal.read`` goes through them: a last line without its end is none, and damaged lines
    are passed over. The last line of a whole journal then says how many there were.
    """
    event, envelope = msgspec.json.Decoder(s.Event), msgspec.json.Decoder(JournalLine)
    encoder = msgspec.json.Encoder()
    damaged = 0
    for number, line in enumerate(_raw_lines(run.journal_path), start=1):
        try:
            found: s.Event = redactor.event(event.decode(line))
            at_s = envelope.decode(line).at_s
        except msgspec.ValidationError as error:
            raise StorageError(f"{run.journal_path} line {number}: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError):
            damaged += 1
            continue
        if damaged and isinstance(found, s.RunEnded):
            note = f"{damaged} damaged journal lines were left out"
            message = f"{found.message}; {note}" if found.message else note
            found = msgspec.structs.replace(found, message=message)
        when = b"" if at_s is None else b',"at_s":%.6f' % at_s
        yield encoder.encode(found)[:-1] + when + b"}\n"


def _raw_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            for line in stream:
                if line.endswith(b"\n"):
                    yield line
    except FileNotFoundError:
        return  # it was killed before anything happened
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


def _entry(name: str, size: int) -> zipfile.ZipInfo:
    """A member whose header says nothing of when and where it was written."""
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = _UNIX
    entry.external_attr = _FILE_MODE
    entry.file_size = size
    return entry


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(_entry(name, len(data)), data)


def _pretty(info: BundleInfo) -> bytes:
    return msgspec.json.format(msgspec.json.encode(info), indent=2) + b"\n"
