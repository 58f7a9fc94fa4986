"""Reading every byte of the copies that are here, and holding them against what is known.

Files are told by SHA-256: of the catalogue, of what the hub said, of what a conversion wrote down.
Small files of a hub repository have git's name instead, a SHA-1.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mac_whisper_speedtest.models import hub
from mac_whisper_speedtest.models.check import Check, Subject, with_checksums
from mac_whisper_speedtest.models.copies import Copy, Found, State
from mac_whisper_speedtest.models.holdings import Holding
from mac_whisper_speedtest.models.learnt import learnt

_GIT_NAME = re.compile(r"[0-9a-f]{40}")


class Outcome(StrEnum):
    """What reading a copy showed."""

    OK = "ok"
    CORRUPT = "corrupt"
    PARTIAL = "partial"
    UNKNOWN = "not known"
    UNREADABLE = "not readable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is true of one copy.

    Attributes:
        holding: which.
        outcome: of its worst file; ``UNKNOWN`` when no hash is known of any.
        problems: which files are wrong, with what was expected and seen.
        unknown: files of which no hash is known.
    """

    holding: Holding
    outcome: Outcome
    problems: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def verify(
    holdings: Sequence[Holding],
    *,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Verdict]:
    """Read all files again, whatever is remembered of them.

    Args:
        holdings: what is here.
        progress: told of bytes done and bytes in all, from several threads.
    """
    checks = [
        Check(Subject("", each.name, each.name, each.form, each.precision), each.copy.state,
              (each.copy,), each.copy)
        for each in holdings
    ]  # fmt: skip
    hashed = with_checksums(checks, fresh=True, progress=progress)
    return [
        _judged(holding, check.copies[0]) for holding, check in zip(holdings, hashed, strict=True)
    ]


def _judged(holding: Holding, copy: Copy) -> Verdict:
    """The verdict on a copy whose large files were read."""
    names = _git_names(copy)
    problems = list(copy.problems)
    corrupt = copy.state is State.CORRUPT
    unread = copy.state is State.NOT_CHECKABLE
    unknown = []
    for file in copy.files:
        if file.sha256 is not None:
            continue
        if file.path not in names:
            unknown.append(file.name)
            continue
        seen = git_name(file.path)
        if isinstance(seen, OSError):
            unread = True
            problems.append(f"{file.name} cannot be read: {seen.strerror or seen}")
        elif seen != names[file.path]:
            corrupt = True
            if not any(problem.startswith(f"{file.name} ") for problem in problems):
                problems.append(
                    f"{file.name} is not the published file: git's name for it is {seen[:12]}…, "
                    f"should be {names[file.path][:12]}…"
                )
    outcome = _outcome(
        corrupt=corrupt,
        unread=unread,
        partial=copy.state is State.PARTIAL,
        unknown=len(unknown) == len(copy.files),
    )
    return Verdict(holding, outcome, tuple(problems), tuple(unknown))


def _outcome(*, corrupt: bool, unread: bool, partial: bool, unknown: bool) -> Outcome:
    if corrupt:
        return Outcome.CORRUPT
    if unread:
        return Outcome.UNREADABLE
    if partial:
        return Outcome.PARTIAL
    return Outcome.UNKNOWN if unknown else Outcome.OK


def git_name(path: Path) -> str | OSError:
    """Git's name of a file's content: the SHA-1 of ``blob``, its size, a zero byte and itself."""
    try:
        content = path.read_bytes()
    except OSError as error:
        return error
    digest = hashlib.sha1(usedforsecurity=False)  # git's own, no choice of ours
    digest.update(b"blob %d\0" % len(content) + content)
    return digest.hexdigest()


def _git_names(copy: Copy) -> dict[Path, str]:
    """What small files of a hub repository should be called by git, as far as anything says so."""
    place = copy.place
    if not place.hub_repository or place.revision is None:
        return {}
    found = learnt(place.hub_repository, place.revision)
    said = {file.name: file.blob_id for file in found.files if file.blob_id} if found else {}
    snapshot = hub.snapshot_dir(place.hub_repository, place.revision)
    names = {file.path: _git_name_of(file, snapshot, said) for file in copy.files}
    return {path: name for path, name in names.items() if name}


def _git_name_of(file: Found, snapshot: Path, said: dict[str, str]) -> str:
    if file.path.is_relative_to(snapshot) and (
        known := said.get(file.path.relative_to(snapshot).as_posix())
    ):
        return known
    # Whoever put it into the cache was told it by the hub, and named the blob by it.
    target = file.path.readlink().name if file.path.is_symlink() else ""
    return target if _GIT_NAME.fullmatch(target) else ""
