"""Do the promises hold on machines whose truth is known? A small share of benchmarks/statistics.py.

Seeds are fixed, so that a test that passes goes on passing. The bounds leave room for the few runs
simulated here; the benchmark simulates more, and its table is the evidence.
"""

from __future__ import annotations

import random
import statistics

import pytest

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
from mac_whisper_speedtest.request import DEFAULT_MAX_ROUNDS
from mac_whisper_speedtest.stats import intervals, ranking, stopping
from mac_whisper_speedtest.stats.ranking import Verdict

BY_NAME = {world.name: world for world in WORLDS}
JUDGED = {Verdict.FASTER, Verdict.SLOWER}


def runs(world: World, speeds: list[float], count: int, rounds: int = 0) -> list[Machine]:
    rnd = random.Random(world.name)
    found = [Machine(world, speeds, rnd) for _ in range(count)]
    for run in found:
        run.measure(rounds)
    return found


def told_apart(run: Machine, level: float = 0.95, margin: float = ranking.MARGIN) -> bool:
    found = ranking.rank(run.rtf, margin=margin, level=level)
    return any(pair.verdict in JUDGED for pair in found.pairs)


@pytest.mark.parametrize("world", INDEPENDENT, ids=lambda world: world.name)
def test_the_interval_of_a_median_covers_where_rounds_are_independent(world: World) -> None:
    truth = true_median(world, random.Random(1), rounds=8000)
    covered = 0
    for run in runs(world, [1.0], 400, rounds=9):
        found = intervals.of_median(list(run.rtf["cell 0"].values()))
        assert found is not None
        covered += found.low <= truth <= found.high
    assert covered >= 0.93 * 400


@pytest.mark.parametrize("rounds", [4, 9])
@pytest.mark.parametrize("name", [world.name for world in INDEPENDENT] + ["drift"])
def test_the_interval_of_a_ratio_covers_also_when_the_machine_drifts(
    name: str, rounds: int
) -> None:
    covered = 0
    for run in runs(BY_NAME[name], [1.0, 1.0], 400, rounds=rounds):
        found = intervals.of_ratio(run.rtf["cell 0"], run.rtf["cell 1"])
        assert found is not None
        covered += found.low <= 1 <= found.high
    assert covered >= 0.92 * 400


@pytest.mark.parametrize("rounds", [3, 6])
@pytest.mark.parametrize("name", ["two levels", "outliers", "bimodal", "drift"])
def test_six_equal_cells_are_rarely_separated(name: str, rounds: int) -> None:
    found = [told_apart(run) for run in runs(BY_NAME[name], [1.0] * 6, 40, rounds=rounds)]
    assert sum(found) <= 2


def test_cells_of_two_speeds_are_not_separated_when_three_rounds_show_one_each() -> None:
    world = World("two speeds", between=0.003, within=0.003, slow=0.5, slow_by=0.3)
    found = [told_apart(run) for run in runs(world, [1.0] * 6, 80, rounds=3)]
    assert sum(found) <= 4


@pytest.mark.parametrize("name", ["quiet", "bimodal"])
def test_precision_separates_no_equal_cells_and_keeps_its_coverage(name: str) -> None:
    world = BY_NAME[name]
    found = runs(world, [1.0] * 2, 40)
    for run in found:
        precision(run, 0.05, maximum=30)
    assert sum(told_apart(run) for run in found) <= 2
    truth = true_median(world, random.Random(1), rounds=8000)
    medians = [
        intervals.of_median(list(each.values())) for run in found for each in run.rtf.values()
    ]
    covered = [each is not None and each.low <= truth <= each.high for each in medians]
    assert sum(covered) >= 0.92 * len(covered)


def test_precision_stops_as_soon_as_it_is_reached() -> None:
    quiet, noisy = (runs(BY_NAME[name], [1.0] * 2, 1)[0] for name in ("quiet", "noisy"))
    assert precision(quiet, 0.02)
    assert len(quiet.rtf["cell 0"]) < 30
    assert not precision(noisy, 0.02)
    assert len(noisy.rtf["cell 0"]) == DEFAULT_MAX_ROUNDS


@pytest.mark.parametrize("name", [world.name for world in WORLDS if not world.correlation])
@pytest.mark.parametrize("cells", [2, 6])
def test_by_default_equal_cells_are_rarely_separated(name: str, cells: int) -> None:
    wrong = 0
    for run in runs(BY_NAME[name], [1.0] * cells, 100):
        wrong += told_apart(run, by_default(run))
    assert wrong <= 5
    if BY_NAME[name].fair:
        wrong = 0
        for run in runs(BY_NAME[name], [1.0] * cells, 100):
            wrong += told_apart(run, by_default(run, 0.0), 0.0)
        assert wrong <= 7


def test_by_default_five_per_cent_are_found_among_six_on_a_quiet_machine() -> None:
    """In six rounds of all it is two in three."""
    share = []
    for run in runs(BY_NAME["quiet"], [1.0] * 5 + [1.05], 100):
        level = by_default(run)
        assert sum(map(len, run.rtf.values())) <= 1.5 * 6 * 6
        share.append(found(run, level))
    six = runs(BY_NAME["quiet"], [1.0] * 5 + [1.05], 100, rounds=6)
    fixed = [found(run, 0.95) for run in six]
    assert statistics.fmean(share) >= 0.9 > 0.75 > statistics.fmean(fixed)


@pytest.mark.parametrize("name", ["quiet", "two levels"])
def test_the_difference_that_a_run_says_it_could_have_found_is_found(name: str) -> None:
    said = []
    for run in runs(BY_NAME[name], [1.0] * 3, 40):
        ranked = ranking.rank(run.rtf, margin=ranking.MARGIN, level=by_default(run))
        said += [stopping.detectable(ranked, each) for each in run.names]
    speed = 1 + statistics.fmean(filter(None, said))
    share = [found(run, by_default(run)) for run in runs(BY_NAME[name], [1.0, 1.0, speed], 60)]
    assert statistics.fmean(share) >= 0.85


def found(run: Machine, level: float) -> float:
    """In how many pairs the last cell is called slower."""
    pairs = ranking.rank(run.rtf, margin=ranking.MARGIN, level=level).pairs
    last = run.names[-1]
    return statistics.fmean(each.verdict is Verdict.FASTER for each in pairs if each.b == last)


@pytest.mark.parametrize("margin", [0.0, ranking.MARGIN])
def test_a_budget_does_not_separate_equal_cells(margin: float) -> None:
    """At a margin of 0 every look is a chance to be wrong; see the next test."""
    found = runs(BY_NAME["two levels"], [1.0] * 3, 25)
    wrong = [told_apart(run, budget(run, margin, rounds=20), margin) for run in found]
    assert sum(wrong) <= 1


def test_a_budget_whose_looks_cost_nothing_would_report_false_differences() -> None:
    found = runs(BY_NAME["two levels"], [1.0] * 3, 40)
    wrong = [told_apart(run, budget(run, 0.0, spend=False, rounds=20), 0.0) for run in found]
    assert sum(wrong) > 0.05 * 40


def test_a_budget_is_spent_where_the_ranking_is_open() -> None:
    run = runs(BY_NAME["two levels"], [1.0, 1.005, 3.0, 9.0], 1)[0]
    budget(run, ranking.MARGIN, rounds=20)
    counts = [len(each) for each in run.rtf.values()]
    assert counts[0] == counts[1] > counts[2]
    assert counts[2:] == [6, 6]


@pytest.mark.parametrize(
    ("world", "measure"),
    [("quiet", "precision"), ("two levels", "precision"), ("quiet", "budget")],
)
def test_a_cell_that_is_five_per_cent_slower_is_found(world: str, measure: str) -> None:
    found = runs(BY_NAME[world], [1.0, 1.05], 20)
    hits = 0
    for run in found:
        level = 0.95
        if measure == "precision":
            precision(run, 0.02)
        else:
            level = budget(run, ranking.MARGIN)
        pair = ranking.rank(run.rtf, margin=ranking.MARGIN, level=level).pairs[0]
        hits += pair.verdict is Verdict.FASTER
    assert hits >= 18


def test_the_mean_of_three_samples_separates_equal_cells_and_three_rounds_do_not() -> None:
    """The mean of three samples of one process separates equal cells most of the time."""
    naive, ours = 0, 0
    for run in runs(BY_NAME["two levels"], [1.0] * 2, 100, rounds=3):
        means = [sum(run.samples[name][0]) for name in run.names]
        naive += not 1 / 1.02 <= means[0] / means[1] <= 1.02
        ours += told_apart(run)
    assert naive > 30
    assert ours <= 5
