"""What a checkup consists of: lines with a state, in sections."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Readiness(StrEnum):
    """How one fact bears on measuring."""

    OK = "ok"
    WARN = "warn"  # numbers will be noisier, or something is missing that may be wanted
    FAIL = "fail"  # numbers will be wrong, or runs impossible
    UNKNOWN = "unknown"  # nothing was guessed; never counts against the machine


@dataclass(frozen=True, slots=True)
class CheckupLine:
    """One fact, judged.

    Attributes:
        topic: what it is about; the same on every machine.
        state: how it bears on measuring.
        seen: what was found; for ``unknown`` it holds ``not known: reason``.
        next: what to type or to do about it; empty when there is nothing to do.
    """

    topic: str
    state: Readiness
    seen: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Lines that belong together, under a title."""

    title: str
    lines: tuple[CheckupLine, ...]


@dataclass(frozen=True, slots=True)
class Checkup:
    """Everything that was looked at."""

    sections: tuple[Section, ...]

    @property
    def lines(self) -> list[CheckupLine]:
        """All lines, in order."""
        return [line for section in self.sections for line in section.lines]

    @property
    def fit(self) -> bool:
        """Whether nothing fails. Warnings and what is not known do not count."""
        return all(line.state != Readiness.FAIL for line in self.lines)

    def count(self, state: Readiness) -> int:
        """How many lines are in ``state``."""
        return sum(line.state == state for line in self.lines)


def ok(topic: str, seen: str) -> CheckupLine:
    """A line about something that is as it should be."""
    return CheckupLine(topic, Readiness.OK, seen)


def warn(topic: str, seen: str, then: str) -> CheckupLine:
    """A line about something that makes numbers noisier; ``then`` is what to type."""
    return CheckupLine(topic, Readiness.WARN, seen, then)


def fail(topic: str, seen: str, then: str) -> CheckupLine:
    """A line about something that makes numbers wrong or runs impossible."""
    return CheckupLine(topic, Readiness.FAIL, seen, then)


def unknown(topic: str, reason: str, then: str = "") -> CheckupLine:
    """A line about something that could not be found out, and why."""
    return CheckupLine(topic, Readiness.UNKNOWN, f"not known: {reason}", then)
