"""One board: what was to be done, who did it how fast, and what did not work."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mac_whisper_speedtest.leaderboard import plot, words
from mac_whisper_speedtest.leaderboard.boards import Board, Group, Row
from mac_whisper_speedtest.report.html import cells, tables
from mac_whisper_speedtest.report.html.markup import Html, clipped, join, tag
from mac_whisper_speedtest.report.html.tables import Column, Field
from mac_whisper_speedtest.report.numbers import MISSING, counted

_SPREAD, _ENERGY = "spread", "J/h audio"
_COLUMNS = (
    Column("backend"),
    Column("place", number=True),
    Column("RTFx", number=True),
    Column("error rate", number=True),
    Column("state"),
    Column("runs ok"),
    Column("rests on"),
    Column(_SPREAD, number=True),
    Column("device"),
    Column("precision"),
    Column("threads"),
    Column("peak MB", number=True),
    Column(_ENERGY, number=True),
    Column("load s", number=True),
)
_WHERE_KNOWN = frozenset({_SPREAD, _ENERGY})
"""Columns of what not every machine tells, and of what needs two bundles: left out where empty."""
_LONGEST = 200


def table_id(number: int) -> str:
    """The id of a board's table."""
    return f"board-{number}"


def section(number: int, board: Board, off: Collection[str]) -> Html:
    """The whole board.

    Args:
        number: its place on the page.
        board: what is on it.
        off: names of the bundles that are off their peers.
    """
    # The group that kept the contract has no letter before its places, as in `speedtest show`.
    first = board.groups[0].name
    bodies = [
        [_row(board, group, row, first=first, off=off) for row in group.rows]
        for group in board.groups
    ]
    columns, bodies = _known(bodies)
    title = words.title(board)
    return tag(
        "section",
        tag("h3", title),
        _facts(board),
        plot.drawing(f"plot-{number}", board),
        tables.table(
            columns,
            bodies,
            caption=f"{title}: contract {words.contract(board)}",
            name=table_id(number),
        ),
        _notes(board),
        class_="board",
    )


def _known(bodies: list[list[tables.Row]]) -> tuple[list[Column], list[list[tables.Row]]]:
    """The columns that say something here, and rows with these."""
    rows = [row for body in bodies for row in body]
    kept = [
        index
        for index, column in enumerate(_COLUMNS)
        if column.heading not in _WHERE_KNOWN
        or any(row.fields[index] != Field(MISSING, "") for row in rows)
    ]
    return [_COLUMNS[index] for index in kept], [
        [replace(row, fields=[row.fields[index] for index in kept]) for row in body]
        for body in bodies
    ]


def _facts(board: Board) -> Html:
    speech = board.speech
    audio = f"{speech.seconds:.1f} s"
    if speech.recordings:
        what = "length" if speech.kind == "durations" else "recording"
        audio = f"{counted(speech.recordings, what)}, {audio}"
    return tag(
        "p",
        f"Contract {words.contract(board)}; audio {audio}, samples ",
        tag("code", words.short(board.work.speech)),
        "; network ",
        tag("code", words.short(board.work.network) or "not known"),
        f"; {counted(board.bundles, 'bundle')}; differences below "
        f"{board.margin:.1%} are not ranked.",
        class_="quiet",
    )


def _row(board: Board, group: Group, row: Row, *, first: str, off: Collection[str]) -> tables.Row:
    runner, state = row.runner, words.state(group, row)
    place: Field = Field(MISSING, "")
    if row.place is not None:
        place = Field(
            words.place(group, row, first), f"{group.name} {row.place:03d} {row.place_last:03d}"
        )
    return tables.Row(
        [
            words.backend(runner),
            place,
            _speed(row),
            _error_rate(board, row),
            _state(row, state, off),
            Field(f"{row.runs_ok} of {row.runs}", row.runs_ok),
            Field(words.basis(row.rtfx, row.rounds), row.rounds) if row.rtfx else MISSING,
            words.spread(row.rtfx),
            clipped(runner.device or MISSING, _LONGEST),
            clipped(runner.precision or MISSING, _LONGEST),
            runner.threads,
            tables.number(row.peak_rss_bytes, ".0f", 1e-6),
            _energy(row),
            tables.number(row.load_s, ".2f"),
        ],
        keys={
            "hardware": words.key(board.work.hardware),
            "model": words.key(board.work.model),
            "contract": words.key(words.contract(board)),
            "state": state,
        },
        class_="first" if _certain(row) and group.name == first and not group.wrong else "",
    )


def _certain(row: Row) -> bool:
    """Whether it is the fastest of its group, and no other can be."""
    return row.place == row.place_last == 1


def _speed(row: Row) -> Field:
    figure = row.rtfx
    if figure is None:
        return Field(MISSING, "")
    value = f"{figure.value:.2f}"
    if figure.low is None or figure.high is None:
        return Field(value, figure.value)
    class_ = "range" if figure.level is not None else "range bare"
    ends = tag("span", f"{figure.low:.2f}–{figure.high:.2f}", class_=class_)
    return Field(join([value, " ", ends]), figure.value)


def _error_rate(board: Board, row: Row) -> Field:
    figure = row.error_rate
    if figure is None:
        return Field(MISSING, "")
    shown = f"{figure.value:.1%}" + (" CER" if board.metric == "cer" else "")
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return Field(shown, figure.value)
    ends = tag("span", f"{figure.low:.1%}–{figure.high:.1%}", class_="range")
    return Field(join([shown, " ", ends]), figure.value)


def _energy(row: Row) -> Field:
    if row.joules_per_audio_hour is None:
        return Field(MISSING, "")
    found = tables.number(row.joules_per_audio_hour, ".0f")
    quality = clipped(row.energy_quality, _LONGEST)
    if not quality:
        return found
    return Field(join([found.shown, " ", tag("small", quality)]), found.value)


def _state(row: Row, state: str, off: Collection[str]) -> Field:
    parts: list[str] = [cells.badge(state, "good" if state == words.OK else "bad")]
    other = [
        f"{count} {status.replace('_', ' ')}"
        for status, count in row.endings.items()
        if status != "ok"
    ]
    if other:
        parts.append(tag("small", f" {', '.join(other)}"))
    odd = sum(name in off for name in row.bundles)
    if odd:
        parts += [" ", cells.badge(f"{counted(odd, 'odd bundle')}", "warn")]
    return Field(join(parts), state)


def _notes(board: Board) -> Html:
    """Why there are groups, and who could not take part."""
    found: list[str] = []
    for group in board.groups:
        if not group.name:
            found.append("Below the last double line: what it would have done is not known.")
        elif group.deviations:
            found.append(
                f"Group {group.name} did other work than the contract asks for: "
                + clipped("; ".join(group.deviations), 1000)
            )
    if board.unavailable:
        found.append(
            "Could not run: "
            + ", ".join(
                f"{clipped(name, _LONGEST)} ({counted(count, 'bundle')})"
                for name, count in board.unavailable.items()
            )
        )
    if not found:
        return Html("")
    return tag("ul", *(tag("li", each) for each in found), class_="quiet notes")
