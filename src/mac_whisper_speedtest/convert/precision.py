"""The two plain precisions, and rounding to them without silent damage; see also `quantise`."""

from __future__ import annotations

from typing import Any

import numpy as np

from mac_whisper_speedtest.convert.checkpoint import Tensor
from mac_whisper_speedtest.errors import UsageError, WeightsError

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
