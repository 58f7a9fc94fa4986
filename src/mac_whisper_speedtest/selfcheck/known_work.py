"""Work of known size in a worker process: an adapter like any other, which transcribes nothing.

It runs in the tool's interpreter or in a backend's. The model's name says which work, its path has
the work's arguments as JSON, and the "transcript" is what the work knows of itself, as JSON.
Standard library, numpy, and the library whose memory is measured.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mac_whisper_speedtest.backends.adapter import LoadedModel, LoadParams, Transcription
from mac_whisper_speedtest.backends.contract import DecodeContract, EffectiveSettings

if TYPE_CHECKING:
    from mac_whisper_speedtest.backends.adapter import Audio

PIDS = "pids"
"""The file in the worker's temporary folder with the ids of the processes that it started."""
_SLEEPS_S = 600

Facts = dict[str, float | str]


class KnownWork:
    """Does the work that `load` names, each time that it is asked to transcribe."""

    def __init__(self) -> None:
        self._work = ""
        self._arguments: dict[str, Any] = {}
        self._held: list[Any] = []

    def import_library(self) -> Mapping[str, str]:
        """Nothing is imported before the work needs it."""
        return {"version": "1"}

    def load(self, params: LoadParams) -> LoadedModel:
        """Remember the work."""
        self._work, self._arguments = params.model.name, json.loads(params.model.path)
        library = self._arguments.get("library")
        device = _torch_device(_import("torch")) if library == "torch" else "cpu"
        return LoadedModel(device, "none")

    def transcribe(self, audio: Audio, contract: DecodeContract) -> Transcription:  # noqa: ARG002
        """Do the work, and report it."""
        facts = _WORKS[self._work](self._held, **self._arguments)
        return Transcription([], text=json.dumps(facts))

    def synchronize(self) -> None:
        """The work is done when it returns."""

    def effective(self, contract: DecodeContract) -> EffectiveSettings:  # noqa: ARG002
        """There are no settings."""
        return EffectiveSettings({})

    def unload(self) -> None:
        """Give the memory back."""
        self._held.clear()


def burn(cpu_s: float) -> float:
    """Compute in this thread for so many seconds of its processor time; return how many."""
    began = time.thread_time()
    while (used := time.thread_time() - began) < cpu_s:
        sum(range(2000))
    return used


def _burn(_held: list[Any], cpu_s: float) -> Facts:
    before = time.process_time()
    burn(cpu_s)
    return {"burned_s": time.process_time() - before}


def _cores(_held: list[Any], seconds: float, processes: float) -> Facts:
    """Keep cores busy with a process each, and wait for them."""
    code = f"import time\nend = time.time() + {seconds}\nwhile time.time() < end: sum(range(2000))"
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(int(processes))]
    return {"ended": float(sum(each.wait() == 0 for each in started))}


def _leave(_held: list[Any], ending: str = "") -> Facts:
    """Start processes that outlive this one unless they are killed, and end as requested."""
    children = [
        # A program without Python's environment: macOS hides the marks of its own programs.
        subprocess.Popen(["/bin/sleep", str(_SLEEPS_S)], start_new_session=True),
        subprocess.Popen(
            [sys.executable, "-c", f"import time; time.sleep({_SLEEPS_S})"], start_new_session=True
        ),
    ]
    with open(os.path.join(os.environ["TMPDIR"], PIDS), "w", encoding="ascii") as file:  # noqa: PTH118, PTH123
        file.write(" ".join(str(each.pid) for each in children))
    if ending == "exit":
        os._exit(3)
    if ending:
        os.kill(os.getpid(), getattr(signal, ending))
        time.sleep(_SLEEPS_S)
    return {}


def _hold(held: list[Any], library: str, size: int, seconds: float = 0.0) -> Facts:
    """Allocate so many bytes with a library's own allocator, write to them, and keep them."""
    facts = _ALLOCATE[library](held, size)
    time.sleep(seconds)
    return facts


def _with_numpy(held: list[Any], size: int) -> Facts:
    import numpy as np

    held.append(np.ones(size, dtype=np.uint8))
    return {"device": "cpu"}


def _with_mlx(held: list[Any], size: int) -> Facts:
    from mac_whisper_speedtest.backends import mlx_runtime

    mlx_runtime.preload()
    mx = _import("mlx.core")
    made = mx.ones((size // 4,), dtype=mx.float32)
    mx.eval(made)
    mx.synchronize()
    held.append(made)
    device = str(mx.default_device().type).rpartition(".")[2]
    active = mx.get_active_memory() if hasattr(mx, "get_active_memory") else 0
    return {"device": device, "allocator_bytes": float(active)}


def _with_torch(held: list[Any], size: int) -> Facts:
    torch = _import("torch")
    device = _torch_device(torch)
    held.append(torch.ones(size // 4, dtype=torch.float32, device=device))
    if device == "cpu":
        return {"device": device}
    module = getattr(torch, device)
    module.synchronize()
    query = "memory_allocated" if device == "cuda" else "current_allocated_memory"
    return {"device": device, "allocator_bytes": float(getattr(module, query)())}


def _torch_device(torch: Any) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _import(module: str) -> Any:  # untyped libraries, which the tool's environment lacks
    return importlib.import_module(module)


_ALLOCATE: Mapping[str, Callable[[list[Any], int], Facts]] = {
    "numpy": _with_numpy,
    "mlx": _with_mlx,
    "torch": _with_torch,
}


def _multiply(held: list[Any], library: str, seconds: float) -> Facts:
    """Multiply matrices for this long on the GPU that a library sees, else on the CPU."""
    began = time.perf_counter()
    facts = _ALLOCATE[library](held, 4 * 2048 * 2048)
    matrix = held.pop().reshape(2048, 2048) / 2048
    wait = _import("mlx.core").eval if library == "mlx" else _read
    while time.perf_counter() - began < seconds:
        matrix = matrix @ matrix
        wait(matrix)
    return facts


def _read(matrix: Any) -> None:
    matrix[0, 0].item()  # waits for the device


_WORKS: Mapping[str, Callable[..., Facts]] = {
    "burn": _burn,
    "cores": _cores,
    "leave": _leave,
    "hold": _hold,
    "multiply": _multiply,
}
