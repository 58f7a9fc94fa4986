"""``--dataset``: parsing, download and sampling of datasets; LibriSpeech, read from its archives.

LibriSpeech: Panayotov, Chen, Povey, Khudanpur: LibriSpeech: an ASR corpus based on public domain
audio books, ICASSP 2015. License CC BY 4.0. Its archives are never unpacked.
"""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Final, NamedTuple

from mac_whisper_speedtest import paths
from mac_whisper_speedtest.audio import dataset_entries, sample
from mac_whisper_speedtest.audio.dataset_entries import AudioEntry, Dataset
from mac_whisper_speedtest.audio.recording import AudioSet
from mac_whisper_speedtest.audio.reference_text import transcript_lines
from mac_whisper_speedtest.download import (
    DownloadSource,
    RemoteFile,
    ensure_file,
    is_whole,
    refuse_unless_allowed,
)
from mac_whisper_speedtest.errors import DownloadError, StorageError, UsageError
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.http_errors import RequestContext

_HINT: Final = "librispeech:test-clean:n=100, or hf:ORG/NAME@REVISION:SPLIT:n=100"
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SPLIT: Final = re.compile(r"[A-Za-z0-9][\w.-]*")


def parse_dataset(text: str) -> Dataset:
    """Parse the value of ``--dataset``.

    Raises:
        UsageError: it has neither of the two forms.
    """
    collection, _, rest = text.partition(":")
    name, *options = rest.split(":")
    n = None
    if options and options[-1].startswith("n="):
        number = options.pop().removeprefix("n=")
        if not number.isascii() or not number.isdigit() or int(number) < 1:
            raise UsageError(f"n={number} is not a number of utterances", hint=_HINT)
        n = int(number)
    if collection == "librispeech" and not options:
        return Dataset(collection, name, n=n)
    if collection == "hf" and len(options) <= 1:
        repository, _, revision = name.partition("@")
        split = options[0] if options else ""
        if not _REPOSITORY.fullmatch(repository):
            raise UsageError(f"{repository!r} is not a repository on the hub", hint=_HINT)
        if not _COMMIT.fullmatch(revision):
            raise UsageError(
                f"the dataset {repository} must be pinned to a commit of 40 hexadecimal digits, "
                f"because branches change; it is pinned to {revision or 'nothing'}",
                hint=f"its commits are listed at {repository}/commits/main on the hub",
            )
        if split and not _SPLIT.fullmatch(split):
            raise UsageError(f"{split!r} is not a name of a split", hint=_HINT)
        return Dataset(collection, repository, revision, split, n)
    raise UsageError(f"{text!r} is not a dataset", hint=_HINT)


def load_dataset(
    text: str,
    *,
    seed: int,
    language: str | None,
    notify: Callable[[str], None],
    allow_download: bool,
) -> AudioSet:
    """The dataset, or a sample of it, as a set of recordings.

    Args:
        text: the value of ``--dataset``.
        seed: of the sample.
        language: for a dataset without a stated language.
        notify: receives a line before anything is downloaded.
        allow_download: whether it may be downloaded.

    Raises:
        UsageError: an unknown dataset, or one with an unknown layout.
        AudioError: none of it can be measured.
        DownloadError: it is not on this machine, and must not or cannot be downloaded.
        StorageError: the cache cannot be written.
    """
    dataset = parse_dataset(text)
    if dataset.collection == "librispeech":
        archive = ensure_archive(dataset.name, notify=notify, allow_download=allow_download)
        found = librispeech_entries(archive, n=dataset.n, seed=seed)
        source = f"LibriSpeech {dataset.name} (openslr.org/12, CC BY 4.0)"
    else:
        from mac_whisper_speedtest.audio import hub_dataset

        found = hub_dataset.hub_entries(
            dataset, seed=seed, notify=notify, allow_download=allow_download
        )
        source = f"{dataset.name} at {dataset.revision} on the Hugging Face hub"
    return dataset_entries.load_entries(found, name=dataset.label, source=source, language=language)


HOST: Final = "https://www.openslr.org/resources/12"
"""The server of the archives."""


class Archive(NamedTuple):
    """Pins of one archive; torchaudio and TensorFlow Datasets pin the same hashes."""

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
"""Bytes. No utterance is nearly as long; a larger member is not read."""

_STREAMINFO: Final = slice(8, 42)
"""Position of the first block's content in a FLAC file (RFC 9639, section 8.2)."""


class _ArchiveListing(NamedTuple):
    items: list[sample.Item]
    texts: dict[str, str]


def archive_file(split: str) -> RemoteFile:
    """The archive of a split: its address, pins and path in the cache.

    Raises:
        UsageError: no such split.
    """
    archive = ARCHIVES.get(split)
    if archive is None:
        raise UsageError(
            f"LibriSpeech has no split {split!r} that this tool can download",
            hint=f"use {', '.join(ARCHIVES)}; for another part, unpack it and use --audio FOLDER",
        )
    path = paths.cache_dir() / "datasets" / "librispeech" / f"{split}.tar.gz"
    return RemoteFile(f"{split}.tar.gz", path, archive.bytes, archive.sha256)


def ensure_archive(split: str, *, notify: Callable[[str], None], allow_download: bool) -> Path:
    """The verified archive of a split, downloaded if it is missing and the download is allowed.

    Raises:
        UsageError: no such split.
        DownloadError: it is not on this machine, and must not or cannot be downloaded.
        StorageError: the cache cannot be written.
    """
    archive = archive_file(split)
    if not is_whole(archive):
        refuse_unless_allowed(f"LibriSpeech {split}", archive.size, allow_download=allow_download)
        server = RequestContext(HOST)
        notify(
            f"Downloading LibriSpeech {split} from {server.host}, {megabytes(archive.size)}, once."
        )
        ensure_file(archive, DownloadSource(server, notify))
    return archive.path


def librispeech_entries(archive: Path, *, n: int | None, seed: int) -> Iterator[AudioEntry]:
    """The utterances of an archive or a sample, one at a time in the archive's order.

    Args:
        archive: the ``.tar.gz``.
        n: size of the sample, drawn by speaker and length (`sample.draw`); None for all.
        seed: of the draw.

    Raises:
        StorageError: the archive is damaged.
        DownloadError: it contains no utterances.
    """
    listed = _list(archive)
    if not listed.items:
        raise DownloadError(f"{archive.name} contains no utterances", hint=f"remove {archive}")
    drawn = sample.draw(listed.items, n if n is not None else len(listed.items), seed)
    for name, stream in _members(archive):
        key = name.stem
        if name.suffix == ".flac" and key in drawn:
            yield AudioEntry(
                name=key,
                audio=stream.read(_LARGEST_MEMBER),
                text=listed.texts.get(key),
                language="en",
                speaker=_speaker(key),
            )


def _list(archive: Path) -> _ArchiveListing:
    items: list[sample.Item] = []
    texts: dict[str, str] = {}
    for name, stream in _members(archive):
        if name.suffix == ".flac":
            length = flac_samples(stream.read(42))
            items.append(sample.Item(name.stem, _speaker(name.stem), length))
        elif name.name.endswith(".trans.txt"):
            text = stream.read(_LARGEST_MEMBER).decode("utf-8", errors="replace")
            texts |= transcript_lines(text)
    return _ArchiveListing(items, texts)


def flac_samples(header: bytes) -> int | None:
    """The number of samples that a FLAC file states; None if it states none.

    The last 36 of the 64 bits behind the first ten bytes of STREAMINFO (RFC 9639, section 8.2).
    """
    if len(header) < 42 or not header.startswith(b"fLaC"):
        return None
    info = header[_STREAMINFO]
    return int.from_bytes(info[10:18], "big") & (1 << 36) - 1 or None


def _members(archive: Path) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    """Every regular file in the archive as a stream; nothing is written to disk."""
    try:
        with tarfile.open(archive, "r|gz") as tar:
            for member in tar:
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is not None and member.size <= _LARGEST_MEMBER:
                    yield PurePosixPath(member.name), stream
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise StorageError(
            f"{archive} cannot be read: {error}", hint=f"remove {archive} and download it again"
        ) from error


def _speaker(key: str) -> str:
    """LibriSpeech names utterances SPEAKER-CHAPTER-NUMBER."""
    return key.partition("-")[0]
