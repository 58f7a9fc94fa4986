"""Pieces of HTML for notebooks: a run's table, and a comparison. Every text in them is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from mac_whisper_speedtest.compare.document import Compared
from mac_whisper_speedtest.export.tables import CELLS
from mac_whisper_speedtest.report import compared_rows
from mac_whisper_speedtest.results import schema as s


def of_run(run: s.Run, label: str) -> str:
    """The run's cells with the columns for people, and what is to be known of them."""
    brief = CELLS.brief()
    rows = [[_shown(value) for value in values] for values in brief.values([run])]
    outcome = run.manifest.outcome
    state = f" ({outcome.state})" if outcome is not None and outcome.state != "complete" else ""
    notes = [
        f"{cell.backend.name} {cell.model.name}: {finding.kind}: {finding.message}"
        for cell in run.cells
        for finding in (cell.summary.findings if cell.summary else ())
    ]
    heading = f"Run {label}{state}"
    return _piece(heading, [_table([column.name for column in brief.columns], rows)], notes)


def of_comparison(compared: Compared) -> str:
    """The comparison's tables, as ``speedtest compare`` prints them, and its notes."""
    tables = [
        f"<h4>{html.escape(heading)}</h4>" + _table(compared_rows.HEADINGS, rows)
        for heading, rows in compared_rows.tables(compared).items()
    ]
    notes = [*compared_rows.notes(compared), *compared_rows.outcome(compared)]
    return _piece(compared_rows.title(compared), tables, notes)


def _piece(heading: str, tables: Iterable[str], notes: Iterable[str]) -> str:
    told = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
    ends = f"<ul>{told}</ul>" if told else ""
    return f"<div><h3>{html.escape(heading)}</h3>{''.join(tables)}{ends}</div>"


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
