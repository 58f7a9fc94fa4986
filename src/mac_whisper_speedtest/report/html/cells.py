"""A run's cells in a page: the texts of :mod:`~mac_whisper_speedtest.results.cells` as HTML."""

from __future__ import annotations

from dataclasses import dataclass

from mac_whisper_speedtest.report.html.page import Field
from mac_whisper_speedtest.results import cells
from mac_whisper_speedtest.results.cells import MISSING, summary_of
from mac_whisper_speedtest.results.schema import Bounds, CellResult, Summary


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a large run goes into a page.

    Attributes:
        sample_rows: rows of the table of samples; beyond, it has a row per cell and round.
        dots: samples that are drawn; beyond, a cell's rounds are drawn as boxes.
        recordings: recordings of a set whose texts are shown.
        units: words (or characters, where those are counted) of one recording that are aligned.
        message: characters of one message or log.
        entries: recordings that are named as left out, and lines of other long lists.
    """

    sample_rows: int = 1500
    dots: int = 4000
    recordings: int = 20
    units: int = 4000
    message: int = 4000
    entries: int = 200

    def halved(self) -> Limits:
        """Half of everything, but something of each."""
        return Limits(
            sample_rows=self.sample_rows // 2,
            dots=self.dots // 2,
            recordings=max(1, self.recordings // 2),
            units=max(50, self.units // 2),
            message=max(100, self.message // 2),
            entries=max(5, self.entries // 2),
        )


def rank_of(cell: CellResult) -> Field:
    """The cell's rank, sorted by group."""
    summary = summary_of(cell)
    if summary.rank is None:
        return Field(MISSING, "")
    last = summary.rank_last or summary.rank
    return Field(cells.rank_of(cell), f"{summary.group} {summary.rank:03d} {last:03d}")


def measured(value: float | None, bounds: Bounds | None, form: str) -> Field:
    """A figure with its interval under or beside it; sorted by the figure."""
    if value is None:
        return Field(MISSING, "")
    if bounds is None:
        return Field(format(value, form), value)
    interval = cells.range_text(bounds.low, bounds.high, form)
    return Field(format(value, form), value, interval=interval)


def status_of(cell: CellResult) -> Field:
    """How the cell ended, in a word; never by color alone."""
    status = cells.status_of(cell)
    badge = "good" if status == cells.OK else "bad"
    return Field(status, status, badge=badge, note=cells.findings_of(cell))


def error_rate(summary: Summary) -> Field:
    """The corpus rate in per cent; where characters were counted it says so."""
    found = summary.accuracy
    if found is None or found.rate is None:
        return Field(MISSING, "")
    return Field(cells.error_rate_text(found.rate, found.metric), found.rate)
