"""What the control group of this process allows (cgroup v2: cpu.max and memory.max)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

from mac_whisper_speedtest.machine.reader import Reader

_ROOT = "/sys/fs/cgroup"


def cpus(reader: Reader) -> float | None:
    """Cores' worth of processor time it may use; ``None`` for no limit."""
    return _smallest(reader, "cpu.max", cpus_of)


def memory(reader: Reader) -> float | None:
    """Bytes it may use; ``None`` for no limit."""
    return _smallest(reader, "memory.max", memory_of)


def cpus_of(text: str) -> float | None:
    """What ``cpu.max`` allows: ``max 100000`` nothing less than all, ``150000 100000`` 1.5."""
    found = re.fullmatch(r"(\d+) ([1-9]\d*)", text.strip())
    return int(found[1]) / int(found[2]) if found else None


def memory_of(text: str) -> float | None:
    """What ``memory.max`` allows, in bytes: ``max``, or a number."""
    return float(text) if text.strip().isdecimal() else None


def _smallest(reader: Reader, name: str, parse: Callable[[str], float | None]) -> float | None:
    """The smallest limit in this process's group and those above it: each of them holds."""
    found = []
    for folder in _folders(reader):
        text = reader.read(f"{folder}/{name}")
        if isinstance(text, str) and (value := parse(text)) is not None:
            found.append(value)
    return min(found, default=None)


def _folders(reader: Reader) -> list[str]:
    own = reader.read("/proc/self/cgroup")
    line = re.search(r"^0::(/.*)$", own, re.MULTILINE) if isinstance(own, str) else None
    group = PurePosixPath(line[1] if line else "/")
    return [f"{_ROOT}{each}".rstrip("/") for each in (group, *group.parents)]
