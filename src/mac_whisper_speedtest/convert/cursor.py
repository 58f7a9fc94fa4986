"""Reading a binary file strictly: every step is checked against what is left of the file."""

from __future__ import annotations

import json
import mmap
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from mac_whisper_speedtest.convert.checkpoint import Tensor
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError


@cache
def _layout(code: str) -> struct.Struct:
    return struct.Struct("<" + code)


class Cursor:
    """A position in a memory-mapped file.

    Arrays taken from it are read-only views of the mapping, so a large model is paged in as it is
    used instead of being held twice. A length read from a damaged header is compared with what the
    file still holds before anything is allocated.

    Args:
        path: the file.

    Raises:
        WeightsMissingError: there is no such file.
        WeightsError: it is empty, a folder, or may not be read.
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
        except ValueError as error:  # what mmap says about a file of no bytes
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
            hint="the file is damaged or incomplete; fetch or convert it again",
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
        """A read-only view of the next row-major array; sizes are computed without overflow."""
        kind = np.dtype(dtype)
        count = 1
        for size in shape:
            count *= size
        start = self._take(count * kind.itemsize, what)
        return np.frombuffer(self._data, dtype=kind, count=count, offset=start).reshape(shape)


def read_side_file(path: Path) -> bytes:
    """A small file beside the weights, whole.

    Raises:
        WeightsMissingError: it does not exist.
        WeightsError: it may not be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise WeightsMissingError(f"there is no file {path}") from error
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}") from error


def parse_json_object(content: bytes, name: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        WeightsError: it is not JSON, or not an object.
    """
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{name} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{name} holds a {type(value).__name__}, expected a JSON object")
    return value
