"""Datasets on the Hugging Face hub that consist of files: recordings and their table.

The table is ``metadata.jsonl`` or ``metadata.csv`` beside the recordings (the hub's audio folder),
or a manifest in NeMo's format. Parquet files and datasets made by a script are not supported: no
remote code is run, and no Parquet reader is installed. The revision is a commit, so files and
listings in the cache stay valid.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from mac_whisper_speedtest import files, hub, paths
from mac_whisper_speedtest.audio import manifest, sample
from mac_whisper_speedtest.audio.dataset_entries import AudioEntry, Dataset
from mac_whisper_speedtest.download import (
    DownloadSource,
    RemoteFile,
    ensure_file,
    hub_endpoint,
    is_whole,
    refuse_unless_allowed,
)
from mac_whisper_speedtest.errors import AudioError, UsageError
from mac_whisper_speedtest.files import megabytes
from mac_whisper_speedtest.http_errors import RequestContext
from mac_whisper_speedtest.hub import HubFile, HubListing, stays_inside

_TABLES: Final = ("metadata.jsonl", "metadata.csv", "manifest.jsonl", "manifest.json")


def hub_entries(
    dataset: Dataset, *, seed: int, notify: Callable[[str], None], allow_download: bool
) -> Iterator[AudioEntry]:
    """The utterances of a dataset or a sample, after their files are downloaded.

    Raises:
        UsageError: its layout is not supported.
        AudioError: its table is malformed.
        DownloadError: it is not on this machine, and must not or cannot be downloaded.
        StorageError: the cache cannot be written.
    """
    files = list_files(dataset, notify=notify, allow_download=allow_download)
    table = remote_file(dataset, _table(dataset, files))
    ensure_files(dataset, [table], notify=notify, allow_download=allow_download)
    listed = manifest.list_manifest(table.path)
    for wrong in listed.left_out:
        raise AudioError(
            f"{table.name} of {dataset.name}, {wrong.name}, {wrong.reason}",
            hint="report it to the dataset's authors, or use another revision",
        )
    known = [(entry, files.get(_within(dataset, entry))) for entry in listed.entries]
    items = [
        sample.Item(f"{number}", entry.speaker, file.size if file else None)
        for number, (entry, file) in enumerate(known)
    ]
    drawn = sample.draw(items, dataset.n if dataset.n is not None else len(items), seed)
    chosen = [pair for item, pair in zip(items, known, strict=True) if item.key in drawn]
    ensure_files(
        dataset,
        [remote_file(dataset, file) for _, file in chosen if file is not None],
        notify=notify,
        allow_download=allow_download,
    )
    for entry, file in chosen:
        # An entry without its file in the repository is left out.
        path = _folder(dataset) / (file.name if file else "not in the repository")
        yield replace(entry, audio=path)


def _table(dataset: Dataset, files: dict[str, HubFile]) -> HubFile:
    """The file that lists the recordings: in the split's folder, or at the root without a split."""
    folders = (dataset.split, f"data/{dataset.split}") if dataset.split else ("", "data")
    for folder in folders:
        for name in _TABLES:
            if found := files.get(posixpath.join(folder, name)):
                return found
    where = f" in {dataset.split} or data/{dataset.split}" if dataset.split else ""
    tables = sorted(name for name in files if PurePosixPath(name).name in _TABLES)
    if tables:
        others = ", ".join(str(PurePosixPath(name).parent) for name in tables[:5])
        raise UsageError(
            f"{dataset.name} has no table of recordings{where}",
            hint=f"it has tables in: {others}; use one of these as the split",
        )
    if any(name.endswith(".parquet") for name in files):
        raise UsageError(
            f"{dataset.name} is stored as Parquet files, which are not supported",
            hint="export the recordings with a table, and use --manifest",
        )
    raise UsageError(
        f"{dataset.name} has no table of recordings{where}",
        hint=f"it must have one of {', '.join(_TABLES)}",
    )


def _within(dataset: Dataset, entry: AudioEntry) -> str:
    """The file's name in the repository, of an entry of its table."""
    assert isinstance(entry.audio, Path)
    return os.path.relpath(entry.audio, _folder(dataset)).replace(os.sep, "/")


def ensure_files(
    dataset: Dataset,
    requested: list[RemoteFile],
    *,
    notify: Callable[[str], None],
    allow_download: bool,
) -> None:
    """Download the files that are missing or altered.

    Raises:
        DownloadError: a download is necessary but not allowed; or a file could not be fetched, or
            has another hash than the hub states.
    """
    missing = [each for each in requested if not is_whole(each)]
    if not missing:
        return
    size = sum(each.size for each in missing)
    refuse_unless_allowed(
        f"a part of {dataset.name} ({len(missing)} files)", size, allow_download=allow_download
    )
    notify(f"Downloading {len(missing)} files of {dataset.name}, {megabytes(size, 1)}, once.")
    for each in missing:
        ensure_file(each, _source(dataset, notify))


def list_files(
    dataset: Dataset, *, notify: Callable[[str], None], allow_download: bool
) -> dict[str, HubFile]:
    """The files of the repository at its commit, by name; the hub is queried once."""
    path = _folder(dataset).with_suffix(".files.json")
    try:
        known = files.decode_json(path.read_bytes(), list[HubFile])
    except (OSError, ValueError):
        refuse_unless_allowed(dataset.name, None, allow_download=allow_download)
        notify(f"Asking the hub for the files of {dataset.name}.")
        known = usable(hub.list_files(_source(dataset, notify)))
        files.write_bytes(path, msgspec.json.encode(known))
    return {file.name: file for file in known}


def _source(dataset: Dataset, notify: Callable[[str], None]) -> DownloadSource:
    return DownloadSource(
        RequestContext(hub_endpoint(), dataset.name, dataset.revision, kind="datasets"), notify
    )


def usable(listed: HubListing) -> list[HubFile]:
    """The files that can be verified, with names that stay inside their folder."""
    return [
        file for file in listed.files if (file.sha256 or file.git_sha1) and stays_inside(file.name)
    ]


def remote_file(dataset: Dataset, file: HubFile) -> RemoteFile:
    """A file of the repository with its path in the cache and its pins."""
    path = _folder(dataset) / file.name
    return RemoteFile(file.name, path, file.size, file.sha256, file.git_sha1)


def _folder(dataset: Dataset) -> Path:
    name = dataset.name.replace("/", "--")
    return paths.cache_dir() / "datasets" / "hf" / name / dataset.revision


def fetch_dataset(
    dataset: Dataset,
    ending: str,
    *,
    beside: str,
    notify: Callable[[str], None],
    allow_download: bool,
) -> list[Path]:
    """Download every file with this ending, unless it is in the cache.

    Args:
        dataset: pinned to a commit; its ``split`` is a folder, or empty for the whole repository.
        ending: such as ``.zip``.
        beside: an ending that is added to a file's name, such as ``.minisig``, for a second file
            that is downloaded too.
        notify: receives a line before anything is downloaded.
        allow_download: whether files may be downloaded.

    Returns:
        The paths of the files with the ending, sorted by name.

    Raises:
        UsageError: it has no such file.
        DownloadError: a file is not on this machine, and must not or cannot be downloaded.
        StorageError: the cache cannot be written.
    """
    files = list_files(dataset, notify=notify, allow_download=allow_download)
    within = f"{dataset.split}/" if dataset.split else ""
    found = [
        remote_file(dataset, file)
        for name, file in sorted(files.items())
        if name.startswith(within) and name.lower().endswith((ending, ending + beside))
    ]
    chosen = [each.path for each in found if each.path.name.lower().endswith(ending)]
    if not chosen:
        where = f" in {dataset.split}" if dataset.split else ""
        raise UsageError(
            f"{dataset.name} has no {ending} file{where}",
            hint="check its name and revision, and the folder after them",
        )
    ensure_files(dataset, found, notify=notify, allow_download=allow_download)
    return chosen
