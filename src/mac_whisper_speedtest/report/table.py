"""The tables of a run on the terminal, and the notes under them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.console import RenderableType
from rich.text import Text

from mac_whisper_speedtest.limits import LONGEST_MESSAGE
from mac_whisper_speedtest.printable import clipped, printable_line
from mac_whisper_speedtest.report.console import TextConsole, output_console
from mac_whisper_speedtest.report.figures import duration_table, ranking_table
from mac_whisper_speedtest.report.terminal import fitted
from mac_whisper_speedtest.results import cells as named
from mac_whisper_speedtest.results.cells import (
    FIRST_GROUP,
    break_even_lines,
    calls_of_process,
    errors_above,
    summary_of,
    tables_of,
)
from mac_whisper_speedtest.results.schema import CellResult, ClipInfo, Run
from mac_whisper_speedtest.stats import ranking

# Notes.

_MOST_NAMED = 5
"""Omitted recordings that are named."""


def _notes(run: Run) -> Iterator[str]:
    """Every failure, deviation and finding, one line each."""
    groups = {cell.summary.group for cell in run.cells if cell.summary} - {None}
    if groups - {FIRST_GROUP}:
        yield "Only cells between two lines are ranked against each other."
    yield from _ranking(run)
    if any(cell.summary and cell.summary.peak_rss_bytes for cell in run.cells):
        calls = calls_of_process(run)
        yield f"Peak MB is that of a process after its {calls} calls; more calls may need more."
    if run.decisions:
        yield f"The run ended because {run.decisions[-1].reason}."
    for clip in run.manifest.clips:
        yield from _left_out(clip)
    labels = named.labels_of(run.cells)
    for cell in run.cells:
        for line in _cell_notes(cell, labels):
            yield f"{labels[cell.id]}: {line}"


def _ranking(run: Run) -> Iterator[str]:
    """The margin, ties and missing intervals, if there are two cells to rank."""
    ranked = [cell.summary for cell in run.cells if cell.summary and cell.summary.rank is not None]
    if len(ranked) < 2:
        return
    noise, margin = run.manifest.noise, run.manifest.request.margin
    least = f"{ranking.MARGIN * 100:g} %"
    if margin is not None:
        yield f"Differences below {margin:.1%} are not ranked (--margin)."
    elif noise is None:
        yield (
            f"Differences below {least} are not ranked. This machine's noise floor is unknown; to "
            "measure it: speedtest noise"
        )
    elif noise.floor > ranking.MARGIN:
        yield (
            f"Differences below {noise.floor:.1%} are not ranked: identical cells differ by that "
            f"much on this machine ({noise.backend} against itself, {noise.rounds} rounds)."
        )
    else:
        yield f"Differences below {least} are not ranked; the noise floor is {noise.floor:.1%}."
    tied = [each for each in ranked if each.rank_last != each.rank]
    without = [each for each in ranked if each.rtfx_bounds is None]
    if tied:
        yield "Ranks such as 1–3 are tied."
    if without:
        yield "Confidence intervals need at least 6 rounds, of comparisons 3; see --rounds."


def _left_out(clip: ClipInfo) -> Iterator[str]:
    for what, entries in (("not measured", clip.left_out), ("not scored", clip.unscored)):
        for each in entries[:_MOST_NAMED]:
            yield f"{clip.name}: {what}: {each.name}: {each.reason}"
        if len(entries) > _MOST_NAMED:
            yield f"{clip.name}: {what}: {len(entries) - _MOST_NAMED} more; see the results"


def _cell_notes(cell: CellResult, labels: Mapping[str, str]) -> Iterator[str]:
    summary = cell.summary
    if summary is not None:
        found = summary.accuracy
        if summary.fast_but_wrong and found is not None:
            against = (found.against or "").partition("/")[0]
            words = errors_above(found, labels.get(found.against or "", against))
            yield (
                f"{named.FAST_BUT_WRONG}: {words}; {found.how}. "
                f"See: speedtest diff RUN {against} {cell.backend.name}"
            )
        for finding in summary.findings:
            yield f"{finding.kind}: {finding.message}"
    for ending in cell.endings:
        if ending.status not in {"ok", "skipped"}:
            stage = f" in {ending.stage}" if ending.stage else ""
            yield f"{ending.status}{stage}: {ending.message}"
        elif ending.error_class in {"Interrupted", "Stopped"}:
            yield f"skipped: {ending.message}"
    if cell.contract.effective and not cell.contract.deviations:
        for remark in cell.contract.remarks:
            yield f"remark: {remark}"


_COLUMNS = (
    *("rank", "backend", "device", "median s", "RTFx", "× best", "WER", "status"),
    *("contract", "min–max s", "load s", "first s", "peak MB"),
)
_OPTIONAL = ("first segment s", "cold load s", "warm load s", "cores", "device MB", "J/h audio")
"""Columns that not every machine and backend reports."""
_NAMING = 2
"""The columns that name a row."""


def show_run(run: Run, *, saved_as: str = "", console: TextConsole | None = None) -> None:
    """Print the run; see :func:`~mac_whisper_speedtest.report.console.output_console`."""
    console = output_console(console)
    for part in _parts(run, saved_as, console):
        console.print(part)


def _parts(run: Run, saved_as: str, console: TextConsole) -> Iterable[RenderableType]:
    """A table per model and clip, best first; then the notes."""
    found = tables_of(run.cells)
    drawn = [
        table
        for table in found
        if run.manifest.request.backends_named
        or any(cell.status != "unavailable" for cell in table.cells)
    ]
    # A model that was not requested and is unavailable needs no table; the notes name it.
    for table in drawn or found:
        ranking = ranking_table(run, table, (*_COLUMNS, *_OPTIONAL)).without_empty(_OPTIONAL)
        yield from fitted(ranking, console, naming=_NAMING)
    for table in found:
        cells = [cell for cell in table.cells if summary_of(cell).duration is not None]
        if cells:
            yield from fitted(duration_table(cells, table.names), console)
            yield from (Text(f"  {line}") for line in break_even_lines(cells, table.names))
    notes = dict.fromkeys(printable_line(clipped(line, LONGEST_MESSAGE)) for line in _notes(run))
    if notes:
        yield Text("\n".join(f"  {line}" for line in notes))
    yield Text(_footer(run, saved_as), style="dim")


def _footer(run: Run, saved_as: str) -> str:
    outcome = run.manifest.outcome
    state = "" if outcome is None or outcome.state == "complete" else f"{outcome.state}: "
    detail = f"{outcome.message}. " if state and outcome and outcome.message else ""
    saved = f"run {saved_as}; speedtest show {saved_as}" if saved_as else ""
    return f"{state}{detail}{saved}"
