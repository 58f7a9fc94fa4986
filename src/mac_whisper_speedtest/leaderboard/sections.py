"""One board: what was to be done, who did it how fast, and what did not work."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from mac_whisper_speedtest.leaderboard.build import (
    Board,
    BoardGroup,
    BoardRow,
    ClassMember,
    MachineClass,
)
from mac_whisper_speedtest.leaderboard.placing import MIN_PEERS, Figure
from mac_whisper_speedtest.leaderboard.submissions import Configuration
from mac_whisper_speedtest.report.html import cells, charts, page
from mac_whisper_speedtest.report.html.page import Field, Html, TableColumn, clipped, join, tag
from mac_whisper_speedtest.results.cells import (
    FAST_BUT_WRONG,
    FIRST_GROUP,
    MISSING,
    OK,
    backend_name,
    counted,
    distinct,
    error_rate_text,
    percent,
    range_text,
    rank_text,
)
from mac_whisper_speedtest.stats.outliers import CUT

# How things on a leaderboard are called and shown.


FAILED = "failed"
STATES = (OK, FAST_BUT_WRONG, FAILED)
"""What a row can be filtered by."""
_NAME = 12


def short(name: str) -> str:
    """A bundle's name as it is shown: the first digits of it."""
    return name[:_NAME]


def key(text: str) -> str:
    """A choice of a filter: browsers take several spaces in an option for one."""
    return " ".join(clipped(text, _LONGEST).split())


def board_title(board: Board) -> str:
    """The model and what it was heard on."""
    return clipped(f"{board.work.model} on {board.speech.name}", _LONGEST)


def contract(board: Board) -> str:
    """What people call the contract."""
    return clipped(str(board.contract.get("name") or "without a name"), _LONGEST)


def names(board: Board) -> dict[tuple[str, Configuration], str]:
    """Group and configuration → its name, which no other row of the board has."""
    variants = {}
    for group in board.groups:
        for row in group.rows:
            it = row.runner
            name = backend_name(it.backend, it.version, it.precision)
            on_device = f"{name} on {it.device or 'an unknown device'}"
            threads = f"{on_device}, {it.threads} threads"
            known = (name, on_device, threads, f"{threads}, group {group.name or MISSING}")
            variants[group.name, it] = known
    return {key: clipped(name, _LONGEST) for key, name in distinct(variants).items()}


def status_label(group: BoardGroup, row: BoardRow) -> str:
    """One of the words to filter by."""
    if not row.runs_ok:
        return FAILED
    return FAST_BUT_WRONG if group.wrong else OK


def basis(figure: Figure, rounds: int) -> str:
    """How many values a speed is the median of, and what they allow to be said."""
    count = len(figure.values)
    if count == 1:
        return counted(rounds, "round") + ("" if figure.basis else ", no interval")
    return f"{count} bundles" + ("" if figure.basis == "bundles" else ", range")


def spread(figure: Figure | None) -> Field:
    """How far the largest of the bundles' values lies above the smallest."""
    if figure is None or len(figure.values) < 2:
        return Field(MISSING, "")
    more = figure.values[-1] / figure.values[0] - 1
    return Field(percent(more), f"{more:.9g}")


# The machines: how far those of one kind differ, and which bundle is off its peers.


_MACHINE_COLUMNS = (
    TableColumn("bundle"),
    TableColumn("speed among its peers", number=True),
    TableColumn("modified z-score", number=True),
    TableColumn("shared cells", number=True),
    TableColumn("cells ok"),
    TableColumn("verdict"),
    TableColumn("started"),
    TableColumn("system"),
    TableColumn("Python"),
    TableColumn("tool"),
)


def machines_section(classes: Sequence[MachineClass]) -> Html:
    """A table of bundles per kind of machine."""
    return tag(
        "section",
        tag("h2", "Machines of one kind"),
        tag(
            "p",
            "Machines of one kind are expected to be equally fast. A bundle's speed among its "
            "peers is the median, over the cells that it shares with them, of its RTFx as a "
            "multiple of what is usual there. It is off where the modified z-score of that "
            f"(Iglewicz & Hoaglin 1993) is beyond ±{CUT} and it differs by more than a tenth; "
            f"{MIN_PEERS} bundles at least have to share a cell. What is off stays in all "
            "figures: they are medians.",
            class_="quiet",
        ),
        *(
            tag(
                "section",
                tag("h3", clipped(each.hardware, _LONGEST)),
                tag("p", _spread(each)),
                page.table(
                    _MACHINE_COLUMNS,
                    [[_machine_row(member) for member in each.members]],
                    caption=f"Bundles of {clipped(each.hardware, _LONGEST)}",
                    name=f"machines-{number}",
                ),
            )
            for number, each in enumerate(classes)
        ),
        id="machines",
    )


def _spread(kind: MachineClass) -> str:
    if kind.spread is None:
        there = counted(len(kind.members), "bundle")
        return f"{there}; fewer than {MIN_PEERS} share a cell, so they are not compared."
    it = kind.spread
    return (
        f"{counted(it.bundles, 'bundle')} compared: from {it.low:.2f} to {it.high:.2f} times "
        f"the usual speed, with a robust standard deviation of {it.sigma:.1%}."
    )


def _machine_row(member: ClassMember) -> page.TableRow:
    standing = member.standing
    verdict: list[str] = []
    if standing.off:
        assert standing.ratio is not None
        how = "slower" if standing.ratio < 1 else "faster"
        verdict.append(cells.badge(f"{how} than its peers", "bad"))
    elif standing.score is not None:
        verdict.append(cells.badge("as its peers", "good"))
    else:
        verdict.append("too few peers")
    if member.alike:
        same = ", ".join(map(short, member.alike))
        verdict += [" ", cells.badge(f"the same timings as {same}", "warn")]
    return page.TableRow(
        [
            Field(tag("code", short(member.name))),
            Field(f"× {standing.ratio:.2f}", f"{standing.ratio:.9g}")
            if standing.ratio is not None
            else Field(MISSING, ""),
            Field(f"{standing.score:.1f}", f"{standing.score:.9g}")
            if standing.score is not None
            else Field(MISSING, ""),
            f"{standing.cells}",
            Field(f"{member.cells_ok} of {member.cells}", member.cells_ok),
            Field(join(verdict)),
            clipped(member.started_at, _LONGEST),
            clipped(member.os_version, _LONGEST),
            clipped(member.python, _LONGEST),
            clipped(member.tool, _LONGEST),
        ]
    )


# The speeds of a board as a dot plot; the numbers stand in its table.


_MOST_DRAWN = 30
"""Rows of a board that are drawn; beyond, the first of them."""
_LABEL = 60


def drawing(name: str, board: Board) -> Html:
    """The drawing with its explanation; nothing where no row has a speed.

    Args:
        name: unique in the page.
        board: whose rows.
    """
    rows = []
    called = names(board)
    drawn = [(group, row) for group in board.groups for row in group.rows if row.rtfx]
    for group, row in drawn[:_MOST_DRAWN]:
        assert row.rtfx is not None
        heading = ""
        if row is group.rows[0] and len(board.groups) > 1:
            heading = f"group {group.name}: " + (FAST_BUT_WRONG if group.wrong else "equal work")
        rows.append(
            charts.DotRow(
                label=clipped(called[group.name, row.runner], _LABEL),
                value=row.rtfx.value,
                low=row.rtfx.low,
                high=row.rtfx.high,
                note=f"{row.rtfx.value:.2f}",
                spots=row.rtfx.values if len(row.rtfx.values) > 1 else (),
                heading=heading,
                bad=group.wrong,
            )
        )
    if not rows:
        return Html("")
    more = f" The first {_MOST_DRAWN} are drawn." if len(drawn) > _MOST_DRAWN else ""
    return tag(
        "figure",
        charts.dot_plot(
            name,
            rows,
            axis="RTFx: seconds of audio per second of processing, more is faster",
            title=f"Speed of {board_title(board)}",
        ),
        tag(
            "figcaption",
            "Large dots are medians, lines what the table has after them, small dots single "
            f"bundles.{more}",
        ),
    )


_SPREAD, _ENERGY = "spread", "J/h audio"
_BOARD_COLUMNS = (
    TableColumn("backend"),
    TableColumn("rank", number=True),
    TableColumn("RTFx", number=True),
    TableColumn("error rate", number=True),
    TableColumn("state"),
    TableColumn("runs ok"),
    TableColumn("rests on"),
    TableColumn(_SPREAD, number=True),
    TableColumn("device"),
    TableColumn("precision"),
    TableColumn("threads"),
    TableColumn("peak MB", number=True),
    TableColumn(_ENERGY, number=True),
    TableColumn("load s", number=True),
)
_WHERE_KNOWN = frozenset({_SPREAD, _ENERGY})
"""Columns of what not every machine tells, and of what needs two bundles: left out where empty."""
_LONGEST = 200


def table_id(number: int) -> str:
    """The id of a board's table."""
    return f"board-{number}"


def board_section(number: int, board: Board, off: Collection[str]) -> Html:
    """The whole board.

    Args:
        number: its place on the page.
        board: what is on it.
        off: names of the bundles that are off their peers.
    """
    called = names(board)
    bodies = [
        [
            _board_row(board, group, row, name=called[group.name, row.runner], off=off)
            for row in group.rows
        ]
        for group in board.groups
    ]
    columns, bodies = _known(bodies)
    title = board_title(board)
    return tag(
        "section",
        tag("h3", title),
        _facts(board),
        drawing(f"plot-{number}", board),
        page.table(
            columns,
            bodies,
            caption=f"{title}: contract {contract(board)}",
            name=table_id(number),
        ),
        _notes(board),
        class_="board",
    )


def _known(
    bodies: list[list[page.TableRow]],
) -> tuple[list[TableColumn], list[list[page.TableRow]]]:
    """The columns that say something here, and rows with these."""
    rows = [row for body in bodies for row in body]
    kept = [
        index
        for index, column in enumerate(_BOARD_COLUMNS)
        if column.heading not in _WHERE_KNOWN
        or any(row.fields[index] != Field(MISSING, "") for row in rows)
    ]
    return [_BOARD_COLUMNS[index] for index in kept], [
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
        f"Contract {contract(board)}; audio {audio}, samples ",
        tag("code", short(board.work.speech)),
        "; network ",
        tag("code", short(board.work.network) or "not known"),
        f"; {counted(board.bundles, 'bundle')}; differences below "
        f"{board.margin:.1%} are not ranked.",
        class_="quiet",
    )


def _board_row(
    board: Board, group: BoardGroup, row: BoardRow, *, name: str, off: Collection[str]
) -> page.TableRow:
    runner, state = row.runner, status_label(group, row)
    rank: Field = Field(MISSING, "")
    if row.rank is not None:
        rank = Field(
            rank_text(row.rank, row.rank_last, group.name),
            f"{group.name} {row.rank:03d} {row.rank_last:03d}",
        )
    return page.TableRow(
        [
            name,
            rank,
            _speed(row),
            _error_rate(board, row),
            _state(row, state, off),
            Field(f"{row.runs_ok} of {row.runs}", row.runs_ok),
            Field(basis(row.rtfx, row.rounds), row.rounds) if row.rtfx else MISSING,
            spread(row.rtfx),
            clipped(runner.device or MISSING, _LONGEST),
            clipped(runner.precision or MISSING, _LONGEST),
            runner.threads,
            page.number(row.peak_rss_bytes, ".0f", 1e-6),
            _energy(row),
            page.number(row.load_s, ".2f"),
        ],
        keys={
            "hardware": key(board.work.hardware),
            "model": key(board.work.model),
            "contract": key(contract(board)),
            "state": state,
        },
        class_="first" if _certain(row) and group.name == FIRST_GROUP and not group.wrong else "",
    )


def _certain(row: BoardRow) -> bool:
    """Whether it is the fastest of its group, and no other can be."""
    return row.rank == row.rank_last == 1


def _speed(row: BoardRow) -> Field:
    figure = row.rtfx
    if figure is None:
        return Field(MISSING, "")
    value = f"{figure.value:.2f}"
    if figure.low is None or figure.high is None:
        return Field(value, figure.value)
    class_ = "range" if figure.level is not None else "range bare"
    ends = tag("span", range_text(figure.low, figure.high, ".2f"), class_=class_)
    return Field(join([value, " ", ends]), figure.value)


def _error_rate(board: Board, row: BoardRow) -> Field:
    figure = row.error_rate
    if figure is None:
        return Field(MISSING, "")
    shown = error_rate_text(figure.value, board.metric)
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return Field(shown, figure.value)
    ends = tag("span", range_text(figure.low, figure.high, ".1%"), class_="range")
    return Field(join([shown, " ", ends]), figure.value)


def _energy(row: BoardRow) -> Field:
    if row.joules_per_audio_hour is None:
        return Field(MISSING, "")
    found = page.number(row.joules_per_audio_hour, ".0f")
    quality = clipped(row.energy_quality, _LONGEST)
    if not quality:
        return found
    return Field(join([found.shown, " ", tag("small", quality)]), found.value)


def _state(row: BoardRow, state: str, off: Collection[str]) -> Field:
    parts: list[str] = [cells.badge(state, "good" if state == OK else "bad")]
    other = [f"{count} {status}" for status, count in row.endings.items() if status != "ok"]
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
