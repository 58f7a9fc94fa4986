"""ggml's block quantization: 32 values share a float16 scale, and in some kinds a minimum.

Layouts and arithmetic are those of ggml's ``ggml-common.h`` (``block_q4_0`` and so on) and
``ggml-quants.c`` (``quantize_row_*_ref``, ``dequantize_row_*``), to the bit: every step below is
one float32 operation there, in the same order, and conversions to integers truncate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mac_whisper_speedtest.errors import WeightsError

BLOCK = 32
"""Values in one block."""

_HALF = BLOCK // 2
_CHUNK = 1 << 15  # blocks at a time: 4 MiB of float32, whatever the tensor's size
_Floats = NDArray[np.float32]
_Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Quantization:
    """One kind of block.

    Attributes:
        name: what a person types, which is ggml's own name in lower case.
        type_id: ggml's number for a tensor of this kind (``enum ggml_type``).
        file_type: ggml's number for a file of such tensors (``enum ggml_ftype``).
        layout: a block's bytes.
        levels: how many steps lie between a block's zero (or minimum) and its furthest value.
        reach: how many steps a value may move; a whole one where the far end of the scale is cut.
        has_minimum: whether steps count from the block's minimum and not from zero.
    """

    name: str
    type_id: int
    file_type: int
    layout: np.dtype[Any]
    levels: int
    reach: float
    has_minimum: bool

    def quantize(self, values: NDArray[np.float32]) -> _Bytes:
        """The bytes of an array whose last dimension is a multiple of `BLOCK`.

        Args:
            values: finite float32 values of any shape, row-major.

        Returns:
            Blocks one after the other, as bytes.

        Raises:
            WeightsError: rows do not divide into blocks.
        """
        if values.shape[-1] % BLOCK:
            raise WeightsError(
                f"rows of {values.shape[-1]} values cannot be stored as {self.name}, "
                f"whose blocks hold {BLOCK}"
            )
        blocks = values.reshape(-1, BLOCK)
        stored = np.empty(len(blocks), self.layout)
        encode = _encode_from_minimum if self.has_minimum else _encode_from_zero
        for piece in _pieces(len(blocks)):
            encode(self, blocks[piece], stored[piece])
        return stored.view(np.uint8)

    def dequantize(self, content: NDArray[np.uint8], shape: tuple[int, ...]) -> _Floats:
        """The float32 values of `quantize`'s bytes.

        Args:
            content: exactly `size_bytes` of ``shape``, one-dimensional.
            shape: the shape of the result.
        """
        stored = content.view(self.layout)
        values = np.empty((len(stored), BLOCK), np.float32)
        for piece in _pieces(len(stored)):
            block = stored[piece]
            scale = block["scale"].astype(np.float32)[:, None]
            steps = _steps(self, block).astype(np.float32) * scale
            if self.has_minimum:
                steps += block["minimum"].astype(np.float32)[:, None]
            values[piece] = steps
        return values.reshape(shape)

    def size_bytes(self, shape: tuple[int, ...]) -> int:
        """How many bytes an array of ``shape`` takes, computed without overflow."""
        count = 1
        for length in shape:
            count *= length
        return count // BLOCK * self.layout.itemsize

    def bounds(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """How far quantizing may move each value, from the values alone.

        A step is a block's largest magnitude, or its range, over the levels. A value moves by
        `reach` steps; rounding the scale to float16 adds that error once for every level, rounding
        the minimum adds its own, and float32 arithmetic a last digit of the largest value.

        Returns:
            One bound for each block, in the order of the blocks.
        """
        blocks = values.reshape(-1, BLOCK)
        largest = np.abs(blocks).max(axis=1).astype(np.float64)
        lowest = blocks.min(axis=1).astype(np.float64)
        span = blocks.max(axis=1).astype(np.float64) - lowest if self.has_minimum else largest
        step = span / self.levels
        bound = self.reach * step + self.levels * _rounding(step) + largest * 2.0**-20
        if self.has_minimum:
            bound += _rounding(np.abs(lowest))
        return np.asarray(bound, np.float64)


def _rounding(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """What rounding to float16 (11 significant bits, least step 2^-24) changes at most."""
    return np.maximum(magnitude * 2.0**-11, 2.0**-25)


def _pieces(count: int) -> Iterator[slice]:
    for start in range(0, count, _CHUNK):
        yield slice(start, start + _CHUNK)


def _encode_from_zero(kind: Quantization, blocks: _Floats, into: NDArray[Any]) -> None:
    """q4_0, q5_0 and q8_0: a value is a signed count of steps."""
    at = np.abs(blocks).argmax(axis=1)[:, None]  # the first of equals, as in ggml's loop
    largest = np.take_along_axis(blocks, at, axis=1)
    if kind is _Q8_0:
        scale = np.divide(np.abs(largest), np.float32(kind.levels), dtype=np.float32)
    else:
        # The furthest value becomes the most negative count, of which there is one more.
        largest[largest == 0] = 0  # a block of -0.0 counts as 0.0
        scale = np.divide(largest, np.float32(-kind.levels), dtype=np.float32)
    counts: _Floats = blocks * _inverse(scale)
    into["scale"] = scale[:, 0]
    if kind is _Q8_0:
        whole = np.trunc(counts)
        away = np.abs(counts - whole) >= np.float32(0.5)  # C's roundf: halves go away from zero
        into["counts"] = whole + np.where(away, np.sign(counts), np.float32(0))
        return
    top = 2 * kind.levels - 1
    _pack(np.minimum((counts + np.float32(kind.levels + 0.5)).astype(np.uint8), top), into)


def _encode_from_minimum(kind: Quantization, blocks: _Floats, into: NDArray[Any]) -> None:
    """q4_1 and q5_1: a value is a count of steps above the block's minimum."""
    # argmin and not min, so that of 0.0 and -0.0 the first one is stored, as in ggml's loop.
    minimum = np.take_along_axis(blocks, blocks.argmin(axis=1)[:, None], axis=1)
    maximum = np.take_along_axis(blocks, blocks.argmax(axis=1)[:, None], axis=1)
    scale = (maximum - minimum) / np.float32(kind.levels)
    counts = (blocks - minimum) * _inverse(scale) + np.float32(0.5)
    into["scale"], into["minimum"] = scale[:, 0], minimum[:, 0]
    _pack(np.minimum(counts.astype(np.uint8), kind.levels), into)


def _inverse(scale: _Floats) -> _Floats:
    ones = np.ones_like(scale)
    return np.divide(ones, scale, out=np.zeros_like(scale), where=scale != 0)


def _pack(counts: _Bytes, into: NDArray[Any]) -> None:
    """Two counts in a byte, value ``j`` below value ``j + 16``; fifth bits in a word apart."""
    into["low"] = (counts[:, :_HALF] & 15) | (counts[:, _HALF:] & 15) << 4
    if "high" in (into.dtype.names or ()):
        into["high"] = np.packbits(counts >> 4, axis=1, bitorder="little")


def _steps(kind: Quantization, block: NDArray[Any]) -> NDArray[Any]:
    """Every value's count of steps, signed where it counts from zero."""
    if kind is _Q8_0:
        return np.asarray(block["counts"])
    low = block["low"]
    counts = np.concatenate([low & 15, low >> 4], axis=1).astype(np.int8)
    if "high" in (block.dtype.names or ()):
        counts |= np.unpackbits(block["high"], axis=1, bitorder="little").astype(np.int8) << 4
    return counts if kind.has_minimum else counts - np.int8(kind.levels)


_SCALE = ("scale", "<f2")
_MINIMUM = ("minimum", "<f2")
_HIGH = ("high", "u1", (BLOCK // 8,))
_LOW = ("low", "u1", (_HALF,))
_Q8_0 = Quantization(
    "q8_0", 8, 7, np.dtype([_SCALE, ("counts", "i1", (BLOCK,))]), 127, 0.5, has_minimum=False
)
QUANTIZATIONS: Mapping[str, Quantization] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _Q8_0,
            Quantization(
                "q5_1", 7, 9, np.dtype([_SCALE, _MINIMUM, _HIGH, _LOW]), 31, 0.5, has_minimum=True
            ),
            Quantization("q5_0", 6, 8, np.dtype([_SCALE, _HIGH, _LOW]), 16, 1.0, has_minimum=False),
            Quantization(
                "q4_1", 3, 3, np.dtype([_SCALE, _MINIMUM, _LOW]), 15, 0.5, has_minimum=True
            ),
            Quantization("q4_0", 2, 2, np.dtype([_SCALE, _LOW]), 8, 1.0, has_minimum=False),
        )
    }
)
"""By name, the most exact first."""
