"""Error rates of a run, and differences between two texts, on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from mac_whisper_speedtest.report.console import TextConsole, output_console
from mac_whisper_speedtest.report.figures import accuracy_table, references
from mac_whisper_speedtest.report.tables import ReportTable, TableColumn, TableRow, number_columns
from mac_whisper_speedtest.report.terminal import fitted, lines
from mac_whisper_speedtest.results import cells as named
from mac_whisper_speedtest.results.cells import percent
from mac_whisper_speedtest.results.schema import AccuracyResult, CellResult, UtteranceScore


def show_scores(
    cells: Sequence[CellResult],
    found: Mapping[str, AccuracyResult],
    *,
    per_utterance: bool = False,
    console: TextConsole | None = None,
) -> None:
    """Print the error rates of a run's cells, a table per model and speech.

    Args:
        cells: of one run, in its order.
        found: cell id → its accuracy; cells without one are named under the table.
        per_utterance: also print every utterance's rate.
        console: by default stdout.
    """
    console = output_console(console)
    for group in named.by_table(cells):
        scored = [cell for cell in group if cell.id in found]
        if not scored:
            continue
        ranked = sorted(scored, key=lambda cell: _order(found[cell.id]))
        names = named.names_of(group)
        first, accuracy = ranked[0], found[ranked[0].id]
        caption = f"{first.model.name} on {first.clip.name}, {accuracy.normalizer}"
        table = accuracy_table(ranked, found, names, caption=caption)
        # The notes name how each was compared, so the last column is left out.
        for part in fitted(table.with_columns(range(len(table.columns) - 1)), console):
            console.print(part)
        console.print(lines(dict.fromkeys(_notes(group, ranked, found, names)), console))
        if per_utterance:
            for part in fitted(_utterances(ranked, found, names), console):
                console.print(part)


def _order(accuracy: AccuracyResult) -> tuple[bool, float]:
    return accuracy.rate is None, accuracy.rate or 0.0


def _notes(
    group: Sequence[CellResult],
    scored: Sequence[CellResult],
    found: Mapping[str, AccuracyResult],
    names: Mapping[str, str],
) -> Iterable[str]:
    against = references(found[cell.id] for cell in scored)
    if not against:
        yield "None of these is a reference backend, so no error rates are compared."
    for cell in group:
        if cell.id in against:
            yield f"Compared with {names[cell.id]}; a positive difference means more errors."
    same: dict[str, list[str]] = {}
    for cell in scored:
        same.setdefault(found[cell.id].how, []).append(names[cell.id])
    for cell in group:
        if cell.id not in found:
            same.setdefault(f"no text to score ({cell.status})", []).append(names[cell.id])
    for how, backends in same.items():
        if how:
            yield f"{', '.join(backends)}: {how}"


def _utterances(
    cells: Sequence[CellResult], found: Mapping[str, AccuracyResult], names: Mapping[str, str]
) -> ReportTable:
    scores: dict[str, dict[str, UtteranceScore]] = {}
    for cell in cells:
        for each in found[cell.id].utterances:
            scores.setdefault(each.name, {})[cell.id] = each
    worst = sorted(
        scores, key=lambda name: -sum(each.rate or 0.0 for each in scores[name].values())
    )
    shown = [[name, *(_rate(scores[name].get(cell.id)) for cell in cells)] for name in worst]
    return ReportTable(
        [TableColumn("utterance"), *number_columns(*(names[cell.id] for cell in cells))],
        [list(map(TableRow, shown))],
        caption="by utterance, worst first",
    )


def _rate(score: UtteranceScore | None) -> str:
    if score is None:
        return "not reached"
    return "failed" if score.failed else percent(score.rate, 2)


# Two texts side by side, where they differ.

_NOTHING = "∅"
"""Stands for an empty text."""
_GAP = "…"


@dataclass(frozen=True, slots=True)
class SourceText:
    """The words of one source; ``correct`` is ``None`` if the reference is unknown."""

    label: str
    words: str
    correct: bool | None = None


@dataclass(frozen=True, slots=True)
class TextDifference:
    """One difference between texts, with the words around it."""

    before: str
    rows: tuple[SourceText, ...]
    after: str


@dataclass(frozen=True, slots=True)
class RecordingDiff:
    """The differences in one recording; ``notes`` are lines under it."""

    name: str
    differences: tuple[TextDifference, ...]
    notes: tuple[str, ...] = ()


def show_diff(
    title: str, recordings: Sequence[RecordingDiff], *, console: TextConsole | None = None
) -> None:
    """Print differences; on a terminal correct words are green and wrong ones red.

    Args:
        title: names what is compared.
        recordings: in order.
        console: by default stdout; lines are not wrapped if it is a pipe.
    """
    console = console or TextConsole()
    wrap = console.is_terminal
    console.print(Text(title, style="bold"), soft_wrap=not wrap)
    for recording in recordings:
        if recording.name:
            console.print(Text(f"\n{recording.name}", style="bold"), soft_wrap=not wrap)
        for each in recording.differences:
            console.print()
            width = max(len(row.label) for row in each.rows)
            for row in each.rows:
                console.print(_line(each, row, width), soft_wrap=not wrap)
        for note in recording.notes:
            console.print(Text(f"  {note}"), soft_wrap=not wrap)


def _line(difference: TextDifference, row: SourceText, width: int) -> Text:
    line = Text(f"  {row.label:<{width}}  ")
    line.append(f"{_GAP} {difference.before} " if difference.before else "", style="dim")
    style = {None: "bold", True: "bold green", False: "bold red"}[row.correct]
    # A pipe has no color, hence the brackets.
    line.append(f"[{row.words or _NOTHING}]", style=style)
    line.append(f" {difference.after} {_GAP}" if difference.after else "", style="dim")
    if row.correct is not None:
        line.append("  right" if row.correct else "  wrong", style=style)
    return line
