"""A whole page in one file: it asks nobody for anything, and nothing put into it can run.

The ready-made chart libraries were tried and are not used: Vega, which altair draws with, compiles
its expressions with ``eval``, which a strict policy forbids, and is 0.9 MB; others are larger or
load from a content network. The drawings of :mod:`~mac_whisper_speedtest.report.html.charts` need
no script at all.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from mac_whisper_speedtest.report.html.markup import Html, escaped, join, tag

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
