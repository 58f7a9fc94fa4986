"""How many calls warm a process up: decided from the answers so far, before each further call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.results import schema as s

AGREE, AGREE_S = 0.05, 0.001
"""Two calls agree when they differ by less than 5 %, the difference that a run should find, or by
less than the scatter of a clock and a message."""

ACCELERATOR_S = 1.0
"""Seconds of warm-up calls after the first on an accelerator, in every process: its clocks rise
over tenths of a second, and compilation, in the first call, keeps it idle."""

MOST_TRIES = 5
"""Calls within which two must agree. If none of four pairs agrees, the machine's noise hides what
a sixth call would show."""

MOST_S = 10.0
"""After this many seconds no further call tests whether two agree. One-time work other than
compilation takes parts of a second; a call that takes longer than this is warm itself."""

MOST_CALLS = 200
"""Most calls, whatever the clocks show: every call is a line of the journal."""


@dataclass(frozen=True, slots=True)
class Call:
    """A warm-up call: seconds by the worker's clock, and by the tool's."""

    seconds: float
    wall_s: float


def agree(calls: Sequence[Call]) -> bool:
    """Whether the last two calls took equally long."""
    if len(calls) < 2:
        return False
    one, other = calls[-2].seconds, calls[-1].seconds
    return abs(one - other) <= max(AGREE * max(one, other), AGREE_S)


def another_call(calls: Sequence[Call], *, on_cpu: bool, enough: int | None) -> bool:
    """Whether to make another warm-up call of the same recording.

    Only calls that are over, and earlier processes, decide. So whether a call is timed never
    depends on how long it takes itself, which would favor times that resemble the warm-up's.

    Args:
        calls: of this process, in order.
        on_cpu: whether it computes on the processor, which needs no time to raise its clocks.
        enough: calls that `enough_calls` found in an earlier process of the cell; ``None``: these
            calls have to show it.
    """
    if not calls:
        return True
    if len(calls) >= MOST_CALLS:
        return False
    if on_cpu and enough is not None:
        return len(calls) < enough
    due_s = 0.0 if on_cpu else ACCELERATOR_S
    after_s, tries = 0.0, 1
    for call in calls[1:]:
        tries += after_s >= due_s
        after_s += call.wall_s
    if after_s < due_s:
        return True
    if agree(calls) or tries >= MOST_TRIES:
        return False
    # Of a first call that took long, compilation may be the most: only an accelerator compiles.
    last_s = calls[-1].wall_s
    return after_s + last_s <= MOST_S


def enough_calls(calls: Sequence[Call]) -> int | None:
    """The calls that would have warmed this process up; ``None`` if it does not show that.

    When two calls agree, the first of them was warm already. One call is always made: it is a
    figure of its own.
    """
    return max(len(calls) - 2, 1) if agree(calls) else None


def enough_by_cell(events: Iterable[s.Event]) -> dict[str, int]:
    """Cell → `enough_calls` of its first process that shows it."""
    calls: defaultdict[tuple[str, str, int, int], list[Call]] = defaultdict(list)
    for event in events:
        if isinstance(event, s.Sample) and event.kind == "warmup":
            process = (event.cell, event.utterance, event.round, event.attempt)
            calls[process].append(Call(event.seconds, event.wall_s))
    found: dict[str, int] = {}
    for (cell, *_), made in calls.items():
        enough = enough_calls(made)
        if enough is not None:
            found.setdefault(cell, enough)
    return found


@dataclass(slots=True)
class WarmUp:
    """What the processes of a cell have shown so far: `enough_calls` of the first that shows it."""

    enough: int | None = None

    def learn(self, calls: Sequence[Call]) -> None:
        """Add a process's calls on one recording."""
        if self.enough is None:
            self.enough = enough_calls(calls)
