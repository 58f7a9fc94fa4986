"""What a timeline is made of, and the sheet on which it is drawn."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from mac_whisper_speedtest.privacy import scrub_for_others

LONGEST_TEXT = 200
"""Characters of a message that are kept; the journal has all of it."""

Value = str | int | float | bool
Facts = Mapping[str, Value]
RUN_TRACK = 0


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time.

    Attributes:
        name: what a reader sees.
        kind: ``run``, ``round``, ``visit``, ``spawn``, ``import``, ``start`` (both, where they are
            not told apart), ``load``, ``warm-up``, ``sample``, ``end``, ``canary``, ``cool`` or
            ``pause``.
        track: the row it is drawn in: 0 is the run, others are the cells in the run's order.
        start_s: seconds since the journal was first opened.
        end_s: likewise; never before ``start_s``.
        parent: its place in ``Timeline.spans``, always before this one; ``None`` for the run.
        error: what went wrong in it; empty when nothing did.
        arguments: facts, by names that end in their unit.
    """

    name: str
    kind: str
    track: int
    start_s: float
    end_s: float
    parent: int | None
    error: str = ""
    arguments: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instant:
    """Something that happened, and in which span: its place in ``Timeline.spans``."""

    name: str
    kind: str
    track: int
    at_s: float
    span: int
    arguments: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counter:
    """A figure from one moment on, named as in docs/results.md."""

    name: str
    track: int
    at_s: float
    value: float


@functools.lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """A text as it may leave this machine: no names, paths or tokens, and of a bounded length."""
    found = scrub_for_others(text)
    return found if len(found) <= LONGEST_TEXT else found[: LONGEST_TEXT - 1] + "…"


def facts(**values: Value | None) -> dict[str, Value]:
    """The arguments that are known, texts cleaned; an empty text says nothing."""
    return {
        name: clean(value) if isinstance(value, str) else value
        for name, value in values.items()
        if value is not None and value != ""
    }


@dataclass(slots=True)
class _Draft:
    """A span whose end is not known yet."""

    name: str
    kind: str
    track: int
    start_s: float
    end_s: float
    parent: int | None
    error: str = ""
    arguments: dict[str, Value] = field(default_factory=dict)

    def span(self) -> Span:
        return Span(
            clean(self.name),
            self.kind,
            self.track,
            self.start_s,
            self.end_s,
            self.parent,
            clean(self.error),
            self.arguments,
        )


@dataclass(slots=True)
class Sheet:
    """Spans, instants and counters as they are found; a span may still grow."""

    drafts: list[_Draft] = field(default_factory=list)
    instants: list[Instant] = field(default_factory=list)
    counters: list[Counter] = field(default_factory=list)

    def span(
        self,
        name: str,
        kind: str,
        *,
        within: int | None,
        between: tuple[float, float],
        track: int | None = None,
        facts: Facts | None = None,
        error: str = "",
    ) -> int:
        """Draw a span and return its place, for what lies in it.

        Args:
            name: as in ``Span``.
            kind: likewise.
            within: the place of its parent; ``None`` for the run.
            between: seconds of its start and its end.
            track: its row; ``None`` is the parent's.
            facts: its arguments.
            error: what went wrong in it.
        """
        if track is None:
            track = RUN_TRACK if within is None else self.drafts[within].track
        start_s, end_s = between
        self.drafts.append(
            _Draft(name, kind, track, start_s, end_s, within, error, dict(facts or {}))
        )
        return len(self.drafts) - 1

    def instant(
        self,
        name: str,
        kind: str,
        at_s: float,
        *,
        within: int,
        track: int | None = None,
        facts: Facts | None = None,
    ) -> None:
        """Draw something that happened in the span at the place ``within``."""
        if track is None:
            track = self.drafts[within].track
        self.instants.append(Instant(clean(name), kind, track, at_s, within, facts or {}))

    def counter(self, name: str, at_s: float, value: float | None, track: int = RUN_TRACK) -> None:
        """Draw a figure from ``at_s`` on, where it is known."""
        if value is not None:
            self.counters.append(Counter(name, track, at_s, float(value)))

    def grow(self, place: int, at_s: float) -> None:
        """Let a span and those that it lies in go on until ``at_s`` at least."""
        above: int | None = place
        while above is not None:
            self.drafts[above].end_s = max(self.drafts[above].end_s, at_s)
            above = self.drafts[above].parent
