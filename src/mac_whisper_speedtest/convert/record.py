"""``provenance.json``: the source of converted weights, and the written files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from mac_whisper_speedtest.errors import WeightsError
from mac_whisper_speedtest.files import decode_json

RECORD_NAME = "provenance.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FileRecord:
    """A file: its path in the folder, its size in bytes, its SHA-256 in hex."""

    name: str
    size: int
    sha256: str


class WrittenFiles(msgspec.Struct, frozen=True):
    """The fields of every record of a folder that this tool filled."""

    format_version: int
    output_files: tuple[FileRecord, ...]


class ConversionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of ``provenance.json``.

    It contains no time and no folder, so converting twice gives the same bytes.

    Attributes:
        format_version: of this record; currently 1.
        converter: the program that wrote the weights.
        converter_version: its version.
        upstream: facts on the source, such as ``repository`` and ``revision``.
        source_format: of the source; its key in the file is ``source_form``.
        source_files: the files that were read.
        source_network_sha256: `network_sha256` of the source.
        target_format: of the written files; its key in the file is ``target_form``.
        precision: ``float16``, ``float32`` or the name of a quantization.
        lossless: whether every stored value is exactly the source's.
        values: number of values that the target stores.
        changed_values: number of these that rounding or quantizing changed.
        network_sha256: `network_sha256` of the target as read back; the source's if lossless.
        output_files: the written files, except this record.
    """

    format_version: int
    converter: str
    converter_version: str
    upstream: dict[str, str]
    source_format: str = msgspec.field(name="source_form")
    source_files: tuple[FileRecord, ...]
    source_network_sha256: str
    target_format: str = msgspec.field(name="target_form")
    precision: str
    lossless: bool
    values: int
    changed_values: int
    network_sha256: str
    output_files: tuple[FileRecord, ...]


def read_record(directory: Path) -> ConversionRecord:
    """The record of converted weights.

    Raises:
        WeightsError: it does not exist, cannot be read, or has another format version.
    """
    return _read(directory, ConversionRecord)


def read_written_files(directory: Path) -> tuple[FileRecord, ...]:
    """The files that this tool put into a folder, according to its record.

    Raises:
        WeightsError: as `read_record`.
    """
    return _read(directory, WrittenFiles).output_files


_Record = TypeVar("_Record", ConversionRecord, WrittenFiles)


def _read(directory: Path, kind: type[_Record]) -> _Record:
    path = directory / RECORD_NAME
    try:
        record = decode_json(path.read_bytes(), kind)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    if record.format_version != FORMAT_VERSION:
        raise WeightsError(f"{path} has format version {record.format_version}, not 1")
    return record
