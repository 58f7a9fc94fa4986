"""The machines: how far those of one kind differ, and which bundle is off its peers."""

from __future__ import annotations

from collections.abc import Sequence

from mac_whisper_speedtest.leaderboard import words
from mac_whisper_speedtest.leaderboard.boards import MachineClass, Member
from mac_whisper_speedtest.leaderboard.peers import MIN_PEERS
from mac_whisper_speedtest.report.html import cells, tables
from mac_whisper_speedtest.report.html.markup import Html, clipped, join, tag
from mac_whisper_speedtest.report.html.tables import Column, Field, Row
from mac_whisper_speedtest.report.numbers import MISSING, counted
from mac_whisper_speedtest.stats.outliers import CUT

_COLUMNS = (
    Column("bundle"),
    Column("speed among its peers", number=True),
    Column("modified z-score", number=True),
    Column("shared cells", number=True),
    Column("cells ok"),
    Column("verdict"),
    Column("started"),
    Column("system"),
    Column("Python"),
    Column("tool"),
)
_LONGEST = 200


def section(classes: Sequence[MachineClass]) -> Html:
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
                tables.table(
                    _COLUMNS,
                    [[_row(member) for member in each.members]],
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


def _row(member: Member) -> Row:
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
        same = ", ".join(map(words.short, member.alike))
        verdict += [" ", cells.badge(f"the same timings as {same}", "warn")]
    return Row(
        [
            Field(tag("code", words.short(member.name))),
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
