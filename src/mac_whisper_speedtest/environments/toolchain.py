"""The Swift toolchain of this machine: checks that it can build a bridge, and runs it.

SwiftPM puts each of its processes into a separate process group, but all share the session. So
every build gets its own session, whose processes are killed when the build ends in any way.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.backends import recipe as recipes
from mac_whisper_speedtest.backends.recipe import SwiftRecipe
from mac_whisper_speedtest.errors import SpeedtestError, UsageError
from mac_whisper_speedtest.privacy import scrub

if TYPE_CHECKING:
    import psutil

_QUESTION_S = 120.0
"""Seconds; the first call of a tool after an update of Xcode takes long."""
_LOOK_EVERY_S = 0.2
_END_GRACE_S = 5.0
_SWEEPS = 100
_SWEEP_PAUSE_S = 0.02
_TAIL_BYTES = 16 * 1024
_LINE_BYTES = 4 * 1024

_SWIFT_VERSION = re.compile(r"Swift version (?P<version>\d+(\.\d+)*)")
# The manifests read the first two, and a build for users must not depend on a developer's
# settings. With the third, macOS reports an older version.
_NOT_PASSED = frozenset({"SPEEDTEST_STUBS", "SPEEDTEST_SWIFT_MODE", "SYSTEM_VERSION_COMPAT"})

INSTALL_TOOLS = "xcode-select --install"
_UPDATE_TOOLS = "softwareupdate --list shows newer Command Line Tools; softwareupdate --install -a"


class BuildTimeoutError(SpeedtestError):
    """A step of a build exceeded its time, and was stopped."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The compiler that builds a bridge.

    Attributes:
        swift: path of the program.
        identity: what ``swift --version`` prints: release, build and target.
        version: the release, such as ``6.3.1``.
    """

    swift: str
    identity: str
    version: str


def check(recipe: SwiftRecipe) -> Toolchain:
    """The toolchain of this machine, if it can build ``recipe``.

    Raises:
        UsageError: something is missing or too old; the hint has the command to type.
    """
    if recipes.is_macos():
        # /usr/bin/swift exists even without the tools, and then opens a dialog.
        ask("xcode-select", "-p", missing="the Command Line Tools of Xcode are not installed")
    swift = shutil.which("swift")
    if swift is None:
        raise UsageError(
            f"{recipe.name} is built with Swift, and there is no swift on the PATH",
            hint=INSTALL_TOOLS if recipes.is_macos() else "https://www.swift.org/install",
        )
    identity = ask(swift, "--version", missing="swift does not start")
    found = _SWIFT_VERSION.search(identity)
    version = found["version"] if found else ""
    if recipes.older(version, recipe.swift):
        raise UsageError(
            f"{recipe.name} needs Swift {recipe.swift} or newer; this is {version or identity}",
            hint=_UPDATE_TOOLS if recipes.is_macos() else "https://www.swift.org/install",
        )
    if recipes.is_macos() and recipe.sdk:
        _check_sdk(recipe)
    return Toolchain(swift, identity, version)


def _check_sdk(recipe: SwiftRecipe) -> None:
    sdk = ask(
        *("xcrun", "--sdk", "macosx", "--show-sdk-version"), missing="there is no SDK of macOS"
    )
    if recipes.older(sdk, recipe.sdk):
        raise UsageError(
            f"{recipe.name} is built with the SDK of macOS {recipe.sdk} or newer; "
            f"the installed one is {sdk}",
            hint=_UPDATE_TOOLS,
        )


def ask(*command: str, missing: str) -> str:
    """The stdout of a tool.

    Raises:
        UsageError: it is missing or fails; ``missing`` is the message.
    """
    # Apple's location, for any path.
    program = shutil.which(command[0]) or str(Path("/usr/bin") / command[0])
    try:
        done = subprocess.run(
            [program, *command[1:]],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            env=_for_users(os.environ),
            timeout=_QUESTION_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{missing}: {scrub(str(error))}", hint=INSTALL_TOOLS) from error
    if done.returncode == 0:
        return done.stdout.strip()
    said = scrub(done.stderr + done.stdout).strip()
    if "license" in said:
        raise UsageError(
            "the license of Xcode has not been accepted", hint="sudo xcodebuild -license accept"
        )
    why = " / ".join(said.splitlines()[-2:]) or f"status {done.returncode}"
    raise UsageError(
        f"{missing}: {command[0]} {' '.join(command[1:])}: {why}",
        hint=INSTALL_TOOLS if recipes.is_macos() else "https://www.swift.org/install",
    )


def _for_users(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _NOT_PASSED}


# Running it.


def run(
    command: Sequence[str],
    *,
    log: Path,
    stdout: Path | None = None,
    timeout_s: float,
    progress: Callable[[str], None],
    started: Callable[[psutil.Process], None] = lambda _process: None,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a program to its end, and return its exit status. None of its processes stay.

    Args:
        command: the program and its arguments.
        log: its output is appended to this file.
        stdout: a file for its stdout instead.
        timeout_s: its time limit.
        progress: called several times a second with the last line of the log.
        started: called with the process that leads the session.
        environment: all its variables; the tool's own by default.

    Raises:
        BuildTimeoutError: it took longer.
        OSError: it cannot be started, or the log cannot be written.
    """
    until = time.monotonic() + timeout_s
    variables = _for_users(os.environ if environment is None else environment)
    import psutil  # not at the top: listing installations must be cheap

    with (
        log.open("ab") as stream,
        (stdout or log).open("wb" if stdout else "ab") as output,
        interrupts.held_back(),  # an unregistered process could not be killed
    ):
        process = _started(command, output, stream, variables)
        try:
            with interrupts.released():
                started(psutil.Process(process.pid))
                while process.poll() is None:
                    progress(last_line(log))
                    if time.monotonic() > until:
                        raise BuildTimeoutError(f"not finished after {timeout_s:.0f} s")
                    _wait(process, _LOOK_EVERY_S)
        finally:
            end_session(process.pid)
            _wait(process, _END_GRACE_S)
    return process.returncode


def _started(
    command: Sequence[str], stdout: BinaryIO, stderr: BinaryIO, variables: dict[str, str]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        env=variables,
        start_new_session=True,
    )


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return


def end_session(leader: int) -> None:
    """End every process of a session; only the leader gets some seconds to clean up."""
    if _alive(leader):
        with contextlib.suppress(ProcessLookupError):
            os.kill(leader, signal.SIGINT)  # SwiftPM then stops its compilers
        until = time.monotonic() + _END_GRACE_S
        while _alive(leader) and time.monotonic() < until:
            time.sleep(_SWEEP_PAUSE_S)
    import psutil

    for _ in range(_SWEEPS):
        if not (members := list(_session(leader))):
            return
        for each in members:
            try:
                each.kill()
            except psutil.Error:
                continue
        time.sleep(_SWEEP_PAUSE_S)


def _alive(pid: int) -> bool:
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _session(leader: int) -> Iterator[psutil.Process]:
    import psutil

    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (OSError, psutil.Error):
            continue


def tail(log: Path, start: int = 0, *, size: int = _TAIL_BYTES) -> list[str]:
    """The last non-empty lines of a log, without secrets.

    Args:
        log: the file.
        start: offset of the first line in bytes; earlier lines are ignored.
        size: most bytes to read.
    """
    try:
        with log.open("rb") as stream:
            begin = max(start, stream.seek(0, os.SEEK_END) - size)
            stream.seek(begin)
            if begin > start:  # keep whole lines: half a secret would not be recognized
                stream.readline()
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    return [line for each in scrub(text).splitlines() if (line := each.strip())]


def last_line(log: Path) -> str:
    """The last line of a log, perhaps empty."""
    return next(reversed(tail(log, size=_LINE_BYTES)), "")
