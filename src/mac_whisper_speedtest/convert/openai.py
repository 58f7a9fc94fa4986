"""OpenAI's own format, without PyTorch: the ``.pt`` file that openai-whisper loads.

A PyTorch checkpoint is a zip archive of one folder: ``data.pkl`` is the table of contents,
``data/0`` and so on hold the values, ``version`` the archive's version (torch/serialization.py,
caffe2's inline_container.h).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from mac_whisper_speedtest.convert import torch_pickle
from mac_whisper_speedtest.convert.checkpoint import (
    Checkpoint,
    Dims,
    Tensor,
    dims_from,
    expected_shapes,
)
from mac_whisper_speedtest.convert.codec import (
    FLOAT16,
    FormatCodec,
    cast,
    dtype_of,
    file_in,
    plain_writer,
)
from mac_whisper_speedtest.convert.cursor import UNQUANTIZED_HINT, Cursor
from mac_whisper_speedtest.convert.stored_zip import StoredZip, write_stored
from mac_whisper_speedtest.convert.torch_pickle import StoredTensor
from mac_whisper_speedtest.errors import WeightsError

FILE_NAME = "model.pt"
_ZIP = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""Start of a torch.save file before 1.6: a pickle of the number 0x1950a86a20f9469cfc6c."""

_KINDS: dict[str, np.dtype[Any]] = {"half": np.dtype("<f2"), "float": np.dtype("<f4")}
_VERSION = "3"
_FOLDER = "archive"


def write(checkpoint: Checkpoint, path: Path, precision: str = FLOAT16) -> None:
    """Write the file that ``whisper.load_model(path)`` loads, also with ``weights_only=True``.

    It stores neither vocabulary nor alignment heads: openai-whisper includes the vocabulary, and
    finds alignment heads only by model name.
    """
    dtype = dtype_of(precision)
    kind = next(name for name, known in _KINDS.items() if known == dtype)
    shapes = expected_shapes(checkpoint.dims)
    described = {
        name: StoredTensor(str(key), kind, math.prod(shape), 0, shape, _row_major(shape))
        for key, (name, shape) in enumerate(shapes.items())
    }

    def entries() -> Iterator[tuple[str, bytes | memoryview]]:
        yield f"{_FOLDER}/data.pkl", torch_pickle.dump(asdict(checkpoint.dims), described)
        yield f"{_FOLDER}/byteorder", b"little"
        for name, stored in described.items():
            array = np.ascontiguousarray(cast(name, checkpoint.tensors[name], dtype))
            yield f"{_FOLDER}/data/{stored.key}", array.reshape(-1).view(np.uint8).data
        yield f"{_FOLDER}/version", f"{_VERSION}\n".encode()

    write_stored(path, entries())


def _row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def read(path: Path) -> Checkpoint:
    """The checkpoint in such a file; no code in it is run.

    Raises:
        WeightsMissingError, WeightsError: as `FormatCodec.read`; also for the format before
            PyTorch 1.6, bfloat16, and anything but tensors.
    """
    path = file_in(path, FILE_NAME)
    start = Cursor(path)
    if start.raw(min(len(_LEGACY), start.remaining), "the start") == _LEGACY:
        raise WeightsError(
            f"{path.name} is in the format from before PyTorch 1.6, which is not read",
            hint="load it with PyTorch and save it again",
        )
    archive = StoredZip(path)
    pickles = [
        name for name in archive.names if name.count("/") == 1 and name.endswith("/data.pkl")
    ]
    if len(pickles) != 1:
        raise archive.error("is no PyTorch checkpoint: it holds no single data.pkl")
    folder = pickles[0].removesuffix("/data.pkl")
    if f"{folder}/byteorder" in archive.names:
        order = archive.content(f"{folder}/byteorder").tobytes()
        if order != b"little":
            raise archive.error(f"has the byte order {order!r}, expected b'little'")
    content = torch_pickle.load(archive.content(pickles[0]).tobytes(), path.name)
    if not isinstance(content, dict) or not {"dims", "model_state_dict"} <= content.keys():
        raise WeightsError(f"{path.name} does not hold dims and model_state_dict")
    if not isinstance(content["dims"], Mapping):
        raise WeightsError(f"{path.name}: dims is no table of sizes")
    dims = dims_from(content["dims"], path.name)
    return Checkpoint(dims, _tensors(archive, folder, content["model_state_dict"], dims))


def _tensors(archive: StoredZip, folder: str, state: object, dims: Dims) -> dict[str, Tensor]:
    file = archive.path.name
    if not isinstance(state, Mapping):
        raise WeightsError(f"{file}: model_state_dict is no table of tensors")
    shapes = expected_shapes(dims)
    tensors: dict[str, Tensor] = {}
    for name, stored in state.items():
        if name not in shapes or not isinstance(stored, StoredTensor):
            raise WeightsError(f"{file}: {name!r} is no tensor of a Whisper network of these sizes")
        if stored.kind not in _KINDS:
            raise WeightsError(
                f"{file}: tensor {name} is {stored.kind}, expected half or float",
                hint=UNQUANTIZED_HINT,
            )
        if stored.shape != shapes[name]:
            raise WeightsError(
                f"{file}: tensor {name} has shape {list(stored.shape)}, "
                f"expected {list(shapes[name])}"
            )
        tensors[name] = _values(archive, f"{folder}/data/{stored.key}", name, stored)
    for name in shapes:
        if name not in tensors:
            raise WeightsError(f"{file}: tensor {name} is missing")
    return tensors


def _values(archive: StoredZip, entry: str, name: str, stored: StoredTensor) -> Tensor:
    """A tensor as a view of an entry; OpenAI stored some matrices column by column."""
    content = archive.content(entry)
    dtype = _KINDS[stored.kind]
    if content.size != stored.stored * dtype.itemsize:
        raise archive.error(f"has {content.size} bytes in {entry}, not {stored.stored} values")
    if len(stored.strides) != len(stored.shape):
        raise archive.error(f"gives tensor {name} strides {list(stored.strides)}")
    pairs = zip(stored.shape, stored.strides, strict=True)
    end = stored.offset + sum((size - 1) * stride for size, stride in pairs) + 1
    if end > stored.stored:
        raise archive.error(f"has {stored.stored} values for tensor {name}, which reaches to {end}")
    return as_strided(
        content.view(dtype)[stored.offset :],
        stored.shape,
        [stride * dtype.itemsize for stride in stored.strides],
        writeable=False,
    )


def detect(path: Path) -> bool:
    """Whether a path is a ``.pt`` file of either format, or a folder with one as ``model.pt``."""
    path = file_in(path, FILE_NAME)
    if path.suffix != ".pt":
        return False
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_LEGACY))
    except OSError:
        return False
    return start.startswith(_ZIP) or start == _LEGACY


FORMAT = FormatCodec(
    name="openai",
    file_names=(FILE_NAME,),
    looks_like=f"a PyTorch file whose name ends in .pt, or a folder with {FILE_NAME}",
    detect=detect,
    files=lambda path: (file_in(path, FILE_NAME),),
    read=read,
    writer=plain_writer(
        lambda checkpoint, folder, precision: write(checkpoint, folder / FILE_NAME, precision)
    ),
    carries_vocabulary=False,
    carries_alignment_heads=False,
    is_one_file=True,
)
