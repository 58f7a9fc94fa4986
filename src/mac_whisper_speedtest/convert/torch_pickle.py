"""Reads the pickle of a PyTorch checkpoint without running it, and writes one without PyTorch.

A pickle is a small program that may call any function. This interpreter knows only the instructions
and the names that a checkpoint needs.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mac_whisper_speedtest.convert.cursor import DAMAGED_HINT
from mac_whisper_speedtest.errors import WeightsError

# The functions of torch.save for a tensor (torch/_utils.py) and for its empty table of hooks.
_REBUILD = "torch._utils _rebuild_tensor_v2"
_ORDERED = "collections OrderedDict"
STORAGES: Mapping[str, str] = {
    f"torch {kind}Storage": kind.lower()
    for kind in ("Half", "Float", "BFloat16", "Double", "Char", "Byte", "Short", "Int", "Long")
} | {"torch BoolStorage": "bool"}
"""The storages that a pickle may use, and the type of their values."""


@dataclass(frozen=True)
class StoredTensor:
    """The position of a tensor's values.

    Attributes:
        key: the entry of the archive, below ``data/``.
        kind: the type of its values, one of `STORAGES`.
        stored: number of values in that entry.
        offset: number of values before the tensor's first.
        shape: the sizes.
        strides: distance of neighbors in values, for each dimension.
    """

    key: str
    kind: str
    stored: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Global:
    name: str


_MARK = object()


def load(content: bytes, name: str) -> Any:
    """The object in a checkpoint's pickle: dicts, numbers, texts, and a `StoredTensor` per tensor.

    State that is set on an object (`BUILD`) is dropped: PyTorch keeps version numbers there.

    Args:
        content: the whole pickle.
        name: the file it came from, for messages.

    Raises:
        WeightsError: it is damaged, or uses a name or an instruction that no checkpoint needs; the
            message names it.
    """
    machine = _Machine(name)
    try:
        for opcode, argument, _ in pickletools.genops(content):
            machine.step(opcode.name, argument)
        return machine.result()
    except WeightsError:
        raise
    # Any other error comes from instructions that do not fit each other.
    except (ValueError, TypeError, LookupError, RecursionError, UnicodeError) as error:
        raise WeightsError(
            f"{name} cannot be read: {error}",
            hint=DAMAGED_HINT,
        ) from error


class _Machine:
    """The stack machine of a pickle, with the instructions that torch.save writes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}
        self._pushing: dict[str, Callable[[], Any]] = {
            "MARK": lambda: _MARK,
            "EMPTY_DICT": dict,
            "EMPTY_LIST": list,
            "EMPTY_TUPLE": tuple,
            "NONE": lambda: None,
            "NEWTRUE": lambda: True,
            "NEWFALSE": lambda: False,
            "TUPLE": lambda: tuple(self._since_mark()),
            "TUPLE1": lambda: self._tuple(1),
            "TUPLE2": lambda: self._tuple(2),
            "TUPLE3": lambda: self._tuple(3),
            "BINPERSID": self._storage,
            "REDUCE": self._call,
        }
        self._acting: dict[str, Callable[[], object]] = {
            "APPEND": lambda: self._append(self._tuple(1)),
            "APPENDS": lambda: self._append(self._since_mark()),
            "SETITEM": lambda: self._set_items(self._tuple(2)),
            "SETITEMS": lambda: self._set_items(self._since_mark()),
            "BUILD": self._stack.pop,
        }

    def step(self, opcode: str, argument: Any) -> None:
        match opcode:
            case "PROTO" | "STOP":
                pass
            case "GLOBAL":
                self._stack.append(self._named(argument))
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                self._stack.append(argument)
            case "BINPUT" | "LONG_BINPUT":
                self._memory[argument] = self._stack[-1]
            case "BINGET" | "LONG_BINGET":
                self._stack.append(self._memory[argument])
            case _ if opcode in self._pushing:
                self._stack.append(self._pushing[opcode]())
            case _ if opcode in self._acting:
                self._acting[opcode]()
            case _:
                raise self._forbidden(f"the instruction {opcode}")

    def result(self) -> Any:
        (value,) = self._stack
        return value

    def _forbidden(self, what: str) -> WeightsError:
        return WeightsError(
            f"{self._name} uses {what}, which no checkpoint of weights needs",
            hint="do not load this file with another program unless you trust its source",
        )

    def _named(self, name: str) -> _Global:
        if name not in (_REBUILD, _ORDERED) and name not in STORAGES:
            raise self._forbidden(f"{name.replace(' ', '.')}")
        return _Global(name)

    def _since_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        items.reverse()
        return items

    def _tuple(self, size: int) -> tuple[Any, ...]:
        items = [self._stack.pop() for _ in range(size)]
        return tuple(reversed(items))

    def _append(self, items: Iterable[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError("values are added to something that is not a list")
        target.extend(items)

    def _set_items(self, items: Iterable[Any]) -> None:
        target, flat = self._stack[-1], list(items)
        if not isinstance(target, dict):
            raise TypeError("keys are added to something that is not a dict")
        target.update(zip(flat[::2], flat[1::2], strict=True))

    def _storage(self) -> tuple[str, str, int]:
        word, kind, key, _place, count = self._stack.pop()
        if word != "storage" or not isinstance(kind, _Global) or kind.name not in STORAGES:
            raise ValueError("a reference is not to a storage")
        return STORAGES[kind.name], str(key), _count(count)

    def _call(self) -> object:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise TypeError("a call of something that is not a function")
        if function.name == _ORDERED:
            # torch.save creates an empty one and fills it later; it makes no other call.
            if arguments:
                raise self._forbidden("collections.OrderedDict with contents")
            return {}
        if function.name != _REBUILD:
            raise self._forbidden(f"a call of {function.name.replace(' ', '.')}")
        (kind, key, stored), offset, shape, strides, *_ = arguments
        return StoredTensor(
            key=key,
            kind=kind,
            stored=stored,
            offset=_count(offset),
            shape=tuple(_count(item) for item in shape),
            strides=tuple(_count(item) for item in strides),
        )


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} where a count belongs")
    return value


_FLOATS = {"half": b"ctorch\nHalfStorage\n", "float": b"ctorch\nFloatStorage\n"}


def dump(dims: Mapping[str, int], tensors: Mapping[str, StoredTensor]) -> bytes:
    """The pickle of ``{"dims": …, "model_state_dict": …}`` as torch.load reads it.

    Protocol 2, like torch.save, and only instructions that ``weights_only=True`` allows. It has no
    memo, so the same name is written for every tensor.

    Args:
        dims: names to sizes.
        tensors: names to row-major tensors of kind ``half`` or ``float``.
    """
    sizes = b"".join(_text(name) + _integer(value) for name, value in dims.items())
    state = b"".join(_text(name) + _tensor(stored) for name, stored in tensors.items())
    return b"".join(
        (
            b"\x80\x02}(",
            _text("dims") + b"}(" + sizes + b"u",
            _text("model_state_dict") + b"}(" + state + b"u",
            b"u.",
        )
    )


def _tensor(stored: StoredTensor) -> bytes:
    parts = _text("storage"), _FLOATS[stored.kind], _text(stored.key), _text("cpu")
    storage = b"(" + b"".join(parts) + _integer(stored.stored) + b"tQ"
    layout = _integer(stored.offset) + _integers(stored.shape) + _integers(stored.strides)
    hooks = b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + layout + b"\x89" + hooks + b"tR"


def _text(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _integers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(_integer(value) for value in values) + b"t"
