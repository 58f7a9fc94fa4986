"""What a person sees while a fleet measures: lines, written when something happens."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from mac_whisper_speedtest.cli.output import RewrittenLine
from mac_whisper_speedtest.fleet.policy import FleetObserver, FleetProgress, length
from mac_whisper_speedtest.printable import printable

if TYPE_CHECKING:
    from mac_whisper_speedtest.fleet.job import Job

_MOST_LINES = 5
"""Lines about nodes, and about jobs that wait, on a terminal."""


def observer(*, quiet: bool) -> FleetObserver:
    """Progress on stderr, or none."""
    return FleetObserver() if quiet else _FleetLines(sys.stderr)


def job_title(job: Job) -> str:
    """A job for people: what is measured, where, and the how-manieth time."""
    models = ", ".join(job.request.get("models", ()))
    backends = ", ".join(job.request.get("backends", ()))
    again = f", repetition {job.repetition + 1}" if job.repetition else ""
    campaign = f", campaign {job.campaign}" if job.campaign else ""
    what = f"{models} ({backends})" if backends else models
    return f"{what} on {', '.join(job.on) or 'any node'}{again}{campaign}"


class _FleetLines(FleetObserver):
    """A few lines that are rewritten on a terminal; one line for each finished job elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line = RewrittenLine(stream)
        self._last: FleetProgress | None = None
        self._waits: Sequence[str] = ()

    def notify(self, text: str) -> None:
        self._permanent(text)

    def ended(self, job: Job, node: str, state: str, reason: str) -> None:
        if state != "done" or reason or not self._line.on_terminal:
            why = f": {reason}" if reason else ""
            self._permanent(f"{state} on {node}: {job_title(job)}{why}")

    def changed(self, progress: FleetProgress) -> None:
        self._last = progress
        if not self._line.on_terminal and progress.waits != self._waits:
            for each in progress.waits:
                self._permanent(each)
        self._waits = progress.waits
        self._show()

    def close(self) -> None:
        self._line.write("")

    def _show(self) -> None:
        if self._last is not None:
            busy = [f"{node} measures" for node in sorted(self._last.busy)]
            self._line.write(*busy[:_MOST_LINES], *self._waits[:_MOST_LINES], summary(self._last))

    def _permanent(self, text: str) -> None:
        self._line.write("")
        self._stream.write(f"{printable(text)}\n")
        self._stream.flush()
        self._show()


def summary(progress: FleetProgress) -> str:
    """How far all is, in one line."""
    parts = [f"{progress.done} of {progress.jobs} jobs"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.cells is not None:
        parts.append(f"{progress.cells_done} of {progress.cells} cells")
    parts.append(f"{len(progress.busy)} of {len(progress.connected)} nodes busy")
    if progress.left_s:
        parts.append(f"about {length(progress.left_s)} left")
    return ", ".join(parts)
