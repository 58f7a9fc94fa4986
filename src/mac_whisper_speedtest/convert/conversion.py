"""Converts weights from one format into another, proves the result, and records the conversion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from mac_whisper_speedtest.convert import (
    ctranslate2,
    ggml,
    huggingface,
    mlx,
    mlx_npz,
    openai,
    sherpa_onnx,
)
from mac_whisper_speedtest.convert.checkpoint import (
    Checkpoint,
    Tensor,
    give_back,
    network_sha256,
    validate,
)
from mac_whisper_speedtest.convert.codec import (
    FLOAT16,
    FLOAT32,
    FormatCodec,
    Writer,
    cast,
    dtype_of,
)
from mac_whisper_speedtest.convert.quantize import BLOCK, Quantization, in_rows
from mac_whisper_speedtest.convert.record import (
    FORMAT_VERSION,
    RECORD_NAME,
    ConversionRecord,
    FileRecord,
    read_record,
)
from mac_whisper_speedtest.errors import UsageError, WeightsError
from mac_whisper_speedtest.files import sha256_file, staged_directory, storage_errors
from mac_whisper_speedtest.version import __version__

# The known formats. A new one is a module with a ``FORMAT`` and a line here.


FORMATS: Mapping[str, FormatCodec] = MappingProxyType(
    {
        codec.name: codec
        for codec in (
            ctranslate2.FORMAT,
            ggml.FORMAT,
            huggingface.FORMAT,
            mlx.FORMAT,
            mlx_npz.FORMAT,
            openai.FORMAT,
            sherpa_onnx.FORMAT,
        )
    }
)


def format_named(name: str) -> FormatCodec:
    """The format called ``name``.

    Raises:
        UsageError: there is no such format; the message lists the known ones.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise UsageError(f"format {name!r} is not one of {', '.join(FORMATS)}") from None


def detect_format(path: Path) -> str:
    """The name of the format of a file or folder, judged without reading the weights.

    Raises:
        WeightsError: it has none (the message lists how formats are recognized) or several.
    """
    found = [codec.name for codec in FORMATS.values() if codec.detect(path)]
    if len(found) == 1:
        return found[0]
    if found:
        raise WeightsError(
            f"{path} holds several weights formats: {', '.join(found)}",
            hint="name the one to read",
        )
    looked_for = "; ".join(f"{codec.name}: {codec.looks_like}" for codec in FORMATS.values())
    state = "holds no known weights format" if path.exists() else "does not exist"
    raise WeightsError(f"{path} {state}", hint=f"looked for {looked_for}")


# The proof: the written values are compared with the source's.


_CHUNK = 1 << 20  # values compared at once


@dataclass(frozen=True)
class Rounding:
    """The effect of storing at a lower precision.

    Attributes:
        values: number of values that the format stores.
        changed: number of values that differ from the source's.
    """

    values: int
    changed: int


def prove(source: Checkpoint, product: Checkpoint, codec: FormatCodec, precision: str) -> Rounding:
    """Check that a product, read back, equals the source, rounded as its format stores it.

    Every tensor's bytes are compared with the source's at the stored type, and so are the sizes
    and, if the format carries them, the vocabulary, alignment heads and suppressed tokens.

    A tensor in blocks must equal, bit for bit, the source's float16 values after quantizing and
    dequantizing; and because a wrong quantizer would pass that, every value must also be within
    `Quantization.bounds` of the source's, which are computed without quantizing.

    Raises:
        WeightsError: anything differs; the message names the first difference.
        ValueError: the format cannot be written.
    """
    if codec.writer is None:
        raise ValueError(f"format {codec.name} is not written")
    if product.dims != source.dims:
        raise WeightsError(f"the {codec.name} weights read back with sizes {product.dims}")
    if set(product.tensors) != set(source.tensors):
        odd = min(set(product.tensors) ^ set(source.tensors))
        raise WeightsError(f"the {codec.name} weights read back with other tensors, first {odd}")
    if codec.carries_vocabulary and product.vocabulary != source.vocabulary:
        raise WeightsError(f"the {codec.name} weights read back with another vocabulary")
    if codec.carries_alignment_heads and product.alignment_heads != source.alignment_heads:
        raise WeightsError(f"the {codec.name} weights read back with other alignment heads")
    suppressed = (source.suppressed, source.suppressed_at_start)
    if codec.carries_suppressed_tokens and suppressed != (
        product.suppressed,
        product.suppressed_at_start,
    ):
        raise WeightsError(f"the {codec.name} weights read back with other suppressed tokens")
    values = changed = 0
    for name in sorted(set(source.tensors) - codec.recomputes):
        array = source.tensors[name]
        values += array.size
        blocks = codec.writer.quantization and codec.writer.quantization(
            name, array.shape, precision
        )
        found = product.tensors[name]
        if blocks:
            _check_blocks(name, array, found, codec.name, blocks)
            changed += _count_changed(array, found)
        else:
            expected = cast(name, array, codec.writer.stored_dtype(name, array.shape, precision))
            _check_layout(name, expected.dtype, expected.shape, found, codec.name)
            _check_equal_bits(name, expected, found, codec.name)
            if expected.dtype.itemsize < array.dtype.itemsize:
                changed += _count_changed(array, expected)
        give_back(array)
        give_back(found)
        del found  # frees its memory before the next tensor
    return Rounding(values, changed)


def _check_layout(
    name: str, dtype: np.dtype[Any], shape: tuple[int, ...], found: Tensor, codec: str
) -> None:
    if found.dtype != dtype or found.shape != shape:
        raise WeightsError(
            f"tensor {name} reads back from {codec} as {found.dtype}{list(found.shape)}, "
            f"expected {dtype}{list(shape)}"
        )


def _check_equal_bits(
    name: str, expected: Tensor, found: Tensor, codec: str, first: int = 0
) -> None:
    """Compare arrays of one layout; ``first`` is the number of their first value."""
    bits = np.dtype(f"<u{expected.dtype.itemsize}")  # as integers, which distinguish 0.0 and -0.0
    left, right = expected.reshape(-1).view(bits), found.reshape(-1).view(bits)
    if not np.array_equal(left, right):
        at = int(np.argmax(left != right))
        raise WeightsError(
            f"tensor {name} reads back from {codec} differently at value {first + at}: "
            f"{found.reshape(-1)[at]} for {expected.reshape(-1)[at]}"
        )


def _check_blocks(name: str, array: Tensor, found: Tensor, codec: str, kind: Quantization) -> None:
    _check_layout(name, dtype_of(FLOAT32), array.shape, found, codec)
    for (first, part), (_, back) in zip(in_rows(array), in_rows(found), strict=True):
        values = cast(name, part, dtype_of(FLOAT16)).astype(np.float32)
        right = kind.dequantize(kind.quantize(values), values.shape)
        _check_equal_bits(name, right, back, codec, first)
        moved = np.abs(back - values).reshape(-1, BLOCK).max(axis=1)
        beyond = np.flatnonzero(moved > kind.bounds(values))
        if beyond.size:
            at = beyond[0]
            raise WeightsError(
                f"tensor {name} is quantized wrongly: a value of block {first // BLOCK + at} "
                f"moved by {moved[at]:.6g}, {kind.name} allows {kind.bounds(values)[at]:.6g}"
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
    target_format: str,
    destination: Path,
    *,
    precision: str = "float16",
    source_format: str | None = None,
    provenance: Mapping[str, str] | None = None,
) -> ConversionRecord:
    """Convert weights into a new folder, which appears only when it is complete and proved.

    The written files are read back with the target format's reader, and `prove` compares them with
    the source before the folder gets its name. Rounding float32 to float16 and quantizing are
    allowed and counted in the record. If ``destination`` already holds the same conversion, nothing
    is written and its record is returned.

    Args:
        source: a file or folder of weights.
        target_format: a name in `FORMATS`.
        destination: the folder to create, for the weights and ``provenance.json``.
        precision: one of the format's, such as ``float16``.
        source_format: a name in `FORMATS`; `detect_format` finds it if None.
        provenance: facts on the source, recorded under ``upstream``.

    Raises:
        UsageError: an unknown format or precision, a read-only format, or a destination that holds
            something else.
        WeightsError: the source is not complete Whisper weights, does not fit the target, or reads
            back differently.
        StorageError: the result could not be written.
    """
    target, writer = _writable(target_format, precision)
    origin = format_named(source_format or detect_format(source))
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
            source_format=origin.name,
            source_files=source_files,
            source_network_sha256=source_sha256,
            target_format=target.name,
            precision=precision,
            lossless=not rounding.changed,
            values=rounding.values,
            changed_values=rounding.changed,
            # Without a changed value the proof implies that the digests are equal.
            network_sha256=network_sha256(product) if rounding.changed else source_sha256,
            output_files=_describe(target.files(staging)),
        )
        content = msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
        (staging / RECORD_NAME).write_bytes(content)
    # Another process may have been faster; then its folder was kept, and must be the same.
    if read_record(destination) != record:
        raise UsageError(
            f"another process wrote a different conversion to {destination}", hint=_HINT
        )
    return record


def _writable(name: str, precision: str) -> tuple[FormatCodec, Writer]:
    codec = format_named(name)
    if codec.writer is None:
        written = ", ".join(item.name for item in FORMATS.values() if item.writer)
        raise UsageError(
            f"format {name} is only read", hint=f"formats that can be written: {written}"
        )
    if precision not in codec.writer.precisions:
        raise UsageError(
            f"format {name} cannot store {precision!r}",
            hint=f"it can store {', '.join(codec.writer.precisions)}",
        )
    return codec, codec.writer


def _describe(paths: tuple[Path, ...]) -> tuple[FileRecord, ...]:
    try:
        return tuple(FileRecord(p.name, p.stat().st_size, sha256_file(p)) for p in paths)
    except OSError as error:
        raise WeightsError(f"cannot read {error.filename}: {error.strerror or error}") from error


def _occupied(path: Path) -> bool:
    with storage_errors(f"list {path}"):
        return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def _existing(
    destination: Path, request: tuple[tuple[FileRecord, ...], str, str, str, dict[str, str]]
) -> ConversionRecord:
    """The record of a folder that holds exactly the requested conversion, undamaged."""
    try:
        record = read_record(destination)
    except WeightsError as error:
        raise UsageError(
            f"{destination} exists and is no conversion by this tool", hint=_HINT
        ) from error
    existing = (
        record.source_files,
        record.source_format,
        record.target_format,
        record.precision,
        record.upstream,
    )
    if existing != request or record.converter_version != __version__:
        raise UsageError(f"{destination} exists and holds another conversion", hint=_HINT)
    for item in record.output_files:
        path = destination / item.name
        if not path.is_file() or sha256_file(path) != item.sha256:
            raise UsageError(f"{destination} exists but its {item.name} is damaged", hint=_HINT)
    return record
