"""Control characters, which could attack the program that shows a text, and are not shared.

Fewer than those that :mod:`~mac_whisper_speedtest.printable` hides when a text is shown: marks such
as U+200E belong to a transcript, and its error rate must be the same in a bundle.
"""

from __future__ import annotations

import re

from mac_whisper_speedtest.printable import REPLACEMENT

_NEW_LINE = re.compile(r"\r\n?")
_ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for tab and newline: a terminal obeys them. The embeddings, overrides and
isolates of UAX #9: they make a text look like another. Lone surrogates: no UTF-8 has them."""
_MAY_ACT = re.compile(
    rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]"
    rb"|\\[bfr]|\\u(?:00[01789]|20[26]|[dD][89a-fA-F])"
)


def cleaned(text: str) -> str:
    """``text`` with its lines ended by newlines, and U+FFFD for every letter that acts."""
    return _ACTING.sub(REPLACEMENT, _NEW_LINE.sub("\n", text))


def control_character(text: str) -> str | None:
    """The first letter of ``text`` that acts, as ``U+001B``; ``None`` where none does."""
    found = _ACTING.search(text)
    return f"U+{ord(found[0]):04X}" if found else None


def has_control_characters(line: bytes) -> bool:
    """Whether a line of JSON may hold such a letter, raw or escaped; it need not hold one."""
    return _MAY_ACT.search(line) is not None


def shown(value: object, longest: int = 60) -> str:
    """Untrusted text for use in a message: quoted, escaped and shortened."""
    if isinstance(value, int) and abs(value) >> 64:
        return f"a number of {value.bit_length()} bits"  # its digits are not worth their time
    text = ascii(value)
    return text if len(text) <= longest else f"{text[:longest]}…"
