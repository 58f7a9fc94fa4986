"""Sections besides the numbers: findings, failures, omitted recordings, the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.report.html.page import Limits, render
from mac_whisper_speedtest.report.tables import Field, ReportTable, TableColumn, TableRow
from mac_whisper_speedtest.results.cells import (
    MISSING,
    OK,
    counted,
    labels_of,
    setting_text,
    summary_of,
)
from mac_whisper_speedtest.results.schema import CellResult, LeftOutInfo, Run

_ABSENT = "unavailable"


def findings_section(run: Run, limits: Limits) -> Markup:
    """One line per finding, by cell."""
    labels = labels_of(run.cells)
    cells = [
        (
            labels[cell.id],
            [(each.kind, _scrubbed(each.message, limits.message)) for each in found],
        )
        for cell in run.cells
        if (found := summary_of(cell).findings)
    ]
    return render("findings.html", cells=cells)


@dataclass(frozen=True, slots=True)
class _Failure:
    """How workers of one cell failed; equal failures of several rounds are one."""

    cell: str
    attempt: int
    status: str
    stage: str
    error_class: str
    message: str
    log: str


def failures_section(run: Run, limits: Limits) -> Markup:
    """Every worker that failed, and every planned round that was not run."""
    found = _failures([cell for cell in run.cells if cell.status != _ABSENT], limits)
    labels = labels_of(run.cells)
    absent = _failures([cell for cell in run.cells if cell.status == _ABSENT], limits)
    shown = list(found.items())[: limits.entries]
    total = sum(map(len, found.values()))
    endings = ReportTable(
        (
            *map(TableColumn, ("cell", "rounds", "status", "stage", "error")),
            TableColumn("message", long=True),
        ),
        [[_failure(labels[each.cell], each, rounds) for each, rounds in shown]],
        caption=f"{total} {'ending' if total == 1 else 'endings'} not as planned",
    )
    return render(
        "failures.html",
        outcome=_outcome(run, limits),
        endings=endings if shown else None,
        more=len(found) - len(shown),
        absent=_absent(labels, absent, limits) if absent else None,
        logs=[
            (f"{labels[each.cell]}, {_rounds(rounds)}", each.log)
            for each, rounds in shown
            if each.log.strip()
        ],
    )


def _absent(labels: Mapping[str, str], found: Iterable[_Failure], limits: Limits) -> ReportTable:
    """What each unavailable cell needs; it is the same in every round."""
    needs = {each.cell: each.message for each in found}
    shown = list(needs.items())[: limits.entries]
    columns = (TableColumn("cell"), TableColumn("why", long=True))
    rows = [TableRow([labels[cell], why or MISSING]) for cell, why in shown]
    return ReportTable(columns, [rows], caption=f"{counted(len(needs), 'cell')} unavailable")


def _outcome(run: Run, limits: Limits) -> str:
    """How an incomplete run ended, and why."""
    outcome = run.manifest.outcome
    if outcome is None or outcome.state == "complete":
        return ""
    words = _scrubbed(outcome.message, limits.message)
    return f"{outcome.state}: {words}" if words else outcome.state


def _failures(cells: Iterable[CellResult], limits: Limits) -> dict[_Failure, list[int]]:
    """Failure → its rounds. A backend that always fails usually fails in the same way."""
    found: dict[_Failure, list[int]] = {}
    for cell in cells:
        for each in cell.endings:
            if each.status == OK and (each.attempt is None or not each.message):
                continue
            messages = filter(None, [each.message, each.weights_found, *each.repaired])
            failure = _Failure(
                cell=cell.id,
                attempt=each.attempt or 0,
                status=each.status,
                stage=each.stage,
                error_class=each.error_class,
                message=_scrubbed("; ".join(messages), limits.message),
                log=_scrubbed(each.log_tail, limits.message),
            )
            found.setdefault(failure, []).append(each.round)
    return found


def _failure(label: str, each: _Failure, rounds: Sequence[int]) -> TableRow:
    attempt = f", attempt {each.attempt + 1}" if each.attempt else ""
    return TableRow(
        [
            label,
            Field(f"{_rounds(rounds)}{attempt}", rounds[0]),
            Field(each.status, badge="good" if each.status == OK else "bad"),
            each.stage or MISSING,
            each.error_class or MISSING,
            each.message or MISSING,
        ]
    )


def _rounds(rounds: Sequence[int]) -> str:
    """Rounds counted from 1: ``round 3``, ``rounds 1–4, 6``."""
    spans: list[list[int]] = []
    for number in sorted(set(rounds)):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    words = [f"{a + 1}" if a == b else f"{a + 1}–{b + 1}" for a, b in spans]
    return f"round{'s' if len(set(rounds)) > 1 else ''} {', '.join(words)}"


def left_out_section(run: Run, limits: Limits) -> Markup:
    """Recordings that were not measured or not scored, and why; empty without any."""
    lists = [
        (
            _left_out(f"{clip.name}: {len(entries)} {what}", entries[: limits.entries], limits),
            max(0, len(entries) - limits.entries),
        )
        for clip in run.manifest.clips
        for what, entries in (("not measured", clip.left_out), ("not scored", clip.unscored))
        if entries
    ]
    return render("left_out.html", lists=lists)


def _left_out(title: str, entries: list[LeftOutInfo], limits: Limits) -> ReportTable:
    columns = (TableColumn("recording"), TableColumn("why", long=True))
    rows = [
        TableRow([clipped(each.name, 120), _scrubbed(each.reason, limits.message)])
        for each in entries
    ]
    return ReportTable(columns, [rows], caption=title, tall=True)


def _scrubbed(text: str, limit: int) -> str:
    """At most ``limit`` characters of ``text``, without secrets.

    Little more than the shown part is searched for secrets, enough that none is cut in half;
    searching all of a huge text would take minutes.
    """
    searched = text[: 2 * limit + 1000]
    clean = scrub(searched)
    if len(searched) == len(text):
        return clipped(clean, limit)
    return f"{clean[:limit]}… ({len(text) - limit} characters more)"


# Equal work: requested and effective settings.

_NAME = "name"


def contract_section(run: Run, limits: Limits) -> Markup:
    """The requested settings, every cell's effective ones, and the adapters' remarks."""
    requested = run.manifest.request.contract
    settings = [setting for setting in requested if setting != _NAME]
    columns = [
        TableColumn("cell", sortable=False),
        *(TableColumn(each.replace("_", " "), sortable=False) for each in settings),
        TableColumn("read back from the library", sortable=False, long=True),
    ]
    first = TableRow(
        [
            Field(f"requested ({requested.get(_NAME, MISSING)})", element="em"),
            *(setting_text(requested[each], "library's own") for each in settings),
            "",
        ]
    )
    labels = labels_of(run.cells)
    rows = [_row(labels[cell.id], cell, settings) for cell in run.cells if cell.contract.effective]
    return render(
        "contract.html",
        settings=ReportTable(
            columns, [[first], rows], caption="The decode contract", sortable=False
        ),
        silent=[labels[cell.id] for cell in run.cells if not cell.contract.effective],
        findings=[
            (labels[cell.id], clipped(each, limits.message))
            for cell in run.cells
            for each in cell.contract.remarks
        ],
    )


def _row(label: str, cell: CellResult, settings: list[str]) -> TableRow:
    other = {each.setting for each in cell.contract.deviations}
    fields: list[str | Field] = []
    for setting in settings:
        value = cell.contract.effective.get(setting)
        word = setting_text(value)
        promised = cell.contract.declared.get(setting, value)
        if setting in other:
            word = f"≠ {word}"
        if promised != value:
            word = f"{word} (declared: {setting_text(promised)})"
        fields.append(Field(word, class_="other" if setting in other else ""))
    seen = ", ".join(each.replace("_", " ") for each in cell.contract.observed)
    return TableRow([label, *fields, seen or MISSING])
