"""Tables that scroll in their own box and can be sorted by the page's script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mac_whisper_speedtest.report.html.markup import Html, tag
from mac_whisper_speedtest.report.numbers import MISSING


@dataclass(frozen=True, slots=True)
class Column:
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


@dataclass(frozen=True, slots=True)
class Field:
    """One field.

    Attributes:
        shown: what is read; plain text is escaped.
        value: what it is sorted by, where that is not what is read; ``""`` comes last.
        class_: of ``page.css``.
    """

    shown: str
    value: float | str | None = None
    class_: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; the first field names it.

    Attributes:
        fields: as many as there are columns.
        keys: what the choices of a filter are compared with: ``data-NAME`` → value.
        class_: of ``page.css``.
    """

    fields: Sequence[str | Field]
    keys: Mapping[str, str] = field(default_factory=dict)
    class_: str = ""


def table(
    columns: Sequence[Column],
    bodies: Sequence[Sequence[Row]],
    *,
    caption: str,
    name: str = "",
    sortable: bool = True,
    tall: bool = False,
) -> Html:
    """A table in a box that scrolls.

    Args:
        columns: what each field is.
        bodies: rows that may be sorted among each other; a double line parts one body from the
            next.
        caption: what the table is.
        name: its id, where a filter needs one.
        sortable: whether headings become buttons.
        tall: whether it may be long; then it scrolls downwards in its box, too.
    """
    heads = [
        tag(
            "th",
            each.heading,
            scope="col",
            class_=" ".join(
                [*(["number"] if each.number else []), *([] if each.sortable else ["unsortable"])]
            )
            or None,
        )
        for each in columns
    ]
    made = tag(
        "table",
        tag("caption", tag("span", caption)),
        tag("thead", tag("tr", *heads)),
        *(tag("tbody", *(_row(columns, row) for row in body)) for body in bodies if body),
        class_="sortable" if sortable else None,
        id=name or None,
    )
    # A box that scrolls must be reached by keyboard, and say what it is.
    return tag(
        "div",
        made,
        class_="scroll tall" if tall else "scroll",
        tabindex="0",
        role="region",
        aria_label=str(caption),
    )


def number(value: float | None, form: str, factor: float = 1.0) -> Field:
    """A number as a field: shown by ``form``, sorted by itself."""
    if value is None:
        return Field(MISSING, "")
    return Field(format(value * factor, form), value)


def filters(tables: Sequence[str], *, label: str, choices: Mapping[str, Sequence[str]]) -> Html:
    """A search field and choices that hide rows of the tables with these ids.

    Args:
        tables: ids.
        label: what is searched.
        choices: ``data-NAME`` of the rows → what can be chosen.
    """
    selects = [
        tag(
            "label",
            key.replace("-", " "),
            tag(
                "select",
                tag("option", "all", value=""),
                *(tag("option", each) for each in each_key),
                data_key=key,
            ),
        )
        for key, each_key in choices.items()
        if len(each_key) > 1
    ]
    return tag(
        "div",
        tag("label", label, tag("input", type="search")),
        *selects,
        tag("output", ""),
        class_="filters",
        role="search",
        aria_label=label,
        data_for=" ".join(tables),
        hidden=True,
    )


def _row(columns: Sequence[Column], row: Row) -> Html:
    fields = [each if isinstance(each, Field) else Field(each) for each in row.fields]
    cells = []
    for index, (column, each) in enumerate(zip(columns, fields, strict=True)):
        classes = [each.class_, "number" if column.number else "", "words" if column.long else ""]
        cells.append(
            tag(
                "td" if index else "th",
                each.shown,
                scope=None if index else "row",
                class_=" ".join(filter(None, classes)) or None,
                data_value=None if each.value is None else f"{each.value}",
            )
        )
    keys = {f"data_{key}": value for key, value in row.keys.items()}
    return tag("tr", *cells, class_=row.class_ or None, **keys)
