"""Reading every byte of the copies that are here, and holding them against what is known.

Files are told by SHA-256: of the catalogue, of what the hub said, of what a conversion wrote down.
Small files of a hub repository have git's name instead, a SHA-1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mac_whisper_speedtest.weights.check import Check, Subject, with_checksums
from mac_whisper_speedtest.weights.inspect import Copy, State
from mac_whisper_speedtest.weights.inventory import Holding


class Outcome(StrEnum):
    """What reading a copy showed."""

    OK = "ok"
    CORRUPT = "corrupt"
    PARTIAL = "partial"
    UNKNOWN = "not known"
    UNREADABLE = "not readable"


_OUTCOMES = {
    State.CORRUPT: Outcome.CORRUPT,
    State.NOT_CHECKABLE: Outcome.UNREADABLE,
    State.PARTIAL: Outcome.PARTIAL,
}


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
    """The verdict on a copy whose files were read."""
    unknown = tuple(file.name for file in copy.files if not file.can_be_told)
    outcome = _OUTCOMES.get(copy.state, Outcome.OK)
    if outcome is Outcome.OK and len(unknown) == len(copy.files):
        outcome = Outcome.UNKNOWN
    return Verdict(holding, outcome, copy.problems, unknown)
