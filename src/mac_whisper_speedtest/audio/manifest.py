"""Manifests: a list of recordings with their words, as JSON lines (NeMo's form) or as CSV.

Both know the same fields; in CSV they are the columns, named in the first line. Every path is
relative to the manifest. Fields that are not known are passed over.

    audio_filepath  the recording; also: file_name, path, audio
    text            the words spoken; also: transcription, transcript, sentence
    lang            language code; also: language
    offset          seconds into the recording where the utterance begins
    duration        seconds; with an offset the length of the utterance, else only information
    speaker         who speaks; also: speaker_id

A line that is not as described is left out by its number, and the others are measured on.
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
"""What each field may be called; the first is NeMo's name, and the others are Hugging Face's."""

_HINT = (
    'each line is one recording, such as {"audio_filepath": "a.wav", "text": "hello", "lang": "en"}'
)
_CSV_HINT = "the first line names the columns, such as audio_filepath,text,lang"
_Row = tuple[int, Mapping[str, Any]]
"""The number of a line, from 1, and its fields."""

_CSV_DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
_JSON_SUFFIXES: Final = frozenset({".jsonl", ".json", ".ndjson", ".manifest"})


class _WrongLineError(AudioError):
    """A line that is not as described."""

    def __init__(self, path: Path, line: int, what: str, *, hint: str = _HINT) -> None:
        super().__init__(f"{path}, line {line}, {what}", hint=hint)
        self.left_out = LeftOut(f"line {line}", what)


@dataclass(frozen=True, slots=True)
class Listed:
    """What a manifest lists.

    Attributes:
        entries: in its order; there may be none.
        left_out: the lines that are not as described, by number.
    """

    entries: list[AudioEntry]
    left_out: list[LeftOut]


def list_manifest(path: Path) -> Listed:
    """What the manifest at ``path`` lists; no recording is opened.

    Raises:
        AudioError: it cannot be read, is not UTF-8, of an unknown kind or empty; as CSV it cannot
            be parted into lines.
    """
    if not path.is_file():
        missing = "is no file" if path.exists() else "does not exist"
        raise AudioError(f"the manifest {path} {missing}", hint="check the path of --manifest")
    found = list(_lines(_read(path), path))
    if not found:
        raise AudioError(f"{path} lists no recordings", hint=_HINT)
    return Listed(
        entries=[each for each in found if isinstance(each, AudioEntry)],
        left_out=[each.left_out for each in found if isinstance(each, _WrongLineError)],
    )


def parse(text: str, path: Path) -> list[AudioEntry]:
    """What a manifest lists that has to be right in every line.

    Args:
        text: its contents.
        path: its name tells JSON from CSV; paths in it are relative to its folder.

    Raises:
        AudioError: as `listed`; or a line is not as described. It is named.
    """
    found = []
    for each in _lines(text, path):
        if isinstance(each, _WrongLineError):
            raise each
        found.append(each)
    return found


def _lines(text: str, path: Path) -> Iterator[AudioEntry | _WrongLineError]:
    """Every line, as an entry or as what is wrong with it."""
    suffix = path.suffix.lower()
    rows: Iterable[_Row | _WrongLineError]
    if suffix in _CSV_DELIMITERS:
        rows = _csv_rows(text, path, _CSV_DELIMITERS[suffix])
    elif suffix in _JSON_SUFFIXES or text.lstrip().startswith("{"):
        rows = _json_rows(text, path)
    else:
        raise AudioError(
            f"{path} is no manifest that is known: its name ends in {suffix or 'nothing'}",
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
    """Rows. A quote that is not closed takes in everything after it, so it is refused as a whole.

    Raises:
        AudioError: it has no column for the recording, or is not CSV.
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
                    hint="put a text that holds the delimiter or a quote into quotes",
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
        raise _WrongLineError(path, line, f"is not as expected: {error}") from error
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
    """The name that a field goes by in this row, and its value; None where it is absent."""
    for name in _NAMES[field]:
        if row.get(name) is not None:
            return name, row[name]
    return _NAMES[field][0], None


def _text(row: Mapping[str, Any], field: str, path: Path, line: int) -> str | None:
    name, value = _value(row, field)
    if field == "speaker" and isinstance(value, int):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise _WrongLineError(path, line, f"has {_kind(value)} as {name}, where text belongs")
    return value


def _seconds(row: Mapping[str, Any], field: str, path: Path, line: int) -> float | None:
    name, value = _value(row, field)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        raise _WrongLineError(
            path, line, f"has {value!r:.60} as {name}, where seconds belong"
        ) from None
    if not math.isfinite(seconds) or seconds < 0:
        raise _WrongLineError(path, line, f"has {seconds:g} as {name}, where seconds belong")
    return seconds


def _kind(value: object) -> str:
    kinds = {list: "a list", dict: "an object", str: "text", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else "a number")
