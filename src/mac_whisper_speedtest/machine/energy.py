"""The interface of what counts energy, and the probe that puts spans around it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mac_whisper_speedtest.machine import joules
from mac_whisper_speedtest.machine.joules import Counts, Window
from mac_whisper_speedtest.machine.probe import Reading, Target
from mac_whisper_speedtest.machine.reader import Unknown, attempt


class Counter(Protocol):
    """Something that counts joules.

    Attributes:
        name: ``nvml``, ``rapl``, ``apple``.
        quality: how far its figures can be trusted where that is not fully.
    """

    name: str
    quality: str

    def read(self) -> Counts | Unknown:
        """All its domains now; may raise what `attempt` turns into a reason."""


class Energy:
    """Energy of the whole machine over a span, by domain.

    Put it around all timed samples of a round rather than one: spans shorter than
    `joules.SHORTEST_WINDOW_S` are not measured. Figures: ``energy_<domain>_j`` for each domain,
    ``energy_wall_s``, and ``energy_j`` for their sum. `window` gives the same for `joules.spent`.
    """

    name = "energy"

    def __init__(
        self, counters: Sequence[Counter], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._before: dict[str, Counts | Unknown] = {}
        self._began = 0.0
        self.window: Window | Unknown = Unknown("nothing was metered yet")

    def begin(self, target: Target) -> None:  # noqa: ARG002 - the whole machine's
        """Read all counters, the clock last."""
        self._before = {each.name: _read(each) for each in self._counters}
        self._began = self._clock()

    def end(self, target: Target) -> dict[str, Reading]:  # noqa: ARG002 - the whole machine's
        """Read the clock, then all counters again."""
        seconds = self._clock() - self._began
        spent: dict[str, float] = {}
        reasons, flags = [], set()
        for counter in self._counters:
            before = self._before.get(counter.name, Unknown("begin was not called"))
            after = _read(counter)
            if isinstance(before, Unknown) or isinstance(after, Unknown):
                failed = before if isinstance(before, Unknown) else after
                assert isinstance(failed, Unknown)
                reasons.append(f"{counter.name}: {failed.reason}")
                continue
            spent |= joules.between(before, after)
            flags.add(counter.quality)
        quality = ", ".join(sorted(filter(None, flags)))
        self.window = self._judged(Window(seconds, spent, quality), reasons)
        return self._readings(seconds)

    def _judged(self, window: Window, reasons: Sequence[str]) -> Window | Unknown:
        if not self._counters:
            return Unknown("this machine has no energy counter that can be read")
        if not window.joules and reasons:
            return Unknown("; ".join(reasons))
        reason = joules.refused(window)
        return Unknown(reason) if reason else window

    def _readings(self, seconds: float) -> dict[str, Reading]:
        wall = Reading(seconds, "s")
        window = self.window
        if isinstance(window, Unknown):
            return {"energy_wall_s": wall, "energy_j": Reading(None, "J", window.reason)}
        each = {
            f"energy_{domain}_j": Reading(value, "J", quality=window.quality)
            for domain, value in window.joules.items()
        }
        total = Reading(window.total, "J", quality=window.quality)
        return {"energy_wall_s": wall, "energy_j": total, **each}


def idle(
    counters: Sequence[Counter],
    *,
    seconds: float = joules.SHORTEST_IDLE_S,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.perf_counter,
) -> Window | Unknown:
    """The energy of a quiet machine over some seconds, to be called before any worker is started.

    Where there is nothing to read it returns at once.
    """
    usable = [each for each in counters if not isinstance(_read(each), Unknown)]
    if not usable:
        return Unknown("this machine has no energy counter that can be read")
    probe = Energy(usable, clock)
    probe.begin(Target(None))
    sleep(seconds)
    probe.end(Target(None))
    return probe.window


def _read(counter: Counter) -> Counts | Unknown:
    return attempt(counter.read)
