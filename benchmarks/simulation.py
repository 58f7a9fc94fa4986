"""Are the intervals and verdicts right? Simulated machines with a known truth.

    python benchmarks/statistics.py [--reps 1000] [--seed 1] [--json FILE.json [--resume]]

A world is a way in which a machine disturbs measurements: noise of processes and of the samples
inside them, rounds that are slow for all cells, outliers, two modes, drift. In each world, many
runs are simulated with equal cells, or with one cell slower by 5 %. They are judged by the rules of
``scoring`` and by two common rules: the means of three samples of one process each, and Welch's
test on all samples pooled as if they were independent.

- fixed: a number of rounds decided beforehand;
- default: without `--rounds`; also the difference that such runs report as detectable;
- precision, budget: the rules of `--ci-width` and `--budget` (stats/stopping.py);
- power: how often a cell that takes 1.05 times as long is called SLOWER;
- floor: how often a second A/A run exceeds the noise floor of the first.

Target: coverage of at least 93 % where rounds are independent (all worlds but the last), false
verdicts on equal cells in at most 5 %, power of at least 0.9 with `--ci-width 2%`, and on a quiet
machine by default, for at most 1.5 times the rounds.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fakes.worlds import (
    INDEPENDENT,
    WORLDS,
    Machine,
    World,
    budget,
    by_default,
    precision,
    true_median,
)
from mac_whisper_speedtest.machine import describe
from mac_whisper_speedtest.stats import intervals, quantiles, ranking, stopping
from mac_whisper_speedtest.stats.ranking import Verdict

SLOWER_BY = 1.05
FIXED = (3, 6, 12, 24)
DEARER = 4
"""Divisor of the number of simulated runs with a stopping rule, which are ranked at every look."""
PRECISIONS = (0.02, 0.05)
JUDGED = {Verdict.FASTER, Verdict.SLOWER}
Measure = Callable[[Machine], tuple[float, bool | None]]


@dataclass
class Row:
    """Shares of simulated runs; ``None`` if a question does not apply.

    Attributes:
        rule: of stopping or of judging.
        world: the noise.
        cells: their number.
        median: a cell's interval contains its median.
        ratios: all intervals of the ranking contain the true ratio.
        apart: any two equal cells differ at a margin of 0.
        verdict: any two equal cells get FASTER or SLOWER at a margin of 2 %.
        found: the slower cell is called SLOWER at a margin of 2 %.
        reps: number of simulated runs.
        rounds: mean rounds of a cell.
        most: the same in the run with the most rounds.
        could: the difference that the run reports as detectable, the median over its cells.
        reached: the rule ended before its maximum.
    """

    rule: str
    world: str
    cells: int
    reps: int
    median: float | None = None
    ratios: float | None = None
    apart: float | None = None
    verdict: float | None = None
    found: float | None = None
    rounds: float | None = None
    most: float | None = None
    could: float | None = None
    reached: float | None = None


@dataclass
class Shares:
    """Means of the added values, by name."""

    sums: dict[str, list[float]] = field(default_factory=dict)

    def add(self, **values: float | None) -> None:
        for name, value in values.items():
            if value is not None:
                self.sums.setdefault(name, []).append(float(value))

    def row(self, rule: str, world: World, cells: int) -> Row:
        means = {name: statistics.fmean(values) for name, values in self.sums.items()}
        rounds = self.sums["rounds"]
        return Row(rule, world.name, cells, len(rounds), most=max(rounds), **means)


def judged(run: Machine, level: float, truth: float | None) -> dict[str, float | None]:
    """Results of the rules of ``scoring`` for one run of cells with known speeds."""
    strict = ranking.rank(run.rtf, margin=0.0, level=level)
    loose = ranking.rank(run.rtf, margin=ranking.MARGIN, level=level)
    could = [stopping.detectable(loose, name) for name in run.names]
    ratios = [pair.ratio for pair in strict.pairs]
    true = [run.speeds[pair.a] / run.speeds[pair.b] for pair in strict.pairs]
    cells = {name: intervals.of_median(list(each.values())) for name, each in run.rtf.items()}
    equal, fair = all(math.isclose(each, 1) for each in true), run.world.fair
    hits = [
        each.low <= run.speeds[name] * truth <= each.high
        for name, each in cells.items()
        if each is not None and truth is not None
    ]
    slowest = max(run.names, key=lambda name: run.speeds[name])
    found = [
        pair.verdict is Verdict.FASTER for pair in ranking.against(loose.pairs, slowest).values()
    ]
    return {
        "median": statistics.fmean(hits) if hits else None,
        "ratios": all(
            each is not None and each.low <= value <= each.high
            for each, value in zip(ratios, true, strict=True)
        )
        if fair
        else None,
        "apart": any(pair.verdict in JUDGED for pair in strict.pairs) if equal and fair else None,
        "verdict": any(pair.verdict in JUDGED for pair in loose.pairs) if equal else None,
        "found": None if equal else statistics.fmean(found),
        "rounds": statistics.fmean(len(each) for each in run.rtf.values()),
        "could": None if None in could else statistics.median_high(filter(None, could)),
    }


def mean_of_three(run: Machine, margin: float) -> list[Verdict]:
    """Verdicts for each pair by the means of the first process's samples, without intervals."""
    means = [statistics.fmean(run.samples[name][0]) for name in run.names]
    return [
        ranking.verdict_of(intervals.Interval(a / b, a / b, a / b, 0.5, 1), margin)
        for index, a in enumerate(means)
        for b in means[:index]
    ]


def welch(run: Machine, margin: float) -> list[Verdict]:
    """Verdicts for each pair by Welch's interval, on the logs of all samples of all processes."""
    logs = [
        [math.log(each) for process in run.samples[name] for each in process] for name in run.names
    ]
    found = []
    for index, a in enumerate(logs):
        for b in logs[:index]:
            parts = [statistics.variance(each) / len(each) for each in (a, b)]
            squares = sum(
                part**2 / (len(each) - 1) for part, each in zip(parts, (a, b), strict=True)
            )
            half = quantiles.student_t(int(sum(parts) ** 2 / squares), 0.975) * math.sqrt(
                sum(parts)
            )
            middle = statistics.fmean(a) - statistics.fmean(b)
            ends = (math.exp(middle), math.exp(middle - half), math.exp(middle + half))
            found.append(ranking.verdict_of(intervals.Interval(*ends, 0.95, len(a)), margin))
    return found


def one_spread(run: Machine, margin: float) -> list[Verdict]:
    """Verdicts for each pair by Student's t, with one common spread and its many degrees."""
    pairs = [(a, b) for index, a in enumerate(run.names) for b in run.names[:index]]
    logs = [intervals.log_ratios(run.rtf[a], run.rtf[b]) for a, b in pairs]
    rounds = len(logs[0])
    spread = math.sqrt(statistics.fmean(intervals.deviation(each) ** 2 for each in logs))
    reach = quantiles.student_t((len(run.names) - 1) * (rounds - 1), 1 - 0.025 / len(pairs))
    half, found = reach * spread / math.sqrt(rounds), []
    for each in logs:
        middle = statistics.fmean(each)
        ends = (math.exp(middle), math.exp(middle - half), math.exp(middle + half))
        found.append(ranking.verdict_of(intervals.Interval(*ends, 0.95, rounds), margin))
    return found


NAIVE = {"mean of three": mean_of_three, "Welch, pooled": welch}
ONE_SPREAD = {"6 rounds, one spread for all": one_spread}
Judge = Callable[[Machine, float], list[Verdict]]


def speeds(cells: int, slower: float) -> list[float]:
    return [1.0] * (cells - 1) + [slower]


def simulate(
    rule: str,
    world: World,
    cells: int,
    reps: int,
    rnd: random.Random,
    *,
    measure: Measure,
    slower: float = 1.0,
    truth: float | None = None,
) -> Row:
    """Many runs by ``measure``, which returns the level of the judgment and whether it was met."""
    shares = Shares()
    for _ in range(reps):
        run = Machine(world, speeds(cells, slower), rnd)
        level, reached = measure(run)
        shares.add(**judged(run, level, truth), reached=reached)
    return shares.row(rule, world, cells)


def otherwise(
    world: World,
    rounds: int,
    reps: int,
    rnd: random.Random,
    *,
    slower: float,
    judges: Mapping[str, Judge],
    cells: int = 2,
) -> list[Row]:
    """Runs of a fixed number of rounds, judged by rules that this tool does not use."""
    shares = {name: Shares() for name in judges}
    for _ in range(reps):
        run = Machine(world, speeds(cells, slower), rnd)
        run.measure(rounds)
        for name, judge in judges.items():
            said = judge(run, ranking.MARGIN)
            used = 1 if judge is mean_of_three else rounds
            if slower == 1:
                apart = any(each in JUDGED for each in judge(run, 0.0))
                shares[name].add(
                    apart=apart, verdict=any(each in JUDGED for each in said), rounds=used
                )
            else:
                of_last = [each is Verdict.SLOWER for each in said[1 - cells :]]
                shares[name].add(found=statistics.fmean(of_last), rounds=used)
    return [each.row(name, world, cells) for name, each in shares.items()]


def floor_passed(world: World, rounds: int, reps: int, rnd: random.Random) -> Row:
    """How often the second of two A/A runs on one machine exceeds the floor of the first."""
    shares = Shares()
    for _ in range(reps):
        runs = [Machine(world, [1.0, 1.0], rnd) for _ in range(2)]
        floors = []
        for run in runs:
            run.measure(rounds)
            floors.append(stopping.noise_floor(run.rtf["cell 0"], run.rtf["cell 1"]))
        first, second = floors
        assert first is not None
        assert second is not None
        beyond = abs(math.log(second.ratio.estimate)) > math.log1p(first.floor)
        decided = ranking.verdict_of(second.ratio, ranking.margin(first.floor)) in JUDGED
        shares.add(apart=beyond, verdict=decided, rounds=rounds)
    return shares.row(f"floor of {rounds}", world, 2)


def fixed(rounds: int) -> Measure:
    def measure(run: Machine) -> tuple[float, bool | None]:
        run.measure(rounds)
        return intervals.LEVEL, None

    return measure


def default(margin: float = ranking.MARGIN) -> Measure:
    return lambda run: (by_default(run, margin), None)


def by_precision(width: float) -> Measure:
    return lambda run: (intervals.LEVEL, precision(run, width))


def by_budget(margin: float, *, spend: bool = True) -> Measure:
    return lambda run: (budget(run, margin, spend=spend), None)


def equal_cells(world: World, reps: int, rnd: random.Random) -> Iterable[Row]:
    truth = true_median(world, rnd) if world in INDEPENDENT else None
    for cells in (2, 6):
        for rounds in FIXED:
            measure = fixed(rounds)
            yield simulate(
                f"{rounds} rounds", world, cells, reps, rnd, measure=measure, truth=truth
            )
        yield simulate("default", world, cells, reps, rnd, measure=default(), truth=truth)
        yield simulate("default, margin 0%", world, cells, reps, rnd, measure=default(0.0))
        for rule, measure in (
            *((f"--ci-width {width:.0%}", by_precision(width)) for width in PRECISIONS),
            ("--budget, margin 2%", by_budget(ranking.MARGIN)),
            ("--budget, margin 0%", by_budget(0.0)),
            ("the same, every look at 95 %", by_budget(0.0, spend=False)),
        ):
            runs = reps if cells == 2 else reps // DEARER
            yield simulate(rule, world, cells, runs, rnd, measure=measure, truth=truth)
    yield from otherwise(world, 6, reps, rnd, slower=1.0, judges=NAIVE)
    yield floor_passed(world, 12, reps, rnd)


def one_slower(world: World, reps: int, rnd: random.Random) -> Iterable[Row]:
    for cells in (2, 6):
        for rule, measure, dearer in (
            ("6 rounds", fixed(6), 1),
            ("24 rounds", fixed(24), 1),
            ("default", default(), 1),
            ("--ci-width 2%", by_precision(0.02), DEARER),
            ("--budget, margin 2%", by_budget(ranking.MARGIN), DEARER),
        ):
            yield simulate(
                rule, world, cells, reps // dearer, rnd, measure=measure, slower=SLOWER_BY
            )
        pilot = simulate("", world, cells, reps // DEARER, rnd, measure=default())
        slower = 1 + (pilot.could or 0.0)
        rule = f"default, {slower:.3f} times"
        yield simulate(rule, world, cells, reps // DEARER, rnd, measure=default(), slower=slower)
    yield from otherwise(world, 6, reps, rnd, slower=SLOWER_BY, judges=NAIVE)


def spreads(world: World, reps: int, rnd: random.Random) -> Iterable[Row]:
    for slower in (1.0, SLOWER_BY):
        yield from otherwise(world, 6, reps, rnd, slower=slower, judges=ONE_SPREAD, cells=6)


TABLES = {"equal": equal_cells, "slower": one_slower, "one spread": spreads}


COLUMNS = (
    "median", "ratios", "apart", "verdict", "found", "rounds", "most", "could", "reached"
)  # fmt: skip


def line(row: Row) -> str:
    def words(name: str) -> str:
        value = getattr(row, name)
        if value is None:
            return ""
        return f"{value:.1f}" if name in {"rounds", "most"} else f"{value:.3f}"

    return f"{row.world:15}{row.rule:31}{row.cells:5}" + "".join(
        f"{words(name):>9}" for name in COLUMNS
    )


def simulated(unit: tuple[str, World, argparse.Namespace]) -> list[Row]:
    """One world's rows of one table; a separate seed makes them independent of the order."""
    table, world, arguments = unit
    rnd = random.Random(f"{arguments.seed} {table} {world.name}")
    return list(TABLES[table](world, arguments.reps, rnd))


def kept(arguments: argparse.Namespace) -> dict[str, list[Row]]:
    """The rows of an interrupted simulation of the same size and seed."""
    if arguments.resume and arguments.json and arguments.json.exists():
        before = json.loads(arguments.json.read_text(encoding="utf-8"))
        if (before["reps"], before["seed"]) == (arguments.reps, arguments.seed):
            rows = before["results"]
            return {table: [Row(**row) for row in rows.get(table, [])] for table in TABLES}
    return {table: [] for table in TABLES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--reps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", "-o", type=Path)
    parser.add_argument("--resume", action="store_true", help="Keep what FILE already has.")
    arguments = parser.parse_args()
    began = time.monotonic()
    tables = kept(arguments)
    units = [
        (table, world, arguments)
        for table, rows in tables.items()
        for world in WORLDS
        if world.name not in {row.world for row in rows}
    ]
    heading = f"{'world':15}{'rule':31}{'cells':>5}" + "".join(f"{each:>9}" for each in COLUMNS)
    print(f"{heading}   (table 1: equal cells; 2: one takes {SLOWER_BY} times as long; 3: both)")
    with concurrent.futures.ProcessPoolExecutor() as pool:
        for (table, _, _), rows in zip(units, pool.map(simulated, units), strict=True):
            tables[table] += rows
            print("\n".join(line(row) for row in rows), flush=True)
            # After each world, so that a later interruption loses nothing.
            if arguments.json:
                document = {
                    "machine": msgspec.to_builtins(describe.describe()),
                    "reps": arguments.reps,
                    "seed": arguments.seed,
                    "worlds": msgspec.to_builtins(WORLDS),
                    "results": msgspec.to_builtins(tables),
                }
                text = json.dumps(document, indent=1) + "\n"
                arguments.json.write_text(text, encoding="utf-8")
    print(f"{time.monotonic() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
