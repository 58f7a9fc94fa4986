"""Monitors the machine around each round: conditions, and the speed of a reference workload."""

from __future__ import annotations

import hashlib
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

from mac_whisper_speedtest.machine import conditions
from mac_whisper_speedtest.machine.conditions import Conditions
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.stats import quantiles

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


# The canary: a small fixed computation between rounds. If it takes longer, the machine has become
# slower.

REPEATS = 3
"""The fastest counts: an interruption makes one slower, never faster."""

_SIDE = 96
_PRODUCTS = 8
_HASHED_BYTES = 1 << 20
_HASHES = 3
"""Sized so that one repeat takes about 8 ms on a laptop of 2023, and `run` about 25 ms."""

LIMIT = 0.10
"""Relative change of the canary beyond which a round is flagged, on a steady machine."""

_CONFIDENCE = 0.99
"""One-sided: on a machine with random variation only, one canary in a hundred counts as slow."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 15.0


def run() -> float:
    """Seconds that the canary takes now: the fastest of `REPEATS`.

    Half of it multiplies float32 matrices (numpy's own loops by ``einsum``, because a BLAS would
    use every core or a coprocessor of its own), half hashes bytes with SHA-256: arithmetic and
    integer work that stays in the caches, in this one thread. Its time follows the clock of the
    core it runs on. It cannot detect a throttled GPU or Neural Engine, and on a machine with two
    kinds of cores the system chooses which one it gets.
    """
    import numpy as np

    values = np.arange(_SIDE * _SIDE) % 7 / 7
    matrix = values.astype(np.float32).reshape(_SIDE, _SIDE)
    data = bytes(_HASHED_BYTES)
    return min(_once(matrix, data) for _ in range(REPEATS))


def _once(matrix: npt.NDArray[np.float32], data: bytes) -> float:
    import numpy as np

    began = time.perf_counter()
    for _ in range(_PRODUCTS):
        np.einsum("ij,jk->ik", matrix, matrix, optimize=False)
    for _ in range(_HASHES):
        hashlib.sha256(data).digest()
    return time.perf_counter() - began


def tolerance(baseline: Sequence[float], limit: float = LIMIT) -> float:
    """The change of one canary that the baseline's own spread explains, or ``limit`` if larger.

        t(n - 1) * s * sqrt(1 + 1 / n), on the log scale

    the prediction interval for one more observation (Hahn & Meeker, Statistical Intervals, section
    4.8), one-sided 99 %. With fewer than three values the spread is unknown.

    Args:
        baseline: seconds of the canaries at the start, all above 0.
        limit: relative.
    """
    if len(baseline) < 3:
        return limit
    degrees = len(baseline) - 1
    student = quantiles.student_t(degrees, _CONFIDENCE)
    spread = statistics.stdev(map(math.log, baseline))
    return max(limit, math.expm1(student * spread * math.sqrt(1 + 1 / len(baseline))))


def drifted(baseline: Sequence[float], now: float, limit: float = LIMIT) -> float | None:
    """The relative change against the baseline's median, if it is beyond the `tolerance`.

    Positive is slower. Faster counts too: then the machine was slower during the baseline, and
    rounds before and after are not comparable.

    Args:
        baseline: seconds of the canaries at the start; one at least, all above 0.
        now: seconds of the canary in question.
        limit: relative; on a noisy machine the baseline's own spread takes its place.
    """
    change = now / statistics.median(baseline) - 1
    allowed = tolerance(baseline, limit)
    # A ratio of 1.25 one way is one of 0.8 the other way.
    if change > allowed or change < -allowed / (1 + allowed):
        return change
    return None


@dataclass(frozen=True, slots=True)
class CoolDown:
    """The result of waiting for the machine to recover.

    Attributes:
        waited_s: seconds from the first canary to the last.
        recovered: whether the last canary is within the tolerance.
        change: the last canary against the baseline, relative; positive is slower.
        canaries: number of canaries run.
    """

    waited_s: float
    recovered: bool
    change: float
    canaries: int


def cool_down(
    measure: Callable[[], float],
    baseline: Sequence[float],
    *,
    bound_s: float,
    limit: float = LIMIT,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> CoolDown:
    """Wait until the canary is as fast as at the start, but no longer than ``bound_s``.

    Pauses of 1, 2, 4, ... and at most 15 s, so that it does not wait longer than necessary.
    Afterwards a GPU may sleep and memory may be freed, so the next measurement must warm up again.
    A canary that is faster than the baseline does not wait.

    Args:
        measure: the canary, normally `run`.
        baseline: seconds of the canaries at the start.
        bound_s: longest wait in seconds; 0 runs one canary.
        limit: as for `drifted`.
        sleep: for tests.
        clock: for tests.
    """
    began = clock()
    pause = _FIRST_PAUSE_S
    canaries = 0
    while True:
        now = measure()
        canaries += 1
        change = now / statistics.median(baseline) - 1
        waited = clock() - began
        slow = (drifted(baseline, now, limit) or 0.0) > 0
        if not slow or waited >= bound_s:
            return CoolDown(waited, not slow, change, canaries)
        sleep(min(pause, bound_s - waited))
        pause = min(2 * pause, _LONGEST_PAUSE_S)


BASELINE = 4
"""Canaries at the start; the first one warms up and is left out of the baseline."""

COOL_DOWN_S = 30.0
"""Longest wait after a round in which the machine became slower, and never longer than that round
took: waiting must not cost more than it saves. Fans and clocks take seconds; a machine that has not
recovered after half a minute will not recover before the next round either."""


class MachineMonitor(Protocol):
    """Monitors the machine between rounds, outside of timed work."""

    def begin(self) -> None:
        """Before the first round."""

    def before_round(self) -> None:
        """Immediately before a round."""

    def after_round(self, number: int, *, last: bool) -> s.RoundWatched | None:
        """Immediately after a round; returns the event to record, without its replacement.

        Args:
            number: the round.
            last: whether no other round can follow.
        """


@dataclass(slots=True)
class MachineWatcher:
    """The real monitor: conditions and a canary.

    A round is flagged when the canary after it differs by more than its own spread explains, or
    when the machine's conditions changed during it. After a slower canary the next round waits
    until the machine has recovered, within a bound; the next worker's warm-up warms it up again.
    """

    notify: Callable[[str], None] = lambda _text: None
    measure: Callable[[], float] = run
    read_conditions: Callable[[], Conditions] = conditions.read_conditions
    baseline: list[float] = field(default_factory=list)
    latest_s: float | None = None
    before: Conditions = field(default_factory=Conditions)
    began_s: float = 0.0

    def begin(self) -> None:
        """Take the baseline."""
        self._take_baseline()

    def before_round(self) -> None:
        """Read the conditions; the canary after the previous round also counts as before this."""
        self.before = self.read_conditions()
        self.began_s = time.monotonic()

    def after_round(self, number: int, *, last: bool) -> s.RoundWatched:
        """Read the conditions, run the canary, and wait if it is slow and another round follows."""
        bound_s = min(COOL_DOWN_S, time.monotonic() - self.began_s)
        was_s, now_s = self.latest_s, self.measure()
        after = self.read_conditions()
        changes = conditions.changed(self.before, after)
        change = drifted(self.baseline, now_s)
        flagged = list(changes)
        cooled_s = None
        if change is not None:
            flagged.append(
                f"the canary took {abs(change):.0%} {'longer' if change > 0 else 'less'} than at "
                "the start"
            )
        if change is not None and change > 0 and not last:
            self.notify(f"Round {number + 1}: {flagged[-1]}; waiting for the machine to recover.")
            cooled = cool_down(self.measure, self.baseline, bound_s=bound_s)
            cooled_s = cooled.waited_s
            self.latest_s = (1 + cooled.change) * statistics.median(self.baseline)
        elif change is not None and change < 0:
            # The machine was slower during the first baseline: later rounds need a new one.
            self._take_baseline()
        else:
            self.latest_s = now_s
        return s.RoundWatched(
            round=number,
            before=_info(self.before),
            after=_info(after),
            canary_before_s=was_s,
            canary_after_s=now_s,
            changes=changes,
            flagged=scrub("; ".join(flagged)),
            cooled_s=cooled_s,
        )

    def _take_baseline(self) -> None:
        self.baseline = [self.measure() for _ in range(BASELINE + 1)][1:]
        self.latest_s = statistics.median(self.baseline)


def _info(found: Conditions) -> s.ConditionsInfo:
    facts = asdict(found)
    unknown: dict[str, str] = facts.pop("unknown")
    return s.ConditionsInfo(
        values={
            name: ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            for name, value in facts.items()
            if value is not None
        },
        unknown={name: scrub(reason) for name, reason in unknown.items()},
    )
