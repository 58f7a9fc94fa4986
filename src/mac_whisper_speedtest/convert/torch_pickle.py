"""The pickle in a PyTorch checkpoint, read without running anything and written without PyTorch.

A pickle is a small program that may call any function. Here its instructions are interpreted one by
one, only those that a checkpoint needs are known, and the only names it may use are the few below.
"""

from __future__ import annotations

import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mac_whisper_speedtest.convert.checkpoint import Tensor
from mac_whisper_speedtest.convert.cursor import Cursor
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

# What torch.save writes for a tensor (torch/_utils.py) and for its empty table of hooks.
_REBUILD = "torch._utils _rebuild_tensor_v2"
_ORDERED = "collections OrderedDict"
STORAGES: Mapping[str, str] = {
    f"torch {kind}Storage": kind.lower()
    for kind in ("Half", "Float", "BFloat16", "Double", "Char", "Byte", "Short", "Int", "Long")
} | {"torch BoolStorage": "bool"}
"""The names of storages that a pickle may use, and the type of their values."""


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor's values lie.

    Attributes:
        key: the entry of the archive, below ``data/``.
        kind: the type of its values, one of `STORAGES`.
        stored: how many values that entry holds.
        offset: how many of them come before the tensor's first.
        shape: the sizes.
        strides: how many values lie between neighbors, for each dimension.
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
    """What a checkpoint's pickle says: dicts, numbers, texts, and a `StoredTensor` for each tensor.

    State that is set on an object (`BUILD`) is dropped: PyTorch keeps version numbers there.

    Args:
        content: the whole pickle.
        name: the file it came from, for messages.

    Raises:
        WeightsError: it is damaged, or uses a name or an instruction that no checkpoint of weights
            needs; the message says which.
    """
    machine = _Machine(name)
    try:
        for opcode, argument, _ in pickletools.genops(content):
            machine.step(opcode.name, argument)
        return machine.result()
    except WeightsError:
        raise
    # Anything else that goes wrong comes from instructions that do not fit each other.
    except (ValueError, TypeError, LookupError, RecursionError, UnicodeError) as error:
        raise WeightsError(
            f"{name} cannot be read: {error}",
            hint="the file is damaged or incomplete; fetch or convert it again",
        ) from error


class _Machine:
    """A stack, a memory of earlier objects, and the instructions that torch.save writes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stack: list[Any] = []
        self._memory: dict[int, Any] = {}
        self._plain: dict[str, Callable[[], Any]] = {
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
            case _ if opcode in self._plain:
                self._stack.append(self._plain[opcode]())
            case _ if opcode in self._acting:
                self._acting[opcode]()
            case _:
                raise self._refusal(f"the instruction {opcode}")

    def result(self) -> Any:
        (value,) = self._stack
        return value

    def _refusal(self, what: str) -> WeightsError:
        return WeightsError(
            f"{self._name} uses {what}, which no checkpoint of weights needs",
            hint="do not load this file with another program before you know where it is from",
        )

    def _named(self, name: str) -> _Global:
        if name not in (_REBUILD, _ORDERED) and name not in STORAGES:
            raise self._refusal(f"{name.replace(' ', '.')}")
        return _Global(name)

    def _since_mark(self) -> list[Any]:
        taken: list[Any] = []
        while (item := self._stack.pop()) is not _MARK:
            taken.append(item)
        taken.reverse()
        return taken

    def _tuple(self, size: int) -> tuple[Any, ...]:
        taken = [self._stack.pop() for _ in range(size)]
        return tuple(reversed(taken))

    def _append(self, items: Iterable[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, list):
            raise TypeError("values are put into something that is not a list")
        target.extend(items)

    def _set_items(self, items: Iterable[Any]) -> None:
        target, flat = self._stack[-1], list(items)
        if not isinstance(target, dict):
            raise TypeError("keys are put into something that is not a dict")
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
            # torch.save writes an empty one and fills it afterwards; no other call is made.
            if arguments:
                raise self._refusal("collections.OrderedDict with contents")
            return {}
        if function.name != _REBUILD:
            raise self._refusal(f"a call of {function.name.replace(' ', '.')}")
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

    Protocol 2, like torch.save, and only instructions that ``weights_only=True`` allows. Nothing is
    remembered and reused, so the same name is written again for every tensor.

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


# Zip archives without compression, whose bytes depend only on what is put in.
#
# PyTorch checkpoints and numpy's ``.npz`` are such archives. Neither library's writer is used: one
# is not here, and the other puts the time of day into every entry.


_LOCAL_HEADER = 30  # bytes before an entry's name (PKWARE APPNOTE 4.3.7)
_LOCAL_MAGIC = 0x04034B50
_PADDING_ID = 0x4246  # "FB", the id of the extra field with which PyTorch aligns
_ALIGNMENT = 64
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # the first date that a zip entry can have


def write_stored(path: Path, entries: Iterable[tuple[str, bytes | memoryview]]) -> None:
    """Write an archive; every entry's content starts at a multiple of 64 bytes.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("wb") as stream, zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name, _EARLIEST)
            info.create_system = 3  # "Unix" on every system, and with it
            info.external_attr = 0o600 << 16
            unpadded = archive.start_dir + _LOCAL_HEADER + len(name.encode()) + 4
            padding = -unpadded % _ALIGNMENT
            info.extra = struct.pack("<2H", _PADDING_ID, padding) + bytes(padding)
            archive.writestr(info, content)


class StoredZip:
    """An archive to read. Contents are read-only views of the mapped file, checksum compared.

    Args:
        path: the file.

    Raises:
        WeightsMissingError: there is no such file.
        WeightsError: it is no archive, is incomplete, or has a name twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cursor = Cursor(path)
        try:
            with zipfile.ZipFile(path) as archive:
                listed = archive.infolist()
        except FileNotFoundError as error:
            raise WeightsMissingError(f"there is no file {path}") from error
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise self.error(f"cannot be read: {error}") from error
        self._entries = {info.filename: info for info in listed}
        if len(self._entries) != len(listed):
            raise self.error("holds an entry twice")

    @property
    def names(self) -> tuple[str, ...]:
        """The entries in the order of the archive's table."""
        return tuple(self._entries)

    def error(self, message: str) -> WeightsError:
        """A `WeightsError` that names the file."""
        return WeightsError(
            f"{self.path.name} {message}",
            hint="the file is damaged or incomplete; fetch or convert it again",
        )

    def content(self, name: str) -> Tensor:
        """An entry's bytes, as a one-dimensional array.

        Raises:
            WeightsError: there is no such entry, it is compressed or encrypted, lies outside the
                file, or its checksum is wrong.
        """
        info = self._entries.get(name)
        if info is None:
            raise self.error(f"has no entry {name}")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise WeightsError(f"{self.path.name}: {name} is compressed or encrypted")
        cursor = self._cursor
        cursor.offset = max(0, info.header_offset)
        if cursor.integer("I", f"the header of {name}") != _LOCAL_MAGIC:
            raise cursor.error(f"no entry starts here, but the table says {name} does")
        cursor.raw(_LOCAL_HEADER - 8, f"the header of {name}")
        lengths = (cursor.integer("H", f"a length of {name}") for _ in range(2))
        cursor.raw(sum(lengths), f"the name of {name}")
        content = cursor.array("u1", (info.file_size,), name)
        if zlib.crc32(content.data) != info.CRC:
            raise self.error(f"is damaged: the checksum of {name} is wrong")
        return content
