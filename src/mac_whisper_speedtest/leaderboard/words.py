"""How things on a leaderboard are called and shown."""

from __future__ import annotations

from mac_whisper_speedtest.leaderboard.boards import Board, Group, Row
from mac_whisper_speedtest.leaderboard.pooled import Figure
from mac_whisper_speedtest.leaderboard.submissions import Runner
from mac_whisper_speedtest.report.html.markup import clipped
from mac_whisper_speedtest.report.html.tables import Field
from mac_whisper_speedtest.report.numbers import MISSING, counted

OK, WRONG, FAILED = "ok", "too wrong", "failed"
"""What a row can be filtered by."""

_LONGEST = 200
_NAME = 12


def short(name: str) -> str:
    """A bundle's name as it is shown: the first digits of it."""
    return name[:_NAME]


def key(text: str) -> str:
    """A choice of a filter: browsers take several spaces in an option for one."""
    return " ".join(clipped(text, _LONGEST).split())


def title(board: Board) -> str:
    """The model and what it was heard on."""
    return clipped(f"{board.work.model} on {board.speech.name}", _LONGEST)


def contract(board: Board) -> str:
    """What people call the contract."""
    return clipped(str(board.contract.get("name") or "without a name"), _LONGEST)


def backend(runner: Runner) -> str:
    """The backend and its version."""
    return clipped(f"{runner.backend} {runner.version or ''}".strip(), _LONGEST)


def state(group: Group, row: Row) -> str:
    """One of the words to filter by."""
    if not row.runs_ok:
        return FAILED
    return WRONG if group.wrong else OK


def place(group: Group, row: Row, first: str) -> str:
    """``2``, ``1–3`` for a tie, ``B1`` in another group than ``first``."""
    if row.place is None or row.place_last is None:
        return MISSING
    letter = "" if group.name == first else group.name
    tie = f"–{row.place_last}" if row.place_last != row.place else ""
    return f"{letter}{row.place}{tie}"


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
    return Field(f"{more:.1%}", f"{more:.9g}")
