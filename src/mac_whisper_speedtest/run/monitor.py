"""Looking at the machine around each round: is it still the one that the run began on?"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Protocol

from mac_whisper_speedtest.machine import conditions
from mac_whisper_speedtest.machine.conditions import Conditions
from mac_whisper_speedtest.privacy import scrub
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.run import canary

BASELINE = 4
"""Canaries at the start; the first one warms up and is left out of the baseline."""

COOL_DOWN_S = 30.0
"""Longest wait after a round in which the machine became slower, and never longer than that round
took: waiting must not cost more than what it saves. Fans and clocks take seconds; a machine that
has not recovered after half a minute will not for the next round either."""


class Watcher(Protocol):
    """Looks at the machine, outside of everything that is timed."""

    def begin(self) -> None:
        """Before the first round."""

    def before_round(self) -> None:
        """Immediately before a round."""

    def after_round(self, number: int, *, last: bool) -> s.RoundWatched | None:
        """Immediately after it; what there is to write down, without what stands in for it.

        Args:
            number: the round.
            last: whether no other can follow.
        """


@dataclass(slots=True)
class MachineWatcher:
    """Conditions and a canary: the real watcher.

    A round is marked when the canary after it is off by more than its own spread explains, or when
    the machine's conditions changed in it. After a slower canary the next round waits until it is
    back, within a bound; the next worker's warm-up then warms the machine up again.
    """

    announce: Callable[[str], None] = lambda _text: None
    measure: Callable[[], float] = canary.run
    look: Callable[[], Conditions] = conditions.look
    baseline: list[float] = field(default_factory=list)
    latest_s: float | None = None
    before: Conditions = field(default_factory=Conditions)
    began_s: float = 0.0

    def begin(self) -> None:
        """Take the baseline."""
        self._take_baseline()

    def before_round(self) -> None:
        """Look; the canary of the round before stands for this moment."""
        self.before = self.look()
        self.began_s = time.monotonic()

    def after_round(self, number: int, *, last: bool) -> s.RoundWatched:
        """Look again, run the canary, and wait if it is slow and something else is to be timed."""
        bound_s = min(COOL_DOWN_S, time.monotonic() - self.began_s)
        was_s, now_s = self.latest_s, self.measure()
        after = self.look()
        changes = conditions.changed(self.before, after)
        change = canary.drifted(self.baseline, now_s)
        marked = list(changes)
        cooled_s = None
        if change is not None:
            marked.append(
                f"the canary took {abs(change):.0%} {'longer' if change > 0 else 'less'} than at "
                "the start"
            )
        if change is not None and change > 0 and not last:
            self.announce(f"Round {number + 1}: {marked[-1]}; waiting for the machine to recover.")
            cooled = canary.cool_down(self.measure, self.baseline, bound_s=bound_s)
            cooled_s = cooled.waited_s
            self.latest_s = (1 + cooled.change) * statistics.median(self.baseline)
        elif change is not None and change < 0:
            # The first one was of a slower machine: what follows is compared with this one.
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
            marked=scrub("; ".join(marked)),
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
