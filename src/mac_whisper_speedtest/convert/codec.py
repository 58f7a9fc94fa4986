"""How the converter reads and writes a weights format, and the two plain precisions."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from mac_whisper_speedtest.convert.checkpoint import Checkpoint, Tensor, expected_shapes, give_back
from mac_whisper_speedtest.convert.quantize import Quantization
from mac_whisper_speedtest.errors import UsageError, WeightsError


@dataclass(frozen=True)
class StoredArray:
    """An array to write to a file: its header now, and its values on request.

    Attributes:
        source: returns the tensor; memory of a mapped file is released after its use.
        axes: the order in which its axes are stored; empty if unchanged.
        name: of the tensor, for messages.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    source: Callable[[], Tensor]
    axes: tuple[int, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Size of its values in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def write_to(self, stream: IO[bytes]) -> None:
        """Write the values, row-major.

        Raises:
            WeightsError: one does not fit the type.
            OSError: they cannot be written.
        """
        source = self.source()
        ordered = source.transpose(self.axes) if self.axes else source
        values = np.ascontiguousarray(cast(self.name, ordered, self.dtype))
        stream.write(values.reshape(-1).view(np.uint8).data)
        give_back(source)


@dataclass(frozen=True)
class Writer:
    """Writes a format.

    Attributes:
        precisions: the supported precisions, the usual one first.
        write: writes a validated checkpoint into an existing empty folder at a precision. Raises
            UsageError for an unknown precision, WeightsError for a value that does not fit it or
            for something that the format needs and the checkpoint lacks, and OSError.
        stored_dtype: the type in which a tensor (name, shape) is stored at a precision, and which
            the proof after writing expects to read back.
        quantization: the kind of blocks in which a tensor (name, shape) is stored at a precision,
            or None if it is stored value by value; None instead of a function if that is always so.
        read_back: reads the written files, for the proof; None if `FormatCodec.read` does. A format
            with blocks has its own, because `read` rejects quantized sources.
    """

    precisions: tuple[str, ...]
    write: Callable[[Checkpoint, Path, str], None]
    stored_dtype: Callable[[str, tuple[int, ...], str], np.dtype[Any]]
    quantization: Callable[[str, tuple[int, ...], str], Quantization | None] | None = None
    read_back: Callable[[Path], Checkpoint] | None = None


@dataclass(frozen=True)
class FormatCodec:
    """One format of Whisper weights.

    Attributes:
        name: as on the command line.
        file_names: its files; the first holds the tensors.
        looks_like: one line for messages: how it is recognized.
        detect: whether a path holds this format, judged by names and first bytes only.
        files: the files that reading a path uses, in a fixed order.
        read: the checkpoint at a path, with views of the mapped file as tensors where the format
            allows it. Raises WeightsMissingError if a file does not exist, and WeightsError if it
            is damaged, incomplete or quantized, or is not Whisper's.
        writer: None if this program only reads the format.
        carries_vocabulary: whether reading gives the byte-pair tokens.
        carries_alignment_heads: whether reading gives the alignment heads.
        recomputes: tensors that the format does not store because its backend computes them.
        carries_suppressed_tokens: whether reading gives the suppressed token ids.
        is_one_file: whether a backend loads the file itself instead of its folder.
    """

    name: str
    file_names: tuple[str, ...]
    looks_like: str
    detect: Callable[[Path], bool]
    files: Callable[[Path], tuple[Path, ...]]
    read: Callable[[Path], Checkpoint]
    writer: Writer | None
    carries_vocabulary: bool
    carries_alignment_heads: bool
    recomputes: frozenset[str] = frozenset()
    carries_suppressed_tokens: bool = False
    is_one_file: bool = False


def plain_writer(write: Callable[[Checkpoint, Path, str], None]) -> Writer:
    """The writer of a format that stores every tensor at one of the two plain precisions."""
    return Writer(
        precisions=(FLOAT16, FLOAT32),
        write=write,
        stored_dtype=lambda _name, _shape, precision: dtype_of(precision),
    )


def stored_arrays(
    checkpoint: Checkpoint, dtype: np.dtype[Any], axes: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, StoredArray]:
    """The tensors of a validated checkpoint as arrays of a file.

    Args:
        checkpoint: has the tensors.
        dtype: of the stored values.
        axes: by tensor, as in `StoredArray`, where they are stored in another order.
    """
    found = {}
    shapes = expected_shapes(checkpoint.dims)
    for name in checkpoint.tensors:
        order = (axes or {}).get(name, ())
        shape = tuple(shapes[name][axis] for axis in order) if order else shapes[name]
        source = functools.partial(checkpoint.tensors.__getitem__, name)
        found[name] = StoredArray(name, dtype, shape, source, order)
    return found


def file_in(path: Path, name: str) -> Path:
    """The file of a one-file format: ``path`` itself, or the file ``name`` in it."""
    return path / name if path.is_dir() else path


# The two plain precisions; see also `quantize`.


FLOAT16 = "float16"
FLOAT32 = "float32"
_DTYPES: dict[str, np.dtype[Any]] = {FLOAT16: np.dtype("<f2"), FLOAT32: np.dtype("<f4")}


def dtype_of(precision: str) -> np.dtype[Any]:
    """The little-endian numpy type of a precision name.

    Raises:
        UsageError: the precision is neither ``float16`` nor ``float32``.
    """
    try:
        return _DTYPES[precision]
    except KeyError:
        raise UsageError(f"precision {precision!r} is not one of {', '.join(_DTYPES)}") from None


def cast(name: str, array: Tensor, dtype: np.dtype[Any]) -> Tensor:
    """A finite array in another precision, rounded to nearest; the same array if it has it.

    Raises:
        WeightsError: a value is too large for ``dtype`` and would become infinite.
    """
    with np.errstate(over="ignore", under="ignore"):
        stored = array.astype(dtype, copy=False)
    if dtype.itemsize < array.dtype.itemsize and np.isinf(stored).any():
        raise WeightsError(
            f"tensor {name} reaches {float(np.abs(array).max()):.6g}, too large for {dtype.name}",
            hint="convert with precision float32",
        )
    return stored
