"""How ``check-models`` shows what it found: a table for people, one object for programs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TextIO

from mac_whisper_speedtest.cli import output
from mac_whisper_speedtest.cli.output import say, size
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.weights.inspect import WeightsState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mac_whisper_speedtest.cli.documents import CheckDocument, CheckedCopy, CheckedWeights
    from mac_whisper_speedtest.report.tables import ReportTable
    from mac_whisper_speedtest.weights.check import Cost
    from mac_whisper_speedtest.weights.check_models import CheckRequest, CheckRow, Report
    from mac_whisper_speedtest.weights.inspect import CachedCopy


SCHEMA_VERSION = 1
_BADGES = {
    WeightsState.COMPLETE: "good",
    WeightsState.SYSTEM: "good",
    WeightsState.PARTIAL: "warn",
    WeightsState.CORRUPT: "bad",
    WeightsState.NOT_CHECKABLE: "warn",
}
_QUIET = (WeightsState.ABSENT, WeightsState.UNAVAILABLE, WeightsState.NOT_KNOWN)
"""States that share a line for all models of a backend."""


def progress(stream: TextIO) -> Observer:
    """Reports long reads and loads on a terminal; elsewhere only what the user must know."""
    return _CheckProgress(stream) if stream.isatty() else _CheckNotices()


class _CheckNotices(Observer):
    def notify(self, text: str) -> None:
        output.notify(text)


class _CheckProgress(Observer):
    def __init__(self, stream: TextIO) -> None:
        self._line = output.RewrittenLine(stream)
        self._lock = threading.Lock()

    def reading(self, done: int, total: int) -> None:
        with self._lock:
            self._line.progress(f"reading {size(done)} of {size(total)}", done=done >= total)

    def loading(self, row: CheckRow) -> None:
        self._line.write(f"loading {row.check.info.model} in {row.backend.label}\n")

    def slow(self, stage: str, waited_s: float, limit_s: float) -> None:
        self._line.write(f"slow: {stage} has taken {waited_s:.0f} s; it ends at {limit_s:.0f} s\n")

    def notify(self, text: str) -> None:
        self._line.write(f"{text}\n")


def duration(seconds: float | None) -> str:
    """Seconds in words; ``None`` if unknown."""
    if seconds is None:
        return "time not known: no download speed is known yet"
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s at the speed so far"
    return f"about {seconds / 60:.0f} min at the speed so far"


def plan(cost: Cost, makeable: Sequence[CheckRow]) -> list[str]:
    """What ``--download`` is about to do, one line for each thing."""
    lines = [
        f"fetch {need.row.model} ({need.row.format}) from {need.row.place}: "
        f"{size(need.missing_bytes)}"
        for need in cost.needs
    ]
    lines += [
        f"make {row.check.info.weights_format} {row.check.info.precision} of "
        f"{row.check.info.model} here"
        for row in makeable
    ]
    return [*lines, _totals(cost)]


def _totals(cost: Cost) -> str:
    free = f"; {size(cost.free_bytes)} free" if cost.free_bytes is not None else ""
    if not cost.needs:
        return f"nothing to fetch{free}"
    unknown = f" and {cost.unknown} of unknown size" if cost.unknown else ""
    return f"{size(cost.known_bytes)}{unknown} to fetch, {duration(cost.seconds)}{free}"


def show_check(report: Report, cost: Cost, *, verbose: bool, every_row: bool) -> None:
    """Print the table; absent weights share lines unless ``every_row``."""
    from mac_whisper_speedtest.report import terminal
    from mac_whisper_speedtest.report.console import output_console

    shown = [row for row in report.rows if every_row or row.check.state not in _QUIET]
    console = output_console()
    if shown:
        table = terminal.most_important(
            _table(shown), console, least=_MOST_IMPORTANT, spacings=(terminal.CLOSE, terminal.TIGHT)
        )
        for part in table.parts:
            console.print(part)
    lines = list(_messages(shown))
    if not every_row:
        lines += _summed_up(report)
    if lines:
        console.print(terminal.lines(lines, console, indent=""))
    _print_totals(report, cost)
    if verbose:
        _print_places(report)
        for stage, seconds in report.stages_s.items():
            say(f"{stage}: {seconds:.3f} s")
        for row in report.rows:
            if row.seconds is not None:
                say(
                    f"load of {row.check.info.model} in {row.backend.label}, "
                    f"start to end: {row.seconds:.3f} s"
                )


_MOST_IMPORTANT = 5
"""Columns that every terminal shows."""


def _table(rows: Sequence[CheckRow]) -> ReportTable:
    from mac_whisper_speedtest.report.tables import Field, ReportTable, TableColumn, TableRow

    loads = any(row.load is not None for row in rows)
    headings = ["backend", "model", "state", *(["load"] if loads else []), "size", "shown by"]
    made = []
    for row in rows:
        chosen = row.check.chosen
        made.append(
            TableRow(
                [
                    row.backend.label,
                    row.check.info.model,
                    Field(row.check.state, badge=_BADGES.get(row.check.state, "")),
                    *([_load_words(row)] if loads else []),
                    size(chosen.size_bytes) if chosen and chosen.files else "",
                    str(row.check.evidence or ""),
                ]
            )
        )
    return ReportTable([TableColumn(each) for each in headings], [made], caption="")


def _messages(rows: Sequence[CheckRow]) -> Iterator[str]:
    """What is wrong and what to type next, once for all rows that it concerns."""
    from mac_whisper_speedtest.weights import check as needs

    found: dict[str, list[str]] = {}
    for row in rows:
        check, load = row.check, row.load
        words = [*check.problems, needs.advice(check), load.message if load else ""]
        if message := "; ".join(filter(None, words)):
            found.setdefault(scrub(message), []).append(f"{row.backend.label} {check.info.model}")
    for message, names in found.items():
        yield f"{', '.join(names)}: {message}"


def _load_words(row: CheckRow) -> str:
    load = row.load
    if load is None:
        return ""
    words = str(load.outcome)
    if load.outcome == "loaded" and load.seconds is not None:
        words = f"loaded in {load.seconds:.2f} s"
        words += " (remembered)" if row.load_remembered else ""
    return words


def _summed_up(report: Report) -> list[str]:
    """Absent and impossible weights: one line for the backends that lack the same models."""
    lines = []
    for state in _QUIET:
        models: dict[str, list[str]] = {}
        for row in report.rows:
            if row.check.state is state:
                models.setdefault(row.backend.label, []).append(row.check.info.model)
        alike: dict[str, list[str]] = {}
        for backend, names in models.items():
            alike.setdefault(", ".join(names), []).append(backend)
        lines += [f"{state} for {', '.join(of)}: {names}" for names, of in alike.items()]
    return lines


def _print_totals(report: Report, cost: Cost) -> None:
    counts = dict.fromkeys(WeightsState, 0)
    for row in report.rows:
        counts[row.check.state] += 1
    say(", ".join(f"{count} {state}" for state, count in counts.items() if count))
    here = {
        file.path: file.size
        for row in report.rows
        for copy in row.check.copies
        for file in copy.files
    }
    say(f"{size(sum(here.values()))} of weights here; {_totals(cost)}")


def _print_places(report: Report) -> None:
    for row in report.rows:
        for copy in row.check.copies:
            if copy.state is WeightsState.ABSENT and not copy.remarks:
                continue
            message = "; ".join((*copy.problems, *copy.remarks))
            line = f"{row.backend.label} {row.check.info.model}: "
            line += f"{copy.location.where}: {copy.state}: {copy.path}"
            say(scrub(f"{line}: {message}" if message else line))


def check_as_json(request: CheckRequest, report: Report, cost: Cost) -> CheckDocument:
    """Everything that was found, for programs; see ``documents``.

    Its paths are unchanged: the caller scrubs it.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "method": str(request.method),
        "rows": [_row(row) for row in report.rows],
        "totals": {
            str(state): sum(row.check.state is state for row in report.rows)
            for state in WeightsState
        },
        "download": {
            "bytes": cost.known_bytes,
            "of_unknown_size": cost.unknown,
            "seconds": cost.seconds,
            "seconds_reason": None
            if cost.seconds is not None
            else ("no download speed is known yet" if cost.known_bytes else "nothing to fetch"),
            "publications": [
                {
                    "model": need.row.model,
                    "format": need.row.format,
                    "place": need.row.place,
                    "bytes": need.missing_bytes,
                }
                for need in cost.needs
            ],
        },
        "disk": {"free_bytes": cost.free_bytes},
        "stages_s": report.stages_s,
    }


def _row(row: CheckRow) -> CheckedWeights:
    from mac_whisper_speedtest.weights import check as needs

    check, load = row.check, row.load
    return {
        "backend": row.backend.label,
        "model": check.info.model,
        "format": check.info.weights_format,
        "precision": check.info.precision,
        "state": str(check.state),
        "evidence": check.evidence and str(check.evidence),
        "problems": list(check.problems),
        "size_bytes": check.chosen.size_bytes if check.chosen else None,
        "can_be_made_here": check.can_be_converted,
        "next": needs.advice(check),
        "copies": [_copy(copy) for copy in check.copies],
        "load": None
        if load is None
        else {
            "outcome": str(load.outcome),
            "seconds": load.seconds,
            "error_class": load.error_class,
            "message": load.message,
            "hosts": list(load.hosts),
            "version": load.version,
            "network_not_blocked": load.network_not_blocked,
            "remembered": row.load_remembered,
        },
    }


def _copy(copy: CachedCopy) -> CheckedCopy:
    return {
        "where": copy.location.where,
        "path": str(copy.path),
        "for_run": copy.location.for_run,
        "state": str(copy.state),
        "problems": list(copy.problems),
        "remarks": list(copy.remarks),
        "size_bytes": copy.size_bytes,
    }
