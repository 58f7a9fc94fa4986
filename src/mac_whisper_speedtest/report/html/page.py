"""A whole page in one file: it asks nobody for anything, and nothing put into it can run.

Pages are Jinja2 templates, in the folder ``templates`` beside this file; what is put into them is
escaped where it is not :class:`~markupsafe.Markup`. Jinja2 is imported when something is rendered,
so that a notebook or a program that only measures does without it.

The ready-made chart libraries were tried and are not used: Vega, which altair draws with, compiles
its expressions with ``eval``, which a strict policy forbids, and is 0.9 MB; others are larger or
load from a content network. The drawings of :mod:`~mac_whisper_speedtest.report.html.charts` need
no script at all.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING

from markupsafe import Markup

from mac_whisper_speedtest.printable import UNSEEN
from mac_whisper_speedtest.results.cells import MISSING

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, /, *, package: str = __package__, **context: object) -> Markup:
    """HTML from a template, without characters that act on a page without being seen.

    Whole pages and their parts all come from here, so no text gets past :func:`visible`.

    Args:
        template: file name in the package's folder ``templates``, or in the one beside this file.
        package: whose templates are looked for first.
        context: the names that the template uses. One that is missing is an error.
    """
    made = _environment(package).get_template(template).render(context)
    return Markup(visible(made))  # noqa: S704  (autoescaped)


@functools.cache
def _environment(package: str) -> Environment:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader(
            [PackageLoader(each) for each in dict.fromkeys((package, __package__))]
        ),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def visible(text: str) -> str:
    """``text`` with what would act on a page without being seen made visible.

    Of the characters of ``printable.UNSEEN``, control characters become their pictures, surrogates,
    which UTF-8 cannot hold, U+FFFD, and all others, such as marks that turn the direction of text,
    ``⟨U+202E⟩``.
    """

    def picture(found: re.Match[str]) -> str:
        code = ord(found[0])
        if code < 0x20:
            return "" if found[0] == "\r" else chr(0x2400 + code)
        if code == 0x7F:
            return "␡"
        return "\ufffd" if 0xD800 <= code < 0xE000 else f"⟨U+{code:04X}⟩"

    return UNSEEN.sub(picture, text)


def clipped(text: str, limit: int) -> str:
    """At most ``limit`` characters of ``text``, and how many more there are."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} characters more)"


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
    sheets = [_raw("style", each) for each in (shared(__package__, "page.css"), styles) if each]
    programs = [_raw("script", each) for each in (shared(__package__, "page.js"), scripts) if each]
    return render(
        "page.html",
        title=title,
        body=Markup(body),  # noqa: S704  (escaped by whoever made it)
        policy=_policy(sheets, programs),
        sheets=sheets,
        programs=programs,
    )


def _policy(sheets: Sequence[str], programs: Sequence[str]) -> str:
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


def _raw(element: str, content: str) -> Markup:
    """The content of an element that a browser does not read as HTML."""
    if f"</{element}" in content.lower() or "<!--" in content:
        raise ValueError(f"the content of <{element}> would end it, or hide what follows")
    return Markup(content)  # noqa: S704  (a file of ours)


def shared(package: str, name: str) -> str:
    """The text of a file of a package, with the line ends that a browser hashes it with."""
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
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

    @property
    def heading_class(self) -> str:
        """The classes of its heading."""
        return f"{'number' * self.number} {'unsortable' * (not self.sortable)}".strip()


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


def number(value: float | None, form: str, factor: float = 1.0) -> Field:
    """A number as a field: shown by ``form``, sorted by itself."""
    if value is None:
        return Field(MISSING, "")
    return Field(format(value * factor, form), value)
