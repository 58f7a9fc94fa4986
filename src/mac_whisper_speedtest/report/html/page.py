"""Renders a page as one file that makes no request and in which no text can become code.

Values in the templates (Jinja2) are escaped unless they are :class:`~markupsafe.Markup`. Jinja2 is
imported when a template is rendered, because a program that only measures does not need it.

Chart libraries were tried and are not used: Vega (of altair) compiles expressions with ``eval``,
which a strict policy forbids, and is 0.9 MB; others are larger or load from a content network.
:mod:`~mac_whisper_speedtest.report.html.charts` needs no script.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from markupsafe import Markup

from mac_whisper_speedtest.printable import UNSEEN

if TYPE_CHECKING:
    from jinja2 import Environment


def render(template: str, /, *, package: str = __package__, **context: object) -> Markup:
    """HTML from a template. All HTML comes from here, so every text passes :func:`visible`.

    Args:
        template: file name in the ``templates`` folder of the package, or of this file.
        package: its templates are preferred.
        context: the names that the template uses; a missing one is an error.
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
    """``text`` with the characters of ``printable.UNSEEN`` made visible.

    Control characters become their pictures (``␛``), surrogates, which UTF-8 cannot encode, become
    U+FFFD, and all others, such as marks that change the direction of text, ``⟨U+202E⟩``.
    """

    def picture(found: re.Match[str]) -> str:
        code = ord(found[0])
        if code < 0x20:
            return "" if found[0] == "\r" else chr(0x2400 + code)
        if code == 0x7F:
            return "␡"
        return "\ufffd" if 0xD800 <= code < 0xE000 else f"⟨U+{code:04X}⟩"

    return UNSEEN.sub(picture, text)


def page(*, title: str, body: str, styles: str = "", scripts: str = "") -> str:
    """A complete offline HTML document; equal arguments give equal documents.

    Its policy allows the page's own style sheets and scripts, by SHA-256, and nothing else: no
    request, no inline handler, no ``style`` attribute, no form, no ``<base>``.

    The shared script provides:

    - ``table.sortable``: headings become buttons, except ``th.unsortable``. A cell sorts by its
      ``data-value``, else by its text; an empty ``data-value`` comes last. Rows stay in their
      ``tbody``.
    - ``.filters[data-for="ID ..."]``: its ``input[type=search]`` and ``select[data-key=NAME]``
      (compared with a row's ``data-NAME``) hide rows of these tables; its ``output`` counts rows.
    - A button that switches between light and dark; and everything is unfolded for printing.

    Args:
        title: plain text, for the tab.
        body: HTML of ``<main>``, in which the caller has escaped every text.
        styles: further CSS.
        scripts: further JavaScript.

    Raises:
        ValueError: the CSS or JavaScript would end its own element.
    """
    sheets = [_raw("style", each) for each in (shared(__package__, "page.css"), styles) if each]
    programs = [_raw("script", each) for each in (shared(__package__, "page.js"), scripts) if each]
    made = render(
        "page.html",
        title=title,
        body=Markup(body),  # noqa: S704  (escaped by the caller)
        policy=_policy(sheets, programs),
        sheets=sheets,
        programs=programs,
    )
    return str(made)


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
    """The content of an element that a browser does not parse as HTML."""
    if f"</{element}" in content.lower() or "<!--" in content:
        raise ValueError(f"the content of <{element}> would end it or start a comment")
    return Markup(content)  # noqa: S704  (a file of ours)


def shared(package: str, name: str) -> str:
    """The text of a package's file, with the line ends that a browser uses for its hash."""
    text = resources.files(package).joinpath(name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of a large run is in a page.

    Attributes:
        sample_rows: rows of the table of samples; above, it has a row per cell and round.
        dots: samples that are drawn; above, rounds are drawn as boxes.
        recordings: the recordings of a set to show with texts.
        units: words (or characters, if these are counted) of one recording that are aligned.
        message: characters of one message or log.
        entries: omitted recordings that are named, and lines of other long lists.
    """

    sample_rows: int = 1500
    dots: int = 4000
    recordings: int = 20
    units: int = 4000
    message: int = 4000
    entries: int = 200

    def halved(self) -> Limits:
        """Half of everything, but at least a little of each."""
        return Limits(
            sample_rows=self.sample_rows // 2,
            dots=self.dots // 2,
            recordings=max(1, self.recordings // 2),
            units=max(50, self.units // 2),
            message=max(100, self.message // 2),
            entries=max(5, self.entries // 2),
        )
