"""whisper.cpp's ggml format: one file of sizes, mel filters, tokens and tensors."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from mac_whisper_speedtest.convert.checkpoint import (
    Checkpoint,
    Dims,
    Tensor,
    check_dims,
    expected_shapes,
    filter_bank,
    give_back,
)
from mac_whisper_speedtest.convert.codec import (
    FLOAT16,
    FLOAT32,
    FormatCodec,
    Writer,
    cast,
    dtype_of,
    file_in,
)
from mac_whisper_speedtest.convert.cursor import UNQUANTIZED_HINT, Cursor
from mac_whisper_speedtest.convert.quantize import QUANTIZATIONS, Quantization
from mac_whisper_speedtest.convert.vocabulary import END_OF_TEXT
from mac_whisper_speedtest.errors import WeightsError

FILE_NAME = "ggml-model.bin"
_MAGIC = 0x67676D6C  # "ggml"
_HEADER = (
    "n_vocab",
    "n_audio_ctx",
    "n_audio_state",
    "n_audio_head",
    "n_audio_layer",
    "n_text_ctx",
    "n_text_state",
    "n_text_head",
    "n_text_layer",
    "n_mels",
)
# ggml's tensor type ids; the ftype of a file that is not quantized uses the same two numbers.
_TYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
_QUANTIZED_TYPES = {kind.type_id: kind for kind in QUANTIZATIONS.values()}
_QUANTIZED_FILES = {kind.file_type: kind for kind in QUANTIZATIONS.values()}
# whisper.cpp adds ggml's quantization version (GGML_QNT_VERSION, 2), times 1000, to the ftype.
_VERSIONED = 2 * 1000
_POSITIONS = "positional_embedding"
_LONGEST_NAME = 128
_LONGEST_TOKEN = 1024  # bytes; the longest in Whisper's vocabularies is 128 spaces


def write(checkpoint: Checkpoint, path: Path, precision: str = FLOAT16) -> None:
    """Write the file that whisper.cpp loads.

    Even at float16 whisper.cpp requires one-dimensional tensors and positions as float32; see
    `stored_dtype`. A quantized file equals the output of whisper.cpp's own tool for the float16
    file: the matrices become blocks of their float16 values (see `quantization`), the rest is
    unchanged. This format needs the vocabulary and stores no alignment heads.

    Raises:
        UsageError, WeightsError, OSError: as `Writer.write`; also for rows that do not divide into
            blocks.
    """
    ftype = _file_type(precision)
    if not checkpoint.vocabulary:
        raise WeightsError(
            "a ggml file needs the vocabulary, which the source format does not carry",
            hint="convert from a format with a tokenizer.json, such as ctranslate2",
        )
    dims = checkpoint.dims
    # Adding zero turns the table's single -0.0 into the 0.0 of upstream's tiny.en.
    bank = filter_bank(dims.n_mels) + np.float32(0)
    with path.open("wb") as stream:
        sizes = [getattr(dims, name) for name in _HEADER]
        stream.write(struct.pack("<12i", _MAGIC, *sizes, ftype))
        stream.write(struct.pack("<2i", *bank.shape) + bank.astype("<f4").tobytes())
        tokens = [*checkpoint.vocabulary, *_extra_tokens(dims)]
        stream.write(struct.pack("<i", len(tokens)))
        for token in tokens:
            stream.write(struct.pack("<i", len(token)) + token)
        for name in expected_shapes(dims):
            _write_tensor(stream, name, checkpoint.tensors[name], precision)
            give_back(checkpoint.tensors[name])


def _extra_tokens(dims: Dims) -> tuple[bytes, ...]:
    """The tokens after the byte-pair tokens in upstream's lists.

    The lists were made from vocab.json files, of which only the English one has ``<|endoftext|>``;
    whisper.cpp names all later ids itself.
    """
    return () if dims.is_multilingual else (END_OF_TEXT.encode(),)


def _file_type(precision: str) -> int:
    kind = QUANTIZATIONS.get(precision)
    if kind is not None:
        return _VERSIONED + kind.file_type
    return 1 if dtype_of(precision).itemsize == 2 else 0


def _write_tensor(stream: IO[bytes], name: str, array: Tensor, precision: str) -> None:
    kind = quantization(name, array.shape, precision)
    if kind is None:
        stored = cast(name, array, stored_dtype(name, array.shape, precision))
        type_id = 1 if stored.dtype.itemsize == 2 else 0
    else:
        stored = kind.quantize(cast(name, array, dtype_of(FLOAT16)).astype(np.float32))
        type_id = kind.type_id
    shape = _stored_shape(name, array.shape)
    header = (len(shape), len(name), type_id)
    stream.write(struct.pack(f"<3i{len(shape)}i", *header, *reversed(shape)) + name.encode())
    stream.write(np.ascontiguousarray(stored).reshape(-1).view(np.uint8).data)


def stored_dtype(name: str, shape: tuple[int, ...], precision: str) -> np.dtype[Any]:
    """float32 for one-dimensional tensors and positions, else the file's own precision.

    A quantized file is created from a float16 file; its blocks are read back as float32.
    """
    if len(shape) < 2 or name.endswith(_POSITIONS):
        return dtype_of(FLOAT32)
    if precision in QUANTIZATIONS:
        return dtype_of(FLOAT32 if quantization(name, shape, precision) else FLOAT16)
    return dtype_of(precision)


def quantization(name: str, shape: tuple[int, ...], precision: str) -> Quantization | None:
    """The kind of blocks of every matrix except the positions, in a quantized file.

    whisper.cpp's tool (``examples/quantize/quantize.cpp``) skips everything without two dimensions,
    both tables of positions, and the convolutions' biases, which are columns.
    """
    if len(shape) != 2 or name.endswith(_POSITIONS):
        return None
    return QUANTIZATIONS.get(precision)


def _stored_shape(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Convolution biases are stored as columns."""
    return (*shape, 1) if name in ("encoder.conv1.bias", "encoder.conv2.bias") else shape


def read(path: Path) -> Checkpoint:
    """The checkpoint in a ggml file; the message of an error names the offset."""
    return _read(path, allow_quantized=False)


def _read(path: Path, *, allow_quantized: bool) -> Checkpoint:
    cursor = Cursor(file_in(path, FILE_NAME))
    if (magic := cursor.integer("I", "the magic number")) != _MAGIC:
        raise cursor.error(f"starts with {magic:#010x}, a ggml file with {_MAGIC:#010x}", 0)
    dims = Dims(**{name: cursor.integer("i", name) for name in _HEADER})
    check_dims(dims, cursor.path.name)
    at = cursor.offset
    ftype = cursor.integer("i", "the file's type")
    kind = _QUANTIZED_FILES.get(ftype - _VERSIONED)
    if ftype in _TYPES:
        precision = FLOAT16 if ftype else FLOAT32
    elif kind is not None and allow_quantized:
        precision = kind.name
    else:
        raise WeightsError(
            f"{cursor.path.name}, offset {at}: type {ftype} is "
            f"{kind.name if kind else 'an unknown one'}; these weights are quantized and the "
            "original values are gone",
            hint=UNQUANTIZED_HINT,
        )
    _read_mel(cursor, dims)
    vocabulary = _read_tokens(cursor, dims)
    tensors = _read_tensors(cursor, dims, precision)
    return Checkpoint(dims, tensors, vocabulary)


def _read_mel(cursor: Cursor, dims: Dims) -> None:
    at = cursor.offset
    rows, columns = cursor.integer("i", "mel rows"), cursor.integer("i", "mel columns")
    expected = filter_bank(dims.n_mels)
    if (rows, columns) != expected.shape:
        raise cursor.error(f"mel filters {[rows, columns]}, expected {list(expected.shape)}", at)
    bank = cursor.array("<f4", (rows, columns), "the mel filters")
    # The weights are below 0.03; another library's bank may differ in the last bits.
    if not np.allclose(bank, expected, rtol=0, atol=1e-6):
        raise cursor.error("the mel filters are not Whisper's", at)


def _read_tokens(cursor: Cursor, dims: Dims) -> tuple[bytes, ...]:
    at = cursor.offset
    count = cursor.integer("i", "the number of tokens")
    if not 1 <= count <= dims.n_vocab:
        raise cursor.error(f"{count} tokens, expected 1 to {dims.n_vocab}", at)
    tokens = []
    for number in range(count):
        at = cursor.offset
        length = cursor.integer("i", f"the length of token {number}")
        if not 0 <= length <= _LONGEST_TOKEN:
            raise cursor.error(f"token {number} has the length {length}", at)
        tokens.append(cursor.raw(length, f"token {number}"))
    if tokens[-1] == END_OF_TEXT.encode():
        tokens.pop()
    return tuple(tokens)


class _Tensors(Mapping[str, Tensor]):
    """Tensors by name; quantized ones are computed at every access, and not kept."""

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}
        self._blocks: dict[str, tuple[Quantization, tuple[int, ...]]] = {}

    def add(
        self, name: str, stored: Tensor, kind: Quantization | None, shape: tuple[int, ...]
    ) -> None:
        """Add a tensor as it is stored: its values, or blocks of a kind."""
        self._tensors[name] = stored
        if kind is not None:
            self._blocks[name] = (kind, shape)

    def __getitem__(self, name: str) -> Tensor:
        stored = self._tensors[name]
        if name not in self._blocks:
            return stored
        kind, shape = self._blocks[name]
        values = kind.dequantize(stored, shape)
        give_back(stored)
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors


def _read_tensors(cursor: Cursor, dims: Dims, precision: str) -> Mapping[str, Tensor]:
    shapes = expected_shapes(dims)
    tensors = _Tensors()
    while cursor.remaining:
        at = cursor.offset
        rank, length, kind = (cursor.integer("i", f"a tensor's {what}") for what in _TENSOR_HEADER)
        known = kind in _TYPES or kind in _QUANTIZED_TYPES
        if not (1 <= rank <= 4 and 1 <= length <= _LONGEST_NAME and known):
            raise cursor.error(f"rank {rank}, name length {length}, type {kind} at a tensor", at)
        sizes = tuple(cursor.integer("i", "a tensor's shape") for _ in range(rank))[::-1]
        name = cursor.raw(length, "a tensor's name").decode("ascii", "backslashreplace")
        if name not in shapes or name in tensors:
            raise cursor.error(f"tensor {name!r} is unknown or repeated", at)
        # whisper.cpp squeezes and widens some shapes, so compare with its stored shape.
        if sizes != _stored_shape(name, shapes[name]):
            raise cursor.error(
                f"tensor {name} has shape {list(sizes)}, which does not fit the sizes", at
            )
        blocks = quantization(name, shapes[name], precision)
        if _QUANTIZED_TYPES.get(kind) != blocks or (
            blocks is None and _TYPES[kind] != stored_dtype(name, shapes[name], precision)
        ):
            raise cursor.error(
                f"tensor {name} has type {kind}, which is wrong in a {precision} file", at
            )
        stored = (
            cursor.array(_TYPES[kind], shapes[name], f"tensor {name}")
            if blocks is None
            else cursor.array("u1", (blocks.size_bytes(shapes[name]),), f"tensor {name}")
        )
        tensors.add(name, stored, blocks, shapes[name])
    for name in shapes:
        if name not in tensors:
            raise cursor.error(f"the file ends without tensor {name}")
    return tensors


_TENSOR_HEADER = ("rank", "name length", "type")


def detect(path: Path) -> bool:
    """Whether a path is such a file, or a folder with one under its usual name."""
    try:
        with file_in(path, FILE_NAME).open("rb") as stream:
            return stream.read(4) == struct.pack("<I", _MAGIC)
    except OSError:
        return False


FORMAT = FormatCodec(
    name="ggml",
    file_names=(FILE_NAME,),
    looks_like=f"a file that starts with ggml's magic number, or a folder with {FILE_NAME}",
    detect=detect,
    files=lambda path: (file_in(path, FILE_NAME),),
    read=read,
    writer=Writer(
        precisions=(FLOAT16, FLOAT32, *QUANTIZATIONS),
        write=lambda checkpoint, folder, precision: write(
            checkpoint, folder / FILE_NAME, precision
        ),
        stored_dtype=stored_dtype,
        quantization=quantization,
        read_back=lambda folder: _read(folder, allow_quantized=True),
    ),
    carries_vocabulary=True,
    carries_alignment_heads=False,
    is_one_file=True,
)
