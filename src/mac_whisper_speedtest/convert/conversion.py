"""Turning weights from one form into another, proving the result, and recording how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np

from mac_whisper_speedtest.convert import ctranslate2, ggml, huggingface, mlx, mlx_npz, openai
from mac_whisper_speedtest.convert.checkpoint import Checkpoint, Tensor, network_sha256, validate
from mac_whisper_speedtest.convert.form import FLOAT16, FormatCodec, Writer, cast, dtype_of
from mac_whisper_speedtest.convert.quantize import BLOCK, Quantization
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

# The forms this program knows. A new one is a module with a ``FORM`` and a line here.


FORMS: Mapping[str, FormatCodec] = MappingProxyType(
    {
        form.name: form
        for form in (
            ctranslate2.FORM,
            ggml.FORM,
            huggingface.FORM,
            mlx.FORM,
            mlx_npz.FORM,
            openai.FORM,
        )
    }
)


def form_named(name: str) -> FormatCodec:
    """The form of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    try:
        return FORMS[name]
    except KeyError:
        raise UsageError(f"format {name!r} is not one of {', '.join(FORMS)}") from None


def detect_form(path: Path) -> str:
    """The name of the form that a file or folder holds, judged without reading the weights.

    Raises:
        WeightsError: it holds none (the message lists what was looked for) or several.
    """
    found = [form.name for form in FORMS.values() if form.detect(path)]
    if len(found) == 1:
        return found[0]
    if found:
        raise WeightsError(
            f"{path} holds several weights formats: {', '.join(found)}",
            hint="name the one to read",
        )
    looked_for = "; ".join(f"{form.name}: {form.looks_like}" for form in FORMS.values())
    state = "holds no known weights format" if path.exists() else "does not exist"
    raise WeightsError(f"{path} {state}", hint=f"looked for {looked_for}")


# Comparing what was written with what it was written from, value for value.


_CHUNK = 1 << 20  # values compared at a time


@dataclass(frozen=True)
class Rounding:
    """What storing at a lower precision did.

    Attributes:
        values: how many values the form stores.
        changed: how many of them are not exactly the source's value.
    """

    values: int
    changed: int


def prove(source: Checkpoint, product: Checkpoint, form: FormatCodec, precision: str) -> Rounding:
    """Check that a product read back holds exactly the source, rounded as its form stores it.

    Every tensor's bytes are compared with the source's at the stored type, as are the sizes and,
    where the form carries them, the vocabulary, the alignment heads and the suppressed tokens.

    A tensor in blocks has to hold, bit for bit, what quantizing the source's float16 values and
    turning them back gives; and because that would prove a wrong quantizer right, every value has
    to be as near to the source's as `Quantization.bounds` says, which does not quantize.

    Raises:
        WeightsError: anything differs; the message names the first thing that does.
        ValueError: the form cannot be written, so there is nothing to prove.
    """
    if form.writer is None:
        raise ValueError(f"format {form.name} is not written")
    if product.dims != source.dims:
        raise WeightsError(f"the {form.name} weights read back with sizes {product.dims}")
    if set(product.tensors) != set(source.tensors):
        odd = min(set(product.tensors) ^ set(source.tensors))
        raise WeightsError(f"the {form.name} weights read back with other tensors, first {odd}")
    if form.carries_vocabulary and product.vocabulary != source.vocabulary:
        raise WeightsError(f"the {form.name} weights read back with another vocabulary")
    if form.carries_alignment_heads and product.alignment_heads != source.alignment_heads:
        raise WeightsError(f"the {form.name} weights read back with other alignment heads")
    suppressed = (source.suppressed, source.suppressed_at_start)
    if form.carries_suppressed_tokens and suppressed != (
        product.suppressed,
        product.suppressed_at_start,
    ):
        raise WeightsError(f"the {form.name} weights read back with other suppressed tokens")
    values = changed = 0
    for name in sorted(set(source.tensors) - form.recomputes):
        array = source.tensors[name]
        values += array.size
        blocks = form.writer.quantization and form.writer.quantization(name, array.shape, precision)
        if blocks:
            _check_blocks(name, array, product.tensors[name], form.name, blocks)
            changed += _count_changed(array, product.tensors[name])
            continue
        expected = cast(name, array, form.writer.stored_dtype(name, array.shape, precision))
        _check_equal_bits(name, expected, product.tensors[name], form.name)
        if expected.dtype.itemsize < array.dtype.itemsize:
            changed += _count_changed(array, expected)
    return Rounding(values, changed)


def _check_equal_bits(name: str, expected: Tensor, found: Tensor, form: str) -> None:
    if found.dtype != expected.dtype or found.shape != expected.shape:
        raise WeightsError(
            f"tensor {name} reads back from {form} as {found.dtype}{list(found.shape)}, "
            f"expected {expected.dtype}{list(expected.shape)}"
        )
    bits = np.dtype(f"<u{expected.dtype.itemsize}")  # as integers, so that 0.0 is not -0.0
    left, right = expected.reshape(-1).view(bits), found.reshape(-1).view(bits)
    if not np.array_equal(left, right):
        at = int(np.argmax(left != right))
        raise WeightsError(
            f"tensor {name} reads back from {form} differently at value {at}: "
            f"{found.reshape(-1)[at]} for {expected.reshape(-1)[at]}"
        )


def _check_blocks(name: str, array: Tensor, found: Tensor, form: str, kind: Quantization) -> None:
    values = cast(name, array, dtype_of(FLOAT16)).astype(np.float32)
    _check_equal_bits(name, kind.dequantize(kind.quantize(values), values.shape), found, form)
    moved = np.abs(found - values).reshape(-1, BLOCK).max(axis=1)
    beyond = np.flatnonzero(moved > kind.bounds(values))
    if beyond.size:
        raise WeightsError(
            f"tensor {name} is quantized wrongly: a value of block {beyond[0]} moved by "
            f"{moved[beyond[0]]:.6g}, {kind.name} allows {kind.bounds(values)[beyond[0]]:.6g}"
        )


def _count_changed(original: Tensor, rounded: Tensor) -> int:
    before, after = original.reshape(-1), rounded.reshape(-1)
    return sum(
        int(np.count_nonzero(before[start : start + _CHUNK] != after[start : start + _CHUNK]))
        for start in range(0, before.size, _CHUNK)
    )


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
    Rounding float32 to float16 is allowed and counted in the record, and so is quantizing, whose
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


def _writable(name: str, precision: str) -> tuple[FormatCodec, Writer]:
    form = form_named(name)
    if form.writer is None:
        written = ", ".join(item.name for item in FORMS.values() if item.writer)
        raise UsageError(
            f"format {name} is only read", hint=f"formats that can be written: {written}"
        )
    if precision not in form.writer.precisions:
        raise UsageError(
            f"format {name} cannot store {precision!r}",
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
