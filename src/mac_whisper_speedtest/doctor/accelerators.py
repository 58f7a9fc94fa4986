"""Which accelerators each installed backend's own library sees, asked in its own interpreter.

Nothing of a backend is imported into this process. Only questions that load no model are asked;
backends that share an interpreter and a question are asked once.
"""

from __future__ import annotations

import json
import plistlib
import re
import sys
import xml.parsers.expat
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.doctor.lines import CheckupLine, Readiness, fail, ok, unknown, warn
from mac_whisper_speedtest.environments import locks
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.machine.describe import gpu_of_information
from mac_whisper_speedtest.machine.gpu import (
    HW_SLOWDOWN,
    HW_THERMAL,
    OPEN_TIMEOUT_S,
    POWER_BRAKE,
    SW_THERMAL,
)
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt
from mac_whisper_speedtest.worker import launch

TIMEOUT_S = 10.0
"""torch takes two to four seconds to import from a disk that has just been read, and can take
twenty from one that has not: that is not waited for."""

_MARK = "devices:"

# A build of torch for CPUs says so in a small file: there is no need to import the rest.
_TORCH = f"""
import importlib.util, pathlib, runpy, sys
folder = pathlib.Path(importlib.util.find_spec("torch").origin).parent
build = runpy.run_path(str(folder / "version.py"))
if sys.platform == "linux" and build.get("cuda") is None and build.get("hip") is None:
    print("{_MARK} cpu")
else:
    import torch
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    print("{_MARK} cpu", "cuda" * cuda, "mps" * mps)
"""
_CTRANSLATE2 = f"""
import ctranslate2
print("{_MARK} cpu", "cuda" * (ctranslate2.get_cuda_device_count() > 0))
"""
_MLX = f"""
import mlx.core as mx
cuda = getattr(mx, "cuda", None)
print("{_MARK} cpu", "metal" * mx.metal.is_available(), "cuda" * bool(cuda and cuda.is_available()))
"""
_WHISPER_CPP = """
import _pywhispercpp
print("WHISPER_CPP_SAYS", _pywhispercpp.whisper_print_system_info())
"""
_QUESTIONS = {
    "faster_whisper": _CTRANSLATE2,
    "whisperx": _CTRANSLATE2,  # its recognizer's; torch only aligns
    "pywhispercpp": _WHISPER_CPP,
    "whisper": _TORCH,
    "transformers": _TORCH,
    "mlx_whisper": _MLX,
    "lightning_whisper_mlx": _MLX,
    "whisper_mps": _MLX,
    "parakeet_mlx": _MLX,
}
"""By the module that a backend imports."""

# "MTL : EMBED_LIBRARY = 1" today, "METAL = 1" in releases before whisper.cpp 1.7.5.
_BUILT_IN = re.compile(r"\b(MTL|METAL|CUDA|VULKAN|COREML)\b(?: = 1| :)", re.IGNORECASE)
_NAMES = {"MTL": "metal"}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True, slots=True)
class InterpreterLocation:
    """Where a backend would run from.

    Attributes:
        backend: which one.
        where: in words; empty when it is installed nowhere.
        python: the interpreter to ask; empty when there is none.
        question: what to run in it; empty when there is no cheap question.
        why_not: why none of this could be found out; empty when it could.
    """

    backend: Backend
    where: str = ""
    python: str = ""
    question: str = ""
    why_not: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Places with the same key get the same answer."""
        return self.python, self.question


@dataclass(frozen=True, slots=True)
class InterpreterAnswers:
    """Answers, by `Place.key`; empty where nothing was to be asked (``--quick``)."""

    answers: Mapping[tuple[str, str], Answer] = field(default_factory=dict)
    asked: bool = True


def place(backend: Backend) -> InterpreterLocation:
    """Where ``backend`` would run from. Starts nothing and imports nothing of it."""
    if backend.command:
        return InterpreterLocation(backend, "a program of its own")
    python = launch.interpreter(backend)
    if python is None:
        return InterpreterLocation(backend)
    recipe = backend.recipe
    if backend.python:
        where = "its own interpreter"
    elif launch.runs_in_place(backend):
        where = f"{launch.installed_version(recipe) if recipe else ''} beside the tool".strip()
    else:
        version = backend.version or (locks.default_version(recipe) if recipe else "")
        where = f"{version} in its own environment"
    return InterpreterLocation(backend, where, python, _QUESTIONS.get(backend.import_name, ""))


def ask_interpreter(reader: Reader, key: tuple[str, str]) -> Answer:
    """Run one question in one interpreter, offline."""
    python, question = key
    argv = [python, "-P", "-c", question]
    return reader.run(argv, timeout_s=TIMEOUT_S, variables=_OFFLINE)


def judge_accelerators(
    places: Iterable[InterpreterLocation], asked: InterpreterAnswers, gpus: Collection[str]
) -> list[CheckupLine]:
    """One line per backend that is installed, and one that names the others.

    Args:
        places: of all backends there are.
        asked: what their interpreters said.
        gpus: what this machine has: ``cuda``, ``metal``.
    """
    lines = []
    absent: list[str] = []
    elsewhere: list[str] = []
    for each in places:
        recipe = each.backend.recipe
        info = f"speedtest backends info {each.backend.name}"
        if each.backend.broken:
            lines.append(warn(_topic(each.backend), each.backend.broken, info))
        elif each.why_not:
            lines.append(unknown(_topic(each.backend), each.why_not, info))
        elif each.where:
            lines.append(_installed(each, asked, gpus))
        elif recipe is not None and not recipe.works_here():
            elsewhere.append(each.backend.name)
        else:
            absent.append(each.backend.name)
    if not any(line.topic.startswith("backend ") for line in lines):
        install = "speedtest backends install faster-whisper whisper.cpp"
        lines.append(warn("backends", "none is installed", install))
    if absent:
        install = f"speedtest backends install {absent[0]}"
        lines.append(CheckupLine("not installed", Readiness.OK, ", ".join(absent), install))
    if elsewhere:
        lines.append(ok("not for this platform", ", ".join(elsewhere)))
    return lines


def devices_of(answer: str) -> list[str] | None:
    """The devices that an answer names, the CPU first; ``None`` if it names none at all."""
    for line in reversed(answer.splitlines()):
        if line.startswith(_MARK):
            return line.removeprefix(_MARK).split()
        if line.startswith("WHISPER_CPP_SAYS"):
            built_in = {_NAMES.get(name.upper(), name.lower()) for name in _BUILT_IN.findall(line)}
            # "COREML :" does not occur; "COREML = 0" is what most builds say.
            return ["cpu", *sorted(built_in)]
    return None


def _installed(
    placed: InterpreterLocation, asked: InterpreterAnswers, gpus: Collection[str]
) -> CheckupLine:
    backend = placed.backend
    topic = _topic(backend)
    may = ", ".join(backend.devices) or "what it has"
    if backend.devices == ("cpu",):
        return ok(topic, f"{placed.where}; uses the CPU only")
    if not placed.question:
        return ok(topic, f"{placed.where}; may use {may}; it cannot be asked cheaply what it sees")
    if not asked.asked:
        return ok(topic, f"{placed.where}; may use {may}; not asked what it sees")
    answer = asked.answers.get(placed.key, Unknown("it was not asked"))
    sees = devices_of(answer) if isinstance(answer, str) else None
    if sees is None:
        reason = answer.reason if isinstance(answer, Unknown) else "its answer names no device"
        slow = "did not answer" in reason
        info = f"speedtest backends info {backend.name}"
        line = unknown(topic, reason, "speedtest doctor, once more" if slow else info)
        return CheckupLine(
            topic, line.state, f"{placed.where}; accelerators {line.seen}", line.next
        )
    verb = "is built for" if placed.question == _WHISPER_CPP else "sees"
    seen = f"{placed.where}; may use {may}; {verb} {', '.join(sees)}"
    missed = _missed(backend, sees, gpus)
    if missed:
        info = f"speedtest backends info {backend.name}"
        return warn(topic, f"{seen}: not this machine's GPU ({missed})", info)
    return ok(topic, seen)


def _missed(backend: Backend, sees: Collection[str], gpus: Collection[str]) -> str:
    """The GPU that the machine has, the backend may use, and its library does not see."""
    if "cuda" in gpus and "cuda" in backend.devices and "cuda" not in sees:
        return "cuda"
    apple = {"metal", "mps", "coreml"}
    if "metal" in gpus and apple & set(backend.devices) and not apple & set(sees):
        return "metal"
    return ""


def _topic(backend: Backend) -> str:
    return f"backend {backend.name}"


def places() -> list[InterpreterLocation]:
    """Where every backend there is would run from."""
    from mac_whisper_speedtest.backends import registry

    found = []
    for backend in registry.installed().values():
        looked = attempt(partial(place, backend))
        found.append(
            looked
            if isinstance(looked, InterpreterLocation)
            else InterpreterLocation(backend, why_not=looked.reason)
        )
    return found


# Graphics processors: which there are, their driver, and whether they are hot or in use.


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

    lines: tuple[CheckupLine, ...]
    kinds: frozenset[str] = frozenset()


def inspect_gpu(reader: Reader) -> Gpus:
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


def _nvidia_line(topic: str, row: Sequence[str]) -> CheckupLine:
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
    for reason in _REASON_FIELDS:
        query = ["nvidia-smi", f"--query-gpu={reason}", "--format=csv,noheader"]
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
