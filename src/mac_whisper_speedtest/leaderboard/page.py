"""The leaderboard's one page. Without a script all of it is shown; the script filters and sorts."""

from __future__ import annotations

from importlib import resources
from itertools import groupby

from mac_whisper_speedtest.leaderboard import machines, words
from mac_whisper_speedtest.leaderboard import sections as boards
from mac_whisper_speedtest.leaderboard.boards import Board, Leaderboard
from mac_whisper_speedtest.leaderboard.intake import Intake, Refusal
from mac_whisper_speedtest.report.html import page, tables
from mac_whisper_speedtest.report.html.markup import Html, clipped, join, tag
from mac_whisper_speedtest.report.html.tables import Column, Row
from mac_whisper_speedtest.report.numbers import counted

_TITLE = "Whisper leaderboard"
_LONGEST = 500
_READING = """
A board is one kind of machine, one contract, one model and one piece of speech. Only inside a
board, and between two double lines, was equal work done; only there is a place.

RTFx is seconds of audio per second of processing: more is faster. It is the median over bundles of
each bundle's median over its rounds, each round a fresh process.

The numbers after it: of one bundle the 95 % interval of its rounds; of six bundles or more the 95 %
interval between them; of two to five, which allow no interval, in square brackets the smallest and
the largest. Spread is how much faster the fastest bundle is than the slowest.

A place such as 1–3 is a tie. Rows are told apart by the bundles that they share: by an interval
where there are three or more, else only where the rounds of each of them agree.

A bundle is one run. Bundles do not say which machine they are from, so two may be from the same
one.

“Too wrong” is a backend whose error rate is worse than the reference backend's beyond the margin.
Its speed counts for nothing.
"""


def index(leaderboard: Leaderboard, intake: Intake) -> str:
    """The whole document; the same for the same leaderboard."""
    body = join(
        [
            _head(leaderboard, intake),
            _reading(),
            _filters(leaderboard),
            *_boards(leaderboard),
            machines.section(leaderboard.classes),
            _refused(intake.refused),
        ],
        Html("\n"),
    )
    return page.page(
        title=_TITLE,
        body=body,
        styles=_resource("leaderboard.css"),
        scripts=_resource("leaderboard.js"),
    )


def _head(leaderboard: Leaderboard, intake: Intake) -> Html:
    refused = len(intake.refused)
    off = sum(each.standing.off for kind in leaderboard.classes for each in kind.members)
    parts = [
        counted(len(intake.accepted), "bundle"),
        f"{len(leaderboard.classes)} kinds of machine"
        if len(leaderboard.classes) != 1
        else "1 kind of machine",
        counted(len(leaderboard.boards), "board"),
    ]
    notes: list[str] = []
    if off:
        notes.append(tag("a", f"{counted(off, 'bundle')} off their peers", href="#machines"))
    if refused:
        notes.append(tag("a", f"{counted(refused, 'bundle')} refused", href="#refused"))
    if intake.repeated:
        notes.append(f"{counted(intake.repeated, 'bundle')} given twice and counted once")
    return tag(
        "header",
        tag("h1", _TITLE),
        tag("p", join([", ".join(parts), *notes], "; "), class_="lead"),
        tag(
            "p",
            "Every number here was computed from the bundles' raw samples. ",
            tag("a", "leaderboard.json", href="leaderboard.json", download=True),
            " has everything, ",
            tag("a", "leaderboard.csv", href="leaderboard.csv", download=True),
            " a line per row.",
        ),
    )


def _reading() -> Html:
    lines = (" ".join(each.split()) for each in _READING.split("\n\n"))
    return tag(
        "details",
        tag("summary", "How to read this"),
        tag("ul", *(tag("li", each) for each in lines)),
    )


def _filters(leaderboard: Leaderboard) -> Html:
    known = leaderboard.boards
    if not known:
        return Html("")
    choices = {
        "hardware": sorted({words.key(each.work.hardware) for each in known}),
        "model": sorted({words.key(each.work.model) for each in known}),
        "contract": sorted({words.key(words.contract(each)) for each in known}),
        "state": [words.OK, words.WRONG, words.FAILED],
    }
    box = tables.filters(
        [boards.table_id(number) for number in range(len(known))],
        label="backend or any word",
        choices=choices,
    )
    return join(
        [
            tag("noscript", tag("p", "Everything is shown; to filter and sort, allow scripts.")),
            box,
            tag("p", "No row is left by these filters.", id="nothing", hidden=True),
        ]
    )


def _boards(leaderboard: Leaderboard) -> list[Html]:
    """One section per kind of machine, with a section for each of its boards."""
    off = {each.name for kind in leaderboard.classes for each in kind.members if each.standing.off}
    numbered = enumerate(leaderboard.boards)

    def hardware(item: tuple[int, Board]) -> str:
        return item[1].work.hardware

    return [
        tag(
            "section",
            tag("h2", clipped(name, _LONGEST)),
            *(boards.section(number, board, off) for number, board in own),
            class_="kind",
        )
        for name, own in groupby(numbered, key=hardware)
    ]


def _refused(refused: tuple[Refusal, ...]) -> Html:
    if not refused:
        return Html("")
    columns = (Column("file"), Column("SHA-256"), Column("reason", long=True))
    rows = [
        Row([clipped(each.name, 200), words.short(each.sha256) or "–", clipped(each.reason, 500)])
        for each in refused
    ]
    return tag(
        "section",
        tag("h2", "Refused"),
        tag("p", "Nothing of these files is on this page."),
        tables.table(columns, [rows], caption="Bundles that were refused", name="refused-files"),
        id="refused",
    )


def _resource(name: str) -> str:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")
