"""Turning weights from one form into another, proving the result, and recording how."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from mac_whisper_speedtest.convert.checkpoint import network_sha256, validate
from mac_whisper_speedtest.convert.form import Form, Writer
from mac_whisper_speedtest.convert.forms import FORMS, detect_form, form_named
from mac_whisper_speedtest.convert.proof import prove
from mac_whisper_speedtest.convert.record import (
    FORMAT_VERSION,
    RECORD_NAME,
    ConversionRecord,
    FileRecord,
    read_record,
)
from mac_whisper_speedtest.errors import StorageError, UsageError, WeightsError
from mac_whisper_speedtest.files import sha256_file, staged_directory
from mac_whisper_speedtest.version import __version__

_CONVERTER = "mac-whisper-speedtest"
_HINT = "remove it or name another destination"


def convert(
    source: Path,
    target_form: str,
    destination: Path,
    *,
    precision: str = "float16",
    source_form: str | None = None,
    provenance: Mapping[str, str] | None = None,
) -> ConversionRecord:
    """Convert weights into a new folder, which appears whole and proved or not at all.

    The written files are read back with the target form's own reader, and every tensor is compared
    bit for bit with the source at the stored precision, before the folder takes its name.
    Rounding float32 to float16 is allowed and counted in the record, and so is quantising, whose
    proof `prove` describes. Where ``destination`` already
    holds this very conversion, nothing is written and its record is returned.

    Args:
        source: a file or folder of weights.
        target_form: a name in `FORMS`.
        destination: the folder to make; holds the weights and ``provenance.json``.
        precision: one that the form's writer names, such as ``float16``.
        source_form: a name in `FORMS`; found out by `detect_form` when None.
        provenance: what is known of the source, kept as given under ``upstream``.

    Raises:
        UsageError: an unknown form or precision, a form that is only read, or a destination that
            holds something else.
        WeightsError: the source is not whole Whisper weights, does not fit the target, or reads
            back differently.
        StorageError: the result could not be written.
    """
    target, writer = _writable(target_form, precision)
    origin = form_named(source_form) if source_form is not None else form_named(detect_form(source))
    source_files = _describe(origin.files(source))
    request = (source_files, origin.name, target.name, precision, dict(provenance or {}))
    if _occupied(destination):
        return _existing(destination, request)
    checkpoint = origin.read(source)
    validate(checkpoint)
    with staged_directory(destination) as staging:
        writer.write(checkpoint, staging, precision)
        product = (writer.read_back or target.read)(staging)
        rounding = prove(checkpoint, product, target, precision)
        source_sha256 = network_sha256(checkpoint)
        record = ConversionRecord(
            format_version=FORMAT_VERSION,
            converter=_CONVERTER,
            converter_version=__version__,
            upstream=dict(sorted((provenance or {}).items())),
            source_form=origin.name,
            source_files=source_files,
            source_network_sha256=source_sha256,
            target_form=target.name,
            precision=precision,
            lossless=not rounding.changed,
            values=rounding.values,
            changed_values=rounding.changed,
            # Without a changed value the proof already says that the digests are equal.
            network_sha256=network_sha256(product) if rounding.changed else source_sha256,
            output_files=_describe(target.files(staging)),
        )
        (staging / RECORD_NAME).write_bytes(_encode(record))
    # Another process may have been quicker; then its folder was kept, and must be the same.
    if read_record(destination) != record:
        raise UsageError(
            f"{destination} has meanwhile been filled with another conversion", hint=_HINT
        )
    return record


def _writable(name: str, precision: str) -> tuple[Form, Writer]:
    form = form_named(name)
    if form.writer is None:
        written = ", ".join(item.name for item in FORMS.values() if item.writer)
        raise UsageError(f"form {name} is only read", hint=f"forms that can be written: {written}")
    if precision not in form.writer.precisions:
        raise UsageError(
            f"form {name} cannot store {precision!r}",
            hint=f"it can store {', '.join(form.writer.precisions)}",
        )
    return form, form.writer


def _describe(paths: tuple[Path, ...]) -> tuple[FileRecord, ...]:
    try:
        return tuple(FileRecord(p.name, p.stat().st_size, sha256_file(p)) for p in paths)
    except OSError as error:
        raise WeightsError(f"cannot read {error.filename}: {error.strerror or error}") from error


def _encode(record: ConversionRecord) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def _occupied(path: Path) -> bool:
    try:
        return path.exists() and not (path.is_dir() and not any(path.iterdir()))
    except OSError as error:
        raise StorageError(f"cannot look into {path}: {error.strerror or error}") from error


def _existing(
    destination: Path, request: tuple[tuple[FileRecord, ...], str, str, str, dict[str, str]]
) -> ConversionRecord:
    """The record of a folder that holds exactly the requested conversion, undamaged."""
    try:
        record = read_record(destination)
    except WeightsError as error:
        raise UsageError(
            f"{destination} exists and is no conversion of ours", hint=_HINT
        ) from error
    made = (
        record.source_files,
        record.source_form,
        record.target_form,
        record.precision,
        record.upstream,
    )
    if made != request or record.converter_version != __version__:
        raise UsageError(f"{destination} exists and holds another conversion", hint=_HINT)
    for item in record.output_files:
        path = destination / item.name
        if not path.is_file() or sha256_file(path) != item.sha256:
            raise UsageError(f"{destination} exists but its {item.name} is damaged", hint=_HINT)
    return record
