"""Which writing system a text is in: what decides how it may be normalised and counted.

Python knows no script of a character, but Unicode's names begin with it: ``THAI CHARACTER KO KAI``.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter

SPACELESS = frozenset(
    {"CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR"}
    | {"TIBETAN"}
)
"""Scripts whose words are not parted by spaces. Chinese, Japanese, Thai, Lao and Burmese are
Whisper's own list (Radford et al. 2022, appendix C); Khmer and Tibetan are written the same way."""
SPACELESS_LANGUAGES = frozenset(
    {"zh", "cmn", "yue", "wuu", "nan", "ja", "jpn", "th", "tha", "lo", "lao", "km", "khm", "my"}
    | {"mya", "bo", "bod", "zho"}
)
ALPHABETS = frozenset({"LATIN", "GREEK", "CYRILLIC"})
"""Scripts whose vowels are letters: what a normaliser does to marks does not eat their words."""


def primary(language: str | None) -> str:
    """The language of a tag: ``en`` of ``en-US``, ``pt`` of ``pt_br``; empty when none is known."""
    return (language or "").strip().casefold().replace("_", "-").partition("-")[0]


@functools.cache
def script_of(character: str) -> str:
    """The script of a letter as the first word of its Unicode name; empty for what is no letter."""
    if not character.isalpha():
        return ""
    first = unicodedata.name(character, "").partition(" ")[0]
    first = first.partition("-")[0]  # KATAKANA-HIRAGANA PROLONGED SOUND MARK
    return unicodedata.name(character).split()[1] if first in {"FULLWIDTH", "HALFWIDTH"} else first


def scripts_of(text: str) -> Counter[str]:
    """How many letters of each script ``text`` has."""
    counted = Counter(script_of(character) for character in text)
    del counted[""]
    return counted


def is_spaceless(language: str | None, text: str) -> bool:
    """Whether the words of ``text`` are not parted by spaces.

    In a language that is written so, one letter of such a script is enough (Chinese names a product
    in Latin letters); in every other, or where the language is not known, most letters must be.
    """
    counted = scripts_of(text)
    without = sum(counted[script] for script in SPACELESS)
    if primary(language) in SPACELESS_LANGUAGES:
        return without > 0 or not counted
    return without > sum(counted.values()) / 2


def is_alphabetic(text: str) -> bool:
    """Whether most letters of ``text`` are Latin, Greek or Cyrillic; also where it has none."""
    counted = scripts_of(text)
    return sum(counted[script] for script in ALPHABETS) >= sum(counted.values()) / 2
