"""The container of Hugging Face and MLX: ``.safetensors``, read as views, written tensor by tensor.

The library reads whole arrays and writes only a whole model at once. It still judges a file that
is read: offsets are taken from a header that it has accepted.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mac_whisper_speedtest.convert.checkpoint import Tensor
from mac_whisper_speedtest.convert.codec import StoredArray
from mac_whisper_speedtest.convert.cursor import DAMAGED_HINT, Cursor
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

# The format's names of the types in these models, the first stored first.
_KINDS = {np.dtype("<i8"): "I64", np.dtype("<f4"): "F32", np.dtype("<f2"): "F16"}
_DTYPES = {"I64": "<i8", "I32": "<i4", "U32": "<u4", "F32": "<f4", "F16": "<f2"}
_ALIGNMENT = 8


def write(path: Path, arrays: Mapping[str, StoredArray], metadata: Mapping[str, str]) -> None:
    """Write arrays into a file, each made when it is its turn; the bytes are the library's own.

    Raises:
        WeightsError: a value does not fit its type.
        OSError: the file cannot be written.
    """
    kinds = list(_KINDS)
    order = sorted(arrays, key=lambda name: (kinds.index(arrays[name].dtype), name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in order:
        begin, end = end, end + arrays[name].size_bytes
        header[name] = {
            "dtype": _KINDS[arrays[name].dtype],
            "shape": list(arrays[name].shape),
            "data_offsets": [begin, end],
        }
    described = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    described += b" " * (-len(described) % _ALIGNMENT)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(described)) + described)
        for name in order:
            arrays[name].write_to(stream)


def read(path: Path, check: Callable[[str, str], None]) -> dict[str, Tensor]:
    """Every array of a file by name, as views of the mapped file.

    Args:
        path: the file.
        check: called with the name and type (such as ``F16``) of each array.

    Raises:
        WeightsMissingError: there is no such file.
        WeightsError: it is damaged or incomplete, or ``check`` rejects an array.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stored:
            for name in stored.keys():  # noqa: SIM118 - safe_open is not a mapping
                check(name, stored.get_slice(name).get_dtype())
    except FileNotFoundError as error:
        raise WeightsMissingError(f"there is no file {path}") from error
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise WeightsError(f"{path.name} cannot be read: {error}", hint=DAMAGED_HINT) from error
    cursor = Cursor(path)
    header = json.loads(cursor.raw(cursor.integer("Q", "the header's length"), "the header"))
    header.pop("__metadata__", None)
    data, arrays = cursor.offset, dict[str, Tensor]()
    for name, entry in header.items():
        cursor.offset = data + entry["data_offsets"][0]
        arrays[name] = cursor.array(_DTYPES[entry["dtype"]], tuple(entry["shape"]), name)
    return arrays
