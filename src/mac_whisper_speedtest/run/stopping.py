"""Which cells a round visits, and when a run ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mac_whisper_speedtest.request import Request
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import assemble
from mac_whisper_speedtest.run.resume import ResumeState
from mac_whisper_speedtest.stats import intervals, stopping
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.summary import ranking
from mac_whisper_speedtest.summary.ranking import RunComparison


class Rule(Protocol):
    """Decides before every round."""

    def cells(
        self, number: int, failed: Collection[str], round_s: Mapping[str, float]
    ) -> Collection[str]:
        """The ids of the cells that round ``number`` visits; none ends the run.

        Args:
            number: the round, from 0, which is also the number of rounds done.
            failed: ids of cells that will not be visited again.
            round_s: cell → mean duration of its rounds so far, in seconds.
        """


@dataclass(frozen=True, slots=True)
class Planned:
    """The requested number of rounds, of every cell."""

    ids: Sequence[str]

    def cells(
        self,
        number: int,  # noqa: ARG002 - the protocol's
        failed: Collection[str],  # noqa: ARG002
        round_s: Mapping[str, float],  # noqa: ARG002
    ) -> Collection[str]:
        """All cells: a failed one is recorded as skipped."""
        return self.ids


@dataclass(slots=True)
class Adaptive:
    """``--ci-width`` and ``--budget``: looks at the data after fixed numbers of rounds.

    Attributes:
        request: has a target width or a budget, or both.
        events: every event so far.
        record: writes a decision to the journal.
        clock: seconds, monotonic.
        past: what an earlier session of the run measured and decided. Its decisions are kept, so
            that no look at the data is repeated; its time counts as spent.
    """

    manifest: s.Manifest
    request: Request
    events: Sequence[s.Event]
    record: Callable[[s.Event], None]
    clock: Callable[[], float] = time.monotonic
    past: ResumeState = field(default_factory=ResumeState)
    began_s: float | None = None
    look: int = 0
    current: frozenset[str] = field(default_factory=frozenset)

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of rounds after which the rule looks at the data."""
        by_budget = self.request.ci_width is None
        growth = stopping.BUDGET_GROWTH if by_budget else stopping.WIDTH_GROWTH
        return stopping.looks(self.request.rounds, self.request.planned_rounds, growth=growth)

    @property
    def level(self) -> float:
        """The confidence level: a rule that uses verdicts needs a higher one for repeated looks."""
        if self.request.ci_width is not None:
            return intervals.LEVEL
        return stopping.level_at(self.look, self.looks)

    def cells(
        self, number: int, failed: Collection[str], round_s: Mapping[str, float]
    ) -> Collection[str]:
        """See `Rule`."""
        if self.began_s is None:
            self.began_s = self.clock() - self.past.elapsed_s
            self.current = frozenset(plan.id for plan in self.manifest.cells)
            return self.current
        decided = self.past.decided.get(number)
        if decided is not None:
            self.look, self.current = decided.look, frozenset(decided.cells)
        elif number in self.looks:
            self.look = self.looks.index(number)
            self._decide(number, failed, round_s)
        self.current -= frozenset(failed)
        if number <= self.past.reached:  # there was time for this round when it began
            return self.current
        cost_s = sum(round_s.get(name, 0.0) for name in self.current)
        if self.current and cost_s > self._left_s():
            self.current = frozenset()
            self._write(number, number, f"the {self.request.budget_s:g} s of --budget are used up")
        return self.current

    def _left_s(self) -> float:
        if self.request.budget_s is None or self.began_s is None:
            return math.inf
        return self.request.budget_s - (self.clock() - self.began_s)

    def _decide(self, number: int, failed: Collection[str], round_s: Mapping[str, float]) -> None:
        run = assemble(self.manifest, self.events, running=True)
        compared = ranking.compare(run, level=self.level)
        if self.request.ci_width is not None:
            chosen, reason = self._too_wide(compared, self.request.ci_width)
        else:
            chosen, reason = self._undecided(compared, round_s)
        self.current = frozenset(chosen) - frozenset(failed)
        later = [each for each in self.looks if each > number]
        if self.current and not later:
            self.current = frozenset()
            reason = f"{reason}; {number} rounds are the maximum (--max-rounds)"
        self._write(number, later[0] if later and self.current else number, reason)

    def _too_wide(self, compared: RunComparison, target: float) -> tuple[set[str], str]:
        """Cells with an interval that is too wide, and those that they are compared with."""
        chosen: set[str] = set()
        widest: dict[str, Interval | None] = {}
        for name, interval in compared.medians.items():
            widest[name] = interval
            if interval is None or interval.relative_width > target:
                chosen.add(name)
        for name, group in compared.groups.items():
            pair = group.ranking.against_best.get(name)
            if pair is None:
                continue
            widest[f"{name} against {pair.b}"] = pair.ratio
            if pair.ratio is None or pair.ratio.relative_width > target:
                chosen |= {name, pair.b}
        if not widest:
            return set(), "no cell can be measured"
        state = stopping.check_widths(widest, target)
        if state.reached:
            return set(), f"every interval is at most {target:.1%} wide"
        width = "unknown" if state.widest is None else f"{state.widest:.1%}"
        return chosen, f"the interval of {state.name} is {width} wide, {target:.1%} was requested"

    def _undecided(
        self, compared: RunComparison, round_s: Mapping[str, float]
    ) -> tuple[set[str], str]:
        """Cells of pairs without a verdict, where the time left narrows the ranking most."""
        rankings = {id(group): group.ranking for group in compared.groups.values()}
        chosen = set(
            stopping.undecided_cells(*rankings.values(), round_s=round_s, left_s=self._left_s())
        )
        if not chosen:
            return chosen, "every pair has a verdict"
        return chosen, f"{len(chosen)} cells are in pairs without a verdict"

    def _write(self, number: int, until: int, reason: str) -> None:
        self.record(
            s.Decided(
                after=number,
                until=until,
                look=self.look,
                level=self.level,
                cells=sorted(self.current),
                reason=reason,
            )
        )


def rule(
    manifest: s.Manifest,
    request: Request,
    events: Sequence[s.Event],
    record: Callable[[s.Event], None],
    past: ResumeState | None = None,
) -> Rule:
    """The rule of a request; ``past`` as in `Adaptive`."""
    if request.adaptive:
        return Adaptive(manifest, request, events, record, past=past or ResumeState())
    return Planned([plan.id for plan in manifest.cells])
