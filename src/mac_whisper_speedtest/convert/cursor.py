"""Strict readers of files: each step is checked against the rest of the file."""

from __future__ import annotations

import json
import mmap
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.convert.checkpoint import Tensor
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

DAMAGED_HINT = "the file is damaged or incomplete; download or convert it again"
UNQUANTIZED_HINT = "convert from the float16 or float32 model"


@cache
def _layout(code: str) -> struct.Struct:
    return struct.Struct("<" + code)


class Cursor:
    """A position in a memory-mapped file.

    Its arrays are read-only views of the mapping, so a large model is paged in when used instead of
    being held twice. A length from a damaged header is compared with the rest of the file before
    anything is allocated.

    Args:
        path: the file.

    Raises:
        WeightsMissingError: there is no such file.
        WeightsError: it is empty, a folder, or unreadable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        try:
            with path.open("rb") as stream:
                self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            self._size = len(self._data)
        except FileNotFoundError as error:
            raise WeightsMissingError(f"there is no file {path}") from error
        except ValueError as error:  # mmap's error for an empty file
            raise WeightsError(f"{path} is empty") from error
        except OSError as error:
            raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error

    @property
    def remaining(self) -> int:
        """Bytes between the position and the end of the file."""
        return self._size - self.offset

    def error(self, message: str, offset: int | None = None) -> WeightsError:
        """A `WeightsError` that names the file and the offset (the current one by default)."""
        at = self.offset if offset is None else offset
        return WeightsError(
            f"{self.path.name}, offset {at}: {message}",
            hint=DAMAGED_HINT,
        )

    def _take(self, size: int, what: str) -> int:
        if size > self._size - self.offset:
            raise self.error(f"{what} needs {size} bytes but only {self.remaining} are left")
        start = self.offset
        self.offset += size
        return start

    def integer(self, code: str, what: str) -> int:
        """One little-endian integer; ``code`` is a `struct` letter such as ``I``."""
        layout = _layout(code)
        start = self._take(layout.size, what)
        return int(layout.unpack_from(self._data, start)[0])

    def raw(self, size: int, what: str) -> bytes:
        """The next ``size`` bytes."""
        start = self._take(size, what)
        return self._data[start : start + size]

    def array(self, dtype: DTypeLike, shape: tuple[int, ...], what: str) -> Tensor:
        """A read-only view of the next row-major array; sizes cannot overflow."""
        kind = np.dtype(dtype)
        count = 1
        for size in shape:
            count *= size
        start = self._take(count * kind.itemsize, what)
        return np.frombuffer(self._data, dtype=kind, count=count, offset=start).reshape(shape)


def read_side_file(path: Path) -> bytes:
    """The contents of a small file beside the weights.

    Raises:
        WeightsMissingError: it does not exist.
        WeightsError: it is unreadable.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise WeightsMissingError(f"there is no file {path}") from error
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error


def refuse_quantized(settings: object, file: str) -> None:
    """Raise WeightsError if a file of settings has any on quantization."""
    if settings is not None:
        raise WeightsError(
            f"{file}: these weights are quantized and the original values are gone",
            hint=UNQUANTIZED_HINT,
        )


def parse_json_object(content: bytes, name: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        WeightsError: it is not JSON, or not an object.
    """
    try:
        limits.check_depth(content)
        value = json.loads(content)
    except ValueError as error:
        raise WeightsError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{name} holds a {type(value).__name__}, expected a JSON object")
    return value
