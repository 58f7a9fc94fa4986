"""Reading bundles and run directories for a leaderboard: what is good, and why the rest is not."""

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
from mac_whisper_speedtest.results import directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.summary.summarize import summarize

BUNDLE = ".zip"
_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A bundle that is not on the leaderboard.

    Attributes:
        name: of its file or folder, without where that lies.
        sha256: of the file, or of the run directory's journal; empty where it cannot be read.
        reason: in words.
    """

    name: str
    sha256: str
    reason: str


@dataclass(frozen=True, slots=True)
class Intake:
    """What was read.

    Attributes:
        accepted: each run once, in the order of their names.
        refused: in the order of their names.
        repeated: how many were there a second time, with the same content.
    """

    accepted: tuple[Submission, ...]
    refused: tuple[Refusal, ...]
    repeated: int


@dataclass(frozen=True, slots=True)
class Read:
    """A submission, and what to call its file should it be refused after all."""

    submission: Submission
    name: str
    sha256: str


def find(names: Iterable[str]) -> list[Path]:
    """Every bundle and run directory that ``names`` stand for, each once, in order of path.

    A folder that is no run directory is searched with all folders in it, but for hidden ones and
    through no links. A name that is no path is a run of this machine: ``latest``, a number, a tag,
    a run id.

    Raises:
        UsageError: a name stands for nothing, or a folder has neither in it.
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
                    f"{name} holds no bundle and no run",
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
            if path.is_file():  # a pipe would be waited for
                yield path


def read_bundles(paths: Sequence[Path]) -> Intake:
    """Read every one, compute its figures from its samples, and set aside what is not to be had.

    Nothing that is wrong with one of them stops the others.
    """
    good: list[Read] = []
    refused: list[Refusal] = []
    for path in paths:
        sha256 = _sha256(path)
        name = scrub(path.name)
        try:
            good.append(Read(submissions.submission_of(_run(path)), name, sha256))
        except SpeedtestError as error:
            refused.append(Refusal(name, sha256, _placeless(error.message, path)))
        # What is in a bundle was written by anybody, and may be what nothing can be computed of.
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
            said = f"its figures cannot be computed: {type(error).__name__}: {error}"
            refused.append(Refusal(name, sha256, _placeless(said, path)))
    return settle(good, refused)


def settle(good: Iterable[Read], refused: Iterable[Refusal]) -> Intake:
    """Count a run that is there twice once; refuse all of those that contradict each other."""
    by_name: defaultdict[str, list[Read]] = defaultdict(list)
    for each in good:
        by_name[each.submission.name].append(each)
    accepted, set_aside, repeated = [], list(refused), 0
    for name in sorted(by_name):
        same = by_name[name]
        if _agree([each.submission for each in same]):
            # Those with texts say more. Which of equals is taken may not depend on where they lie.
            accepted.append(
                max((each.submission for each in same), key=_says)
                if len(same) > 1
                else same[0].submission
            )
            repeated += len(same) - 1
            continue
        set_aside += [
            Refusal(
                each.name,
                each.sha256,
                f"{len(same)} bundles of the run {name[:12]} do not say the same; "
                "which of them is true cannot be known",
            )
            for each in same
        ]
    set_aside.sort(key=lambda each: (each.name, each.sha256, each.reason))
    return Intake(tuple(accepted), tuple(set_aside), repeated)


def _says(submission: Submission) -> tuple[bool, str]:
    return bool(submission.texts), repr(submission)


def _agree(same: Sequence[Submission]) -> bool:
    contents = {each.content for each in same}
    texts = {each.texts for each in same} - {""}
    return len(contents) == 1 and len(texts) <= 1


def _run(path: Path) -> s.Run:
    """The run with every figure computed again, whatever its files say of them."""
    if not path.is_dir():
        from mac_whisper_speedtest.bundle import read as unpack

        if path.suffix.lower() != BUNDLE:
            raise UsageError(f"{path.name} is not a bundle", hint="a bundle's name ends in .zip")
        return unpack.read_bundle(path)
    run = RunDirectory(path).replay()
    if run.manifest.outcome is not None and run.manifest.outcome.state == "running":
        raise UsageError("it is still being measured", hint="wait until it has ended")
    return summarize(run)


def _sha256(path: Path) -> str:
    try:
        return files.sha256_file(path / "journal.jsonl" if path.is_dir() else path)
    except OSError:
        return ""


def _placeless(text: str, path: Path) -> str:
    """A reason without the folder that the bundle lies in, which is another one elsewhere."""
    text = text.removeprefix(f"{path} is refused: ")
    for place in (f"{path}{os.sep}", f"{path.parent}{os.sep}"):
        text = text.replace(place, "")
    return scrub(text.replace(str(path), path.name))
