"""The rows of the tables: what a column's path begins at."""

from __future__ import annotations

from dataclasses import dataclass

from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.comparable import Comparable


@dataclass(frozen=True, slots=True)
class CellRow:
    """A cell and the run that it is of.

    Attributes:
        run: with summaries.
        cell: one of its cells.
        comparable: what the run can be compared by.
        comparable_key: its key.
    """

    run: s.Run
    cell: s.CellResult
    comparable: Comparable
    comparable_key: str

    @property
    def network_sha256(self) -> str | None:
        """The hash of the network, whatever form its file has."""
        return comparable.network_sha256(self.cell.model.weights)

    @property
    def recordings(self) -> int:
        """How many recordings the cell transcribes."""
        return len(self.cell.clip.utterances) or 1

    @property
    def deviations(self) -> list[str]:
        """The settings in which other work was done than the contract asks for."""
        return sorted({each.setting for each in self.cell.contract.deviations})

    @property
    def findings(self) -> list[str]:
        """What a reader must know beside the number."""
        found = self.cell.summary.findings if self.cell.summary else []
        return [f"{each.kind}: {each.message}" for each in found]

    @property
    def failure(self) -> s.EndingResult | None:
        """The first ending that is not ``ok``."""
        return next((each for each in self.cell.endings if each.status != "ok"), None)


@dataclass(frozen=True, slots=True)
class SampleRow(CellRow):
    """One transcription.

    Attributes:
        sample: one of the cell's samples.
        audio_s: duration of what it transcribed; ``None`` where no recording has its name.
        counted: whether its time is in medians and intervals.
    """

    sample: s.SampleResult
    audio_s: float | None
    counted: bool


@dataclass(frozen=True, slots=True)
class UtteranceRow(CellRow):
    """One recording's errors.

    Attributes:
        score: one of the cell's scores.
        recording: what was scored; ``None`` where no recording has its name.
    """

    score: s.UtteranceScore
    recording: s.UtteranceInfo | s.ClipInfo | None
