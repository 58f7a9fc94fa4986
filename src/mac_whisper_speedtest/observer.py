"""What this tool reports while it works, and to whom: terminal, JSON logs, scripts, tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mac_whisper_speedtest.results.schema import Event
    from mac_whisper_speedtest.weights.check_models import CheckRow
    from mac_whisper_speedtest.weights.revisions import HubFile


class Observer:
    """Override what is of interest; every method does nothing by default.

    Nothing is reported while something is timed, except by `slow` and `log`: those should do
    little.
    """

    def notify(self, text: str) -> None:
        """Something that may take long is about to begin, or has to be known."""

    def level(self, dbfs: float) -> None:
        """How loud the microphone's last block was, in dB below full scale."""

    # A run.

    def visit(self, number: int, rounds: int, cell: str) -> None:
        """A cell begins the round ``number``, counted from 0; ``rounds`` are planned."""

    def status(self, text: str) -> None:
        """A few words before each stage of a worker."""

    def event(self, event: Event) -> None:
        """A line that the journal has got."""

    def slow(self, stage: str, waited_s: float, limit_s: float) -> None:
        """A third of a stage's deadline has passed; once per stage."""

    def log(self, level: str, message: str) -> None:
        """A worker said something, or does not run as requested."""

    # Checks of weights.

    def reading(self, done: int, total: int) -> None:
        """So many bytes of all that are hashed have been; from several threads."""

    def loading(self, row: CheckRow) -> None:
        """These weights are about to be loaded."""

    # Downloads of weights. Every byte is counted once.

    def download_started(self, files: Sequence[HubFile]) -> None:
        """These files are fetched now, one after the other."""

    def downloaded(self, file: HubFile, bytes_here: int) -> None:
        """So many bytes of the file are on this machine; never more than its size."""

    def download_ended(self) -> None:
        """All files are here, or it was given up."""

    def close(self) -> None:
        """Nothing more is reported."""
