"""Temporary folders that go with the tool, and that a later tool sweeps up if they could not."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

from mac_whisper_speedtest import interrupts
from mac_whisper_speedtest.worker import process_tree

_PREFIX = "speedtest-work-"


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder for temporary files; its name says whose it is, should it be left over."""
    own = psutil.Process()
    prefix = f"{_PREFIX}{own.pid}-{own.create_time():.0f}-"
    made = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield made
    finally:
        with interrupts.held_back(then_drop=True):
            shutil.rmtree(made, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of tools that were killed."""
    for leftover in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*-*"):
        with contextlib.suppress(ValueError, OSError):
            pid, started = leftover.name.removeprefix(_PREFIX).split("-")[:2]
            if not process_tree.owner_alive(int(pid), float(started)):
                shutil.rmtree(leftover, ignore_errors=True)
