"""What machine this is: facts that change a number, and nothing that names its owner."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from mac_whisper_speedtest.machine import cores
from mac_whisper_speedtest.machine.reader import Reader
from mac_whisper_speedtest.results.schema import MachineInfo

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
    second thread on the same core (:func:`~mac_whisper_speedtest.machine.cores.fitting`).
    """
    reader = Reader()
    if _MACOS:
        fast = cores.macos(reader.run(["/usr/sbin/sysctl", "-n", "hw.perflevel0.physicalcpu"]))
        return fast or psutil.cpu_count(logical=False) or 1
    return cores.linux(reader, os.sched_getaffinity(0))


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
