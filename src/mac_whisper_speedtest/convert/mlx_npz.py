"""The older MLX format, as lightning-whisper-mlx loads it: ``weights.npz`` and ``config.json``.

The arrays and the configuration are as in `mlx`. An ``.npz`` is a zip archive with a numpy
``.npy`` file for each array.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from tokenize import TokenError

from numpy.lib import format as npy

from mac_whisper_speedtest.convert.checkpoint import Checkpoint, Tensor
from mac_whisper_speedtest.convert.codec import FLOAT16
from mac_whisper_speedtest.convert.mlx import (
    CONFIG_NAME,
    check_kind,
    from_mlx,
    mlx_codec,
    read_config,
    to_mlx,
    write_config,
)
from mac_whisper_speedtest.convert.stored_zip import StoredZip, write_stored
from mac_whisper_speedtest.errors import WeightsError

WEIGHTS_NAME = "weights.npz"
_SUFFIX = ".npy"
_MAX_HEADER = 4096  # bytes; an array's type and shape need about 120


def write(checkpoint: Checkpoint, directory: Path, precision: str = FLOAT16) -> None:
    """Write the two files into an existing folder; the same bytes every time."""
    arrays = to_mlx(checkpoint, precision)

    def entries() -> Iterator[tuple[str, bytes]]:
        for name, array in arrays.items():
            content = io.BytesIO()
            header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
            npy.write_array_header_1_0(content, header)
            array.write_to(content)
            yield name + _SUFFIX, content.getvalue()

    write_stored(directory / WEIGHTS_NAME, entries())
    write_config(checkpoint.dims, directory)


def read(directory: Path) -> Checkpoint:
    """The checkpoint of an unquantized MLX Whisper model stored as npz, uncompressed."""
    dims = read_config(directory / CONFIG_NAME)
    archive = StoredZip(directory / WEIGHTS_NAME)
    arrays: dict[str, Tensor] = {}
    for entry in archive.names:
        name = entry.removesuffix(_SUFFIX)
        arrays[name] = _array(archive, entry)
        check_kind(name, arrays[name].dtype.name, WEIGHTS_NAME)
    return from_mlx(arrays, dims)


def _array(archive: StoredZip, entry: str) -> Tensor:
    """The array of one ``.npy`` file; arrays of objects are rejected."""
    content = archive.content(entry)
    header = io.BytesIO(content[:_MAX_HEADER].tobytes())
    try:
        if npy.read_magic(header) != (1, 0):
            raise ValueError("its version is not 1.0")
        shape, by_columns, dtype = npy.read_array_header_1_0(header)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        values = content[header.tell() :].view(dtype)
        return values.reshape(shape, order="F" if by_columns else "C")
    # numpy parses the header as a Python literal, and a damaged one in a second way.
    except (ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError) as error:
        raise WeightsError(f"{archive.path.name}: {entry} cannot be read: {error}") from error


FORMAT = mlx_codec("mlx-npz", WEIGHTS_NAME, read, write)
