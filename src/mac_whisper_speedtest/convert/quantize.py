"""ggml's block quantization: 32 values share a float16 scale, and in some kinds a minimum.

`gguf`, ggml's own Python package, does the arithmetic; it is imported only to quantize or
dequantize. The error bounds are computed here without it, so that the proof of a conversion does
not depend on the code that it checks.
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

_AT_ONCE = 1 << 20
"""Values to process at once: the steps need ten times the memory of the values."""


def in_rows(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Parts of the array with whole rows, each with the number of its first value."""
    rows = array.reshape(-1, array.shape[-1])
    step = max(1, _AT_ONCE // rows.shape[1])
    for start in range(0, len(rows), step):
        yield start * rows.shape[1], rows[start : start + step]


@dataclass(frozen=True)
class Quantization:
    """One kind of block.

    Attributes:
        name: ggml's own name in lower case, as on the command line.
        type_id: ggml's number for a tensor of this kind (``enum ggml_type``).
        file_type: ggml's number for a file of such tensors (``enum ggml_ftype``).
        block_bytes: the size of a stored block.
        levels: number of steps between a block's zero (or minimum) and its furthest value.
        reach: steps by which a value may change; a whole one if the scale's far end is clipped.
        has_minimum: whether steps count from the block's minimum instead of zero.
    """

    name: str
    type_id: int
    file_type: int
    block_bytes: int
    levels: int
    reach: float
    has_minimum: bool

    def quantize(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The bytes of an array whose last dimension is a multiple of `BLOCK`.

        Args:
            values: finite float32 values of any shape, row-major.

        Returns:
            Consecutive blocks as bytes, equal to the result of ggml's ``quantize_row_*_ref``.

        Raises:
            WeightsError: rows do not divide into blocks.
        """
        if values.shape[-1] % BLOCK:
            raise WeightsError(
                f"rows of {values.shape[-1]} values cannot be stored as {self.name}, "
                f"whose blocks hold {BLOCK}"
            )
        return np.concatenate([self._quantized(part) for _, part in in_rows(values)])

    def _quantized(self, values: NDArray[np.float32]) -> NDArray[np.uint8]:
        from gguf import GGMLQuantizationType, quants

        # gguf 0.19 differs from ggml in the sign of a stored zero. Adding 0.0 turns -0.0 into the
        # 0.0 with which ggml's loop over a block of zeros starts; and of equal minimums ggml
        # stores the first, gguf any.
        stored = quants.quantize(values + np.float32(0), GGMLQuantizationType(self.type_id))
        if self.has_minimum:
            blocks = values.reshape(-1, BLOCK)
            minimum = np.take_along_axis(blocks, blocks.argmin(axis=1)[:, None], axis=1)
            stored.reshape(-1, self.block_bytes)[:, 2:4] = minimum.astype("<f2").view(np.uint8)
        return stored.reshape(-1)

    def dequantize(self, content: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """The float32 values of `quantize`'s bytes.

        Args:
            content: exactly `size_bytes` of ``shape``, one-dimensional.
            shape: the shape of the result.
        """
        from gguf import GGMLQuantizationType, quants

        rows = content.reshape(-1, shape[-1] // BLOCK * self.block_bytes)
        found = np.empty(shape, np.float32)
        for start, part in in_rows(found):
            first = start // shape[-1]
            stored = rows[first : first + len(part)]
            part[:] = quants.dequantize(stored, GGMLQuantizationType(self.type_id))
        return found

    def size_bytes(self, shape: tuple[int, ...]) -> int:
        """The size of an array of ``shape`` in bytes; it cannot overflow."""
        count = 1
        for length in shape:
            count *= length
        return count // BLOCK * self.block_bytes

    def bounds(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """The largest change of each value by quantizing, computed only from the values.

        A step is a block's largest magnitude, or its range, / the levels. A value changes by
        `reach` steps; rounding the scale to float16 adds its error once per level, rounding the
        minimum adds its own, and float32 arithmetic the last digit of the largest value.

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
    """The largest error of rounding to float16 (11 significant bits, smallest step 2^-24)."""
    return np.maximum(magnitude * 2.0**-11, 2.0**-25)


QUANTIZATIONS: Mapping[str, Quantization] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Quantization("q8_0", 8, 7, 34, 127, 0.5, has_minimum=False),
            Quantization("q5_1", 7, 9, 24, 31, 0.5, has_minimum=True),
            Quantization("q5_0", 6, 8, 22, 16, 1.0, has_minimum=False),
            Quantization("q4_1", 3, 3, 20, 15, 0.5, has_minimum=True),
            Quantization("q4_0", 2, 2, 18, 8, 1.0, has_minimum=False),
        )
    }
)
"""By name, the most exact first."""
