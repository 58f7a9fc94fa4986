"""Where a run comes from: its number, a path, a tag, an id, ``latest``, or a bundle."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mac_whisper_speedtest.errors import StorageError, UsageError
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import comparable, directory
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import without_version
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.summary import samples
from mac_whisper_speedtest.summary.figures import with_figures

PREVIOUS = "previous-comparable"
"""Stands for the newest earlier run that the other one can be compared with."""

_BUNDLE = ".zip"


@dataclass(frozen=True, slots=True)
class RunSource:
    """A run to show or compare.

    Attributes:
        label: what tables call it: its number here, or the name of its folder or file.
        run: with its figures, computed again unless its seal proves that they would be the same.
        directory: of the run; ``None`` for a bundle.
    """

    label: str
    run: s.Run
    directory: RunDirectory | None


def load(name: str) -> RunSource:
    """The run called ``name``: a number, a path, a tag, a run id, ``latest``, or a bundle's path.

    Raises:
        UsageError: there is no such run, or the bundle is refused.
        StorageError: its files are missing or damaged.
    """
    found = _named(name)
    return of_directory(found) if isinstance(found, RunDirectory) else found


def replayed(name: str) -> RunSource:
    """The same for callers that compute other figures: its own are present only if sealed.

    Raises:
        UsageError, StorageError: as :func:`load`.
    """
    found = _named(name)
    if not isinstance(found, RunDirectory):
        return found
    return RunSource(_label(found), found.sealed() or found.replay(), found)


def of_directory(found: RunDirectory) -> RunSource:
    """The run in a directory, with its figures. Raises StorageError."""
    return RunSource(_label(found), with_figures(found), found)


def _label(found: RunDirectory) -> str:
    local = found.path.parent == directory.runs_dir()
    return str(found.number) if local else scrub(found.path.resolve().name)


def _named(name: str) -> RunDirectory | RunSource:
    """The directory called ``name``, or the run in the bundle of that path."""
    if name == PREVIOUS:
        raise UsageError(
            f"{PREVIOUS} is relative to another run",
            hint=f"use it as BASE: speedtest compare {PREVIOUS} latest",
        )
    path = Path(name)
    if path.suffix.lower() != _BUNDLE or path.is_dir():
        return directory.find(name)
    if not path.is_file():
        raise UsageError(f"there is no bundle {name}", hint="check the path")
    from mac_whisper_speedtest.bundle import read

    return RunSource(scrub(path.name), read.read_bundle(path), None)


def load_base(name: str, new: s.Manifest) -> RunSource:
    """The run ``name`` to compare ``new`` with; see :func:`load`."""
    return load_previous_comparable(new) if name == PREVIOUS else load(name)


def load_previous_comparable(to: s.Manifest) -> RunSource:
    """The newest earlier run of this store that ``to`` can be compared with.

    It has the same contract, speech, networks and kind of machine, and at least one cell of the
    same backend (in any version) and model that ended ok. Earlier means a lower
    number. Where ``to`` itself is not in this store, its number says nothing here, and every run
    but itself counts as earlier.

    Raises:
        UsageError: there is none; the message names how the nearest one differs.
    """
    nearest: tuple[list[str], int] | None = None
    for found, manifest in _earlier(to):
        reasons = comparable.differences(manifest, to)
        shared = _shared(manifest, to)
        if not shared:
            reasons.append(f"no backend and model in common: {_names(manifest)} and {_names(to)}")
        if not reasons:
            source = of_directory(found)
            if any(_sound(source.run, cell) for cell in shared):
                return source
            reasons = ["none of its cells in common ended ok"]
        # Walked from the newest on, so of equally near ones the newest stays.
        if nearest is None or len(reasons) < len(nearest[0]):
            nearest = (reasons, found.number)
    if nearest is None:
        raise UsageError(
            "there is no earlier run to compare with",
            hint="measure twice, or name the other run: speedtest compare BASE NEW",
        )
    reasons, number = nearest
    raise UsageError(
        f"no earlier run can be compared with this one; in the nearest, run {number}, "
        + "; ".join(reasons),
        hint=f"to see them side by side all the same: speedtest compare {number} NEW --anyway",
    )


def manifest_of(found: RunDirectory) -> s.Manifest | None:
    """What was known beforehand of a run; ``None`` where its file cannot be read."""
    with contextlib.suppress(StorageError):
        return found.manifest()
    return None


def _earlier(to: s.Manifest) -> Iterator[tuple[RunDirectory, s.Manifest]]:
    """The runs of this store that are earlier than ``to``, the newest first."""
    own = _number(to)
    for found in reversed(directory.every()):
        if own is not None and found.number >= own:
            continue
        manifest = manifest_of(found)
        if manifest is not None and not same(manifest, to):
            yield found, manifest


def _number(to: s.Manifest) -> int | None:
    """A run's number in this store: its own, or another where it was imported."""
    usual = RunDirectory(directory.runs_dir() / directory.run_name(to.run))
    for found in (usual, *directory.every()):
        manifest = manifest_of(found)
        if manifest is not None and same(manifest, to):
            return found.number
    return None


def same(one: s.Manifest, other: s.Manifest) -> bool:
    """Whether these are of one run."""
    return one.run_id == other.run_id


def _shared(base: s.Manifest, new: s.Manifest) -> set[tuple[str, str]]:
    """Backend without its version, and model, of the cells that both planned."""
    first, second = (
        {(without_version(cell.backend), cell.model) for cell in each.cells} for each in (base, new)
    )
    return first & second


def _names(manifest: s.Manifest) -> str:
    return ", ".join(dict.fromkeys(f"{cell.backend} {cell.model}" for cell in manifest.cells))


def _sound(run: s.Run, requested: tuple[str, str]) -> bool:
    return any(
        cell.status == "ok" and samples.round_rtf(cell, run.rounds)
        for cell in run.cells
        if (without_version(cell.backend.name), cell.model.name) == requested
    )
