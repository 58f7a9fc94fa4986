"""Memory: does a gibibyte in each allocator show where the tool looks for it?"""

from __future__ import annotations

import psutil

from mac_whisper_speedtest.backends import registry
from mac_whisper_speedtest.backends.cuda import UsedGpu
from mac_whisper_speedtest.doctor.lines import CheckupLine, fail, ok, unknown
from mac_whisper_speedtest.machine import describe, meters
from mac_whisper_speedtest.machine.gpu import GpuMemory
from mac_whisper_speedtest.selfcheck.bench import (
    SEND,
    Figures,
    Workbench,
    failed,
    measurement,
    metered,
    not_measured,
)
from mac_whisper_speedtest.selfcheck.kit import Measurement
from mac_whisper_speedtest.worker import launch, process_tree
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError

SIZE = 1 << 30
TOLERANCE = 0.1
"""Of a gibibyte. The library's own buffers come on top."""
_FREE = 3 * SIZE  # what must be available: the library takes some, too
IMPORTERS = {
    "mlx": ("mlx_whisper", "parakeet_mlx", "lightning_whisper_mlx", "whisper_mps"),
    "torch": ("whisper", "transformers"),
}
"""Library → the modules of backends whose environments have it."""
_FIGURES = ("rss_bytes", "footprint_bytes", "guard_bytes", "allocator_bytes", "gpu_peak_bytes")
ON_GPU = ("metal", "gpu", "mps", "cuda")


def interpreter_with(library: str) -> str:
    """The interpreter of an installed backend that has this library; empty if there is none."""
    if library not in IMPORTERS:
        return ""
    for backend in registry.installed().values():
        if backend.import_name in IMPORTERS[library] and launch.is_installed(backend):
            return launch.program(backend) or ""
    return ""


def measure(bench: Workbench) -> list[Measurement]:
    """A worker allocates a gibibyte with numpy, and with each library that is installed."""
    return [_allocated(bench, library) for library in ("numpy", *IMPORTERS)]


def _allocated(bench: Workbench, library: str) -> Measurement:
    python = interpreter_with(library)
    gpu = library in IMPORTERS
    check = "memory"
    if gpu and not python:
        why = "no backend with it is installed"
        return not_measured(check, why, subject=library)
    if min(psutil.virtual_memory().available, describe.memory_limit(bench.reader)) < _FREE:
        return not_measured(check, f"less than {_FREE >> 30} GiB are free", subject=library)
    device_memory = GpuMemory()
    probe = meters.memory_probe()
    try:
        with bench.known_worker(python=python) as known:
            known.do("hold", library=library, size=4096)
            target = known.target
            figures = _now(known.worker.pid, "before")
            probe.begin(target)
            device_memory.begin(target)  # CUDA itself takes some of it
            before = metered(probe, target, "before_") | metered(device_memory, target, "before_")
            device_memory.begin(target)
            facts = known.do("hold", library=library, size=SIZE)
            figures |= metered(device_memory, target, "after_") | metered(probe, target, "after_")
            figures |= _now(known.worker.pid, "after") | before | _named(known.gpu)
    except WorkerFailureError as failure:
        return failed(check, failure.ending.message, subject=library, gpu=gpu)
    macos = "macos" if bench.reader.macos else "linux"
    return measurement(check, {**figures, **facts, "system": macos}, subject=library, gpu=gpu)


def _named(gpu: UsedGpu | None) -> Figures:
    """The NVIDIA GPU as CUDA describes it, without what identifies the card."""
    if gpu is None:
        return {}
    return {"gpu_name": gpu.name, "capability": gpu.capability, "cuda": gpu.cuda}


def _now(pid: int, when: str) -> Figures:
    """What the guard of the memory limit sees."""
    return {f"{when}_guard_bytes": float(process_tree.memory_use(pid, 1 << 60).size_bytes)}


def judge(found: Measurement) -> list[CheckupLine]:
    """It is in the figures that the memory column and the memory limit are made of."""
    topic = f"memory: {found.subject}"
    device = found.text("device")
    on_gpu = device in ON_GPU
    risen = {name: rise for name in _FIGURES if (rise := _rise(found, name)) is not None}
    words = ", ".join(
        f"{name.removesuffix('_bytes')} +{rise:.2f}{_quality(found, name)}"
        for name, rise in risen.items()
    )
    seen = f"1 GiB on {device}: {words} GiB (limit ±{TOLERANCE:g})"
    if found.gpu and not on_gpu:
        return [unknown(topic, f"{found.subject} sees no GPU here; {seen}")]
    needed = _needed(found.text("system"), on_gpu=on_gpu)
    wrong = [name for name in needed if abs(risen.get(name, 0.0) - 1) > TOLERANCE]
    if wrong:
        missing = ", ".join(name.removesuffix("_bytes") for name in wrong)
        return [fail(topic, f"{seen}; wrong: {missing}", SEND)]
    return [ok(topic, seen)]


def _quality(found: Measurement, name: str) -> str:
    """Whether a GPU's memory is the worker's own, or all that is used on it."""
    quality = found.texts.get(f"after_{name} quality")
    return f" ({quality})" if quality else ""


def _needed(system: str, *, on_gpu: bool) -> tuple[str, ...]:
    """The figures in which the gibibyte must be: on a Mac, a GPU's memory is the process's."""
    if system == "macos":
        return ("footprint_bytes", "guard_bytes", *(("allocator_bytes",) if on_gpu else ()))
    return ("allocator_bytes", "gpu_peak_bytes") if on_gpu else ("rss_bytes", "guard_bytes")


def _rise(found: Measurement, name: str) -> float | None:
    """By how many gibibytes a figure rose; the allocator's counts from zero."""
    if name in found.values:
        return found.number(name) / SIZE
    before, after = f"before_{name}", f"after_{name}"
    if before in found.values and after in found.values:
        return (found.number(after) - found.number(before)) / SIZE
    return None
