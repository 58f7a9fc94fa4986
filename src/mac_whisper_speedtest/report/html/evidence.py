"""What a reader must know beside the numbers: findings, failures, and recordings left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.report.html import cells as named
from mac_whisper_speedtest.report.html import page
from mac_whisper_speedtest.report.html.cells import Limits
from mac_whisper_speedtest.report.html.page import (
    Field,
    Html,
    TableColumn,
    TableRow,
    clipped,
    join,
    tag,
)
from mac_whisper_speedtest.results.cells import MISSING, OK, labels_of, summary_of
from mac_whisper_speedtest.results.schema import CellResult, LeftOutInfo, Run


def findings(run: Run, limits: Limits) -> Html:
    """A line per finding, by cell."""
    labels = labels_of(run.cells)
    parts: list[Html] = []
    for cell in run.cells:
        found = summary_of(cell).findings
        if not found:
            continue
        parts.append(tag("h3", labels[cell.id]))
        parts.append(
            tag(
                "ul",
                *(
                    tag(
                        "li",
                        tag("strong", each.kind),
                        f": {_told(each.message, limits.message)}",
                    )
                    for each in found
                ),
            )
        )
    return join(parts) if parts else tag("p", "Nothing was noticed that the numbers do not say.")


@dataclass(frozen=True, slots=True)
class _Failure:
    """How workers of one cell ended; the same in several rounds is one of these."""

    cell: str
    attempt: int
    status: str
    stage: str
    error_class: str
    message: str
    log: str


def failures(run: Run, limits: Limits) -> Html:
    """Every worker that did not end well, and every planned round that was not run."""
    found = _failures(run, limits)
    outcome = run.manifest.outcome
    parts: list[Html] = []
    if outcome is not None and outcome.state != "complete":
        words = _told(outcome.message, limits.message)
        said = f"{outcome.state}: {words}" if words else outcome.state
        parts.append(tag("p", tag("strong", "The run is not complete. "), said))
    if not found:
        return join([*parts, tag("p", "Every worker ended well.")])
    labels = labels_of(run.cells)
    shown = list(found.items())[: limits.entries]
    total = sum(map(len, found.values()))
    parts.append(
        page.table(
            (
                TableColumn("cell"),
                TableColumn("rounds"),
                TableColumn("status"),
                TableColumn("stage"),
                TableColumn("error"),
                TableColumn("message", long=True),
            ),
            [[_failure(labels[each.cell], each, rounds) for each, rounds in shown]],
            caption=f"{total} {'ending' if total == 1 else 'endings'} not as planned",
        )
    )
    if len(found) > len(shown):
        parts.append(tag("p", f"{len(found) - len(shown)} more stand in the run's own files."))
    logs = [
        tag(
            "details",
            tag("summary", f"Log of {labels[each.cell]}, {_rounds(rounds)}"),
            tag("pre", each.log),
            class_="long",
        )
        for each, rounds in shown
        if each.log.strip()
    ]
    return join([*parts, *logs])


def _failures(run: Run, limits: Limits) -> dict[_Failure, list[int]]:
    """What went wrong → in which rounds. A backend that always fails usually fails alike."""
    found: dict[_Failure, list[int]] = {}
    for cell in run.cells:
        for each in cell.endings:
            if each.status == "ok" and (each.attempt is None or not each.message):
                continue
            said = filter(None, [each.message, each.weights_found, *each.repaired])
            failure = _Failure(
                cell=cell.id,
                attempt=each.attempt or 0,
                status=each.status,
                stage=each.stage,
                error_class=each.error_class,
                message=_told("; ".join(said), limits.message),
                log=_told(each.log_tail, limits.message),
            )
            found.setdefault(failure, []).append(each.round)
    return found


def _failure(label: str, each: _Failure, rounds: Sequence[int]) -> TableRow:
    attempt = f", attempt {each.attempt + 1}" if each.attempt else ""
    return TableRow(
        [
            label,
            Field(f"{_rounds(rounds)}{attempt}", rounds[0]),
            Field(named.badge(each.status, "good" if each.status == OK else "bad"), each.status),
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


def left_out(run: Run, limits: Limits) -> Html:
    """Recordings that were not measured, or not scored, and why; empty where there are none."""
    parts: list[Html] = []
    for clip in run.manifest.clips:
        for what, entries in (("not measured", clip.left_out), ("not scored", clip.unscored)):
            if entries:
                parts.append(_left_out(f"{clip.name}: {len(entries)} {what}", entries, limits))
    return join(parts)


def _left_out(title: str, entries: list[LeftOutInfo], limits: Limits) -> Html:
    rows = [
        TableRow([clipped(each.name, 120), _told(each.reason, limits.message)])
        for each in entries[: limits.entries]
    ]
    made = page.table(
        (TableColumn("recording"), TableColumn("why", long=True)), [rows], caption=title, tall=True
    )
    more = len(entries) - len(rows)
    return join([made, tag("p", f"{more} more stand in the run's own files.") if more else ""])


def _told(text: str, limit: int) -> str:
    """``text`` without secrets, ``limit`` characters of it at most.

    Secrets are looked for in what can be shown and some more, so that none is cut in two and shown
    by half; in all of a text that someone made enormous it would take minutes.
    """
    searched = text[: 2 * limit + 1000]
    clean = scrub(searched)
    if len(searched) == len(text):
        return clipped(clean, limit)
    return f"{clean[:limit]}… ({len(text) - limit} characters more)"


# Equal work: what was asked of every backend, and what each really decoded with.


_NAME = "name"


def contracts_section(run: Run, limits: Limits) -> Html:
    """A row per cell under the row of what was asked for; and everybody's remarks."""
    asked = run.manifest.request.contract
    settings = [setting for setting in asked if setting != _NAME]
    columns = [
        TableColumn("cell", sortable=False),
        *(TableColumn(each.replace("_", " "), sortable=False) for each in settings),
        TableColumn("read back from the library", sortable=False, long=True),
    ]
    wanted = TableRow(
        [
            Field(tag("em", f"asked for ({asked.get(_NAME, MISSING)})")),
            *(_word(asked[each], "library's own") for each in settings),
            "",
        ]
    )
    labels = labels_of(run.cells)
    rows = [_row(labels[cell.id], cell, settings) for cell in run.cells if cell.contract.effective]
    silent = [labels[cell.id] for cell in run.cells if not cell.contract.effective]
    return join(
        [
            tag(
                "p",
                "What is marked ≠ is not what was asked for. Cells with different settings did "
                "different work and are not ranked against each other.",
                class_="quiet",
            ),
            page.table(columns, [[wanted], rows], caption="The decode contract", sortable=False),
            tag("p", f"Nothing was reported by: {', '.join(silent)}.") if silent else "",
            _remarks(run, labels, limits),
        ]
    )


def _row(label: str, cell: CellResult, settings: list[str]) -> TableRow:
    other = {each.setting for each in cell.contract.deviations}
    fields: list[str | Field] = []
    for setting in settings:
        value = cell.contract.effective.get(setting)
        word = _word(value)
        promised = cell.contract.declared.get(setting, value)
        if setting in other:
            word = f"≠ {word}"
        if promised != value:
            word = f"{word} (declared: {_word(promised)})"
        fields.append(Field(word, class_="other" if setting in other else ""))
    seen = ", ".join(each.replace("_", " ") for each in cell.contract.observed)
    return TableRow([label, *fields, seen or MISSING])


def _remarks(run: Run, labels: Mapping[str, str], limits: Limits) -> Html:
    """Differences that no setting expresses."""
    lines = [
        tag("li", tag("strong", labels[cell.id]), f": {clipped(each, limits.message)}")
        for cell in run.cells
        for each in cell.contract.remarks
    ]
    if not lines:
        return Html("")
    return join([tag("h3", "Remarks"), tag("ul", *lines)])


def _word(value: object, nothing: str = MISSING) -> str:
    """A setting for the eye; a ladder of temperatures by its ends."""
    if value is None:
        return nothing
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        ends = [f"{each:g}" for each in value]
        return MISSING if not ends else ends[0] if len(ends) == 1 else f"{ends[0]}…{ends[-1]}"
    return str(value)
