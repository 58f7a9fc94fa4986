"""Finds and reads bundles and run directories for a leaderboard; says why it refuses some."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

from mac_whisper_speedtest import files
from mac_whisper_speedtest.errors import SpeedtestError, UsageError
from mac_whisper_speedtest.leaderboard import submissions
from mac_whisper_speedtest.leaderboard.submissions import Submission
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import directory, journal
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.summary.evidence import JournalClock
from mac_whisper_speedtest.summary.summarize import summarize

BUNDLE = ".zip"
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A bundle that is not on the leaderboard.

    Attributes:
        name: of its file or folder, without the path.
        sha256: of the file, or of the run directory's journal; empty if that is unreadable.
    """

    name: str
    sha256: str
    reason: str


@dataclass(frozen=True, slots=True)
class Intake:
    """What was read.

    Attributes:
        accepted: each run once, sorted by name.
        refused: sorted by name.
        repeated: how many bundles were further copies of an accepted run.
    """

    accepted: tuple[Submission, ...]
    refused: tuple[Refusal, ...]
    repeated: int


@dataclass(frozen=True, slots=True)
class ReadBundle:
    """A submission, with the name and hash of its file in case it is refused later."""

    submission: Submission
    name: str
    sha256: str


def find_bundles(names: Iterable[str]) -> list[Path]:
    """Every bundle and run directory that ``names`` refer to, each once, sorted by path.

    A folder that is not a run directory is searched recursively, except for hidden folders and
    links. A name that is not a path is a run of this machine: ``latest``, a number, a tag, a run
    id.

    Raises:
        UsageError: a name refers to nothing, or a folder contains neither a bundle nor a run.
    """
    found: set[Path] = set()
    for name in names:
        path = Path(name)
        if path.is_file() and path.name not in {_MANIFEST, "run.json", "journal.jsonl"}:
            found.add(path.resolve())
        elif path.is_dir() and not (path / _MANIFEST).is_file():
            inside = set(_inside(path.resolve()))
            if not inside:
                raise UsageError(
                    f"{name} contains no bundle and no run",
                    hint="make a bundle: speedtest results bundle latest -o run.zip",
                )
            found |= inside
        else:
            found.add(directory.find(name).path.resolve())
    return sorted(found)


def _inside(root: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        here = Path(folder)
        if _MANIFEST in names:
            yield here
            folders.clear()
            continue
        for name in names:
            path = here / name
            if path.suffix.lower() != BUNDLE or name.startswith(".") or path.is_symlink():
                continue
            if path.is_file():  # reading a pipe would block
                yield path


def read_bundles(paths: Sequence[Path]) -> Intake:
    """Read each bundle and compute its figures from its samples; refuse those that are invalid.

    An invalid bundle never stops the others from being read.
    """
    good: list[ReadBundle] = []
    refused: list[Refusal] = []
    for path in paths:
        sha256 = _sha256(path)
        name = scrub(path.name)
        try:
            good.append(ReadBundle(_submission(path), name, sha256))
        except SpeedtestError as error:
            refused.append(Refusal(name, sha256, _without_folder(error.message, path)))
        # A bundle is untrusted: its values may make any computation fail.
        except (
            ArithmeticError,
            AssertionError,
            BadZipFile,
            LookupError,
            OSError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            reason = f"its figures cannot be computed: {type(error).__name__}: {error}"
            refused.append(Refusal(name, sha256, _without_folder(reason, path)))
    return merge_duplicates(good, refused)


def merge_duplicates(good: Iterable[ReadBundle], refused: Iterable[Refusal]) -> Intake:
    """Accept each run once; refuse all bundles of a run that contradict each other."""
    by_name: defaultdict[str, list[ReadBundle]] = defaultdict(list)
    for each in good:
        by_name[each.submission.name].append(each)
    accepted, set_aside, repeated = [], list(refused), 0
    for name in sorted(by_name):
        same = by_name[name]
        if _agree([each.submission for each in same]):
            known = [each.submission for each in same]
            accepted.append(max(known, key=_preference) if len(known) > 1 else known[0])
            repeated += len(same) - 1
            continue
        set_aside += [
            Refusal(
                each.name,
                each.sha256,
                f"{len(same)} bundles of the run {name[:12]} contradict each other, and which is "
                "true cannot be known",
            )
            for each in same
        ]
    set_aside.sort(key=lambda each: (each.name, each.sha256, each.reason))
    return Intake(tuple(accepted), tuple(set_aside), repeated)


def _preference(submission: Submission) -> tuple[bool, str]:
    """Bundles with texts first; among equal ones the order does not depend on their paths."""
    return bool(submission.texts_sha256), repr(submission)


def _agree(same: Sequence[Submission]) -> bool:
    contents = {each.content_sha256 for each in same}
    texts = {each.texts_sha256 for each in same} - {""}
    return len(contents) == 1 and len(texts) <= 1


def _submission(path: Path) -> Submission:
    """With every figure computed from its samples; figures in its files are ignored."""
    if not path.is_dir():
        from mac_whisper_speedtest.bundle import read as unpack
        from mac_whisper_speedtest.bundle import signature

        if path.suffix.lower() != BUNDLE:
            raise UsageError(f"{path.name} is not a bundle", hint="a bundle's name ends in .zip")
        found = unpack.read_validated(path)
        return submissions.submission_of(
            found.run, journal_doubts=found.journal_doubts, signer=signature.signer_of(path)
        )
    there = RunDirectory(path)
    run = there.replay()
    if run.manifest.outcome is not None and run.manifest.outcome.state == "running":
        raise UsageError("it is still being measured", hint="wait until the run has ended")
    clock = JournalClock()
    for line in journal.read_journal(there.journal_path, run.manifest).lines:
        clock.add(line.at_s, line.event)
    return submissions.submission_of(summarize(run), journal_doubts=clock.doubts())


def _sha256(path: Path) -> str:
    try:
        return files.sha256_file(path / "journal.jsonl" if path.is_dir() else path)
    except OSError:
        return ""


def _without_folder(text: str, path: Path) -> str:
    """A reason without the bundle's folder, which differs from machine to machine."""
    text = text.removeprefix(f"{path} is refused: ")
    for folder in (f"{path}{os.sep}", f"{path.parent}{os.sep}"):
        text = text.replace(folder, "")
    return scrub(text.replace(str(path), path.name))
