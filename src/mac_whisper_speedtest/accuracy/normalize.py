"""Pinned text normalizers by name: they define which texts count as the same words.

Another normalizer, or another version of it, gives another error rate. So its name and version are
recorded with every rate, and the raw text is always kept.
"""

from __future__ import annotations

import functools
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from mac_whisper_speedtest.errors import UsageError

# Writing systems. Python has no script property, but Unicode's character names begin with the
# script: ``THAI CHARACTER KO KAI``.


SPACELESS = frozenset(
    {"CJK", "HIRAGANA", "KATAKANA", "IDEOGRAPHIC", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR"}
    | {"TIBETAN"}
)
"""Scripts without spaces between words. Chinese, Japanese, Thai, Lao and Burmese are
Whisper's own list (Radford et al. 2022, appendix C); Khmer and Tibetan are written the same way."""
SPACELESS_LANGUAGES = frozenset(
    {"zh", "cmn", "yue", "wuu", "nan", "ja", "jpn", "th", "tha", "lo", "lao", "km", "khm", "my"}
    | {"mya", "bo", "bod", "zho"}
)
ALPHABETS = frozenset({"LATIN", "GREEK", "CYRILLIC"})
"""Scripts with vowels as letters: removing marks does not destroy their words."""


def primary(language: str | None) -> str:
    """The language of a tag: ``en`` of ``en-US``, ``pt`` of ``pt_br``; empty if unknown."""
    return (language or "").strip().casefold().replace("_", "-").partition("-")[0]


@functools.cache
def script_of(character: str) -> str:
    """The script of a letter as the first word of its Unicode name; empty for other characters."""
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
    """Whether ``text`` has no spaces between words.

    In a language without spaces, one letter of such a script is enough (Chinese names a product in
    Latin letters); in any other or unknown language, most letters must be of such a script.
    """
    counted = scripts_of(text)
    spaceless = sum(counted[script] for script in SPACELESS)
    if primary(language) in SPACELESS_LANGUAGES:
        return spaceless > 0 or not counted
    return spaceless > sum(counted.values()) / 2


def is_alphabetic(text: str) -> bool:
    """Whether most letters of ``text`` are Latin, Greek or Cyrillic; also where it has none."""
    counted = scripts_of(text)
    return sum(counted[script] for script in ALPHABETS) >= sum(counted.values()) / 2


Metric = Literal["wer", "cer"]

_RULES = "openai-whisper 20250625"
"""The release whose rules ``english`` and ``basic`` follow; a test compares them."""
_LIBRARY = "whisper-normalizer"
_ADDED_RULES = (r"\bkinda\b", r"\bsorta\b", r"\bdunno\b", r"\bcause\b")
"""Patterns that the library adds to the rules: with them "the sacred cause" is another text."""
_OWN_VERSION = 1
"""Version of the rules of ``nfc``. Increase it when they give another text."""

_OTHER_SCRIPTS = frozenset(
    {"am", "ar", "as", "bn", "fa", "gu", "he", "hi", "hy", "iw", "ka", "kn", "ko", "ml", "mr"}
    | {"ne", "or", "pa", "ps", "sa", "sd", "si", "ta", "te", "ti", "ug", "ur", "yi"}
    | {"ara", "ben", "ckb", "fas", "heb", "hin", "kor", "tam", "tel", "urd"}
)
"""Languages with spaces that are not written in Latin, Greek or Cyrillic letters: Whisper's, and a
few more."""
_ENGLISH = frozenset({"en", "eng", "english"})


@dataclass(frozen=True, slots=True)
class Normalizer:
    """One way to make texts comparable.

    Attributes:
        name: ``english``, ``basic``, ``nfc`` or ``none``, as on the command line.
        what: its class or rules.
    """

    name: str
    what: str

    @property
    def version(self) -> str:
        """The installed version, not the pinned one; empty for ``none``."""
        if self.name in _FROM_LIBRARY:
            return metadata.version(_LIBRARY)
        return "" if self.name == "none" else f"{_OWN_VERSION}"

    def describe(self) -> str:
        """In full, with the version of the rules and of the library that applies them."""
        if self.name in _FROM_LIBRARY:
            return f"{self.name} ({_RULES} {self.what}, by {_LIBRARY} {self.version})"
        if self.name == "nfc":
            return f"nfc (version {self.version}, Unicode {unicodedata.unidata_version})"
        return f"none ({self.what})"

    def __call__(self, text: str) -> str:
        """The normalized text: words separated by one space each, none at the ends.

        It accepts any text, even one that :meth:`check` rejects.
        """
        return (_short if len(text) <= _LONGEST_SHORT else _long)(self.name, text)

    def destroys(self, text: str) -> str:
        """The first character of ``text`` that this would remove from a word; empty if none.

        ``basic`` replaces every mark that is no part of a composed letter by a space: नमस्ते becomes
        नमस त. ``english`` drops marks: harmless on é, another word in Hindi or Japanese (で is て).
        """
        if self.name == "basic":
            return next((c for c in unicodedata.normalize("NFKC", text) if _is_mark(c)), "")
        if self.name != "english":
            return ""
        base = ""
        for character in unicodedata.normalize("NFKD", text):
            if not _is_mark(character):
                base = character
            elif script_of(base) not in ALPHABETS | {""}:
                return character
        return ""

    def check(self, reference: str) -> None:
        """Reject a reference with words that this normalizer would destroy.

        Raises:
            UsageError: it would remove vowel signs or other marks from the words of ``reference``.
        """
        mark = self.destroys(reference)
        if mark:
            name = unicodedata.name(mark, f"U+{ord(mark):04X}")
            raise UsageError(
                f"the normalizer {self.name!r} would remove {name} from words such as "
                f"“{_word_with(mark, reference)}”",
                hint="use --normalizer nfc, which keeps every mark",
            )


_FROM_LIBRARY = {"english": "EnglishTextNormalizer", "basic": "BasicTextNormalizer"}

NORMALIZERS: dict[str, Normalizer] = {
    **{name: Normalizer(name, what) for name, what in _FROM_LIBRARY.items()},
    "nfc": Normalizer("nfc", "NFC, case folded, punctuation and symbols to spaces, marks kept"),
    "none": Normalizer("none", "raw text, only spaces evened out"),
}


def named(name: str) -> Normalizer:
    """The normalizer ``name``. Raises UsageError with the choices if it does not exist."""
    found = NORMALIZERS.get(name)
    if found is None:
        raise UsageError(
            f"there is no normalizer {name!r}", hint=f"use one of {', '.join(NORMALIZERS)}"
        )
    return found


def for_language(code: str | None) -> Normalizer:
    """The normalizer that published scores of this language use.

    English has its own rules (spelling, contractions, numbers; Radford et al. 2022, appendix C).
    Other languages in Latin, Greek or Cyrillic letters, and unknown ones, get ``basic``; the rest
    ``nfc``, because ``basic`` breaks words at vowel signs.
    """
    language = primary(code)
    if language in _ENGLISH:
        return NORMALIZERS["english"]
    other = language in _OTHER_SCRIPTS | SPACELESS_LANGUAGES
    return NORMALIZERS["nfc" if other else "basic"]


def for_texts(code: str | None, references: Sequence[str]) -> Normalizer:
    """:func:`for_language`, but ``nfc`` if that would destroy words of the references.

    A single foreign word in English texts changes nothing, because it would change every number.
    """
    chosen = for_language(code)
    whole = " ".join(references)
    broken = chosen.name == "basic" and chosen.destroys(whole)
    return NORMALIZERS["nfc"] if broken or not is_alphabetic(whole) else chosen


def words_of(text: str, *, keep: str = "") -> list[str]:
    """The words of ``text``: NFC, case folded, with every mark and no symbols except ``keep``."""
    return _nfc(text, keep).split()


def _nfc(text: str, keep: str = "") -> str:
    """Drop format characters (joiners, direction marks); put spaces for punctuation and symbols."""
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    kept = []
    for character in folded:
        category = unicodedata.category(character)
        if category == "Cf":
            continue
        separates = category[0] in "PS" and character not in keep
        kept.append(" " if separates else character)
    return "".join(kept)


def _normalized(name: str, text: str) -> str:
    return " ".join(_rules(name)(text).split())


_LONGEST_SHORT = 2000
_short = functools.lru_cache(maxsize=1 << 15)(_normalized)
_long = functools.lru_cache(maxsize=64)(_normalized)
"""Caches: every cell has the same references, and rounds and backends give the same texts.
Long texts are few, short ones many."""


@functools.cache
def _rules(name: str) -> Callable[[str], str]:
    if name == "nfc":
        return _nfc
    if name == "none":
        return str
    with warnings.catch_warnings():
        # Compiling it makes Python warn about its docstrings: with a deprecation warning before
        # 3.12, with a syntax warning since.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", SyntaxWarning)
        from whisper_normalizer import basic, english

    rules: Any = basic.BasicTextNormalizer()
    if name == "english":
        rules = english.EnglishTextNormalizer()
        for pattern in _ADDED_RULES:
            del rules.replacers[pattern]
    applied: Callable[[str], str] = rules
    return applied


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _word_with(mark: str, text: str) -> str:
    """The first word whose decomposition contains ``mark``."""
    words = text.split()
    return next((word for word in words if mark in unicodedata.normalize("NFKD", word)), "")
