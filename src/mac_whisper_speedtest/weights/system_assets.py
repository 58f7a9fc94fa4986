"""Networks that the operating system keeps: their state, and installation on request.

Only macOS knows which locales its speech transcriber has. The bridge prints them as one line of
JSON (``assets``), and has macOS install a locale (``install``) if the user requests it by name;
nothing else installs one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

from msgspec import Struct

from mac_whisper_speedtest import catalog, files, limits
from mac_whisper_speedtest.backends.backend import Backend
from mac_whisper_speedtest.backends.recipe import SwiftRecipe, this_system, unsuited
from mac_whisper_speedtest.errors import DownloadError, SpeedtestError, UsageError
from mac_whisper_speedtest.printable import clipped, printable_line
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.weights.inspect import WeightsState
from mac_whisper_speedtest.worker import launch

ASK_TIMEOUT_S = 60.0
"""The system answers in less than a second, unless it has just started."""
INSTALL_TIMEOUT_S = 3600.0
"""Enough for some hundred megabytes over a slow line; macOS continues in the background."""
LONGEST_ANSWER = 1 << 16
"""Bytes: two lists of 40 locales take 700."""
MOST_LINES = 10_000
"""Lines of progress: one per second."""
_LIMITS = limits.SizeLimits(limits.LONGEST_MESSAGE, most_items=1000)
_AFTER_ANSWER_S = 5.0
"""Seconds for a program to end after it closed its stdout."""


class AssetsReport(Struct, frozen=True):
    """What the bridge prints.

    Attributes:
        available: whether this machine has a transcriber.
        reason: why it is missing.
        reserved: locales that programs have reserved; the system keeps them up to date.
        build: of the operating system; another build may have other networks.
        macos: its release.
        supported: the locales that it has or can install, such as ``en-US``.
        installed: the locales that it has.
    """

    available: bool
    build: str
    macos: str
    supported: list[str]
    installed: list[str]
    reason: str | None = None
    reserved: list[str] = []

    @property
    def system(self) -> str:
        """For people: ``macOS 26.0 (25A354)``."""
        return f"macOS {self.macos} ({self.build})"


class AssetsUnknownError(SpeedtestError):
    """The system's state could not be queried; the message gives the reason."""


def locale_of(model: str, weights_format: str) -> str:
    """``en-US`` of ``apple-speech-en-us``."""
    language, _, region = model.removeprefix(f"{weights_format}-").partition("-")
    return f"{language}-{region.upper()}"


class AssetsCheck:
    """Checks networks one by one, and asks every program once."""

    def __init__(self) -> None:
        self._answers: dict[str, AssetsReport | AssetsUnknownError] = {}

    def check(self, info: catalog.ModelInfo, backend: Backend) -> tuple[WeightsState, str]:
        """Whether the system has the network of ``info``; why not, or what to do next."""
        if not backend.command and backend.recipe and unsuited(backend.recipe):
            return WeightsState.UNAVAILABLE, launch.not_installed(backend)
        found = self._ask(backend)
        if isinstance(found, AssetsUnknownError):
            return WeightsState.NOT_KNOWN, found.message
        locale = locale_of(info.model, info.weights_format)
        if not found.available:
            reason = found.reason or "the system reports no transcriber"
            return WeightsState.UNAVAILABLE, reason
        if locale not in found.supported:
            return WeightsState.UNAVAILABLE, f"{found.system} does not support {locale}"
        if locale not in found.installed:
            return WeightsState.ABSENT, f"not installed: speedtest models pull {info.model}"
        return WeightsState.SYSTEM, found.system

    def _ask(self, backend: Backend) -> AssetsReport | AssetsUnknownError:
        program = launch.program(backend) or ""
        if program not in self._answers:
            try:
                self._answers[program] = _report(
                    _program(backend), "assets", timeout_s=ASK_TIMEOUT_S
                )
            except AssetsUnknownError as error:
                self._answers[program] = error
        return self._answers[program]


def install(row: catalog.HostedWeights, backend: Backend, *, notify: Callable[[str], None]) -> str:
    """Have the system install the network of ``row``.

    Args:
        row: of a format that a system keeps.
        backend: its program requests the installation.
        notify: receives the progress, line by line.

    Returns:
        The system that has it now, for people: with its release and build.

    Raises:
        UsageError: this system has no such network.
        AssetsUnknownError: the program is not installed, or gives no valid answer.
        DownloadError: the system could not install it.
    """
    program = _program_for(row, backend)
    found = _report(program, "assets", timeout_s=ASK_TIMEOUT_S)
    locale = locale_of(row.model, row.format)
    if not found.available or locale not in found.supported:
        known = f"it has {', '.join(found.supported)}" if found.supported else ""
        raise UsageError(
            found.reason or f"{found.system} cannot install {locale}",
            hint=known or f"see speedtest check-models -b {backend.name}",
        )
    if locale in found.installed:
        return found.system
    try:
        after = _report(program, "install", locale, timeout_s=INSTALL_TIMEOUT_S, heard=notify)
    except AssetsUnknownError as error:
        raise DownloadError(
            f"{found.system} has not installed {locale}: {error.message}",
            hint="check the network, then repeat the command; state: speedtest check-models -b "
            f"{backend.name}",
        ) from error
    if locale not in after.installed:
        raise DownloadError(
            f"{found.system} reports no error and has not installed {locale}",
            hint=f"check again later: speedtest check-models -b {backend.name}",
        )
    return after.system


def release(row: catalog.HostedWeights, backend: Backend) -> None:
    """Release the reservation of the network of ``row``; the system may then remove it.

    Raises:
        UsageError: the system has no such network.
        AssetsUnknownError: the program is not installed, or gives no valid answer.
    """
    locale = locale_of(row.model, row.format)
    after = _report(_program_for(row, backend), "release", locale, timeout_s=ASK_TIMEOUT_S)
    if locale in after.reserved:
        raise AssetsUnknownError(f"{after.system} has not released {locale}")


def backend_for(row: catalog.HostedWeights, available: Iterable[Backend]) -> Backend:
    """The backend with the program that reports on ``row``. Raises UsageError."""
    for backend in available:
        if backend.weights_format == row.format:
            return backend
    raise UsageError(
        f"no installed backend loads {row.model}", hint="list backends: speedtest backends list"
    )


def _program_for(row: catalog.HostedWeights, backend: Backend) -> str:
    """The program, if this machine can have such a network. Raises UsageError."""
    recipe = backend.recipe
    if not backend.command and isinstance(recipe, SwiftRecipe) and unsuited(recipe):
        raise UsageError(
            f"{row.model} is a part of {row.kind.kept_by} {recipe.macos} and newer on Apple "
            f"silicon; this is {this_system()}",
            hint="speedtest models list shows the models for this machine",
        )
    return _program(backend)


def _program(backend: Backend) -> str:
    """Raises AssetsUnknownError."""
    found = launch.program(backend)
    if found is None:
        raise AssetsUnknownError(launch.not_installed(backend))
    return found


def _report(
    program: str, *words: str, timeout_s: float, heard: Callable[[str], None] = lambda _line: None
) -> AssetsReport:
    """The report that ``program`` prints, called with ``words``. Raises AssetsUnknownError."""
    answer = _call([program, *words], timeout_s, heard)
    try:
        found = files.decode_json(answer, AssetsReport)
        limits.check(found, limits=_LIMITS)
    except ValueError as error:
        why = clipped(printable_line(str(error)), limits.LONGEST_MESSAGE)
        raise AssetsUnknownError(
            f"{Path(program).name} {words[0]} printed no valid report: {why}"
        ) from error
    return found


def _call(argv: list[str], timeout_s: float, heard: Callable[[str], None]) -> bytes:
    """The bounded stdout of a program; its stderr goes to ``heard``, line by line.

    Raises:
        AssetsUnknownError: it cannot be started, fails, prints too much, or takes too long.
    """
    name = f"{Path(argv[0]).name} {argv[1]}"
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=launch.passed_variables(),
            start_new_session=True,
        )
    except OSError as error:
        raise AssetsUnknownError(f"{name} cannot be started: {error.strerror}") from error
    assert process.stdout is not None
    assert process.stderr is not None
    answer: list[bytes] = []
    last: deque[str] = deque(maxlen=1)
    readers = [
        threading.Thread(target=_read, args=(process.stdout, answer), daemon=True),
        threading.Thread(target=_listen, args=(process.stderr, last, heard), daemon=True),
    ]
    try:
        for reader in readers:
            reader.start()
        # Read to the end first: a program that waits for space in the pipe does not end.
        readers[0].join(timeout_s)
        if readers[0].is_alive():
            raise AssetsUnknownError(f"{name} has not answered in {timeout_s:g} s")
        if len(answer[0]) > LONGEST_ANSWER:
            raise AssetsUnknownError(f"{name} printed more than {LONGEST_ANSWER} bytes")
        try:
            status = process.wait(timeout=_AFTER_ANSWER_S)
        except subprocess.TimeoutExpired as error:
            raise AssetsUnknownError(f"{name} does not end") from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for reader in readers:
            reader.join(_AFTER_ANSWER_S)
    if status != 0:
        raise AssetsUnknownError(last[0] if last else f"{name} ended with status {status}")
    return answer[0]


def _read(stream: IO[bytes], answer: list[bytes]) -> None:
    with stream:
        answer.append(stream.read(LONGEST_ANSWER + 1))


def _listen(stream: IO[bytes], last: deque[str], heard: Callable[[str], None]) -> None:
    """Pass on whole lines, shortened, at most `MOST_LINES`."""
    with stream:
        for _ in range(MOST_LINES):
            line = stream.readline(limits.LONGEST_MESSAGE)
            if not line:
                return
            text = scrub(printable_line(line.decode(errors="replace").strip()))
            if text:
                last.append(text)
                heard(text)
        while stream.read(LONGEST_ANSWER):  # else the program would wait for space in the pipe
            pass
