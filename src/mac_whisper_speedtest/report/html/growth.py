"""How time grows with the audio's length, for runs that measured several lengths."""

from __future__ import annotations

from collections.abc import Iterator

from mac_whisper_speedtest.report.html import cells as named
from mac_whisper_speedtest.report.html import tables
from mac_whisper_speedtest.report.html.cells import summary_of
from mac_whisper_speedtest.report.html.curves import Curve, curves
from mac_whisper_speedtest.report.html.markup import Html, join, tag
from mac_whisper_speedtest.report.html.tables import Column, Row
from mac_whisper_speedtest.report.numbers import MISSING
from mac_whisper_speedtest.results.schema import CellResult, Run


def section(run: Run) -> Html:
    """A drawing and a table per model; empty where only one length was measured."""
    parts: list[str] = []
    for table in named.ranked(run):
        cells = [cell for cell in table.cells if summary_of(cell).duration is not None]
        if not cells:
            continue
        lengths = {each.name: each.seconds for each in table.clip.utterances}
        found = [Curve(named.name_of(cell), list(_points(cell, lengths))) for cell in cells]
        parts += [
            tag("h3", table.title),
            curves(
                f"growth-{table.name}",
                [each for each in found if each.points],
                x_axis="seconds of audio",
                y_axis="seconds of processing",
                title=f"Processing time by length of the audio, {table.title}",
            ),
            _fits(cells, list(lengths), table.title),
            tag("ul", *(tag("li", line) for line in _break_even(cells))),
        ]
    return join(parts)


def _points(cell: CellResult, lengths: dict[str, float]) -> Iterator[tuple[float, float]]:
    fit = summary_of(cell).duration
    for name, seconds in sorted(lengths.items(), key=lambda item: item[1]):
        if fit is not None and name in fit.seconds_by_duration:
            yield seconds, fit.seconds_by_duration[name]


def _fits(cells: list[CellResult], lengths: list[str], title: str) -> Html:
    rows = []
    for cell in cells:
        fit = summary_of(cell).duration
        assert fit is not None
        rows.append(
            Row(
                [
                    named.name_of(cell),
                    named.measured(fit.fixed_s, fit.fixed, ".2f"),
                    named.measured(fit.per_audio_s, fit.per_audio, ".4f"),
                    fit.shape or MISSING,
                    tables.number(fit.window_s, ".3f"),
                    *(tables.number(fit.seconds_by_duration.get(each), ".2f") for each in lengths),
                ]
            )
        )
    headings = ("fixed s", "s per audio s", "grows by", "30 s window s", *lengths)
    columns = [
        Column("backend"),
        *(Column(each, number=each != "grows by") for each in headings),
    ]
    return tables.table(columns, [rows], caption=f"Seconds by length of the audio, {title}")


def _break_even(cells: list[CellResult]) -> Iterator[str]:
    """Each pair once: who wins for short audio, who for long, and where they meet."""
    names = {cell.id: named.name_of(cell) for cell in cells}
    for cell in cells:
        fit = summary_of(cell).duration
        for other, meet in fit.break_even_s.items() if fit else ():
            if meet.wins_below and other in names:
                high = "no end" if meet.high is None else f"{meet.high:.0f} s"
                yield (
                    f"{names[cell.id]} is quicker below {meet.seconds:.0f} s of audio "
                    f"({meet.low:.0f} s to {high}), {names[other]} above."
                )
