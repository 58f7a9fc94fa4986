"""Limits and peaks of a process's control groups on Linux, versions 1 and 2.

Groups are nested and each limits the process, so the smallest limit counts. In a container the
group's path may exist only outside it, and its own group is the root.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

_ROOT = "/sys/fs/cgroup"
_UNLIMITED_BYTES = 1 << 62
"""Version 1 represents no limit as the largest number of whole pages below 2**63."""


def cpu_quota(reader: Reader) -> float | None:
    """Processor time that this process may use, in cores; ``None`` for no limit."""
    found = [parse_cpu_max(text) for text in _answers(reader, "", "cpu.max")]
    for folder in _own_folders(reader, "cpu"):
        quota, period = (reader.read(f"{folder}/cpu.cfs_{each}_us") for each in ("quota", "period"))
        found.append(parse_cpu_max(f"{quota} {period}"))
    return min((each for each in found if each is not None), default=None)


def memory_limit(reader: Reader) -> int | None:
    """Bytes that this process's groups may use; ``None`` for no limit."""
    texts = (
        *_answers(reader, "", "memory.max"),
        *_answers(reader, "memory", "memory.limit_in_bytes"),
    )
    found = map(parse_memory_max, texts)
    return min((each for each in found if each is not None), default=None)


def memory_peak(reader: Reader, pid: int) -> int | Unknown:
    """Peak bytes of a process's whole group (version 2), including cached files."""
    groups = reader.read(f"/proc/{pid}/cgroup")
    if isinstance(groups, Unknown):
        return groups
    folders = _folders(groups, "")
    text: Answer = Unknown("")
    for folder in (folders[0], folders[-1]):
        text = reader.read(f"{folder}/memory.peak")
        if isinstance(text, str) and text.isdecimal():
            return int(text)
    return text if isinstance(text, Unknown) else Unknown(f"memory.peak contains {text[:20]!r}")


def parse_cpu_max(text: str) -> float | None:
    """Cores that ``cpu.max`` allows: 1.5 for ``150000 100000``, ``None`` for ``max 100000``."""
    found = re.fullmatch(r"(\d+) ([1-9]\d*)", text.strip())
    return int(found[1]) / int(found[2]) if found else None


def parse_memory_max(text: str) -> int | None:
    """Bytes that ``memory.max`` allows: ``max``, or a number."""
    limit = int(text) if text.strip().isdecimal() else _UNLIMITED_BYTES
    return limit if limit < _UNLIMITED_BYTES else None


def _answers(reader: Reader, controller: str, name: str) -> Iterator[str]:
    """The texts of a file in this process's group and in those above it."""
    for folder in _own_folders(reader, controller):
        text = reader.read(f"{folder}/{name}")
        if isinstance(text, str):
            yield text


def _own_folders(reader: Reader, controller: str) -> list[str]:
    groups = reader.read("/proc/self/cgroup")
    return _folders(groups if isinstance(groups, str) else "", controller)


def _folders(groups: str, controller: str) -> list[str]:
    """The folders of a group and of those above it, the root last.

    Args:
        groups: the text of /proc/PID/cgroup.
        controller: of version 1, such as ``memory``; empty for the one tree of version 2.
    """
    group = PurePosixPath("/")
    for line in groups.splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controller in controllers.split(",") and path.startswith("/"):
            group = PurePosixPath(path)
    root = f"{_ROOT}/{controller}".rstrip("/")
    return [f"{root}{each}".rstrip("/") for each in (group, *group.parents)]
