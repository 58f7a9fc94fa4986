"""What macOS's kernel counts of processes and of memory, through its C library."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import struct
import sys
from dataclasses import dataclass
from typing import Any

HERE = sys.platform == "darwin"
"""Whether this is macOS."""

# ``proc_pid_rusage``, and the layout of its result.


UUID_BYTES = 16
_WORDS = {4: 35, 6: 56}
"""64-bit words after the UUID, by version (``rusage_info_v4`` and ``_v6`` in <sys/resource.h>)."""

_USER_TIME, _SYSTEM_TIME = 0, 1
_RESIDENT_SIZE = 6
_PHYS_FOOTPRINT = 7
_CHILD_USER_TIME, _CHILD_SYSTEM_TIME = 10, 11
_LIFETIME_MAX_PHYS_FOOTPRINT = 28
_USER_PTIME, _SYSTEM_PTIME = 36, 37
_ENERGY_NJ = 40
_NEURAL_FOOTPRINT = 44
_LIFETIME_MAX_NEURAL_FOOTPRINT = 45

_BUFFER_BYTES = 1024
"""More than any known version needs, in case the kernel writes a larger one."""


@dataclass(frozen=True, slots=True)
class Rusage:
    """The resource use of one process, in bytes unless the name says otherwise.

    Attributes:
        resident: pages in memory, including mapped files.
        footprint: the memory that Activity Monitor shows: with Metal's buffers and compressed
            pages, without clean pages of mapped files.
        footprint_peak: over the life of the process.
        ended_ticks: processor time of its children that have ended and been waited for, and of
            theirs, in ticks of `tick_s`.
        slow_ticks: its own processor time on efficiency cores, in such ticks; ``None`` before
            macOS 13.
        neural: memory of the Neural Engine, accounted separately; ``None`` before macOS 13.
        neural_peak: over the life of the process.
        energy_nj: processor energy that the system attributes to the process, in nanojoules,
            without the GPU and the Neural Engine; ``None`` before macOS 13.
    """

    resident: int
    footprint: int
    footprint_peak: int
    ended_ticks: int = 0
    slow_ticks: int | None = None
    neural: int | None = None
    neural_peak: int | None = None
    energy_nj: int | None = None


def parse_rusage(buffer: bytes, version: int) -> Rusage:
    """Parse the buffer that ``proc_pid_rusage`` has filled.

    Args:
        buffer: 16 bytes of UUID and native 64-bit words; 464 bytes in version 6, 296 in version 4.
        version: 4 or 6.

    Raises:
        ValueError: the buffer is too short for the version, or the version is unknown.
    """
    count = _WORDS.get(version)
    if count is None:
        raise ValueError(f"rusage_info version {version} is not known")
    needed = UUID_BYTES + 8 * count
    if len(buffer) < needed:
        raise ValueError(f"rusage_info_v{version} has {needed} bytes, not {len(buffer)}")
    words = struct.unpack_from(f"={count}Q", buffer, UUID_BYTES)

    def since_6(index: int) -> int | None:
        return words[index] if version >= 6 else None

    own = words[_USER_TIME] + words[_SYSTEM_TIME]
    return Rusage(
        resident=words[_RESIDENT_SIZE],
        footprint=words[_PHYS_FOOTPRINT],
        footprint_peak=words[_LIFETIME_MAX_PHYS_FOOTPRINT],
        ended_ticks=words[_CHILD_USER_TIME] + words[_CHILD_SYSTEM_TIME],
        slow_ticks=max(0, own - words[_USER_PTIME] - words[_SYSTEM_PTIME])
        if version >= 6
        else None,
        neural=since_6(_NEURAL_FOOTPRINT),
        neural_peak=since_6(_LIFETIME_MAX_NEURAL_FOOTPRINT),
        energy_nj=since_6(_ENERGY_NJ),
    )


def process_rusage(pid: int) -> Rusage:
    """The resource use of one of this user's processes: version 6, or 4 before macOS 13.

    Raises:
        OSError: there is no such process, it is another user's, or this is not macOS.
        AttributeError: this system's library has no such function.
    """
    library = _library()
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    for version in sorted(_WORDS, reverse=True):
        if library.proc_pid_rusage(ctypes.c_int(pid), ctypes.c_int(version), buffer) == 0:
            return parse_rusage(buffer.raw, version)
    code = ctypes.get_errno()
    raise OSError(code, f"proc_pid_rusage of process {pid} failed with errno {code}")


def tick_s() -> float:
    """Seconds of one tick of the kernel's processor times (``mach_timebase_info``).

    A nanosecond on Intel, 125/3 of one on Apple silicon. A Python that Rosetta translates gets
    Intel's, while the kernel counts in its own: doctor warns of such a Python.

    Raises:
        OSError: this is not macOS.
    """
    base = (ctypes.c_uint32 * 2)()
    _library().mach_timebase_info(base)
    return float(base[0] / base[1] / 1e9)


# The children of a process.

_PROC_PPID_ONLY = 6
"""Of <sys/proc_info.h>: the processes of one parent."""
_MOST_CHILDREN = 4096


def child_pids(pid: int) -> list[int]:
    """The process ids of the children of ``pid``; none if the system does not report them.

    One system call, where reading every process takes one for each of some hundreds.
    """
    found = (ctypes.c_int * _MOST_CHILDREN)()
    filled = 0
    with contextlib.suppress(OSError, AttributeError):  # not macOS, or not as it was
        filled = _library().proc_listpids(
            ctypes.c_uint32(_PROC_PPID_ONLY), ctypes.c_uint32(pid), found, ctypes.sizeof(found)
        )
    return [each for each in found[: max(filled, 0) // ctypes.sizeof(ctypes.c_int)] if each > 0]


# ``host_statistics64``: what moved between memory and swap.

_HOST_VM_INFO64 = 4
_SWAPINS_AT = 112
"""Bytes before ``swapins`` and ``swapouts`` in ``vm_statistics64`` of <mach/vm_statistics.h>."""


@dataclass(frozen=True, slots=True)
class SwapCounts:
    """Bytes that came from swap and went there since the machine started."""

    in_bytes: int
    out_bytes: int


def parse_vm_statistics(buffer: bytes, page_bytes: int) -> SwapCounts:
    """The swap of the buffer that ``host_statistics64`` has filled.

    Its ``pageins`` and ``pageouts`` are left out: they count pages of files, such as weights.
    """
    arrived, left = struct.unpack_from("=2Q", buffer, _SWAPINS_AT)
    return SwapCounts(arrived * page_bytes, left * page_bytes)


def swap_counts() -> SwapCounts:
    """What was swapped in and out since the machine started.

    Raises:
        OSError: this is not macOS, or the kernel refuses.
    """
    library = _library()
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    count = ctypes.c_uint32(_BUFFER_BYTES // 4)  # in integers; the kernel fills what it knows
    refused = library.host_statistics64(
        ctypes.c_uint32(_host()), ctypes.c_int(_HOST_VM_INFO64), buffer, ctypes.byref(count)
    )
    if refused or 4 * count.value < _SWAPINS_AT + 16:
        raise OSError(f"host_statistics64 failed with {refused} and {count.value} integers")
    return parse_vm_statistics(buffer.raw, os.sysconf("SC_PAGE_SIZE"))


@functools.cache
def _host() -> int:
    """The port of this machine's statistics; every call of the function would open another."""
    return int(_library().mach_host_self())


@functools.cache
def _library() -> Any:
    return ctypes.CDLL("/usr/lib/libSystem.B.dylib", use_errno=True)
