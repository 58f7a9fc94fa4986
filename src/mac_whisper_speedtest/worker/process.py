"""A worker's process and its three pipes, which can never block the tool.

There are no reader threads. The pipes are non-blocking, and the caller waits for all three at once.
So a process that keeps a pipe open after the worker's end delays nothing, and output that is not
yet read stays in the pipe, not in the tool's memory.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from mac_whisper_speedtest.limits import LONGEST_LINE
from mac_whisper_speedtest.machine import macos
from mac_whisper_speedtest.worker import process_tree
from mac_whisper_speedtest.worker.launch import Launch

EXIT_GRACE_S = 5.0
"""Time for a process to exit after it was killed."""
CRASH_GRACE_S = 30.0 if macos.HERE else EXIT_GRACE_S
"""The same after a worker closed its stdout, before that counts as a violation. On a Mac the crash
report (ReportCrash) and the release of gigabytes of Metal buffers come first; how long they take is
not known."""
_LOG_BYTES = 64 * 1024
_EXIT_CHECK_S = 0.02
_ALIVE_CHECK_S = 1.0
"""A process that the worker started may keep stdout open after the worker's end."""
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a worker's stdout with its newline; empty when stdout has ended.

    A line longer than the protocol allows is split. ``at`` is when its last byte was read, by
    ``time.perf_counter``.
    """

    data: bytes
    at: float


class WorkerProcess:
    """A started worker.

    Attributes:
        pid: of the process, which leads its own session.
        log: the last 64 KiB that it wrote to stderr.

    Raises:
        OSError, ValueError: the program cannot be started.
    """

    def __init__(self, launch: Launch) -> None:
        self._mark = launch.mark
        self._process = subprocess.Popen(
            launch.argv,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(launch.environment),
            cwd=launch.cwd,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.pid = self._process.pid
        self._stdin, self._stdout, self._stderr = (
            self._process.stdin,
            self._process.stdout,
            self._process.stderr,
        )
        for stream in (self._stdin, self._stdout, self._stderr):
            os.set_blocking(stream.fileno(), False)
        self.log = bytearray()
        self._incoming, self._searched, self._read_at = bytearray(), 0, time.perf_counter()
        self._outgoing = bytearray()
        self._selector = selectors.DefaultSelector()
        self._register(self._stdout, selectors.EVENT_READ, self._read_stdout)
        self._register(self._stderr, selectors.EVENT_READ, self._read_stderr)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def send(self, data: bytes) -> None:
        """Write to stdin as much as the pipe takes now; `receive` and `wait` write the rest.

        Data for a dead worker is dropped: the end of its stdout shows that it is dead.
        """
        self._outgoing += data
        self._write_stdin()

    def receive(self, timeout_s: float) -> Line | None:
        """The next line of stdout; ``None`` if there is none within ``timeout_s`` seconds.

        When the worker has ended, its stdout counts as ended.
        """
        until = time.perf_counter() + timeout_s
        over = False
        while True:
            line = self._next_line()
            if line is not None or over:
                return line
            left = until - time.perf_counter()
            over = left <= 0
            exited = not over and self._process.poll() is not None
            ready = self._transfer(0.0 if over or exited else min(left, _ALIVE_CHECK_S))
            if exited and not ready:
                self._unregister(self._stdout)

    def wait(self, timeout_s: float) -> int | None:
        """The exit status as ``subprocess`` gives it; ``None`` if it still runs after that time.

        Its output to stdout during the wait is dropped.
        """
        until = time.perf_counter() + timeout_s
        while (status := self._process.poll()) is None:
            left = until - time.perf_counter()
            if left <= 0:
                return None
            self._transfer(min(left, _EXIT_CHECK_S))
            self._incoming.clear()
            self._searched = 0
        return status

    def close_stdin(self) -> None:
        """End the worker's input, as when the tool has exited."""
        self._unregister(self._stdin)
        self._outgoing.clear()
        self._stdin.close()

    def kill(self) -> None:
        """Kill the worker and everything it started, and close the pipes. Can be called twice."""
        process_tree.kill(self.pid, self._mark)
        # A process that waits for a broken device or disk cannot be killed.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_GRACE_S)
        if not self._stderr.closed:
            for _ in range(_LOG_BYTES // _BLOCK + 1):
                self._read_stderr()
        self._selector.close()
        for stream in (self._stdin, self._stdout, self._stderr):
            stream.close()

    def _transfer(self, timeout_s: float) -> bool:
        """Wait until a pipe is ready, then read or write; return whether any was."""
        ready = self._selector.select(timeout_s)
        for key, _ in ready:
            key.data()
        return bool(ready)

    def _next_line(self) -> Line | None:
        end = self._incoming.find(b"\n", self._searched) + 1
        if not end:
            self._searched = end = len(self._incoming)
            ended = self._stdout.fileno() not in self._selector.get_map()
            if end <= LONGEST_LINE and not ended:
                return None
        line = Line(bytes(self._incoming[:end]), self._read_at)
        del self._incoming[:end]
        self._searched = 0
        return line

    def _read_stdout(self) -> None:
        self._incoming += self._read(self._stdout)
        self._read_at = time.perf_counter()

    def _read_stderr(self) -> None:
        self.log += self._read(self._stderr)
        if len(self.log) > _LOG_BYTES:  # keep whole lines: half a secret would not be recognized
            del self.log[:-_LOG_BYTES]
            del self.log[: self.log.find(b"\n") + 1]

    def _read(self, stream: IO[bytes]) -> bytes:
        """The data in a pipe now; a pipe that has ended is unregistered."""
        try:
            data = os.read(stream.fileno(), _BLOCK)
        except BlockingIOError:
            return b""
        if not data:
            self._unregister(stream)
        return data

    def _write_stdin(self) -> None:
        try:
            while self._outgoing:
                del self._outgoing[: os.write(self._stdin.fileno(), self._outgoing)]
        except BlockingIOError:
            self._register(self._stdin, selectors.EVENT_WRITE, self._write_stdin)
            return
        except BrokenPipeError:
            self._outgoing.clear()
        self._unregister(self._stdin)

    def _register(self, stream: IO[bytes], event: int, ready: Callable[[], None]) -> None:
        if stream.fileno() not in self._selector.get_map():
            self._selector.register(stream, event, ready)

    def _unregister(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(stream)
