"""Graphics processors: which there are, their driver, and whether they are hot or in use."""

from __future__ import annotations

import json
import plistlib
import re
import sys
import xml.parsers.expat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata

from mac_whisper_speedtest.doctor.lines import Line, fail, ok, unknown, warn
from mac_whisper_speedtest.environments.environments import megabytes
from mac_whisper_speedtest.machine.describe import gpu_of_information
from mac_whisper_speedtest.machine.gpu import (
    HW_SLOWDOWN,
    HW_THERMAL,
    OPEN_TIMEOUT_S,
    POWER_BRAKE,
    SW_THERMAL,
)
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt

BUSY_PERCENT = 10
"""Of the time of NVIDIA's last sample (a sixth of a second to a second): someone else computes."""

_FIELDS = (
    *("name", "driver_version", "memory.total", "memory.used", "utilization.gpu"),
    *("temperature.gpu", "mig.mode.current"),
)
_REASON_FIELDS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
"""The mask of why the clocks are low: its name since driver 535, and before."""

_TIMEOUT_S = OPEN_TIMEOUT_S
_MEBIBYTE = 1024 * 1024
_PCI = "/sys/bus/pci/devices"
_NVIDIA = "0x10de"
_DISPLAY_CLASSES = ("0x0300", "0x0302", "0x0380")

# Prints what nvidia-smi prints. In a process of its own: a driver in trouble never answers.
_NVML = """
import pynvml as n
def told(look, *arguments):
    try:
        value = look(*arguments)
        return value.decode() if isinstance(value, bytes) else value
    except n.NVMLError:
        return "[N/A]"
n.nvmlInit()
for index in range(n.nvmlDeviceGetCount()):
    gpu = n.nvmlDeviceGetHandleByIndex(index)
    memory = n.nvmlDeviceGetMemoryInfo(gpu)
    mig = told(lambda: ("Disabled", "Enabled")[n.nvmlDeviceGetMigMode(gpu)[0]])
    print(
        told(n.nvmlDeviceGetName, gpu), told(n.nvmlSystemGetDriverVersion),
        memory.total // 2**20, memory.used // 2**20,
        told(lambda: n.nvmlDeviceGetUtilizationRates(gpu).gpu),
        told(n.nvmlDeviceGetTemperature, gpu, n.NVML_TEMPERATURE_GPU), mig,
        told(n.nvmlDeviceGetCurrentClocksThrottleReasons, gpu), sep=", ",
    )
"""


@dataclass(frozen=True, slots=True)
class Gpus:
    """What was found.

    Attributes:
        lines: one per GPU, or one that says there is none.
        kinds: what backends can compute on, as they name it: ``cuda``, ``metal``.
    """

    lines: tuple[Line, ...]
    kinds: frozenset[str] = frozenset()


def look(reader: Reader) -> Gpus:
    """Ask for the GPUs of this machine."""
    if reader.macos:
        found = apple(reader.run(["/usr/sbin/ioreg", "-rc", "AGXAccelerator", "-d1", "-a"]))
        if found.kinds:
            return found
        displays = ["/usr/sbin/system_profiler", "SPDisplaysDataType", "-json"]
        return other_mac(reader.run(displays, timeout_s=_TIMEOUT_S))
    if isinstance(attempt(lambda: metadata.version("nvidia-ml-py")), str):
        table = reader.run([sys.executable, "-P", "-c", _NVML], timeout_s=_TIMEOUT_S)
        if isinstance(table, str) and table:
            return nvidia(table)
    query = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    table = reader.run(query, timeout_s=_TIMEOUT_S)
    if isinstance(table, str):
        return nvidia(_with_reasons(table, _reasons(reader)))
    driver = [
        reader.read(path) for path in reader.matching("/proc/driver/nvidia/gpus/*/information")
    ]
    return without_nvidia_smi(table, driver, _pci_displays(reader))


def apple(listed: Answer) -> Gpus:
    """The GPU of Apple silicon, from ioreg's property list."""
    if isinstance(listed, Unknown):
        return Gpus((unknown("gpu", listed.reason),))
    try:
        entries = plistlib.loads(listed.encode()) if listed else []
    except (ValueError, xml.parsers.expat.ExpatError) as error:
        return Gpus((unknown("gpu", f"ioreg's list cannot be read: {error}"),))
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and "gpu-core-count" in entry:
            name = entry.get("model", "Apple GPU")
            return Gpus(
                (ok("gpu", f"{name}, {entry['gpu-core-count']} cores, Metal"),),
                frozenset({"metal"}),
            )
    return Gpus((unknown("gpu", "ioreg lists no GPU of Apple's"),))


def other_mac(listed: Answer) -> Gpus:
    """The GPUs of a virtual machine or an Intel Mac, from system_profiler's JSON."""
    if isinstance(listed, Unknown):
        return Gpus((unknown("gpu", listed.reason),))
    try:
        entries = json.loads(listed)["SPDisplaysDataType"]
        names = [entry["sppci_model"] for entry in entries if "sppci_model" in entry]
    except (ValueError, LookupError, TypeError):
        return Gpus((unknown("gpu", "system_profiler's list cannot be read"),))
    if not names:
        return Gpus((ok("gpu", "none"),))
    return Gpus((ok("gpu", ", ".join(names)),))


def nvidia(table: str) -> Gpus:
    """NVIDIA's GPUs, from lines of `_FIELDS` and, where known, the mask of reasons."""
    rows = [[cell.strip() for cell in line.split(",")] for line in table.splitlines()]
    whole = [row for row in rows if len(row) >= len(_FIELDS)]
    if not whole:
        return Gpus((unknown("gpu", f"nvidia-smi lists none: {table[:80] or 'nothing'}"),))
    topics = ["gpu"] if len(whole) == 1 else [f"gpu {index}" for index in range(len(whole))]
    lines = [_nvidia_line(topic, row) for topic, row in zip(topics, whole, strict=True)]
    return Gpus(tuple(lines), frozenset({"cuda"}))


def without_nvidia_smi(
    why: Unknown, driver: Sequence[Answer], displays: Sequence[str] | None
) -> Gpus:
    """What the kernel knows where nvidia-smi does not answer.

    Args:
        why: nvidia-smi's reason.
        driver: texts of the driver's files, one per GPU.
        displays: the makers' numbers of the display devices on the PCI bus; ``None`` where that
            cannot be seen.
    """
    told = [attempt(partial(gpu_of_information, text)) for text in driver if isinstance(text, str)]
    known = [name for name in told if isinstance(name, str)]
    if known:
        line = unknown("gpu", f"the state of {', '.join(known)}: {why.reason}", "nvidia-smi")
        return Gpus((line,), frozenset({"cuda"}))
    if displays is None:
        return Gpus((unknown("gpu", f"{why.reason}, and the PCI bus is not shown"),))
    if _NVIDIA in displays:
        return Gpus(
            (
                warn(
                    "gpu",
                    f"one of NVIDIA's, without a driver that works ({why.reason})",
                    "install NVIDIA's driver, then: nvidia-smi",
                ),
            )
        )
    if displays:
        return Gpus((ok("gpu", "none of NVIDIA's; backends here use no other"),))
    return Gpus((ok("gpu", "none"),))


def _nvidia_line(topic: str, row: Sequence[str]) -> Line:
    name, driver, total, used, busy, celsius, mig = row[: len(_FIELDS)]
    seen = f"{name}, driver {driver}"
    if total.isdecimal():
        held = f", {megabytes(int(used) * _MEBIBYTE)} of it in use" if used.isdecimal() else ""
        seen += f", {megabytes(int(total) * _MEBIBYTE)}{held}"
    if celsius.isdecimal():
        seen += f", {celsius} °C"
    if mig == "Enabled":
        seen += ", MIG"
    reasons = _mask(row[len(_FIELDS)]) if len(row) > len(_FIELDS) else 0
    if reasons & HW_THERMAL:
        return fail(topic, f"{seen}: too hot, its clocks are cut", "nvidia-smi -q -d PERFORMANCE")
    if reasons & SW_THERMAL:
        return warn(topic, f"{seen}: hot, its clocks are lowered", "nvidia-smi -q -d PERFORMANCE")
    if reasons & (HW_SLOWDOWN | POWER_BRAKE):
        return warn(topic, f"{seen}: its clocks are held down", "nvidia-smi -q -d PERFORMANCE")
    if busy.isdecimal() and int(busy) > BUSY_PERCENT:
        return warn(topic, f"{seen}: {busy} % busy with other work", "nvidia-smi")
    return ok(topic, seen)


def _mask(text: str) -> int:
    """A mask as nvidia-smi (hexadecimal) or NVML's binding (decimal) writes it."""
    return int(text, 0) if re.fullmatch(r"0x[0-9a-fA-F]+|\d+", text) else 0


def _reasons(reader: Reader) -> Answer:
    answer: Answer = Unknown("not asked")
    for field in _REASON_FIELDS:
        query = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
        answer = reader.run(query, timeout_s=_TIMEOUT_S)
        if isinstance(answer, str):
            break
    return answer


def _with_reasons(table: str, reasons: Answer) -> str:
    rows = table.splitlines()
    masks = reasons.splitlines() if isinstance(reasons, str) else []
    if len(rows) != len(masks):
        return table
    return "\n".join(f"{row}, {mask}" for row, mask in zip(rows, masks, strict=True))


def _pci_displays(reader: Reader) -> list[str] | None:
    if not reader.exists(_PCI):
        return None
    found = []
    for folder in reader.matching(f"{_PCI}/*"):
        kind, maker = reader.read(f"{folder}/class"), reader.read(f"{folder}/vendor")
        if isinstance(kind, str) and isinstance(maker, str) and kind[:6] in _DISPLAY_CLASSES:
            found.append(maker)
    return found
