"""LibriSpeech: the archives of its test and development sets, read as they are, never unpacked.

Panayotov, Chen, Povey, Khudanpur: LibriSpeech: an ASR corpus based on public domain audio books,
ICASSP 2015. Licence CC BY 4.0.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

from mac_whisper_speedtest import paths
from mac_whisper_speedtest.audio import offline, resumable, sample
from mac_whisper_speedtest.audio.entries import Entry
from mac_whisper_speedtest.audio.folder import transcript_lines
from mac_whisper_speedtest.audio.resumable import Wanted
from mac_whisper_speedtest.errors import DownloadError, StorageError, UsageError

HOST: Final = "https://www.openslr.org/resources/12"
"""Where the archives are."""


class Archive(NamedTuple):
    """Size and SHA-256 of one archive, as torchaudio and TensorFlow Datasets pin them too."""

    bytes: int
    sha256: str


ARCHIVES: Final = {
    "test-clean": Archive(
        346663984, "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23"
    ),
    "test-other": Archive(
        328757843, "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29"
    ),
    "dev-clean": Archive(
        337926286, "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3"
    ),
    "dev-other": Archive(
        314305928, "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365"
    ),
}

_LARGEST_MEMBER: Final = 100_000_000
"""Bytes: no utterance is nearly as long; what claims to be is not read."""

_STREAMINFO: Final = slice(8, 42)
"""Where a FLAC file has its first block's content (RFC 9639, section 8.2)."""


class _Listed(NamedTuple):
    items: list[sample.Item]
    texts: dict[str, str]


def wanted(split: str) -> Wanted:
    """The archive of a split, and where it lies once it was downloaded.

    Raises:
        UsageError: no such split.
    """
    archive = ARCHIVES.get(split)
    if archive is None:
        raise UsageError(
            f"LibriSpeech has no {split!r} here",
            hint=f"it has {', '.join(ARCHIVES)}; another part that was unpacked: --audio FOLDER",
        )
    path = paths.cache_dir() / "datasets" / "librispeech" / f"{split}.tar.gz"
    return Wanted(f"{HOST}/{split}.tar.gz", path, archive.bytes, archive.sha256)


def obtain(split: str, *, announce: Callable[[str], None], allow_download: bool) -> Path:
    """The archive of a split, verified; downloaded when it is not here and may be.

    Raises:
        UsageError: no such split.
        DownloadError: it is not here and may not be, or cannot be, downloaded.
        StorageError: the cache cannot be written.
    """
    archive = wanted(split)
    if not resumable.is_whole(archive):
        offline.refuse_unless_allowed(
            f"LibriSpeech {split}", archive.bytes, allow_download=allow_download
        )
        announce(
            f"Downloading LibriSpeech {split} from {archive.host}, {archive.bytes / 1e6:.0f} MB, "
            "once."
        )
        resumable.bring(archive, announce=announce)
    return archive.path


def entries(archive: Path, *, n: int | None, seed: int) -> Iterator[Entry]:
    """The utterances of an archive, or a sample of them, one at a time in the archive's order.

    Args:
        archive: the ``.tar.gz``.
        n: how many, drawn by speaker and length (`sample.draw`); None for all.
        seed: of the draw.

    Raises:
        StorageError: the archive is damaged.
        DownloadError: it holds no utterances.
    """
    listed = _list(archive)
    if not listed.items:
        raise DownloadError(f"{archive.name} holds no utterances", hint=f"remove {archive}")
    drawn = sample.draw(listed.items, n if n is not None else len(listed.items), seed)
    for name, stream in _members(archive):
        key = name.stem
        if name.suffix == ".flac" and key in drawn:
            yield Entry(
                name=key,
                audio=stream.read(_LARGEST_MEMBER),
                text=listed.texts.get(key),
                language="en",
                speaker=_speaker(key),
            )


def _list(archive: Path) -> _Listed:
    items: list[sample.Item] = []
    texts: dict[str, str] = {}
    for name, stream in _members(archive):
        if name.suffix == ".flac":
            length = flac_samples(stream.read(42))
            items.append(sample.Item(name.stem, _speaker(name.stem), length))
        elif name.name.endswith(".trans.txt"):
            text = stream.read(_LARGEST_MEMBER).decode("utf-8", errors="replace")
            texts |= transcript_lines(text)
    return _Listed(items, texts)


def flac_samples(header: bytes) -> int | None:
    """How many samples a FLAC file says it has; None where it does not say.

    The last 36 of the 64 bits behind the first ten bytes of STREAMINFO (RFC 9639, section 8.2).
    """
    if len(header) < 42 or not header.startswith(b"fLaC"):
        return None
    info = header[_STREAMINFO]
    return int.from_bytes(info[10:18], "big") & (1 << 36) - 1 or None


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """Every regular file in the archive as a stream; nothing is written anywhere."""
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is not None and member.size <= _LARGEST_MEMBER:
                    yield PurePosixPath(member.name), stream
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise StorageError(
            f"{archive} cannot be read: {error}", hint=f"remove {archive}, and download it again"
        ) from error


def _speaker(key: str) -> str:
    """LibriSpeech names utterances SPEAKER-CHAPTER-NUMBER."""
    return key.partition("-")[0]
