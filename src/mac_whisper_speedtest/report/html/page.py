"""A whole page in one file: it asks nobody for anything, and nothing put into it can run.

The ready-made chart libraries were tried and are not used: Vega, which altair draws with, compiles
its expressions with ``eval``, which a strict policy forbids, and is 0.9 MB; others are larger or
load from a content network. The drawings of :mod:`~mac_whisper_speedtest.report.html.charts` need
no script at all.
"""

from __future__ import annotations

import base64
import hashlib
import html
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

from mac_whisper_speedtest.report.table import MISSING

# Making HTML so that text stays text: what is not :class:`Html` is escaped where it is put in.


_VOID = frozenset({"br", "col", "hr", "img", "input", "link", "meta", "wbr"})
# Without content these may end in "/>", which is shorter; thousands of dots are drawn.
_EMPTY = frozenset({"circle", "line", "path", "polygon", "polyline", "rect", "use"})


class Html(str):
    """HTML that may stand in a page as it is."""

    __slots__ = ()


def escaped(text: object) -> Html:
    """``text`` for an element's content or a quoted attribute.

    What would act on a page without being seen is made visible: the marks that turn the direction
    of text (Trojan Source: Boucher and Anderson 2021) as ``⟨U+202E⟩``, control characters as their
    pictures, surrogates, which UTF-8 cannot hold, as U+FFFD. Line ends and tabs stay.
    """
    return Html(html.escape(str(text).translate(_SHOWN)))


def tag(name: str, /, *children: str, **attributes: object) -> Html:
    """One element.

    Args:
        name: its tag.
        children: what is in it; plain text is escaped.
        attributes: ``class_`` is ``class`` and ``aria_label`` is ``aria-label``. ``None`` and
            ``False`` leave one out, ``True`` writes it without a value.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        label = key.rstrip("_").replace("_", "-")
        parts.append(label if value is True else f'{label}="{escaped(value)}"')
    opening = " ".join(parts)
    inner = join(children)
    if name in _VOID:
        return Html(f"<{opening}>")
    if not inner and name in _EMPTY:
        return Html(f"<{opening}/>")
    return Html(f"<{opening}>{inner}</{name}>")


def join(parts: Iterable[str], between: str = "") -> Html:
    """The parts one after the other; plain text is escaped, in ``between`` too."""
    glue = _safe(between)
    return Html(glue.join(_safe(part) for part in parts))


def clipped(text: str, limit: int) -> str:
    """At most ``limit`` characters of ``text``, and how many more there are."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} characters more)"


def _safe(part: str) -> str:
    return part if isinstance(part, Html) else escaped(part)


def _shown() -> dict[int, str]:
    """What stands for each character that is not to be let through."""
    found: dict[int, str] = {}
    for code in (*range(0x20), 0x7F):
        picture = 0x2421 if code == 0x7F else 0x2400 + code
        found[code] = chr(picture)
    for kept in "\t\n":
        del found[ord(kept)]
    found[ord("\r")] = ""  # line ends are \n
    found |= {code: f"⟨U+{code:04X}⟩" for code in range(0x80, 0xA0)}
    turning = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200E, 0x200F]
    # Deprecated shaping controls, tags, and line ends that only some programs see.
    hidden = [*range(0x206A, 0x2070), *range(0xE0000, 0xE0080), 0x2028, 0x2029, 0xFEFF]
    for code in (*turning, *hidden):
        assert unicodedata.category(chr(code)) in {"Cf", "Cn", "Zl", "Zp"}
        found[code] = f"⟨U+{code:04X}⟩"
    found |= dict.fromkeys(range(55296, 57344), "�")
    return found


_SHOWN = _shown()


_GENERATOR = "mac-whisper-speedtest"


def page(*, title: str, body: str, styles: str = "", scripts: str = "") -> str:
    """A whole offline HTML document.

    Its policy allows the page's own style sheets and scripts, by their SHA-256, and nothing else:
    no request, no inline handler, no ``style`` attribute, no form, no ``<base>``.

    The shared script gives: ``table.sortable``, whose headings become buttons (a cell's
    ``data-value`` counts for more than its text; one that is empty comes last; rows stay in their
    ``tbody``; ``th.unsortable`` stays as it is); ``.filters[data-for="ID ..."]``, whose
    ``input[type=search]`` and ``select[data-key=NAME]`` hide the rows of those tables (a row's
    ``data-NAME`` must be the choice) and whose ``output`` says how many are left; a button that
    changes between light and dark; everything unfolded on paper.

    Args:
        title: plain text, for the tab.
        body: HTML, as it is to stand in ``<main>``. Whoever made it has escaped every text in it.
        styles: CSS beside the shared one.
        scripts: JavaScript beside the shared one.

    Returns:
        The document; the same for the same arguments.

    Raises:
        ValueError: the CSS or JavaScript would end its own element.
    """
    sheets = [each for each in (_shared("page.css"), styles) if each]
    programs = [each for each in (_shared("page.js"), scripts) if each]
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(sheets, programs)),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="generator", content=_GENERATOR),
        tag("title", title),
        # Without one, a browser asks a server that the page lies on for /favicon.ico.
        tag("link", rel="icon", href="data:,"),
        *(_raw("style", each) for each in sheets),
    ]
    inside = [
        tag("a", "Skip to the content", class_="skip", href="#main"),
        tag("button", "Light or dark", type="button", class_="theme", hidden=True),
        tag("main", Html(body), id="main", tabindex="-1"),
        *(_raw("script", each) for each in programs),
    ]
    return join(
        [
            Html("<!doctype html>\n"),
            Html('<html lang="en">\n<head>\n'),
            join(head, Html("\n")),
            Html("\n</head>\n<body>\n"),
            join(inside, Html("\n")),
            Html("\n</body>\n</html>\n"),
        ]
    )


def _policy(sheets: list[str], programs: list[str]) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src {' '.join(map(_hash, sheets))}",
            f"script-src {' '.join(map(_hash, programs))}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _raw(name: str, content: str) -> Html:
    """An element whose content a browser does not read as HTML."""
    if f"</{name}" in content.lower() or "<!--" in content:
        raise ValueError(f"the content of <{escaped(name)}> would end it, or hide what follows")
    return Html(f"<{name}>{content}</{name}>")


def _shared(name: str) -> str:
    # Line ends count in the hash, and a browser reads \r\n as \n before it hashes.
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


# Tables that scroll in their own box and can be sorted by the page's script.


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


def table(
    columns: Sequence[TableColumn],
    bodies: Sequence[Sequence[TableRow]],
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


def _row(columns: Sequence[TableColumn], row: TableRow) -> Html:
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
