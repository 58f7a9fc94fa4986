"""The tables of a run on the terminal, and the notes under them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from rich.console import RenderableType
from rich.text import Text

from mac_whisper_speedtest.errors import ErrorClass
from mac_whisper_speedtest.limits import LONGEST_MESSAGE
from mac_whisper_speedtest.printable import clipped, printable_line
from mac_whisper_speedtest.report import headlines, terminal
from mac_whisper_speedtest.report.console import TextConsole, output_console
from mac_whisper_speedtest.report.figures import duration_table, ranking_table
from mac_whisper_speedtest.results import cells as named
from mac_whisper_speedtest.results.cells import (
    FIRST_GROUP,
    break_even_lines,
    calls_of_process,
    errors_above,
    shown_tables,
    summary_of,
    tables_of,
)
from mac_whisper_speedtest.results.memory import figure_on
from mac_whisper_speedtest.results.schema import CellResult, ClipInfo, Run
from mac_whisper_speedtest.stats import ranking

# Notes.

_MOST_NAMED = 5
"""Omitted recordings that are named."""
_MOST_OF_A_KIND = 2
"""Notes of one kind that are shown in words."""


def _notes(run: Run) -> Iterator[str]:
    """Notes on the whole run."""
    groups = {cell.summary.group for cell in run.cells if cell.summary} - {None}
    if groups - {FIRST_GROUP}:
        yield "Lines separate groups of equal work; each group is ranked separately."
    yield from _ranking(run)
    figure, calls = figure_on(run.manifest.machine.os), calls_of_process(run)
    if any(cell.summary and cell.summary.peak_memory_bytes for cell in run.cells):
        heading = f"{figure.heading} MB".capitalize().replace("mb", "MB")
        yield (
            f"{heading} is the {figure.words} of a process after up to {calls} calls; more calls "
            "may need more."
        )
    elif any(cell.samples for cell in run.cells):
        yield f"Peak memory was not measured: {figure.missing}."
    if run.decisions and run.decisions[-1].reason:
        yield f"The run ended because {run.decisions[-1].reason}."
    for clip in run.manifest.clips:
        yield from _left_out(clip)
        yield from _without_text(clip)


def _ranking(run: Run) -> Iterator[str]:
    """The margin, ties and missing intervals, if there are at least two cells to rank."""
    sound = [cell.summary for cell in run.cells if cell.summary and cell.summary.group is not None]
    ranked = [each for each in sound if each.rank is not None]
    if len(ranked) < 2:
        if len(sound) > len(ranked):
            yield "Ranks need at least 3 rounds, confidence intervals 6: add --rounds 6"
        return
    noise, margin = run.manifest.noise, run.manifest.request.margin
    least = f"{ranking.MARGIN * 100:g} %"
    if margin is not None:
        yield f"Differences below {margin:.1%} are not ranked (--margin)."
    elif noise is None:
        yield (
            f"Differences below {least} are not ranked. This machine's noise floor is unknown; "
            "measure it with: speedtest noise"
        )
    elif noise.floor > ranking.MARGIN:
        yield (
            f"Differences below {noise.floor:.1%} are not ranked: identical cells differ by that "
            f"much on this machine ({noise.backend} against itself, {noise.rounds} rounds)."
        )
    else:
        yield f"Differences below {least} are not ranked; the noise floor is {noise.floor:.1%}."
    yield from headlines.detectable(run.cells)
    tied = [each for each in ranked if each.rank_last != each.rank]
    without = [each for each in ranked if each.rtfx_bounds is None]
    if tied:
        yield "Ranks such as 1–3 are ties; more --rounds may separate them."
    if without:
        yield "Intervals of speeds need at least 6 rounds, those of comparisons 3 (--rounds)."


def _left_out(clip: ClipInfo) -> Iterator[str]:
    for what, entries in (("not measured", clip.left_out), ("not scored", clip.unscored)):
        for each in entries[:_MOST_NAMED]:
            yield f"{clip.name}: {what}: {each.name}: {each.reason}"
        if len(entries) > _MOST_NAMED:
            yield f"{clip.name}: {what}: {len(entries) - _MOST_NAMED} more; --json lists them"


def _without_text(clip: ClipInfo) -> Iterator[str]:
    """How to provide missing reference texts; cuts of a recording cannot have any."""
    named_already = {each.name for each in clip.unscored}
    without = [
        each
        for each in clip.recordings
        if each.reference is None and each.name not in named_already
    ]
    if not without or clip.kind == "durations":
        return
    if not clip.utterances:
        yield (
            f"No word error rate, because {clip.name} has no reference text. To score this run: "
            "speedtest score RUN --reference-text FILE. For later runs, put a .txt of the same "
            "name beside the recording, or add --reference-text."
        )
        return
    total = len(clip.utterances)
    if len(without) == total:
        found = f"No word error rate, because none of the {total} recordings of {clip.name} has a"
    else:
        given = total - len(without)
        found = f"The word error rate is of {given} of the {total} recordings of {clip.name} with a"
    yield (
        f"{found} reference text. Put a .txt of the same name beside a recording, or "
        '"text" into its line of the manifest.'
    )


def _cell_notes(cell: CellResult, labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Each note's kind and its text."""
    summary = cell.summary
    if summary is not None:
        found = summary.accuracy
        if summary.fast_but_wrong and found is not None:
            against = (found.against or "").partition("/")[0]
            words = errors_above(found, labels.get(found.against or "", against))
            yield (
                named.FAST_BUT_WRONG,
                f"{words}; {found.how}. See: speedtest diff RUN {against} {cell.backend.name}",
            )
        if found is not None and found.languages:
            rates = ", ".join(
                f"{each.language or 'language unknown'} {named.percent(each.rate)}"
                for each in found.languages
            )
            yield f"{found.metric.upper()} by language", rates
        for finding in summary.findings:
            yield finding.kind, finding.message
    for ending in cell.endings:
        if ending.status not in {"ok", "skipped"}:
            stage = f" in {ending.stage}" if ending.stage else ""
            yield f"{ending.status}{stage}", ending.message
        elif ending.error_class in {ErrorClass.INTERRUPTED, ErrorClass.STOPPED}:
            yield "skipped", ending.message
    if cell.contract.effective and not cell.contract.deviations:
        for remark in cell.contract.remarks:
            yield "remark", remark


_BRIEF = ("rank", "backend", "RTFx", "× best", "WER", "peak MB", "status")
"""Columns that every terminal shows."""
_MORE = ("device", "median s", "min–max s", "load s", "first s", "contract")
"""Columns that are shown if there is room, the most important first."""
_OPTIONAL = (
    *("first segment s", "cold load s", "warm load s", "cores", "device MB", "J/h audio"),
    "allocator MB",
)
"""Likewise, figures that not every machine and backend reports."""
_BOUNDED = ("RTFx", "× best")
"""Columns that keep their intervals in a narrow table, the most important first."""
_NAMING = 2
"""How many columns name a row."""


def show_run(
    run: Run, *, saved_as: str = "", wide: bool = False, console: TextConsole | None = None
) -> None:
    """Print the run; see :func:`~mac_whisper_speedtest.report.console.output_console`.

    Args:
        run: the run to show.
        saved_as: its name for ``speedtest show``.
        wide: print all columns, in several tables if the console is too narrow for one.
        console: where to print.
    """
    console = output_console(console)
    for part in _parts(run, saved_as, console, wide=wide):
        console.print(part)


def _parts(
    run: Run, saved_as: str, console: TextConsole, *, wide: bool
) -> Iterator[RenderableType]:
    """For each model and clip the answer in words and a table, then the notes."""
    found = tables_of(run.cells)
    left_out: list[str] = []
    for number, table in enumerate(shown_tables(run)):
        ranking = ranking_table(run, table, (*_BRIEF, *_MORE, *_OPTIONAL)).without_empty(_OPTIONAL)
        if number:
            yield Text()
        yield Text(ranking.caption, style="bold")
        if any(summary_of(cell).group is not None for cell in table.cells):
            yield terminal.lines(headlines.answers(table), console)
        shown = terminal.most_important(
            replace(ranking, caption=""),
            console,
            least=len(_BRIEF),
            bounded=_BOUNDED,
            naming=_NAMING,
            wide=wide,
        )
        yield from shown.parts
        left_out += shown.left_out
    for table in found:
        cells = [cell for cell in table.cells if summary_of(cell).duration is not None]
        if cells:
            yield from terminal.fitted(duration_table(cells, table.names), console)
            yield terminal.lines(break_even_lines(cells, table.names), console)
    command = f"speedtest show {saved_as or 'RUN'} --wide"
    if notes := _grouped(run, "" if wide else command):
        yield terminal.lines(notes, console)
    if footer := _footer(run, saved_as):
        yield terminal.lines([footer], console, indent="", style="dim")
    if line := terminal.not_shown(left_out, command, console):
        yield line


def _grouped(run: Run, command: str) -> list[str]:
    """The notes of the run; equal notes of several cells are one line.

    Args:
        run: the run to show.
        command: shows all notes. If many cells have notes of one kind, only the first is printed
            here, and this command is named for the others; if empty, all are printed.
    """
    labels = named.labels_of(run.cells)
    by_kind: dict[str, dict[str, list[str]]] = {}
    for cell in run.cells:
        for kind, text in dict.fromkeys(_cell_notes(cell, labels)):
            by_kind.setdefault(kind, {}).setdefault(text, []).append(labels[cell.id])
    notes = list(_notes(run))
    for kind, texts in by_kind.items():
        lines = [f"{'; '.join(names)}: {kind}: {text}" for text, names in texts.items()]
        if command and len(lines) > _MOST_OF_A_KIND:
            others = dict.fromkeys(name for names in list(texts.values())[1:] for name in names)
            lines[1:] = [f"{'; '.join(others)}: also {kind}; see {command}"]
        notes += lines
    return [printable_line(clipped(line, LONGEST_MESSAGE)) for line in dict.fromkeys(notes)]


def _footer(run: Run, saved_as: str) -> str:
    outcome = run.manifest.outcome
    state = "" if outcome is None or outcome.state == "complete" else f"{outcome.state}: "
    detail = f"{outcome.message}. " if state and outcome and outcome.message else ""
    saved = f"run {saved_as}; speedtest show {saved_as}" if saved_as else ""
    return f"{state}{detail}{saved}"
