"""The speeds of a board as a dot plot; the numbers stand in its table."""

from __future__ import annotations

from mac_whisper_speedtest.leaderboard import words
from mac_whisper_speedtest.leaderboard.boards import Board, Row
from mac_whisper_speedtest.report.html import charts
from mac_whisper_speedtest.report.html.markup import Html, clipped, tag

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
    drawn = [(group, row) for group in board.groups for row in group.rows if row.rtfx]
    for group, row in drawn[:_MOST_DRAWN]:
        assert row.rtfx is not None
        heading = ""
        if row is group.rows[0] and len(board.groups) > 1:
            heading = f"group {group.name}: " + (
                "too wrong to count" if group.wrong else "equal work"
            )
        rows.append(
            charts.DotRow(
                label=_label(row),
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
            title=f"Speed of {words.title(board)}",
        ),
        tag(
            "figcaption",
            "Large dots are medians, lines what the table has after them, small dots single "
            f"bundles.{more}",
        ),
    )


def _label(row: Row) -> str:
    runner = row.runner
    what = ", ".join(each for each in (runner.device, runner.precision) if each)
    return clipped(words.backend(runner) + (f" ({what})" if what else ""), _LABEL)
