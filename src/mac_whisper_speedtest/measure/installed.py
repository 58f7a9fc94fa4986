"""Which release of a backend is here now: asked of its own worker, which loads no weights."""

from __future__ import annotations

from collections.abc import Mapping

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.worker import scratch
from mac_whisper_speedtest.worker.endings import WorkerFailureError
from mac_whisper_speedtest.worker.launch import launch
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

Versions = tuple[str, Mapping[str, str]]
"""The version, and whatever else could change a number: as in ``Loaded``."""


def versions(backend: Backend, *, threads: int) -> Versions:
    """What the backend's worker says of itself; an empty version where it cannot be started."""
    with scratch.folder() as work:
        started = launch(backend, scratch=work, threads=threads)
        if started is None:
            return "", {}
        try:
            with Worker(started, Deadlines()) as worker:
                hello = worker.hello().value
        except WorkerFailureError:
            return "", {}
        return hello.version, hello.versions
