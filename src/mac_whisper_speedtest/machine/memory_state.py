"""What the system says of its memory as a whole: swap, and how short memory is."""

from __future__ import annotations

import re

from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown

SYSCTL = "/usr/sbin/sysctl"
_UNITS = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_PRESSURE = {"1": "normal", "2": "warning", "4": "critical"}


def swap_used(reader: Reader) -> int | Unknown:
    """Bytes in swap."""
    if reader.macos:
        return macos_swap(reader.run([SYSCTL, "-n", "vm.swapusage"]))
    return linux_swap(reader.read("/proc/meminfo"))


def macos_swap(text: Answer) -> int | Unknown:
    """Bytes in use, of ``total = 2048.00M  used = 1012.25M  free = 1035.75M  (encrypted)``."""
    if isinstance(text, Unknown):
        return text
    found = re.search(r"used = ([\d.,]+)([KMGT])", text)
    if not found:
        return Unknown("vm.swapusage does not say what is used")
    # Some locales print a comma for the point.
    return int(float(found[1].replace(",", ".")) * _UNITS[found[2]])


def linux_swap(meminfo: Answer) -> int | Unknown:
    """Bytes in use, from /proc/meminfo."""
    total, free = of_meminfo(meminfo, "SwapTotal"), of_meminfo(meminfo, "SwapFree")
    if isinstance(total, Unknown):
        return total
    return free if isinstance(free, Unknown) else total - free


def of_meminfo(text: Answer, name: str) -> int | Unknown:
    """One figure of /proc/meminfo, in bytes."""
    if isinstance(text, Unknown):
        return text
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else Unknown(f"/proc/meminfo has no {name}")


def macos_pressure(level: Answer) -> str | Unknown:
    """The name of ``kern.memorystatus_vm_pressure_level``: normal, warning or critical."""
    if isinstance(level, Unknown):
        return level
    return _PRESSURE.get(level.strip()) or Unknown(f"level {level[:20]!r} has no known meaning")


def linux_pressure(text: Answer) -> float | Unknown:
    """The share of the last 10 s, 0 to 1, in which some task waited for memory.

    From /proc/pressure/memory (Linux, Documentation/accounting/psi).
    """
    if isinstance(text, Unknown):
        return text
    found = re.search(r"^some avg10=([\d.]+)", text, re.MULTILINE)
    return float(found[1]) / 100 if found else Unknown("/proc/pressure/memory does not say")
