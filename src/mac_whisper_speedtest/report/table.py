"""The tables of a run on the terminal, and the notes under them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rich.console import Console, JustifyMethod, RenderableType
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.printable import printable_line
from mac_whisper_speedtest.report.terminal import output_console, plain_table
from mac_whisper_speedtest.results import cells as named
from mac_whisper_speedtest.results.cells import (
    FIRST_GROUP,
    MISSING,
    CellTable,
    break_even_lines,
    by_table,
    counted,
    measured_amount,
    number_text,
    range_text,
    summary_of,
    tables_of,
    with_bounds,
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
        if summary.fast_but_wrong and summary.accuracy is not None:
            yield from _wrong(cell, labels)
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


def _wrong(cell: CellResult, labels: Mapping[str, str]) -> Iterator[str]:
    """Why a cell is ranked separately as fast but wrong."""
    assert cell.summary is not None
    found = cell.summary.accuracy
    assert found is not None
    if found.delta is None or found.delta_low is None or found.delta_high is None:
        return
    against = (found.against or "").partition("/")[0]
    yield (
        f"{named.FAST_BUT_WRONG}: {found.metric.upper()} is {found.delta * 100:.1f} points "
        f"({found.delta_low * 100:.1f} to {found.delta_high * 100:.1f}) above that of "
        f"{labels.get(found.against or '', against)}; "
        f"{found.how}. See: speedtest diff RUN {against} {cell.backend.name}"
    )


# How time grows with the length of the audio.


def _duration_tables(run: Run) -> Iterator[Table | Text]:
    """Per model: fixed cost, seconds per audio second, and the time of every length."""
    for group in by_table(run.cells):
        cells = [cell for cell in group if cell.summary is not None and cell.summary.duration]
        if not cells:
            continue
        names = named.names_of(group)
        yield _duration_table(cells, names)
        lines = [f"  {line}" for line in break_even_lines(cells, names)]
        if lines:
            yield Text("\n".join(lines))


def _duration_table(cells: Sequence[CellResult], names: Mapping[str, str]) -> Table:
    lengths = [each.name for each in cells[0].clip.utterances]
    table = plain_table(f"{cells[0].model.name}: seconds by length of the audio")
    table.add_column("backend")
    for heading in ("fixed s", "s per audio s", "grows by", "30 s window s", *lengths):
        table.add_column(heading, justify="right", no_wrap=True)
    for cell in cells:
        assert cell.summary is not None
        fit = cell.summary.duration
        assert fit is not None
        table.add_row(
            names[cell.id],
            with_bounds(fit.fixed_s, fit.fixed, ".2f"),
            with_bounds(fit.per_audio_s, fit.per_audio, ".4f"),
            fit.shape or MISSING,
            number_text(fit.window_s, ".3f"),
            *(number_text(fit.seconds_by_duration.get(each), ".2f") for each in lengths),
        )
    return table


_ANY_WIDTH = 1000

_Show = Callable[[CellTable, CellResult], str | Text]
_Column = tuple[str, JustifyMethod, _Show]


def show_run(run: Run, *, saved_as: str = "", console: Console | None = None) -> None:
    """Print the run; see :func:`~mac_whisper_speedtest.report.terminal.output_console`."""
    console = output_console(console)
    for part in _parts(run, saved_as, console):
        console.print(part)


def _parts(run: Run, saved_as: str, console: Console) -> Iterable[RenderableType]:
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
        heading = _title(run, table)
        for columns in _packed(table, console):
            yield _table(table, columns, heading)
            heading = ""
    yield from _duration_tables(run)
    notes = dict.fromkeys(map(printable_line, _notes(run)))
    if notes:
        yield Text("\n".join(f"  {line}" for line in notes))
    yield Text(_footer(run, saved_as), style="dim")


def _packed(table: CellTable, console: Console) -> list[list[_Column]]:
    """All columns, split over as many tables as the console's width requires.

    Every table begins with rank and name and has all rows.
    """
    packed: list[list[_Column]] = []
    for column in (*_RANKING, *_DETAILS, *_optional_columns(table.cells)):
        if not packed:
            packed.append([])
        wider = _table(table, [*packed[-1], column], "")
        natural = console.measure(wider, options=console.options.update_width(_ANY_WIDTH)).maximum
        if natural > console.width and len(packed[-1]) > len(_NAMING):
            packed.append([*_NAMING])
        packed[-1].append(column)
    return packed


def _title(run: Run, table: CellTable) -> str:
    request = run.manifest.request
    info = next(each for each in run.manifest.clips if each.name == table.clip.name)
    audio = f"{info.seconds:.1f} s"
    if info.utterances:
        what = "lengths" if info.kind == "durations" else "utterances"
        audio = f"{len(info.utterances)} {what}, {audio}"
    measured = measured_amount(run, whole_set=bool(info.utterances))
    return (
        f"{table.title} ({audio}), contract {request.contract['name']}, "
        f"{measured}, {counted(request.threads, 'thread')}"
    )


def _table(table: CellTable, columns: Sequence[_Column], title: str) -> Table:
    drawn = plain_table(title)
    for heading, justify, _ in columns:
        drawn.add_column(heading, justify=justify, overflow="fold", no_wrap=justify == "right")
    for number, group in enumerate(table.groups()):
        if number:
            drawn.add_section()
        for cell in group:
            drawn.add_row(*(_printable(show(table, cell)) for _, _, show in columns))
    return drawn


def _printable(field: str | Text) -> Text:
    return field if isinstance(field, Text) else Text(printable_line(field))


def _status(_table: CellTable, cell: CellResult) -> Text:
    status = named.status_of(cell)
    shown = Text(status, style="green" if status == named.OK else "red")
    findings = named.findings_of(cell)
    if findings:
        shown.append(f" ({findings})", style="yellow")
    return shown


def _contract(_table: CellTable, cell: CellResult) -> Text:
    return Text(named.contract_of(cell), style="yellow" if cell.contract.deviations else "")


def _bounded(name: str, bounds: str) -> _Show:
    """A column with one figure of the summary and its interval."""

    def show(_table: CellTable, cell: CellResult) -> str:
        summary = summary_of(cell)
        return with_bounds(getattr(summary, name), getattr(summary, bounds), ".2f")

    return show


def _figure(name: str, form: str, factor: float = 1.0) -> _Show:
    """A column with one figure of the summary."""
    return lambda _, cell: number_text(getattr(summary_of(cell), name), form, factor)


def _spread(_table: CellTable, cell: CellResult) -> str:
    return range_text(summary_of(cell).min_s, summary_of(cell).max_s, ".3f")


_NAMING: tuple[_Column, ...] = (
    ("rank", "right", lambda _, cell: named.rank_of(cell)),
    ("backend", "left", lambda table, cell: table.names[cell.id]),
)
_RANKING: tuple[_Column, ...] = (
    *_NAMING,
    ("device", "left", lambda _, cell: cell.backend.device or MISSING),
    ("median s", "right", _figure("median_s", ".3f")),
    ("RTFx", "right", _bounded("rtfx", "rtfx_bounds")),
    ("× best", "right", _bounded("times_best", "times_best_bounds")),
    ("WER", "right", lambda _, cell: named.error_rate_of(cell)),
    ("status", "left", _status),
)
_DETAILS: tuple[_Column, ...] = (
    ("contract", "left", _contract),
    ("spread s", "right", _spread),
    ("load s", "right", _figure("load_s", ".2f")),
    ("first s", "right", _figure("first_s", ".3f")),
    ("peak MB", "right", _figure("peak_rss_bytes", ".0f", 1e-6)),
)


_OPTIONAL: tuple[tuple[str, _Column], ...] = (
    ("first_segment_s", ("first segment s", "right", _figure("first_segment_s", ".3f"))),
    ("load_cold_s", ("cold load s", "right", _figure("load_cold_s", ".2f"))),
    ("load_warm_s", ("warm load s", "right", _figure("load_warm_s", ".2f"))),
    ("cores_used", ("cores", "right", _figure("cores_used", ".1f"))),
    ("device_memory_bytes", ("device MB", "right", _figure("device_memory_bytes", ".0f", 1e-6))),
    ("joules_per_audio_hour", ("J/h audio", "right", _figure("joules_per_audio_hour", ".0f"))),
)


def _optional_columns(cells: Sequence[CellResult]) -> list[_Column]:
    """Columns that not every machine and backend reports, if any cell has a value."""
    return [
        column
        for name, column in _OPTIONAL
        if any(getattr(cell.summary, name) is not None for cell in cells)
    ]


def _footer(run: Run, saved_as: str) -> str:
    outcome = run.manifest.outcome
    state = "" if outcome is None or outcome.state == "complete" else f"{outcome.state}: "
    detail = f"{outcome.message}. " if state and outcome and outcome.message else ""
    saved = f"run {saved_as}; speedtest show {saved_as}" if saved_as else ""
    return f"{state}{detail}{saved}"
