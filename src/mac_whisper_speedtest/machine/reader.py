"""Queries to this machine: programs, files and libraries; each returns a value or a reason.

Nothing here raises, waits without a limit, or judges the answers.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from mac_whisper_speedtest.privacy import scrub

T = TypeVar("T")

COMMAND_TIMEOUT_S = 5.0
"""For programs that read something the system already knows; the slowest takes a third of a
second."""

SYSCTL = "/usr/sbin/sysctl"
_AFTER_KILL_S = 1.0  # for the system to close the pipes of killed processes
_LONGEST_READ = 1_000_000  # characters; the files read here are short, but a device file has no end
_LONGEST_REASON = 160  # characters


@dataclass(frozen=True, slots=True)
class Unknown:
    """The value could not be determined, for this reason."""

    reason: str


Answer = str | Unknown


class UnknownFactError(Exception):
    """A fact that a computation needs is not known; `attempt` returns the reason."""


def require(found: T | Unknown) -> T:
    """The value, inside of `attempt`. Raises UnknownFactError with the reason if there is none."""
    if isinstance(found, Unknown):
        raise UnknownFactError(found.reason)
    return found


class Reader:
    """Source of answers. Tests give it another root folder, or answers of other machines."""

    def __init__(self, *, root: Path = Path("/"), platform: str = sys.platform) -> None:
        """Read below ``root``, as on the operating system ``platform``."""
        self._root = root
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False
        self.macos = platform == "darwin"

    def read(self, path: str) -> Answer:
        """The text of the file at the absolute ``path``, without blanks around it."""
        try:
            with self._at(path).open(encoding="utf-8", errors="replace") as stream:
                return stream.read(_LONGEST_READ).strip()
        except (OSError, ValueError) as error:
            return Unknown(f"{path}: {_cause(error)}")

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder at the absolute ``path``."""
        try:
            return self._at(path).exists()
        except OSError:
            return False

    def matching(self, pattern: str) -> list[str]:
        """The absolute paths that match the absolute ``pattern``, in order."""
        try:
            found = sorted(self._root.glob(pattern.lstrip("/")))
        except (OSError, ValueError):
            return []
        return [f"/{path.relative_to(self._root)}" for path in found]

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = COMMAND_TIMEOUT_S,
        environment: Mapping[str, str] | None = None,
    ) -> Answer:
        """The stdout of a program, if it exits with status 0 in time.

        Args:
            argv: the program, as an absolute path or a name to look up in ``PATH``, and arguments.
            timeout_s: after this many seconds it is killed, with all its children.
            environment: its variables; by default this process's own.
        """
        program = shutil.which(argv[0])
        name = Path(argv[0]).name
        if program is None:
            return Unknown(f"{name} is not installed")
        variables = os.environ if environment is None else environment
        try:
            with self._lock:
                if self._stopped:
                    return Unknown("interrupted")
                process = subprocess.Popen(
                    [program, *argv[1:]],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    env={**variables, "LC_ALL": "C"},
                    start_new_session=True,  # so that its children can be killed with it
                )
                self._running.add(process)
        except (OSError, ValueError) as error:
            return Unknown(f"{name} cannot be started: {_cause(error)}")
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _end(process)
            return Unknown(f"{name} did not answer in {timeout_s:g} s")
        finally:
            with self._lock:
                self._running.discard(process)
        if process.returncode != 0:
            return Unknown(f"{name} ended with status {process.returncode}{_last_line(err or out)}")
        return out.strip()

    def sysctl(self, *names: str) -> Answer:
        """The values of these variables of macOS's kernel, one a line."""
        return self.run([SYSCTL, "-n", *names])

    def stop(self) -> None:
        """Kill all running programs, and start no more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _kill(process)

    def _at(self, path: str) -> Path:
        return self._root / path.lstrip("/")


def attempt(query: Callable[[], T]) -> T | Unknown:
    """The result of ``query``, or why it failed."""
    try:
        return query()
    except UnknownFactError as error:
        return Unknown(str(error))
    except (
        *(OSError, LookupError, ValueError, AttributeError, RuntimeError, ImportError),
        psutil.Error,
    ) as error:
        return Unknown(f"{type(error).__name__}: {_cause(error)}")


def within(seconds: float, query: Callable[[], T]) -> T | Unknown:
    """The result of ``query``, or why it failed or took longer than ``seconds``.

    A query that takes longer continues in a daemon thread.
    """
    found: list[T | Unknown] = []

    def run() -> None:
        try:
            found.append(query())
        except Exception as error:  # noqa: BLE001 - any error of a library is a reason
            found.append(Unknown(f"{type(error).__name__}: {error}"))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else Unknown(f"no answer in {seconds:g} s")


def _cause(error: BaseException) -> str:
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    return scrub(text)[:_LONGEST_REASON]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f": {scrub(lines[-1])[:_LONGEST_REASON]}" if lines else ""


def _end(process: subprocess.Popen[str]) -> None:
    """Kill ``process`` with all its children, and close its pipes."""
    _kill(process)
    try:
        process.communicate(timeout=_AFTER_KILL_S)
    except subprocess.TimeoutExpired:
        # A child has left the session and holds the pipes, or the process is in a system call that
        # cannot be interrupted. Waiting longer would not help.
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _kill(process: subprocess.Popen[str]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        process.kill()
