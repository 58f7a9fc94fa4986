"""State of a copy: complete, partial, corrupt or absent. Reads names and sizes, never contents.

The only exception: the first bytes of a file as small as a git-lfs pointer.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mac_whisper_speedtest.declared import Word
from mac_whisper_speedtest.weights import hub_cache, trash
from mac_whisper_speedtest.weights.expected import CacheLocation, ExpectedFile

LFS_POINTER = b"version https://git-lfs"
LFS_POINTER_BYTES = 1024
"""A pointer file is smaller than this (git-lfs specification)."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_NAME = re.compile(r"[0-9a-f]{40}")


class WeightsState(Word):
    """State of weights on this machine."""

    COMPLETE = (
        "complete",
        "everything a backend needs is present",
    )
    PARTIAL = (
        "partial",
        "a file is missing, or a link's blob, or the rest of a download",
    )
    CORRUPT = (
        "corrupt",
        "a file has its final name and wrong content: size, hash, or a git-lfs pointer",
    )
    ABSENT = (
        "absent",
        "nothing is present; other revisions than the pinned one do not count",
    )
    UNAVAILABLE = (
        "unavailable",
        "there are no such weights for this backend",
    )
    NOT_CHECKABLE = (
        "not checkable",
        "a file cannot be examined, or it is not known what the backend loads; with the reason",
    )
    SYSTEM = (
        "installed by the system",
        "macOS keeps the network, without files or hashes that this tool could check",
    )
    NOT_KNOWN = (
        "not known",
        "only macOS knows and was not asked: no bridge, no answer, or `cache-check`",
    )


class Evidence(Word):
    """The evidence for a state, from the weakest to the strongest."""

    NAMES = (
        "names",
        "names of files: no size or hash is known",
    )
    SIZES = (
        "sizes",
        "names and sizes",
    )
    HASHES = (
        "hashes",
        "the hashes of all files",
    )


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One expected file that exists.

    Attributes:
        size: in bytes.
        name: for messages.
        sha256: expected hash, if known.
        git_sha1: expected SHA-1 of the git blob, if that is known instead.
    """

    path: Path
    size: int
    name: str
    sha256: str | None = None
    git_sha1: str | None = None

    @property
    def verifiable(self) -> bool:
        """Whether its expected hash is known."""
        return bool(self.sha256 or self.git_sha1)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of one file of a copy; name and fault together read as a sentence."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name} {self.what}"


@dataclass(frozen=True, slots=True)
class CachedCopy:
    """The copy at one location.

    Attributes:
        faults: missing, damaged or unreadable files.
        remarks: further facts for the user.
        files: the expected files that exist.
    """

    location: CacheLocation
    state: WeightsState
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()
    files: tuple[FoundFile, ...] = field(default=(), repr=False)
    evidence: Evidence = Evidence.NAMES

    @property
    def problems(self) -> tuple[str, ...]:
        """The faults, one line each."""
        return tuple(map(str, self.faults))

    @property
    def size_bytes(self) -> int:
        """Total size of the expected files that exist."""
        return sum(file.size for file in self.files)

    @property
    def path(self) -> Path:
        """The file or folder to pass to a backend."""
        if self.location.is_file and self.files:
            return self.files[0].path
        return self.location.folder


def inspect_copy(location: CacheLocation) -> CachedCopy:
    """Compare the files at ``location`` with a complete copy."""
    remarks: list[str] = []
    if location.hub_repository:
        location, remark = _in_hub(location)
        remarks += [remark] if remark else []
    if location.record is not None:
        listed, unreadable = _recorded(location.record)
        if unreadable:
            return CachedCopy(location, WeightsState.CORRUPT, (unreadable,))
        location = replace(location, expected=listed)
    if location.outdated is not None and location.outdated[0].is_dir():
        folder, whose = location.outdated
        remarks.append(f"a copy {whose} is in {folder.name}; newer releases do not look there")
    if location.etags is not None and location.revision is not None:
        remark = _other_commit(location.etags, location.revision)
        remarks += [remark] if remark else []
    seen = [_find(location, file) for file in location.expected]
    files = tuple(found for found, _, _ in seen if found is not None)
    faults = [fault for _, _, fault in seen if fault is not None]
    states = {state for _, state, _ in seen}
    unfinished = (
        _unfinished(location)
        if WeightsState.ABSENT in states or WeightsState.PARTIAL in states
        else []
    )
    faults += unfinished
    own = [file for file in files if file.name not in location.of_others]
    state = _state(states, anything=bool(own or unfinished))
    if state is WeightsState.ABSENT:
        faults, files = [], ()
    known = bool(files) and all(file.size is not None for file in location.expected)
    return CachedCopy(
        location,
        state,
        tuple(faults),
        tuple(remarks),
        files,
        Evidence.SIZES if known else Evidence.NAMES,
    )


def _state(states: set[WeightsState], *, anything: bool) -> WeightsState:
    """The state of a copy from the states of its files."""
    for state in (WeightsState.CORRUPT, WeightsState.NOT_CHECKABLE, WeightsState.PARTIAL):
        if state in states:
            return state
    if WeightsState.ABSENT in states:
        return WeightsState.PARTIAL if anything else WeightsState.ABSENT
    return WeightsState.COMPLETE if states else WeightsState.ABSENT


def _find(
    location: CacheLocation, file: ExpectedFile
) -> tuple[FoundFile | None, WeightsState, Fault | None]:
    """Find one expected file: the file, the state it implies for the copy, and its fault."""
    dangling = None
    for name in file.names:
        path = location.folder / name
        try:
            status = path.stat()
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                if path.is_symlink():
                    dangling = Fault(name, "is a link to a missing file")
                continue
            reason = error.strerror or str(error)
            return None, WeightsState.NOT_CHECKABLE, Fault(name, f"cannot be examined: {reason}")
        short = name.rpartition("/")[2] if name.startswith("/") else name
        return _check_found(location, file, path, short, status)
    if dangling:
        return None, WeightsState.PARTIAL, dangling
    # Alternatives outside the folder are named without their path.
    name = " or ".join(dict.fromkeys(Path(n).name if n.startswith("/") else n for n in file.names))
    return None, WeightsState.ABSENT, Fault(name, "is missing")


def _check_found(
    location: CacheLocation, file: ExpectedFile, path: Path, name: str, status: os.stat_result
) -> tuple[FoundFile | None, WeightsState, Fault | None]:
    """Check that an existing path is a readable file of the expected size."""
    if not stat.S_ISREG(status.st_mode):
        if location.may_be_folders and stat.S_ISDIR(status.st_mode):
            return FoundFile(path, 0, name), WeightsState.COMPLETE, None
        return None, WeightsState.CORRUPT, Fault(name, "is not a file")
    if not os.access(path, os.R_OK):
        unreadable = Fault(name, "cannot be read: permission denied")
        return None, WeightsState.NOT_CHECKABLE, unreadable
    found = _with_cached_hash(
        FoundFile(path, status.st_size, name, file.sha256, file.git_sha1), location
    )
    if wrong := _wrong_size(found, file):
        return found, WeightsState.CORRUPT, Fault(name, wrong)
    return found, WeightsState.COMPLETE, None


def _with_cached_hash(file: FoundFile, location: CacheLocation) -> FoundFile:
    """``file`` with the hash that the hub's client recorded, if no better one is known.

    In a hub cache it is the name of the link's target; in a local folder, the second line of the
    metadata. Both are SHA-256 for a large file, the git blob's SHA-1 for a small one.
    """
    if file.verifiable:
        return file
    etag = ""
    if location.hash_named and file.path.is_symlink():
        etag = Path(os.readlink(file.path)).name  # noqa: PTH115 - the name alone, not resolved
    elif location.etags is not None and file.path.is_relative_to(location.folder):
        metadata = location.etags / f"{file.path.relative_to(location.folder)}.metadata"
        etag = _metadata_line(metadata, line=1)
    if _SHA256.fullmatch(etag):
        return replace(file, sha256=etag)
    return replace(file, git_sha1=etag) if _GIT_NAME.fullmatch(etag) else file


def _metadata_line(metadata: Path, line: int) -> str:
    """One line of the local-folder mode's metadata (commit, hash, time), or an empty string."""
    try:
        return metadata.read_text(encoding="utf-8").split("\n")[line].strip()
    except (OSError, UnicodeDecodeError, IndexError):
        return ""


def _wrong_size(found: FoundFile, file: ExpectedFile) -> str:
    """What is wrong with a file's size; empty if it is right."""
    if file.size is not None and found.size == file.size:
        return ""
    if found.size < LFS_POINTER_BYTES and _is_lfs_pointer(found.path):
        return "is a git-lfs pointer, not the file itself"
    if file.size is not None:
        return f"has {found.size} bytes, should have {file.size}"
    return "" if found.size else "is empty"


def _is_lfs_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def _unfinished(location: CacheLocation) -> list[Fault]:
    names: list[str] = []
    for folder, pattern in location.unfinished:
        with contextlib.suppress(OSError):
            names += [path.name for path in folder.glob(pattern)]
    return [Fault(_shortened(name), "was never finished") for name in sorted(names)]


def _shortened(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:12]}…{name[-20:]}"


def _in_hub(location: CacheLocation) -> tuple[CacheLocation, str]:
    """``location`` with its commit resolved, and a remark if only other commits are present."""
    snapshots = hub_cache.repository_dir(location.hub_repository) / "snapshots"
    inside = location.folder.relative_to(snapshots / (location.revision or ""))
    revision = location.revision
    if revision is None:
        revision = hub_cache.branch_commit(location.hub_repository)
        if revision is None:
            count = len(trash.children(snapshots))
            return location, f"no reference to any of {count} commits" if count else ""
        return replace(location, folder=snapshots / revision / inside, revision=revision), ""
    if (snapshots / revision).is_dir():
        return location, ""
    others = [path.name for path in trash.children(snapshots) if (path / inside).is_dir()]
    if others:
        shown = ", ".join(other[:8] for other in others[:3])
        return location, f"another revision is here ({shown}); the pinned one is {revision[:8]}"
    return location, ""


def _other_commit(etags: Path, pinned: str) -> str:
    """A remark if the local-folder mode recorded another commit than the pinned one."""
    commit = _metadata_line(etags / "config.json.metadata", line=0)
    if commit and commit != pinned:
        return f"fetched at commit {commit[:8]}, the catalog pins {pinned[:8]}"
    return ""


def _recorded(record: Path) -> tuple[tuple[ExpectedFile, ...], Fault | None]:
    """The files in a folder's record, and its fault if it cannot be read."""
    if not record.parent.is_dir():
        return (ExpectedFile((record.name,)),), None
    from mac_whisper_speedtest.convert.record import read_written_files
    from mac_whisper_speedtest.errors import SpeedtestError

    try:
        written = read_written_files(record.parent)
    except SpeedtestError as error:
        return (), Fault(record.name, error.message.removeprefix(f"{record} "))
    return tuple(ExpectedFile((file.name,), file.size, file.sha256) for file in written), None


STATE_PRIORITY = (
    WeightsState.COMPLETE,
    WeightsState.SYSTEM,
    WeightsState.CORRUPT,
    WeightsState.PARTIAL,
    WeightsState.NOT_CHECKABLE,
    WeightsState.NOT_KNOWN,
    WeightsState.ABSENT,
    WeightsState.UNAVAILABLE,
)
"""Complete first, then the states that show most about a problem."""


def best(copies: Sequence[CachedCopy]) -> CachedCopy | None:
    """The most useful copy by `STATE_PRIORITY`."""
    return min(copies, key=lambda copy: STATE_PRIORITY.index(copy.state), default=None)
