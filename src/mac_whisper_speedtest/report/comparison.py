"""A comparison of two runs: its rows and lines as text, and the same on a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from mac_whisper_speedtest.compare import document as d
from mac_whisper_speedtest.compare.document import Compared
from mac_whisper_speedtest.limits import LONGEST_MESSAGE
from mac_whisper_speedtest.printable import clipped, printable_line
from mac_whisper_speedtest.report.console import PIPE_WIDTH, TextConsole, output_console
from mac_whisper_speedtest.report.tables import Field, ReportTable, TableColumn, TableRow
from mac_whisper_speedtest.report.terminal import lines, most_important, not_shown
from mac_whisper_speedtest.results.cells import (
    LONGEST_FIELD,
    MISSING,
    backend_name,
    error_rate_text,
    interval_text,
    number_text,
    speed_form,
)
from mac_whisper_speedtest.results.memory import FOOTPRINT

# Rows and lines, which every format shows.

HEADINGS = (
    "backend",
    "RTFx",
    "time new ÷ base",
    "speed",
    "accuracy",
    "error rate",
    "same texts",
    "peak MB",
    "J/h audio",
    "load s",
)
BAD = frozenset({"SLOWER", "MORE", "wrong", d.FAILED, d.MISSING, d.FAILED_IN_BOTH})
GOOD = frozenset({"FASTER", "LESS", d.FIXED})
"""Words to highlight."""

_ARROW = "→"


def title(compared: d.Compared) -> str:
    """The two runs, in one line."""
    return f"{run_text(compared.base)} {_ARROW} {run_text(compared.new)}"


def run_text(run: d.RunInfo) -> str:
    """A run's label, tags and start."""
    tags = f" ({', '.join(run.tags)})" if run.tags else ""
    return _plain(f"run {run.label}{tags} of {run.started_at}", LONGEST_FIELD)


def tables(compared: d.Compared) -> dict[str, list[tuple[str, ...]]]:
    """Model and speech → a row per cell, with the columns of :data:`HEADINGS`."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for cell in compared.cells:
        heading = _plain(f"{cell.model} on {cell.clip}", LONGEST_FIELD)
        heading += f" ({cell.audio_s:.1f} s)"
        found.setdefault(heading, []).append(cell_row(cell))
    return found


def cell_row(cell: d.CellChange) -> tuple[str, ...]:
    """One text per heading."""
    return tuple(_plain(field, LONGEST_FIELD) for field in _row(cell))


def _plain(text: str, most: int = LONGEST_MESSAGE) -> str:
    return printable_line(clipped(text, most))


def headline(compared: d.Compared) -> str:
    """Number of cells per verdict."""
    verdicts = [each.speed.verdict for each in compared.cells if each.speed is not None]
    wrong = sum(1 for each in compared.cells if each.accuracy and each.accuracy.verdict == "worse")
    counted = [
        f"{verdicts.count(word)} {word}"
        for word in ("SLOWER", "FASTER", "SAME", "AMBIGUOUS")
        if word in verdicts
    ]
    counted += [f"{wrong} wrong"] if wrong else []
    for state in (d.FAILED, d.FAILED_IN_BOTH, d.MISSING, d.UNMATCHED, d.FIXED, d.ADDED):
        number = sum(1 for each in compared.cells if each.state == state)
        counted += [f"{number} {state}"] if number else []
    return ", ".join(counted)


def outcome(compared: d.Compared) -> list[str]:
    """The findings of ``--fail-on``, one line each; empty without that option."""
    if not compared.fail_on:
        return []
    lines = [f"not decided: {_outcome_line(each)}" for each in compared.undecided]
    if compared.regressions:
        return [*lines, *map(_outcome_line, compared.regressions)]
    asked = ", ".join(compared.fail_on)
    return [*lines, f"{'Nothing else' if lines else 'Nothing'} to fail on ({asked})."]


def _outcome_line(found: d.Regression) -> str:
    return printable_line(f"{found.kind}: {found.cell}: {found.message}")


def notes(compared: d.Compared) -> list[str]:
    """The notes under the numbers; no line twice."""
    return list(dict.fromkeys(map(_plain, _notes(compared))))


def conditions(compared: d.Compared) -> list[tuple[str, str, str, str]]:
    """Name, base, new, whether they differ: the machine's state, then other differences."""
    rows = [*compared.conditions, *compared.facts]
    return [
        (
            _plain(f"{each.name} [{each.unit}]" if each.unit else each.name, LONGEST_FIELD),
            _plain(each.base or MISSING, LONGEST_FIELD),
            _plain(each.new or MISSING, LONGEST_FIELD),
            "differs" if each.differs else "",
        )
        for each in rows
    ]


def _row(cell: d.CellChange) -> Iterator[str]:
    yield _name(cell)
    speed = cell.speed
    if speed is None:
        yield from (MISSING, MISSING, cell.state)
    else:
        both = (1 / speed.base.rtf, 1 / speed.new.rtf)
        yield f" {_ARROW} ".join(number_text(each, speed_form(each)) for each in both)
        ratio = speed.ratio
        yield (
            number_text(speed.new.rtf / speed.base.rtf, ".3f")
            if ratio is None
            else interval_text(ratio.estimate, ratio.low, ratio.high, ".3f")
        )
        yield speed.verdict
    yield _accuracy_word(cell.accuracy) or MISSING
    yield _rates(cell.accuracy)
    yield f"{cell.texts.same} of {cell.texts.recordings}" if cell.texts else MISSING
    yield _quantity(cell, "memory", ".0f", 1e-6)
    yield _quantity(cell, "energy", ".0f")
    yield _quantity(cell, "load", ".2f")


def _name(cell: d.CellChange) -> str:
    sides = [each for each in (cell.base, cell.new) if each is not None]
    base, new = sides[0], sides[-1]
    version = _change(base.version, new.version)
    return backend_name(cell.label, version, _change(base.precision, new.precision))


def side_name(side: d.CellSide) -> str:
    """A cell of one run with version and precision."""
    return backend_name(side.backend, side.version, side.precision)


def _change(base: str | None, new: str | None) -> str | None:
    return base if base == new else f"{base or '?'} {_ARROW} {new or '?'}"


def _accuracy_word(accuracy: d.AccuracyChange | None) -> str:
    verdict = accuracy.verdict if accuracy else ""
    return "wrong" if verdict == "worse" else verdict


def _rates(accuracy: d.AccuracyChange | None) -> str:
    if accuracy is None or accuracy.base_rate is None or accuracy.new_rate is None:
        return MISSING
    base = error_rate_text(accuracy.base_rate, None, accuracy.base_low, accuracy.base_high)
    new = error_rate_text(accuracy.new_rate, accuracy.metric, accuracy.new_low, accuracy.new_high)
    return f"{base} {_ARROW} {new}"


def _quantity(cell: d.CellChange, kind: str, form: str, factor: float = 1.0) -> str:
    """The first quantity of a kind: of memory, the peak."""
    found = next((each for each in cell.quantities if each.kind == kind), None)
    if found is None or (found.base is None and found.new is None):
        return MISSING
    shown = [number_text(each, form, factor) for each in (found.base, found.new)]
    return f"{f' {_ARROW} '.join(shown)} {found.verdict}".strip()


def _notes(compared: d.Compared) -> Iterator[str]:
    for each in compared.differences:
        yield f"NOT COMPARABLE: {each}"
    yield (
        f"Differences in time below {compared.margin:.1%} do not count ({compared.margin_from}); "
        f"all intervals together hold with {compared.level:.0%} confidence."
    )
    if compared.machine is not None:
        yield (
            f"The machine itself took {compared.machine.estimate:.3f} times as long for the canary "
            f"({compared.machine.low:.3f}–{compared.machine.high:.3f})."
        )
    if FOOTPRINT.name in {each.name for cell in compared.cells for each in cell.quantities}:
        yield f"Peak MB is the {FOOTPRINT.words} of a process."
    yield from compared.findings
    yield from _unmeasured(compared)
    for cell in compared.cells:
        for line in _cell_notes(cell):
            yield f"{cell.name}: {line}"


def _unmeasured(compared: d.Compared) -> Iterator[str]:
    """Why a figure has no verdict: one line for all cells with the same reason."""
    cells: dict[str, list[str]] = {}
    for cell in compared.cells:
        for each in cell.quantities:
            if each.reason:
                cells.setdefault(f"{each.name} {each.reason}", []).append(cell.name)
    measured = sum(1 for cell in compared.cells if cell.quantities)
    for reason, names in cells.items():
        yield reason if len(names) == measured else f"{', '.join(names)}: {reason}"


def _cell_notes(cell: d.CellChange) -> Iterator[str]:
    if cell.message:
        yield f"{cell.state}: {cell.message}"
    if cell.speed is not None and cell.speed.why:
        yield f"{cell.speed.verdict}: {cell.speed.why}"
    accuracy = cell.accuracy
    if accuracy is not None and accuracy.verdict != "as good":
        yield f"accuracy{_delta(accuracy)}: {accuracy.how}"
    if cell.texts is not None and cell.texts.changed:
        unit = "characters" if cell.texts.metric == "cer" else "words"
        yield f"{cell.texts.changed:.2%} of the base's {unit} were replaced, omitted or added"
    for each in cell.quantities:
        if each.verdict != "SAME" and each.ratio is not None:
            yield (
                f"{each.name} {each.verdict}: {each.ratio.estimate:.2f} times as much "
                f"({each.ratio.low:.2f}–{each.ratio.high:.2f}; the margin is {each.margin:.0%})"
            )
    for change in cell.changes:
        yield f"{change.name}: {change.base or MISSING} {_ARROW} {change.new or MISSING}"


def _delta(accuracy: d.AccuracyChange) -> str:
    if accuracy.delta is None or accuracy.low is None or accuracy.high is None:
        return ""
    return (
        f" {_accuracy_word(accuracy)}, {accuracy.delta * 100:+.1f} points "
        f"({accuracy.low * 100:+.1f} to {accuracy.high * 100:+.1f})"
    )


_LEFT = {"backend", "speed", "accuracy"}
_BRIEF = 5
"""Columns that every terminal shows."""


def show_comparison(
    compared: Compared, *, wide: bool = False, console: TextConsole | None = None
) -> None:
    """Print a comparison; see :func:`~mac_whisper_speedtest.report.console.output_console`.

    Args:
        compared: what is shown.
        wide: print all columns, over several tables where the console is too narrow for one.
        console: where.
    """
    console = output_console(console)
    for part in _parts(compared, console, wide=wide):
        console.print(part)


def comparison_text(compared: Compared) -> str:
    """What :func:`show_comparison` prints to a pipe."""
    written = io.StringIO()
    show_comparison(
        compared, wide=True, console=TextConsole(file=written, width=PIPE_WIDTH, color_system=None)
    )
    return written.getvalue()


def _parts(compared: Compared, console: TextConsole, *, wide: bool) -> Iterator[RenderableType]:
    yield Text(title(compared), style="bold")
    left_out: list[str] = []
    for heading, found in tables(compared).items():
        columns = [TableColumn(name, number=name not in _LEFT) for name in HEADINGS]
        table = ReportTable(
            columns, [[TableRow(list(map(_colored, row))) for row in found]], caption=heading
        )
        shown = most_important(table, console, least=_BRIEF, wide=wide)
        yield from shown.parts
        left_out += shown.left_out
    yield from most_important(_side_by_side(compared), console, least=4).parts
    yield lines(notes(compared), console)
    if line := not_shown(left_out, "add --format table", console):
        yield line
    style = "bold red" if compared.regressions else "bold"
    for each in outcome(compared):
        yield Text(each, style=style)


def _side_by_side(compared: Compared) -> ReportTable:
    rows = [
        TableRow([Field(text, class_="other" if row[-1] else "") for text in row])
        for row in conditions(compared)
    ]
    columns = [TableColumn(name) for name in ("condition", "base", "new", "")]
    return ReportTable(columns, [rows], caption="Conditions of the runs")


def _colored(text: str) -> Field:
    word = text.rpartition(" ")[2]
    if text in BAD or word in BAD:
        return Field(text, badge="bad")
    return Field(text, badge="good" if text in GOOD or word in GOOD else "")
