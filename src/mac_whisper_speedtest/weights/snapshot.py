"""Which files of which commit a pull is after, and which of them are not here yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mac_whisper_speedtest import catalog
from mac_whisper_speedtest.errors import DownloadError
from mac_whisper_speedtest.weights import hub_cache
from mac_whisper_speedtest.weights.revisions import HubFile, Learnt, learnt
from mac_whisper_speedtest.weights.selection import chosen


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of one commit that are wanted, with their names in the repository."""

    repository: str
    revision: str
    files: tuple[HubFile, ...]

    @property
    def path(self) -> Path:
        """The snapshot's folder in the cache, whether it exists or not."""
        return hub_cache.snapshot_dir(self.repository, self.revision)

    def missing(self, there: Callable[[Path, HubFile], bool]) -> list[HubFile]:
        """The files that are not ``there``, by the path they have to have."""
        return [file for file in self.files if not there(self.path / file.name, file)]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a repository, as far as is known before the hub is asked.

    Attributes:
        name: what people call it.
        repository: ``org/name``.
        revision: a commit, or the branch that it is yet to be learnt from.
        folder: inside the repository.
        files: those the catalogue pins, with their names in the repository.
        complete: these are all.
        custom: it was asked for by repository and commit.
    """

    name: str
    repository: str
    revision: str
    folder: str = ""
    files: tuple[HubFile, ...] = ()
    complete: bool = False
    custom: bool = False


def of_row(row: catalog.Publication) -> Wish:
    """What a row of the catalogue that has a repository asks for."""
    folder = f"{row.folder}/" if row.folder else ""
    return Wish(
        name=row.network if row.form == catalog.SOURCE_FORM else f"{row.network} as {row.form}",
        repository=row.repository,
        revision=row.revision or hub_cache.DEFAULT_BRANCH,
        folder=row.folder,
        files=tuple(
            HubFile(f"{folder}{file.name}", file.size, file.sha256)
            for file in row.files
            if file.size is not None
        ),
        complete=row.complete and row.revision is not None,
    )


def known(wish: Wish) -> Snapshot | None:
    """What is wanted, as far as this machine knows by itself; ``None`` if only the hub knows."""
    if wish.complete:
        return Snapshot(wish.repository, wish.revision, wish.files)
    commit = wish.revision
    if commit == hub_cache.DEFAULT_BRANCH:
        commit = hub_cache.branch_commit(wish.repository) or ""
    found = learnt(wish.repository, commit) if commit else None
    try:
        return listed(wish, found) if found is not None else None
    except DownloadError:
        return None  # the catalogue has changed since: the hub is asked again


def listed(wish: Wish, found: Learnt) -> Snapshot:
    """The files that are needed of those the hub lists, held against what the catalogue pins.

    Raises:
        DownloadError: there are no weights among them, or they are not the pinned ones.
    """
    pinned = {file.name: file for file in wish.files}
    short = [name.removeprefix(f"{wish.folder}/") for name in pinned]
    files = chosen(found.files, wish.folder, short)
    if not files:
        where = f" in {wish.folder}" if wish.folder else ""
        raise DownloadError(
            f"{found.repository}@{found.revision} holds no weights that this tool knows{where}",
            hint="only repositories with weights of a speech recogniser are of use here",
        )
    held = []
    for file in files:
        pin = pinned.pop(file.name, file)
        held.append(replace(file, sha256=file.sha256 or pin.sha256))
        if (pin.size, pin.sha256 or file.sha256) != (file.size, held[-1].sha256):
            raise DownloadError(
                f"{file.name} of {found.repository} is not the pinned file on the hub: it has "
                f"{file.size} bytes, pinned are {pin.size}, or it has another hash",
                hint="nothing was fetched; check HF_ENDPOINT, if it is set",
            )
    if pinned:
        raise DownloadError(
            f"{found.repository}@{found.revision} does not list {', '.join(pinned)}",
            hint="nothing was fetched; check HF_ENDPOINT, if it is set",
        )
    return Snapshot(found.repository, found.revision, tuple(held))


def absent(snapshot: Snapshot) -> list[HubFile]:
    """What is not here, by size alone."""

    def there(path: Path, file: HubFile) -> bool:
        try:
            return path.stat().st_size == file.size
        except OSError:
            return False

    return snapshot.missing(there)


def bytes_missing(repository: str, missing: list[HubFile]) -> int:
    """What of the ``missing`` files is yet to be transferred."""
    from mac_whisper_speedtest.weights import transfer  # asking what is here needs none of it

    return sum(file.size - transfer.partial_bytes(repository, file) for file in missing)
