"""Writes and reads ONNX files: only the part of the format that graphs of one number type need.

A file is a message of protocol buffers (https://onnx.ai, onnx.proto): fields with a number each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mac_whisper_speedtest.convert.checkpoint import Tensor
from mac_whisper_speedtest.convert.cursor import Cursor
from mac_whisper_speedtest.errors import WeightsError

FLOAT, INTEGER = 1, 7  # of TensorProto.DataType
_FORMAT, _OPERATORS = 8, 17  # releases; the operators are the first with LayerNormalization
LARGEST = 2**31 - 1
"""Most bytes of a message of protocol buffers; onnxruntime reads no larger message."""

_TYPES: Mapping[str, int] = {"<f4": FLOAT, "<i8": INTEGER, "<f2": 10}
_DTYPES: Mapping[int, str] = {number: dtype for dtype, number in _TYPES.items()}


def _varint(value: int) -> bytes:
    """A number in seven bits per byte; a negative one as 64 bits."""
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes(found) + bytes([value])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _attribute(name: str, value: int | list[int]) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, 2)
    return _field(1, name) + b"".join(_field(8, each) for each in value) + _field(20, 7)


def node(
    operator: str, inputs: Iterable[str], output: str, settings: Mapping[str, int | list[int]]
) -> bytes:
    """One operation of a graph."""
    parts = [_field(1, each) for each in inputs] + [_field(2, output), _field(4, operator)]
    parts += [_field(5, _attribute(name, value)) for name, value in settings.items()]
    return _field(1, b"".join(parts))


def value(name: str, kind: int, *shape: int | str) -> bytes:
    """An input or output of a graph; a size given as text is variable."""
    sizes = (_field(1, _field(1 if isinstance(each, int) else 2, each)) for each in shape)
    tensor = _field(1, kind) + _field(2, b"".join(sizes))
    return _field(1, name) + _field(2, _field(1, tensor))


def write_model(
    path: Path,
    nodes: Sequence[bytes],
    constants: Mapping[str, Tensor],
    *,
    inputs: Iterable[bytes],
    outputs: Iterable[bytes],
    metadata: Mapping[str, object],
) -> None:
    """Write a model; its large constants are written one by one at the end.

    Raises:
        WeightsError: it would be larger than `LARGEST`.
    """
    graph: list[bytes | Tensor] = [*nodes, _field(2, path.stem)]
    graph += [_field(11, each) for each in inputs] + [_field(12, each) for each in outputs]
    for name, array in constants.items():
        head = b"".join(_field(1, size) for size in array.shape)
        head += _field(2, _TYPES[array.dtype.str]) + _field(8, name)
        head += _varint(9 << 3 | 2) + _varint(array.nbytes)
        graph.append(_varint(5 << 3 | 2) + _varint(len(head) + array.nbytes) + head)
        graph.append(np.ascontiguousarray(array))
    total = sum(part.nbytes if isinstance(part, np.ndarray) else len(part) for part in graph)
    if total > LARGEST:
        raise WeightsError(
            f"{path.name} would have {total} bytes, and a file of ONNX has at most {LARGEST}",
            hint="store it in float16",
        )
    with path.open("wb") as stream:
        stream.write(_field(1, _FORMAT) + _field(8, _field(1, "") + _field(2, _OPERATORS)))
        for name, fact in metadata.items():
            stream.write(_field(14, _field(1, name) + _field(2, str(fact))))
        stream.write(_varint(7 << 3 | 2) + _varint(total))
        for part in graph:
            stream.write(part.data if isinstance(part, np.ndarray) else part)


def read_model(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The constants and the metadata of a model that `write_model` wrote.

    Raises:
        WeightsMissingError: there is no such file.
        WeightsError: it is damaged, or was not written by `write_model`.
    """
    cursor = Cursor(path)
    constants: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for number, size in _fields_of(cursor, cursor.remaining):
        if number == 5:
            name, array = _constant(cursor, cursor.offset + size)
            constants[name] = array
        elif number == 14:
            pair = [cursor.raw(each, "metadata") for _, each in _fields_of(cursor, size)]
            name, *fact = (text.decode(errors="replace") for text in pair)
            metadata[name] = "".join(fact)
        elif number != 7:  # field 7 is the graph, whose own fields are read next
            cursor.raw(size, "a field")
    return constants, metadata


def _fields_of(cursor: Cursor, size: int) -> Iterator[tuple[int, int]]:
    """Number and size of each field with contents, which the caller reads before the next one."""
    end = cursor.offset + size
    while cursor.offset < end:
        number, kind = divmod(_number(cursor), 8)
        length = _number(cursor)
        if kind == 2:
            yield number, length
        elif kind != 0:
            raise cursor.error(f"a field is of the kind {kind}, which these files do not have")


def _number(cursor: Cursor) -> int:
    found = 0
    for shift in range(0, 64, 7):
        byte = cursor.integer("B", "a number")
        found |= (byte & 127) << shift
        if byte < 128:
            return found
    raise cursor.error("a number is longer than 64 bits")


def _constant(cursor: Cursor, end: int) -> tuple[str, Tensor]:
    """One tensor: its sizes and type, its name, and last its values."""
    shape: list[int] = []
    dtype = name = ""
    while cursor.offset < end:
        number, kind = divmod(_number(cursor), 8)
        fact = _number(cursor)
        if (number, kind) == (1, 0):
            shape.append(fact)
        elif (number, kind) == (2, 0):
            dtype = _DTYPES.get(fact, "")
        elif (number, kind) == (8, 2):
            name = cursor.raw(fact, "a name").decode(errors="replace")
        elif (number, kind) == (9, 2) and dtype:
            return name, cursor.array(dtype, tuple(shape), name)
        else:
            break
    raise cursor.error(f"the tensor {name!r} is not stored as this tool stores one")
