"""Zip archives without compression, such as PyTorch checkpoints and numpy's ``.npz``.

The written bytes depend only on the contents. PyTorch's writer is not available here, and numpy's
puts the time of day into every entry.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from mac_whisper_speedtest.convert.checkpoint import Tensor, give_back
from mac_whisper_speedtest.convert.cursor import DAMAGED_HINT, Cursor
from mac_whisper_speedtest.errors import WeightsError, WeightsMissingError

_LOCAL_HEADER = 30  # bytes before an entry's name (PKWARE APPNOTE 4.3.7)
_LOCAL_MAGIC = 0x04034B50
_PADDING_ID = 0x4246  # "FB", the id of the extra field that PyTorch aligns with
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
            info.create_system = 3  # "Unix", on every system
            info.external_attr = 0o600 << 16
            unpadded = archive.start_dir + _LOCAL_HEADER + len(name.encode()) + 4
            padding = -unpadded % _ALIGNMENT
            info.extra = struct.pack("<2H", _PADDING_ID, padding) + bytes(padding)
            archive.writestr(info, content)


class StoredZip:
    """Reads an archive; contents are read-only views of the mapped file with checked checksums.

    Args:
        path: the file.

    Raises:
        WeightsMissingError: there is no such file.
        WeightsError: it is not an archive, is incomplete, or has a duplicate name.
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
            hint=DAMAGED_HINT,
        )

    def content(self, name: str) -> Tensor:
        """An entry's bytes, as a one-dimensional array.

        Raises:
            WeightsError: there is no such entry, it is compressed or encrypted, is outside the
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
            raise cursor.error(f"no entry starts here, although the table puts {name} here")
        cursor.raw(_LOCAL_HEADER - 8, f"the header of {name}")
        lengths = (cursor.integer("H", f"a length of {name}") for _ in range(2))
        cursor.raw(sum(lengths), f"the name of {name}")
        content = cursor.array("u1", (info.file_size,), name)
        if zlib.crc32(content.data) != info.CRC:
            raise self.error(f"is damaged: the checksum of {name} is wrong")
        give_back(content)
        return content
