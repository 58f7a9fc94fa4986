"""Which cells a round visits, and when a run ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mac_whisper_speedtest.request import OPEN_PAIRS_TIME, Request, first_rounds
from mac_whisper_speedtest.results import schema as s
from mac_whisper_speedtest.results.assemble import assemble
from mac_whisper_speedtest.run.plan import Budget
from mac_whisper_speedtest.run.resume import ResumeState
from mac_whisper_speedtest.stats import intervals, stopping
from mac_whisper_speedtest.stats.intervals import Interval
from mac_whisper_speedtest.stats.ranking import Verdict
from mac_whisper_speedtest.summary import ranking
from mac_whisper_speedtest.summary.ranking import RunComparison


class Rule(Protocol):
    """Decides before every round."""

    def cells(
        self, number: int, failed: Collection[str], budgets: Mapping[str, Budget]
    ) -> Collection[str]:
        """The ids of the cells that round ``number`` visits; none ends the run.

        Args:
            number: the round, from 0, which is also the number of rounds done.
            failed: ids of cells that will not be visited again.
            budgets: cell → its time, with what its rounds took so far.
        """


@dataclass(frozen=True, slots=True)
class Planned:
    """The requested number of rounds, of every cell."""

    ids: Sequence[str]

    def cells(
        self,
        number: int,  # noqa: ARG002 - the protocol's
        failed: Collection[str],  # noqa: ARG002
        budgets: Mapping[str, Budget],  # noqa: ARG002
    ) -> Collection[str]:
        """All cells: a failed one is recorded as skipped."""
        return self.ids


@dataclass(slots=True)
class Adaptive:
    """Looks at the data after fixed numbers of rounds: always, unless ``--rounds`` alone is given.

    With a target width (``--ci-width``) it sees widths only. Else it has a budget for pairs without
    a verdict: of ``--budget``, or in proportion to what the first rounds took.

    Attributes:
        request: with its target width or its budget.
        events: every event so far.
        record: writes a decision to the journal.
        clock: seconds, monotonic.
        past: what an earlier session of the run measured and decided. Its decisions are kept, so
            that no test of the data is repeated; its time counts as spent.
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
        first, last = first_rounds(self.request), self.request.planned_rounds
        if not self.request.limited_otherwise:
            return first, last
        by_budget = self.request.ci_width is None
        growth = stopping.BUDGET_GROWTH if by_budget else stopping.WIDTH_GROWTH
        return stopping.looks(first, last, growth=growth)

    @property
    def level(self) -> float:
        """The confidence level: a rule that uses verdicts needs a higher one for repeated looks."""
        if self.request.ci_width is not None:
            return intervals.LEVEL
        return stopping.level_at(self.look, self.looks)

    def cells(
        self, number: int, failed: Collection[str], budgets: Mapping[str, Budget]
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
            self._decide(number, failed, budgets)
        self.current -= frozenset(failed)
        if self.past.begun(number):  # there was time for this round
            return self.current
        cost_s = sum(budgets[name].round_s for name in self.current)
        if self.current and cost_s > self._left_s(number, budgets):
            self.current = frozenset()
            self._write(number, number, f"{self._limit()} is used up")
        return self.current

    def _left_s(self, number: int, budgets: Mapping[str, Budget]) -> float:
        if self.request.budget_s is not None and self.began_s is not None:
            return self.request.budget_s - (self.clock() - self.began_s)
        first = first_rounds(self.request)
        if self.request.ci_width is not None or number < first:
            return math.inf
        return sum(
            each.round_s * (min(each.visits, first) * (1 + OPEN_PAIRS_TIME) - each.visits)
            for each in budgets.values()
        )

    def _limit(self) -> str:
        if self.request.budget_s is not None:
            return f"the {self.request.budget_s:g} s of --budget"
        return "the time for undecided pairs"

    def _decide(self, number: int, failed: Collection[str], budgets: Mapping[str, Budget]) -> None:
        run = assemble(self.manifest, self.events, running=True)
        compared = ranking.compare(run, level=self.level)
        chosen: Collection[str]
        if self.request.ci_width is not None:
            chosen, reason = self._too_wide(compared, self.request.ci_width)
        else:
            chosen, reason = self._undecided(compared, number, budgets)
        self.current = frozenset(chosen) - frozenset(failed)
        later = [each for each in self.looks if each > number]
        if self.current and not later:
            self.current = frozenset()
            option = " (--max-rounds)" if self.request.limited_otherwise else ""
            reason = f"{reason}, and {number} rounds are the maximum{option}"
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
        return chosen, f"the interval of {state.name} is {width} wide, above {target:.1%}"

    def _undecided(
        self, compared: RunComparison, number: int, budgets: Mapping[str, Budget]
    ) -> tuple[Collection[str], str]:
        """Cells of pairs without a verdict, where the time left narrows the ranking most."""
        rankings = {id(group): group.ranking for group in compared.groups.values()}.values()
        pairs = [pair for each in rankings for pair in each.pairs]
        if all(pair.verdict is not Verdict.AMBIGUOUS for pair in pairs):
            return (), "all pairs of cells have a verdict" if pairs else ""
        extra = self.looks[-1] - number if self.request.budget_s is None else 0
        chosen = stopping.undecided_cells(
            *rankings,
            round_s={
                name: each.round_s for name, each in budgets.items() if each.round_worthwhile()
            },
            left_s=self._left_s(number, budgets),
            left_rounds=extra or None,
        )
        if not chosen:
            return (), "the time left is unlikely to decide another pair of cells"
        return chosen, f"{len(chosen)} cells are in undecided pairs"

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
