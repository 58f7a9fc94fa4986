"""What a person, or a program reading ``--json-logs``, sees while a run goes on.

A line is written before each stage and nothing during one: no thread draws anything, so nothing
competes with what is being timed.
"""

from __future__ import annotations

import sys
from typing import Protocol, TextIO

from mac_whisper_speedtest.audio.microphone import meter
from mac_whisper_speedtest.cli.json_logs import JsonLines
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run.screen import Screen
from mac_whisper_speedtest.worker.protocol import Stage


class Progress(Protocol):
    """Something that tells of a run's progress."""

    def announce(self, text: str) -> None:
        """Say something that is about to happen before the run, such as a download."""

    def level(self, dbfs: float) -> None:
        """Show how loud the microphone's last block was."""

    def events(self) -> Screen:
        """The callbacks for the run itself."""

    def close(self) -> None:
        """Clean the line up."""


def screen(*, quiet: bool, json_logs: bool) -> Progress:
    """The progress that the options ask for; always on stderr."""
    if json_logs:
        return JsonLines(sys.stderr)
    return _Silent() if quiet else _Lines(sys.stderr)


class _Silent:
    def announce(self, text: str) -> None:
        """A download is announced even when progress is not wanted."""
        print(f"speedtest: {text}", file=sys.stderr, flush=True)  # noqa: T201

    def level(self, dbfs: float) -> None:
        pass

    def events(self) -> Screen:
        return Screen()

    def close(self) -> None:
        pass


class _Lines:
    """One line that is rewritten on a terminal; one line per finished round elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._where = ""
        self._width = 0

    def announce(self, text: str) -> None:
        self._permanent(text)

    def level(self, dbfs: float) -> None:
        if self._live:
            self._rewrite(meter(dbfs))

    def events(self) -> Screen:
        return Screen(visit=self._visit, status=self._status, event=self._event, slow=self._slow)

    def close(self) -> None:
        self._rewrite("")

    def _visit(self, number: int, rounds: int, cell: str) -> None:
        # Rounds that stand in for disturbed ones are numbered after those that were planned.
        place = f"/{rounds}" if number < rounds else " (repeated)"
        self._where = f"round {number + 1}{place}  {cell}"

    def _status(self, text: str) -> None:
        if self._live:
            self._rewrite(f"{self._where}  {text}")

    def _event(self, event: s.Event) -> None:
        if isinstance(event, s.WorkerEnded) and (event.status != "ok" or not self._live):
            said = event.status + (f": {event.message}" if event.message else "")
            self._permanent(f"{self._where}  {said}")

    def _slow(self, _cell: str, stage: Stage, waited: float, limit: float) -> None:
        self._permanent(
            f"{self._where}  slow: {stage} has taken {waited:.0f} s; it is killed at {limit:.0f} s"
        )

    def _permanent(self, text: str) -> None:
        self._rewrite("")
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def _rewrite(self, text: str) -> None:
        if self._live:
            self._stream.write("\r" + text.ljust(self._width) + ("\r" if not text else ""))
            self._stream.flush()
            self._width = len(text)
