"""Tables and their fields, as the terminal (``terminal``) and pages (``tables.html``) dress them.

Texts of fields are those of :mod:`~mac_whisper_speedtest.results.cells`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mac_whisper_speedtest.limits import LONGEST_MESSAGE
from mac_whisper_speedtest.printable import clipped
from mac_whisper_speedtest.results import cells
from mac_whisper_speedtest.results.cells import LONGEST_FIELD, MISSING
from mac_whisper_speedtest.results.schema import AccuracyResult, Bounds, CellResult


@dataclass(frozen=True, slots=True)
class TableColumn:
    """One column.

    Attributes:
        heading: its name, with the unit.
        number: whether its fields are numbers, aligned right.
        long: whether its fields are sentences.
    """

    heading: str
    number: bool = False
    sortable: bool = True
    long: bool = False

    @property
    def heading_class(self) -> str:
        """CSS classes of its heading."""
        return f"{'number' * self.number} {'unsortable' * (not self.sortable)}".strip()


def number_columns(*headings: str) -> list[TableColumn]:
    """One column of numbers per heading."""
    return [TableColumn(each, number=True) for each in headings]


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        shown: the text.
        value: the sort key, if not the text; ``""`` comes last.
        class_: a class of ``page.css``; ``other`` marks a deviation.
        badge: shows the text as a badge of this class: ``good``, ``warn`` or ``bad``.
        element: ``code`` or ``em``, for the text.
        interval: follows the text.
        bare: whether the interval is only the smallest and the largest value.
        note: follows the text in small print.
        warning: follows the text as a badge.
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
        """Whether it is only a text."""
        return not (self.badge or self.element or self.interval or self.note or self.warning)

    @property
    def missing(self) -> bool:
        """Whether its figure is unknown."""
        return self.value == ""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row; the first field names it.

    Attributes:
        fields: as many as there are columns.
        keys: ``data-NAME`` → value, which filters compare.
        class_: a class of ``page.css``.
    """

    fields: Sequence[str | Field]
    keys: Mapping[str, str] = field(default_factory=dict)
    class_: str = ""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table.

    Attributes:
        bodies: groups of rows, each of which is sorted separately; double lines separate them.
        name: its id on a page, if a filter needs one.
        sortable: whether headings become buttons on a page.
        tall: whether it may be long and therefore scrolls vertically on a page, too.
    """

    columns: Sequence[TableColumn]
    bodies: Sequence[Sequence[TableRow]]
    caption: str
    name: str = ""
    sortable: bool = True
    tall: bool = False

    def with_columns(self, places: Iterable[int]) -> ReportTable:
        """The same rows with only the columns at these places."""
        places = list(places)
        bodies = [
            [replace(row, fields=[row.fields[at] for at in places]) for row in body]
            for body in self.bodies
        ]
        return replace(self, columns=[self.columns[at] for at in places], bodies=bodies)

    def without_empty(self, headings: Collection[str]) -> ReportTable:
        """The table without the empty ones of these columns."""
        return self.with_columns(
            at
            for at, column in enumerate(self.columns)
            if column.heading not in headings
            or not all(as_field(row.fields[at]).missing for body in self.bodies for row in body)
        )

    def without_intervals(self, kept: Collection[str]) -> ReportTable:
        """The table with intervals in these columns only."""
        bodies = [
            [
                replace(
                    row,
                    fields=[
                        field_
                        if isinstance(field_, str) or column.heading in kept
                        else replace(field_, interval="")
                        for column, field_ in zip(self.columns, row.fields, strict=True)
                    ],
                )
                for row in body
            ]
            for body in self.bodies
        ]
        return replace(self, bodies=bodies)

    def fields(self, row: TableRow) -> Iterator[tuple[TableColumn, Field]]:
        """Each field of a row with its column; a foreign text that is too long is cut."""
        for column, field_ in zip(self.columns, map(as_field, row.fields), strict=True):
            most = LONGEST_MESSAGE if column.long else LONGEST_FIELD
            if (len(field_.shown) <= most and len(field_.note) <= most) or field_.class_ == "lines":
                yield column, field_
            else:
                shown, note = clipped(field_.shown, most), clipped(field_.note, most)
                yield column, replace(field_, shown=shown, note=note)

    def cells(self, row: TableRow) -> Iterator[tuple[str, str, Field]]:
        """Element, CSS classes and field, for each field of a row."""
        element = "th"
        for column, found in self.fields(row):
            class_ = f"{found.class_} {'number' * column.number} {'words' * column.long}"
            yield element, " ".join(class_.split()), found
            element = "td"


def as_field(shown: str | Field) -> Field:
    """A plain text as a field; a field unchanged."""
    return shown if isinstance(shown, Field) else Field(shown)


# Figures as fields; missing ones are sorted last.


UNKNOWN = Field(MISSING, "")
"""A figure that is not known."""


def number_field(value: float | None, form: str, factor: float = 1.0) -> Field:
    """A number, shown in the format ``form``."""
    if value is None:
        return UNKNOWN
    return Field(format(value * factor, form), value)


def interval_field(value: float | None, bounds: Bounds | None, form: str) -> Field:
    """A figure with its interval."""
    if value is None or bounds is None:
        return number_field(value, form)
    return Field(
        format(value, form), value, interval=cells.range_text(bounds.low, bounds.high, form)
    )


def rank_field(rank: int | None, rank_last: int | None, group: str | None) -> Field:
    """The possible ranks, sorted by group."""
    if rank is None:
        return UNKNOWN
    text = cells.rank_text(rank, rank_last, group)
    return Field(text, f"{group} {rank:03d} {rank_last or rank:03d}")


def status_field(cell: CellResult) -> Field:
    """How the cell ended, with its findings."""
    status = cells.status_of(cell)
    badge = "good" if status == cells.OK else "bad"
    return Field(status, status, badge=badge, note=cells.findings_of(cell))


def error_rate_field(found: AccuracyResult | None, *, digits: int = 1) -> Field:
    """The error rate of the whole speech, with its interval."""
    if found is None or found.rate is None:
        return UNKNOWN
    low, high = found.rate_low, found.rate_high
    ends = "" if low is None or high is None else cells.range_text(low, high, f".{digits}%")
    shown = cells.error_rate_text(found.rate, found.metric, digits=digits)
    return Field(shown, found.rate, interval=ends)
