"""Entries of manifests, folders and datasets, and the set of recordings that they become."""

from __future__ import annotations

import glob
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from mac_whisper_speedtest.audio import cache, container
from mac_whisper_speedtest.audio.decode import MIN_SECONDS, SAMPLE_RATE, check_file
from mac_whisper_speedtest.audio.recording import (
    AudioSet,
    LeftOut,
    Recording,
    StoredSamples,
    display_name,
    unique_name,
)
from mac_whisper_speedtest.audio.reference_text import read_text, text_beside, transcript_lines
from mac_whisper_speedtest.errors import AudioError, UsageError

_LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset and how much of it, as the user names it.

    Attributes:
        collection: ``librispeech`` or ``hf``.
        name: the split of LibriSpeech, or the repository on the hub.
        revision: the hub's commit; empty for LibriSpeech.
        split: a folder of the repository; empty for the root, and for LibriSpeech.
        n: number of utterances; None for all.
    """

    collection: str
    name: str
    revision: str = ""
    split: str = ""
    n: int | None = None

    @property
    def label(self) -> str:
        """Its name in tables; the revision is in ``source``."""
        parts = [self.collection, self.name]
        parts += [self.split] if self.split else []
        parts += [f"n={self.n}"] if self.n is not None else []
        return ":".join(parts)


@dataclass(frozen=True, slots=True)
class AudioEntry:
    """One listed recording that is not opened yet.

    Attributes:
        name: made printable and unique later.
        audio: the file, or its bytes.
        text: the words spoken; None without a text. A blank text is reported as a mistake.
        no_text: why an expected text is missing; else empty.
        language: two-letter code, or None.
        start_s: start in the recording.
        seconds: duration; None for the rest of the recording.
    """

    name: str
    audio: Path | bytes
    text: str | None = None
    no_text: str = ""
    language: str | None = None
    start_s: float = 0.0
    seconds: float | None = None
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class EntryListing:
    """The entries of a manifest or a folder, and the lines or files that could not become one."""

    entries: list[AudioEntry]
    left_out: list[LeftOut]


def load_entries(
    entries: Iterable[AudioEntry],
    *,
    name: str,
    source: str,
    language: str | None = None,
    left_out: Sequence[LeftOut] = (),
) -> AudioSet:
    """Decode every entry into a set; those that cannot be measured are left out, with a reason.

    Args:
        entries: in the order of the set; as many are held at a time as there are cores.
        name: of the set.
        source: the origin, for a person.
        language: for entries without a stated language.
        left_out: what could not become an entry.

    Raises:
        UsageError: an entry is in another language than the requested one.
        AudioError: none of the entries can be measured.
        StorageError: the PCM cache cannot be written.
    """
    recordings = []
    out = [LeftOut(each.name, display_name(each.reason)) for each in left_out]
    unscored = []
    names: set[str] = set()

    def begun() -> Iterator[_Begun]:
        for entry in entries:
            called = unique_name(display_name(entry.name), names)
            names.add(called)
            spoken = _language(called, entry.language, language)
            yield entry, called, partial(_recording, entry, called, spoken, source)

    for entry, called, decoded in _on_all_cores(begun()):
        try:
            recording = decoded()
        except AudioError as error:
            reason = _without_path(error.message, entry).removeprefix(called)
            out.append(LeftOut(called, display_name(reason)))
            continue
        recordings.append(recording)
        if recording.reference is None and (entry.no_text or entry.text is not None):
            reason = entry.no_text or "its reference text is empty"
            unscored.append(LeftOut(called, display_name(reason)))
    if not recordings:
        raise AudioError(_no_recordings(name, out), hint="list recordings that a player can play")
    return AudioSet(
        name=display_name(name),
        recordings=tuple(recordings),
        source=source,
        kind="set",
        left_out=tuple(out),
        unscored=tuple(unscored),
    )


_Begun = tuple[AudioEntry, str, Callable[[], Recording]]


def _on_all_cores(begun: Iterable[_Begun]) -> Iterator[_Begun]:
    """The results in order; threads call the functions a little ahead.

    Only a little: some entries contain a recording's bytes.
    """
    cores = os.cpu_count() or 1
    pool = ThreadPoolExecutor(cores)
    waiting: deque[_Begun] = deque()
    try:
        for entry, called, decode in begun:
            waiting.append((entry, called, pool.submit(decode).result))
            if len(waiting) > cores:
                yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(cancel_futures=True)


def language_code(tag: str | None) -> str | None:
    """The language of a tag such as ``en``, ``en-US`` or ``EN_gb``; None if it is missing or blank.

    Raises:
        ValueError: it does not begin with a language code of two or three letters.
    """
    if tag is None or not tag.strip():
        return None
    code = re.split(r"[-_]", tag.strip().lower())[0]
    if not _LANGUAGE.fullmatch(code):
        raise ValueError(f"the language {tag!r} is not a code such as en")
    return code


def _recording(entry: AudioEntry, name: str, language: str | None, source: str) -> Recording:
    pcm = cache.decoded(entry.audio, name=name if isinstance(entry.audio, bytes) else "")
    piece = cut(pcm.stored, entry.start_s, entry.seconds, name)
    return Recording(
        name=name,
        pcm=piece,
        reference=(entry.text or "").strip() or None,
        language=language,
        source=source,
        known_sha256=pcm.sha256 if piece == pcm.stored else None,
        speaker=entry.speaker,
    )


def cut(whole: StoredSamples, start_s: float, seconds: float | None, name: str) -> StoredSamples:
    """A piece of a recording.

    Args:
        whole: all of it.
        start_s: start of the piece.
        seconds: its duration; None for the rest of the recording.
        name: its name in messages.

    Raises:
        AudioError: the recording ends earlier, or the piece is too short.
    """
    start = round(start_s * SAMPLE_RATE)
    end = whole.count if seconds is None else start + round(seconds * SAMPLE_RATE)
    # Durations in manifests are rounded, some to 10 ms.
    if end > whole.count + SAMPLE_RATE // 50:
        raise AudioError(
            f"{name} is cut at {start_s:g}-{end / SAMPLE_RATE:g} s, but the recording has "
            f"{whole.count / SAMPLE_RATE:g} s"
        )
    piece = StoredSamples(whole.path, max(min(end, whole.count) - start, 0), start)
    if piece.count < MIN_SECONDS * SAMPLE_RATE:
        raise AudioError(
            f"{name} is too short: {piece.count / SAMPLE_RATE:.3f} s, "
            f"at least {MIN_SECONDS:g} s is needed"
        )
    return piece


def _language(name: str, own: str | None, requested: str | None) -> str | None:
    if own is not None and requested is not None and own != requested:
        raise UsageError(
            f"{name} is listed as {own!r}, but --language is {requested!r}",
            hint="omit --language: every recording is then measured in its own; or --language auto",
        )
    return own or requested


def _without_path(message: str, entry: AudioEntry) -> str:
    """The message without the path, because the entry's name is shown with it."""
    if isinstance(entry.audio, bytes):
        return message
    short = message.replace(str(entry.audio), entry.audio.name)
    return short.removeprefix(entry.audio.name).strip()


def _no_recordings(name: str, left_out: Sequence[LeftOut]) -> str:
    if not left_out:
        return f"{display_name(name)} lists no recordings"
    first = left_out[0]
    more = f" ({len(left_out)} in all)" if len(left_out) > 1 else ""
    return (
        f"none of the recordings of {display_name(name)} can be measured: "
        f"{first.name}: {first.reason}{more}"
    )


AUDIO_SUFFIXES: Final = frozenset(
    (
        *(".aac", ".aif", ".aifc", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka"),
        *(".mov", ".mp2", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".sph", ".wav", ".webm"),
        *(".wma", ".wv"),
    )
)
"""Endings of sound files. One that turns out not to be audio is reported as left out."""


def list_recordings(place: str) -> EntryListing:
    """Every recording in a folder and its subfolders, sorted by path, without hidden ones.

    A file with another ending, or none, is a recording if FFmpeg finds sound in it; else it is left
    out, unless it is a text or belongs to a recording of the same stem. The words of ``talk.mp3``
    are in ``talk.txt`` next to it or, as in LibriSpeech, in the line that begins with ``talk``
    in a ``*.trans.txt`` of the same folder.

    Args:
        place: a folder, or a pattern of files such as ``talks/*.mp3``.

    Raises:
        AudioError: no recordings are in it, or it cannot be read.
    """
    lines: dict[Path, dict[str, str]] = {}
    found: list[AudioEntry] = []
    others: list[Path] = []
    for path in _files(Path(place)) if Path(place).is_dir() else _matching(place):
        if path.suffix.lower() == ".txt":
            continue
        if path.suffix.lower() not in AUDIO_SUFFIXES and not _has_sound(path):
            others.append(path)
            continue
        text, wrong = None, ""
        try:
            if path.parent not in lines:
                lines[path.parent] = _transcripts(path.parent)
            text = text_beside(path)
        except AudioError as error:
            wrong = error.message.replace(str(path.parent) + os.sep, "")
        if text is None:
            text = lines.get(path.parent, {}).get(path.stem)
        found.append(AudioEntry(name=path.name, audio=path, text=text, no_text=wrong))
    if not found:
        raise AudioError(
            f"there are no recordings in {place}",
            hint="name a folder of sound files, or a pattern that matches some",
        )
    recordings = {each.audio.with_suffix("") for each in found if isinstance(each.audio, Path)}
    return EntryListing(
        found,
        [
            LeftOut(display_name(each.name), "FFmpeg finds no sound in it")
            for each in others
            if each.with_suffix("") not in recordings
        ],
    )


def _has_sound(path: Path) -> bool:
    try:
        check_file(path)
    except AudioError:
        return False
    return container.has_sound(path)


def _transcripts(folder: Path) -> dict[str, str]:
    lines: dict[str, str] = {}
    for path in sorted(folder.glob("*.trans.txt")):
        lines |= transcript_lines(read_text(path))
    return lines


def _matching(pattern: str) -> list[Path]:
    """The files that a pattern matches, sorted by path; hidden ones only where it names them."""
    found = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute ones
    return sorted(path for each in found if (path := Path(each)).is_file())


def _files(folder: Path) -> list[Path]:
    """All files that are not hidden, sorted by path."""

    def stop(error: OSError) -> None:
        raise AudioError(
            f"cannot read {error.filename}: {error.strerror}",
            hint="check the permissions of that folder (ls -ld)",
        ) from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(found)
