"""How workers end: is every ending recognized, and does nothing remain?"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil

from mac_whisper_speedtest.doctor.lines import CheckupLine, fail, ok
from mac_whisper_speedtest.errors import ErrorClass
from mac_whisper_speedtest.selfcheck.bench import (
    SEND,
    Figures,
    Workbench,
    measurement,
    not_measured,
)
from mac_whisper_speedtest.selfcheck.kit import Measurement
from mac_whisper_speedtest.selfcheck.known_work import PIDS
from mac_whisper_speedtest.selfcheck.memory import IMPORTERS, interpreter_with
from mac_whisper_speedtest.worker import process_tree
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError
from mac_whisper_speedtest.worker.ownership import marked_processes

ENDINGS = {
    "killed": ("", "killed by the tool"),
    "exit": ("crashed", ErrorClass.EXIT),
    "SIGSEGV": ("crashed", "SIGSEGV"),
    "SIGKILL": ("crashed", "SIGKILL"),
    "memory": ("out_of_memory", ErrorClass.MEMORY_LIMIT),
    "memory of a GPU": ("out_of_memory", ErrorClass.MEMORY_LIMIT),
}
"""What ends a worker → the status and the class of error that must be reported."""
ROOM = 256 << 20
"""Bytes that a worker may add before its limit; it then takes twice as many."""
_OF_A_GPU = "memory of a GPU"
_GONE_S = 2.0


def measure(bench: Workbench) -> list[Measurement]:
    """Let workers end in every way; each has started two programs that left its session."""
    return [*(_ended(bench, how) for how in ENDINGS if how != _OF_A_GPU), _over_limit_on_gpu(bench)]


def _over_limit_on_gpu(bench: Workbench) -> Measurement:
    """A worker that takes too much of a memory which it shares with the processor."""
    if not bench.reader.macos:
        why = "only a Mac's GPU uses the machine's memory"
        return not_measured("ending", why, subject=_OF_A_GPU)
    for library in IMPORTERS:
        if python := interpreter_with(library):
            return _ended(bench, _OF_A_GPU, library=library, python=python)
    why = "no backend with MLX or torch is installed"
    return not_measured("ending", why, subject=_OF_A_GPU, gpu=True)


def _ended(bench: Workbench, how: str, *, library: str = "numpy", python: str = "") -> Measurement:
    figures: Figures = {}
    children: list[int] = []
    too_much = how.startswith("memory")
    limit = _own_memory(bench, library, python) + ROOM if too_much else None
    with bench.known_worker(python=python, memory_limit=limit) as known:
        mark = known.mark
        try:
            if too_much:
                known.do("leave")
                children = _started(known.scratch)
                known.do("hold", library=library, size=2 * ROOM, seconds=30.0)
            else:
                known.do("leave", ending="" if how == "killed" else how)
            children = _started(known.scratch)
        except WorkerFailureError as failure:
            children = children or _started(known.scratch)
            ending = failure.ending
            figures |= {"status": str(ending.status), "class": ending.error_class}
    began = time.monotonic()
    while _alive(children) and time.monotonic() - began < _GONE_S:
        time.sleep(0.02)
    figures |= {
        "started": float(len(children)),
        "left": float(len(_alive(children))),
        "marked": float(len(marked_processes(mark))),
    }
    for child in _alive(children):  # nothing stays behind even where the tool is wrong
        with contextlib.suppress(psutil.Error):
            psutil.Process(child).kill()
    return measurement("ending", figures, subject=how, gpu=how == _OF_A_GPU)


def _own_memory(bench: Workbench, library: str, python: str) -> int:
    """What a worker uses before it does anything."""
    with bench.known_worker(python=python) as known:
        known.do("hold", library=library, size=4096)
        return process_tree.memory_use(known.worker.pid, 0).size_bytes


def _started(scratch: Path) -> list[int]:
    """The processes that the worker started, by the ids it recorded."""
    try:
        return [int(each) for each in (scratch / PIDS).read_text("ascii").split()]
    except (OSError, ValueError):
        return []


def _alive(pids: list[int]) -> list[int]:
    """Those that still run; a process that has ended and waits for its parent does not."""
    found = []
    for each in pids:
        with contextlib.suppress(psutil.Error):
            if psutil.Process(each).status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def judge(found: Measurement) -> list[CheckupLine]:
    """The right class, and no process left."""
    status, kind = ENDINGS.get(found.subject, ("", ""))
    started, left = found.number("started"), found.number("left")
    number = max(left, found.number("marked"))
    topic = f"ending: {found.subject}"
    ended = f"{found.text('status')}, {found.text('class')}" if status else kind
    seen = f"{ended}; {number:g} of {started:g} orphans left (limit 0)"
    if status and ended != f"{status}, {kind}":
        return [fail(topic, f"{seen}; {status}, {kind} is right", SEND)]
    if number or started < 1:
        return [fail(topic, seen, SEND)]
    return [ok(topic, seen)]
