"""Caches that make a load faster: evicting files from the page cache, and compiler caches."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
import platform
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.machine import apple
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt

_NEARLY_NONE = 0.01
"""Share of the pages that may remain in memory of files that count as evicted."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The result of evicting files.

    Attributes:
        dropped: whether the files must be read from the disk again; ``None`` where that is unknown.
        reason: why they were not evicted, or why it is unknown; empty if they were.
        bytes: of all files.
    """

    dropped: bool | None
    reason: str = ""
    bytes: int = 0


def drop(paths: Iterable[Path]) -> Dropped:
    """Evict these files, and all files below these folders, from the page cache.

    ``posix_fadvise(POSIX_FADV_DONTNEED)`` needs no special rights; pages that a running program has
    mapped remain. ``mincore`` shows whether it worked. The disk's own cache and the cache of a
    virtual machine's host are not emptied.
    """
    if not hasattr(os, "posix_fadvise"):
        how = "sudo purge" if sys.platform == "darwin" else "no command is known"
        return Dropped(dropped=False, reason=f"not permitted: only root can evict files ({how})")
    files = sorted(set(_files(paths)))
    if not files:
        return Dropped(dropped=False, reason="there are no such files")
    total = sum(path.stat().st_size for path in files)
    failed = attempt(lambda: _evict(files))
    if isinstance(failed, Unknown):
        return Dropped(dropped=False, reason=failed.reason)
    left = attempt(lambda: sum(map(resident_bytes, files)))
    if isinstance(left, Unknown):
        return Dropped(None, f"not known whether they were evicted: {left.reason}", total)
    gone = left <= _NEARLY_NONE * total
    reason = "" if gone else f"{megabytes(left)} of {megabytes(total)} remain: they are in use"
    return Dropped(gone, reason, total)


def resident_bytes(path: Path) -> int:
    """How much of a file is in memory.

    ``mincore`` reports this for files that this user owns or may write; of other files Linux
    reports all pages as resident.

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
        # ctypes needs a writable mapping to take its address; nothing is written to it.
        mapped = mmap.mmap(stream.fileno(), size, access=mmap.ACCESS_COPY)
    with mapped:
        anchor = ctypes.c_ubyte.from_buffer(mapped)
        status = library.mincore(ctypes.addressof(anchor), size, seen)
        del anchor  # the mapping cannot be closed while it is referenced
    if status:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    pages = sum(each & 1 for each in seen)
    return min(size, pages * page)


def _evict(files: Iterable[Path]) -> None:
    for path in files:
        with path.open("rb") as stream:
            descriptor = stream.fileno()
            os.fsync(descriptor)  # only pages that are on the disk can be evicted
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (each.resolve() for each in path.rglob("*") if each.is_file())
        elif path.is_file():
            yield path.resolve()


# Compiler caches: without them a first load may take minutes.
#
# Core ML keeps models compiled for the Neural Engine below ``~/Library/Caches``: in
# ``<program>/com.apple.e5rt.e5bundlecache/<OS build>``, or without ``<program>`` in a folder that
# all programs share; both have been seen. Bundles do not name their model, so one of the program's
# own proves only that this program has compiled something under this OS build, and one in the
# shared folder does not even say which program. Metal's compiled kernels cannot be inspected.


NOTHING = ""
"""For devices without a compiler: the CPU."""
PRESENT, ABSENT = "there", "absent"

_BUNDLES = "com.apple.e5rt.e5bundlecache"
_COREML = {"coreml", "ane"}
_METAL = {"metal", "mps", "gpu"}
_FRAMEWORK_PYTHON = ("Python", "org.python.python")
"""Names under which a Python that is a framework (python.org, Homebrew) may appear: it runs as an
application, independent of its command's name."""


@dataclass(frozen=True, slots=True)
class Caches:
    """Compiler caches before a worker started.

    Attributes:
        coreml: whether the program has Core ML bundles of this OS build.
        folders: where Core ML may keep them, the one that all programs share last; empty where
            there is no Core ML.
    """

    coreml: bool | Unknown
    folders: tuple[Path, ...] = ()


def compile_caches(program: str, *, home: Path | None = None, build: str | None = None) -> Caches:
    """The compiler caches; call it before a worker starts. Only macOS has them.

    Args:
        program: the name of the executable that loads.
        home: for tests; by default the user's home folder.
        build: of macOS, such as ``25A354``; by default that of this system.
    """
    if build is None:
        if platform.system() != "Darwin":
            return Caches(Unknown("this system has no Core ML"))
        found = _build()
        build = "" if isinstance(found, Unknown) else found
    root = (home or Path.home()) / "Library" / "Caches"
    python = program.lower().startswith("python")
    names = (program, *(_FRAMEWORK_PYTHON if python else ()))
    own, shared = [root / name / _BUNDLES / build for name in names], root / _BUNDLES / build
    folders = (*own, shared)
    if not build:
        return Caches(Unknown("the OS build is not known"), folders)
    seen = attempt(lambda: (any(map(_has_bundles, own)), _has_bundles(shared)))
    if isinstance(seen, Unknown):
        return Caches(seen, folders)
    in_own, in_shared = seen
    if in_shared and not in_own:
        return Caches(Unknown("only the cache that all programs share has bundles"), folders)
    if python and not in_own:
        return Caches(Unknown("a Python may have its cache under another name"), folders)
    return Caches(in_own, folders)


def _has_bundles(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def uses_core_ml(device: str, devices: Collection[str]) -> bool:
    """Whether a load on ``device`` compiles with Core ML, as far as that is known beforehand.

    Args:
        device: the requested one.
        devices: of the backend, its preferred one first; Core ML with the Neural Engine is
            what ``auto`` takes where it is among them.
    """
    if device == "auto":
        return "ane" in devices or next(iter(devices), "") in _COREML
    return _family(device) in _COREML


def cache_state(device: str, seen: Caches) -> str:
    """For a load on ``device``: `NOTHING`, `PRESENT`, `ABSENT`, or ``unknown: reason``."""
    family = _family(device)
    if family in _COREML:
        if isinstance(seen.coreml, Unknown):
            return f"unknown: {seen.coreml.reason}"
        return PRESENT if seen.coreml else ABSENT
    if family in _METAL:
        return "unknown: Metal's compiled kernels cannot be inspected"
    return NOTHING


def _family(device: str) -> str:
    return device.partition(":")[0].lower()


@functools.cache  # it runs a program; the build does not change during a run
def _build() -> Answer:
    return apple.system(Reader())[1]
