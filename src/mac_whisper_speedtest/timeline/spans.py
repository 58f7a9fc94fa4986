"""Times of a run's events on one clock that starts with the run, and the parts of a timeline.

The lines of a journal have times. Lines without, and a sealed run without a journal, are placed one
after another by the known duration of each step: order and durations are true, pauses are missing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

import msgspec

from mac_whisper_speedtest.privacy import scrub_for_others
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.journal import TimedEvent

_Event = TypeVar("_Event", s.Decided, s.RoundWatched, s.Sample, s.Metered, s.WorkerEnded)

GAP_S = 1.0
"""Drawn between an interruption and the resumption of a run. No monotonic clock measures it, and it
may have been days; one second makes it visible."""


@dataclass(frozen=True, slots=True)
class Moment:
    """An event, and its time in seconds since the run's journal was first opened."""

    at_s: float
    event: s.Event


@dataclass(frozen=True, slots=True)
class PlacedEvents:
    """A run's moments in order; ``synthetic`` if any was placed by the durations of the steps."""

    moments: tuple[Moment, ...]
    synthetic: bool


def place_events(events: Sequence[TimedEvent]) -> PlacedEvents:
    """Put every event on one monotonic clock."""
    found: list[Moment] = []
    synthetic = False
    now = 0.0
    for number, segment in enumerate(_segments(events)):
        began = now + (GAP_S if number else 0.0)
        unknown = any(each.at_s is None for each in segment)
        synthetic = synthetic or unknown
        for each in _one_after_another(segment) if unknown else segment:
            now = max(now, began + (each.at_s or 0.0))
            found.append(Moment(now, each.event))
    return PlacedEvents(tuple(found), synthetic)


def _segments(events: Sequence[TimedEvent]) -> list[list[TimedEvent]]:
    """Split the events at every resumption; the first segment may be empty."""
    number = 0

    def segment_number(each: TimedEvent) -> int:
        nonlocal number
        number += isinstance(each.event, s.Resumed)
        return number

    found = [list(segment) for _, segment in groupby(events, key=segment_number)]
    return [[], *found] if found and isinstance(found[0][0].event, s.Resumed) else found


def _one_after_another(segment: Sequence[TimedEvent]) -> Iterator[TimedEvent]:
    now = 0.0
    reported: list[s.Event] = []
    for each in segment:
        if isinstance(each.event, s.Effective):
            # It came with an answer: at the end of the step that the next line reports.
            reported.append(each.event)
            continue
        now += duration_s(each.event)
        yield from (TimedEvent(now, event) for event in reported)
        reported.clear()
        yield TimedEvent(now, each.event)
    yield from (TimedEvent(now, event) for event in reported)


def duration_s(event: s.Event) -> float:
    """Seconds of the step that ends with an event; 0 if the event has no duration."""
    match event:
        case s.Loaded(rung=s.LOAD_WARM):
            return event.load_wall_s
        case s.Loaded():
            return event.hello_wall_s + event.load_wall_s
        case s.Sample():
            return event.wall_s
        case s.WorkerEnded():
            return event.busy_after_s or 0.0
        case s.RoundWatched():
            return (event.canary_after_s or 0.0) + (event.cooled_s or 0.0)
        case _:
            return 0.0


def rebuild_events(run: s.Run) -> list[TimedEvent]:
    """Rebuild the events of a sealed run, in the order in which they must have happened."""
    return [TimedEvent(None, event) for event in _events(run)]


def _events(run: s.Run) -> Iterator[s.Event]:
    watched = {each.round: each for each in run.rounds}
    ended = {ending.round for cell in run.cells for ending in cell.endings}
    schedule = run.manifest.schedule
    decisions = list(run.decisions)
    for done, number in enumerate([*watched, *sorted(ended - watched.keys())]):
        while decisions and decisions[0].after <= done:
            yield _as(decisions.pop(0), s.Decided)
        order = schedule[number] if number < len(schedule) else []
        positions = {name: position for position, name in enumerate(order)}
        for cell in sorted(run.cells, key=lambda each: positions.get(each.id, len(positions))):
            yield from _visits(cell, number)
        if number in watched:
            yield _as(watched[number], s.RoundWatched)
    for decision in decisions:
        yield _as(decision, s.Decided)
    outcome = run.manifest.outcome
    if outcome is not None and outcome.state not in {"running", "recovered"}:
        yield s.RunEnded(state=outcome.state, message=outcome.message)


def _visits(cell: s.CellResult, number: int) -> Iterator[s.Event]:
    for ending in cell.endings:
        if ending.round != number:
            continue
        if ending.attempt is None:
            yield s.RoundSkipped(
                cell=cell.id,
                round=number,
                status=ending.status,
                error_class=ending.error_class,
                message=ending.message,
            )
            continue
        which = (number, ending.attempt)
        loads = [each for each in cell.loads if (each.round, each.attempt) == which]
        yield s.WorkerStarted(cell=cell.id, round=number, attempt=ending.attempt)
        yield from (_loaded(cell, each) for each in loads if each.rung != s.LOAD_WARM)
        for sample in cell.samples:
            if (sample.round, sample.attempt) == which:
                yield _as(sample, s.Sample, cell=cell.id)
        for meter in cell.meters:
            if (meter.round, meter.attempt) == which:
                yield _as(meter, s.Metered, cell=cell.id)
        yield from (_loaded(cell, each) for each in loads if each.rung == s.LOAD_WARM)
        yield _as(ending, s.WorkerEnded, cell=cell.id)


def _loaded(cell: s.CellResult, load: s.LoadResult) -> s.Loaded:
    backend = cell.backend
    fields = msgspec.structs.asdict(load)
    device, precision = load.device or backend.device, load.precision or backend.precision
    return s.Loaded(
        **fields
        | {
            "cell": cell.id,
            "version": backend.version or "",
            "versions": backend.versions,
            "device": device or "",
            "precision": precision or "",
            "details": backend.details,
        }
    )


def _as(fact: s.Struct, kind: type[_Event], **more: Any) -> _Event:
    return kind(**msgspec.structs.asdict(fact), **more)


# The parts of a timeline.


LONGEST_TEXT = 200
"""Longer messages are cut to this many characters; the journal has them in full."""

Value = str | int | float | bool
Facts = Mapping[str, Value]
RUN_TRACK = 0


@dataclass(slots=True)
class Span:
    """A step with a duration; its end moves until the timeline is complete.

    Attributes:
        name: for people.
        kind: ``run``, ``round``, ``visit``, ``spawn``, ``import``, ``start`` (spawn and import, if
            not reported separately), ``load``, ``warm-up``, ``sample``, ``end``, ``canary``,
            ``cool`` or ``pause``.
        track: the row it is drawn in: 0 is the run, others are the cells in the run's order.
        start_s: seconds since the journal was first opened.
        end_s: likewise; never before ``start_s``.
        parent: index in ``Timeline.spans``, always before this one; ``None`` for the run.
        error: message of its failure, or empty.
        arguments: facts, by names that end in their unit.
    """

    name: str
    kind: str
    track: int
    start_s: float
    end_s: float
    parent: int | None
    error: str = ""
    arguments: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment inside a span, given by its index in ``Timeline.spans``."""

    name: str
    kind: str
    track: int
    at_s: float
    span: int
    arguments: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CounterValue:
    """A value from one moment on, named as in docs/reference/words.md."""

    name: str
    track: int
    at_s: float
    value: float


@functools.lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """A text that may be published: without names, paths and tokens, cut to ``LONGEST_TEXT``."""
    found = scrub_for_others(text)
    return found if len(found) <= LONGEST_TEXT else found[: LONGEST_TEXT - 1] + "…"


def facts(**values: Value | None) -> dict[str, Value]:
    """The known arguments, with cleaned texts; ``None`` and empty texts are dropped."""
    return {
        name: clean(value) if isinstance(value, str) else value
        for name, value in values.items()
        if value is not None and value != ""
    }


@dataclass(slots=True)
class SpanRecorder:
    """Collects spans, instants and counters, with cleaned texts."""

    spans: list[Span] = field(default_factory=list)
    instants: list[Instant] = field(default_factory=list)
    counters: list[CounterValue] = field(default_factory=list)

    def span(
        self,
        name: str,
        kind: str,
        *,
        within: int | None,
        between: tuple[float, float],
        track: int | None = None,
        facts: Facts | None = None,
    ) -> int:
        """Add a span and return its index, the ``within`` of its children.

        Args:
            name: as in ``Span``.
            kind: likewise.
            within: index of its parent; ``None`` for the run.
            between: start and end in seconds.
            track: its row; ``None`` for the parent's.
            facts: its arguments.
        """
        if track is None:
            track = RUN_TRACK if within is None else self.spans[within].track
        start_s, end_s = between
        known = dict(facts or {})
        self.spans.append(Span(clean(name), kind, track, start_s, end_s, within, "", known))
        return len(self.spans) - 1

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
        """Add a moment in the span with the index ``within``."""
        if track is None:
            track = self.spans[within].track
        self.instants.append(Instant(clean(name), kind, track, at_s, within, facts or {}))

    def counter(self, name: str, at_s: float, value: float | None, track: int = RUN_TRACK) -> None:
        """Add a value from ``at_s`` on, if it is known."""
        if value is not None:
            self.counters.append(CounterValue(name, track, at_s, float(value)))

    def grow(self, index: int, at_s: float) -> None:
        """Extend a span and its ancestors to ``at_s`` at least."""
        parent: int | None = index
        while parent is not None:
            self.spans[parent].end_s = max(self.spans[parent].end_s, at_s)
            parent = self.spans[parent].parent
