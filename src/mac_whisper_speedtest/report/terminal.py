"""How tables and sentences look on a terminal: never broken inside a word or a number."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import cast

from rich import box
from rich.cells import cell_len
from rich.padding import PaddingDimensions
from rich.table import Table
from rich.text import Text

from mac_whisper_speedtest.printable import printable_line
from mac_whisper_speedtest.report.console import TextConsole, output_console
from mac_whisper_speedtest.report.tables import Field, ReportTable, TableColumn, TableRow

_LONGEST_WORD = 30
"""Characters; only longer ones, which are foreign, are broken in a narrow column."""
_STYLES = {"good": "green", "warn": "yellow", "bad": "red"}


@dataclass(frozen=True, slots=True)
class Spacing:
    """How close the columns of a table are.

    Attributes:
        padding: of its fields, as Rich takes it.
        gap: the blanks between two columns that this makes.
        edge: the blanks on both sides of the table together.
    """

    padding: tuple[int, ...]
    gap: int
    edge: int


ROOMY, CLOSE, TIGHT = Spacing((0, 1), 3, 2), Spacing((0, 1, 0, 0), 2, 0), Spacing((0, 0), 1, 0)


@dataclass(frozen=True, slots=True)
class _Layout:
    """A table's texts, and how many characters its columns need.

    Attributes:
        table: what is shown.
        texts: a text per field, by body and row.
        natural: characters of each column if no text is wrapped.
        least: if texts are wrapped between words.
    """

    table: ReportTable
    texts: Sequence[Sequence[Sequence[Text]]]
    natural: Sequence[int]
    least: Sequence[int]

    @classmethod
    def of(cls, table: ReportTable) -> _Layout:
        texts = [
            [[_text(field) for _, field in table.fields(row)] for row in body]
            for body in table.bodies
        ]
        natural, least = [], []
        for place, column in enumerate(table.columns):
            rows = [row[place].plain for body in texts for row in body]
            shown = [printable_line(column.heading), *rows]
            natural.append(max(map(cell_len, shown)))
            words = [cell_len(word) for text in shown for word in text.split()]
            longest = min(max(words, default=1), _LONGEST_WORD)
            least.append(natural[-1] if column.number else longest)
        return cls(table, texts, natural, least)

    def of_columns(self, places: Sequence[int]) -> _Layout:
        """The same with only the columns at these places; no text is made again."""
        texts = [[[row[at] for at in places] for row in body] for body in self.texts]
        natural, least = ([widths[at] for at in places] for widths in (self.natural, self.least))
        return _Layout(self.table.with_columns(places), texts, natural, least)

    def fits(self, width: int, spacing: Spacing = ROOMY, *, wrapped: bool = False) -> bool:
        """Whether it takes at most ``width`` characters."""
        return self._room(width, spacing) >= sum(self.least if wrapped else self.natural)

    def _room(self, width: int, spacing: Spacing) -> int:
        """Characters that are left for the columns themselves."""
        return width - spacing.edge - spacing.gap * (len(self.natural) - 1)

    def drawn(self, width: int, spacing: Spacing = ROOMY, *, title: str | None = None) -> Table:
        """The table as it is printed, with a line between its bodies.

        Args:
            width: of the console; the first columns get the room that wrapped texts leave.
            spacing: how close its columns are.
            title: by default its caption.
        """
        title = self.table.caption if title is None else title
        made = Table(
            title=Text(title) if title else None,
            box=box.SIMPLE_HEAD,
            title_justify="left",
            title_style="bold",
            pad_edge=False,
            show_edge=spacing.edge > 0,
            padding=cast(PaddingDimensions, spacing.padding),
        )
        spare = self._room(width, spacing) - sum(self.least)
        for column, natural, least in zip(
            self.table.columns, self.natural, self.least, strict=True
        ):
            more = max(0, min(natural - least, spare))
            spare -= more
            made.add_column(
                printable_line(column.heading),
                justify="right" if column.number else "left",
                overflow="fold",
                width=least + more,
            )
        for number, body in enumerate(self.texts):
            if number:
                made.add_section()
            for row in body:
                made.add_row(*row)
        return made


def _text(field: Field) -> Text:
    style = "yellow" if field.class_ == "other" else _STYLES.get(field.badge, "")
    text = Text(printable_line(field.shown), style=style)
    if field.interval:
        text.append(f" ({field.interval})")
    if field.note and not field.missing:
        text.append(f" ({printable_line(field.note)})", style="yellow")
    return text


def fitted(table: ReportTable, console: TextConsole, *, naming: int = 1) -> Iterator[Table]:
    """All columns, split over as many tables as the console's width requires.

    Args:
        table: what is shown.
        console: where.
        naming: how many of its first columns begin every table.
    """
    whole = _Layout.of(table)
    head = list(range(naming))
    chosen = list(head)
    title: str | None = None
    for at in range(naming, len(table.columns)):
        wider = whole.of_columns([*chosen, at])
        if not wider.fits(console.width) and len(chosen) > naming:
            yield whole.of_columns(chosen).drawn(console.width, title=title)
            chosen, title = list(head), ""
        chosen.append(at)
    yield whole.of_columns(chosen).drawn(console.width, title=title)


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A table as a console shows it.

    Attributes:
        parts: one table, or several with some of the columns each.
        left_out: headings of the columns that are not shown.
    """

    parts: Sequence[Table]
    left_out: Sequence[str] = ()


def most_important(
    table: ReportTable,
    console: TextConsole,
    *,
    least: int,
    bounded: Sequence[str] = (),
    naming: int = 1,
    wide: bool = False,
    spacings: Sequence[Spacing] = (ROOMY, CLOSE, TIGHT),
) -> ShownTable:
    """One table with as many of the columns as the console is wide.

    Args:
        table: with the most important columns first.
        console: where.
        least: how many of its columns must be shown: if need be without intervals, closer together,
            with texts wrapped, and in several tables only if even that does not fit.
        bounded: headings of the columns that keep their intervals longest, the most important
            first.
        naming: how many of its first columns begin every table if there are several.
        wide: show all columns, in several tables if need be.
        spacings: how close its columns may be, the widest first.
    """
    if wide:
        return ShownTable(list(fitted(table, console, naming=naming)))
    width, whole = console.width, _Layout.of(table)
    if whole.of_columns(range(least)).fits(width, spacings[0]):
        chosen = list(range(least))
        for at in range(least, len(table.columns)):
            if whole.of_columns([*chosen, at]).fits(width, spacings[0]):
                chosen.append(at)
        left_out = [each.heading for at, each in enumerate(table.columns) if at not in chosen]
        return ShownTable([whole.of_columns(chosen).drawn(width, spacings[0])], left_out)
    first = table.with_columns(range(least))
    left_out = [each.heading for each in table.columns[least:]]
    layouts = [
        _Layout.of(first.without_intervals(bounded[:kept])) for kept in range(len(bounded), -1, -1)
    ]
    with_intervals, without = layouts[:-1], layouts[-1:]
    ways = [*product((False, True), with_intervals), *product((False, True), without)]
    for (wrapped, layout), spacing in product(ways, spacings):
        if layout.fits(width, spacing, wrapped=wrapped):
            return ShownTable([layout.drawn(width, spacing)], left_out)
    return ShownTable(list(fitted(first, console, naming=naming)), left_out)


def not_shown(left_out: Iterable[str], command: str, console: TextConsole) -> Text | None:
    """A line that names the columns that were left out, and the command that shows them."""
    headings = ", ".join(dict.fromkeys(left_out))
    if not headings:
        return None
    line = f"Not shown at this width: {headings}; {command}"
    return lines([line], console, indent="", style="dim")


def show_list(
    headings: Sequence[str], rows: Iterable[Sequence[str]], *, least: int, more: str
) -> None:
    """Print a list on stdout, with as many of its columns as there is room for.

    Args:
        headings: of the columns, the most important first.
        rows: one text per column.
        least: how many of the columns must be shown, if need be with texts wrapped.
        more: the command that shows everything.
    """
    console = output_console()
    columns = [TableColumn(each) for each in headings]
    table = ReportTable(columns, [[TableRow(list(row)) for row in rows]], caption="")
    shown = most_important(table, console, least=least, spacings=(CLOSE, TIGHT))
    for part in (*shown.parts, not_shown(shown.left_out, more, console)):
        if part is not None:
            console.print(part)


def lines(
    texts: Iterable[str], console: TextConsole, *, indent: str = "  ", style: str = ""
) -> Text:
    """Sentences, each on lines of its own, the further ones indented by two more blanks."""
    wrapper = textwrap.TextWrapper(
        width=console.width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return Text("\n".join(line for text in texts for line in wrapper.wrap(text)), style=style)
