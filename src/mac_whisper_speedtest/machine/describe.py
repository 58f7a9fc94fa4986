"""Facts about this machine that affect results, without anything that identifies its owner."""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import psutil

from mac_whisper_speedtest.machine import apple, cgroup, nvml
from mac_whisper_speedtest.machine.nvml import Nvml
from mac_whisper_speedtest.machine.reader import Reader, Unknown, attempt, require
from mac_whisper_speedtest.results.schema import MachineInfo

T = TypeVar("T")


def describe(reader: Reader | None = None) -> MachineInfo:
    """Describe this machine. An unreadable fact is ``None`` with a reason, never a guess."""
    reader = reader or Reader()
    unknown: dict[str, str] = {}

    def probe(name: str, query: Callable[[], T]) -> T | None:
        found = attempt(query)
        if isinstance(found, Unknown):
            unknown[name] = found.reason
            return None
        return found

    found: dict[str, Any]
    if reader.macos:
        found = _mac_facts(reader, probe)
    else:
        library = nvml.shared()
        found = _linux_facts(reader, probe, library)
    return MachineInfo(
        architecture=platform.machine(),
        python=platform.python_version(),
        cpu=probe("cpu", lambda: _cpu(reader)),
        physical_cores=probe("physical_cores", lambda: _cores(logical=False)),
        logical_cores=probe("logical_cores", lambda: _cores(logical=True)),
        memory_bytes=probe("memory_bytes", lambda: psutil.virtual_memory().total),
        load_average_1m=probe("load_average_1m", lambda: os.getloadavg()[0]),
        unknown=unknown,
        **found,
    )


def _linux_facts(
    reader: Reader, probe: Callable[[str, Callable[[], Any]], Any], library: Nvml | Unknown
) -> dict[str, Any]:
    """The facts that are read in another way on Linux; without NVML, the GPUs' names alone."""
    found = {"os": platform.system(), "os_version": platform.release()}
    nvidia = probe("nvidia", lambda: require(library).infos())
    if nvidia is None or isinstance(library, Unknown):
        return found | {"gpus": probe("gpus", lambda: _nvidia_gpus(reader))}
    driver, cuda = library.versions()
    names = [each.name for each in nvidia]
    return found | {"gpus": names, "nvidia": nvidia, "nvidia_driver": driver, "cuda": cuda}


def _mac_facts(reader: Reader, probe: Callable[[str, Callable[[], Any]], Any]) -> dict[str, Any]:
    """The facts that only a Mac has, and those that are read in another way there."""
    version, build = apple.system(reader)
    kinds = probe("core_kinds", lambda: require(apple.core_kinds(reader)))
    gpus = probe("gpus", lambda: require(apple.gpus(reader)))
    return {
        "os": "Darwin",
        "os_version": version if isinstance(version, str) else platform.mac_ver()[0],
        "os_build": probe("os_build", lambda: require(build)),
        "hardware_model": probe("hardware_model", lambda: require(reader.sysctl("hw.model"))),
        "core_kinds": {kind.name: kind.physical for kind in kinds} if kinds else None,
        "gpus": [gpu.model for gpu in gpus] if gpus is not None else None,
        "gpu_cores": next((gpu.cores for gpu in gpus or () if gpu.cores), None),
    }


def default_threads(reader: Reader | None = None) -> int:
    """The default number of CPU threads of a backend: one per physical core that is fast.

    The reasons are in :func:`~mac_whisper_speedtest.machine.describe.usable_cores`. Where macOS
    names no kinds of core, as on Intel Macs and in some virtual machines, all physical cores count.
    """
    reader = reader or Reader()
    if reader.macos:
        kinds = apple.core_kinds(reader)
        fast = 0 if isinstance(kinds, Unknown) else apple.fast_cores(kinds)
        return fast or psutil.cpu_count(logical=False) or 1
    return linux_threads(reader, os.sched_getaffinity(0))


def memory_limit(reader: Reader | None = None) -> int:
    """The memory limit of one worker in bytes: 90 % of this machine's or container's memory.

    Where processor and GPU share it, of what Metal's buffers may have: beyond that macOS swaps.
    """
    reader, total = reader or Reader(), psutil.virtual_memory().total
    shared = apple.working_set(reader.sysctl("iogpu.wired_limit_mb"), total) if reader.macos else 0
    return int(min(total, cgroup.memory_limit(reader) or total, shared or total) * 0.9)


# The cores for a backend's threads: physical, fast ones, within the limits of this process.


_TOPOLOGY = "/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"
_FAST_CORES = "/sys/devices/cpu_core/cpus"
"""The performance cores of an Intel processor with two kinds of core, on Linux."""


def linux_threads(reader: Reader, affinity: Collection[int]) -> int:
    """Physical performance cores within the affinity (one core at least) and the group's quota."""
    fast = reader.read(_FAST_CORES)
    siblings = {}
    for core in affinity:
        text = reader.read(_TOPOLOGY.format(core=core))
        siblings[core] = parse_cpu_list(text) if isinstance(text, str) else frozenset()
    return usable_cores(
        affinity,
        siblings,
        fast=parse_cpu_list(fast) if isinstance(fast, str) else frozenset(),
        quota=cgroup.cpu_quota(reader),
    )


def usable_cores(
    affinity: Collection[int],
    siblings: Mapping[int, Collection[int]],
    *,
    fast: Collection[int] = (),
    quota: float | None = None,
) -> int:
    """The number of physical cores to compute on, one at least.

    Two threads on one core share its arithmetic units, which one thread's matrix products already
    fill. Where work is split evenly, all threads wait for the slow cores. A quota stops every
    thread once it is used up, so a fraction of a core is rounded down.

    Args:
        affinity: logical cores that may be used.
        siblings: by logical core, all that share its physical core; empty where that is unknown.
        fast: the performance cores; empty where there is only one kind.
        quota: processor time in cores; ``None`` for no limit.
    """
    usable = set(affinity) & set(fast) or set(affinity)
    # The lowest sibling represents a physical core.
    physical = {min(siblings.get(core) or (core,)) for core in usable}
    count = len(physical)
    if quota is not None:
        count = min(count, math.floor(quota))
    return max(1, count)


def parse_cpu_list(text: str) -> frozenset[int]:
    """Processor numbers in the kernel's notation, ``0-3,8,10-11``; empty if it is not one."""
    found: set[int] = set()
    for part in text.split(","):
        span = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        numbers = range(int(span[1]), int(span[2] or span[1]) + 1) if span else range(0)
        if not numbers:
            return frozenset()
        found.update(numbers)
    return frozenset(found)


def _cores(*, logical: bool) -> int:
    count = psutil.cpu_count(logical=logical)
    if not count:
        raise LookupError("the system does not report it")
    return int(count)


def _cpu(reader: Reader) -> str:
    if reader.macos:
        return require(reader.sysctl("machdep.cpu.brand_string"))
    return cpu_model(require(reader.read("/proc/cpuinfo")))


def cpu_model(text: str) -> str:
    """The model name in the text of /proc/cpuinfo.

    Raises:
        LookupError: it names none, as on many ARM kernels.
    """
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    if not found:
        raise LookupError("/proc/cpuinfo names no model")
    return found[1].strip()


def _nvidia_gpus(reader: Reader) -> list[str]:
    root = "/proc/driver/nvidia/gpus"
    if not reader.exists(root):
        raise LookupError("no NVIDIA driver; other GPUs are not detected")
    return [
        gpu_model(require(reader.read(path))) for path in reader.matching(f"{root}/*/information")
    ]


def gpu_model(text: str) -> str:
    """The model in the text of one /proc/driver/nvidia/gpus/*/information.

    Raises:
        LookupError: it names none.
    """
    found = re.search(r"^Model:\s*(.+)$", text, re.MULTILINE)
    if not found:
        raise LookupError("the NVIDIA driver names no model")
    return found[1].strip()
