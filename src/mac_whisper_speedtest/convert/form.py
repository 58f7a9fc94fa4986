"""What the converter has to know about a form of storing Whisper weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mac_whisper_speedtest.convert.checkpoint import Checkpoint, Tensor
from mac_whisper_speedtest.convert.quantize import Quantization
from mac_whisper_speedtest.errors import UsageError, WeightsError


@dataclass(frozen=True)
class Writer:
    """How a form is written.

    Attributes:
        precisions: the precisions it can store, its usual one first.
        write: puts a checkpoint into an existing empty folder at a precision.
        stored_dtype: the type in which a tensor (name, shape) is stored at a precision; what the
            proof after writing expects to read back.
        quantization: the kind of blocks in which a tensor (name, shape) is stored at a precision,
            or None where it is stored value by value; None instead of a function where always so.
        read_back: reads what was just written, for the proof; None where `Form.read` does. A form
            that stores blocks has its own, because as a source those are refused.
    """

    precisions: tuple[str, ...]
    write: Callable[[Checkpoint, Path, str], None]
    stored_dtype: Callable[[str, tuple[int, ...], str], np.dtype[Any]]
    quantization: Callable[[str, tuple[int, ...], str], Quantization | None] | None = None
    read_back: Callable[[Path], Checkpoint] | None = None


@dataclass(frozen=True)
class FormatCodec:
    """One way of storing Whisper weights.

    Attributes:
        name: what a person types.
        file_names: the files that make it up; the first holds the tensors.
        looks_like: one line saying how it is recognized.
        detect: whether a path holds this form, judged by names and first bytes only.
        files: the files that reading this path uses, in a fixed order.
        read: the checkpoint at a path; raises WeightsError for anything malformed.
        writer: how it is written, or None where this program only reads it.
        carries_vocabulary: whether reading gives the byte-pair tokens.
        carries_alignment_heads: whether reading gives the alignment heads.
        recomputes: tensors that the form does not store because its backend computes them.
        carries_suppressed_tokens: whether reading gives the token ids never to be produced.
        is_one_file: whether a backend is given the one file and not its folder.
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


# The two plain precisions, and rounding to them without silent damage; see also `quantize`.


FLOAT16 = "float16"
FLOAT32 = "float32"
_DTYPES: dict[str, np.dtype[Any]] = {FLOAT16: np.dtype("<f2"), FLOAT32: np.dtype("<f4")}


def dtype_of(precision: str) -> np.dtype[Any]:
    """The little-endian numpy type of a precision name.

    Raises:
        UsageError: it is neither ``float16`` nor ``float32``.
    """
    try:
        return _DTYPES[precision]
    except KeyError:
        raise UsageError(f"precision {precision!r} is not one of {', '.join(_DTYPES)}") from None


def cast(name: str, array: Tensor, dtype: np.dtype[Any]) -> Tensor:
    """A finite array at another precision, rounded to nearest; itself where nothing changes.

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
