"""Foreign text made printable: without what acts on a terminal or a page and is not seen.

Texts of backends, recordings, tags and other people's bundles pass one of these functions before
they are shown. Markup (HTML, Markdown) is left to the format that the text is put into.
"""

from __future__ import annotations

import re

UNSEEN = re.compile(
    # Control characters but tabs and line feeds, and the marks that turn the direction of text
    # (Trojan Source: Boucher and Anderson 2021).
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    # Line ends that only some programs see, deprecated shaping controls, tags, lone surrogates, and
    # what is no character (XML 1.0 has no form for it).
    "\u2028\u2029\u206a-\u206f\ufeff\U000e0000-\U000e007f\ud800-\udfff\ufffe\uffff]"
)
REPLACEMENT = "\ufffd"
_NEW_LINE = re.compile(r"\r\n?")


def printable(text: str) -> str:
    """``text`` with its lines ended by newlines, and U+FFFD for every unseen character."""
    return UNSEEN.sub(REPLACEMENT, _NEW_LINE.sub("\n", text))


def printable_line(text: str) -> str:
    """:func:`printable` on one line."""
    return UNSEEN.sub(REPLACEMENT, " ".join(text.split()))


def printable_name(text: str) -> str:
    """``text`` as a name: on one line, only of characters for which ``str.isprintable`` holds.

    Stricter than :func:`printable_line`: a bundle with any other name is refused.
    """
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
