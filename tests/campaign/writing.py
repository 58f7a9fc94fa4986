"""A tool that writes runs and keeps an index, and dies where it is told to.

    python writing.py write|index|whole POINT

It tells on stdout, line by line, what it had promised: a sample is finished when its line in the
journal has been synced. POINT is which call into the operating system or the database it does not
come to; 0: it comes to all of them, and says how many there were.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from types import FrameType
from typing import Any

from fakes.runs import TWO, run_of
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.journal import Journal
from mac_whisper_speedtest.store import maintenance
from mac_whisper_speedtest.store.index import open_index
from mac_whisper_speedtest.summary.summarize import summarize

_MODULES = {"posix", "fcntl", "_io", "_sqlite3"}


class Death:
    """Counts the calls that change something outside of this process; the last is not made."""

    def __init__(self, point: int) -> None:
        self.point = point
        self.count = 0

    def __call__(self, _frame: FrameType, event: str, called: Any) -> None:
        if event != "c_call":
            return
        owner = getattr(called, "__self__", None)
        known = getattr(called, "__module__", None) in _MODULES
        if not known and not isinstance(owner, sqlite3.Connection | sqlite3.Cursor):
            known = type(owner).__module__ in _MODULES
            if not known:
                return
        self.count += 1
        if self.count == self.point:
            os.kill(os.getpid(), signal.SIGKILL)


def promise(text: str) -> None:
    os.write(1, f"{text}\n".encode())


def write() -> None:
    """A run from its number to its seal."""
    run = directory.create()
    promise(f"created {run.number}")
    with Journal(run.journal_path) as book:
        made = run_of(*TWO, number=run.number, tags=["crash"], rounds=1, passes=1)
        run.write_manifest(made.manifest)
        for event in made.events:
            book.append(event)
            if isinstance(event, s.Sample):
                promise(f"sample {run.number} {event.cell} {event.index}")
    run.seal(summarize(run.replay()))
    promise(f"sealed {run.number}")


def index() -> None:
    """Everything that looks after runs that are there."""
    with open_index() as opened:
        opened.refresh(everything=True)
    for run in directory.every():
        if not run.sealed_path.exists():
            run.seal(summarize(run.replay()))
    maintenance.remove(directory.find("1"))
    promise("removed 1")
    with open_index() as opened:
        assert 1 not in {row.number for row in opened.runs()}


def main() -> None:
    what, point = sys.argv[1], int(sys.argv[2])
    steps = {"write": [write], "index": [index], "whole": [write, index]}[what]
    death = Death(point)
    sys.setprofile(death)
    for step in steps:
        step()
    sys.setprofile(None)
    promise(f"points {death.count}")


if __name__ == "__main__":
    main()
