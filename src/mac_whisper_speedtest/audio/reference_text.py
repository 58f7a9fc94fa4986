"""Reference texts: the words spoken in a recording, from a file next to it or from an option.

Standard library only, apart from this package's limits.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.errors import AudioError

LARGEST_TEXT: Final = 4 * limits.LONGEST_TEXT
"""Bytes of a reference text: of UTF-8, a character has at most four."""
LARGEST_LIST: Final = 1 << 30
"""Bytes of a list of texts or of recordings: a million lines of 1000 bytes."""

_MARKS: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""How files in other encodings begin; UTF-32 first, because UTF-16's mark begins its own."""
_LONGEST_PATH: Final = 4096
"""Characters: a longer text names no file."""


def text_beside(audio: Path) -> str | None:
    """The text in the ``.txt`` file next to ``audio``, perhaps blank; None without such a file.

    Raises:
        AudioError: the text cannot be read, is not UTF-8, or is too long to be a transcript.
    """
    path = audio.with_suffix(".txt")
    if path == audio or not path.is_file():
        return None
    return _checked(read_text(path, largest=LARGEST_TEXT), f"the reference {path}")


def stated_text(given: str, option: str) -> str:
    """The words that an option gives: a file's, if one has this name, else the text itself.

    Args:
        given: the option's value.
        option: its name, for messages.

    Raises:
        AudioError: no words, too many, or a file that is missing or cannot be read as text.
    """
    path = _existing(given)
    if path is not None:
        text, source = read_text(path, largest=LARGEST_TEXT), f"the reference {path}"
    elif given.lower().endswith(".txt") and len(given.split()) == 1:
        raise AudioError(
            f"there is no file {given}", hint=f"give {option} a UTF-8 text file, or the words"
        )
    else:
        text, source = given, f"the text of {option}"
    if not text.strip():
        raise AudioError(f"{source} is blank", hint="write the spoken words into it")
    return _checked(text, source)


def read_text(path: Path, *, largest: int = LARGEST_LIST) -> str:
    """The contents of a UTF-8 file of the user.

    Raises:
        AudioError: it cannot be read, is larger than ``largest`` bytes, or is not UTF-8.
    """
    rename = "save it as UTF-8 text, or rename it if it is not a transcript"
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise AudioError(
            f"cannot read the reference {path}: {error.strerror}", hint=rename
        ) from error
    if len(data) > largest:
        raise AudioError(
            f"cannot read the reference {path}: it has more than {largest >> 20} MiB", hint=rename
        )
    reason = ""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        other = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "")
        text, reason = (
            "",
            f"it is {other}, not UTF-8" if other else f"byte {error.start} is not UTF-8",
        )
    if "\0" in text:  # as between the letters of UTF-16
        reason = f"it is not UTF-8 text: byte {data.index(0)} is 0"
    if reason:
        raise AudioError(f"cannot read the reference {path}: {reason}", hint=rename)
    return text


def transcript_lines(text: str) -> dict[str, str]:
    """Words by name, from lines such as ``1089-134686-0000 HE HOPED THERE WOULD BE STEW``."""
    pairs = (line.strip().partition(" ") for line in text.splitlines())
    return {name: words.strip() for name, _, words in pairs if name}


def _existing(given: str) -> Path | None:
    """The file of this name; None if it does not exist, or the text cannot be a name."""
    if not given or len(given) > _LONGEST_PATH or "\0" in given:
        return None
    path = Path(given).expanduser()
    try:
        if path.is_file():
            return path
        there = path.exists()
    except OSError:  # a part of it is too long for a name
        return None
    if there:
        raise AudioError(f"{given} is not a text file", hint="give a UTF-8 text file, or the words")
    return None


def _checked(text: str, source: str) -> str:
    """``text`` without blanks around it; an AudioError if it is too long to be a transcript."""
    text = text.strip()
    if len(text) > limits.LONGEST_TEXT:
        raise AudioError(
            f"{source} has {len(text)} characters; at most {limits.LONGEST_TEXT}",
            hint="rename it if it is not a transcript",
        )
    return text
