"""``speedtest check-models``: which weights are present, complete and loadable."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

import click

from mac_whisper_speedtest.cli import options, output
from mac_whisper_speedtest.cli.output import say, size
from mac_whisper_speedtest.errors import ExitCode, UsageError
from mac_whisper_speedtest.observer import Observer
from mac_whisper_speedtest.option import Seconds
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.weights.inspect import WeightsState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mac_whisper_speedtest.backends.backend import Backend
    from mac_whisper_speedtest.weights.check import Cost
    from mac_whisper_speedtest.weights.check_models import (
        CheckRequest,
        CheckRow,
        Report,
    )
    from mac_whisper_speedtest.weights.inspect import CachedCopy


_METHODS = ("auto", "cache-check", "checksum", "load")


@click.command("check-models")
@click.option("--model", "-m", "models", multiple=True, help="Only this model. May be repeated.")
@click.option(
    "--backend",
    "-b",
    "backends",
    multiple=True,
    help="Only this backend: NAME[@VERSION][:PRECISION], or a .toml file. May be repeated.",
)
@click.option(
    "--verify-method",
    "method",
    type=click.Choice(_METHODS),
    default="auto",
    show_default=True,
    help="How closely to look.",
)
@click.option("--load", is_flag=True, help="With auto: also load what is there.")
@click.option(
    "--timeout",
    type=options.Value(Seconds()),
    show_default="by model size",
    help="Time that a load may take.",
)
@click.option("--fresh", is_flag=True, help="Find out again what is remembered of earlier checks.")
@click.option("--verbose", "-v", is_flag=True, help="Every row, every place, every stage's time.")
@options.json_flag
@click.option("--download", is_flag=True, help="Then fetch and make what is missing. Asks first.")
@click.option("--yes", "-y", is_flag=True, help="With --download: do not ask.")
@click.pass_context
def command(  # noqa: PLR0917 - one parameter per option
    ctx: click.Context,
    models: tuple[str, ...],
    backends: tuple[str, ...],
    method: str,
    load: bool,
    timeout: float | None,
    fresh: bool,
    verbose: bool,
    as_json: bool,
    download: bool,
    yes: bool,
) -> None:
    """Check which weights are present, complete and loadable. Downloads only with --download.

    \b
    cache-check  names and sizes: no process, no network, no backend imported
    checksum     also the SHA-256 of every file, remembered while the file stays the same
    load         also has the backend load them, in a worker that reaches no network
    auto         cache-check, then checksum; load where nothing else can tell, or with --load

    What macOS keeps itself is asked of its bridge, except with cache-check.

    \b
    speedtest check-models
    speedtest check-models --model tiny.en --verify-method load
    speedtest check-models --model small --download

    Exit codes: 0 all that can be here is complete; 6 something is missing; 7 something is corrupt;
    8 something is complete and could not be loaded.
    """
    from mac_whisper_speedtest.weights import check as needs
    from mac_whisper_speedtest.weights.check_models import CheckMethod, CheckRequest, check_models

    if yes and not download:
        raise UsageError("--yes is for --download")
    request = CheckRequest(
        backends=tuple(selected(backends)),
        models=_known(models),
        method=CheckMethod(method),
        load=load,
        timeout_s=timeout,
        fresh=fresh,
    )
    observer = progress(sys.stderr)
    report = check_models(request, observer)
    cost = needs.cost(row.check for row in report.rows)
    if download and _downloaded(report, cost, yes=yes):
        report = check_models(request, observer)
        cost = needs.cost(row.check for row in report.rows)
    if as_json:
        output.echo_json(check_as_json(request, report, cost))
    else:
        show_check(report, cost, verbose=verbose, every_row=verbose or bool(models))
    ctx.exit(exit_code(report))


def exit_code(report: Report) -> ExitCode:
    """The worst thing that is known of any row, damage first."""
    from mac_whisper_speedtest.weights.inspect import WeightsState

    states = {row.check.state for row in report.rows}
    outcomes = {str(row.load.outcome) for row in report.rows if row.load is not None}
    if WeightsState.CORRUPT in states:
        return ExitCode.WEIGHTS_CORRUPT
    if outcomes - {"loaded", "not checked"}:
        return ExitCode.NOT_LOADABLE
    if states & {WeightsState.ABSENT, WeightsState.PARTIAL}:
        return ExitCode.WEIGHTS_MISSING
    return ExitCode.OK


def selected(specs: tuple[str, ...]) -> list[Backend]:
    """The backends of those names, all for none. Raises UsageError."""
    from mac_whisper_speedtest.backends import registry

    return registry.select(specs, registry.installed())


def _known(models: tuple[str, ...]) -> tuple[str, ...]:
    from mac_whisper_speedtest import catalog

    return tuple(catalog.model(name).name for name in models)


def _downloaded(report: Report, cost: Cost, *, yes: bool) -> bool:
    """Fetch and make what is missing, if the user agrees; whether anything was done.

    Raises:
        UsageError: --yes was not given and stdin is not a terminal.
    """
    from mac_whisper_speedtest.weights.check_models import make_complete

    makeable = [row for row in report.rows if row.check.can_be_converted]
    if not cost.needs and not makeable:
        output.notify("nothing can be fetched or made")
        return False
    for line in plan(cost, makeable):
        output.notify(line)
    if not options.confirmed(yes=yes, action="download"):
        return False
    make_complete(report, cost, notify=output.notify)
    return True


# How ``check-models`` shows what it found: a table for people, one object for programs.


SCHEMA_VERSION = 1
_STYLES = {
    WeightsState.COMPLETE: "green",
    WeightsState.PARTIAL: "yellow",
    WeightsState.CORRUPT: "bold red",
    WeightsState.ABSENT: "dim",
    WeightsState.UNAVAILABLE: "dim",
    WeightsState.NOT_CHECKABLE: "yellow",
    WeightsState.SYSTEM: "green",
    WeightsState.NOT_KNOWN: "dim",
}
_QUIET = (WeightsState.ABSENT, WeightsState.UNAVAILABLE, WeightsState.NOT_KNOWN)
"""States that share a line for all models of a backend."""


def progress(stream: TextIO) -> Observer:
    """Reports long reads and loads on a terminal; elsewhere only what has to be known."""
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
        return "time not known: nothing was fetched here yet"
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
    """Print the table; what is not there shares a line per backend unless ``every_row``."""
    from rich.table import Table
    from rich.text import Text

    from mac_whisper_speedtest.report.console import output_console
    from mac_whisper_speedtest.weights import check as needs

    console = output_console()
    table = Table(box=None, pad_edge=False)
    with_loads = any(row.load is not None for row in report.rows)
    headings = ["backend", "model", "state", "shown by", "size", *(["load"] if with_loads else [])]
    for heading in headings:
        table.add_column(heading, no_wrap=heading != "load", overflow="fold")
    table.add_column("what, and what next", overflow="fold")
    for row in report.rows:
        check = row.check
        if check.state in _QUIET and not every_row:
            continue
        message = "; ".join(text for text in (*check.problems, needs.advice(check)) if text)
        table.add_row(
            row.backend.label,
            check.info.model,
            Text(check.state, style=_STYLES[check.state]),
            str(check.evidence or ""),
            size(check.chosen.size_bytes) if check.chosen and check.chosen.files else "",
            *([_load_words(row)] if with_loads else []),
            scrub(message) if message else "",
        )
    if table.row_count:
        console.print(table)
    if not every_row:
        for line in _summed_up(report):
            console.print(line, style="dim")
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


def _load_words(row: CheckRow) -> str:
    load = row.load
    if load is None:
        return ""
    words = str(load.outcome)
    if load.outcome == "loaded" and load.seconds is not None:
        words = f"loaded in {load.seconds:.2f} s"
        words += " (remembered)" if row.load_remembered else ""
    return f"{words}: {load.message}" if load.message else words


def _summed_up(report: Report) -> list[str]:
    """One line per backend for what is not there, and one for what cannot be."""
    lines = []
    for state in _QUIET:
        by_backend: dict[str, list[str]] = {}
        for row in report.rows:
            if row.check.state is state:
                by_backend.setdefault(row.backend.label, []).append(row.check.info.model)
        lines += [f"{state}: {name}: {', '.join(of)}" for name, of in by_backend.items()]
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


def check_as_json(request: CheckRequest, report: Report, cost: Cost) -> dict[str, Any]:
    """Everything that was found, for programs; docs/check-models.md lists every field.

    Paths are in it as they are: its caller scrubs it.
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
            else ("nothing was fetched here yet" if cost.known_bytes else "nothing to fetch"),
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


def _row(row: CheckRow) -> dict[str, Any]:
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


def _copy(copy: CachedCopy) -> dict[str, Any]:
    return {
        "where": copy.location.where,
        "path": str(copy.path),
        "for_run": copy.location.for_run,
        "state": str(copy.state),
        "problems": list(copy.problems),
        "remarks": list(copy.remarks),
        "size_bytes": copy.size_bytes,
    }
