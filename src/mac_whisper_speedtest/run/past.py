"""What a run that is taken up again has measured already: a pure function of its journal."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.journal import TimedEvent
from mac_whisper_speedtest.run.task import Piece

Visit = tuple[str, int]
"""A cell's id and the number of a round."""


@dataclass(slots=True)
class Visited:
    """What there is of one cell's round.

    Attributes:
        attempts: workers that were started for it.
        taken: samples that need not be taken again, and whether each is a failure.
        ended: whether nothing is left of it to measure.
    """

    attempts: int = 0
    taken: dict[Piece, bool] = field(default_factory=dict)
    ended: bool = False

    @property
    def spoilt(self) -> frozenset[str]:
        """Recordings that gave no text: none of them is a good first call."""
        return frozenset(name for (name, _), failed in self.taken.items() if failed)


@dataclass(frozen=True, slots=True)
class Past:
    """What the earlier sessions of a run left; empty for a run that begins.

    Attributes:
        visits: what there is, by cell and round.
        spent_s: cell → seconds that its workers took, from start to end.
        repeated_as: round → the round that stands in for it.
        decided: rounds that were done → what the stopping rule then decided, the latest of several.
        elapsed_s: seconds that the sessions took together.
    """

    visits: Mapping[Visit, Visited] = field(default_factory=dict)
    spent_s: Mapping[str, float] = field(default_factory=dict)
    repeated_as: Mapping[int, int] = field(default_factory=dict)
    decided: Mapping[int, s.DecisionResult] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def visit(self, cell: str, number: int) -> Visited:
        """What there is of a cell's round."""
        return self.visits.get((cell, number), Visited())

    @property
    def reached(self) -> int:
        """The last round that was begun; -1 where none was."""
        return max((number for _, number in self.visits), default=-1)

    @property
    def samples(self) -> int:
        """Timed samples that are kept."""
        return sum(len(each.taken) for each in self.visits.values())

    def rounds_of(self, cell: str) -> int:
        """In how many rounds the cell had a worker."""
        return sum(name == cell and each.attempts > 0 for (name, _), each in self.visits.items())

    def passes_of(self, cell: str, recordings: int) -> int:
        """How many passes over all ``recordings`` the cell has come to the end of."""
        found = 0
        for (name, _), each in self.visits.items():
            if name == cell:
                counts = collections.Counter(index for _, index in each.taken)
                found += sum(count == recordings for count in counts.values())
        return found


def of(lines: Sequence[TimedEvent]) -> Past:
    """What these lines of a journal tell of.

    A sample that was finished counts, whatever became of its worker. A round is over when its last
    worker ended well, or when there was nothing to measure; one that failed or was cut off is not.
    """
    visits: collections.defaultdict[Visit, Visited] = collections.defaultdict(Visited)
    repeated_as: dict[int, int] = {}
    decided: dict[int, s.DecisionResult] = {}
    for event in (line.event for line in lines):
        if isinstance(event, s.WorkerStarted):
            visited = visits[event.cell, event.round]
            visited.attempts = max(visited.attempts, event.attempt + 1)
            visited.ended = False
        elif isinstance(event, s.Sample):
            if event.kind == "timed" and not event.repeated:
                piece = (event.utterance, event.index)
                visits[event.cell, event.round].taken[piece] = bool(event.failed)
        elif isinstance(event, s.WorkerEnded):
            visits[event.cell, event.round].ended = event.status == "ok"
        elif isinstance(event, s.RoundSkipped):
            visits[event.cell, event.round].ended = event.status in {"ok", "unavailable"}
        elif isinstance(event, s.RoundWatched) and event.repeated_as is not None:
            repeated_as[event.round] = event.repeated_as
        elif isinstance(event, s.Decided):
            decided[event.after] = event
    elapsed_s, spent_s = _times(lines)
    return Past(dict(visits), spent_s, repeated_as, decided, elapsed_s)


def _times(lines: Sequence[TimedEvent]) -> tuple[float, dict[str, float]]:
    """Seconds of all sessions, and of each cell's workers; one that was cut off to the last line.

    There is at most one worker at a time.
    """
    elapsed_s, now_s = 0.0, 0.0
    spent_s: collections.defaultdict[str, float] = collections.defaultdict(float)
    running: tuple[str, float] | None = None
    for line in lines:
        ended = isinstance(line.event, s.WorkerEnded)
        if isinstance(line.event, s.Resumed):  # another tool's clock: it begins anew
            if running is not None:
                spent_s[running[0]] += now_s - running[1]
            elapsed_s, now_s, running = elapsed_s + now_s, 0.0, None
        now_s = max(now_s, line.at_s or 0.0)
        if isinstance(line.event, s.WorkerStarted):
            running = (line.event.cell, now_s)
        elif ended and running is not None:
            spent_s[running[0]] += now_s - running[1]
            running = None
    if running is not None:
        spent_s[running[0]] += now_s - running[1]
    return elapsed_s + now_s, dict(spent_s)
