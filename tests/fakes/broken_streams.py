"""Standard streams that break, as a shell's user breaks them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Breakage:
    """One way to break streams.

    Attributes:
        redirection: what a shell is given after the command.
        environment: variables of the command.
        head: whether the reader of stdout leaves after its first line.
        loses_output: whether the command can know that its output got lost.
    """

    redirection: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    head: bool = False
    loses_output: bool = False


BROKEN: Mapping[str, Breakage] = {
    "stderr closed": Breakage("2>&-"),
    "stderr on a full disk": Breakage("2>/dev/full"),
    "stderr without a reader": Breakage("2>&3"),
    "stdout closed": Breakage(">&-", loses_output=True),
    "stdout on a full disk": Breakage(">/dev/full", loses_output=True),
    "stdout without a reader": Breakage(">&3"),
    "the reader of stdout leaves": Breakage(head=True),
    "all closed": Breakage("<&- >&- 2>&-", loses_output=True),
    "all on a full disk": Breakage(">/dev/full 2>&1", loses_output=True),
    "stdout in latin-1": Breakage(environment={"PYTHONIOENCODING": "latin-1"}),
    "stdout in ASCII": Breakage(environment={"PYTHONIOENCODING": "ascii"}),
    "the C locale": Breakage(
        environment={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    ),
}


TOOL = (sys.executable, "-m", "mac_whisper_speedtest")


@contextmanager
def started(
    broken: Breakage, *arguments: object, cwd: Path, environment: Mapping[str, str] = os.environ
) -> Iterator[subprocess.Popen[bytes]]:
    """The tool with broken streams; those that are not broken are pipes, and stdin is empty."""
    reading, writing = os.pipe()
    os.close(reading)  # what is given to 3 has no reader
    shell = f'exec 3>&{writing}; exec "$@" {broken.redirection} 3>&-'
    try:
        with subprocess.Popen(
            ["bash", "-c", shell, "bash", *TOOL, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[writing],
            cwd=cwd,
            env={**environment, **broken.environment},
        ) as process:
            if broken.head:
                assert process.stdout is not None
                process.stdout.readline()
                process.stdout.close()
            yield process
    finally:
        os.close(writing)


def outcome(process: subprocess.Popen[bytes], timeout_s: float = 120) -> tuple[int, str]:
    """The exit code, and everything that was written."""
    parts = []
    if process.stdout is not None and process.stdout.closed:
        assert process.stderr is not None
        parts.append(process.stderr.read())
        process.wait(timeout_s)
    else:
        parts += process.communicate(timeout=timeout_s)
    return process.returncode, b"".join(parts).decode(errors="replace")
