"""What machine this is: facts that change a number, and nothing that names its owner."""

from __future__ import annotations

import contextlib
import math
import os
import platform
import re
import subprocess
from collections.abc import Callable, Collection, Mapping
from pathlib import Path, PurePosixPath
from typing import TypeVar

import psutil

from mac_whisper_speedtest.machine.reader import Reader, Unknown
from mac_whisper_speedtest.results.schema import MachineInfo

# What the control group of this process allows (cgroup v2: cpu.max and memory.max).


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


# Which cores a backend's threads should get: whole, fast ones, and no more than are allowed.


_TOPOLOGY = "/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"
_FAST_CORES = "/sys/devices/cpu_core/cpus"
"""Where Linux lists the performance cores of an Intel processor that has two kinds."""


def linux(reader: Reader, affinity: Collection[int]) -> int:
    """How many threads fit: physical performance cores within the affinity and the group's quota.

    Args:
        reader: the machine.
        affinity: logical cores that this process may use; one at least.
    """
    fast = reader.read(_FAST_CORES)
    siblings = {}
    for core in affinity:
        text = reader.read(_TOPOLOGY.format(core=core))
        siblings[core] = parse_cpu_list(text) if isinstance(text, str) else frozenset()
    return fitting(
        affinity,
        siblings,
        fast=parse_cpu_list(fast) if isinstance(fast, str) else frozenset(),
        quota=cpus(reader),
    )


def fitting(
    affinity: Collection[int],
    siblings: Mapping[int, Collection[int]],
    *,
    fast: Collection[int] = (),
    quota: float | None = None,
) -> int:
    """How many physical cores there are to compute on, one at least.

    Two threads on one core share its arithmetic units, which matrix products fill alone. Slow cores
    hold up all threads where work is split evenly. A quota stops every thread once it is used up,
    so a fraction of a core is rounded down.

    Args:
        affinity: logical cores that may be used.
        siblings: by logical core, all that share its physical one; empty where it is not known.
        fast: the performance cores; empty where there is one kind.
        quota: cores' worth of time; ``None`` for no limit.
    """
    usable = set(affinity) & set(fast) or set(affinity)
    # A core is counted by the lowest of its siblings.
    physical = {min(siblings.get(core) or (core,)) for core in usable}
    count = len(physical)
    if quota is not None:
        count = min(count, math.floor(quota))
    return max(1, count)


def parse_cpu_list(text: str) -> frozenset[int]:
    """The numbers of a list as the kernel writes it: ``0-3,8,10-11``; empty if it is none."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            return frozenset()
        found |= set(range(int(first), int(last or first) + 1))
    return frozenset(found)


def macos(hw: str | Unknown) -> int | None:
    """The performance cores, from ``sysctl -n hw.perflevel0.physicalcpu``.

    ``None`` on Macs with one kind of core, which do not know that name.
    """
    return int(hw) if isinstance(hw, str) and hw.isdecimal() and int(hw) > 0 else None


T = TypeVar("T")

_MACOS = platform.system() == "Darwin"
_PROBE_TIMEOUT_S = 5.0


def describe() -> MachineInfo:
    """Look at this machine. A probe that fails leaves ``None`` and its reason, never a guess."""
    unknown: dict[str, str] = {}

    def probe(name: str, look: Callable[[], T]) -> T | None:
        try:
            return look()
        except (OSError, LookupError, ValueError, subprocess.SubprocessError) as error:
            unknown[name] = f"{type(error).__name__}: {error}"
            return None

    return MachineInfo(
        os=platform.system(),
        os_version=platform.mac_ver()[0] if _MACOS else platform.release(),
        architecture=platform.machine(),
        python=platform.python_version(),
        cpu=probe("cpu", _cpu),
        physical_cores=probe("physical_cores", lambda: _cores(logical=False)),
        logical_cores=probe("logical_cores", lambda: _cores(logical=True)),
        memory_bytes=probe("memory_bytes", lambda: psutil.virtual_memory().total),
        gpus=probe("gpus", _gpus),
        load_average_1m=probe("load_average_1m", lambda: os.getloadavg()[0]),
        unknown=unknown,
    )


def default_threads() -> int:
    """How many CPU threads backends get unless told: one per physical performance core.

    Efficiency cores slow every thread down to their pace where work is split evenly, and so does a
    second thread on the same core (:func:`~mac_whisper_speedtest.machine.describe.fitting`).
    """
    reader = Reader()
    if _MACOS:
        fast = macos(reader.run(["/usr/sbin/sysctl", "-n", "hw.perflevel0.physicalcpu"]))
        return fast or psutil.cpu_count(logical=False) or 1
    return linux(reader, os.sched_getaffinity(0))


def memory_limit() -> int:
    """How much memory one worker may take, in bytes: 90 % of what this machine or container has."""
    total = psutil.virtual_memory().total
    with contextlib.suppress(OSError, ValueError):  # no control group, or no limit in it
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return int(total * 0.9)


def _cores(*, logical: bool) -> int:
    count = psutil.cpu_count(logical=logical)
    if not count:
        raise LookupError("the system does not say")
    return int(count)


def _cpu() -> str:
    if _MACOS:
        return _sysctl("machdep.cpu.brand_string")
    return cpu_of_cpuinfo(Path("/proc/cpuinfo").read_text(encoding="utf-8"))


def cpu_of_cpuinfo(text: str) -> str:
    """The model name in the text of /proc/cpuinfo.

    Raises:
        LookupError: it names none, as on many ARM kernels.
    """
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    if not found:
        raise LookupError("/proc/cpuinfo names no model")
    return found[1].strip()


def _gpus() -> list[str]:
    if _MACOS:
        return [f"{_sysctl('machdep.cpu.brand_string')} (integrated)"]
    root = Path("/proc/driver/nvidia/gpus")
    if not root.is_dir():
        raise LookupError("no NVIDIA driver; other GPUs are not looked for")
    return [
        gpu_of_information(item.read_text(encoding="utf-8"))
        for item in sorted(root.glob("*/information"))
    ]


def gpu_of_information(text: str) -> str:
    """The model in the text of one /proc/driver/nvidia/gpus/*/information.

    Raises:
        LookupError: it names none.
    """
    found = re.search(r"^Model:\s*(.+)$", text, re.MULTILINE)
    if not found:
        raise LookupError("the NVIDIA driver names no model")
    return found[1].strip()


def _sysctl(name: str) -> str:
    done = subprocess.run(
        ["/usr/sbin/sysctl", "-n", name],
        capture_output=True,
        text=True,
        check=True,
        timeout=_PROBE_TIMEOUT_S,
    )
    return done.stdout.strip()
