"""Speed against error rate, with the front of those that nobody beats in both."""

from __future__ import annotations

from mac_whisper_speedtest.report.html import cells as named
from mac_whisper_speedtest.report.html import charts, pareto, tables
from mac_whisper_speedtest.report.html.cells import summary_of
from mac_whisper_speedtest.report.html.markup import Html, join, tag
from mac_whisper_speedtest.report.html.tables import Column, Field, Row
from mac_whisper_speedtest.report.numbers import MISSING, with_bounds
from mac_whisper_speedtest.results.schema import CellResult, Run

_FRONT = "nothing here is both faster and more right"


def section(run: Run) -> Html:
    """A drawing per speech, and its table; and how the error rates come about."""
    clips = dict.fromkeys(cell.clip.name for cell in run.cells)
    parts: list[Html] = []
    for number, clip in enumerate(clips):
        cells = [cell for cell in run.cells if cell.clip.name == clip and _rate(cell) is not None]
        known = [cell for cell in cells if summary_of(cell).rtfx is not None]
        if known:
            parts.append(_drawn(run, known, f"tradeoff-{number}", clip))
        if cells:
            parts.append(_rates(run, cells))
    if not parts:
        return tag("p", "No error rate is known: no reference text was given for this speech.")
    return join(
        [
            tag(
                "p",
                "Further right is faster, further down is more right. All models stand together "
                "here, whatever work they did; only the ranking above compares equal work.",
                class_="quiet",
            ),
            *parts,
        ]
    )


def _rate(cell: CellResult) -> float | None:
    found = summary_of(cell).accuracy
    return found.rate if found else None


def _drawn(run: Run, cells: list[CellResult], name: str, clip: str) -> Html:
    points = [(summary_of(cell).rtfx or 0.0, _rate(cell) or 0.0) for cell in cells]
    sound = [place for place, cell in enumerate(cells) if not summary_of(cell).fast_but_wrong]
    front = {sound[place] for place in pareto.front([points[place] for place in sound])}
    accuracy = summary_of(cells[0]).accuracy
    metric = accuracy.metric.upper() if accuracy else "WER"
    dots, rows = [], []
    for place, cell in enumerate(cells):
        it = summary_of(cell)
        label = named.label_of(cell, run)
        speed, rate = points[place]
        on_front = "yes" if place in front else "no"
        if it.fast_but_wrong:
            on_front = "too wrong to count"
        dots.append(
            charts.Dot(
                label=label,
                x=speed,
                y=rate * 100,
                low=it.rtfx_bounds.low if it.rtfx_bounds else None,
                high=it.rtfx_bounds.high if it.rtfx_bounds else None,
                front=place in front,
                bad=it.fast_but_wrong,
                note=f"RTFx {with_bounds(it.rtfx, it.rtfx_bounds, '.2f')}, {metric} {rate:.1%}",
            )
        )
        rows.append(
            Row(
                [
                    label,
                    Field(str(place + 1), place + 1),
                    named.measured(it.rtfx, it.rtfx_bounds, ".2f"),
                    tables.number(rate * 100, ".2f"),
                    on_front,
                ]
            )
        )
    numbered = " Numbers are those of the table." if len(dots) > charts.MOST_NAMED else ""
    return join(
        [
            tag(
                "figure",
                charts.scatter(
                    name,
                    dots,
                    x_axis="RTFx, more is faster",
                    y_axis=f"{metric} in %, less is better",
                    title=f"Speed against {metric} on {clip}",
                    front_note=_FRONT,
                ),
                tag(
                    "figcaption",
                    f"Filled dots on the dashed line are Pareto's front: {_FRONT}. Lines "
                    f"through dots are the intervals of RTFx.{numbered}",
                ),
            ),
            tables.table(
                (
                    Column("cell"),
                    Column("number", number=True),
                    Column("RTFx", number=True),
                    Column(f"{metric} %", number=True),
                    Column("on the front"),
                ),
                [rows],
                caption=f"Speed and {metric} on {clip}",
            ),
        ]
    )


def _rates(run: Run, cells: list[CellResult]) -> Html:
    """Where the errors are, and what the accuracy gate says."""
    rows = []
    judged = [found for cell in cells if (found := summary_of(cell).accuracy) is not None]
    against = {found.against for found in judged if found.against is not None}
    for cell, found in zip(cells, judged, strict=True):
        delta: str | Field = MISSING
        if found.delta is not None:
            ends = (
                f" ({found.delta_low * 100:+.2f} to {found.delta_high * 100:+.2f})"
                if found.delta_low is not None and found.delta_high is not None
                else ""
            )
            delta = Field(f"{found.delta * 100:+.2f}{ends}", found.delta)
        rows.append(
            Row(
                [
                    named.label_of(cell, run),
                    tables.number(found.rate, ".2%"),
                    tables.number(found.cer, ".2%"),
                    tables.number(found.mean_rate, ".2%"),
                    str(found.substitutions),
                    str(found.deletions),
                    str(found.insertions),
                    str(found.reference_words),
                    str(found.failed),
                    delta,
                    found.verdict or ("reference" if cell.id in against else MISSING),
                    found.how or MISSING,
                ]
            )
        )
    first = judged[0]
    unit = "words" if first.metric == "wer" else "characters"
    reference = (
        f" Δ is the difference to {' or '.join(sorted(against))}, in percentage points."
        if against
        else " No reference backend is among them: nothing is compared."
    )
    return tag(
        "details",
        tag("summary", f"Error rates of {cells[0].clip.name} in full"),
        tag("p", f"Normalised by {first.normaliser}.{reference}"),
        tables.table(
            (
                Column("cell"),
                Column(first.metric.upper(), number=True),
                Column("CER", number=True),
                Column(f"mean {first.metric.upper()}", number=True),
                Column("replaced", number=True),
                Column("missing", number=True),
                Column("added", number=True),
                Column(unit, number=True),
                Column("failed", number=True),
                Column("Δ points", number=True),
                Column("verdict"),
                Column("how", long=True),
            ),
            [rows],
            caption=f"Errors on {cells[0].clip.name}",
        ),
    )
