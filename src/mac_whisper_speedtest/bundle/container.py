"""The zip file of a bundle (or of a kit), read without trust and without unpacking.

Everything is checked before anything is decompressed, and decompressed bytes are counted. A bundle
has three files with fixed names, so no name is used as a path. The format is PKWARE's
APPNOTE 6.3; the checks here refuse what zipfile accepts but no bundle may contain.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from mac_whisper_speedtest.bundle.members import INFO, JOURNAL, MANIFEST, MEMBERS, SEALED
from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.printable import shown

LARGEST_FILE = 256 << 20
LARGEST_MEMBER = {INFO: 64 << 10, MANIFEST: 64 << 20, JOURNAL: 1 << 30, SEALED: 256 << 20}
"""Bytes, decompressed. A journal line has about 600 bytes, so a million samples fit."""
LARGEST_RATIO = 100
"""Decompressed ÷ compressed. Journals have 5 to 20; DEFLATE reaches 1032 for one repeated byte."""
_RATIO_FROM = 1 << 20
"""Texts shorter than this (bytes) are exempt: their compression ratio is meaningless."""
_LARGEST_DIRECTORY = 4096
"""Bytes: four entries take about 250, the twenty of a kit 1300."""
_END = struct.Struct("<4s4H2LH")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_BLOCK = 1 << 16


class BundleError(UsageError):
    """A file that is not a bundle, or whose content is not plausible."""


@dataclass(frozen=True, slots=True)
class ContainerShape:
    """The members of a zip file of this program.

    Attributes:
        noun: its name in messages.
        largest: name of every possible member → its most bytes, decompressed.
        needed: the names of required members.
    """

    noun: str
    largest: Mapping[str, int]
    needed: tuple[str, ...]


BUNDLE = ContainerShape("bundle", LARGEST_MEMBER, MEMBERS)


class Container:
    """A bundle's members as streams. Use as a context manager.

    Args:
        file: open for reading; it is closed with the container.
        path: its name in messages.
        shape: its required members.

    Raises:
        BundleError: it is not a zip file with exactly these members.
        StorageError: it cannot be read.
    """

    def __init__(self, file: BufferedReader, path: Path, shape: ContainerShape = BUNDLE) -> None:
        self._path = path
        self._file = file
        try:
            directory_at = _checked_end(self._file, shape)
            self._zip = zipfile.ZipFile(self._file)
            self._members = _checked(self._zip.infolist(), self._file, directory_at, shape)
        except BaseException as error:
            self._file.close()
            refused = _refused(error, path)
            if refused is error:
                raise
            raise refused from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def size(self) -> int:
        """The bytes of the file itself."""
        return self._file.seek(0, os.SEEK_END)

    def sha256(self) -> str:
        """The SHA-256 of the file itself."""
        self._file.seek(0)
        return hashlib.file_digest(self._file, "sha256").hexdigest()

    def blocks(self, name: str) -> Iterator[bytes]:
        """A member in decompressed blocks of up to 64 KiB, never more than its stated size.

        Raises:
            BundleError: it is damaged.
        """
        try:
            with self._zip.open(self._members[name]) as stream:
                while block := stream.read(_BLOCK):
                    yield block
        except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, ValueError) as error:
            raise _refused(error, self._path) from error

    def read(self, name: str) -> bytes:
        """A whole member. Raises BundleError."""
        return b"".join(self.blocks(name))


def open_container(path: Path, shape: ContainerShape = BUNDLE) -> Container:
    """The bundle at ``path``, or a file of another shape.

    Raises:
        BundleError: as :class:`Container`.
        UsageError: there is no such file.
        StorageError: it cannot be read.
    """
    try:
        file = path.open("rb")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UsageError(f"there is no file {path}", hint="check the path") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return Container(file, path, shape)


def _refused(error: BaseException, path: Path) -> BaseException:
    """The message for an error while a zip file is read."""
    if isinstance(error, OSError) and error.errno is not None:
        return StorageError(f"cannot read {path}: {error.strerror}")
    if isinstance(
        error,
        zipfile.BadZipFile | zlib.error | OSError | EOFError | ValueError | RuntimeError
        | struct.error,
    ):  # fmt: skip
        return BundleError(f"it is damaged, or not a zip file: {shown(str(error))}")
    return error


def _checked_end(file: IO[bytes], shape: ContainerShape) -> int:
    """The offset of the directory, from the record that must end the file.

    This runs before zipfile, which reads every entry of a directory of any length.
    """
    size = file.seek(0, os.SEEK_END)
    if size > LARGEST_FILE:
        raise BundleError(f"it has {size} bytes; a {shape.noun} has at most {LARGEST_FILE}")
    if size < _END.size:
        raise BundleError("it is not a zip file: it is too short")
    file.seek(size - _END.size)
    mark, disk, start, here, entries, length, begin, comment = _END.unpack(file.read(_END.size))
    if mark != b"PK\x05\x06" or comment:
        raise BundleError("it is not a zip file, is cut off, or has data after its end")
    if disk or start or here != entries:
        raise BundleError("it is one part of a multi-part zip file")
    if entries > len(shape.largest) or length > _LARGEST_DIRECTORY:
        raise BundleError(
            f"it has {entries} members in a directory of {length} bytes; a {shape.noun} has "
            f"{len(shape.needed)}: {', '.join(shape.needed)}"
        )
    if begin + length != size - _END.size:
        raise BundleError("its directory is not at the stated place: the file was altered")
    return int(begin)


def _checked(
    entries: list[zipfile.ZipInfo], file: IO[bytes], directory_at: int, shape: ContainerShape
) -> dict[str, zipfile.ZipInfo]:
    """The members by name, checked before decompression."""
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        # zipfile's `filename` is changed: cut at NUL, with slashes converted.
        _check_name(entry.orig_filename, shape)
        if entry.filename in found:
            raise BundleError(f"it has two members named {entry.filename}")
        _check_kind(entry)
        _check_size(entry, shape.largest[entry.filename])
        found[entry.filename] = entry
    missing = [name for name in shape.needed if name not in found]
    if missing:
        raise BundleError(f"it has no {' and no '.join(missing)}")
    _check_places(list(found.values()), file, directory_at)
    return found


def _check_name(name: str, shape: ContainerShape) -> None:
    if name in shape.largest:
        return
    why = f"a {shape.noun} has no such file"
    if "\0" in name:
        why = "its name contains NUL"
    elif "\\" in name or (len(name) > 1 and name[1] == ":"):
        why = "it is a Windows path"
    elif name.startswith("/"):
        why = "it is an absolute path"
    elif ".." in name.split("/"):
        why = "it leads out of the folder"
    elif "/" in name:
        why = f"a {shape.noun} has no folders"
    raise BundleError(f"it has a member named {shown(name)}: {why}")


def _check_kind(entry: zipfile.ZipInfo) -> None:
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):  # many programs state no kind
        what = "a link" if stat.S_ISLNK(mode) else "not a regular file"
        raise BundleError(f"its {entry.filename} is {what}")
    if entry.flag_bits & _ENCRYPTED:
        raise BundleError(f"its {entry.filename} is encrypted")
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise BundleError(
            f"its {entry.filename} is compressed by method {entry.compress_type}; only 0 (stored) "
            "and 8 (deflate) are read"
        )


def _check_size(entry: zipfile.ZipInfo, limit: int) -> None:
    size = entry.file_size
    if size > limit:
        raise BundleError(f"its {entry.filename} has {size} bytes; at most {limit} are read")
    if is_too_dense(entry):
        raise BundleError(
            f"its {entry.filename} has {size} bytes in {entry.compress_size}, more than "
            f"{LARGEST_RATIO} to 1: as in a zip bomb"
        )


def is_too_dense(entry: zipfile.ZipInfo) -> bool:
    """Whether a member is compressed more than any journal; the tool stores such members."""
    return entry.file_size > max(_RATIO_FROM, LARGEST_RATIO * entry.compress_size)


def _check_places(entries: list[zipfile.ZipInfo], file: IO[bytes], directory_at: int) -> None:
    """Refuse overlapping members, and data between them."""
    at = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        file.seek(entry.header_offset)
        header = file.read(_LOCAL.size)
        if len(header) < _LOCAL.size or entry.header_offset != at:
            raise BundleError(f"its {entry.filename} has a wrong offset: members overlap")
        *_, name_length, extra_length = _LOCAL.unpack(header)
        at += _LOCAL.size + name_length + extra_length + entry.compress_size
    if at != directory_at:
        raise BundleError("there is data after its members, or they overlap its directory")
