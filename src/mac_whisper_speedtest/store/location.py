"""Where the index is: next to the runs, unless that folder is on a network file system.

SQLite's write-ahead log needs memory that all its users share, so they must be on one machine
(https://sqlite.org/wal.html). On a network file system neither that memory nor its locks are
reliable. The runs themselves need neither: they are files that are written once.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

from mac_whisper_speedtest import paths

NAME = "index.sqlite"

_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "afs", "webdav", "davfs", "ncpfs", "coda"}
    | {"ceph", "glusterfs", "lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "9p", "virtiofs"}
    | {"fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.glusterfs", "fuse.ceph", "fuse.davfs2"}
    | {"fuse.grpcfuse", "fuse.osxfs", "macfuse", "osxfuse"}
)
"""Names of file systems with files that another machine or system may have open.

All others count as local, except ``fuse`` without a subtype, which may be either."""


@dataclass(frozen=True, slots=True)
class IndexLocation:
    """Where to put the index.

    Attributes:
        path: of the database; ``None`` if it can only be kept in memory.
        reason: why it is not next to the runs; empty if it is.
    """

    path: Path | None
    reason: str = ""


def choose_location(
    data: Path, cache: Path, *, kind: str, data_writable: bool, cache_writable: bool
) -> IndexLocation:
    """Where to put the index of the runs in ``data``. Pure.

    Args:
        data: the data folder.
        cache: this machine's cache folder.
        kind: of the file system of ``data``; empty if unknown.
        data_writable: whether this user may write to ``data``.
        cache_writable: likewise to ``cache``.
    """
    if data_writable and not is_network(kind):
        return IndexLocation(data / NAME)
    why = f"{data} is on a network file system ({kind})"
    if not data_writable:
        why = f"{data} is read-only"
    if not cache_writable:
        return IndexLocation(None, f"{why}, and {cache} is not writable")
    # One cache serves every data folder, and each has its own index.
    own = hashlib.sha256(str(data).encode()).hexdigest()[:16]
    return IndexLocation(cache / f"index-{own}.sqlite", why)


def is_network(kind: str) -> bool:
    """Whether another machine may use a file system of that name at the same time."""
    return kind.lower() in _NETWORK or kind.lower() == "fuse"


def kind_at(path: PurePosixPath, mounts: Iterable[tuple[str, str, str, str]]) -> str:
    """The kind of file system that ``path`` is on; empty if no mount contains it.

    Args:
        path: absolute, without links.
        mounts: device, mount point, kind and options, as :func:`psutil.disk_partitions` gives them;
            the last of several at one mount point hides the others.
    """
    best, depth = "", -1
    for _device, where, kind, _options in mounts:
        mount = PurePosixPath(where)
        if (mount == path or mount in path.parents) and len(mount.parts) >= depth:
            best, depth = kind, len(mount.parts)
    return best


def index_location() -> IndexLocation:
    """Where to put the index of this user's runs. Creates no folder."""
    data, cache = paths.data_dir(), paths.cache_dir()
    return choose_location(
        data,
        cache,
        kind=_kind(data),
        data_writable=_writable(data),
        cache_writable=_writable(cache),
    )


def _kind(path: Path) -> str:
    """The kind of file system of ``path``, existing or not; empty if unknown."""
    try:
        return kind_at(PurePosixPath(path.resolve()), psutil.disk_partitions(all=True))
    except (OSError, psutil.Error):
        return ""


def _writable(path: Path) -> bool:
    """Whether ``path``, or the folder in which it would be created, is writable."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK) and not _read_only(path)


def _read_only(path: Path) -> bool:
    """Whether the file system is read-only; for root the permissions do not show it."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
