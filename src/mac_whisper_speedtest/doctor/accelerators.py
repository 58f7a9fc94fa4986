"""Which accelerators each installed backend's own library sees, asked in its own interpreter.

Nothing of a backend is imported into this process. Only questions that load no model are asked;
backends that share an interpreter and a question are asked once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.doctor.lines import Line, State, ok, unknown, warn
from mac_whisper_speedtest.environments import locks
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
    "whisperx": _CTRANSLATE2,  # its recogniser's; torch only aligns
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
class Place:
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
class Asked:
    """Answers, by `Place.key`; empty where nothing was to be asked (``--quick``)."""

    answers: Mapping[tuple[str, str], Answer] = field(default_factory=dict)
    asked: bool = True


def place(backend: Backend) -> Place:
    """Where ``backend`` would run from. Starts nothing and imports nothing of it."""
    if backend.command:
        return Place(backend, "a program of its own")
    python = launch.interpreter(backend)
    if python is None:
        return Place(backend)
    recipe = backend.recipe
    if backend.python:
        where = "its own interpreter"
    elif launch.in_place(backend):
        where = f"{launch.version_here(recipe) if recipe else ''} beside the tool".strip()
    else:
        version = backend.version or (locks.default_version(recipe) if recipe else "")
        where = f"{version} in its own environment"
    return Place(backend, where, python, _QUESTIONS.get(backend.import_name, ""))


def ask(reader: Reader, key: tuple[str, str]) -> Answer:
    """Run one question in one interpreter, offline."""
    python, question = key
    argv = [python, "-P", "-c", question]
    return reader.run(argv, timeout_s=TIMEOUT_S, variables=_OFFLINE)


def judge(places: Iterable[Place], asked: Asked, gpus: Collection[str]) -> list[Line]:
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
        lines.append(Line("not installed", State.OK, ", ".join(absent), install))
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


def _installed(placed: Place, asked: Asked, gpus: Collection[str]) -> Line:
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
        return Line(topic, line.state, f"{placed.where}; accelerators {line.seen}", line.next)
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


def places() -> list[Place]:
    """Where every backend there is would run from."""
    from mac_whisper_speedtest.backends import registry

    found = []
    for backend in registry.installed().values():
        looked = attempt(partial(place, backend))
        found.append(looked if isinstance(looked, Place) else Place(backend, why_not=looked.reason))
    return found
