"""Forgetting files: the page cache's share of a load, where the system lets us take it away."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.machine.reader import Unknown, attempt

_NEARLY_NONE = 0.01
"""Of the pages: what may stay in memory of files that count as forgotten."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """What became of the attempt.

    Attributes:
        dropped: whether the files have to be read from the disk again; ``None`` where the system
            was asked to forget them and does not let us see whether it did.
        reason: why not, or why it is not known; empty if they are forgotten.
        files: how many were asked for.
        bytes: of all of them.
        resident_before: bytes of them in memory before; ``None`` where it cannot be seen.
        resident_after: the same after.
    """

    dropped: bool | None
    reason: str = ""
    files: int = 0
    bytes: int = 0
    resident_before: int | None = None
    resident_after: int | None = None


def drop(paths: Iterable[Path]) -> Dropped:
    """Make the system forget what it has cached of these files and of all below these folders.

    ``posix_fadvise(POSIX_FADV_DONTNEED)`` needs no rights; pages that a running program has mapped
    stay. Whether it worked is looked up with ``mincore``. It empties neither the disk's own cache
    nor that of a virtual machine's host.
    """
    if not hasattr(os, "posix_fadvise"):
        how = "sudo purge" if sys.platform == "darwin" else "no way is known"
        return Dropped(
            dropped=False, reason=f"not permitted: this system forgets files for root alone ({how})"
        )
    files = sorted(set(_files(paths)))
    if not files:
        return Dropped(dropped=False, reason="there are no such files")
    total = sum(path.stat().st_size for path in files)
    before = _resident(files)
    failed = attempt(lambda: _forget(files))
    if isinstance(failed, Unknown):
        return Dropped(dropped=False, reason=failed.reason)
    after = _resident(files)
    if isinstance(after, Unknown):
        reason = f"it cannot be seen whether they were forgotten: {after.reason}"
        return Dropped(None, reason, len(files), total, _number(before))
    gone = after <= _NEARLY_NONE * total
    reason = "" if gone else f"{megabytes(after)} of {megabytes(total)} stay: they are in use"
    return Dropped(gone, reason, len(files), total, _number(before), after)


def resident_bytes(path: Path) -> int:
    """How much of a file is in memory.

    ``mincore`` tells this of files that this user owns or may write; of others Linux says that all
    of it is there.

    Raises:
        OSError: the file cannot be opened, or the system has no ``mincore``.
    """
    size = path.stat().st_size
    if not size:
        return 0
    page = mmap.PAGESIZE
    seen = (ctypes.c_ubyte * -(-size // page))()
    library = ctypes.CDLL(None, use_errno=True)
    library.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_ubyte)]
    with path.open("rb") as stream:
        # A private mapping may be written to, which ctypes asks for to tell an address; it is not.
        mapped = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_COPY)
    with mapped:
        anchor = ctypes.c_ubyte.from_buffer(mapped)
        status = library.mincore(ctypes.addressof(anchor), size, seen)
        del anchor  # the mapping cannot be closed while it is pointed to
    if status:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    pages = sum(each & 1 for each in seen)
    return min(size, pages * page)


def _forget(files: Iterable[Path]) -> None:
    for path in files:
        with path.open("rb") as stream:
            descriptor = stream.fileno()
            os.fsync(descriptor)  # what is not on the disk yet cannot be forgotten
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _resident(files: list[Path]) -> int | Unknown:
    return attempt(lambda: sum(map(resident_bytes, files)))


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (each.resolve() for each in path.rglob("*") if each.is_file())
        elif path.is_file():
            yield path.resolve()


def _number(found: int | Unknown) -> int | None:
    return None if isinstance(found, Unknown) else found


# Whether a device's compiler had compiled before: a first-ever load may take minutes.
#
# Core ML keeps what it compiled for the Neural Engine in ``~/Library/Caches/<program>/
# com.apple.e5rt.e5bundlecache/<OS build>/``. Nobody says which network is in it, so that a bundle
# is there proves only that the program has compiled something under this OS build. Metal's cache of
# compiled kernels cannot be looked into at all.


NOTHING = ""
"""Where nothing is compiled for a device: the CPU."""
THERE, ABSENT = "there", "absent"

_BUNDLES = "com.apple.e5rt.e5bundlecache"
_COREML = {"coreml", "ane"}
_METAL = {"metal", "mps", "gpu"}


@dataclass(frozen=True, slots=True)
class Caches:
    """What was seen before a worker was started.

    Attributes:
        coreml: whether the program has Core ML bundles of this OS build.
    """

    coreml: bool | Unknown


def compile_caches(program: str, *, home: Path | None = None, build: str | None = None) -> Caches:
    """Look before a worker is started; elsewhere than on macOS there is nothing to see.

    Args:
        program: the name of the executable that loads.
        home: of the user; for tests.
        build: of macOS, such as ``25A354``; for tests.
    """
    if build is None:
        if platform.system() != "Darwin":
            return Caches(Unknown("this system has no Core ML"))
        found = attempt(_build)
        if isinstance(found, Unknown):
            return Caches(found)
        build = found
    folder = (home or Path.home()) / "Library" / "Caches" / program / _BUNDLES / build
    return Caches(attempt(lambda: folder.is_dir() and any(folder.iterdir())))


def state(device: str, seen: Caches) -> str:
    """What is known of a load on ``device``: `NOTHING`, `THERE`, `ABSENT`, or ``unknown: why``."""
    family = device.partition(":")[0].lower()
    if family in _COREML:
        if isinstance(seen.coreml, Unknown):
            return f"unknown: {seen.coreml.reason}"
        return THERE if seen.coreml else ABSENT
    if family in _METAL:
        return "unknown: Metal's compiled kernels cannot be looked for"
    return NOTHING


@functools.cache  # it takes a program to find out, and no run outlives it
def _build() -> str:
    done = subprocess.run(
        ["/usr/bin/sw_vers", "-buildVersion"],
        capture_output=True,
        text=True,
        check=True,
        timeout=5,
    )
    return done.stdout.strip()
