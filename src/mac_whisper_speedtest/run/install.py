"""Installed version of a backend, as its worker reports it; installs backends on request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import unsuited
from mac_whisper_speedtest.environments import installations
from mac_whisper_speedtest.errors import SpeedtestError
from mac_whisper_speedtest.interrupts import as_keyboard_interrupt
from mac_whisper_speedtest.worker import ownership
from mac_whisper_speedtest.worker.exit_status import WorkerFailureError
from mac_whisper_speedtest.worker.launch import launch, program
from mac_whisper_speedtest.worker.supervisor import Deadlines, Worker

Versions = tuple[str, Mapping[str, str]]
"""The version, and everything else that could change a number: as in ``Loaded``."""


def installed_versions(backend: Backend, *, threads: int) -> Versions:
    """The versions that the backend's worker reports; an empty one if it cannot be started.

    The worker loads no weights.
    """
    with ownership.temporary_folder() as work:
        started = launch(backend, scratch=work, threads=threads)
        if started is None:
            return "", {}
        try:
            with Worker(started, Deadlines()) as worker:
                hello = worker.hello().value
        except WorkerFailureError:
            return "", {}
        return hello.version, hello.versions


def greet(command: Sequence[str]) -> str:
    """The name that a program answers ``hello`` with.

    Raises:
        SpeedtestError: it does not start, or does not answer.
    """
    name = Path(command[0]).name
    with ownership.temporary_folder() as work:
        started = launch(Backend(name=name, command=tuple(command)), scratch=work, threads=1)
        assert started is not None  # it has a command
        try:
            with Worker(started, Deadlines()) as worker:
                return worker.hello().value.name
        except WorkerFailureError as error:
            raise SpeedtestError(f"{name} does not answer: {error}") from error


def add_missing(backends: Iterable[Backend], notify: Callable[[str], None]) -> None:
    """Create the environments of backends that are not installed.

    If one cannot be created, only its own cells are affected: they are reported as not installed.
    """
    with as_keyboard_interrupt():
        for backend in backends:
            recipe = backend.recipe
            if backend.command or recipe is None or unsuited(recipe):
                continue
            if program(backend) is None:
                try:
                    installations.install(recipe, backend.version, greet=greet, notify=notify)
                except SpeedtestError as error:
                    notify(f"{backend.label} could not be installed: {error.message}")
