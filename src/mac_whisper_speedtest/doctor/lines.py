"""A checkup: sections of lines, each with a state."""

from __future__ import annotations

from dataclasses import dataclass

from mac_whisper_speedtest.declared import Word


class Readiness(Word):
    """How one fact affects benchmarking."""

    OK = (
        "ok",
        "in order, or irrelevant for benchmarking",
    )
    WARN = (
        "warn",
        "numbers will be noisier, or something optional is missing",
    )
    FAIL = (
        "fail",
        "numbers will be wrong, or runs are impossible",
    )
    UNKNOWN = (
        "unknown",
        "could not be determined, with the reason; it never counts against the machine",
    )


@dataclass(frozen=True, slots=True)
class CheckupLine:
    """One fact, judged.

    Attributes:
        topic: a fixed name, the same on every machine.
        seen: what was found; for ``unknown`` it contains ``not known: reason``.
        next: the next command or step; empty if none is needed.
    """

    topic: str
    state: Readiness
    seen: str
    next: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A titled group of lines."""

    title: str
    lines: tuple[CheckupLine, ...]


@dataclass(frozen=True, slots=True)
class Checkup:
    """All judged facts about this machine."""

    sections: tuple[Section, ...]

    @property
    def lines(self) -> list[CheckupLine]:
        """The lines of all sections, in order."""
        return [line for section in self.sections for line in section.lines]

    @property
    def fit(self) -> bool:
        """Whether no line fails. Warnings and unknown facts do not count."""
        return all(line.state != Readiness.FAIL for line in self.lines)

    def count(self, state: Readiness) -> int:
        """The number of lines in ``state``."""
        return sum(line.state == state for line in self.lines)


def ok(topic: str, seen: str) -> CheckupLine:
    """A line about something that is in order."""
    return CheckupLine(topic, Readiness.OK, seen)


def warn(topic: str, seen: str, then: str) -> CheckupLine:
    """A line about something that makes numbers noisier; ``then`` is what to type."""
    return CheckupLine(topic, Readiness.WARN, seen, then)


def fail(topic: str, seen: str, then: str) -> CheckupLine:
    """A line about something that makes numbers wrong or runs impossible."""
    return CheckupLine(topic, Readiness.FAIL, seen, then)


def unknown(topic: str, reason: str, then: str = "") -> CheckupLine:
    """A line about something that could not be determined, and why."""
    return CheckupLine(topic, Readiness.UNKNOWN, f"not known: {reason}", then)
