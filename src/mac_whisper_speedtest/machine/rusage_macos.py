"""What macOS accounts to one process: ``proc_pid_rusage`` and the layout of what it gives."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass

UUID_BYTES = 16
_WORDS = {4: 35, 6: 56}
"""64-bit words after the UUID, by version (``rusage_info_v4`` and ``_v6`` in <sys/resource.h>)."""

_PHYS_FOOTPRINT = 7
_LIFETIME_MAX_PHYS_FOOTPRINT = 28
_ENERGY_NJ = 40
_NEURAL_FOOTPRINT = 44
_LIFETIME_MAX_NEURAL_FOOTPRINT = 45
_RESIDENT_SIZE = 6

_BUFFER_BYTES = 1024
"""More than any version takes, in case the kernel's grows."""


@dataclass(frozen=True, slots=True)
class Rusage:
    """One process's accounts, in bytes unless said otherwise.

    Attributes:
        resident: pages in memory, those of mapped files included.
        footprint: what Activity Monitor shows as memory: with Metal's buffers and compressed pages,
            without clean pages of mapped files.
        footprint_peak: the highest footprint of the process's life.
        neural: the ledger of the Neural Engine, kept apart; ``None`` before macOS 13.
        neural_peak: its highest.
        energy_nj: processor energy that the system attributes to the process, in nanojoules;
            ``None`` before macOS 13. Without the GPU and the Neural Engine.
    """

    resident: int
    footprint: int
    footprint_peak: int
    neural: int | None = None
    neural_peak: int | None = None
    energy_nj: int | None = None


def parse(buffer: bytes, version: int) -> Rusage:
    """Read the buffer that ``proc_pid_rusage`` has filled.

    Args:
        buffer: 16 bytes of UUID and native 64-bit words; 464 bytes in version 6, 296 in version 4.
        version: 4 or 6.

    Raises:
        ValueError: the buffer is too short for the version, or the version is not known here.
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

    return Rusage(
        resident=words[_RESIDENT_SIZE],
        footprint=words[_PHYS_FOOTPRINT],
        footprint_peak=words[_LIFETIME_MAX_PHYS_FOOTPRINT],
        neural=since_6(_NEURAL_FOOTPRINT),
        neural_peak=since_6(_LIFETIME_MAX_NEURAL_FOOTPRINT),
        energy_nj=since_6(_ENERGY_NJ),
    )


def of_process(pid: int) -> Rusage:
    """Ask macOS about one of this user's processes. Version 6, or 4 before macOS 13.

    Raises:
        OSError: there is no such process, it is another user's, or this is not macOS.
        AttributeError: this system's library has no such function.
    """
    library = ctypes.CDLL("/usr/lib/libSystem.B.dylib", use_errno=True)
    buffer = ctypes.create_string_buffer(_BUFFER_BYTES)
    for version in sorted(_WORDS, reverse=True):
        if library.proc_pid_rusage(ctypes.c_int(pid), ctypes.c_int(version), buffer) == 0:
            return parse(buffer.raw, version)
    code = ctypes.get_errno()
    raise OSError(code, f"proc_pid_rusage of process {pid} failed with errno {code}")
