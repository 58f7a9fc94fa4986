"""Verifies that a run's files are unchanged and that its figures follow from its samples.

Digests show damage and careless edits. They are not signatures: a deliberate edit can include new
digests. The figures are compared with the samples in any case.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.results import digests
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.directory import RunDirectory
from mac_whisper_speedtest.summary.summarize import summarize
from mac_whisper_speedtest.version import __version__

# Differences between two JSON values. Pure.


_REL = 1e-9
"""The last digits of logarithms and sums depend on the machine's C library."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference at one position.

    Attributes:
        where: names and positions from the top.
        was: the first value, shortened.
        now: the second value, shortened.
    """

    where: tuple[str, ...]
    was: str
    now: str

    def __str__(self) -> str:
        return f"{'.'.join(self.where)} is {self.was} and should be {self.now}"


def differences(was: object, now: object, where: tuple[str, ...] = ()) -> Iterator[Difference]:
    """Every position at which two JSON values differ, in order.

    Args:
        was: the first value.
        now: the second value.
        where: the position of the values themselves.
    """
    if isinstance(was, dict) and isinstance(now, dict):
        for name in was | now:
            yield from differences(was.get(name), now.get(name), (*where, name))
    elif isinstance(was, list | tuple) and isinstance(now, list | tuple):
        for number, (first, second) in enumerate(zip(was, now, strict=False)):
            yield from differences(first, second, (*where, str(number)))
        if len(was) != len(now):
            yield Difference((*where, "length"), str(len(was)), str(len(now)))
    elif not _equal(was, now):
        yield Difference(where, _short(was), _short(now))


def _equal(was: object, now: object) -> bool:
    numbers = (int, float)
    if isinstance(was, bool) or isinstance(now, bool):
        return was is now
    if isinstance(was, numbers) and isinstance(now, numbers):
        return math.isclose(was, now, rel_tol=_REL, abs_tol=0.0)
    return was == now


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_MAX_NAMED = 5
"""Differences that a message names; a run has thousands of figures."""
_COPIED = {"samples", "loads", "meters", "clip", "model"}
"""Fields of a cell in ``run.json`` that are copied from the manifest and the journal."""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification.

    Attributes:
        problems: one sentence each.
        remarks: what could not be checked, or is unusual but not wrong.
    """

    problems: tuple[str, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Files:
    """A run's files, and the run computed from the manifest and the journal."""

    manifest: bytes
    journal: bytes
    sealed: bytes | None
    computed: s.Run

    @property
    def state(self) -> str:
        outcome = self.computed.manifest.outcome
        return outcome.state if outcome else ""


def verify(run: RunDirectory) -> list[str]:
    """What is wrong with a run's files, a sentence each."""
    return list(examine(run).problems)


def examine(run: RunDirectory) -> Verification:
    """Compute a run's digests and figures again, and compare them with the sealed ones."""
    try:
        files = _Files(
            _read(run, "manifest.json"),
            _read(run, "journal.jsonl") if run.journal_path.exists() else b"",
            _read(run, "run.json") if run.sealed_path.exists() else None,
            summarize(run.replay()),
        )
        problems = list(_facts(run, files))
        sealed = _sealed(files)
    except StorageError as error:
        return Verification((error.message,))
    remarks = [] if run.journal_path.exists() else ["it has no journal.jsonl: nothing was measured"]
    if files.state == "running":
        return Verification(tuple(problems), (*remarks, "it is being written"))
    if isinstance(sealed, str):
        return Verification(tuple(problems), (*remarks, sealed))
    if sealed.digests is None:
        problems.append("run.json has no digests")
    elif digests.goes_on(files.journal, sealed.digests.journal):
        again = "it was resumed after sealing: remove run.json; `speedtest show` then seals it"
        return Verification(tuple(problems), (*remarks, again))
    else:
        problems += _digests(sealed.digests, files)
    wrong, other = _figures(sealed, files.computed)
    return Verification((*problems, *wrong), (*remarks, *other))


def _read(run: RunDirectory, name: str) -> bytes:
    try:
        return (run.path / name).read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {name}: {error.strerror}") from error


def _sealed(files: _Files) -> s.Run | str:
    """The sealed run, or why it is missing.

    Raises:
        StorageError: ``run.json`` is damaged, or of a newer version.
    """
    if files.sealed is None:
        return f"it is not sealed ({files.state}): `speedtest show` seals it"
    version = digests.decoded(files.sealed, _VersionHead, "run.json").schema_version
    if version > s.SCHEMA_VERSION:
        raise StorageError(
            f"run.json has schema version {version}; this tool reads up to {s.SCHEMA_VERSION}",
            hint="install a newer mac-whisper-speedtest",
        )
    return digests.decoded(files.sealed, s.Run, "run.json")


class _VersionHead(s.Struct):
    schema_version: int


def _facts(run: RunDirectory, files: _Files) -> Iterator[str]:
    """What is wrong with the manifest and the journal, independent of the seal."""
    written = files.computed.manifest.request_sha256
    if written != digests.of_request(files.manifest):
        yield (f"manifest.json: its request does not have the recorded SHA-256 ({written[:12]}…)")
    for name, lines in run.journal().unusable.items():
        yield str(lines) + (f" ({name})" if name else "")


def _digests(sealed: s.DigestsInfo, files: _Files) -> Iterator[str]:
    for name, was, now in (
        ("manifest.json", sealed.manifest, digests.of_manifest(files.manifest)),
        ("journal.jsonl", sealed.journal, digests.of_journal(files.journal)),
        ("run.json", sealed.run, digests.of_run(files.sealed or b"")),
    ):
        if was != now:
            yield f"{name} has changed since it was sealed: {was[:12]}… then, {now[:12]}… now"


def _figures(sealed: s.Run, computed: s.Run) -> tuple[list[str], list[str]]:
    """What is wrong in ``run.json``, and what another version computed differently."""
    found = list(differences(_content(sealed), _content(computed)))
    copied = [each for each in found if _is_copied(each.where)]
    figures = [each for each in found if each not in copied]
    wrong = _named("run.json differs from the measurements", copied)
    if sealed.manifest.tool.version == __version__:
        return wrong + _named("the figures in run.json do not follow from its samples", figures), []
    by = sealed.manifest.tool.version
    return wrong, _named(
        f"run.json was computed by another version ({by}), with different figures", figures
    )


def _content(run: s.Run) -> object:
    plain = msgspec.structs.replace(run, schema_version=s.SCHEMA_VERSION, digests=None)
    return msgspec.to_builtins(plain)


def _is_copied(where: Sequence[str]) -> bool:
    if where[0] == "cells":
        return len(where) > 2 and where[2] in _COPIED
    return tuple(where[:2]) != ("manifest", "outcome")


def _named(what: str, differences: Sequence[Difference]) -> list[str]:
    if not differences:
        return []
    some = "; ".join(map(str, differences[:_MAX_NAMED]))
    more = f"; and {len(differences) - _MAX_NAMED} more" if len(differences) > _MAX_NAMED else ""
    return [f"{what}: {some}{more}"]
