"""Figures of a running run: each cell's speed so far, and the time left."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from mac_whisper_speedtest.errors import StorageError
from mac_whisper_speedtest.printable import duration_text
from mac_whisper_speedtest.request import (
    OPEN_PAIRS_ROUNDS,
    OPEN_PAIRS_TIME,
    first_rounds,
    limited_otherwise,
)
from mac_whisper_speedtest.results import comparable
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.cells import counted, interval_text, speed_form
from mac_whisper_speedtest.stats import intervals
from mac_whisper_speedtest.summary import samples

_HISTORY_S = 0.5
"""Most seconds for reading earlier runs: the estimate must not delay the run."""


def duration_by_history(manifest: s.Manifest) -> float | None:
    """Seconds that a run takes if its cells are as fast as last time on such a machine.

    Returns:
        ``None`` if a cell was never measured here, or the stored runs cannot be read.
    """
    from mac_whisper_speedtest.store.index import open_index  # only where progress is shown

    audio_s = {clip.name: clip.seconds for clip in manifest.clips}
    request = manifest.request
    here = comparable.hardware_class(manifest.machine)
    round_s = 0.0
    try:
        with open_index(refresh=False) as index:
            index.refresh(within_s=_HISTORY_S)
            runs = {run.number for run in index.runs() if run.hardware == here}
            for plan in manifest.cells:
                found = [
                    row.cell.summary
                    for row in index.cells(backend=plan.backend, model=plan.model)
                    if row.number in runs and row.cell.summary and row.cell.summary.rtfx
                ]
                if not found:
                    return None
                last = found[-1]
                begin_s = (last.import_s or 0.0) + (last.load_s or 0.0) + (last.warmup_s or 0.0)
                round_s += begin_s + request.passes * audio_s[plan.clip] / (last.rtfx or math.inf)
    except StorageError:
        return None
    return round_s * first_rounds(request)


@dataclass(slots=True)
class _CellSoFar:
    """One cell's rounds.

    Attributes:
        lengths: seconds of its recordings by name.
        taken: its timed samples that were not retaken.
        rounds: of it that have ended.
        timed: of these, those of this session.
        spent_s: on those, in seconds.
        ending: how it ended, if not well.
    """

    lengths: dict[str, float]
    taken: dict[tuple[int, str, int], s.Sample] = field(default_factory=dict)
    rounds: int = 0
    timed: int = 0
    spent_s: float = 0.0
    ending: str = ""

    def speed(self) -> str:
        """The median of its rounds' RTFx, with the interval where there are enough of them."""
        found = [
            1 / rtf for rtf in samples.rtf_by_round(self.taken.values(), self.lengths).values()
        ]
        if not found:
            return ""
        median, bounds = statistics.median(found), intervals.of_median(found)
        low, high = (bounds.low, bounds.high) if bounds else (None, None)
        return f"{interval_text(median, low, high, speed_form(median))} × real time"


class RunningFigures:
    """Follows the journal of a run.

    Args:
        manifest: of the run.
        limit_s: seconds of measuring after which it ends; ``inf`` if that is not known.
        past: lines that an earlier session wrote.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        manifest: s.Manifest,
        limit_s: float,
        past: Sequence[s.Event] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._request = manifest.request
        self._audio_s = sum(clip.seconds for clip in manifest.clips)
        lengths = {
            clip.name: {each.name: each.seconds for each in clip.recordings}
            for clip in manifest.clips
        }
        self._cells = {plan.id: _CellSoFar(lengths[plan.clip]) for plan in manifest.cells}
        self._first = first_rounds(self._request)
        self._limited_otherwise = limited_otherwise(self._request)
        self._decided: s.Decided | None = None
        self._spent_before_s = 0.0
        self._visit_began_s: float | None = None
        for event in past:
            self.add(event)

    def outlook(self, expected_s: float | None = None) -> str:
        """What will be measured, and how long it takes.

        Args:
            expected_s: estimate from earlier runs, in seconds.
        """
        rounds = f" in {counted(self._first, 'round')}"
        if self._by_pairs:
            rounds = f" in {self._first} to {OPEN_PAIRS_ROUNDS} rounds"
        elif self._limited_otherwise:
            rounds = ""
        cells = counted(len(self._cells), "cell")
        what = f"measuring {cells}{rounds} on {self._audio_s:.1f} s of speech"
        if math.isinf(self._limit_s):
            return f"{what}; it ends when the intervals are narrow enough"
        most = f"at most {duration_text(self._limit_s)}"
        if expected_s is None or expected_s >= self._limit_s:
            return f"{what}; {most}"
        return f"{what}; about {duration_text(expected_s)} by earlier runs, {most}"

    def visit(self, cell: str) -> None:
        """A cell's round begins."""
        self._cells[cell].ending = ""
        self._visit_began_s = self._clock()

    def add(self, event: s.Event) -> None:
        """Take a line of the journal."""
        match event:
            case s.Sample() if event.kind == "timed" and not event.retaken:
                of_cell = self._cells[event.cell]
                of_cell.taken[event.round, event.utterance, event.index] = event
            case s.WorkerEnded():
                of_cell = self._cells[event.cell]
                of_cell.rounds += 1
                if self._visit_began_s is not None:
                    of_cell.timed += 1
                    of_cell.spent_s += self._clock() - self._visit_began_s
                of_cell.ending = "" if event.status == "ok" else event.status
            case s.RoundSkipped():
                of_cell = self._cells[event.cell]
                of_cell.ending = of_cell.ending or ("" if event.status == "ok" else event.status)
            case s.Decided():
                self._decided, self._spent_before_s = event, self._spent_s
            case _:
                pass

    def finished(self, cell: str) -> str:
        """What a cell's round that has just ended adds, in words; empty without a speed."""
        speed = self._cells[cell].speed()
        rounds = counted(self._cells[cell].rounds, "round")
        return "; ".join(filter(None, (f"{speed} after {rounds}" if speed else "", self.left())))

    def lines(self) -> Iterator[str]:
        """A line per cell that was visited."""
        width = max(map(len, self._cells))
        for name, cell in self._cells.items():
            if cell.rounds or cell.ending:
                rounds = counted(cell.rounds, "round")
                yield f"{name:{width}}  {rounds:>9}  {cell.ending or cell.speed()}"

    def left(self) -> str:
        """About how long the run still takes; empty before every cell had a round."""
        active = {name: each for name, each in self._cells.items() if not each.ending}
        if self._limited_otherwise or not active or not all(each.timed for each in active.values()):
            return ""
        round_s = {name: each.spent_s / each.timed for name, each in active.items()}
        further_s = OPEN_PAIRS_TIME * self._first * sum(round_s.values()) if self._by_pairs else 0.0
        if self._decided is None:
            seconds = sum(
                round_s[name] * max(0, self._first - each.rounds) for name, each in active.items()
            )
        else:
            due_s = sum(
                round_s[name] * max(0, self._decided.until - each.rounds)
                for name, each in active.items()
                if name in self._decided.cells
            )
            seconds = min(due_s, further_s - (self._spent_s - self._spent_before_s))
            further_s = 0.0
        allowed_s = self._limit_s - self._spent_s
        about, most = (
            duration_text(max(0.0, min(each, allowed_s))) for each in (seconds, seconds + further_s)
        )
        if min(seconds + further_s, allowed_s) < 1:
            return ""
        if about == most:
            return f"about {about} left"
        return f"about {about} left, at most {most}" if seconds >= 1 else f"at most {most} left"

    @property
    def _spent_s(self) -> float:
        return sum(each.spent_s for each in self._cells.values())

    @property
    def _by_pairs(self) -> bool:
        """Whether more rounds may follow of pairs without a verdict."""
        several = len(self._cells) > 1
        return several and self._request.rounds is None and not self._limited_otherwise
