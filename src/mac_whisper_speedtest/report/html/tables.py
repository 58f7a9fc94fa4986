"""Tables of a page, which its script can sort; and figures as their fields.

The texts of fields are those of :mod:`~mac_whisper_speedtest.results.cells`; ``tables.html`` among
the templates draws the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mac_whisper_speedtest.results import cells
from mac_whisper_speedtest.results.cells import MISSING
from mac_whisper_speedtest.results.schema import Bounds, CellResult, Summary


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column.

    Attributes:
        heading: its name, with the unit.
        number: whether its fields are numbers, set to the right.
        sortable: whether the page may sort by it.
        long: whether its fields are sentences.
    """

    heading: str
    number: bool = False
    sortable: bool = True
    long: bool = False

    @property
    def heading_class(self) -> str:
        """The classes of its heading."""
        return f"{'number' * self.number} {'unsortable' * (not self.sortable)}".strip()


def number_columns(*headings: str) -> list[TableColumn]:
    """Columns of numbers."""
    return [TableColumn(each, number=True) for each in headings]


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        shown: what is read.
        value: what it is sorted by, where that is not what is read; ``""`` comes last.
        class_: of ``page.css``.
        badge: makes what is read a badge of this class: ``good``, ``warn`` or ``bad``.
        element: ``code`` or ``em``, which what is read then stands in.
        interval: stands after it, as an interval does.
        bare: whether the interval is only the smallest and the largest value.
        note: stands after it, small.
        warning: stands after it, as a badge.
    """

    shown: str
    value: float | str | None = None
    class_: str = ""
    badge: str = ""
    element: str = ""
    interval: str = ""
    bare: bool = False
    note: str = ""
    warning: str = ""

    @property
    def plain(self) -> bool:
        """Whether it is its text and nothing else."""
        return not (self.badge or self.element or self.interval or self.note or self.warning)


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row; the first field names it.

    Attributes:
        fields: as many as there are columns.
        keys: what the choices of a filter are compared with: ``data-NAME`` → value.
        class_: of ``page.css``.
    """

    fields: Sequence[str | Field]
    keys: Mapping[str, str] = field(default_factory=dict)
    class_: str = ""


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table in a box that scrolls: ``table`` in ``tables.html`` draws it.

    Attributes:
        columns: what each field is.
        bodies: rows that may be sorted among each other; a double line parts one body from the
            next.
        caption: what the table is.
        name: its id, where a filter needs one.
        sortable: whether headings become buttons.
        tall: whether it may be long; then it scrolls downwards in its box, too.
    """

    columns: Sequence[TableColumn]
    bodies: Sequence[Sequence[TableRow]]
    caption: str
    name: str = ""
    sortable: bool = True
    tall: bool = False

    def cells(self, row: TableRow) -> Iterator[tuple[str, str, Field]]:
        """The element of each field of a row, its classes, and the field."""
        element = "th"
        for column, each in zip(self.columns, row.fields, strict=True):
            found = each if isinstance(each, Field) else Field(each)
            class_ = f"{found.class_} {'number' * column.number} {'words' * column.long}"
            yield element, " ".join(class_.split()), found
            element = "td"


# Figures as fields; where there is none, the field says so and is sorted last.


def number_field(value: float | None, form: str, factor: float = 1.0) -> Field:
    """A number: shown by ``form``, sorted by itself."""
    if value is None:
        return Field(MISSING, "")
    return Field(format(value * factor, form), value)


def interval_field(value: float | None, bounds: Bounds | None, form: str) -> Field:
    """A figure with its interval; sorted by the figure."""
    if value is None or bounds is None:
        return number_field(value, form)
    return Field(
        format(value, form), value, interval=cells.range_text(bounds.low, bounds.high, form)
    )


def rank_field(rank: int | None, rank_last: int | None, group: str | None) -> Field:
    """The ranks that are open to something; sorted by group."""
    if rank is None:
        return Field(MISSING, "")
    text = cells.rank_text(rank, rank_last, group)
    return Field(text, f"{group} {rank:03d} {rank_last or rank:03d}")


def status_field(cell: CellResult) -> Field:
    """How the cell ended, in a word; never by color alone."""
    status = cells.status_of(cell)
    badge = "good" if status == cells.OK else "bad"
    return Field(status, status, badge=badge, note=cells.findings_of(cell))


def error_rate_field(summary: Summary) -> Field:
    """The corpus rate in per cent; where characters were counted it says so."""
    found = summary.accuracy
    if found is None or found.rate is None:
        return Field(MISSING, "")
    return Field(cells.error_rate_text(found.rate, found.metric), found.rate)
