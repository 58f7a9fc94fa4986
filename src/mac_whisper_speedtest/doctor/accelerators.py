"""The GPUs of this machine, and which accelerators each installed backend's library sees.

The libraries are queried in their own interpreters, once per interpreter and library, and no model
is loaded; this process imports nothing of a backend.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from mac_whisper_speedtest.backends import cuda, mlx_wheel
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import Recipe, SwiftRecipe, unsuited
from mac_whisper_speedtest.doctor.lines import CheckupLine, Readiness, fail, ok, unknown, warn
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.machine import apple
from mac_whisper_speedtest.machine.apple import MacGpu
from mac_whisper_speedtest.machine.describe import gpu_model
from mac_whisper_speedtest.machine.gpu import unused_kind
from mac_whisper_speedtest.machine.nvml import (
    HW_SLOWDOWN,
    HW_THERMAL,
    OPEN_TIMEOUT_S,
    POWER_BRAKE,
    SW_THERMAL,
)
from mac_whisper_speedtest.machine.reader import Answer, Reader, Unknown, attempt
from mac_whisper_speedtest.worker import launch

TIMEOUT_S = 10.0
"""Importing torch takes two to four seconds when the system has cached its files, and up to twenty
when it has not; the doctor does not wait for the latter."""

_MARK, _MISSING, _WHEEL = "devices:", "missing:", "wheel:"
_WHISPER_CPP_MARK = "system info:"

# version.py identifies a CPU-only build of torch without importing the rest.
_TORCH = f"""
import importlib.util, pathlib, runpy, sys
folder = pathlib.Path(importlib.util.find_spec("torch").origin).parent
build = runpy.run_path(str(folder / "version.py"))
if sys.platform == "linux" and build.get("cuda") is None and build.get("hip") is None:
    print("{_MARK} cpu")
else:
    import torch
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    missing = runpy.run_path({cuda.__file__!r})["unusable_by_torch"](torch)
    print("{_MISSING}", missing)
    print("{_MARK} cpu", "cuda" * (cuda and not missing), "mps" * mps)
"""
# A GPU is counted without cuBLAS, and then used without it: the first transcription would fail.
_CTRANSLATE2 = f"""
import ctranslate2, runpy
gpus = ctranslate2.get_cuda_device_count() > 0
missing = runpy.run_path({cuda.__file__!r})["preload_cublas"]() if gpus else ""
print("{_MISSING}", missing)
print("{_MARK} cpu", "cuda" * (gpus and not missing))
"""
_MLX = f"""
import runpy
import mlx.core as mx
print("{_WHEEL}", runpy.run_path({mlx_wheel.__file__!r})["platform_tag"]())
cuda = getattr(mx, "cuda", None)
print("{_MARK} cpu", "metal" * mx.metal.is_available(), "cuda" * bool(cuda and cuda.is_available()))
"""
_WHISPER_CPP = f"""
import _pywhispercpp
print("{_WHISPER_CPP_MARK}", _pywhispercpp.whisper_print_system_info())
"""
_CRISPASR = f"""
import ctypes
from crispasr._binding import _find_lib
library = ctypes.CDLL(_find_lib())
library.whisper_print_system_info.restype = ctypes.c_char_p
print("{_WHISPER_CPP_MARK}", library.whisper_print_system_info())
"""
_QUESTIONS = {
    "faster_whisper": _CTRANSLATE2,
    "whisperx": _CTRANSLATE2,  # of its recognizer; torch only aligns
    "pywhispercpp": _WHISPER_CPP,
    "crispasr": _CRISPASR,
    "whisper": _TORCH,
    "transformers": _TORCH,
    "mlx_whisper": _MLX,
    "mlx_audio": _MLX,
    "lightning_whisper_mlx": _MLX,
    "whisper_mps": _MLX,
    "parakeet_mlx": _MLX,
}
"""Scripts that print the devices a library sees, by the module that a backend imports."""

# "MTL : EMBED_LIBRARY = 1" today, "METAL = 1" in releases before whisper.cpp 1.7.5.
_BUILT_IN = re.compile(r"\b(MTL|METAL|CUDA|VULKAN|COREML)\b(?: = 1| :)", re.IGNORECASE)
_NAMES = {"MTL": "metal"}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True, slots=True)
class InterpreterLocation:
    """Where a backend would run from.

    Attributes:
        where: in words; empty when the backend is not installed.
        python: the interpreter to query; empty when there is none.
        question: the script to run in it; empty when no script is cheap enough.
        failure: why the location could not be determined; empty when it could.
    """

    backend: Backend
    where: str = ""
    python: str = ""
    question: str = ""
    failure: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Locations with the same key get the same answer."""
        return self.python, self.question


InterpreterAnswers = Mapping[tuple[str, str], Answer]
"""By `InterpreterLocation.key`."""


def locate_interpreter(backend: Backend) -> InterpreterLocation:
    """Where ``backend`` would run from. Starts no process and does not import it."""
    if backend.command:
        return InterpreterLocation(backend, "a program of its own")
    program = launch.program(backend)
    if program is None:
        return InterpreterLocation(backend)
    recipe = backend.recipe
    if backend.python:
        where = "its own interpreter"
    elif launch.runs_in_place(backend):
        where = f"{launch.installed_version(recipe) if recipe else ''} beside the tool".strip()
    elif isinstance(recipe, SwiftRecipe):
        return InterpreterLocation(backend, f"{recipe.version}, built on this machine")
    else:
        version = launch.requested_version(backend, recipe) if recipe else ""
        where = f"{version} in its own environment"
    return InterpreterLocation(backend, where, program, _QUESTIONS.get(backend.import_name, ""))


def query_interpreter(reader: Reader, key: tuple[str, str]) -> Answer:
    """Run one question in one interpreter, offline."""
    python, question = key
    variables = launch.passed_variables() | _OFFLINE
    return reader.run([python, "-P", "-c", question], timeout_s=TIMEOUT_S, environment=variables)


def judge_accelerators(
    locations: Iterable[InterpreterLocation],
    answers: InterpreterAnswers | None,
    gpus: Collection[str],
    macos: str = "",
) -> list[CheckupLine]:
    """One line per installed backend, and one that names the others.

    Args:
        locations: of all known backends.
        answers: of their interpreters; ``None`` if they were not queried (``--quick``).
        gpus: of this machine: ``cuda``, ``metal``.
        macos: its release of macOS; empty on other systems.
    """
    lines = []
    absent: list[str] = []
    elsewhere: list[str] = []
    for each in locations:
        recipe = each.backend.recipe
        info = f"speedtest backends info {each.backend.name}"
        if each.backend.broken:
            lines.append(warn(_topic(each.backend), each.backend.broken, info))
        elif each.failure:
            lines.append(unknown(_topic(each.backend), each.failure, info))
        elif each.where:
            lines.append(_installed(each, answers, gpus, macos))
        elif recipe is not None and unsuited(recipe):
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


def parse_devices(answer: str) -> list[str] | None:
    """The devices that an answer names, the CPU first, or ``None``."""
    for line in reversed(answer.splitlines()):
        if line.startswith(_MARK):
            return line.removeprefix(_MARK).split()
        if line.startswith(_WHISPER_CPP_MARK):
            built_in = {_NAMES.get(name.upper(), name.lower()) for name in _BUILT_IN.findall(line)}
            # Most builds print "COREML = 0"; none prints "COREML :".
            return ["cpu", *sorted(built_in)]
    return None


def _said(answer: Answer, mark: str) -> str:
    """The text after ``mark`` in an answer, perhaps empty."""
    lines = answer.splitlines() if isinstance(answer, str) else []
    return next((line.removeprefix(mark).strip() for line in lines if line.startswith(mark)), "")


def _install_command(backend: Backend, missing: str) -> str:
    """The command that installs a backend's build for the GPU; `info` if it has no builds."""
    recipe, beside = backend.recipe, launch.runs_in_place(backend)
    if beside and missing:
        return "python -m pip install 'mac-whisper-speedtest[cuda]'"
    if beside or not (isinstance(recipe, Recipe) and (recipe.uses_torch or recipe.uses_cublas)):
        return f"speedtest backends info {backend.name}"
    return f"speedtest backends install {backend.name}"


def _installed(
    location: InterpreterLocation,
    answers: InterpreterAnswers | None,
    gpus: Collection[str],
    macos: str,
) -> CheckupLine:
    backend = location.backend
    topic = _topic(backend)
    info = f"speedtest backends info {backend.name}"
    may = ", ".join(backend.devices) or "what it has"
    if backend.devices == ("cpu",):
        return ok(topic, f"{location.where}; uses the CPU only")
    if not location.question:
        return ok(topic, f"{location.where}; may use {may}; its devices cannot be queried quickly")
    if answers is None:
        return ok(topic, f"{location.where}; may use {may}; its devices were not queried")
    answer = answers.get(location.key, Unknown("it was not queried"))
    sees = parse_devices(answer) if isinstance(answer, str) else None
    if sees is None:
        reason = answer.reason if isinstance(answer, Unknown) else "its answer names no device"
        seen = f"{location.where}; accelerators not known: {reason}"
        then = "speedtest doctor, once more" if "did not answer" in reason else info
        return CheckupLine(topic, Readiness.UNKNOWN, seen, then)
    missing, wheel = _said(answer, _MISSING), _said(answer, _WHEEL)
    verb = "is built for" if location.question == _WHISPER_CPP else "sees"
    seen = f"{location.where}; may use {may}; {verb} {', '.join(sees)}"
    if missed := unused_kind(gpus, backend.devices, sees):
        seen += f": not this machine's GPU ({missed})" + (f": {missing}" if missing else "")
        return warn(topic, seen, _install_command(backend, missing))
    outdated = mlx_wheel.too_old(wheel, macos)
    again = f"speedtest backends remove {backend.name} && speedtest backends install {backend.name}"
    if location.python == sys.executable:
        again = mlx_wheel.INSTALL
    return warn(topic, f"{seen}; {outdated}", again) if outdated else ok(topic, seen)


def _topic(backend: Backend) -> str:
    return f"backend {backend.name}"


def interpreter_locations() -> list[InterpreterLocation]:
    """Where every known backend would run from."""
    from mac_whisper_speedtest.backends import registry

    found = []
    for backend in registry.installed().values():
        location = attempt(partial(locate_interpreter, backend))
        if isinstance(location, Unknown):
            location = InterpreterLocation(backend, failure=location.reason)
        found.append(location)
    return found


# The GPUs, their drivers, and whether they are hot or busy.


BUSY_PERCENT = 10
"""Utilization over NVIDIA's last sampling period (a sixth of a second to a second) above which
another program is using the GPU."""

_FIELDS = (
    *("name", "driver_version", "memory.total", "memory.used", "utilization.gpu"),
    *("temperature.gpu", "mig.mode.current"),
)
_REASON_FIELDS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
"""The bit mask of reasons for low clocks: its name since driver 535, and the older name."""

_MEBIBYTE = 1024 * 1024
_PCI = "/sys/bus/pci/devices"
_NVIDIA = "0x10de"
_DISPLAY_CLASSES = ("0x0300", "0x0302", "0x0380")

# Prints what nvidia-smi prints, in its own process because a faulty driver may never answer.
_NVML = """
import pynvml as n
def query(function, *arguments):
    try:
        value = function(*arguments)
        return value.decode() if isinstance(value, bytes) else value
    except n.NVMLError:
        return "[N/A]"
n.nvmlInit()
for index in range(n.nvmlDeviceGetCount()):
    gpu = n.nvmlDeviceGetHandleByIndex(index)
    memory = n.nvmlDeviceGetMemoryInfo(gpu)
    mig = query(lambda: ("Disabled", "Enabled")[n.nvmlDeviceGetMigMode(gpu)[0]])
    print(
        query(n.nvmlDeviceGetName, gpu), query(n.nvmlSystemGetDriverVersion),
        memory.total // 2**20, memory.used // 2**20,
        query(lambda: n.nvmlDeviceGetUtilizationRates(gpu).gpu),
        query(n.nvmlDeviceGetTemperature, gpu, n.NVML_TEMPERATURE_GPU), mig,
        query(n.nvmlDeviceGetCurrentClocksThrottleReasons, gpu), sep=", ",
    )
"""


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs of a machine.

    Attributes:
        lines: one per GPU, or a single line if there is none.
        kinds: the devices that backends can compute on: ``cuda``, ``metal``.
    """

    lines: tuple[CheckupLine, ...]
    kinds: frozenset[str] = frozenset()


def inspect_gpu(reader: Reader) -> Gpus:
    """The GPUs of this machine."""
    if reader.macos:
        return mac_gpus(apple.gpus(reader))
    table = reader.run([sys.executable, "-P", "-c", _NVML], timeout_s=OPEN_TIMEOUT_S)
    if isinstance(table, str) and table:
        return nvidia_gpus(table)
    query = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits"]
    table = reader.run(query, timeout_s=OPEN_TIMEOUT_S)
    if isinstance(table, str):
        return nvidia_gpus(_with_reasons(table, _reasons(reader)))
    driver = [
        reader.read(path) for path in reader.matching("/proc/driver/nvidia/gpus/*/information")
    ]
    return without_nvidia_smi(table, driver, _pci_displays(reader))


def mac_gpus(found: Sequence[MacGpu] | Unknown) -> Gpus:
    """The GPUs of a Mac; on Apple silicon backends can use them."""
    if isinstance(found, Unknown):
        return Gpus((unknown("gpu", found.reason),))
    apples = [gpu for gpu in found if gpu.cores]
    if apples:
        (gpu,) = apples[:1]
        return Gpus((ok("gpu", f"{gpu.model}, {gpu.cores} cores, Metal"),), frozenset({"metal"}))
    return Gpus((ok("gpu", ", ".join(gpu.model for gpu in found) or "none"),))


def nvidia_gpus(table: str) -> Gpus:
    """The NVIDIA GPUs, from lines of `_FIELDS` and, where known, the bit mask of reasons."""
    rows = [[cell.strip() for cell in line.split(",")] for line in table.splitlines()]
    whole = [row for row in rows if len(row) >= len(_FIELDS)]
    if not whole:
        return Gpus((unknown("gpu", f"nvidia-smi lists none: {table[:80] or 'nothing'}"),))
    topics = ["gpu"] if len(whole) == 1 else [f"gpu {index}" for index in range(len(whole))]
    lines = [_nvidia_line(topic, row) for topic, row in zip(topics, whole, strict=True)]
    return Gpus(tuple(lines), frozenset({"cuda"}))


def without_nvidia_smi(
    failure: Unknown, driver: Sequence[Answer], displays: Sequence[str] | None
) -> Gpus:
    """What the kernel reports where nvidia-smi does not answer.

    Args:
        failure: of nvidia-smi.
        driver: texts of the driver's files, one per GPU.
        displays: the PCI vendor ids of the display devices; ``None`` where the bus is not visible.
    """
    models = [attempt(partial(gpu_model, text)) for text in driver if isinstance(text, str)]
    known = [name for name in models if isinstance(name, str)]
    if known:
        line = unknown("gpu", f"the state of {', '.join(known)}: {failure.reason}", "nvidia-smi")
        return Gpus((line,), frozenset({"cuda"}))
    if displays is None:
        return Gpus((unknown("gpu", f"{failure.reason}, and the PCI bus is not visible"),))
    if _NVIDIA in displays:
        seen = f"an NVIDIA GPU without a working driver ({failure.reason})"
        return Gpus((warn("gpu", seen, "install NVIDIA's driver, then: nvidia-smi"),))
    seen = "no NVIDIA GPU; backends use no other here" if displays else "none"
    return Gpus((ok("gpu", seen),))


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
        return warn(topic, f"{seen}: its clocks are limited", "nvidia-smi -q -d PERFORMANCE")
    if busy.isdecimal() and int(busy) > BUSY_PERCENT:
        return warn(topic, f"{seen}: {busy} % busy with other programs", "nvidia-smi")
    return ok(topic, seen)


def _mask(text: str) -> int:
    """A mask as nvidia-smi (hexadecimal) or NVML's binding (decimal) writes it."""
    return int(text, 0) if re.fullmatch(r"0x[0-9a-fA-F]+|\d+", text) else 0


def _reasons(reader: Reader) -> Answer:
    answer: Answer = Unknown("not queried")
    for reason in _REASON_FIELDS:
        query = ["nvidia-smi", f"--query-gpu={reason}", "--format=csv,noheader"]
        answer = reader.run(query, timeout_s=OPEN_TIMEOUT_S)
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
        kind, vendor = reader.read(f"{folder}/class"), reader.read(f"{folder}/vendor")
        if isinstance(kind, str) and isinstance(vendor, str) and kind[:6] in _DISPLAY_CLASSES:
            found.append(vendor)
    return found
