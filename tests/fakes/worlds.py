"""Machines that are not there: rounds of cells whose true speed is known.

Two-level noise and what else goes wrong on real machines, and runs made on them by the rules of
``stats.stopping``. Used by tests/stats/test_simulations.py and by benchmarks/statistics.py, so
that both judge the same worlds.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mac_whisper_speedtest.request import (
    DEFAULT_MAX_ROUNDS,
    DEFAULT_ROUNDS,
    OPEN_PAIRS_ROUNDS,
    OPEN_PAIRS_TIME,
)
from mac_whisper_speedtest.stats import intervals, ranking, stopping

BUDGET_ROUNDS = 30
"""Rounds that the budget would pay for if every cell took part in each."""
Rounds = dict[int, float]
"""Round → RTF: the median over the samples of that round's process."""


@dataclass(frozen=True)
class World:
    """How a machine disturbs what is measured on it. All figures are on the scale of logarithms.

    Attributes:
        name: what tables call it.
        between: standard deviation of a process around its cell (memory layout, placement).
        within: standard deviation of a sample around its process.
        common: standard deviation of a round, which all cells of it share.
        samples: timed samples per process.
        drift: change from the first round to the 24th, and on at that rate; shared by all cells.
        late: whether the drift also goes on inside a round, from its first cell to its last.
        outliers: share of samples that take 1.2 to 3 times as long.
        slow: share of processes that are slower by ``slow_by``.
        slow_by: how much that is.
        correlation: of a process with the same cell's process of the round before; above 0, rounds
            are not independent, and nothing is promised.
        first: how the first cell is disturbed, if not as the others are.
    """

    name: str
    between: float = 0.02
    within: float = 0.02
    common: float = 0.01
    samples: int = 3
    drift: float = 0.0
    late: bool = False
    outliers: float = 0.0
    slow: float = 0.0
    slow_by: float = 0.0
    correlation: float = 0.0
    first: World | None = None

    @property
    def fair(self) -> bool:
        """Whether cells of one speed are equal: one that is slow at times is not."""
        return self.first is None or self.first.slow == self.slow


WORLDS = (
    World("quiet", between=0.005, within=0.01, common=0.005),
    World("two levels"),
    World("noisy", between=0.05, within=0.05, common=0.03),
    World("outliers", outliers=0.15),
    World("bimodal", between=0.01, slow=0.3, slow_by=0.10),
    World("drift", drift=0.15, late=True),
    World("autocorrelated", correlation=0.6),
    World(
        "one noisy", between=0.005, within=0.01, common=0.005,
        first=World("noisy cell", between=0.015, within=0.03),
    ),
    World("one bimodal", first=World("bimodal cell", slow=0.3, slow_by=0.10)),
)  # fmt: skip
INDEPENDENT = tuple(each for each in WORLDS if not (each.drift or each.correlation or each.first))


class Machine:
    """One run's worth of a world: cells that are measured round by round."""

    def __init__(self, world: World, speeds: Sequence[float], rnd: random.Random) -> None:
        self.world = world
        self.names = [f"cell {number}" for number in range(len(speeds))]
        self.speeds = dict(zip(self.names, speeds, strict=True))
        self.rtf: dict[str, Rounds] = {name: {} for name in self.names}
        self.samples: dict[str, list[list[float]]] = {name: [] for name in self.names}
        self._before = dict.fromkeys(self.names, 0.0)
        self._rnd = rnd
        self._round = 0

    def measure(self, rounds: int, cells: Iterable[str] | None = None) -> None:
        """``rounds`` more of ``cells``, in an order shuffled anew in each."""
        for _ in range(rounds):
            order = list(self.names if cells is None else cells)
            self._rnd.shuffle(order)
            shared = self._rnd.gauss(0, self.world.common)
            for place, name in enumerate(order):
                when = self._round + (place / len(self.names) if self.world.late else 0)
                self._process(name, shared + self.world.drift * when / 24)
            self._round += 1

    def _process(self, name: str, offset: float) -> None:
        world, rnd = self.world, self._rnd
        if world.first is not None and name == self.names[0]:
            world = world.first
        kept = world.correlation
        own = kept * self._before[name] + math.sqrt(1 - kept**2) * rnd.gauss(0, world.between)
        self._before[name] = own
        base = math.log(self.speeds[name]) + offset + own
        base += world.slow_by if rnd.random() < world.slow else 0.0
        taken = []
        for _ in range(world.samples):
            late = rnd.uniform(math.log(1.2), math.log(3)) if rnd.random() < world.outliers else 0.0
            taken.append(math.exp(base + rnd.gauss(0, world.within) + late))
        self.samples[name].append(taken)
        self.rtf[name][self._round] = statistics.median(taken)


def true_median(world: World, rnd: random.Random, rounds: int = 40_000) -> float:
    """The median of a cell of speed 1 in a world whose rounds are independent, by brute force."""
    machine = Machine(world, [1.0], rnd)
    machine.measure(rounds)
    return statistics.median(machine.rtf["cell 0"].values())


def precision(run: Machine, target: float, maximum: int = DEFAULT_MAX_ROUNDS) -> bool:
    """Measure by the rule of ``--ci-width``; whether it was reached."""
    done = 0
    for look in stopping.looks(DEFAULT_ROUNDS, maximum):
        run.measure(look - done)
        done = look
        ranked = ranking.rank(run.rtf, margin=ranking.MARGIN)
        widths = {name: pair.ratio for name, pair in ranked.against_best.items()}
        for name, each in run.rtf.items():
            found = intervals.of_median(list(each.values()))
            widths[f"median of {name}"] = None if found is None else found.inverse()
        if stopping.check_widths(widths, target).reached:
            return True
    return False


def budget(
    run: Machine, margin: float, *, spend: bool = True, rounds: int = BUDGET_ROUNDS
) -> float:
    """Measure by the rule of ``--budget``; the level at which the run is to be judged."""
    looks = stopping.looks(DEFAULT_ROUNDS, DEFAULT_MAX_ROUNDS, growth=stopping.BUDGET_GROWTH)
    return _open_pairs(run, margin, looks, rounds * len(run.names), spend=spend, hope=True)


def by_default(run: Machine, margin: float = ranking.MARGIN) -> float:
    """Measure as a run without ``--rounds`` does; the level at which it is to be judged."""
    looks = (DEFAULT_ROUNDS, OPEN_PAIRS_ROUNDS)
    left = int(DEFAULT_ROUNDS * len(run.names) * (1 + OPEN_PAIRS_TIME))
    return _open_pairs(run, margin, looks, left, spend=True, hope=False)


def _open_pairs(
    run: Machine, margin: float, looks: Sequence[int], left: int, *, spend: bool, hope: bool
) -> float:
    """Spend ``left`` rounds of a cell; ``hope``: also where they will probably not suffice."""
    done, cells = 0, run.names
    for number, look in enumerate(looks):
        more = min(look - done, left // len(cells))
        run.measure(more, cells)
        left -= more * len(cells)
        done = look
        level = stopping.level_at(number, looks) if spend else intervals.LEVEL
        cells = sorted(
            stopping.undecided_cells(
                ranking.rank(run.rtf, margin=margin, level=level),
                round_s=dict.fromkeys(run.names, 1.0),
                left_s=left,
                left_rounds=None if hope else looks[-1] - look,
            )
        )
        if not cells or left < len(cells):
            break
    return level


def rounds_of(world: World, speed: float = 1.0, *, seed: int = 0, rounds: int = 8) -> list[float]:
    """The RTF of a cell that takes 0.1 × ``speed``, as a world disturbs it."""
    machine = Machine(world, [0.1 * speed], random.Random(seed))
    machine.measure(rounds)
    return list(machine.rtf["cell 0"].values())
