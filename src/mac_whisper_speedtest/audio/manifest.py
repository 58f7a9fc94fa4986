"""Manifests: recordings with their reference texts, as JSON lines (NeMo's format) or as CSV.

Both have the same fields; in CSV they are columns, named in the first line. Paths are relative to
the manifest. Unknown fields are ignored.

    audio_filepath  the recording; also: file_name, path, audio
    text            the words spoken; also: transcription, transcript, sentence
    lang            language code; also: language
    offset          start of the utterance in the recording, in seconds
    duration        seconds; the length of the utterance with an offset, otherwise ignored
    speaker         the speaker's name; also: speaker_id

A malformed line is left out and reported by its number; the others are measured.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.audio.dataset_entries import (
    AudioEntry,
    EntryListing,
    language_code,
)
from mac_whisper_speedtest.audio.recording import LeftOut
from mac_whisper_speedtest.audio.reference_text import read_text
from mac_whisper_speedtest.errors import AudioError
from mac_whisper_speedtest.limits import LimitError

_NAMES: Final = {
    "audio": ("audio_filepath", "file_name", "path", "audio"),
    "text": ("text", "transcription", "transcript", "sentence"),
    "language": ("lang", "language"),
    "offset": ("offset",),
    "duration": ("duration",),
    "speaker": ("speaker", "speaker_id"),
}
"""The names of each field: NeMo's first, then Hugging Face's."""

_HINT = (
    'each line is one recording, such as {"audio_filepath": "a.wav", "text": "hello", "lang": "en"}'
)
_CSV_HINT = "the first line names the columns, such as audio_filepath,text,lang"
_Row = tuple[int, Callable[[], Mapping[str, Any]]]
"""The number of a line, from 1, and a function that returns its fields or raises `_LineError`."""

_CSV_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
_JSON_SUFFIXES: Final = frozenset({".jsonl", ".json", ".ndjson", ".manifest"})


class _LineError(ValueError):
    """What is wrong with a line."""


def list_manifest(path: Path) -> EntryListing:
    """Parse the manifest at ``path`` without opening any recording.

    Raises:
        AudioError: it cannot be read, is not UTF-8, has an unknown format or no entries, or is CSV
            that cannot be split into lines.
    """
    if not path.is_file():
        missing = "is not a file" if path.exists() else "does not exist"
        raise AudioError(f"the manifest {path} {missing}", hint="check the path of --manifest")
    try:
        text = read_text(path)
    except AudioError as error:
        message = error.message.replace("the reference", "the manifest", 1)
        raise AudioError(message, hint="save it as UTF-8 text") from error
    return parse_manifest(text, path)


def parse_manifest(text: str, path: Path) -> EntryListing:
    """The entries of a manifest; malformed lines are left out by number.

    Args:
        text: its contents.
        path: its ending decides between JSON and CSV; paths in it are relative to its folder.

    Raises:
        AudioError: as `list_manifest`.
    """
    suffix = path.suffix.lower()
    if suffix in _CSV_DELIMITERS:
        rows = _csv_rows(text, path, _CSV_DELIMITERS[suffix])
    elif suffix in _JSON_SUFFIXES or text.lstrip().startswith("{"):
        rows = _json_rows(text)
    else:
        raise AudioError(
            f"{path} is not a known manifest format: its name ends in {suffix or 'nothing'}",
            hint="name it .jsonl (one JSON object per line) or .csv (columns named in line 1)",
        )
    entries: list[AudioEntry] = []
    left_out: list[LeftOut] = []
    for number, fields in rows:
        try:
            entries.append(_entry(fields(), path.parent))
        except _LineError as error:
            left_out.append(LeftOut(f"line {number}", str(error)))
    if not entries and not left_out:
        raise AudioError(f"{path} lists no recordings", hint=_HINT)
    return EntryListing(entries, left_out)


def _json_rows(text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, functools.partial(_json_fields, line)


def _json_fields(line: str) -> Mapping[str, Any]:
    try:
        limits.check_depth(line)
        row = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        raise _LineError(f"is not JSON ({error})") from error
    except LimitError as error:
        raise _LineError(str(error)) from error
    if not isinstance(row, dict):
        raise _LineError(f"is not a JSON object but {_kind(row)}")
    return row


def _csv_rows(text: str, path: Path, delimiter: str) -> Iterator[_Row]:
    """The rows. An unclosed quote hides everything after it, so the whole file is refused.

    Raises:
        AudioError: no column names the recording, or it is not CSV.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    begins = 1
    try:
        for cells in reader:
            number, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if columns:
                yield number, functools.partial(_csv_fields, columns, cells)
                continue
            columns = [cell.strip() for cell in cells]
            if not set(columns) & set(_NAMES["audio"]):
                raise AudioError(
                    f"{path} has no column audio_filepath; its columns are: {', '.join(columns)}",
                    hint=_CSV_HINT,
                )
    except csv.Error as error:
        raise AudioError(f"{path}, line {begins}, is not CSV ({error})", hint=_CSV_HINT) from error


def _csv_fields(columns: Sequence[str], cells: Sequence[str]) -> Mapping[str, Any]:
    if len(cells) != len(columns):
        raise _LineError(f"has {len(cells)} cells for {len(columns)} columns")
    return dict(zip(columns, cells, strict=True))


def _entry(row: Mapping[str, Any], folder: Path) -> AudioEntry:
    audio = _text(row, "audio")
    if audio is None or not audio.strip():
        keys = ", ".join(row) or "none"
        raise _LineError(f"has no audio_filepath; its fields are: {keys}")
    offset = _seconds(row, "offset")
    duration = _seconds(row, "duration")
    try:
        language = language_code(_text(row, "language"))
    except ValueError as error:
        raise _LineError(f"is malformed: {error}") from error
    try:
        found = folder / Path(audio.strip()).expanduser()
    except RuntimeError as error:  # ~unknown-user/a.wav
        raise _LineError(f"is malformed: {error}") from error
    return AudioEntry(
        name=found.name if offset is None else f"{found.name}@{offset:g}s",
        audio=found,
        text=_text(row, "text"),
        language=language,
        start_s=offset or 0.0,
        seconds=duration if offset is not None else None,
        speaker=_text(row, "speaker") or None,
    )


def _value(row: Mapping[str, Any], field: str) -> tuple[str, Any]:
    """The name of the field in this row, and its value; None if it is absent."""
    for name in _NAMES[field]:
        if row.get(name) is not None:
            return name, row[name]
    return _NAMES[field][0], None


def _text(row: Mapping[str, Any], field: str) -> str | None:
    name, value = _value(row, field)
    if field == "speaker" and isinstance(value, int):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise _LineError(f"has {_kind(value)} as {name}, which must be text")
    try:
        limits.check(value, name)
    except LimitError as error:
        raise _LineError(str(error)) from error
    return value


def _seconds(row: Mapping[str, Any], field: str) -> float | None:
    name, value = _value(row, field)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        raise _LineError(f"has {value!r:.60} as {name}, which must be seconds") from None
    if not 0 <= seconds <= limits.LONGEST_S:
        raise _LineError(f"has {seconds:g} as {name}, which must be seconds")
    return seconds


def _kind(value: object) -> str:
    kinds = {list: "a list", dict: "an object", str: "text", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else "a number")
