"""A run and a comparison as plain HTML tables, which take the style of the notebook they are in."""

from __future__ import annotations

from collections.abc import Sequence

from mac_whisper_speedtest.compare.document import Compared
from mac_whisper_speedtest.export.markup import brief_text
from mac_whisper_speedtest.export.tables import CELLS
from mac_whisper_speedtest.limits import LONGEST_MESSAGE
from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.report import comparison
from mac_whisper_speedtest.report.html.page import render
from mac_whisper_speedtest.results.cells import labels_of
from mac_whisper_speedtest.results.schema import Run


def run_html(run: Run, label: str) -> str:
    """The run's cells, in the columns that are meant for reading, and their findings."""
    brief = CELLS.brief()
    rows = [list(map(brief_text, values)) for values in brief.values([run])]
    outcome = run.manifest.outcome
    state = f" ({outcome.state})" if outcome is not None and outcome.state != "complete" else ""
    labels = labels_of(run.cells)
    findings = [
        clipped(f"{labels[cell.id]}: {finding.kind}: {finding.message}", LONGEST_MESSAGE)
        for cell in run.cells
        for finding in (cell.summary.findings if cell.summary else ())
    ]
    tables = [("", [column.name for column in brief.columns], rows)]
    return _html(f"Run {label}{state}", tables, findings)


def comparison_html(compared: Compared) -> str:
    """The tables that ``speedtest compare`` prints, and its notes."""
    tables = [
        (heading, comparison.HEADINGS, rows)
        for heading, rows in comparison.tables(compared).items()
    ]
    notes = [*comparison.notes(compared), *comparison.outcome(compared)]
    return _html(comparison.title(compared), tables, notes)


def _html(
    heading: str,
    tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[str]]]],
    notes: Sequence[str],
) -> str:
    return str(render("notebook.html", heading=heading, tables=tables, notes=notes))
