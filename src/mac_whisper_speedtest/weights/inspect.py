"""What is in a location: whole, half, damaged or nothing. Reads names and sizes, never contents.

(The first bytes of a file that is as small as a git-lfs pointer are the one exception.)
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from mac_whisper_speedtest.weights import hub_cache
from mac_whisper_speedtest.weights.locations import CacheLocation, ExpectedFile

LFS_POINTER = b"version https://git-lfs"
LFS_POINTER_BYTES = 1024
"""A pointer file is smaller than this (git-lfs specification)."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_NAME = re.compile(r"[0-9a-f]{40}")


class WeightsState(StrEnum):
    """What is known of weights on this machine."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    CORRUPT = "corrupt"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"
    NOT_CHECKABLE = "not checkable"


class Evidence(StrEnum):
    """What a state rests on, from the weakest to the strongest."""

    NAMES = "names"
    SIZES = "sizes"
    HASHES = "hashes"


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One expected file that is there.

    Attributes:
        path: where.
        size: in bytes.
        name: for messages.
        sha256: what it should be, where anything says so.
        git_name: what git should call its content, where that is said instead.
    """

    path: Path
    size: int
    name: str
    sha256: str | None = None
    git_name: str | None = None

    @property
    def verifiable(self) -> bool:
        """Whether anything says what it should hold."""
        return bool(self.sha256 or self.git_name)


@dataclass(frozen=True, slots=True)
class CachedCopy:
    """What one place holds.

    Attributes:
        place: where it was looked.
        state: of this copy alone.
        problems: what is missing, damaged or not readable, one line each.
        remarks: what else a person may need to know.
        files: the expected files that are there.
        evidence: what ``complete`` rests on.
    """

    place: CacheLocation
    state: WeightsState
    problems: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    files: tuple[FoundFile, ...] = field(default=(), repr=False)
    evidence: Evidence = Evidence.NAMES

    @property
    def size_bytes(self) -> int:
        """Of the expected files that are there, together."""
        return sum(file.size for file in self.files)

    @property
    def path(self) -> Path:
        """What a backend would be given."""
        if self.place.is_file and self.files:
            return self.files[0].path
        return self.place.folder


def inspect_copy(place: CacheLocation) -> CachedCopy:
    """Compare what is in ``place`` with what a whole copy holds."""
    remarks: list[str] = []
    if place.hub_repository:
        place, remark = _in_hub(place)
        remarks += [remark] if remark else []
    if place.record is not None:
        listed, problem = _recorded(place.record)
        if problem:
            return CachedCopy(place, WeightsState.CORRUPT, (problem,))
        place = replace(place, wants=listed)
    if place.outdated is not None and place.outdated[0].is_dir():
        folder, whose = place.outdated
        remarks.append(f"a copy {whose} is in {folder.name}; newer releases do not look there")
    if place.etags is not None and place.revision is not None:
        remark = _other_commit(place.etags, place.revision)
        remarks += [remark] if remark else []
    seen = [_look_at(place, want) for want in place.wants]
    files = tuple(found for found, _, _ in seen if found is not None)
    problems = [problem for _, _, problem in seen if problem]
    states = {state for _, state, _ in seen}
    unfinished = (
        _unfinished(place)
        if WeightsState.ABSENT in states or WeightsState.PARTIAL in states
        else []
    )
    problems += unfinished
    state = _state(states, anything=bool(files or unfinished))
    if state is WeightsState.ABSENT:
        problems = []
    known = bool(files) and all(want.size is not None for want in place.wants)
    return CachedCopy(
        place,
        state,
        tuple(problems),
        tuple(remarks),
        files,
        Evidence.SIZES if known else Evidence.NAMES,
    )


def _state(states: set[WeightsState], *, anything: bool) -> WeightsState:
    """The state of a copy from those of its files."""
    for state in (WeightsState.CORRUPT, WeightsState.NOT_CHECKABLE, WeightsState.PARTIAL):
        if state in states:
            return state
    if WeightsState.ABSENT in states:
        return WeightsState.PARTIAL if anything else WeightsState.ABSENT
    return WeightsState.COMPLETE if states else WeightsState.ABSENT


def _look_at(
    place: CacheLocation, want: ExpectedFile
) -> tuple[FoundFile | None, WeightsState, str]:
    """One expected file: where it is, the state it alone would give, and what is wrong with it."""
    dangling = ""
    for name in want.names:
        path = place.folder / name
        try:
            status = path.stat()
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR}:
                if path.is_symlink():
                    dangling = f"{name} is a link to a file that is gone"
                continue
            reason = error.strerror or str(error)
            return None, WeightsState.NOT_CHECKABLE, f"{name} cannot be looked at: {reason}"
        short = name.rpartition("/")[2] if name.startswith("/") else name
        return _judge(place, want, path, short, status)
    if dangling:
        return None, WeightsState.PARTIAL, dangling
    # Alternatives outside the folder are named without their path.
    name = " or ".join(dict.fromkeys(Path(n).name if n.startswith("/") else n for n in want.names))
    return None, WeightsState.ABSENT, f"{name} is missing"


def _judge(
    place: CacheLocation, want: ExpectedFile, path: Path, name: str, status: os.stat_result
) -> tuple[FoundFile | None, WeightsState, str]:
    """A file that is there: is it a file, readable, and as large as it should be?"""
    if not stat.S_ISREG(status.st_mode):
        if place.may_be_folders and stat.S_ISDIR(status.st_mode):
            return FoundFile(path, 0, name), WeightsState.COMPLETE, ""
        return None, WeightsState.CORRUPT, f"{name} is not a file"
    if not os.access(path, os.R_OK):
        return None, WeightsState.NOT_CHECKABLE, f"{name} cannot be read: permission denied"
    found = _with_noted_hash(
        FoundFile(path, status.st_size, name, want.sha256, want.git_name), place
    )
    problem = _wrong_size(found, want)
    return found, WeightsState.CORRUPT if problem else WeightsState.COMPLETE, problem


def _with_noted_hash(file: FoundFile, place: CacheLocation) -> FoundFile:
    """``file`` with what the hub's client left about it, where nothing better is known.

    In a hub cache that is the name of the blob that the link points at; in a local folder, the
    second line of its metadata. Both are a large file's SHA-256, or git's name of a small one.
    """
    if file.verifiable:
        return file
    etag = ""
    if place.hash_named and file.path.is_symlink():
        etag = Path(os.readlink(file.path)).name  # noqa: PTH115 - the name alone, not resolved
    elif place.etags is not None and file.path.is_relative_to(place.folder):
        metadata = place.etags / f"{file.path.relative_to(place.folder)}.metadata"
        etag = _noted(metadata, line=1)
    if _SHA256.fullmatch(etag):
        return replace(file, sha256=etag)
    return replace(file, git_name=etag) if _GIT_NAME.fullmatch(etag) else file


def _noted(metadata: Path, line: int) -> str:
    """One line of what the local-folder mode notes down: commit, hash, time; else nothing."""
    try:
        return metadata.read_text(encoding="utf-8").split("\n")[line].strip()
    except (OSError, UnicodeDecodeError, IndexError):
        return ""


def _wrong_size(found: FoundFile, want: ExpectedFile) -> str:
    """What a file's size says against it; empty when nothing."""
    if want.size is not None and found.size == want.size:
        return ""
    if found.size < LFS_POINTER_BYTES and _is_lfs_pointer(found.path):
        return f"{found.name} is a git-lfs pointer, not the file it stands for"
    if want.size is not None:
        return f"{found.name} has {found.size} bytes, should have {want.size}"
    return "" if found.size else f"{found.name} is empty"


def _is_lfs_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(LFS_POINTER)) == LFS_POINTER
    except OSError:
        return False


def _unfinished(place: CacheLocation) -> list[str]:
    """What an unfinished download left behind, in words."""
    names: list[str] = []
    for folder, pattern in place.unfinished:
        with contextlib.suppress(OSError):
            names += [path.name for path in folder.glob(pattern)]
    return [f"{_shortened(name)} was never finished" for name in sorted(names)]


def _shortened(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:12]}…{name[-20:]}"


def _in_hub(place: CacheLocation) -> tuple[CacheLocation, str]:
    """``place`` with its commit settled, and a remark if only other commits are there."""
    snapshots = hub_cache.repository_dir(place.hub_repository) / "snapshots"
    inside = place.folder.relative_to(snapshots / (place.revision or ""))
    revision = place.revision
    if revision is None:
        revision = hub_cache.branch_commit(place.hub_repository)
        if revision is None:
            others = _names(snapshots)
            return place, f"no reference to any of {len(others)} commits" if others else ""
        return replace(place, folder=snapshots / revision / inside, revision=revision), ""
    if (snapshots / revision).is_dir():
        return place, ""
    others = [name for name in _names(snapshots) if (snapshots / name / inside).is_dir()]
    if others:
        shown = ", ".join(other[:8] for other in sorted(others)[:3])
        return place, f"another revision is here ({shown}); the pinned one is {revision[:8]}"
    return place, ""


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


def _other_commit(etags: Path, pinned: str) -> str:
    """A remark if the local-folder mode noted down another commit than the pinned one."""
    commit = _noted(etags / "config.json.metadata", line=0)
    if commit and commit != pinned:
        return f"fetched at commit {commit[:8]}, the catalog knows {pinned[:8]}"
    return ""


def _recorded(record: Path) -> tuple[tuple[ExpectedFile, ...], str]:
    """What a conversion wrote down of its files; a problem if that cannot be read."""
    if not record.parent.is_dir():
        return (ExpectedFile((record.name,)),), ""
    from mac_whisper_speedtest.convert.record import read_record
    from mac_whisper_speedtest.errors import SpeedtestError

    try:
        made = read_record(record.parent)
    except SpeedtestError as error:
        return (), error.message
    return tuple(
        ExpectedFile((file.name,), file.size, file.sha256) for file in made.output_files
    ), ""


STATE_PRIORITY = (
    WeightsState.COMPLETE,
    WeightsState.CORRUPT,
    WeightsState.PARTIAL,
    WeightsState.NOT_CHECKABLE,
    WeightsState.ABSENT,
    WeightsState.UNAVAILABLE,
)
"""Whole first, then what tells most about what is wrong."""


def best(copies: Sequence[CachedCopy]) -> CachedCopy | None:
    """The most useful copy: a whole one, else the one that tells most about what is wrong."""
    return min(copies, key=lambda copy: STATE_PRIORITY.index(copy.state), default=None)
