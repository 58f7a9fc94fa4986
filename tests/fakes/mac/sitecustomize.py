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


class SystemLibrary:
    """What the tool calls of ``libSystem.B.dylib``; a worker has twice its resident memory."""

    @staticmethod
    def proc_pid_rusage(pid: Any, version: Any, buffer: Any) -> int:
        import ctypes
        import struct

        import psutil

        try:
            resident = psutil.Process(pid.value).memory_info().rss
        except psutil.Error:
            return -1
        words = [0] * ((RUSAGE_BYTES[version.value] - 16) // 8)
        words[6], words[FOOTPRINT], words[PEAK_FOOTPRINT] = resident, 2 * resident, 3 * resident
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
