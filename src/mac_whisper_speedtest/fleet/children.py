"""What a node lets a process of its own do, so that it stays small and cannot hang or crash itself.

    python -m mac_whisper_speedtest.fleet.children probe NAME        labels, as one line of JSON
    python -m mac_whisper_speedtest.fleet.children measure NAME      a delivery on stdin, an answer,
                                                                     and then as hand-in does
    python -m mac_whisper_speedtest.fleet.children hand-in           an answer for every bundle

`ChildProcess` is the node's side, `main` the child's. A child leads a process group of its own, so
that Ctrl-C reaches the node alone. It ends with the node: at the end of its input it interrupts
itself, and if that does not help in time it kills its group.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from mac_whisper_speedtest import limits

END_TIMEOUT_S = 60.0
"""For a process that was asked to end: a run is sealed, which reads its whole journal."""
_BLOCK = 1 << 16
_SHOWN = 4096
"""Bytes at the end of a log in which its last line is looked for."""


class ChildProcess:
    """A process that exchanges lines with this one, and leads a process group of its own.

    It stays in this process's session. Therefore, if this process dies while the child is stopped,
    the kernel ends the child (POSIX, "orphaned process group": SIGHUP and SIGCONT).

    Args:
        argv: the program.
        log: the file that its stderr is written to, from its beginning.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, argv: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                argv,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                process_group=0,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self.pid = self._process.pid
        self._incoming = bytearray()

    def send(self, line: str) -> bool:
        """Write a line to its input; return whether it still takes one."""
        try:
            self._stdin.write(f"{line}\n".encode())
        except (BrokenPipeError, ValueError):
            return False
        return True

    def line(self, timeout_s: float | None = None) -> bytes | None:
        """Its next line, without the newline; empty at its end, None if there is none in time.

        Waits without waking up.
        """
        until = None if timeout_s is None else time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while True:
                end = self._incoming.find(b"\n")
                if end >= 0:
                    found = bytes(self._incoming[:end])
                    del self._incoming[: end + 1]
                    return found
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    return None
                if not selector.select(left):
                    continue
                data = os.read(self._stdout.fileno(), _BLOCK)
                if not data or len(self._incoming) > limits.LONGEST_LINE:
                    return b""
                self._incoming += data

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def end(self, timeout_s: float = END_TIMEOUT_S) -> int:
        """Close its input, wait for its end or bring it about; return its status as `Popen` does.

        Call it again as often as you like.
        """
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
                break
            self.signal(number)
        status = self._process.wait()
        self.signal(signal.SIGKILL)  # what it left in its group
        self._stdout.close()
        return status

    @property
    def last_words(self) -> str:
        """The last line of its log, without secrets."""
        from mac_whisper_speedtest.privacy import scrub

        try:
            with self._log.open("rb") as stream:
                stream.seek(max(0, self._log.stat().st_size - _SHOWN))
                lines = stream.read(_SHOWN).decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        said = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return scrub(said)[: limits.LONGEST_MESSAGE]


def command(*words: str) -> list[str]:
    """The argument vector of a child."""
    return [sys.executable, "-m", __name__, *words]


# The child's side.


def _end_with_the_node() -> None:
    """Interrupt this process at the end of its input; kill its group if that does not end it."""

    def wait() -> None:
        while os.read(0, _BLOCK):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(END_TIMEOUT_S)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def main(words: Sequence[str]) -> int:
    """Be a child: write lines to stdout, and nothing else."""
    from mac_whisper_speedtest import interrupts
    from mac_whisper_speedtest.errors import ExitCode, SpeedtestError

    interrupts.handle_for_good()
    # What a library writes to stdout goes to the log.
    outgoing = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    try:
        for line in _lines(*words):
            outgoing.write(f"{line}\n")
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except SpeedtestError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    return ExitCode.OK


def _lines(what: str, name: str = "") -> Iterator[str]:
    from mac_whisper_speedtest import paths
    from mac_whisper_speedtest.fleet import job
    from mac_whisper_speedtest.fleet.storage import Outbox

    outbox = Outbox(paths.data_dir() / "fleet" / "outbox")
    if what == "measure":
        delivery = job.decode_delivery(sys.stdin.buffer.readline().decode())
        _end_with_the_node()
        from mac_whisper_speedtest.fleet.measure import measure

        with outbox.claimed():
            answer = measure(delivery, name, outbox)
            yield job.encode(answer)
            if answer.ending is job.Ending.DONE:
                yield from map(job.encode, outbox.hand_in())
        return
    _end_with_the_node()
    if what == "probe":
        import msgspec

        from mac_whisper_speedtest.fleet import labels

        yield msgspec.json.encode(labels.probe(name)).decode()
        return
    from mac_whisper_speedtest.worker import ownership

    with outbox.claimed():
        ownership.kill_orphans()
        ownership.remove_leftover_folders()
        yield from map(job.encode, outbox.hand_in())


def run(words: Sequence[str]) -> NoReturn:
    """Be a child and end at once: unloading all modules would take 0.1 s of every job."""
    status = main(words)
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    run(sys.argv[1:])
