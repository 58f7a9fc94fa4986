"""Making HTML so that text stays text: what is not :class:`Html` is escaped where it is put in."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable

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
