"""Makes Python on Linux answer as on a Mac, where SIMULATED_MAC names a folder of Mac programs.

On the path of a process before anything is imported. Workers do not get the variable, and stay what
they are. This is no Mac: only what the tool asks of the system is answered as one would answer.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

PROGRAMS = os.environ.get("SIMULATED_MAC", "")
MAC_FOLDERS = ("/usr/bin", "/usr/sbin", "/bin", "/sbin")
LINUX_ONLY = {
    "os": [
        *("sched_getaffinity", "sched_setaffinity", "posix_fadvise", "POSIX_FADV_DONTNEED"),
        *("memfd_create", "pidfd_open", "copy_file_range", "unshare", "setns"),
    ],
    "psutil.Process": [
        *("cpu_affinity", "io_counters", "cpu_num", "ionice", "rlimit", "memory_maps"),
    ],
}
RUSAGE_BYTES = {4: 16 + 8 * 35, 6: 16 + 8 * 56}
FOOTPRINT, PEAK_FOOTPRINT, NEURAL, PEAK_NEURAL, ENERGY_NJ = 7, 28, 44, 45, 40
CHILD_USER, CHILD_SYSTEM = 10, 11
TICKS_PER_S = 24_000_000  # of the kernel's clock on Apple silicon: 125/3 ns each
SWAPOUTS_AT, VM_BYTES = 120, 152


class SystemLibrary:
    """What the tool calls of ``libSystem.B.dylib``; a worker has twice its resident memory."""

    swapped_out = 0  # pages; SIMULATED_SWAPOUTS more at every look

    @staticmethod
    def mach_timebase_info(base: Any) -> int:
        base[0], base[1] = 125, 3
        return 0

    @staticmethod
    def proc_listpids(kind: Any, parent: Any, found: Any, size: int) -> int:
        import psutil

        assert kind.value == 6
        try:
            children = [each.pid for each in psutil.Process(parent.value).children()]
        except psutil.Error:
            return 0
        found[: len(children)] = children
        assert 4 * len(found) == size
        return 4 * len(children)

    @staticmethod
    def mach_host_self() -> int:
        return 1

    @classmethod
    def host_statistics64(cls, _host: Any, flavor: Any, buffer: Any, count: Any) -> int:
        import ctypes
        import struct

        assert flavor.value == 4
        cls.swapped_out += int(os.environ.get("SIMULATED_SWAPOUTS", "0"))
        packed = bytearray(VM_BYTES)
        struct.pack_into("=Q", packed, SWAPOUTS_AT, cls.swapped_out)
        ctypes.memmove(buffer, bytes(packed), len(packed))
        count._obj.value = VM_BYTES // 4
        return 0

    @staticmethod
    def proc_pid_rusage(pid: Any, version: Any, buffer: Any) -> int:
        import ctypes
        import struct

        import psutil

        try:
            process = psutil.Process(pid.value)
            resident, times = process.memory_info().rss, process.cpu_times()
        except psutil.Error:
            return -1
        words = [0] * ((RUSAGE_BYTES[version.value] - 16) // 8)
        words[6], words[FOOTPRINT], words[PEAK_FOOTPRINT] = resident, 2 * resident, 3 * resident
        words[CHILD_USER] = int(times.children_user * TICKS_PER_S)
        words[CHILD_SYSTEM] = int(times.children_system * TICKS_PER_S)
        if version.value == 6:
            words[NEURAL], words[PEAK_NEURAL], words[ENERGY_NJ] = 1 << 20, 1 << 21, 10**9
        packed = bytes(16) + struct.pack(f"={len(words)}Q", *words)
        ctypes.memmove(buffer, packed, len(packed))
        return 0

    @staticmethod
    def notify_register_check(_name: bytes, _token: Any) -> int:
        return 0

    @staticmethod
    def notify_get_state(_token: Any, _state: Any) -> int:
        return 0  # thermal pressure: nominal

    @staticmethod
    def notify_cancel(_token: Any) -> int:
        return 0


def become_a_mac() -> None:
    # Modules that look at the system when they are imported, and would then look for a Mac's own
    # extensions: they are Linux's.
    import asyncio  # noqa: F401
    import contextlib
    import ctypes
    import fcntl
    import multiprocessing  # noqa: F401
    import platform
    import shutil
    import subprocess
    import sysconfig
    import urllib.request

    import psutil

    with contextlib.suppress(ImportError):
        import truststore  # noqa: F401 - of Apple's Security framework
    sysconfig.get_config_vars()
    urllib.request.getproxies()
    # A file system that refuses it, as some on Macs do.
    fcntl.F_FULLFSYNC = 51  # type: ignore[attr-defined]
    owners = {"os": os, "psutil.Process": psutil.Process}
    for owner, names in LINUX_ONLY.items():
        for name in names:
            if hasattr(owners[owner], name):
                delattr(owners[owner], name)

    def translated(program: str) -> str:
        """The stand-in of a program at a Mac's path; one that no Mac has, or another, as it is."""
        folder, name = os.path.split(program)
        stand_in = Path(PROGRAMS, name)
        return str(stand_in) if folder in MAC_FOLDERS and stand_in.exists() else program

    class MacPopen(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, args: Any, *rest: Any, **options: Any) -> None:
            if isinstance(args, (list, tuple)) and args:
                args = [translated(os.fspath(args[0])), *args[1:]]
            super().__init__(args, *rest, **options)

    subprocess.Popen = MacPopen  # type: ignore[misc]
    which = shutil.which
    shutil.which = lambda cmd, *rest, **options: which(  # type: ignore[assignment]
        translated(os.fspath(cmd)), *rest, **options
    )
    load = ctypes.CDLL

    class MacCDLL(load):  # type: ignore[misc, valid-type]
        def __new__(cls, name: str | None, *_rest: Any, **_options: Any) -> Any:
            mac = name == "/usr/lib/libSystem.B.dylib"
            return SystemLibrary() if mac else super().__new__(cls)

    ctypes.CDLL = MacCDLL  # type: ignore[misc]
    sys.addaudithook(no_linux_files)
    platform.system = lambda: "Darwin"
    platform.machine = lambda: "arm64"
    platform.release = lambda: "24.5.0"
    platform.mac_ver = lambda *_: (os.environ["SIMULATED_MACOS"], ("", "", ""), "arm64")
    sys.platform = "darwin"


def no_linux_files(event: str, arguments: tuple[Any, ...]) -> None:
    """A Mac has no /proc and no /sys; psutil, which is Linux's here, may use them."""
    if event != "open" or not str(arguments[0]).startswith(("/proc/", "/sys/")):
        return
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if "/psutil/" in frame.f_code.co_filename:
            return
        if "/mac_whisper_speedtest/" in frame.f_code.co_filename:
            raise FileNotFoundError(2, "No such file or directory", arguments[0])
        frame = frame.f_back


if PROGRAMS:
    become_a_mac()
