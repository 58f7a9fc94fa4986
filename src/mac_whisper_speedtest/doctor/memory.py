"""Memory and swap: whether a model fits, and whether the system pages while it runs."""

from __future__ import annotations

import psutil

from mac_whisper_speedtest.doctor.lines import Line, ok, unknown, warn
from mac_whisper_speedtest.environments.environments import megabytes
from mac_whisper_speedtest.machine import limits
from mac_whisper_speedtest.machine.memory_state import (
    SYSCTL,
    linux_swap,
    macos_pressure,
    macos_swap,
    of_meminfo,
)
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt

LOW_MEMORY_BYTES = 2_000_000_000
"""Less than this available, and a worker with the model small (1 GB in float32) beside what its
library takes begins to push other programs out."""

SWAP_IN_USE_BYTES = 1_000_000_000
"""More than this in swap, and memory has been short. Less is what a healthy system has moved out
once and never needed again."""

_CLOSE_PROGRAMS = "close programs that hold memory, then: speedtest doctor"


def look(reader: Reader) -> list[Line]:
    """The lines about memory."""
    if reader.macos:
        total = reader.run([SYSCTL, "-n", "hw.memsize"])
        return [
            memory(
                total=int(total) if isinstance(total, str) and total.isdecimal() else total,
                available=attempt(lambda: int(psutil.virtual_memory().available)),
                pressure=reader.run([SYSCTL, "-n", "kern.memorystatus_vm_pressure_level"]),
            ),
            swap(macos_swap(reader.run([SYSCTL, "-n", "vm.swapusage"]))),
        ]
    meminfo = reader.read("/proc/meminfo")
    return [
        memory(
            total=of_meminfo(meminfo, "MemTotal"),
            available=of_meminfo(meminfo, "MemAvailable"),
            limit=limits.memory(reader),
        ),
        swap(linux_swap(meminfo)),
    ]


def memory(
    *,
    total: int | str | Unknown,
    available: int | Unknown,
    limit: float | None = None,
    pressure: Answer = "",
) -> Line:
    """How much memory there is, and how much of it is to be had now.

    Args:
        total: bytes of the machine; another text than a number was no answer.
        available: bytes that can be had without swapping.
        limit: bytes that the control group allows; ``None`` for no limit.
        pressure: macOS's own level: 1 normal, 2 warning, 4 critical.
    """
    if isinstance(total, Unknown):
        return unknown("memory", total.reason)
    if isinstance(total, str):
        return unknown("memory", "the system does not say how much")
    seen = megabytes(total)
    room = available if isinstance(available, int) else None
    if isinstance(available, int):
        seen += f", {megabytes(available)} available"
    if limit is not None and limit < total:
        seen += f"; the control group allows {megabytes(int(limit))}"
        room = min(int(limit), total if room is None else room)
    level = macos_pressure(pressure)
    if level in ("warning", "critical"):
        return warn("memory", f"{seen}; memory pressure: {level}", _CLOSE_PROGRAMS)
    if room is not None and room < LOW_MEMORY_BYTES:
        return warn("memory", f"{seen}: too little for larger models", _CLOSE_PROGRAMS)
    return ok("memory", seen)


def swap(used: int | Unknown) -> Line:
    """Whether so much is in swap (bytes) that memory must have been short."""
    if isinstance(used, Unknown):
        return unknown("swap", used.reason)
    if used > SWAP_IN_USE_BYTES:
        return warn("swap", f"{megabytes(used)} in use", _CLOSE_PROGRAMS)
    return ok("swap", f"{megabytes(used)} in use")
