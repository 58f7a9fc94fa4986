"""The tables of a run's figures, each column declared once for the terminal and for pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.report.tables import (
    UNKNOWN,
    Field,
    ReportTable,
    TableColumn,
    TableRow,
    error_rate_field,
    interval_field,
    number_columns,
    number_field,
    rank_field,
    status_field,
)
from mac_whisper_speedtest.results.cells import (
    MISSING,
    CellTable,
    contract_of,
    counted,
    measured_amount,
    range_text,
    speed_form,
    summary_of,
)
from mac_whisper_speedtest.results.memory import figure_of, headed
from mac_whisper_speedtest.results.schema import AccuracyResult, CellResult, Run, Summary

_MB = 1e-6

# Cells, one per row.


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell in a table.

    Attributes:
        name: unique in the table.
        several: whether its group has other cells.
    """

    name: str
    cell: CellResult
    several: bool

    @property
    def summary(self) -> Summary:
        """The cell's figures."""
        return summary_of(self.cell)


_Show = Callable[[ShownCell], str | Field]


@dataclass(frozen=True, slots=True)
class CellColumn:
    """One figure of a cell."""

    heading: str
    show: _Show
    number: bool = True


def _figure(name: str, form: str, factor: float = 1.0) -> _Show:
    return lambda row: number_field(getattr(row.summary, name), form, factor)


def _bounded(name: str, bounds: str) -> _Show:
    def show(row: ShownCell) -> Field:
        value = getattr(row.summary, name)
        return interval_field(value, getattr(row.summary, bounds), speed_form(value))

    return show


_VERDICTS = {"FASTER": "good", "SLOWER": "bad", "SAME": "good", "AMBIGUOUS": "warn"}


def _verdict(row: ShownCell) -> str | Field:
    it = row.summary
    if it.fast_but_wrong:
        return "ranked separately"
    if it.verdict:
        return Field(it.verdict, badge=_VERDICTS.get(it.verdict, "warn"))
    if it.rank is None or it.times_best != 1:
        return MISSING
    return "fastest of its group" if row.several else "alone in its group"


def _spread(row: ShownCell) -> Field:
    low, high = row.summary.min_s, row.summary.max_s
    return UNKNOWN if low is None else Field(range_text(low, high, ".3f"), low)


def _contract(row: ShownCell) -> Field:
    return Field(contract_of(row.cell), class_="other" if row.cell.contract.deviations else "")


def _memory(name: str) -> _Show:
    def show(row: ShownCell) -> Field:
        held = getattr(row.summary, name)
        if held is None and row.cell.samples:
            return Field(MISSING, "", note=f"not measured: {figure_of(row.summary).missing}")
        return number_field(held, ".0f", _MB)

    return show


def _device_memory(row: ShownCell) -> Field:
    """Peak memory of the GPU and where that is from, or why it is unknown."""
    held, note = row.summary.device_memory_bytes, clipped(row.summary.device_memory_quality, 120)
    if held is None:
        return Field(MISSING, "", note=note)
    return replace(number_field(held, ".0f", _MB), note=note)


def _allocator(row: ShownCell) -> Field:
    held = number_field(row.summary.allocator_peak_bytes, ".0f", _MB)
    return replace(held, note=row.summary.allocator_figure)


def _weights(row: ShownCell) -> Field:
    weights = row.cell.model.weights
    return number_field(weights.size_bytes if weights else None, ".0f", _MB)


def _rank(row: ShownCell) -> Field:
    return rank_field(row.summary.rank, row.summary.rank_last, row.summary.group)


def _rounds(row: ShownCell) -> Field:
    it = row.summary
    return Field(f"{it.rounds_ok} of {it.rounds_asked}", it.rounds_ok)


COLUMNS: Mapping[str, CellColumn] = {
    each.heading: each
    for each in (
        CellColumn("backend", lambda row: row.name, number=False),
        CellColumn("rank", _rank),
        CellColumn("device", lambda row: row.cell.backend.device or MISSING, number=False),
        CellColumn("precision", lambda row: row.cell.backend.precision or MISSING, number=False),
        CellColumn("RTFx", _bounded("rtfx", "rtfx_bounds")),
        CellColumn("× best", _bounded("times_best", "times_best_bounds")),
        CellColumn("verdict", _verdict, number=False),
        CellColumn("WER", lambda row: error_rate_field(row.summary.accuracy)),
        CellColumn("status", lambda row: status_field(row.cell), number=False),
        CellColumn("contract", _contract, number=False),
        CellColumn("median s", _figure("median_s", ".3f")),
        CellColumn("min–max s", _spread),
        CellColumn("import s", _figure("import_s", ".2f")),
        CellColumn("load s", _figure("load_s", ".2f")),
        CellColumn("cold load s", _figure("load_cold_s", ".2f")),
        CellColumn("warm load s", _figure("load_warm_s", ".2f")),
        CellColumn("first s", _figure("first_s", ".3f")),
        CellColumn("first segment s", _figure("first_segment_s", ".3f")),
        CellColumn("cores", _figure("cores_used", ".1f")),
        CellColumn("first call peak MB", _memory("first_peak_memory_bytes")),
        CellColumn("peak MB", _memory("peak_memory_bytes")),
        CellColumn("device MB", _device_memory),
        CellColumn("allocator MB", _allocator),
        CellColumn("weights MB", _weights),
        CellColumn("J/h audio", _figure("joules_per_audio_hour", ".0f")),
        CellColumn("rounds", _rounds),
    )
}
"""Heading → column."""


def cell_table(
    columns: Sequence[str],
    groups: Iterable[Sequence[CellResult]],
    names: Mapping[str, str],
    *,
    caption: str,
    name: str = "",
    ranked: bool = False,
) -> ReportTable:
    """A table with a row per cell.

    Args:
        columns: headings of :data:`COLUMNS`; the first names the row.
        groups: cells of one group are in one body.
        names: cell id → its name.
        caption: of the table.
        name: its id on a page.
        ranked: whether the groups are of equal work, and the certainly fastest cell is marked.
    """
    chosen = [COLUMNS[each] for each in columns]
    bodies = []
    kinds: set[str] = set()
    for group in groups:
        several = len(group) > 1
        kinds |= {summary_of(cell).peak_memory_kind for cell in group}
        cells = [ShownCell(names[cell.id], cell, several) for cell in group]
        bodies.append(
            [
                TableRow(
                    [column.show(row) for column in chosen],
                    class_="first" if ranked and several and _certainly_first(row.summary) else "",
                )
                for row in cells
            ]
        )
    return ReportTable(
        [TableColumn(headed(each.heading, kinds), number=each.number) for each in chosen],
        bodies,
        caption=caption,
        name=name,
    )


def _certainly_first(it: Summary) -> bool:
    return it.rank == it.rank_last == 1 and not it.fast_but_wrong


def ranking_table(run: Run, table: CellTable, columns: Sequence[str]) -> ReportTable:
    """The cells of one model and speech with their figures, best first."""
    request, info = run.manifest.request, table.clip
    audio = f"{info.seconds:.1f} s"
    if info.utterances:
        what = "lengths" if info.kind == "durations" else "utterances"
        spoken = f" in {', '.join(info.languages)}" if len(info.languages) > 1 else ""
        audio = f"{len(info.utterances)} {what}{spoken}, {audio}"
    measured = measured_amount(run, whole_set=bool(info.utterances))
    caption = (
        f"{table.title} ({audio}), contract {request.contract.get('name', MISSING)}, "
        f"{measured}, {counted(request.threads, 'thread')}"
    )
    return cell_table(
        columns,
        table.groups(),
        table.names,
        caption=caption,
        name=f"ranking-{table.name}",
        ranked=True,
    )


# How time grows with the length of the audio.


def duration_table(cells: Sequence[CellResult], names: Mapping[str, str]) -> ReportTable:
    """Fixed cost, seconds per audio second, and the time of every length.

    Args:
        cells: of one model, with a fit each; at least one.
        names: cell id → its name.
    """
    lengths = [each.name for each in cells[0].clip.utterances]
    rows = []
    for cell in cells:
        fit = summary_of(cell).duration
        assert fit is not None
        rows.append(
            TableRow(
                [
                    names[cell.id],
                    interval_field(fit.fixed_s, fit.fixed, ".2f"),
                    interval_field(fit.per_audio_s, fit.per_audio, ".4f"),
                    fit.shape or MISSING,
                    number_field(fit.window_s, ".3f"),
                    *(number_field(fit.seconds_by_duration.get(each), ".2f") for each in lengths),
                ]
            )
        )
    columns = (
        TableColumn("backend"),
        *number_columns("fixed s", "s per audio s"),
        TableColumn("grows by"),
        *number_columns("30 s window s", *lengths),
    )
    return ReportTable(
        columns, [rows], caption=f"{cells[0].model.name}: seconds by length of the audio"
    )


# Errors.

_GATE = {"as good": "good", "worse": "bad", "unclear": "warn"}


def accuracy_table(
    cells: Sequence[CellResult],
    found: Mapping[str, AccuracyResult],
    names: Mapping[str, str],
    *,
    caption: str,
) -> ReportTable:
    """The kinds of errors and the verdicts of the accuracy gate; the last column says how.

    Args:
        cells: of one speech, at least one.
        found: cell id → its accuracy, for each of them.
        names: cell id → its name.
        caption: of the table.
    """
    metric = found[cells[0].id].metric
    languages = sorted({each.language for cell in cells for each in found[cell.id].languages})
    against = references(found[cell.id] for cell in cells)
    rows = []
    for cell in cells:
        it = found[cell.id]
        own = "reference" if cell.id in against else MISSING
        own_rates = {each.language: each.rate for each in it.languages}
        rates = [
            *(own_rates.get(each) for each in languages),
            *([it.cer] if metric == "wer" else []),
            it.mean_rate,
        ]
        counts = [it.substitutions, it.deletions, it.insertions, it.reference_words, it.failed]
        rows.append(
            TableRow(
                [
                    names[cell.id],
                    error_rate_field(it, digits=2),
                    *(number_field(rate, ".2%") for rate in rates),
                    *map(str, counts),
                    _difference(it),
                    Field(it.verdict, badge=_GATE.get(it.verdict, "")) if it.verdict else own,
                    it.how or MISSING,
                ]
            )
        )
    columns = (
        TableColumn("backend"),
        *number_columns(
            metric.upper(),
            *(f"{metric.upper()} {each or 'language unknown'}" for each in languages),
            *(["CER"] if metric == "wer" else []),
            f"mean {metric.upper()}",
            *("replaced", "missing", "added"),
            "words" if metric == "wer" else "characters",
            "failed",
            "Δ points",
        ),
        TableColumn("verdict"),
        TableColumn("how", long=True),
    )
    return ReportTable(columns, [rows], caption=caption)


def references(found: Iterable[AccuracyResult]) -> set[str]:
    """The ids of the reference backend's cells."""
    return {each.against for each in found if each.against is not None}


def _difference(it: AccuracyResult) -> Field:
    if it.delta is None:
        return UNKNOWN
    low, high = it.delta_low, it.delta_high
    ends = "" if low is None or high is None else f"{low * 100:+.2f} to {high * 100:+.2f}"
    return Field(f"{it.delta * 100:+.2f}", it.delta, interval=ends)
