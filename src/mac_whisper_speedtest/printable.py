"""Removes characters from foreign text that are invisible but act on a terminal or a page.

Texts of backends, recordings, tags and bundles pass one of these functions before they are shown.
Escaping (HTML, Markdown) is the task of each format.
"""

from __future__ import annotations

import re

UNSEEN = re.compile(
    # Control characters except tabs and line feeds, and marks that change the direction of text
    # (Trojan Source: Boucher and Anderson 2021).
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
    # Line ends that only some programs know, deprecated shaping controls, tags, lone surrogates,
    # and noncharacters (which XML 1.0 cannot represent).
    "\u2028\u2029\u206a-\u206f\ufeff\U000e0000-\U000e007f\ud800-\udfff\ufffe\uffff]"
)
REPLACEMENT = "\ufffd"
_NEW_LINE = re.compile(r"\r\n?")


def printable(text: str) -> str:
    """``text`` with line feeds as line ends, and U+FFFD for every character of :data:`UNSEEN`."""
    return UNSEEN.sub(REPLACEMENT, _NEW_LINE.sub("\n", text))


def printable_line(text: str) -> str:
    """:func:`printable` on one line."""
    return UNSEEN.sub(REPLACEMENT, " ".join(text.split()))


def printable_name(text: str) -> str:
    """``text`` as a name: on one line, only of characters for which ``str.isprintable`` holds.

    Stricter than :func:`printable_line`: a bundle with any other name is refused.
    """
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
