"""Error rates of a run, and differences between two texts, on the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.report.terminal import output_console, plain_table
from mac_whisper_speedtest.results import cells as named
from mac_whisper_speedtest.results.cells import MISSING, percent
from mac_whisper_speedtest.results.schema import AccuracyResult, CellResult

_STYLES = {"as good": "green", "worse": "bold red", "unclear": "yellow"}


def show_scores(
    cells: Sequence[CellResult],
    found: Mapping[str, AccuracyResult],
    *,
    per_utterance: bool = False,
    console: Console | None = None,
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
        console.print(_table(ranked, found, names))
        for line in dict.fromkeys(_notes(group, ranked, found, names)):
            console.print(Text(f"  {line}"))
        if per_utterance:
            console.print(_utterances(ranked, found, names))


def _order(accuracy: AccuracyResult) -> tuple[bool, float]:
    return accuracy.rate is None, accuracy.rate or 0.0


def _table(
    cells: Sequence[CellResult], found: Mapping[str, AccuracyResult], names: Mapping[str, str]
) -> Table:
    first = cells[0]
    accuracy = found[first.id]
    metric = accuracy.metric.upper()
    unit = "words" if accuracy.metric == "wer" else "characters"
    table = plain_table(f"{first.model.name} on {first.clip.name}, {accuracy.normalizer}")
    table.add_column("backend", overflow="fold")
    headings = [metric, *(["CER"] if accuracy.metric == "wer" else []), f"mean {metric}"]
    headings += ["S", "D", "I", unit, "failed", "Δ points", "interval"]
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict")
    against = _against(cells, found)
    for cell in cells:
        one = found[cell.id]
        own = "reference" if cell.id in against else MISSING
        rates = [one.rate, *([one.cer] if one.metric == "wer" else []), one.mean_rate]
        counts = [one.substitutions, one.deletions, one.insertions, one.reference_words, one.failed]
        table.add_row(
            names[cell.id],
            *(percent(rate, 2) for rate in rates),
            *map(str, counts),
            _points(one.delta),
            _interval(one),
            Text(one.verdict or own, style=_STYLES.get(one.verdict, "")),
        )
    return table


def _notes(
    group: Sequence[CellResult],
    scored: Sequence[CellResult],
    found: Mapping[str, AccuracyResult],
    names: Mapping[str, str],
) -> Iterable[str]:
    against = _against(scored, found)
    if not against:
        yield "No reference backend among them, so none is compared."
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
) -> Table:
    table = plain_table("by utterance, worst first")
    table.add_column("utterance", overflow="fold")
    for cell in cells:
        table.add_column(names[cell.id], justify="right", overflow="fold")
    rows = list(zip(*(found[cell.id].utterances for cell in cells), strict=True))
    rows.sort(key=lambda row: -sum(each.rate or 0.0 for each in row))
    for row in rows:
        shown = ["failed" if each.failed else percent(each.rate, 2) for each in row]
        table.add_row(row[0].name, *shown)
    return table


def _against(cells: Sequence[CellResult], found: Mapping[str, AccuracyResult]) -> set[str]:
    """The id of the reference cell, if there is one."""
    return {one for cell in cells if (one := found[cell.id].against) is not None}


def _points(delta: float | None) -> str:
    return MISSING if delta is None else f"{delta * 100:+.2f}"


def _interval(accuracy: AccuracyResult) -> str:
    if accuracy.delta_low is None or accuracy.delta_high is None:
        return MISSING
    return f"{accuracy.delta_low * 100:+.2f} to {accuracy.delta_high * 100:+.2f}"


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
    title: str, recordings: Sequence[RecordingDiff], *, console: Console | None = None
) -> None:
    """Print differences; on a terminal correct words are green and wrong ones red.

    Args:
        title: what is compared.
        recordings: in order.
        console: by default stdout; lines are not wrapped if it is a pipe.
    """
    console = console or Console()
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
