"""The ranking: a table per model and speech, and the same as a dot plot."""

from __future__ import annotations

from mac_whisper_speedtest.compare import sample_deltas
from mac_whisper_speedtest.report import numbers
from mac_whisper_speedtest.report.html import cells as named
from mac_whisper_speedtest.report.html import charts, tables
from mac_whisper_speedtest.report.html.cells import Ranked, summary_of
from mac_whisper_speedtest.report.html.markup import Html, join, tag
from mac_whisper_speedtest.report.html.tables import Column, Field, Row
from mac_whisper_speedtest.report.numbers import MISSING, with_bounds
from mac_whisper_speedtest.results.schema import CellResult, Run

_VERDICTS = {"FASTER": "good", "SLOWER": "bad", "SAME": "good", "AMBIGUOUS": "warn"}
_COLUMNS = (
    Column("backend"),
    Column("place", number=True),
    Column("RTFx", number=True),
    Column("× best", number=True),
    Column("verdict"),
    Column("WER", number=True),
    Column("status"),
    Column("median s", number=True),
    Column("min–max s", number=True),
    Column("peak MB", number=True),
    Column("J/h audio", number=True),
    Column("load s", number=True),
    Column("first s", number=True),
    Column("device"),
    Column("precision"),
    Column("rounds", number=True),
    Column("contract"),
)


def section(run: Run) -> Html:
    """Every table and its drawing."""
    parts: list[str] = [
        tag(
            "p",
            "RTFx is seconds of audio per second of processing: more is faster. Numbers after a "
            "figure are its interval. A place such as 1–3 is a tie. Cells between two double "
            "lines did equal work; across such a line there is no ranking.",
            class_="quiet",
        )
    ]
    for table in named.ranked(run):
        parts += [
            tag("h3", table.title),
            _plot(run, table),
            _table(run, table),
        ]
    return join(parts)


def _table(run: Run, table: Ranked) -> Html:
    bodies = [[_row(cell, several=len(group) > 1) for cell in group] for group in table.groups()]
    request = run.manifest.request
    rounds = run.decisions[-1].after if run.decisions else request.rounds
    amount = numbers.amount(rounds, request.runs, whole_set=bool(table.clip.utterances))
    caption = (
        f"{table.title}: contract {request.contract.get('name', MISSING)}, {amount}, "
        f"{request.threads} threads"
    )
    return tables.table(_COLUMNS, bodies, caption=caption, name=f"ranking-{table.name}")


def _row(cell: CellResult, *, several: bool) -> Row:
    it = summary_of(cell)
    verdict: str | Field = MISSING
    alone = it.rank == 1 and it.rank_last == 1
    if it.fast_but_wrong:
        verdict = Field("does not count")
    elif it.verdict:
        verdict = Field(named.badge(it.verdict, _VERDICTS.get(it.verdict, "")), it.verdict)
    elif it.rank is not None and it.times_best == 1:
        verdict = Field("quickest of its group" if several else "alone in its group")
    spread = (
        Field(MISSING, "")
        if it.min_s is None or it.max_s is None
        else Field(f"{it.min_s:.3f}–{it.max_s:.3f}", it.min_s)
    )
    energy = (
        Field("not measured", "")
        if it.joules_per_audio_hour is None
        else tables.number(it.joules_per_audio_hour, ".0f")
    )
    return Row(
        [
            named.name_of(cell),
            named.place_of(it),
            named.measured(it.rtfx, it.rtfx_bounds, ".2f"),
            named.measured(it.times_best, it.times_best_bounds, ".2f"),
            verdict,
            named.error_rate(it),
            named.status_of(cell),
            tables.number(it.median_s, ".3f"),
            spread,
            tables.number(it.peak_rss_bytes, ".0f", 1e-6),
            energy,
            tables.number(it.load_s, ".2f"),
            tables.number(it.first_s, ".3f"),
            cell.backend.device or MISSING,
            cell.backend.precision or MISSING,
            Field(f"{it.rounds_ok} of {it.rounds_asked}", it.rounds_ok),
            _contract(cell),
        ],
        class_="first" if alone and several and not it.fast_but_wrong else "",
    )


def _contract(cell: CellResult) -> str:
    if not cell.contract.effective:
        return MISSING
    other = dict.fromkeys(each.setting.replace("_", " ") for each in cell.contract.deviations)
    return f"not kept: {', '.join(other)}" if other else "kept"


def _plot(run: Run, table: Ranked) -> Html:
    rows = []
    groups = [group for group in table.groups() if summary_of(group[0]).group is not None]
    for group in groups:
        for place, cell in enumerate(group):
            it = summary_of(cell)
            heading = ""
            if place == 0 and len(groups) > 1:
                wrong = it.fast_but_wrong
                work = "other work" if cell.contract.deviations else "equal work"
                heading = f"group {it.group}: {'too wrong to count' if wrong else work}"
            rows.append(
                charts.DotRow(
                    label=named.name_of(cell),
                    value=it.rtfx,
                    low=it.rtfx_bounds.low if it.rtfx_bounds else None,
                    high=it.rtfx_bounds.high if it.rtfx_bounds else None,
                    note=with_bounds(it.rtfx, it.rtfx_bounds, ".2f"),
                    spots=list(sample_deltas.rtfx_by_round(run, cell).values()),
                    heading=heading,
                    bad=it.fast_but_wrong,
                )
            )
    if not rows:
        return Html("")
    levels = {
        bounds.level for cell in table.cells if (bounds := summary_of(cell).rtfx_bounds) is not None
    }
    interval = (
        f"Broad bars are intervals at {min(levels):.0%}."
        if levels
        else "Too few rounds were measured for intervals."
    )
    return tag(
        "figure",
        charts.dot_plot(
            f"plot-{table.name}",
            rows,
            axis="RTFx, more is faster",
            title=f"Speed of {table.title}",
        ),
        tag(
            "figcaption",
            f"{interval} The large dot is the median over rounds; small dots are single rounds, "
            "each a fresh process. The same numbers stand in the table.",
        ),
    )
