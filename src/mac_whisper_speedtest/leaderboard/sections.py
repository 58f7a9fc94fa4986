"""What the page shows of boards and machines: tables, drawings and notes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from markupsafe import Markup

from mac_whisper_speedtest.leaderboard.build import (
    Board,
    BoardGroup,
    BoardRow,
)
from mac_whisper_speedtest.leaderboard.machines import ClassMember, MachineClass
from mac_whisper_speedtest.leaderboard.peers import MIN_PEERS, Dispute
from mac_whisper_speedtest.leaderboard.placing import PooledFigure
from mac_whisper_speedtest.leaderboard.submissions import Configuration
from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.report.html import charts
from mac_whisper_speedtest.report.tables import (
    Field,
    ReportTable,
    TableColumn,
    TableRow,
    number_columns,
    number_field,
    rank_field,
)
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
)
from mac_whisper_speedtest.results.memory import headed

FAILED, DISPUTED, LEFT_OUT = "failed", "disputed", "left out"
STATES = (OK, FAST_BUT_WRONG, FAILED, DISPUTED, LEFT_OUT)
"""States of a row."""
_LONGEST = 200
"""Characters of a foreign text."""
_NAME = 12


def short_name(name: str) -> str:
    """The first digits of a hash."""
    return name[:_NAME]


def filter_value(text: str) -> str:
    """A text as the value of a filter; browsers collapse spaces in an option."""
    return " ".join(clipped(text, _LONGEST).split())


def board_title(board: Board) -> str:
    """The model and the audio."""
    return clipped(f"{board.workload.model} on {board.speech.name}", _LONGEST)


def contract_name(board: Board) -> str:
    """The name of the contract."""
    return clipped(str(board.contract.get("name") or "without a name"), _LONGEST)


def row_names(board: Board) -> dict[tuple[str, Configuration], str]:
    """Group and configuration → a name that is unique on the board."""
    variants = {}
    for group in board.groups:
        for row in group.rows:
            it = row.configuration
            name = backend_name(it.backend, it.version, it.precision)
            on_device = f"{name} on {it.device or 'an unknown device'}"
            threads = f"{on_device}, {it.threads} threads"
            known = (name, on_device, threads, f"{threads}, group {group.name or MISSING}")
            variants[group.name, it] = known
    return {key: clipped(name, _LONGEST) for key, name in distinct(variants).items()}


def row_state(group: BoardGroup, row: BoardRow) -> str:
    """One of :data:`STATES`."""
    if not row.runs_ok:
        return FAILED
    if row.rtfx is None:
        return LEFT_OUT
    if row.dispute is not None:
        return DISPUTED
    return FAST_BUT_WRONG if group.fast_but_wrong else OK


def basis_text(figure: PooledFigure, rounds: int) -> str:
    """The values behind a median, and whether they allow an interval."""
    count = len(figure.values)
    if count == 1:
        return counted(rounds, "round") + ("" if figure.basis else ", no interval")
    return f"{count} bundles" + ("" if figure.basis == "bundles" else ", range")


def spread_field(figure: PooledFigure | None) -> Field:
    """How far the largest value of a bundle is above the smallest."""
    if figure is None or len(figure.values) < 2:
        return Field(MISSING, "")
    more = figure.values[-1] / figure.values[0] - 1
    return Field(percent(more), f"{more:.9g}")


# Machines.

_MACHINE_COLUMNS = (
    TableColumn("bundle"),
    *number_columns("speed among its peers", "modified z-score", "shared cells"),
    *map(TableColumn, ("cells ok", "verdict", "odd cells", "signed by")),
    *map(TableColumn, ("started", "system", "Python", "tool")),
)


def machines_section(classes: Sequence[MachineClass]) -> list[dict[str, object]]:
    """What the template shows of each hardware class: a table of its bundles."""
    found: list[dict[str, object]] = []
    for number, each in enumerate(classes):
        hardware = clipped(each.hardware, _LONGEST)
        members = ReportTable(
            _MACHINE_COLUMNS,
            [[_machine_row(member) for member in each.members]],
            caption=f"Bundles of {hardware}",
            name=f"machines-{number}",
        )
        found.append({"hardware": hardware, "spread": _spread(each), "members": members})
    return found


def _spread(kind: MachineClass) -> str:
    if kind.spread is None:
        there = counted(len(kind.members), "bundle")
        return f"{there}; fewer than {MIN_PEERS} share a cell, so they are not compared."
    it = kind.spread
    text = (
        f"{counted(it.bundles, 'bundle')} compared: from {it.low:.2f} to {it.high:.2f} times "
        f"the usual speed, with a robust standard deviation of {it.sigma:.1%}."
    )
    return f"{text} {_disputed(it.dispute)}" if it.dispute else text


def _disputed(dispute: Dispute) -> str:
    fast, slow = (", ".join(map(short_name, each)) for each in (dispute.fast, dispute.slow))
    return (
        f"The bundles contradict each other; which are right cannot be known: {fast} are at "
        f"least {dispute.ratio:.2g} times as fast as {slow}."
    )


def _machine_row(member: ClassMember) -> TableRow:
    outlier = member.outlier
    return TableRow(
        [
            Field(short_name(member.name), element="code"),
            Field(f"× {outlier.ratio:.2f}", f"{outlier.ratio:.9g}")
            if outlier.ratio is not None
            else Field(MISSING, ""),
            Field(f"{outlier.score:.1f}", f"{outlier.score:.9g}")
            if outlier.score is not None
            else Field(MISSING, ""),
            f"{outlier.cells}",
            Field(f"{member.cells_ok} of {member.cells}", member.cells_ok),
            _verdict(member),
            clipped("; ".join(member.odd), 500) or MISSING,
            Field(short_name(member.signer), element="code") if member.signer else MISSING,
            clipped(member.started_at, _LONGEST),
            clipped(member.os_version, _LONGEST),
            clipped(member.python, _LONGEST),
            clipped(member.tool, _LONGEST),
        ]
    )


def _verdict(member: ClassMember) -> Field:
    """Whether a bundle is an outlier, and which others have the same timings."""
    outlier = member.outlier
    same = ", ".join(map(short_name, member.alike))
    warning = f"the same timings as {same}" if same else ""
    if outlier.off:
        assert outlier.ratio is not None
        how = "slower" if outlier.ratio < 1 else "faster"
        return Field(f"{how} than its peers", badge="bad", warning=warning)
    if outlier.score is not None:
        return Field("as its peers", badge="good", warning=warning)
    return Field("too few peers", warning=warning)


# Boards.

_MOST_DRAWN = 30
"""Rows of a board that are drawn: the first ones."""
_LABEL = 60


def _drawing(name: str, board: Board) -> Markup | None:
    """A dot plot of the speeds; ``None`` if no row has one."""
    rows = []
    names = row_names(board)
    for group, row in _with_speed(board)[:_MOST_DRAWN]:
        assert row.rtfx is not None
        heading = ""
        if row is group.rows[0] and len(board.groups) > 1:
            heading = f"group {group.name}: {_work(group)}"
        rows.append(
            charts.DotRow(
                label=clipped(names[group.name, row.configuration], _LABEL),
                value=row.rtfx.value,
                low=row.rtfx.low,
                high=row.rtfx.high,
                note=f"{row.rtfx.value:.2f}",
                spots=row.rtfx.values if len(row.rtfx.values) > 1 else (),
                heading=heading,
                bad=group.fast_but_wrong,
            )
        )
    if not rows:
        return None
    return charts.dot_plot(
        name,
        rows,
        axis="RTFx, more is faster",
        title=f"Speed of {board_title(board)}",
    )


def _work(group: BoardGroup) -> str:
    """What a group has in common. Only the rows of one group did equal work."""
    settings = (
        "other settings than the contract's" if group.deviations else "the contract's settings"
    )
    return f"{FAST_BUT_WRONG}, {settings}" if group.fast_but_wrong else settings


def _with_speed(board: Board) -> list[tuple[BoardGroup, BoardRow]]:
    return [(group, row) for group in board.groups for row in group.rows if row.rtfx]


_SPREAD, _ENERGY = "spread", "J/h audio"
_BOARD_COLUMNS = (
    TableColumn("backend"),
    *number_columns("rank", "RTFx", "error rate"),
    *map(TableColumn, ("state", "runs ok", "based on")),
    TableColumn(_SPREAD, number=True),
    *map(TableColumn, ("device", "precision", "threads")),
    *number_columns("peak MB", _ENERGY, "load s"),
)
_OPTIONAL = frozenset({_SPREAD, _ENERGY})
"""Omitted if empty: not every machine reports energy, and a spread needs two bundles."""


def table_id(number: int) -> str:
    """The id of a board's table."""
    return f"board-{number}"


def board_section(number: int, board: Board, off: Collection[str]) -> dict[str, object]:
    """What the template shows of a board.

    Args:
        number: its position on the page.
        board: the board.
        off: names of the bundles that differ from their peers.
    """
    return {
        "title": board_title(board),
        "contract": contract_name(board),
        "audio": _audio(board),
        "samples": short_name(board.workload.speech),
        "network": short_name(board.workload.network),
        "bundles": counted(board.bundles, "bundle"),
        "margin": percent(board.margin),
        "drawing": _drawing(f"plot-{number}", board),
        "most_drawn": _MOST_DRAWN if len(_with_speed(board)) > _MOST_DRAWN else None,
        "rows": board_table(board, off, table_id(number)),
        "notes": list(board_notes(board)),
    }


def board_table(board: Board, off: Collection[str], name: str = "") -> ReportTable:
    """The rows of a board.

    Args:
        board: the board.
        off: names of the bundles that differ from their peers.
        name: its id on a page.
    """
    names = row_names(board)
    bodies = [
        [
            _board_row(board, group, row, name=names[group.name, row.configuration], off=off)
            for row in group.rows
        ]
        for group in board.groups
    ]
    kinds = {row.peak_memory_kind for _, row in _with_speed(board)}
    return ReportTable(
        [replace(each, heading=headed(each.heading, kinds)) for each in _BOARD_COLUMNS],
        bodies,
        caption=f"{board_title(board)}: contract {contract_name(board)}",
        name=name,
    ).without_empty(_OPTIONAL)


def _audio(board: Board) -> str:
    speech = board.speech
    audio = f"{speech.seconds:.1f} s"
    if not speech.recordings:
        return audio
    what = "length" if speech.kind == "durations" else "recording"
    return f"{counted(speech.recordings, what)}, {audio}"


def _board_row(
    board: Board, group: BoardGroup, row: BoardRow, *, name: str, off: Collection[str]
) -> TableRow:
    configuration, state = row.configuration, row_state(group, row)
    return TableRow(
        [
            name,
            rank_field(row.rank, row.rank_last, group.name),
            _speed(row),
            _error_rate(board, row),
            _state(row, state, off),
            Field(f"{row.runs_ok} of {row.runs}", row.runs_ok),
            Field(basis_text(row.rtfx, row.rounds), row.rounds) if row.rtfx else MISSING,
            spread_field(row.rtfx),
            clipped(configuration.device or MISSING, _LONGEST),
            clipped(configuration.precision or MISSING, _LONGEST),
            configuration.threads,
            number_field(row.peak_memory_bytes, ".0f", 1e-6),
            _energy(row),
            number_field(row.load_s, ".2f"),
        ],
        keys={
            "hardware": filter_value(board.workload.hardware),
            "model": filter_value(board.workload.model),
            "contract": filter_value(contract_name(board)),
            "state": state,
        },
        class_="first"
        if _certain(row) and group.name == FIRST_GROUP and not group.fast_but_wrong
        else "",
    )


def _certain(row: BoardRow) -> bool:
    """Whether it is certainly the fastest of its group."""
    return row.rank == row.rank_last == 1


def _speed(row: BoardRow) -> Field:
    figure = row.rtfx
    if figure is None:
        return Field(MISSING, "")
    value = f"{figure.value:.2f}"
    if figure.low is None or figure.high is None:
        return Field(value, figure.value)
    interval = range_text(figure.low, figure.high, ".2f")
    return Field(value, figure.value, interval=interval, bare=figure.level is None)


def _error_rate(board: Board, row: BoardRow) -> Field:
    figure = row.error_rate
    if figure is None:
        return Field(MISSING, "")
    shown = error_rate_text(figure.value, board.metric)
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return Field(shown, figure.value)
    interval = range_text(figure.low, figure.high, ".1%")
    return Field(shown, figure.value, interval=interval, bare=figure.level is None)


def _energy(row: BoardRow) -> Field:
    found = number_field(row.joules_per_audio_hour, ".0f")
    if row.joules_per_audio_hour is None:
        return found
    return replace(found, note=clipped(row.energy_quality, _LONGEST))


def _state(row: BoardRow, state: str, off: Collection[str]) -> Field:
    other = [f"{count} {status}" for status, count in row.endings.items() if status != "ok"]
    odd = sum(name in off for name in row.bundles)
    return Field(
        state,
        state,
        badge="good" if state == OK else "bad",
        note=", ".join(other),
        warning=counted(odd, "odd bundle") if odd else "",
    )


def board_notes(board: Board) -> Iterator[str]:
    """Why there are groups, ties and rows without a rank, and which backends are unavailable."""
    names = row_names(board)
    for group in board.groups:
        for tie in group.ties:
            pair = " and ".join(names[group.name, each] for each in (tie.a, tie.b))
            yield f"{pair} are tied although their intervals do not overlap: {tie.why}."
        for row in group.rows:
            name = names[group.name, row.configuration]
            if row.dispute is not None:
                yield f"{name} has no rank. {_disputed(row.dispute)}"
            for each in row.left_out:
                why = clipped(each.why, _LONGEST)
                yield f"{name}: the cell of bundle {short_name(each.bundle)} is left out: {why}."
        if not group.name:
            yield "Below the last double line: failed runs whose settings are unknown."
        elif group.deviations:
            deviations = clipped("; ".join(group.deviations), 1000)
            yield f"Group {group.name} deviates from the contract: {deviations}"
    if board.unavailable:
        absent = ", ".join(
            f"{clipped(name, _LONGEST)} ({counted(count, 'bundle')})"
            for name, count in board.unavailable.items()
        )
        yield f"Unavailable: {absent}"
