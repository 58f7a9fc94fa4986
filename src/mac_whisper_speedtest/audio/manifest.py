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
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from mac_whisper_speedtest.audio.dataset_entries import AudioEntry, language_code, read_text
from mac_whisper_speedtest.audio.recording import LeftOut
from mac_whisper_speedtest.errors import AudioError

_NAMES: Final = {
    "audio": ("audio_filepath", "file_name", "path", "audio"),
    "text": ("text", "transcription", "transcript", "sentence"),
    "language": ("lang", "language"),
    "offset": ("offset",),
    "duration": ("duration",),
    "speaker": ("speaker", "speaker_id"),
}
"""The names of each field: NeMo's first, then those of Hugging Face."""

_HINT = (
    'each line is one recording, such as {"audio_filepath": "a.wav", "text": "hello", "lang": "en"}'
)
_CSV_HINT = "the first line names the columns, such as audio_filepath,text,lang"
_Row = tuple[int, Mapping[str, Any]]
"""The number of a line, from 1, and its fields."""

_CSV_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
_JSON_SUFFIXES: Final = frozenset({".jsonl", ".json", ".ndjson", ".manifest"})


class _WrongLineError(AudioError):
    """A malformed line."""

    def __init__(self, path: Path, line: int, what: str, *, hint: str = _HINT) -> None:
        super().__init__(f"{path}, line {line}, {what}", hint=hint)
        self.left_out = LeftOut(f"line {line}", what)


@dataclass(frozen=True, slots=True)
class ManifestListing:
    """The entries of a manifest, perhaps none, and its malformed lines by number."""

    entries: list[AudioEntry]
    left_out: list[LeftOut]


def list_manifest(path: Path) -> ManifestListing:
    """Parse the manifest at ``path`` without opening any recording.

    Raises:
        AudioError: it cannot be read, is not UTF-8, has an unknown format or no entries, or is CSV
            that cannot be split into lines.
    """
    if not path.is_file():
        missing = "is not a file" if path.exists() else "does not exist"
        raise AudioError(f"the manifest {path} {missing}", hint="check the path of --manifest")
    found = list(_lines(_read(path), path))
    if not found:
        raise AudioError(f"{path} lists no recordings", hint=_HINT)
    return ManifestListing(
        entries=[each for each in found if isinstance(each, AudioEntry)],
        left_out=[each.left_out for each in found if isinstance(each, _WrongLineError)],
    )


def parse_manifest(text: str, path: Path) -> list[AudioEntry]:
    """The entries of a manifest that may have no malformed line.

    Args:
        text: its contents.
        path: its ending decides between JSON and CSV; paths in it are relative to its folder.

    Raises:
        AudioError: as `list_manifest`; or a line is malformed.
    """
    found = []
    for each in _lines(text, path):
        if isinstance(each, _WrongLineError):
            raise each
        found.append(each)
    return found


def _lines(text: str, path: Path) -> Iterator[AudioEntry | _WrongLineError]:
    """Every line, as an entry or as the error in it."""
    suffix = path.suffix.lower()
    rows: Iterable[_Row | _WrongLineError]
    if suffix in _CSV_DELIMITERS:
        rows = _csv_rows(text, path, _CSV_DELIMITERS[suffix])
    elif suffix in _JSON_SUFFIXES or text.lstrip().startswith("{"):
        rows = _json_rows(text, path)
    else:
        raise AudioError(
            f"{path} is not a known manifest format: its name ends in {suffix or 'nothing'}",
            hint="name it .jsonl (one JSON object per line) or .csv (columns named in line 1)",
        )
    for row in rows:
        if isinstance(row, _WrongLineError):
            yield row
            continue
        line, fields = row
        try:
            yield _entry(fields, path, line)
        except _WrongLineError as wrong:
            yield wrong


def _read(path: Path) -> str:
    try:
        return read_text(path)
    except AudioError as error:
        message = error.message.replace("the reference", "the manifest", 1)
        raise AudioError(message, hint="save it as UTF-8 text") from error


def _json_rows(text: str, path: Path) -> Iterator[_Row | _WrongLineError]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            yield _WrongLineError(path, number, f"is not JSON ({error})")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            yield _WrongLineError(path, number, f"is not a JSON object but {_kind(row)}")


def _csv_rows(text: str, path: Path, delimiter: str) -> Iterator[_Row | _WrongLineError]:
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
            if not columns:
                columns = [cell.strip() for cell in cells]
                if not set(columns) & set(_NAMES["audio"]):
                    seen = ", ".join(columns)
                    raise AudioError(
                        f"{path} has no column audio_filepath; its columns are: {seen}",
                        hint=_CSV_HINT,
                    )
                continue
            if len(cells) != len(columns):
                yield _WrongLineError(
                    path,
                    number,
                    f"has {len(cells)} cells for {len(columns)} columns",
                    hint="quote texts that contain the delimiter or a quote",
                )
                continue
            yield number, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise AudioError(f"{path}, line {begins}, is not CSV ({error})", hint=_CSV_HINT) from error


def _entry(row: Mapping[str, Any], path: Path, line: int) -> AudioEntry:
    audio = _text(row, "audio", path, line)
    if audio is None or not audio.strip():
        keys = ", ".join(row) or "none"
        raise _WrongLineError(path, line, f"has no audio_filepath; its fields are: {keys}")
    offset = _seconds(row, "offset", path, line)
    duration = _seconds(row, "duration", path, line)
    try:
        language = language_code(_text(row, "language", path, line))
    except ValueError as error:
        raise _WrongLineError(path, line, f"is malformed: {error}") from error
    found = path.parent / Path(audio.strip()).expanduser()
    return AudioEntry(
        name=found.name if offset is None else f"{found.name}@{offset:g}s",
        audio=found,
        text=_text(row, "text", path, line),
        language=language,
        start_s=offset or 0.0,
        seconds=duration if offset is not None else None,
        speaker=_text(row, "speaker", path, line) or None,
    )


def _value(row: Mapping[str, Any], field: str) -> tuple[str, Any]:
    """The name of the field in this row, and its value; None if it is absent."""
    for name in _NAMES[field]:
        if row.get(name) is not None:
            return name, row[name]
    return _NAMES[field][0], None


def _text(row: Mapping[str, Any], field: str, path: Path, line: int) -> str | None:
    name, value = _value(row, field)
    if field == "speaker" and isinstance(value, int):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise _WrongLineError(path, line, f"has {_kind(value)} as {name}, which must be text")
    return value


def _seconds(row: Mapping[str, Any], field: str, path: Path, line: int) -> float | None:
    name, value = _value(row, field)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise _WrongLineError(
            path, line, f"has {value!r:.60} as {name}, which must be seconds"
        ) from None
    if not math.isfinite(seconds) or seconds < 0:
        raise _WrongLineError(path, line, f"has {seconds:g} as {name}, which must be seconds")
    return seconds


def _kind(value: object) -> str:
    kinds = {list: "a list", dict: "an object", str: "text", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else "a number")
