"""A folder of recordings, with the texts that lie beside them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mac_whisper_speedtest.audio.entries import Entry
from mac_whisper_speedtest.errors import AudioError

AUDIO_SUFFIXES: Final = frozenset(
    (
        *(".aac", ".aif", ".aifc", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka"),
        *(".mov", ".mp2", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".sph", ".wav", ".webm"),
        *(".wma", ".wv"),
    )
)
"""What is taken for audio in a folder: there are texts and pictures there too. A file that is named
like audio and is none is left out by name."""


def entries(folder: Path) -> list[Entry]:
    """Every recording in ``folder`` and below, sorted by path; hidden files and folders left out.

    The words of ``talk.mp3`` are those of ``talk.txt`` beside it or, as LibriSpeech has them, the
    line that begins with ``talk`` in a ``*.trans.txt`` of the same folder.

    Raises:
        AudioError: no recordings there, or the folder cannot be read.
    """
    lines: dict[Path, dict[str, str]] = {}
    found = []
    for path in _audio_files(folder):
        text, wrong = None, ""
        try:
            if path.parent not in lines:
                lines[path.parent] = _transcripts(path.parent)
            text = text_beside(path)
        except AudioError as error:
            wrong = error.message.replace(str(path.parent) + os.sep, "")
        if text is None:
            text = lines.get(path.parent, {}).get(path.stem)
        found.append(Entry(name=path.name, audio=path, text=text, no_text=wrong))
    if not found:
        raise AudioError(
            f"there are no recordings in {folder}",
            hint=f"files are taken for audio by their names: {' '.join(sorted(AUDIO_SUFFIXES))}",
        )
    return found


def text_beside(audio: Path) -> str | None:
    """The words in the file beside ``audio``, perhaps blank; None without such a file.

    Raises:
        AudioError: the text cannot be read, or is not UTF-8.
    """
    path = audio.with_suffix(".txt")
    return read_text(path).strip() if path != audio and path.is_file() else None


def read_text(path: Path) -> str:
    """A text file of the user's.

    Raises:
        AudioError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise AudioError(
            f"cannot read the reference {path}: {reason}",
            hint="save it as UTF-8 text, or rename it if it is no transcript",
        ) from error


def transcript_lines(text: str) -> dict[str, str]:
    """Name → words, of lines such as ``1089-134686-0000 HE HOPED THERE WOULD BE STEW``."""
    pairs = (line.strip().partition(" ") for line in text.splitlines())
    return {name: words.strip() for name, _, words in pairs if name}


def _transcripts(folder: Path) -> dict[str, str]:
    lines: dict[str, str] = {}
    for path in sorted(folder.glob("*.trans.txt")):
        lines |= transcript_lines(read_text(path))
    return lines


def _audio_files(folder: Path) -> Iterator[Path]:
    def stop(error: OSError) -> None:
        raise AudioError(
            f"cannot read {error.filename}: {error.strerror}",
            hint="check the permissions of that folder (ls -ld)",
        ) from error

    found = []
    for parent, folders, files in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name)
            for name in files
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES
        ]
    yield from sorted(found)
