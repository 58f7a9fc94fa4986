"""Calling uv: quietly or on the terminal, with failures in one sentence."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from mac_whisper_speedtest.errors import SpeedtestError, StorageError
from mac_whisper_speedtest.privacy import scrub

_LAST_LINES = 6
NO_INDEX = "UV_NO_INDEX"
"""Stands for pip's ``no-index``. uv has an option of that name, but reads no variable for it."""

_FULL_DISK = re.compile(r"no space left on device|os error 28\b|disk quota exceeded", re.IGNORECASE)


def call(
    *arguments: str | Path, environment: Mapping[str, str] | None = None, visible: bool = False
) -> str:
    """Run uv and return what it printed.

    Args:
        arguments: of uv; its own configuration files are not read.
        environment: variables for it, weaker than those that the user has set.
        visible: let it write its progress to this program's stderr, which should be a terminal.

    Raises:
        StorageError: the disk became full.
        SpeedtestError: it ended with another status than 0.
    """
    import uv

    quiet = [] if visible else ["--quiet"]
    variables = {**(environment or {}), **os.environ}
    words = [str(each) for each in arguments]
    if words[0] == "pip" and variables.get(NO_INDEX):
        words.append("--no-index")
    # Waited for in a call that kills it when this process is interrupted.
    done = subprocess.run(
        [uv.find_uv_bin(), "--no-config", *quiet, *words],
        stdout=subprocess.PIPE,
        stderr=None if visible else subprocess.PIPE,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=variables,
    )
    if done.returncode == 0:
        return done.stdout
    said = scrub(done.stderr or "")
    if _FULL_DISK.search(said):
        raise StorageError(
            "the disk became full while uv was installing",
            hint="free some space, and call this again: what was fetched is kept in uv's cache",
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = " / ".join(lines[-_LAST_LINES:])
    why = last or ("see above" if visible else f"status {done.returncode}")
    raise SpeedtestError(
        f"uv {arguments[0]} failed: {why}",
        hint="check the connection to your package index, and the free disk space",
    )


def version() -> str:
    """The version of uv."""
    from importlib import metadata

    return metadata.version("uv")
