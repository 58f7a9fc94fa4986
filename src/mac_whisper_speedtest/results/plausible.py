"""Which journal events can have happened in a run.

Refused is what would break a figure, fake an impossible one, or attack the program that shows it.
What a broken backend may produce (a wrong clock, times out of order) passes: findings report it.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection
from typing import get_origin, get_type_hints

from mac_whisper_speedtest import limits
from mac_whisper_speedtest.limits import LimitError
from mac_whisper_speedtest.printable import shown
from mac_whisper_speedtest.results import schema as s

STATUSES = frozenset(
    {"ok", "failed", "timeout", "crashed", "out_of_memory", "protocol_violation", "unavailable"}
    | {"skipped"}
)
STATES = frozenset({"complete", "stopped", "interrupted"})
_COUNTS = {"round", "attempt", "index", "until", "replaced_by"}
_LONG = {"segments", "cells"}
"""Lists that do not describe; a transcript's length bounds the segments."""


class ImplausibleError(ValueError):
    """An event cannot have happened; the message gives the reason."""


class EventChecker:
    """Checks a journal's events one by one, in their order.

    Args:
        manifest: theirs.
    """

    def __init__(self, manifest: s.Manifest) -> None:
        lengths = {
            clip.name: {each.name: each.seconds for each in clip.recordings}
            for clip in manifest.clips
        }
        self._lengths = {plan.id: lengths.get(plan.clip, {}) for plan in manifest.cells}
        self._transcribed: defaultdict[tuple[str, int, int], float] = defaultdict(float)

    @property
    def cells(self) -> Collection[str]:
        """The ids of the run's cells."""
        return self._lengths.keys()

    def check(self, event: s.Event, *, whole: bool = True) -> None:
        """Refuse an event that cannot have happened in this run.

        Args:
            event: the next one.
            whole: whether all events before it were checked; without some samples, more may have
                been metered than there is.

        Raises:
            ImplausibleError: the event cannot have happened.
        """
        cell = getattr(event, "cell", None)
        if cell is not None and cell not in self._lengths:
            raise ImplausibleError(f"is of {shown(cell)}, which is not a cell of the run")
        try:
            limits.check(event)
        except LimitError as error:
            raise ImplausibleError(str(error)) from error
        for name, most in _most(type(event)).items():
            value = getattr(event, name)
            if isinstance(value, int):
                _demand(value <= most, f"{name} is {value}")
            elif value is not None:
                _demand(len(value) <= most, f"{name} has {len(value)} entries; at most {most}")
        match event:
            case s.Sample():
                self._sample(event)
            case s.Metered() if whole:
                self._meters(event)
            case s.WorkerEnded() | s.RoundSkipped():
                _demand(event.status in STATUSES, f"ended {shown(event.status)}")
            case s.Decided():
                unknown = [name for name in event.cells if name not in self._lengths]
                _demand(not unknown, f"has {shown(unknown)}, no cells of the run")
                _demand(0 < event.level < 1, f"has intervals at {event.level:g}")
            case s.RunEnded():
                _demand(event.state in STATES, f"ended {shown(event.state)}")
            case _:
                pass

    def _sample(self, sample: s.Sample) -> None:
        audio_s = self._lengths[sample.cell].get(sample.utterance)
        if audio_s is None:
            raise ImplausibleError(
                f"is of {shown(sample.utterance)}, which is no recording of its clip"
            )
        if sample.kind not in {"warmup", "timed"}:
            raise ImplausibleError(f"is a sample of kind {shown(sample.kind)}")
        if sample.failed:
            _demand(not sample.text, "failed, and has a text")
            return
        if sample.seconds * limits.FASTEST_RTFX < audio_s:
            raise ImplausibleError(
                f"has {audio_s:g} s of audio in {sample.seconds:g} s, which is impossible"
            )
        most = limits.most_said(audio_s)
        for name, count in (
            ("characters", len(sample.text)),
            ("segments", len(sample.segments)),
            ("tokens", sample.tokens or 0),
        ):
            _demand(count <= most, f"has {count} {name} in {audio_s:g} s of audio; at most {most}")
        if sample.kind == "timed":
            self._transcribed[sample.cell, sample.round, sample.attempt] += audio_s

    def _meters(self, meter: s.Metered) -> None:
        there = self._transcribed[meter.cell, meter.round, meter.attempt]
        _demand(
            meter.audio_s <= there * (1 + 1e-6),
            f"metered {meter.audio_s:g} s of audio, and the samples before it have {there:g} s",
        )


@functools.cache
def _most(kind: type[s.Event]) -> dict[str, int]:
    """Field of an event → the most that it may count, or the most entries that it may have."""
    hints = get_type_hints(kind)
    counts = {name: limits.MOST_ITEMS for name in hints if name in _COUNTS}
    described = {name for name, hint in hints.items() if get_origin(hint) in {list, dict}}
    return counts | dict.fromkeys(described - _LONG, limits.MOST_FACTS)


def _demand(holds: object, otherwise: str) -> None:
    if not holds:
        raise ImplausibleError(otherwise)
