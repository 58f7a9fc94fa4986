"""Progress of a run, check or download, as reported to a terminal, JSON log, script or test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mac_whisper_speedtest.hub import HubFile
    from mac_whisper_speedtest.results.schema import Event, Manifest
    from mac_whisper_speedtest.weights.check_models import CheckRow


class Observer:
    """Subclasses override the methods they need; each does nothing by default.

    Only `slow`, `log` and, during a load, `notify` are called while something is timed, so they
    should be fast.
    """

    def notify(self, text: str) -> None:
        """A line for the user: a step that may take long begins, or something went wrong."""

    def level(self, dbfs: float) -> None:
        """The loudness of the microphone's last block, in dB below full scale."""

    def began(self, manifest: Manifest, limit_s: float, past: Sequence[Event]) -> None:
        """A run begins, or is resumed after ``past`` events.

        It ends within ``limit_s`` seconds of measuring, ``inf`` if that is not known.
        """

    def visit(self, number: int, rounds: int, cell: str) -> None:
        """A cell begins the round ``number`` (from 0) of the planned ``rounds``."""

    def status(self, text: str) -> None:
        """A worker begins a stage, described by a few words."""

    def event(self, event: Event) -> None:
        """A line was added to the journal."""

    def slow(self, stage: str, waited_s: float, limit_s: float) -> None:
        """A third of a stage's deadline has passed; reported once per stage."""

    def log(self, level: str, message: str) -> None:
        """A worker's log line, or a difference between its settings and the requested ones."""

    def reading(self, done: int, total: int) -> None:
        """``done`` of ``total`` bytes of weights are hashed; called from several threads."""

    def loading(self, row: CheckRow) -> None:
        """These weights are about to be loaded."""

    def download_started(self, files: Sequence[HubFile]) -> None:
        """The download of these files begins, one after the other."""

    def downloaded(self, file: HubFile, bytes_here: int) -> None:
        """``bytes_here`` bytes of the file are on this machine."""

    def download_ended(self) -> None:
        """The download has finished or failed."""

    def close(self) -> None:
        """The last report."""
