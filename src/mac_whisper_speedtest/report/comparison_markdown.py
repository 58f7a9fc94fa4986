"""A comparison of two runs as Markdown for a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from mac_whisper_speedtest.compare.document import Compared
from mac_whisper_speedtest.printable import printable_line
from mac_whisper_speedtest.report import comparison as rows

LONGEST = 60_000
"""Characters. A comment on GitHub may have 65536."""

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&$])")
_MENTION = re.compile(r"(?<![A-Za-z0-9])@")
_LEFT = {"backend", "speed", "accuracy", "condition", "base", "new", ""}


def render(compared: Compared) -> str:
    """Tables first, the rest folded. Lines that do not fit into a comment are counted."""
    parts = ["\n".join(_head(compared))]
    parts += [
        f"**{_plain(heading)}**\n\n" + "\n".join(_table(rows.HEADINGS, found))
        for heading, found in rows.tables(compared).items()
    ]
    room = LONGEST - sum(map(len, parts))
    parts.append(
        _folded("Notes", [f"- {_plain(line)}" for line in rows.notes(compared)], room // 2)
    )
    found = list(_table(("condition", "base", "new", ""), rows.conditions(compared)))
    parts.append(_folded("Conditions of the machine, versions and settings", found, room // 2))
    return "\n\n".join(parts)[:LONGEST] + "\n"


def _head(compared: Compared) -> Iterator[str]:
    yield f"### speedtest: {_plain(rows.headline(compared)) or 'nothing in common'}"
    yield ""
    yield _plain(rows.title(compared))
    for each in compared.differences:
        yield f"\n> **Not comparable:** {_plain(each)}"
    if compared.fail_on:
        yield ""
        mark = "❌" if compared.regressions else "❔" if compared.undecided else "✅"
        yield from (f"- {mark} {_plain(line)}" for line in rows.outcome(compared))


def _table(headings: Sequence[str], found: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield "|" + "|".join(":--" if name in _LEFT else "--:" for name in headings) + "|"
    for row in found:
        yield f"| {' | '.join(_bold(each) for each in row)} |"


def _bold(cell: str) -> str:
    word = cell.rpartition(" ")[2]
    known = rows.BAD | rows.GOOD
    return f"**{_plain(cell)}**" if cell in known or word in known else _plain(cell)


def _folded(heading: str, lines: Sequence[str], room: int) -> str:
    kept: list[str] = []
    for number, line in enumerate(lines):
        room -= len(line) + 1
        if room < 200:
            kept.append(f"\n… and {len(lines) - number} more lines")
            break
        kept.append(line)
    body = "\n".join(kept)
    return f"<details><summary>{heading}</summary>\n\n{body}\n\n</details>"


def _plain(text: str) -> str:
    """``text`` escaped for Markdown, without breaking a table or mentioning a user.

    An ``@`` that would mention a user gets a word joiner (U+2060, no width) behind it; the one in
    ``NAME@VERSION`` mentions no one.
    """
    return _MENTION.sub("@\u2060", _SPECIAL.sub(r"\\\1", printable_line(text)))
