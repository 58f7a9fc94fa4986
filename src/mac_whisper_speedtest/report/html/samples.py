"""The section of samples: drawn by round and in a table; if too many, a row per round."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from markupsafe import Markup

from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.report.html import curves
from mac_whisper_speedtest.report.html.curves import SamplePoint
from mac_whisper_speedtest.report.html.page import Limits, render
from mac_whisper_speedtest.report.tables import (
    Field,
    ReportTable,
    TableColumn,
    TableRow,
    number_columns,
    number_field,
)
from mac_whisper_speedtest.results.cells import MISSING, labels_of
from mac_whisper_speedtest.results.memory import MemoryFigure, figure_on, headed
from mac_whisper_speedtest.results.schema import CellResult, Run
from mac_whisper_speedtest.summary.samples import COUNTED, ClassifiedSample, State, classified

_MOST_TOOLTIPS = 600  # samples; a tooltip is larger than its dot
_REASON = 160
_STATES: dict[State, str] = {
    "counts": "count",
    "disturbed": "were disturbed but count",
    "warm-up": "are warm-ups",
    "retaken": "were disturbed and retaken",
    "round retaken": "are of rounds that were retaken",
    "attempt retaken": "are of attempts that were retaken",
    "failed": "failed",
}


def samples_section(run: Run, limits: Limits) -> Markup:
    """The drawings and the table, and how many samples they omit."""
    found = {cell.id: classified(run, cell) for cell in run.cells}
    total = sum(map(len, found.values()))
    counted = Counter(each.state for taken in found.values() for each in taken)
    words = ", ".join(f"{counted[state]} {how}" for state, how in _STATES.items() if counted[state])
    labels = labels_of(run.cells)
    share = max(20, limits.dots // max(1, len(run.cells)))
    drawn = {
        name: [each for each in taken if each.state != "warm-up"] for name, taken in found.items()
    }
    drawings = [
        (
            labels[cell.id],
            *_drawing(
                cell,
                drawn[cell.id],
                name=f"strip-{number}",
                title=f"Samples of {labels[cell.id]}",
                share=share,
                tooltips=total <= _MOST_TOOLTIPS,
            ),
        )
        for number, cell in enumerate(run.cells)
        if drawn[cell.id]
    ]
    by_round = total > limits.sample_rows
    figure = figure_on(run.manifest.machine.os)
    columns = [
        replace(each, heading=headed(each.heading, {figure.kind}))
        for each in (_ROUND_COLUMNS if by_round else _SAMPLE_COLUMNS)
    ]
    rows: list[TableRow] = []
    for cell in run.cells:
        label, taken = labels[cell.id], found[cell.id]
        rows += (
            _round_rows(label, taken)
            if by_round
            else [_sample_row(label, each, figure) for each in taken]
        )
    kept = rows[: max(limits.sample_rows, 1)] if by_round else rows
    return render(
        "samples.html",
        total=total,
        states=words,
        each_drawn=all(len(taken) <= share for taken in drawn.values()),
        drawings=drawings,
        by_round=by_round,
        rows=ReportTable(
            columns,
            [kept],
            caption=f"The rounds of {total} samples" if by_round else f"All {total} samples",
            name="samples",
            tall=True,
        ),
        left_out=len(rows) - len(kept),
        choices={
            key: list(dict.fromkeys(row.keys[key] for row in kept if key in row.keys))
            for key in ("cell", "state")
        },
    )


def _drawing(
    cell: CellResult,
    shown: Sequence[ClassifiedSample],
    *,
    name: str,
    title: str,
    share: int,
    tooltips: bool,
) -> tuple[Markup, int]:
    """One cell's samples, one by one up to ``share``, and how many special ones are not drawn."""
    whole_set = bool(cell.clip.utterances)
    y_axis = "× median of the recording" if whole_set else "seconds"
    if len(shown) <= share:
        observed = [_observed(each, whole_set, tooltips=tooltips) for each in shown]
        return curves.strip_chart(name, observed, y_axis=y_axis, title=title), 0
    by_round: defaultdict[int, list[float]] = defaultdict(list)
    for each in shown:
        if each.state in COUNTED:
            by_round[each.sample.round].append(_value(each, whole_set))
    others = [each for each in shown if each.state != "counts"]
    special = [_observed(each, whole_set, tooltips=tooltips) for each in others[:share]]
    drawing = curves.box_chart(name, by_round, special, y_axis=y_axis, title=title)
    return drawing, len(others) - len(special)


def _value(each: ClassifiedSample, whole_set: bool) -> float:
    return (each.relative or 0.0) if whole_set else each.sample.seconds


def _observed(each: ClassifiedSample, whole_set: bool, *, tooltips: bool) -> SamplePoint:
    kind = each.state if each.state in {"counts", "disturbed", "failed"} else "aside"
    sample = each.sample
    tooltip = ""
    if tooltips:
        of = f" of {clipped(sample.utterance, 40)}" if sample.utterance else ""
        tooltip = (
            f"round {sample.round + 1}, sample {sample.index + 1}{of}: {sample.seconds:.3f} s, "
            f"{each.state}"
        )
    return SamplePoint(sample.round, _value(each, whole_set), kind, tooltip)


_SAMPLE_COLUMNS = (
    TableColumn("cell"),
    TableColumn("round", number=True),
    TableColumn("sample", number=True),
    TableColumn("recording"),
    TableColumn("state"),
    *number_columns("seconds", "× median", "processor s", "peak MB"),
    TableColumn("why", long=True),
)
_ROUND_COLUMNS = (
    TableColumn("cell"),
    *number_columns(
        "round",
        "samples",
        "that count",
        "failed",
        "smallest s",
        "median s",
        "largest s",
        "× median",
    ),
)


def _sample_row(label: str, each: ClassifiedSample, figure: MemoryFigure) -> TableRow:
    sample = each.sample
    attempt = f", attempt {sample.attempt + 1}" if sample.attempt else ""
    processor = sample.tree_cpu_s if sample.tree_cpu_s is not None else sample.cpu_s
    return TableRow(
        [
            label,
            Field(f"{sample.round + 1}{attempt}", sample.round + sample.attempt / 100),
            Field(str(sample.index + 1), sample.index),
            clipped(sample.utterance, 60) or MISSING,
            each.state,
            number_field(sample.seconds, ".3f"),
            number_field(each.relative, ".3f"),
            number_field(processor, ".2f"),
            number_field(figure.of(sample), ".0f", 1e-6),
            clipped(sample.failed or sample.disturbed, _REASON) or MISSING,
        ],
        keys={"cell": label, "state": each.state},
    )


def _round_rows(label: str, taken: Sequence[ClassifiedSample]) -> list[TableRow]:
    by_round: defaultdict[int, list[ClassifiedSample]] = defaultdict(list)
    for each in taken:
        if each.state != "warm-up":
            by_round[each.sample.round].append(each)
    rows = []
    for number, group in sorted(by_round.items()):
        good = [each for each in group if each.state in COUNTED]
        seconds = [each.sample.seconds for each in good]
        relative = [each.relative for each in good if each.relative is not None]
        rows.append(
            TableRow(
                [
                    label,
                    Field(str(number + 1), number),
                    Field(str(len(group)), len(group)),
                    Field(str(len(good)), len(good)),
                    str(sum(each.state == "failed" for each in group)),
                    number_field(min(seconds, default=None), ".3f"),
                    number_field(statistics.median(seconds) if seconds else None, ".3f"),
                    number_field(max(seconds, default=None), ".3f"),
                    number_field(statistics.median(relative) if relative else None, ".3f"),
                ],
                keys={"cell": label},
            )
        )
    return rows
