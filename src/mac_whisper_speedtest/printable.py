"""Foreign text, freed from characters that are invisible but act on a terminal or a page.

Texts of backends, recordings, tags and bundles pass one of these functions before they are stored
or shown. Escaping (HTML, Markdown) is the task of each format.
"""

from __future__ import annotations

import re

REPLACEMENT = "\ufffd"
_NEW_LINE = re.compile(r"\r\n?")

# Control characters but for tab and newline: a terminal obeys them. The embeddings, overrides and
# isolates of UAX #9: they make a text look like another (Trojan Source: Boucher and Anderson 2021).
# Lone surrogates: no UTF-8 has them.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff"
CONTROL = re.compile(f"[{_CONTROL}]")
"""What no stored text has. Marks such as U+200E belong to a transcript: its error rate must be the
same in a bundle."""
UNSEEN = re.compile(
    # Also the other marks of direction, line ends that only some programs know, deprecated shaping
    # controls, tags, and noncharacters (which XML 1.0 cannot represent).
    f"[{_CONTROL}\u061c\u200e\u200f\u2028\u2029\u206a-\u206f\ufeff\U000e0000-\U000e007f\ufffe\uffff]"
)
"""What no text that is shown has."""
_MAY_BE_CONTROL = re.compile(
    rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]"
    rb"|\\[bfr]|\\u(?:00[01789]|20[26]|[dD][89a-fA-F])"
)


def without_control(text: str) -> str:
    """``text`` with line feeds as line ends, and U+FFFD for every character of :data:`CONTROL`."""
    return CONTROL.sub(REPLACEMENT, _NEW_LINE.sub("\n", text))


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


def duration_text(seconds: float) -> str:
    """``45 s`` or ``3 min``."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def clipped(text: str, limit: int) -> str:
    """At most ``limit`` characters of ``text``, and how many were cut."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit} characters more)"


def escaped_json(document: str) -> str:
    """A JSON document with an escape for every character of :data:`UNSEEN`: the same data."""
    import json

    return UNSEEN.sub(lambda found: json.dumps(found[0])[1:-1], document)


def control_character(text: str) -> str | None:
    """The first of ``text``'s :data:`CONTROL`, as ``U+001B``; ``None`` where it has none."""
    found = CONTROL.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def may_have_control(line: bytes) -> bool:
    """Whether a line of JSON may contain a control character, raw or escaped: a quick test."""
    return _MAY_BE_CONTROL.search(line) is not None


def shown(value: object, longest: int = 60) -> str:
    """A foreign value for use in a message: quoted, escaped and shortened."""
    if isinstance(value, int) and abs(value) >> 64:
        return f"a number of {value.bit_length()} bits"  # its digits are not worth their time
    text = ascii(value)
    return text if len(text) <= longest else f"{text[:longest]}…"
